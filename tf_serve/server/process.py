"""Start the server: one process or several workers, and how each begins, is watched and ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from tbconv.contract.bundle import MANIFEST
from tbconv.contract.environment import working_folder_hidden
from tbconv.contract.errors import DISCLAIMER, BundleError, ConfigError, Reporter, SetupError
from tbconv.contract.files import advice_on, temporary_folder
from tf_serve.models.registry import Registry
from tf_serve.models.repository import ModelDirectory, return_memory
from tf_serve.server.app import create_app
from tf_serve.server.connection import BoundedProtocol
from tf_serve.server.engine import Engine
from tf_serve.settings import LogFormat, LogLevel, Settings
from tf_serve.telemetry.logs import write_log
from tf_serve.telemetry.metrics import FOLDER

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger("tf_serve")


# --- run ---
# Start the server: open the bundles, take the port, print the address and the active model.

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """Arguments of `tbconv serve`."""

    settings: Settings
    host: str
    port: int  # 0 takes any free one
    watch: bool = False  # serve a folder that holds no bundle yet, and wait for one
    grpc_port: int | None = None  # 0 takes any free one; None: gRPC is not spoken

    def __post_init__(self) -> None:
        for port in (self.port, self.grpc_port or 0):
            if not 0 <= port <= 65535:
                raise ValueError(f"port must lie in 0..65535, got {port}")


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
    """Serve until SIGTERM, Ctrl-C, SIGQUIT or SIGHUP; what was accepted is answered first.

    Raises:
        BundleError: a bundle was named and no file of it may answer, or what was named is neither bundle nor a folder
            with one, and none is waited for.
        SetupError: the port is taken, or no worker lives until it serves.
    """
    settings = config.settings
    write_log(settings.log_format, settings.log_level or LogLevel.INFO)
    if not settings.root.is_dir():
        what, fix = f"{settings.root} is not a folder", "name a bundle, or a folder for bundles: mkdir MODELS_DIR"
        why, advice = "there is nothing to serve or to watch", advice_on(settings.root)
        if advice is not None:
            why, fix = advice.why, advice.fix
        raise BundleError(what, why=why, fix=fix)
    settings = replace(
        settings, one_bundle=(settings.root / MANIFEST).is_file()
    )  # once: a worker that comes later agrees
    if settings.site is not None and not settings.one_bundle:
        what, why = f"--site {settings.site} with a folder of bundles", "a site's figures are of one bundle"
        raise ConfigError(what, why=why, fix=f"name that bundle: tbconv serve BUNDLE --site {settings.site}")
    if not settings.one_bundle:
        _require_models(settings.root, watch=config.watch)
    with (
        take_port(config.host, config.port) as listener,  # nothing is accepted yet
        hold_grpc_port(config.host, config.grpc_port) as grpc_address,
        leaving_by(_exit_zero),
    ):
        settings = replace(settings, grpc_address=grpc_address)
        if settings.workers == 1:
            engine = _opened(settings)
            _announce(engine, listener, reporter)
            run_one(create_app(settings, engine=engine), listener)
            return
        _announce(_opened(settings), listener, reporter)
        return_memory()  # it was opened here only to check it
        _run_workers(settings, listener)


def _require_models(root: Path, *, watch: bool) -> None:
    """Refuse a run, a conversion or films, and a folder without a bundle unless one is waited for.

    Raises:
        BundleError: saying what the folder is.
    """
    advice = advice_on(root)
    if advice is not None and advice.kind not in ("empty", "films"):
        raise BundleError(f"{root} cannot be served", why=advice.why, fix=advice.fix)
    if watch or ModelDirectory(root, one_bundle=False).scan() != {}:  # None: it cannot be read now, and is watched
        return
    fix = f"name a bundle, put bundles there as NAME/ or NAME/1/, or wait for them: tbconv serve {root} --watch"
    why = "no folder in it is a bundle" if advice is None else advice.why
    raise BundleError(f"{root} holds no bundle", why=why, fix=fix)


def _opened(settings: Settings) -> Engine:
    """Open a bundle now, so that what is wrong with it is a sentence; a folder of bundles is opened as it serves."""
    engine = Engine(settings)
    if settings.one_bundle:
        engine.open_now()
    return engine


def _run_workers(settings: Settings, listener: socket.socket) -> None:
    with temporary_folder("serve") as shared:
        counted = shared / "metrics"
        counted.mkdir()
        os.environ[FOLDER] = str(counted)  # the processes inherit it: what they count is added up there
        try:
            Supervisor(replace(settings, shared=shared), listener).run()
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


@contextlib.contextmanager
def hold_grpc_port(host: str, port: int | None) -> Iterator[str | None]:
    """Keep a port for gRPC, which opens its own sockets there, one a process; give its address.

    Raises:
        ModuleNotFoundError: the extra `grpc` is not installed.
        SetupError: the port is taken or not allowed.
    """
    if port is None:
        yield None
        return
    from tf_serve.server.rpc import door  # noqa: F401  (what is missing is said now)

    with take_port(host, port) as free:  # alone, so that what listens there is found
        address = free.getsockname()[:2]
        family = free.family
    with socket.socket(family) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        yield _shown(*address)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def greeting(registry: Registry, settings: Settings, address: tuple[str, int]) -> tuple[str, ...]:
    """Return where the server answers, who answers and why."""
    url = f"http://{_shown(*address[:2])}"
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    many = () if settings.workers == 1 else (f"{settings.workers} processes of {threads} each",)
    if settings.grpc_address is not None:
        many = (f"gRPC on {settings.grpc_address}", *many)
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
    return (*lines, _disclaimer(registry))


def _disclaimer(registry: Registry) -> str:
    """Return the sentence of the bundles that answer: their own where all say the same, else what holds of any."""
    said = {registry.get(name).bundle.manifest.words.disclaimer for name in registry.names()}
    return said.pop() if len(said) == 1 else DISCLAIMER


# --- signals ---
# Which signals end a server, and which would kill it though nobody means that by them.

LEAVE = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
NO_MEANING = tuple(getattr(signal, f"SIG{n}") for n in ("USR1", "USR2", "TTIN", "TTOU") if hasattr(signal, f"SIG{n}"))
NOT_FOR_WORKERS = {*LEAVE, *NO_MEANING} - {signal.SIGTERM}  # their parent answers those; while they start, too
OnSignal = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def leaving_by(leave: OnSignal) -> Iterator[None]:
    """Call a function at each signal that ends a server; do nothing at those without a meaning.

    Hanging up and quitting are left ignored where they are (`nohup`, a job in the background).
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    handlers: dict[int, OnSignal] = dict.fromkeys(NO_MEANING, _do_nothing)
    handlers |= {
        sig: leave for sig in LEAVE if signal.getsignal(sig) != signal.SIG_IGN or sig in (signal.SIGTERM, signal.SIGINT)
    }
    before = {sig: signal.signal(sig, handler) for sig, handler in handlers.items()}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler or signal.SIG_DFL)


def _exit_zero(sig: int, frame: FrameType | None) -> None:  # noqa: ARG001  (Python passes them)
    raise SystemExit(0)


def _do_nothing(sig: int, frame: FrameType | None) -> None:
    """Do nothing; children start with the signal's default, as they would not after SIG_IGN."""


# --- server ---
# A server that finishes what it accepted.

# Seconds after SIGTERM in which connections are still accepted and every answer says `connection: close`: a client
# that has sent its film already gets an answer, not a closed connection.
DRAIN_NOTICE_S = 0.6
# Seconds of these in which the backlog is accepted and the kernel begins no new connections: closing a listening
# socket resets those in its backlog, and those that came to it after the last look.
CLOSE_BACKLOG_S = 0.3
# A program of the kernel's classic packet filter: what asks for a connection (SYN without ACK in byte 13 of TCP's
# header) is dropped, and its sender asks again a second later; connections that have begun go on.
DROP_NEW = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
SO_ATTACH_FILTER = 26  # Linux; Python has no name for it
PENDING_REQUEST_S = 2.0  # seconds for a request that was on its way when its connection was taken
DRAIN_S = 25  # seconds that accepted films get: a film may wait twice, for its network and for the baseline


def take_no_more(listener: socket.socket) -> None:
    """Let a listening socket begin no connection, without resetting any."""
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in DROP_NEW))
    try:
        program = struct.pack("HP", len(DROP_NEW), ctypes.addressof(steps))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    except OSError:  # another system, or a sandbox: connections of a few microseconds may be reset
        listener.listen(0)


class Server(uvicorn.Server):
    """Uvicorn's server, with a notice before it closes, exit status 0 after it, and an end at a second signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._drain_until: float | None = None
        self._listeners: list[socket.socket] = []
        self._takes_more = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as Uvicorn does, and remember the sockets."""
        self._listeners = list(sockets or [])
        await super().startup(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (Python passes it)
        """Begin to drain; the second signal ends the process at once."""
        if self._drain_until is not None:
            os._exit(1)
        self._drain_until = time.monotonic() + DRAIN_NOTICE_S
        lifespan = getattr(self, "lifespan", None)  # None while the loop is made: what drains begins in its first tick
        engine = lifespan.state.get("engine") if lifespan is not None else None
        if engine is not None:
            engine.start_draining()

    async def on_tick(self, counter: int) -> bool:
        """Exit at the end of the notice."""
        if self._drain_until is not None:
            left = self._drain_until - time.monotonic()
            if left <= CLOSE_BACKLOG_S and self._takes_more:
                self._takes_more = False
                for listener in self._listeners:
                    take_no_more(listener)
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
        with listener, contextlib.suppress(OSError):  # none is left, or no descriptor is: those accepted get answers
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
        return any(isinstance(one, BoundedProtocol) and one.may_ask for one in self.server_state.connections)


def run_one(app: FastAPI, listener: socket.socket) -> None:
    """Serve in this process until a signal."""
    server = Server(_config(app))
    with leaving_by(server.handle_exit):
        server.run(sockets=[listener])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_level="warning",
        access_log=False,  # addresses and times of patients' films are not logged
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        ws="none",
        lifespan="on",
    )


# --- worker ---
# One of several processes behind a socket. A pipe joins it to its parent: settings go down, signs of life come up, and
# its end tells each of them that the other is dead.

ORPHAN_S = 0.7  # seconds in which a worker answers what it has begun when its parent was killed
HEARTBEAT_S = 1.0  # seconds between two signs of life
STARTS, SERVES = b"s", b"."  # what they say: it opens models, however long; requests are accepted


class WorkerServer(Server):
    """The server in one of several processes: the parent tells it when to leave, and hears that it lives."""

    def __init__(self, config: uvicorn.Config, parent: Connection) -> None:
        super().__init__(config)
        self._parent = parent
        self._heard = 0.0
        self._takes_more = False  # the socket is not its own: the parent stops it when all leave

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave at SIGTERM, which may come twice when the parent dies; Ctrl-C is the parent's to answer."""
        if sig == signal.SIGTERM and self._drain_until is None:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say meanwhile that the event loop turns."""
        saying = asyncio.create_task(self._say_that_it_starts())
        try:
            await super().startup(sockets=sockets)
        finally:
            saying.cancel()

    async def _say_that_it_starts(self) -> None:
        while True:
            self._say(STARTS)
            await asyncio.sleep(HEARTBEAT_S)

    async def on_tick(self, counter: int) -> bool:
        """Say that requests are accepted and the event loop turns."""
        if time.monotonic() - self._heard >= HEARTBEAT_S:
            self._heard = time.monotonic()
            self._say(SERVES)
        return await super().on_tick(counter)

    def _say(self, what: bytes) -> None:
        with contextlib.suppress(OSError):  # a parent that is gone is the other thread's to notice
            self._parent.send_bytes(what)


def serve_as_worker() -> None:
    """Serve in a process that `Worker` has started, until the parent says so or is gone."""
    parent, listener = Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))
    for sig in NOT_FOR_WORKERS:
        signal.signal(sig, _do_nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_WORKERS)
    settings, ends = parent.recv()
    threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()
    app = create_app(settings)
    for ended in ends:
        app.state.engine.metrics.record_dead_worker(ended)
    WorkerServer(_config(app), parent).run(sockets=[listener])


def _leave_with_parent(parent: Connection) -> None:
    """End this process when the parent was killed: nobody else would. The next command removes what they shared."""
    with contextlib.suppress(OSError, EOFError):
        parent.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_S)
    os._exit(1)


class Worker:
    """The parent's side of such a process."""

    # While it imports, the kernel ends it with its parent. `-P` and `working_folder_hidden` keep the working folder
    # away; a checkout that is not installed is found.
    _MAIN = """
import ctypes, signal, sys
getattr(ctypes.CDLL(None), "prctl", max)(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, where there is one
sys.path.append(sys.argv.pop())
from tf_serve.server.process import serve_as_worker
serve_as_worker()
"""

    def __init__(self, settings: Settings, listener: socket.socket, ends: tuple[str, ...]) -> None:
        """Start it.

        Args:
            settings: what it serves.
            listener: where it accepts connections.
            ends: how those ended that it counts, since who counts in files cannot be their parent.
        """
        self._pipe, theirs = Pipe()
        numbers = (theirs.fileno(), listener.fileno())
        command = [sys.executable, "-P", "-c", self._MAIN, *map(str, numbers), str(Path(__file__).parents[2])]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_WORKERS)  # it inherits that until it has handlers
        try:
            with theirs, working_folder_hidden():
                self.process = subprocess.Popen(command, pass_fds=numbers, stdin=subprocess.DEVNULL)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.ends, self.serves_since = ends, 0.0
        self._silent, self._limit_s = 0, START_S
        with contextlib.suppress(OSError):  # it died at once: the next look finds it
            self._pipe.send((settings, ends))

    def look(self) -> bool:
        """Return whether it lives; one that has been silent for too long is killed."""
        heard = self._heard()
        if heard:
            self._silent, self._limit_s = 0, HUNG_S
            if SERVES in heard:
                self.serves_since = self.serves_since or time.monotonic()
        else:
            self._silent += 1  # looks and not seconds: a machine that was asleep is no worker that hangs
        if self._silent * LOOK_S > self._limit_s:
            _log.error("worker %d has not answered for %.0f s and is killed", self.process.pid, self._limit_s)
            self.process.kill()
            self.process.wait()
        return self.process.poll() is None

    def _heard(self) -> list[bytes]:
        heard = []
        with contextlib.suppress(OSError, EOFError):
            while self._pipe.poll():
                heard.append(self._pipe.recv_bytes())
        return heard

    def ended(self) -> str:
        """How it ended, and give its pipe back."""
        self._pipe.close()
        code = self.process.wait()
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"signal {-code}"


# --- supervisor ---
# Starts the workers, replaces those that died or hang, and ends them. What kills one worker again and again must
# neither end the others nor be tried without pause, and where none ever serves it is an error and no loop.

LOOK_S = 0.1  # seconds between two looks at the workers and at signals
HUNG_S = 10.0  # seconds without a sign of life
START_S = 120.0  # seconds until the first one, which comes once all is imported
STEADY_S = 10.0  # seconds of serving after which a death is an accident: it is replaced at once
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0  # before a place is filled again; doubled with each death
IN_VAIN = 6  # deaths in a row before serving, while no other serves


@dataclass(slots=True)
class Place:
    """One of the places that workers fill."""

    number: int
    worker: Worker | None = None
    deaths: int = 0  # in a row, before it has served for a while
    due: float = 0.0  # when the next one is started


class Supervisor:
    """The parent of workers."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings, self._listener = settings, listener
        self._places = [Place(number + 1) for number in range(settings.workers)]
        self._signals = 0
        self._in_vain = 0
        self._uncounted: list[str] = []  # ends that no worker has counted yet
        self._last_end = ""

    def run(self) -> None:
        """Serve until a signal.

        Raises:
            SetupError: workers die before they serve, and none does.
        """
        with leaving_by(self._leave):
            try:
                while not self._signals and self._in_vain < max(IN_VAIN, 3 * len(self._places)):
                    for place in self._places:
                        self._look_at(place)
                    time.sleep(LOOK_S)
            finally:
                self._end()
        if not self._signals:
            raise SetupError(
                f"no worker serves: {self._in_vain} died in a row before they did",
                why=f"the last one ended with {self._last_end}; what it said stands above",
                fix="run the same command with --workers 1, which shows the error itself",
            )

    def _leave(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (Python passes them)
        self._signals += 1

    def _look_at(self, place: Place) -> None:
        worker = place.worker
        if worker is None:
            if time.monotonic() >= place.due:
                self._fill(place)
        elif not worker.look():
            self._bury(place, worker)
        elif worker.serves_since:
            self._in_vain = 0
            if time.monotonic() - worker.serves_since > STEADY_S:
                place.deaths = 0

    def _fill(self, place: Place) -> None:
        """Start a worker; a machine that has no room for one now may have it later, and the others go on."""
        try:
            place.worker = Worker(self._settings, self._listener, tuple(self._uncounted))
        except OSError as error:
            pause, self._last_end = self._wait(place, served=0.0), str(error)
            _log.error("worker %d could not be started (%s); it is tried again in %.1f s", place.number, error, pause)
        else:
            self._uncounted = []

    def _wait(self, place: Place, *, served: float) -> float:
        """Leave a place empty for a while, the longer the more often it died young; return the seconds."""
        pause = 0.0
        if served < STEADY_S:
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(place.deaths, 16))
        place.worker, place.due, place.deaths = None, time.monotonic() + pause, place.deaths + 1
        serving = any(one.worker and one.worker.serves_since for one in self._places)
        self._in_vain = 0 if served or serving else self._in_vain + 1
        return pause

    def _bury(self, place: Place, worker: Worker) -> None:
        ended = self._last_end = worker.ended()
        served = time.monotonic() - worker.serves_since if worker.serves_since else 0.0
        pause = self._wait(place, served=served)
        self._uncounted += [*(() if served else worker.ends), ended]
        _log.error(
            "worker %d (process %d) ended with %s after it served for %.0f s; the next one starts in %.1f s",
            place.number,
            worker.process.pid,
            ended,
            served,
            pause,
        )

    def _end(self) -> None:
        """End the workers; the socket is theirs alone now, so that it closes with the last of them."""
        processes = [place.worker.process for place in self._places if place.worker]
        for process in processes:
            process.terminate()
        time.sleep(DRAIN_NOTICE_S - CLOSE_BACKLOG_S)
        take_no_more(self._listener)
        self._listener.close()
        end = time.monotonic() + DRAIN_S + PENDING_REQUEST_S + HUNG_S
        while any(process.poll() is None for process in processes):
            if self._signals > 1 or time.monotonic() > end:
                for process in processes:
                    process.kill()
                raise SystemExit(1)
            time.sleep(LOOK_S / 2)
