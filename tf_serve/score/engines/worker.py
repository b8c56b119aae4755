"""A process that answers films for the local engine: one scorer, films in, rows out, until nobody sends any.

What it works on stands in memory that it shares with its parent. So when a film ends or stops the process, the parent
knows which one it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tbconv.contract.errors import DataError, FilmError, SetupError, TbconvError
from tf_serve.runtime.memory import keep_memory_of_films
from tf_serve.score.films import Film, is_called_film, is_elsewhere, read
from tf_serve.score.rows import UNREAD, Row
from tf_serve.score.scorer import Scorer, ScorerRecipe, place_of
from tf_serve.telemetry.trace import stage, start_trace

# The words after `python -c`: the module path of the parent as JSON, two descriptors, and the parent's number.
MAIN = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from tf_serve.score.engines.worker import run
run(*sys.argv[2:])
"""
NOTE = struct.Struct("=qqd")  # task, number of its film that is being answered (NOTHING: none), when that was begun
NOTHING = -1
FETCHED_AHEAD = 4  # films of another machine: their way takes longer than their answer
FIRST_TO_GO = "500"  # where memory runs out, the kernel ends a worker and not its parent


class Opened(NamedTuple):
    """The scorer is open."""


class TaskAnswer(NamedTuple):
    """The rows of one task."""

    task: int
    rows: list[Row]
    seconds: dict[str, float]  # by stage, of all its films


Said = Opened | TaskAnswer | TbconvError  # an error ends the run: it is not one film's


def run(connection: str, note: str, parent: str) -> None:
    """Answer what comes; the process ends with its parent."""
    _end_with(int(parent))
    keep_memory_of_films()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(int(connection)), mmap.mmap(int(note), NOTE.size))
    os._exit(0)  # nothing that it holds is worth an orderly exit


def _serve(parent: Connection, note: mmap.mmap) -> None:
    recipe, folder = parent.recv()
    assert isinstance(recipe, ScorerRecipe)  # noqa: S101  (for the type checker)
    try:
        scorer = recipe.open(shared=folder, proved=True)
        parent.send(Opened())
        while True:
            task, films = parent.recv()
            parent.send(_answer(task, films, scorer, note))
    except TbconvError as error:
        parent.send(error)
    except (EOFError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  (it is the run's end, and said there)
        why = f"{type(error).__name__}, which is a mistake of the program"
        parent.send(SetupError("a worker failed", why=why, fix="report it, with the version of tbconv"))


def _answer(task: int, films: list[Film], scorer: Scorer, note: mmap.mmap) -> TaskAnswer:
    trace, rows = start_trace(), []
    fetched = _fetched(films)
    for number, film in enumerate(films):
        NOTE.pack_into(note, 0, task, number, time.monotonic())
        rows.append(answer_film(film, scorer, next(fetched)))
    NOTE.pack_into(note, 0, task, NOTHING, 0.0)
    return TaskAnswer(task, rows, trace.seconds)


def _fetched(films: list[Film]) -> Iterator[Callable[[], bytes]]:
    """Yield how each film's bytes are had: from this machine when they are wanted, from another some films before."""
    if not any(is_elsewhere(film.place) for film in films):
        yield from (partial(read, film.place) for film in films)
        return
    with ThreadPoolExecutor(FETCHED_AHEAD) as threads:
        coming = deque(threads.submit(read, film.place) for film in films[:FETCHED_AHEAD])
        for later in [*films[FETCHED_AHEAD:], *(None,) * FETCHED_AHEAD]:
            if coming:
                yield coming.popleft().result
            if later is not None:
                coming.append(threads.submit(read, later.place))


def answer_film(film: Film, scorer: Scorer, fetch: Callable[[], bytes] | None = None) -> Row:
    """Read one film and answer it; what cannot be read is quarantined, without words that would name it.

    Args:
        film: of the list.
        scorer: who answers.
        fetch: has its bytes already, or will; None reads them now.

    Raises:
        DataError: the archive that it lies in was changed since it was listed.
        BundleError: the network does not answer as it did.
    """
    try:
        with stage("read"):
            data = (fetch or partial(read, film.place))()
    except DataError:
        raise  # of the archive, and so of all its films
    except FilmError as error:
        return scorer.quarantined(film.id, f"{UNREAD} ({_why(error)})")
    except Exception as error:  # noqa: BLE001  (it is recorded with the film, counted and said)
        return scorer.quarantined(film.id, f"{UNREAD} (an unexpected error: {place_of(error)})")
    return scorer.row(film.id, data, called_film=is_called_film(film.place))


def _why(error: FilmError) -> str:
    """Return why a film could not be read, without what would name it: libraries quote paths and members."""
    cause = error.__cause__
    if cause is None:
        return error.why
    return (cause.strerror if isinstance(cause, OSError) else None) or f"its archive is damaged: {type(cause).__name__}"


def _end_with(parent: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it ended before that
        os._exit(1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
