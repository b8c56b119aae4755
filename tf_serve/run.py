"""Start the server: open what is there, take the port, say where it answers and who."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from tbconv.contract.bundle import MANIFEST
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.errors import BundleError, ConfigError, SetupError
from tbconv.contract.reporter import Reporter
from tf_serve.app import create_app
from tf_serve.deployment import deployment_of
from tf_serve.engine import Engine
from tf_serve.log_choice import LogFormat
from tf_serve.logs import write_log
from tf_serve.metrics import FOLDER
from tf_serve.registry import Registry
from tf_serve.repository import return_memory
from tf_serve.settings import Settings
from tf_serve.workers import run_many, run_one

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What `tbconv serve` was asked to do."""

    settings: Settings
    host: str
    port: int  # 0 takes any free one

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must lie in 0..65535, got {self.port}")


def choose_address(host: str | None, port: int | None, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Return host and port: what was asked for, else $PORT on every interface, else this machine alone.

    Raises:
        ConfigError: a port that is none.
    """
    given = environment.get("PORT", "")
    wished = str(port) if port is not None else given or str(DEFAULT_PORT)
    if not (wished.isascii() and wished.isdigit() and int(wished) <= 65535):
        source = "--port" if port is not None else "$PORT"
        raise ConfigError(f"{source} is {wished!r}", why="a port is a number from 0 to 65535", fix="--port 8080")
    return host or ("0.0.0.0" if given else "127.0.0.1"), int(wished)  # noqa: S104  (hosts that set $PORT need it)


def serve(config: ServeConfig, *, reporter: Reporter) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is answered first.

    Raises:
        BundleError: a bundle was named and no file of it may answer, or what was named is neither bundle nor folder.
        SetupError: the port is taken.
    """
    settings, deployment = config.settings, deployment_of(config.settings)
    write_log(deployment.log_format, deployment.log_level)
    if not settings.root.is_dir():
        what, fix = f"{settings.root} is no folder", "name a bundle, or a folder for bundles: mkdir MODELS_DIR"
        raise BundleError(what, why="there is nothing to serve or to watch", fix=fix)
    with take_port(config.host, config.port) as listener, _ends_quietly():
        if settings.workers == 1:
            engine = _opened(settings)
            _greet(engine, listener, reporter)
            run_one(create_app(settings, engine=engine), listener)
            return
        _greet(_opened(settings), listener, reporter)
        return_memory()  # what was opened here was opened to be looked at
        _run_workers(settings, listener)


@contextlib.contextmanager
def _ends_quietly() -> Iterator[None]:
    """End with status 0 at a signal that comes while bundles are opened: nothing was accepted yet, nothing is lost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = {sig: signal.signal(sig, _end) for sig in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _end(sig: int, frame: FrameType | None) -> None:  # noqa: ARG001  (Python passes them)
    raise SystemExit(0)


def _opened(settings: Settings) -> Engine:
    """Open a bundle now, so that what is wrong with it is a sentence; a folder of bundles is opened as it serves."""
    engine = Engine(settings)
    if (settings.root / MANIFEST).is_file():
        engine.open_now()
    return engine


def _run_workers(settings: Settings, listener: socket.socket) -> None:
    shared = Path(tempfile.mkdtemp(prefix="tbconv-serve-"))
    counted = shared / "metrics"
    counted.mkdir()
    os.environ[FOLDER] = str(counted)  # the processes inherit it: what they count is added up there
    try:
        run_many(replace(settings, shared=shared), listener)
    finally:
        del os.environ[FOLDER]
        shutil.rmtree(shared, ignore_errors=True)


def _greet(engine: Engine, listener: socket.socket, reporter: Reporter) -> None:
    for line in greeting(engine.registry, engine.settings, listener.getsockname()):
        if deployment_of(engine.settings).log_format is LogFormat.JSON:
            logging.getLogger("tf_serve").info(line)
        else:
            reporter.say(line)


def take_port(host: str, port: int) -> socket.socket:
    """Listen before anything else starts, so that a busy port is a sentence and no traceback.

    Raises:
        SetupError: the port is taken or not allowed, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        raise SetupError(
            f"cannot listen on {host}:{port}",
            why=str(error),
            fix="stop what uses it, or choose another: --port 0 takes any free one, --host 0.0.0.0 every address",
        ) from error


def greeting(registry: Registry, settings: Settings, address: tuple[str, int]) -> tuple[str, ...]:
    """Return where the server answers, who answers and why."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    url = f"http://{host}:{address[1]}"
    many = () if settings.workers == 1 else (f"{settings.workers} processes of {settings.threads} workers",)
    if not registry.names():
        return (f"models of {settings.root} on {url}", *many, "it is watched: what lands there is served", DISCLAIMER)
    loaded = registry.get()
    served = loaded.served
    lines = [
        f"{loaded.name} on {url}",
        f"answered by {served.artefact} ({served.kind}, {served.verdict.verdict}, {loaded.version})",
        *many,
    ]
    if served.reason:
        lines.append(f"the baseline answers: {served.reason}")
    if loaded.bundle.manifest.synthetic:
        lines.append("trained on synthetic phantoms: no patient's film belongs here")
    return (*lines, DISCLAIMER)
