"""The engine of many machines, or of one: Ray Data gives shards of films to actors, and keeps account of them.

Exactly once is Ray Data's own checkpointing: the ids of a shard are written as pending, then its rows, then the ids are
committed, and a run that is started again leaves committed ids out. What has been committed is copied into the shards
that the local engine would have written, to the byte; a shard that a dying process of an earlier run wrote once
more is therefore the same file again. No film passes through Ray's object store: actors read them where they lie.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import warnings
from array import array
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tbconv.contract.environment import child_environment
from tbconv.contract.errors import ConfigError, DataError, SetupError, TbconvError, printable
from tbconv.contract.files import temporary_folder, temporary_place, write_atomic
from tbconv.family import children_end_with_us
from tf_serve.score import rows
from tf_serve.score.engines.local import FilmWorker, Order, Pass
from tf_serve.score.films import Film, listed_between
from tf_serve.score.run import Job, ScoreConfig

if TYPE_CHECKING:
    import pyarrow

PLACE, ANSWERS, COMMITTED = ".ray", "answers", "committed"  # in the folder of results, until the run is complete
PENDING = ".pending"  # before the suffix of ids that are not committed (ray.data.checkpoint)
LINK = "tbconv.ray-"  # and eight digits, in /tmp
SHARD = "shard"  # column: which shard a row belongs to
LOOK_S = 0.5  # between two looks at what has been committed
STARTS = 3  # of Ray: it gives its processes 15 s, which they do not have on a machine that is busy
STORE_BYTES = 256 << 20  # of Ray's object store here: rows alone pass through it, some MB at a time
FILTER_BYTES = 64 << 20  # that Ray reserves for the ids of an earlier run; its own 1 GiB is more than many have
SPARE_CPUS = 2  # beside the actors, by count and not in use: Ray's own filter asks for one, and would wait for ever
ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell Ray's makers of every run
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_enable_metrics_collection": "0",
    "RAY_AUTH_MODE": "token",  # its ports are open to the network: whoever has no token is refused
}


class RayEngine:
    """Scores with Ray, here or on a cluster: `with RayEngine(config) as engine`, then `engine.score(job)`."""

    def __init__(self, config: ScoreConfig) -> None:
        self._config = config
        self._ray = contextlib.ExitStack()

    @property
    def shared(self) -> None:
        """Nothing: its processes may be on several machines."""

    def __enter__(self) -> Self:
        """Start nothing: what is complete already needs no Ray."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the Ray that was started here, and leave another one alone."""
        self._ray.close()

    def score(self, job: Job) -> Iterator[int]:
        """Answer every film that has no row yet; yield how many have one, now and then.

        Raises:
            BundleError: the bundle changed, or the network does not answer as it did.
            DataError: most films of a shard cannot be read, or Ray lost rows.
            SetupError: Ray cannot be started.
        """
        shards = _Shards(job)
        yield shards.publish(forget_lost=True)
        if not shards.lacking:
            shards.clear()
            return
        actors = self._ray.enter_context(_connected(self._config))
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(_write, job, shards, actors, elsewhere=self._config.is_elsewhere)
            while not _is_over(writing):
                yield shards.publish()
            yield shards.publish()
        if shards.lacking:
            why = "its account says that they are written, and they are not there"
            raise DataError(f"Ray lost {len(shards.lacking):,} shards", why=why, fix="run the same command again")
        shards.clear()


def _is_over(writing: Future[None]) -> bool:
    try:
        writing.result(LOOK_S)
    except NotYet:
        if writing.done():  # and the time-out was its own
            raise
        return False
    return True


# --- shards ---


class _Shards:
    """The shards of a run: where each begins in the list of films, and which are written."""

    def __init__(self, job: Job) -> None:
        self._job, self.place = job, job.results / PLACE
        self.starts = job.films.starts(job.shard_films)
        count = len(self.starts) - 1
        folder = job.results / rows.SHARDS
        self.lacking = {number for number in range(count) if not (folder / rows.shard_name(number)).exists()}
        self._new = len(job.films) - sum(map(self._size, self.lacking))  # rows that nobody was told of
        self._seen: set[str] = set()

    def publish(self, *, forget_lost: bool = False) -> int:
        """Copy what Ray has committed into shards; return how many more films have a row.

        Args:
            forget_lost: let Ray score again what it committed and what is not there. It happens where a write was tried
                again after its commit, and the run was killed in between.
        """
        answers, committed = self.place / ANSWERS, self.place / COMMITTED
        for ids in sorted(committed.glob(f"*{rows.SUFFIX}")):
            if ids.stem.endswith(PENDING) or ids.name in self._seen:
                continue
            self._seen.add(ids.name)
            if not self._publish(answers / f"{ids.stem}-0{rows.SUFFIX}") and forget_lost:
                ids.unlink()
        told, self._new = self._new, 0
        return told

    def _publish(self, answers: Path) -> bool:
        from pyarrow import ArrowException, parquet

        try:
            table = parquet.read_table(answers, partitioning=None)
        except (OSError, ArrowException):
            return False
        number = table[SHARD][0].as_py()
        if number in self.lacking:
            columns = (table[name].to_pylist() for name in rows.Row._fields)
            found = [rows.Row._make(one) for one in zip(*columns, strict=True)]
            expected = listed_between(self._job.films.path, *self.starts[number : number + 2])
            if [one.film for one in found] != [film.id for film in expected]:
                return False
            data = rows.as_parquet(found, self._job.head)
            write_atomic(self._job.results / rows.SHARDS / rows.shard_name(number), data, mode=0o600)
            self.lacking.remove(number)
            self._new += len(found)
        return True

    def _size(self, number: int) -> int:
        return min(self._job.shard_films, len(self._job.films) - number * self._job.shard_films)

    def clear(self) -> None:
        """Remove what Ray kept account of: every film has its row."""
        shutil.rmtree(self.place, ignore_errors=True)


# --- what Ray runs ---


def _write(job: Job, shards: _Shards, actors: int, *, elsewhere: bool) -> None:
    """Let Ray Data answer the films that it has not committed yet."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.checkpoint import CheckpointConfig

    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    account = CheckpointConfig("film", str(shards.place / COMMITTED), delete_checkpoint_on_success=False)
    account.checkpoint_actor_pool_max_size, account.checkpoint_actor_memory_bytes = 1, FILTER_BYTES
    context.checkpoint_config = account
    order = Order.of(job, films=len(job.films), shared=None, environment={})
    here = ray.get_runtime_context().get_node_id()  # where the list is
    try:
        films = ray.data.read_datasource(
            _source(job.films.path, shards.starts),
            num_cpus=0,
            concurrency=1,
            label_selector={"ray.io/node-id": here},
            override_num_blocks=len(shards.starts) - 1,
        )
        answered = films.map_batches(
            _Answering,
            fn_constructor_args=(order, elsewhere),
            batch_size=None,  # a block is a shard
            batch_format="pyarrow",
            num_cpus=1,
            compute=ActorPoolStrategy(size=min(actors, len(shards.lacking)), max_tasks_in_flight_per_actor=2),
        )
        answered.write_parquet(str(shards.place / ANSWERS), concurrency=1, ray_remote_args={"num_cpus": 0})
    except Exception as error:  # noqa: BLE001  (of any class, Ray's own and what it carries)
        raise _stated(error) from None  # its words would quote the film's place


def _stated(error: BaseException) -> TbconvError:
    """Return the error of ours in what Ray raised, or one that says that Ray failed."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, TbconvError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    why = f"it stopped with {type(error).__name__}"
    return SetupError("Ray ended before all films were scored", why=why, fix="run the same command again")


def _source(place: Path, starts: array[int]) -> Any:
    """Return the list of films as Ray Data reads it: one block a shard."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Films(Datasource):  # type: ignore[misc]  # Ray is imported here alone
        def estimate_inmemory_data_size(self) -> int:
            return starts[-1]

        def get_read_tasks(self, *_: object, **__: object) -> list[Any]:
            tasks = []
            for number, (start, stop) in enumerate(pairwise(starts)):
                about = BlockMetadata(num_rows=None, size_bytes=stop - start, input_files=None, exec_stats=None)
                tasks.append(ReadTask(partial(_listed, place, number, start, stop), about))
            return tasks

    return Films()


def _listed(place: Path, number: int, start: int, stop: int) -> list[pyarrow.Table]:
    import pyarrow as pa

    films = listed_between(place, start, stop)
    ids, places = zip(*films, strict=True)
    return [pa.table({"film": ids, "place": places, SHARD: pa.array([number] * len(films), pa.int64())})]


class _Answering:
    """An actor: one process of the local engine, which is started again when a film ends it."""

    def __init__(self, order: Order, elsewhere: bool) -> None:
        # credentials are those of this machine, and for the process that reads films there
        environment = (dict(os.environ) if elsewhere else {}) | child_environment()
        self._order = replace(order, environment=environment)
        self._workers = [FilmWorker(environment)]

    def __call__(self, block: pyarrow.Table) -> pyarrow.Table:
        """Answer the films of a shard."""
        films = [Film(*one) for one in zip(block["film"].to_pylist(), block["place"].to_pylist(), strict=True)]
        answered: list[rows.Row] = []
        order = replace(self._order, films=len(films), shard_films=len(films))
        passed = Pass(order, [(0, films)], self._workers, lambda _, shard: answered.extend(shard.answered()))
        for _ in passed.answers():
            pass
        return rows.table(answered, {}).append_column(SHARD, block[SHARD])


# --- Ray itself ---


@contextlib.contextmanager
def _connected(config: ScoreConfig) -> Iterator[int]:
    """Start Ray here, or connect to a cluster; yield how many actors are to answer.

    Raises:
        ConfigError: the cluster has too few cores.
        SetupError: it cannot be started, or does not answer.
    """
    with contextlib.ExitStack() as stack:
        here = config.address is None
        if here:
            folder = stack.enter_context(_short(stack.enter_context(temporary_folder("ray"))))
            stack.enter_context(_variables(ALONE | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}))
            stack.enter_context(children_end_with_us())  # after a kill Ray's agents live on, and write to open folders
            cores = {"num_cpus": config.processes + SPARE_CPUS, "object_store_memory": STORE_BYTES}
            settings: dict[str, Any] = cores | {"include_dashboard": False, "_temp_dir": str(folder)}
        else:
            settings = {"address": config.address}
        import ray

        _quieten()
        stack.callback(ray.shutdown)
        for left in reversed(range(STARTS if here else 1)):
            try:
                with _unheard():
                    ray.init(**settings, log_to_driver=False, configure_logging=False)
                break
            except Exception as error:
                ray.shutdown()
                if not left:
                    what = "Ray cannot be started here" if here else f"there is no Ray at {config.address}"
                    fix = "--engine local, or free memory and cores" if here else "check --address; ray status there"
                    raise SetupError(what, why=printable(str(error), most=300), fix=fix) from error
        yield config.processes if here else _of_cluster(int(ray.cluster_resources().get("CPU", 0)), config)


def _of_cluster(cores: int, config: ScoreConfig) -> int:
    """Return how many actors a cluster has room for."""
    most = cores - 1  # the filter of Ray Data takes one where a run goes on
    if most < 1:
        why = f"it has {cores}: one is for the films, one for Ray's account of them"
        raise ConfigError("the cluster has too few cores", why=why, fix="add a worker to the cluster")
    return min(config.workers or most, most)


def _quieten() -> None:
    """Let Ray Data write nothing on the terminal: its lines name paths."""
    import ray.data  # noqa: F401  (it sets its handlers when it is imported)

    for name in ("ray", "ray.data"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    warnings.filterwarnings("ignore", module=r"ray\b")


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[Path]:
    """Yield a short link to a folder: Ray's sockets lie 63 characters below, and the system allows 107."""
    base = Path("/tmp")  # noqa: S108  ($TMPDIR may be long; what the link leads to lies there)
    base = base if base.is_dir() else temporary_place()
    for link in base.glob(f"{LINK}*"):
        with contextlib.suppress(OSError):  # another user's
            if not link.exists():  # of a run that was killed
                link.unlink()
    link = base / f"{LINK}{secrets.token_hex(4)}"
    link.symlink_to(folder, target_is_directory=True)
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Send elsewhere what compiled code writes to standard error: Ray's says which level its log has."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
