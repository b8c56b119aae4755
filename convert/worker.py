"""Run one step, `module:function`, in the process of its framework: JSON in, JSON out, a failure as an expected error.

PyTorch, TensorFlow and ONNX Runtime in one process have crashed in public reports, and converters call `sys.exit`;
so each framework gets processes of its own, which may die. A module names its framework by a line at its top,
`FRAMEWORK = "torch"`, `"tensorflow"` or `"litert"` (ONNX, ONNX Runtime and LiteRT). Inside of `workers()` its steps
share processes that stay alive, so that imports are paid once; a module that names none gets a process for each step.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tbconv.contract import errors
from tbconv.contract.errors import ConversionError, SetupError, TbconvError
from tbconv.contract.files import disk_refusal, temporary_folder
from tbconv.family import VARIABLE, end_family, family_of_child

TAIL_LINES = 12  # of the worker's output, shown when it dies without an expected error
REPOSITORY = Path(__file__).resolve().parent.parent
FRAMEWORK = re.compile(r'^FRAMEWORK = "(torch|tensorflow|litert)"$', re.MULTILINE)
MAIN = "import sys; from convert.worker import serve; serve(int(sys.argv[1]))"

# glibc keeps what converters free: 1.5 GB of a Keras step is 0.9 GB with these. Other C libraries ignore them.
RETURN_MEMORY = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
LARGE_PAGES = "glibc.malloc.hugetlb=1"  # where Linux has them: a fifth of a conversion was spent on page faults
KEPT_ALLOCATION, KEPT_HEAP = 32 << 20, 1 << 30  # bytes; the first is the most that glibc accepts
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h

PROGRESS = b'{"progress": '  # how a line begins that is not the answer yet
PROGRESS_EVERY_S = 10.0  # seconds between two of them

# What a file of others may cost: operations that are allowed can still be asked for any size, and call each other.
LONGEST_S, LONGEST_FILM_S = 2 * 3600.0, 10.0  # seconds of a step, and for each film that it is fed; real ones take 0.4
FILM_BYTES = 224 * 224  # of uint8
MEMORY_SHARE, LEAST_MEMORY = 0.75, 8 << 30  # of the machine's; bytes that every worker may ask for
FIRST_TO_GO = "1000"  # where memory runs out after all, the kernel ends this process and no other

# A worker that waits holds 0.2 (LiteRT) to 1.2 GB: beyond so many, the one that waits longest is ended.
MOST_ALIVE = max(2, min(4, os.cpu_count() or 1))


# --- the caller's side ---


def run_step(
    step: str, request: dict[str, Any], *, threads: int | None = None, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Run a step in another process and return its response.

    Args:
        step: `module:function`; the function takes the request and returns the response.
        request: plain JSON values.
        threads: of the frameworks' pools; None leaves it to them (TensorFlow: one).
        say: gets the lines by which the step says how far it is (`report_progress`).

    Raises:
        TbconvError: the expected error that the step raised.
        ConversionError: the process died without one, or took far longer than any step of ours.
    """
    with _taken(step, threads) as worker:
        return worker.run(step, request, threads, say)


@contextlib.contextmanager
def workers(*, alone: Collection[str] = ()) -> Iterator[None]:
    """Keep the processes of `run_step` alive, for the next step of their framework, until the (outermost) context ends.

    Args:
        alone: frameworks of which one process works at a time: a further step waits for it. Of others one is started.
    """
    with _POOL.changed:
        _POOL.contexts += 1
        before, _POOL.alone = _POOL.alone, alone
    try:
        yield
    finally:
        with _POOL.changed:
            _POOL.contexts -= 1
            _POOL.alone = before
            _POOL.changed.notify_all()
            ended = [] if _POOL.contexts else _POOL.idle[:]
            _POOL.idle = [worker for worker in _POOL.idle if worker not in ended]
        for worker in ended:
            worker.end()


def run_side_by_side[T](jobs: Sequence[tuple[str, Callable[[], T]]], processes: int) -> Iterator[tuple[int, T]]:
    """Do several jobs at once; whoever is done goes on with one of the same framework, whose worker is there.

    Args:
        jobs: the step that a job runs, and the job; the first are started first.
        processes: how many jobs run at a time.

    Yields:
        The number of a job and its result, in the order in which they end.
    """
    frameworks = [_framework(step) for step, _ in jobs]
    waiting, running, lock, before = list(range(len(jobs))), Counter[str | None](), threading.Lock(), threading.local()

    def run_next() -> tuple[int, T]:
        own = getattr(before, "framework", None)
        with lock:
            number = min(waiting, key=lambda one: (frameworks[one] != own, running[frameworks[one]]))
            waiting.remove(number)
            before.framework = frameworks[number]
            running[before.framework] += 1
        try:
            return number, jobs[number][1]()
        finally:
            with lock:
                running[before.framework] -= 1

    with ThreadPoolExecutor(processes) as pool, drop_waiting(pool):
        for done in as_completed([pool.submit(run_next) for _ in jobs]):
            yield done.result()


@contextlib.contextmanager
def drop_waiting(pool: ThreadPoolExecutor) -> Iterator[None]:
    """Start no further step of a pool once one failed or Ctrl-C came; those under way end."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


class _Pool:
    """The workers that wait for a step."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.contexts = 0
        self.alone: Collection[str] = ()
        self.busy = Counter[str | None]()  # steps that run, by framework
        self.idle: list[_Worker] = []  # the one that waits longest first

    def surplus(self, kind: tuple[str | None, int | None], *, start: bool) -> list[_Worker]:
        """Return who ends before a step of this kind: what waits holds memory that the step may need."""
        if kind[0] is None:  # a program of others: onnx2tf takes 2 GB
            return self.idle
        busy = self.busy.total()
        alone = busy == 1  # then a second worker of its kind is not needed
        alike = [one for one in self.idle if alone and one.kind == kind]
        others = [one for one in self.idle if one not in alike]
        over = busy + len(others) - MOST_ALIVE if start else 0
        return [*alike, *others[: max(0, over)]]

    def too_many(self) -> list[_Worker]:
        """Take out who waits beyond the limit, while others work."""
        over = max(0, self.busy.total() + len(self.idle) - MOST_ALIVE)
        ended, self.idle = self.idle[:over], self.idle[over:]
        return ended


_POOL = _Pool()


@contextlib.contextmanager
def _taken(step: str, threads: int | None) -> Iterator[_Worker]:
    """Take an idle worker of the step's framework, or start one; put it back if it may be used again."""
    framework = _framework(step)
    if framework == "tensorflow":
        threads = threads or 1  # its pools are sized once a process, so that one worker serves every step
    kind = (framework, threads if framework == "tensorflow" else None)
    with _POOL.changed:
        _POOL.changed.wait_for(lambda: framework not in _POOL.alone or not _POOL.busy[framework])
        _POOL.busy[framework] += 1
        fit = [one for one in _POOL.idle if framework and one.kind == kind and one.alive]
        worker = fit[-1] if fit else None
        if worker is not None:
            _POOL.idle.remove(worker)
        surplus = _POOL.surplus(kind, start=worker is None)
        _POOL.idle = [one for one in _POOL.idle if one not in surplus]
    for one in surplus:
        one.end()
    kept = False
    try:
        worker = worker or _Worker(kind, threads)
        yield worker
        kept = True
    except TbconvError:
        kept = worker is not None and worker.alive
        raise
    finally:
        with _POOL.changed:
            _POOL.busy[framework] -= 1
            _POOL.changed.notify_all()
            kept = kept and framework is not None and _POOL.contexts > 0
            if kept and worker is not None:
                _POOL.idle.append(worker)
            ended = _POOL.too_many()
        for one in ended if kept or worker is None else [worker, *ended]:
            one.end()


def _framework(step: str) -> str | None:
    """Read which framework a step's module names, without importing it; None for none, or if there is no module."""
    try:
        spec = importlib.util.find_spec(step.partition(":")[0])
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None:
        return None
    found = FRAMEWORK.search(Path(spec.origin).read_text(encoding="utf-8"))
    return found[1] if found else None


class _Worker:
    """One process, and the socket on which it gets requests."""

    def __init__(self, kind: tuple[str | None, int | None], threads: int | None) -> None:
        self.kind, self._family = kind, family_of_child()
        with contextlib.ExitStack() as stack:
            # all that converters leave when they are killed, TensorFlow's own functions among it, lies in here
            folder = stack.enter_context(temporary_folder("worker"))
            self._output = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # to which converters print
            self._socket, theirs = socket.socketpair()
            stack.enter_context(self._socket)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", MAIN, str(theirs.fileno())],
                    env=_environment(threads) | self._family | {"TMPDIR": str(folder)},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=self._output,
                    stderr=subprocess.STDOUT,
                )
            self._held = stack.pop_all()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def run(
        self, step: str, request: dict[str, Any], threads: int | None, say: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """Run one step; see `run_step`."""
        os.ftruncate(self._output.fileno(), 0)
        self._output.seek(0)  # of the process too: it writes to the same open file
        line = json.dumps({"step": step, "request": request, "threads": threads})
        self._socket.settimeout(longest := _longest(request))
        try:
            self._socket.sendall(line.encode() + b"\n")
            with self._socket.makefile("rb") as answers:
                until = time.monotonic() + longest
                while (answer := answers.readline()).startswith(PROGRESS):
                    if say is not None:
                        say(json.loads(answer)["progress"])
                    self._socket.settimeout(max(until - time.monotonic(), 1e-3))  # a step that talks gets no longer
        except ConnectionError:
            answer = b""
        except TimeoutError as error:
            self._process.kill()
            self._process.wait()
            what = f"the step {step} took more than {longest:,.0f} s"
            fix = "on a slow machine feed fewer films: convert --films 64, verify --most 64"
            why = "none of ours takes so long: its file computes far more than a network for films"
            raise ConversionError(what, why=why, fix=fix) from error
        if not answer.endswith(b"\n"):
            raise self._died(step)
        response: dict[str, Any] = json.loads(answer)
        if "error" in response:
            raise _expected(response["error"])
        return response["response"]  # type: ignore[no-any-return]

    def end(self) -> None:
        """End the process and its programs, whatever they do; nothing that they hold is worth an orderly exit."""
        self._process.kill()
        self._process.wait()
        if self._family:
            end_family(self._family[VARIABLE])
        self._held.close()

    def _died(self, step: str) -> TbconvError:
        code = self._process.wait()
        self._output.seek(0)
        lines = [line for line in self._output.read().decode(errors="replace").splitlines() if line.strip()]
        by_itself = code >= 0 or code in (-signal.SIGABRT, -signal.SIGXFSZ)  # as C++ ends at what it cannot write
        if by_itself and (refusal := disk_refusal("\n".join(lines[-TAIL_LINES:]))):
            return refusal
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ConversionError(
            f"the step {step} ended with {ended}",
            why="its last lines were:\n    " + "\n    ".join(lines[-TAIL_LINES:] or ["(nothing)"]),
            fix="run 'tbconv doctor' to see whether the packages are those that were measured to work",
        )


def _longest(request: dict[str, Any]) -> float:
    """Return how many seconds a step may take."""
    images = request.get("images")
    films = Path(images).stat().st_size / FILM_BYTES if images and Path(images).is_file() else 0
    return LONGEST_S + LONGEST_FILM_S * films


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ) | RETURN_MEMORY
    tunables = environment.get("GLIBC_TUNABLES", "").split(":")
    environment["GLIBC_TUNABLES"] = ":".join(filter(None, [*tunables, LARGE_PAGES]))
    environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
    environment["KERAS_BACKEND"] = "tensorflow"
    environment["CUDA_VISIBLE_DEVICES"] = ""  # parity is stated for the processor that serves
    environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy's; the same whichever step loads it
    for name, first in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", REPOSITORY)):
        places = [str(first), *environment.get(name, "").split(os.pathsep)]
        environment[name] = os.pathsep.join(filter(None, places))  # an empty entry is the user's working folder
    environment["PYTHONSAFEPATH"] = "1"  # for the programs that a step starts
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        environment[name] = str(threads or 1)  # PyTorch's and ONNX Runtime's are set anew for every step
    return environment


def _expected(parts: dict[str, str]) -> TbconvError:
    kind = getattr(errors, parts["kind"], ConversionError)
    error: TbconvError = kind(parts["what"], why=parts["why"], fix=parts["fix"])
    return error


# --- the worker's side ---

OURS = ("tbconv", "torch_train", "convert", "tf_serve")
_CALLER: list[socket.socket] = []  # of the step that runs here; empty in any other process
_SAID = [-PROGRESS_EVERY_S]  # when it last said something, by time.monotonic


def report_progress(line: str) -> None:
    """Say from within a step how far it is; of lines within ten seconds the first, and none where nobody asked."""
    if _CALLER and time.monotonic() - _SAID[0] >= PROGRESS_EVERY_S:
        _CALLER[0].sendall(json.dumps({"progress": line}).encode() + b"\n")
        _SAID[0] = time.monotonic()


def serve(descriptor: int) -> None:
    """Be a worker: run steps until the parent hangs up.

    An expected error is an answer, and so is a full disk; every other exception ends the process, as a converter's
    `sys.exit` does, and what it printed is its message.
    """
    _bound_memory()
    tempfile.tempdir = os.environ.get("TMPDIR")  # full or not: Python would go on in the working folder
    os.set_inheritable(descriptor, False)  # else a program that a step starts would keep it open after a crash
    with socket.socket(fileno=descriptor) as parent, parent.makefile("rb") as requests:
        # on a descriptor of its own: a step that fails at once closes the other before the thread looks at it
        threading.Thread(target=_end_with, args=(os.dup(descriptor),), daemon=True).start()
        _CALLER.append(parent)
        for line in requests:
            request = json.loads(line)
            module, _, function = request["step"].partition(":")
            _set_threads(request["threads"])
            try:
                response = {"response": getattr(importlib.import_module(module), function)(request["request"])}
            except Exception as error:
                stated = error if isinstance(error, TbconvError) else disk_refusal(error) or _not_installed(error)
                if stated is None:
                    raise
                parts = {"kind": type(stated).__name__, "what": stated.what, "why": stated.why, "fix": stated.fix}
                response = {"error": parts}
                del stated
            parent.sendall(json.dumps(response).encode() + b"\n")
            del request, response
            _give_back_memory()


def _not_installed(error: Exception) -> SetupError | None:
    """State a package that the machine lacks; a module of ours that is missing is a bug, and no such error."""
    package = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not package or package in OURS:
        return None
    what, why = f"the package {package} is not installed", "this command needs the extra 'convert'"
    return SetupError(what, why=why, fix="pip install 'tbconv[convert]'")


def _bound_memory() -> None:
    """Bound what this process may allocate. Its address space stays free: TensorFlow reserves more than it uses."""
    with contextlib.suppress(OSError):  # another system, or a sandbox: the limit holds there all the same
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")
    with contextlib.suppress(ImportError, OSError, ValueError):  # another system; a limit that is lower already
        import resource

        most = max(LEAST_MEMORY, int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _end_with(parent: int) -> None:
    """End this process once the parent has, in the midst of a step too."""
    import select

    poll = select.poll()
    poll.register(parent, select.POLLRDHUP)
    poll.poll()
    os._exit(1)


def _set_threads(threads: int | None) -> None:
    """Size the pools that can be sized at any time; ONNX Runtime's sessions read the variable."""
    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    else:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads or os.cpu_count() or 1)


@contextlib.contextmanager
def reuse_memory() -> Iterator[None]:
    """Let glibc reuse what is freed within, in a worker: films need the same buffers call by call.

    Without it each call pays for new pages: 10 of 30 CPU seconds of 80 films in float64.
    """
    set_option = None
    in_worker = all(os.environ.get(name) == value for name, value in RETURN_MEMORY.items())
    if in_worker:  # another process keeps its own way
        with contextlib.suppress(AttributeError, OSError):  # another C library
            import ctypes

            set_option = ctypes.CDLL(None).mallopt
    if set_option is None:
        yield
        return
    set_option(M_TRIM_THRESHOLD, KEPT_HEAP)
    set_option(M_MMAP_THRESHOLD, KEPT_ALLOCATION)
    try:
        yield
    finally:
        set_option(M_TRIM_THRESHOLD, int(RETURN_MEMORY["MALLOC_TRIM_THRESHOLD_"]))
        set_option(M_MMAP_THRESHOLD, int(RETURN_MEMORY["MALLOC_MMAP_THRESHOLD_"]))


def _give_back_memory() -> None:
    """Free what a step left: Keras's graphs and its counters of layer names, cycles, and glibc's free pages."""
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
