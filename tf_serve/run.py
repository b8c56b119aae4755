"""Start the server: open the bundle, take the port, say where it answers and who."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.errors import ConfigError, SetupError
from tbconv.contract.reporter import Reporter
from tf_serve.app import create_app
from tf_serve.engine import Opened, open_served

DEFAULT_PORT = 8080
DRAIN_S = 10  # seconds that films under way get after SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What `tbconv serve` was asked to do."""

    bundle: Path
    host: str
    port: int  # 0 takes any free one
    artefact: str | None = None

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
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        BundleError: no file of the bundle may answer.
        SetupError: the port is taken.
    """
    opened = open_served(config.bundle, artefact=config.artefact)
    with take_port(config.host, config.port) as listener:
        for line in greeting(opened, listener.getsockname()):
            reporter.say(line)
        app = create_app(config.bundle, artefact=config.artefact, opened=opened)
        # no access log: addresses and times of patients' films are nobody's business
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=DRAIN_S
        )
        uvicorn.Server(settings).run(sockets=[listener])


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


def greeting(opened: Opened, address: tuple[str, int]) -> tuple[str, ...]:
    """Return where the server answers, who answers and why."""
    served, manifest = opened.served, opened.bundle.manifest
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    lines = [
        f"{manifest.name} on http://{host}:{address[1]}",
        f"answered by {served.artefact} ({served.kind}, {served.verdict.verdict}, {served.version})",
    ]
    if served.reason:
        lines.append(f"the baseline answers: {served.reason}")
    if manifest.synthetic:
        lines.append("trained on synthetic phantoms: no patient's film belongs here")
    return (*lines, DISCLAIMER)
