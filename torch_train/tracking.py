"""Logs of training for TensorBoard and MLflow (`--log-to`): the history as it grows, and the figures at the end.

Each target is written by a thread of its own, so that a server that is slow, gone or full neither ends nor stops
training: what went wrong is said once, and that target gets nothing more. What is logged is what the run folder holds
of it: numbers and digests, no name of a film and no pixel.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol
from urllib.parse import urlsplit

from tbconv.contract.errors import Reporter, SetupError, printable
from torch_train.config import LOG_KINDS
from torch_train.engine.state import EpochRecord
from torch_train.run_folder import labels_lines, summary_lines

# Seconds that a target gets at the end for what it has not taken yet: of a run that is whole, and of one that stopped.
CLOSE_S, STOPPED_S = 30.0, 5.0
EXPERIMENT = "tbconv"  # of MLflow, where MLFLOW_EXPERIMENT_NAME says no other
# Names of the scalars, of which viewers make groups by the slash.
SCALARS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_auroc": "auroc/validation",
    "learning_rate": "learning_rate",
    "seconds": "time/seconds",
    "films_per_second": "time/films_per_second",
}
Metrics = dict[str, Any]  # metrics.json


class Tracker(Protocol):
    """What a target can do; every call may fail."""

    def log_epoch(self, record: EpochRecord) -> None:
        """Log one epoch."""
        ...

    def log_figures(self, metrics: Metrics, epoch: int) -> None:
        """Log what the run has reached."""
        ...

    def close(self, status: str) -> None:
        """Write what is left; `status` is FINISHED, FAILED or KILLED."""
        ...


# --- targets ---


class _TensorBoard:
    """An event file below a folder."""

    def __init__(self, place: str, recipe: dict[str, Any], *, resumed: bool) -> None:
        # its file functions are TensorFlow's where that is installed, and no process has both frameworks; this is the
        # library's own switch (tensorboard/compat/__init__.py)
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from torch.utils.tensorboard import SummaryWriter

        Path(place).mkdir(parents=True, exist_ok=True)
        # a resumed run writes its history anew: what an earlier file has of it is then not shown twice
        self._writer = SummaryWriter(place, purge_step=1 if resumed else None)
        self._text("recipe", _table(recipe))

    def log_epoch(self, record: EpochRecord) -> None:
        self._scalars({name: getattr(record, key) for key, name in SCALARS.items()}, record.epoch)
        self._writer.flush()

    def log_figures(self, metrics: Metrics, epoch: int) -> None:
        self._scalars(figures_of(metrics), epoch)
        self._text("figures", "\n".join(_words_of(metrics)))

    def close(self, status: str) -> None:
        self._text("status", status)
        self._writer.close()

    def _scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def _text(self, name: str, text: str) -> None:
        self._writer.add_text(name, text)


# A run tells nobody but the server that was named, and hears within half a minute that it is not there.
_OF_MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which is `train --json`'s
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
}


class _MLflow:
    """One run of an experiment, by its own client: nothing of MLflow's state in this process is set."""

    def __init__(self, uri: str, recipe: dict[str, Any], *, resumed: bool) -> None:
        for name, value in _OF_MLFLOW.items():
            os.environ.setdefault(name, value)
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self._metric = Metric
        self._client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        tags = {"tbconv.resumed": str(resumed).lower()}
        self._run = self._client.create_run(experiment, tags=tags).info.run_id
        self._client.log_batch(self._run, params=[Param(key, str(value)) for key, value in recipe.items()])

    def log_epoch(self, record: EpochRecord) -> None:
        self._metrics({name: getattr(record, key) for key, name in SCALARS.items()}, record.epoch)

    def log_figures(self, metrics: Metrics, epoch: int) -> None:
        self._metrics(figures_of(metrics), epoch)
        labels = metrics["labels"]
        named = labels if isinstance(labels, dict) else {"task": metrics["task"], "labels": ",".join(labels)}
        said = {"synthetic": metrics["synthetic"], "disclaimer": metrics["disclaimer"], **named}
        for key, value in said.items():
            self._client.set_tag(self._run, f"tbconv.{key}", str(value))
        self._client.set_tag(self._run, "mlflow.note.content", "\n".join(_words_of(metrics)))  # its description

    def close(self, status: str) -> None:
        self._client.set_terminated(self._run, status)

    def _metrics(self, values: dict[str, float], step: int) -> None:
        now = round(1000 * time.time())
        rows = [self._metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=rows)  # one request


def figures_of(metrics: Metrics) -> dict[str, float]:
    """Return the figures with the ends of their 95 % intervals and their films, `test/trained/auroc_low`."""
    rows: dict[str, dict[str, Any]] = {}
    if "task" in metrics:  # of several labels
        by_label = metrics["figures"]["by_label"]
        rows = {f"test/{label}/{key}": row for label, one in by_label.items() for key, row in one["figures"].items()}
        rows |= {"test/accuracy": metrics["figures"]["accuracy"]} if "accuracy" in metrics["figures"] else {}
    for network, parts in metrics.get("networks", {}).items():
        for part in ("validation", "test"):
            rows |= {f"{part}/{network}/{figure}": row for figure, row in parts[part]["figures"].items()}
    found: dict[str, float] = {}
    for name, row in rows.items():
        ends = {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"], f"{name}_n": row["n"]}
        found |= {key: float(value) for key, value in ends.items() if value is not None}
    return found


def _words_of(metrics: Metrics) -> list[str]:
    return labels_lines(metrics) if "task" in metrics else summary_lines(metrics)


def _table(recipe: dict[str, Any]) -> str:
    return "\n".join(["| option | value |", "|---|---|", *(f"| {key} | {value} |" for key, value in recipe.items())])


TRACKERS: dict[str, Callable[..., Tracker]] = dict(zip(LOG_KINDS, (_TensorBoard, _MLflow), strict=True))


def require_packages(targets: Sequence[str]) -> None:
    """Refuse targets whose library is missing, before a film is read.

    Raises:
        SetupError: it is not installed.
    """
    for target in targets:
        kind = target.partition(":")[0]
        if importlib.util.find_spec(kind) is None:
            what, why = f"the package {kind} is not installed", f"--log-to {kind}:... needs the extra {kind!r}"
            raise SetupError(what, why=why, fix=f"pip install 'tbconv[{kind}]'")


def _without_password(text: str, target: str) -> str:
    """Return a text without the name and the password that a target's address may hold."""
    try:
        user = urlsplit(target.partition(":")[2]).netloc.rpartition("@")[0]
    except ValueError:  # no address
        return text
    return text.replace(f"{user}@", "") if user else text


# --- log ---


class TrainingLog:
    """All targets of one run; without any, nothing happens."""

    def __init__(self, targets: Sequence[str], recipe: dict[str, Any], reporter: Reporter, *, resumed: bool) -> None:
        """Begin to log; whatever fails is said by the reporter."""
        self._writers = [_Writer(target, recipe, reporter, resumed=resumed) for target in targets]
        self._logged = 0

    def log_history(self, history: Sequence[EpochRecord]) -> None:
        """Log the epochs that are new; a resumed run begins with those before it."""
        for record in history[self._logged :]:
            self._each(partial(_log_epoch, record))
        self._logged = len(history)

    def log_figures(self, metrics: Metrics) -> None:
        """Log what the run has reached."""
        epoch = self._logged
        self._each(lambda tracker: tracker.log_figures(metrics, epoch))

    def close(self, status: str) -> None:
        """End every target."""
        for writer in self._writers:
            writer.end(status)
        for writer in self._writers:
            writer.join(CLOSE_S if status == "FINISHED" else STOPPED_S)

    def _each(self, task: Callable[[Tracker], None]) -> None:
        for writer in self._writers:
            writer.put(task)


def _log_epoch(record: EpochRecord, tracker: Tracker) -> None:
    tracker.log_epoch(record)


class _Writer:
    """The thread of one target."""

    def __init__(self, target: str, recipe: dict[str, Any], reporter: Reporter, *, resumed: bool) -> None:
        kind, _, place = target.partition(":")
        self._target, self._reporter = target, reporter
        self._make: Callable[[], Tracker] = lambda: TRACKERS[kind](place, recipe, resumed=resumed)
        self._tasks: SimpleQueue[tuple[Callable[[Tracker], None], bool]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"log to {kind}", daemon=True)
        self._thread.start()

    def put(self, task: Callable[[Tracker], None], *, last: bool = False) -> None:
        """Have a task done after those before it; one that failed is followed by none."""
        self._tasks.put((task, last))

    def end(self, status: str) -> None:
        """Have it closed."""
        self.put(lambda tracker: tracker.close(status), last=True)

    def join(self, seconds: float) -> None:
        """Wait until all is written, for a while."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._say(f"it had not taken everything after {seconds:g} s")

    def _run(self) -> None:
        try:
            tracker, last = self._make(), False
            while not last:
                task, last = self._tasks.get()
                task(tracker)
        except BaseException as error:  # noqa: BLE001  (of libraries and servers of others: none of it ends training)
            self._say(f"{type(error).__name__}: {error}")

    def _say(self, why: str) -> None:
        line = f"warning: {self._target} is not logged to any more ({printable(why)}); training goes on"
        self._reporter.say(_without_password(line, self._target))


@contextmanager
def training_log(
    targets: Sequence[str], recipe: dict[str, Any], reporter: Reporter, *, resumed: bool
) -> Iterator[TrainingLog]:
    """Log a run, and how it ended."""
    log = TrainingLog(targets, recipe, reporter, resumed=resumed)
    try:
        yield log
    except KeyboardInterrupt:
        log.close("KILLED")
        raise
    except BaseException:
        log.close("FAILED")
        raise
    log.close("FINISHED")
