"""Run one step in a process of its own: JSON in, JSON out, and its failure as a stated error.

PyTorch, TensorFlow and ONNX Runtime in one process have crashed in public reports, and
converters call `sys.exit`; here each of them gets a process that may die.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tbconv.contract import errors
from tbconv.contract.errors import ConversionError, TbconvError

TAIL_LINES = 12  # of the child's output, shown when it dies without a stated error
REPOSITORY = Path(__file__).resolve().parent.parent

# glibc keeps what converters free: 1.5 GB of a Keras step is 0.9 GB with these. Other C libraries ignore them.
RETURN_MEMORY = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}

Step = Callable[[dict[str, Any]], dict[str, Any]]


def run_step(module: str, request: dict[str, Any], *, threads: int | None = None) -> dict[str, Any]:
    """Run `python -m module` on a request and return its response.

    Args:
        module: a module whose last lines call `child_main`.
        request: plain JSON values.
        threads: of the frameworks' pools; None leaves it to them.

    Raises:
        TbconvError: the error that the step stated.
        ConversionError: the process died without one.
    """
    with tempfile.TemporaryDirectory(prefix="tbconv-") as folder:
        question, answer = Path(folder) / "request.json", Path(folder) / "response.json"
        question.write_text(json.dumps(request))
        command = [sys.executable, "-m", module, str(question), str(answer)]
        done = subprocess.run(
            command, env=_environment(threads), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if not answer.is_file():
            raise _died(module, done)
        response: dict[str, Any] = json.loads(answer.read_text())
    if "error" in response:
        raise _stated(response["error"])
    return response


@contextlib.contextmanager
def drop_waiting(pool: ThreadPoolExecutor) -> Iterator[None]:
    """Start no further step of a pool once one failed or Ctrl-C came; those under way end."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def child_main(step: Step) -> None:
    """Be the child: read the request, run the step, write its response or its stated error."""
    question, answer = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        response = step(json.loads(question.read_text()))
    except TbconvError as error:
        parts = {"kind": type(error).__name__, "what": error.what, "why": error.why, "fix": error.fix}
        response = {"error": parts}
    answer.write_text(json.dumps(response))


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ) | RETURN_MEMORY
    environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
    environment["KERAS_BACKEND"] = "tensorflow"
    environment["CUDA_VISIBLE_DEVICES"] = ""  # parity is stated for the processor that serves
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), environment.get("PYTHONPATH", "")])
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            environment[name] = str(threads)
    return environment


def _stated(parts: dict[str, str]) -> TbconvError:
    kind = getattr(errors, parts["kind"], ConversionError)
    error: TbconvError = kind(parts["what"], why=parts["why"], fix=parts["fix"])
    return error


def _died(module: str, done: subprocess.CompletedProcess[str]) -> ConversionError:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return ConversionError(
        f"the step {module} ended with {ended}",
        why="its last lines were:\n    " + "\n    ".join(lines[-TAIL_LINES:] or ["(nothing)"]),
        fix="run 'tbconv doctor' to see whether the packages are those that were measured to work",
    )
