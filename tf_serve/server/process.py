"""Start the server: one process or several workers, and the HTTP parser with its limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from tbconv.contract.bundle import MANIFEST, temporary_folder
from tbconv.contract.environment import working_folder_hidden
from tbconv.contract.errors import BundleError, ConfigError, SetupError
from tbconv.contract.reporting import DISCLAIMER, Reporter
from tf_serve.models.registry import Registry
from tf_serve.models.repository import return_memory
from tf_serve.server.app import create_app
from tf_serve.server.engine import Engine
from tf_serve.settings import LogFormat, LogLevel, Settings
from tf_serve.telemetry.logs import write_log
from tf_serve.telemetry.metrics import FOLDER

if TYPE_CHECKING:
    from fastapi import FastAPI


# --- run ---
# Start the server: open the bundles, take the port, print the address and the active model.

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """Arguments of `tbconv serve`."""

    settings: Settings
    host: str
    port: int  # 0 takes any free one

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must lie in 0..65535, got {self.port}")


def choose_address(host: str | None, port: int | None, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Return host and port: as given, else $PORT on every interface, else this machine alone.

    Raises:
        ConfigError: a port that is none.
    """
    given = environment.get("PORT", "")
    stated = str(port) if port is not None else given or str(DEFAULT_PORT)
    if not (stated.isascii() and stated.isdigit() and int(stated) <= 65535):
        source = "--port" if port is not None else "$PORT"
        raise ConfigError(f"{source} is {stated!r}", why="a port is a number from 0 to 65535", fix="--port 8080")
    return host or ("0.0.0.0" if given else "127.0.0.1"), int(stated)  # noqa: S104  (hosts that set $PORT need it)


def serve(config: ServeConfig, *, reporter: Reporter) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is answered first.

    Raises:
        BundleError: a bundle was named and no file of it may answer, or what was named is neither bundle nor folder.
        SetupError: the port is taken.
    """
    settings = config.settings
    write_log(settings.log_format, settings.log_level or LogLevel.INFO)
    if not settings.root.is_dir():
        what, fix = f"{settings.root} is not a folder", "name a bundle, or a folder for bundles: mkdir MODELS_DIR"
        raise BundleError(what, why="there is nothing to serve or to watch", fix=fix)
    with take_port(config.host, config.port) as listener, _exit_zero_on_signal():
        if settings.workers == 1:
            engine = _opened(settings)
            _announce(engine, listener, reporter)
            run_one(create_app(settings, engine=engine), listener)
            return
        _announce(_opened(settings), listener, reporter)
        return_memory()  # it was opened here only to check it
        _run_workers(settings, listener)


@contextlib.contextmanager
def _exit_zero_on_signal() -> Iterator[None]:
    """End with status 0 at a signal that comes while bundles are opened: nothing was accepted yet, nothing is lost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = {sig: signal.signal(sig, _exit_zero) for sig in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _exit_zero(sig: int, frame: FrameType | None) -> None:  # noqa: ARG001  (Python passes them)
    raise SystemExit(0)


def _opened(settings: Settings) -> Engine:
    """Open a bundle now, so that what is wrong with it is a sentence; a folder of bundles is opened as it serves."""
    engine = Engine(settings)
    if (settings.root / MANIFEST).is_file():
        engine.open_now()
    return engine


def _run_workers(settings: Settings, listener: socket.socket) -> None:
    with temporary_folder("serve") as shared:
        counted = shared / "metrics"
        counted.mkdir()
        os.environ[FOLDER] = str(counted)  # the processes inherit it: what they count is added up there
        try:
            run_many(replace(settings, shared=shared), listener)
        finally:
            del os.environ[FOLDER]


def _announce(engine: Engine, listener: socket.socket, reporter: Reporter) -> None:
    for line in greeting(engine.registry, engine.settings, listener.getsockname()):
        if engine.settings.log_format is LogFormat.JSON:
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
        return (
            f"models of {settings.root} on {url}",
            *many,
            "the directory is watched: bundles copied there are served",
            DISCLAIMER,
        )
    loaded = registry.get()
    active = loaded.active
    lines = [
        f"{loaded.name} on {url}",
        f"answered by {active.artefact} ({active.kind}, {active.verdict.verdict}, {loaded.version})",
        *many,
    ]
    if active.reason:
        lines.append(f"the baseline answers: {active.reason}")
    if loaded.bundle.manifest.synthetic:
        lines.append("trained on synthetic phantoms: not for patients' films")
    return (*lines, DISCLAIMER)


# --- workers ---
# How processes end and live on: a server that finishes what it accepted, and several of them behind one socket.

# Seconds after SIGTERM in which connections are still accepted and every answer says `connection: close`: a client
# that has sent its film already gets an answer, not a closed connection.
DRAIN_NOTICE_S = 0.6
# Seconds of these in which the backlog is accepted and the kernel takes no new connections: closing a listening
# socket resets those in its backlog.
CLOSE_BACKLOG_S = 0.3
PENDING_REQUEST_S = 2.0  # seconds for a request that was on its way when its connection was taken
DRAIN_S = 25  # seconds that accepted films get: a film may wait twice, for its network and for the baseline


@dataclass(frozen=True, slots=True)
class MakeApp:
    """Makes the application in a worker process: a settings record travels there, an application cannot."""

    settings: Settings

    def __call__(self) -> FastAPI:
        """Make it."""
        return create_app(self.settings)


class Server(uvicorn.Server):
    """Uvicorn's server, with a notice before it closes, exit status 0 after it, and an end at a second signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._drain_until: float | None = None
        self._listeners: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as Uvicorn does, and remember the sockets."""
        self._listeners = list(sockets or [])
        await super().startup(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (Python passes it)
        """Begin to drain; the second signal ends the process at once."""
        if self._drain_until is not None:
            os._exit(1)
        self._drain_until = time.monotonic() + DRAIN_NOTICE_S
        engine = self.lifespan.state.get("engine")
        if engine is not None:
            engine.start_draining()

    async def on_tick(self, counter: int) -> bool:
        """Exit at the end of the notice."""
        if self._drain_until is not None:
            left = self._drain_until - time.monotonic()
            if left <= CLOSE_BACKLOG_S:
                for listener in self._listeners:
                    listener.listen(0)
            self.should_exit = self.should_exit or left <= 0
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, read requests of connections that are open already, then end as Uvicorn does."""
        sockets_left = [listener.dup() for listener in self._listeners]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)
        for listener in sockets_left:
            await self._accept_backlog(listener)
        end = time.monotonic() + PENDING_REQUEST_S
        while time.monotonic() < end and self._has_pending_connection():
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _accept_backlog(self, listener: socket.socket) -> None:
        """Accept all connections of the backlog and close the socket at once."""
        accepted = []
        with listener, contextlib.suppress(BlockingIOError):
            listener.setblocking(False)
            while True:
                accepted.append(listener.accept()[0])
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        state, app_state = self.server_state, self.lifespan.state
        return self.config.http_protocol_class(config=self.config, server_state=state, app_state=app_state)  # type: ignore[call-arg]

    def _has_pending_connection(self) -> bool:
        """Whether a connection is open whose request has not been read yet."""
        return any(getattr(one, "cycle", one) is None for one in self.server_state.connections)


class WorkerServer(Server):
    """The server in one of several processes: the parent tells it when to leave."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave at SIGTERM; Ctrl-C reaches the whole group, and it is the parent's to answer."""
        if sig == signal.SIGTERM:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Exit also when the parent was killed: no other process would end this one, or clean up after it."""
        parent = multiprocessing.parent_process()
        if self._drain_until is None and parent is not None and not parent.is_alive():
            super().handle_exit(signal.SIGTERM, None)
            if isinstance(self.config.app, MakeApp) and self.config.app.settings.shared:
                shutil.rmtree(self.config.app.settings.shared, ignore_errors=True)
        return await super().on_tick(counter)


class Worker(Process):
    """A process with such a server."""

    @property
    def server(self) -> uvicorn.Server:
        """The server, made where it runs."""
        if self._server is None:
            self._server = WorkerServer(self.config)
        return self._server


class Supervisor(Multiprocess):
    """Uvicorn's parent of workers: it starts them, replaces those that died or hang, and ends them."""

    def init_processes(self) -> None:
        """Start all workers."""
        self.processes = [self._started() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died or do not answer; one that cannot start at all ends the server."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            process.kill()
            process.join()
            if process.exitcode == uvicorn.config.STARTUP_FAILURE:
                self.should_exit.set()
                return
            self.processes[place] = self._started()

    def terminate_all(self) -> None:
        """End the workers; the socket is theirs alone now, so that it closes with the last of them."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for the workers; a second signal ends them at once."""
        while any(process.exitcode is None for process in self.processes):
            if self.signal_queue:
                for process in self.processes:
                    process.process.kill()
            time.sleep(0.05)
        super().join_all()

    def restart_all(self) -> None:
        """Do nothing at SIGHUP: models are swapped while the server runs."""

    handle_ttin = handle_ttou = restart_all  # the number of workers stays

    def _started(self) -> Worker:
        worker = Worker(self.config, self.sockets)
        worker.start()
        return worker


def run_one(app: FastAPI, listener: socket.socket) -> None:
    """Serve in this process until a signal."""
    Server(_config(app)).run(sockets=[listener])


def run_many(settings: Settings, listener: socket.socket) -> None:
    """Serve in several processes until a signal."""
    with working_folder_hidden():
        Supervisor(_config(MakeApp(settings), workers=settings.workers), [listener]).run()


def _config(app: FastAPI | MakeApp, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HeaderTimeoutProtocol,
        factory=isinstance(app, MakeApp),
        workers=workers,
        log_level="warning",
        access_log=False,  # addresses and times of patients' films are not logged
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        ws="none",
        lifespan="on",
    )


# --- header timeout ---
# Uvicorn waits for the headers of a request without end; this protocol closes the connection after a while.

HEADER_TIMEOUT_S = (
    10.0  # seconds from the first byte, or from the connection, to the end of a request's head; browsers connect ahead
)


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """Uvicorn's, which closes a connection whose head does not come in time; the admission queue bounds bodies."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a further request begin a new wait."""
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """End the wait: the rest is the body, or the answer."""
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the wait."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEADER_TIMEOUT_S, self._time_out)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _time_out(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
