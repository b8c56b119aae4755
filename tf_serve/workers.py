"""How processes end and live on: a server that finishes what it accepted, and several of them behind one socket."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from tf_serve.app import create_app
from tf_serve.heads import PatientProtocol
from tf_serve.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

# Seconds after SIGTERM in which connections are still taken, and everybody is told to go elsewhere: a client
# that had sent its film already gets an answer, not a closed connection.
FAREWELL_S = 0.6
# Seconds of these in which the socket still gives out who has connected, and the kernel lets nobody else connect:
# closing a listening socket resets whoever stands in its queue.
LAST_CALL_S = 0.3
SILENT_S = 2.0  # seconds for a request that was on its way when its connection was taken
DRAIN_S = 25  # seconds that accepted films get: a film may wait twice, for its network and for the baseline


@dataclass(frozen=True, slots=True)
class MakeApp:
    """Makes the application in a worker process: a settings record travels there, an application cannot."""

    settings: Settings

    def __call__(self) -> FastAPI:
        """Make it."""
        return create_app(self.settings)


class Server(uvicorn.Server):
    """Uvicorn's server, with a farewell before it closes, exit status 0 after it, and an end at a second signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leave_at: float | None = None
        self._listeners: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as Uvicorn does, and remember the sockets."""
        self._listeners = list(sockets or [])
        await super().startup(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (Python passes it)
        """Begin to leave; the second signal ends the process at once."""
        if self._leave_at is not None:
            os._exit(1)
        self._leave_at = time.monotonic() + FAREWELL_S
        engine = self.lifespan.state.get("engine")
        if engine is not None:
            engine.leave()

    async def on_tick(self, counter: int) -> bool:
        """Leave when everybody was told."""
        if self._leave_at is not None:
            left = self._leave_at - time.monotonic()
            if left <= LAST_CALL_S:
                for listener in self._listeners:
                    listener.listen(0)
            self.should_exit = self.should_exit or left <= 0
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, hear those who have come in and not spoken yet, then end as Uvicorn does."""
        doors = [listener.dup() for listener in self._listeners]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)
        for door in doors:
            await self._let_in_the_last(door)
        end = time.monotonic() + SILENT_S
        while time.monotonic() < end and self._silent():
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _let_in_the_last(self, door: socket.socket) -> None:
        """Take everybody out of the kernel's queue and close it in the same breath."""
        last = []
        with door, contextlib.suppress(BlockingIOError):
            door.setblocking(False)
            while True:
                last.append(door.accept()[0])
        for connection in last:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        state, app_state = self.server_state, self.lifespan.state
        return self.config.http_protocol_class(config=self.config, server_state=state, app_state=app_state)  # type: ignore[call-arg]

    def _silent(self) -> bool:
        """Whether somebody is connected whose request has not been read yet."""
        return any(getattr(one, "cycle", one) is None for one in self.server_state.connections)


class WorkerServer(Server):
    """The server in one of several processes: the parent tells it when to leave."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave at SIGTERM; Ctrl-C reaches the whole group, and it is the parent's to answer."""
        if sig == signal.SIGTERM:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Leave also when the parent was killed: nobody would end this process, or clear up after it."""
        parent = multiprocessing.parent_process()
        if self._leave_at is None and parent is not None and not parent.is_alive():
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
    Supervisor(_config(MakeApp(settings), workers=settings.workers), [listener]).run()


def _config(app: FastAPI | MakeApp, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        factory=isinstance(app, MakeApp),
        workers=workers,
        log_level="warning",
        access_log=False,  # addresses and times of patients' films are nobody's business
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        ws="none",
        lifespan="on",
    )
