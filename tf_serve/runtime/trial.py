"""A `.tflite` file is opened and run once in a process that may die, before this one maps it.

What a sound file (tf_serve.runtime.structure) still does to LiteRT is found out by letting it. One process imports
LiteRT and forks for each file, so that a trial costs what the file costs. A trial has limits on memory, processor time
and files, and ends with its parent. The process looks for modules where this one found them and in no other folder,
inherits neither secrets nor open files, and ends once nobody has asked it for a while.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib.util
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.errors import ArtefactError, SetupError, printable

if TYPE_CHECKING:
    from tf_serve.runtime.structure import Cost

MAIN = "import sys; sys.path += sys.argv[2:]; from tf_serve.runtime.trial import run; run(int(sys.argv[1]))"
PACKAGES = ("ai_edge_litert", "numpy")
REPOSITORY = Path(__file__).resolve().parents[2]

ROOM = "raise the limit on processes (ulimit -u, or pids.max of the container) and leave 50 MB of memory free"
MOST_WORDS = 300  # characters of what LiteRT says of a file, which may hold its names
IDLE_S = 20.0  # seconds after which the process ends; a start in a tenth of a core runs 16 golden inputs in 13
START_S = 120.0  # seconds until it has imported LiteRT: 0.2 on a core of its own

# Limits of one trial. ResNet50, 4 billion multiplications, takes 0.3 s of a processor to be opened and run;
# its float32 file of 103 MB then has 330 MB of address space beyond the process that it was forked from.
CPU_S = 3.0
CPU_S_EACH = 4e-9  # for each multiplication of one film
WALL_FACTOR, WALL_S = 20.0, 20.0  # a share of a core is 20 times slower
MEMORY, MEMORY_FACTOR = 512 << 20, 6  # bytes beyond the process itself, and for each byte of the file


def prepare() -> None:
    """Start the process, so that it has imported LiteRT when the first file is to be tried."""
    with _LOCK, contextlib.suppress(SetupError):  # the first trial says so
        _process()


def try_file(descriptor: int, cost: Cost, *, name: str, digest: str | None = None) -> None:
    """Let a process of its own open a file and run it; return where it lived and answered.

    Args:
        descriptor: of the file, of which nobody changes a byte; the process gets this very file.
        cost: what its structure says that it takes.
        name: how errors call the file.
        digest: SHA-256 of the file, where it is known: what passed once in this process is not tried again.

    Raises:
        ArtefactError: LiteRT died of it, refused it or took too long, or its answers have other shapes.
        SetupError: there can be no such process on this machine.
    """
    with _LOCK:
        if digest in _PASSED:
            return
        problem = _answer(descriptor, cost)
        if problem is None:
            _PASSED.update({digest} - {None})
            return
    raise ArtefactError(f"LiteRT cannot run {name}", why=printable(problem, most=MOST_WORDS), fix=MAKE_AGAIN)


# --- the caller's side ---

_LOCK = threading.Lock()
_PASSED: set[str | None] = set()
_current: _Process | None = None


def _process() -> _Process:
    global _current  # noqa: PLW0603  (one a process, whoever asks)
    if _current is None or not _current.usable:
        _current = _Process()
    return _current


def _answer(descriptor: int, cost: Cost) -> str | None:
    """Return what is wrong with a file; None where nothing is."""
    cpu_s = math.ceil(CPU_S + CPU_S_EACH * cost.work)
    wall_s = WALL_S + WALL_FACTOR * cpu_s
    request = {"cpu_s": cpu_s, "wall_s": wall_s, "memory": MEMORY + MEMORY_FACTOR * cost.bytes}
    for _ in range(2):  # an idle one may end at this very moment
        process = _process()
        try:
            return process.ask(request, descriptor, wall_s + START_S)
        except OSError as error:
            process.end()
            why = f"{type(error).__name__}: {error}"
    raise SetupError(
        "files cannot be tried in a process of their own",
        why=f"it does not answer ({why}), and a file that nobody tried could end this process",
        fix=ROOM,
    )


class _Process:
    """The process that has imported LiteRT, and the socket on which it gets files."""

    def __init__(self) -> None:
        from tbconv.contract.environment import child_environment  # 13 ms, which the process itself does without

        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", MAIN, str(theirs.fileno()), *_places()],
                    env=child_environment(),  # without threads: it forks
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                self._socket.close()
                raise SetupError("no process can be started to try files in", why=str(error), fix=ROOM) from error
        # it ends by itself when it is idle, and is waited for at once: a dead child would stay in the table
        threading.Thread(target=self._process.wait, name="trial", daemon=True).start()
        atexit.register(self.end)

    @property
    def usable(self) -> bool:
        """Whether it lives, and is this process's own: a fork has only a copy of the socket."""
        return self._owner == os.getpid() and self._process.poll() is None

    def ask(self, request: dict[str, Any], descriptor: int, timeout_s: float) -> str | None:
        """Have a file tried; what is wrong with it. OSError where the process does not answer."""
        self._socket.settimeout(timeout_s)
        socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], [descriptor])
        answer = b""
        while not answer.endswith(b"\n"):
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionError("it ended")
            answer += part
        problem: str | None = json.loads(answer)
        return problem

    def end(self) -> None:
        """End it; nothing that it holds is worth an orderly exit."""
        atexit.unregister(self.end)
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._socket.close()


def _places() -> list[str]:
    """Return the folders of the packages that the process imports, and no other that this one searches."""
    origins = [spec.origin for name in PACKAGES if (spec := importlib.util.find_spec(name)) and spec.origin]
    return list(dict.fromkeys([*(str(Path(origin).resolve().parents[1]) for origin in origins), str(REPOSITORY)]))


# --- the process's side ---


def run(descriptor: int) -> None:
    """Import LiteRT, then fork for every file that comes, until the parent hangs up or nothing comes any more."""
    import tf_serve.runtime.tflite  # noqa: F401  (before the first fork)

    os.set_inheritable(descriptor, False)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as parent:
        while select.select([parent], [], [], IDLE_S)[0]:
            request, files, _, _ = socket.recv_fds(parent, 65536, 1)
            if not request:
                return
            try:
                problem = _supervise(json.loads(request), files[0], parent)
            finally:
                for file in files:
                    os.close(file)
            parent.sendall(json.dumps(problem).encode() + b"\n")


def _supervise(limits: dict[str, Any], file: int, parent: socket.socket) -> str | None:
    """Fork for one file, and return what is wrong with it; the parent's end is the trial's end."""
    reading, writing = os.pipe()
    own = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        parent.close()
        _try(limits, file, writing, own)
    os.close(writing)
    answer, late = b"", time.monotonic() + limits["wall_s"]
    try:
        while True:
            ready = select.select([reading, parent.fileno()], [], [], max(0.0, late - time.monotonic()))[0]
            part = os.read(reading, 65536) if reading in ready else b""
            answer += part
            if not part:
                break
    finally:
        os.close(reading)
        if not ready or parent.fileno() in ready:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if not ready:
        return f"it did not answer within {limits['wall_s']:.0f} s"
    if os.WIFSIGNALED(status):
        return _death(os.WTERMSIG(status), limits)
    try:
        problem: str | None = json.loads(answer)
    except ValueError:
        return f"the process ended with status {os.waitstatus_to_exitcode(status)}, without an answer"
    return problem


def _death(number: int, limits: dict[str, Any]) -> str:
    if number == signal.SIGXCPU:
        return f"it took more than {limits['cpu_s']} s of a processor"
    with contextlib.suppress(ValueError):
        return f"LiteRT died with signal {number} ({signal.Signals(number).name}) on it, in a process of its own"
    return f"LiteRT died with signal {number} on it, in a process of its own"


def _try(limits: dict[str, Any], file: int, answer: int, parent: int) -> None:
    """Open a file, run it on a film, and exit."""
    try:
        _limit(limits, parent)
        problem = _run_once(file)
    except ArtefactError as error:
        problem = error.why
    except MemoryError:
        problem = f"it takes more than {limits['memory'] / 2**20:,.0f} MB"
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is an answer about this file)
        problem = f"{type(error).__name__}: {error}"
    with contextlib.suppress(BaseException):
        os.write(answer, json.dumps(problem).encode())
    os._exit(0)  # no handler and no buffer of the process that it was forked from


def _run_once(file: int) -> str | None:
    import numpy as np

    from tf_serve.runtime.tflite import OUTPUTS, TFLiteModel

    model = TFLiteModel(Path(f"/dev/fd/{file}"), name="it", checked=True)
    [spec] = model.inputs
    sides = spec.shape[1:]
    wedge = np.arange(math.prod(sides), dtype=np.float32).reshape(1, *sides) % 256  # every grey level
    found = model.predict(wedge)
    shapes = [getattr(found, name).shape for name in OUTPUTS]
    if shapes[:2] != [(1, 2), (1, 1)] or len(shapes[2]) != 3 or shapes[2][0] != 1:
        return f"its answers have the shapes {shapes}"
    return None


def _limit(limits: dict[str, Any], parent: int) -> None:
    """Take away from this process what a file does not need."""
    import resource

    with contextlib.suppress(OSError):  # where memory runs out, it goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(AttributeError, OSError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if os.getppid() != parent:  # it ended before that
        os._exit(1)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _lower(resource.RLIMIT_AS, _address_space() + limits["memory"])
    _lower(resource.RLIMIT_CPU, limits["cpu_s"])
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)


def _address_space() -> int:
    """Return how many bytes this process has mapped already, libraries among them."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _lower(which: int, value: int) -> None:
    import resource

    _, most = resource.getrlimit(which)
    soft, hard = (
        value,
        value + (which == resource.RLIMIT_CPU),
    )  # a second between SIGXCPU, which says why, and SIGKILL
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))
