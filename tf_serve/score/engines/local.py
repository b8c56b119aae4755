"""The engine of one machine: as many processes as cores, each with one scorer; shards in order, a ledger beside them.

A film may end the process that reads it, or keep it for ever. Then the process is started again, the film is tried once
more, alone, and is quarantined if that ends in the same way; its neighbours are answered by others meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from tbconv.contract import module_path
from tbconv.contract.environment import child_environment
from tbconv.contract.errors import DataError, SetupError, TbconvError
from tbconv.contract.files import sha256_bytes, temporary_folder, write_atomic
from tf_serve.score.engines.ledger import Finished, Ledger
from tf_serve.score.engines.worker import MAIN, NOTE, NOTHING, Opened, Said, TaskAnswer
from tf_serve.score.films import Film
from tf_serve.score.rows import SHARDS, UNREAD, Row, as_parquet, shard_name, without_answer
from tf_serve.score.run import Job, ScoreConfig
from tf_serve.score.scorer import ScorerRecipe

TASK_FILMS = 16  # sent at once; at 2 ms a film that is a message every 30 ms
TASKS_A_WORKER = 8  # of a small run at least, so that no worker is idle at its end
AT_ONCE = 2  # tasks that a worker has: the next one is there when it has answered one
AHEAD_FILMS = 16_000  # in shards that are begun: while one film keeps a worker, the others go on so far
TRIES = 2  # of a film that ended a process
STARTS = 3  # of a process that ends without having begun a film
LOOK_S = 1.0  # seconds between two looks at how long each film has taken
UNREAD_FILMS, UNREAD_SHARE = 20, 0.5  # of a shard: so many are no films' fault, but of the disk or of the list


@dataclass(slots=True)
class _Task:
    number: int
    shard: int
    places: list[int]  # in the shard, of each film
    films: list[Film]


@dataclass(slots=True)
class Shard:
    """A shard that is being filled."""

    rows: list[Row | None]
    missing: int
    seconds: Counter[str] = field(default_factory=Counter)

    @property
    def size(self) -> int:
        """How many films it has."""
        return len(self.rows)

    def answered(self) -> list[Row]:
        """Return its rows once it is full.

        Raises:
            DataError: most films cannot be read, and that is no fault of the films.
        """
        rows = [row for row in self.rows if row is not None]
        unread = sum(row.status == "quarantined" and (row.reason or "").startswith(UNREAD) for row in rows)
        if unread >= UNREAD_FILMS and unread > UNREAD_SHARE * len(rows):
            reason = Counter(row.reason for row in rows if row.status == "quarantined").most_common(1)[0][0]
            raise DataError(
                f"{unread:,} of {len(rows):,} films in a row cannot be read",
                why=f"of most of them is said: {reason}; so many are no fault of the films",
                fix="check the disk, the bucket or the paths of the table, and run the same command again",
            )
        return rows


class FilmWorker:
    """One process, and what it was given."""

    def __init__(self, environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        note = os.memfd_create("note")
        os.ftruncate(note, NOTE.size)
        self.note = mmap.mmap(note, NOTE.size)
        NOTE.pack_into(self.note, 0, NOTHING, NOTHING, 0.0)
        words = [json.dumps(module_path()), str(theirs.fileno()), str(note), str(os.getpid())]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", MAIN, *words],
                env=environment,
                pass_fds=(theirs.fileno(), note),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libraries name files there
            )
        except OSError as error:
            fix = "raise the limit on processes (ulimit -u), or --workers 1"
            raise SetupError("no worker can be started", why=str(error), fix=fix) from error
        finally:
            theirs.close()
            os.close(note)
        self.connection = Connection(ours.detach())
        self.tasks: deque[_Task] = deque()
        self.is_greeted = self.is_open = False
        self.too_late = False  # it was stopped because a film took too long

    def send(self, message: object) -> None:
        """Send; a process that has ended is found out where it is listened to."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def greet(self, order: Order) -> None:
        """Let it open the scorer, once."""
        if not self.is_greeted:
            self.is_greeted = True
            self.send((order.recipe, order.shared))

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.note.close()


class LocalEngine:
    """Scores on this machine: `with LocalEngine(config) as engine`, then `engine.score(job)`."""

    def __init__(self, config: ScoreConfig) -> None:
        self._config = config
        # credentials are for the processes that need them: films of strangers are read there
        kept = dict(os.environ) if config.is_elsewhere else {}
        self._environment = kept | child_environment()
        self._workers: list[FilmWorker] = []
        self._folder = contextlib.ExitStack()
        self.shared: Path | None = None  # from the beginning on

    def __enter__(self) -> Self:
        """Start the processes: they import LiteRT while the bundle is checked and the films are listed."""
        self.shared = self._folder.enter_context(temporary_folder("score"))
        self._workers = [FilmWorker(self._environment) for _ in range(self._config.processes)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        for worker in self._workers:
            worker.end()
        self._folder.close()

    def score(self, job: Job) -> Iterator[int]:
        """Answer every film that has no row yet; yield how many have one, now and then.

        Raises:
            DataError: finished shards were altered, or most films of one cannot be read.
            BundleError: the bundle changed, or the network does not answer as it did.
            SetupError: processes cannot be started.
        """
        with Ledger(job.results) as ledger:
            names = {number: job.results / SHARDS / shard_name(number) for number in ledger.finished}
            for number in ledger.check(names):
                job.reporter.say(f"{shard_name(number)} is missing: its films are scored again")
            done = sum(one.rows for one in ledger.finished.values())
            yield done
            order = Order.of(job, films=len(job.films) - done, shared=self.shared, environment=self._environment)
            shards = job.films.shards(job.shard_films, but=ledger.finished)
            yield from Pass(order, shards, self._workers, partial(_write, job, ledger)).answers()


def _write(job: Job, ledger: Ledger, number: int, shard: Shard) -> None:
    rows, begun = shard.answered(), time.perf_counter()
    data = as_parquet(rows, job.head)
    write_atomic(job.results / SHARDS / shard_name(number), data, mode=0o600)
    shard.seconds.update({"write": time.perf_counter() - begun})
    seconds = {name: round(value, 6) for name, value in sorted(shard.seconds.items())}
    ledger.add(Finished(number, shard.size, len(data), sha256_bytes(data), seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What has to be known to answer some films of a job."""

    films: int
    shard_films: int
    recipe: ScorerRecipe
    certificate_sha256: str | None
    film_timeout_s: float
    shared: Path | None  # where the processes share their copy of the network
    environment: dict[str, str]  # of the processes

    @classmethod
    def of(cls, job: Job, *, films: int, shared: Path | None, environment: dict[str, str]) -> Self:
        """Return the order for so many films of a job."""
        names = ("shard_films", "recipe", "certificate_sha256", "film_timeout_s")
        of_job = {name: getattr(job, name) for name in names}
        return cls(films=films, shared=shared, environment=environment, **of_job)


class Pass:
    """One pass over films that have no row yet."""

    def __init__(
        self,
        order: Order,
        shards: Iterable[tuple[int, list[Film]]],
        workers: list[FilmWorker],
        write: Callable[[int, Shard], None],
    ) -> None:
        self._order, self._films, self._workers, self._write = order, shards, workers, write
        self._shards: dict[int, Shard] = {}
        self._again: deque[_Task] = deque()  # goes before what is new
        self._tries: Counter[str] = Counter()  # of films that ended a process, by id
        self._failed_starts = 0
        self._numbers = 0
        self._task_films = max(1, min(TASK_FILMS, order.films // (TASKS_A_WORKER * max(1, len(workers)))))
        self._ahead = max(2, AHEAD_FILMS // order.shard_films)
        self._new = self._tasks()
        self._upcoming = next(self._new, None)

    def answers(self) -> Iterator[int]:
        """Answer; yield how many films a message answered."""
        for worker in self._workers:
            worker.greet(self._order)
        looked = time.monotonic()
        while self._shards or self._upcoming:  # a shard is there until all its rows are
            self._feed()
            busy = {one.connection: one for one in self._workers if one.tasks or not one.is_open}
            for connection in wait(list(busy), timeout=LOOK_S):
                yield from self._listen(busy[connection])  # type: ignore[index]
            if time.monotonic() - looked >= LOOK_S:
                looked = time.monotonic()
                self._stop_late(looked)

    def _tasks(self) -> Iterator[_Task]:
        """Cut the films into tasks, shard by shard; a shard is begun when its first task is taken.

        The first of each worker is one film, so that the first answers come soon.
        """
        for number, films in self._films:
            self._shards[number] = Shard([None] * len(films), len(films))
            start = 0
            while start < len(films):
                size = self._task_films if self._numbers >= len(self._workers) else 1
                part = films[start : start + size]
                yield self._task(number, list(range(start, start + len(part))), part)
                start += len(part)

    def _task(self, shard: int, places: list[int], films: list[Film]) -> _Task:
        self._numbers += 1
        return _Task(self._numbers, shard, places, films)

    def _feed(self) -> None:
        """Give every open worker its tasks, each in turn, so that none waits for another."""
        for _ in range(AT_ONCE):
            for worker in self._workers:
                if worker.is_open and len(worker.tasks) < AT_ONCE and (task := self._next(worker)):
                    worker.tasks.append(task)
                    worker.send((task.number, task.films))

    def _next(self, worker: FilmWorker) -> _Task | None:
        if self._again:
            # a film that ended a process is tried alone: no other task waits behind it
            alone = len(self._again[0].films) == 1 and self._tries[self._again[0].films[0].id] > 0
            return None if alone and worker.tasks else self._again.popleft()
        if any(self._is_suspect(task) for task in worker.tasks) or len(self._shards) > self._ahead:
            return None
        task, self._upcoming = self._upcoming, next(self._new, None)
        return task

    def _is_suspect(self, task: _Task) -> bool:
        return len(task.films) == 1 and self._tries[task.films[0].id] > 0

    def _listen(self, worker: FilmWorker) -> Iterator[int]:
        try:
            said: Said = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._replace(worker)
            return
        if isinstance(said, TbconvError):
            raise said
        if isinstance(said, Opened):
            worker.is_open, self._failed_starts = True, 0
            return
        task = worker.tasks.popleft()
        yield from self._take(task, said)

    def _take(self, task: _Task, answer: TaskAnswer) -> Iterator[int]:
        shard = self._shards[task.shard]
        for place, row in zip(task.places, answer.rows, strict=True):
            shard.rows[place] = row
        shard.missing -= len(answer.rows)
        shard.seconds.update(answer.seconds)
        yield len(answer.rows)
        if not shard.missing:
            self._write(task.shard, self._shards.pop(task.shard))

    # --- what ends a process ---

    def _stop_late(self, now: float) -> None:
        """End the processes whose film takes too long."""
        for worker in self._workers:
            _, film, begun = NOTE.unpack_from(worker.note, 0)
            if worker.tasks and film != NOTHING and now - begun > self._order.film_timeout_s:
                worker.too_late = True
                worker.process.kill()  # it is replaced where it is listened to

    def _replace(self, worker: FilmWorker) -> Iterator[int]:
        """Start a process anew, and give what it had to whoever is free; blame the film that it was at."""
        number, film, _ = NOTE.unpack_from(worker.note, 0)
        code = worker.process.wait()
        begun = worker.is_open and film != NOTHING and bool(worker.tasks) and worker.tasks[0].number == number
        tasks = list(worker.tasks)
        end = f"it took more than {self._order.film_timeout_s:g} s" if worker.too_late else f"it {_end(code)}"
        worker.end()
        if not begun:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                what = f"a worker {_end(code, 'ended')} before it answered a film, {STARTS} times"
                fix = "free memory, or start fewer: --workers 1"
                raise SetupError(what, why="it may have run out of memory", fix=fix)
        place = self._workers.index(worker)
        self._workers[place] = FilmWorker(self._order.environment)
        self._workers[place].greet(self._order)
        if begun:
            yield from self._blame(tasks.pop(0), film, end)
        self._again.extendleft(reversed(tasks))

    def _blame(self, task: _Task, number: int, end: str) -> Iterator[int]:
        film, place = task.films[number], task.places[number]
        self._tries[film.id] += 1
        others = [one for one in range(len(task.films)) if one != number]
        if self._tries[film.id] < TRIES:
            self._again.append(self._task(task.shard, [place], [film]))
        if others:
            places, films = [task.places[one] for one in others], [task.films[one] for one in others]
            self._again.appendleft(self._task(task.shard, places, films))
        if self._tries[film.id] >= TRIES:
            row = without_answer(
                film.id,
                "quarantined",
                f"{end}, {TRIES} times",
                digest=None,
                model_sha256=self._order.recipe.model_sha256,
                certificate_sha256=self._order.certificate_sha256,
            )
            yield from self._take(self._task(task.shard, [place], [film]), TaskAnswer(0, [row], {}))


def _end(code: int, verb: str = "ended the process that read it") -> str:
    if code >= 0:
        return f"{verb} (status {code})"
    with contextlib.suppress(ValueError):
        return f"{verb} (signal {-code}, {signal.Signals(-code).name})"
    return f"{verb} (signal {-code})"
