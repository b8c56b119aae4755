"""Prometheus metrics of requests, workers and drift."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from tbconv.contract.errors import TbconvError
from tf_serve.models.registry import LoadedModel, ModelTable
from tf_serve.telemetry.trace import InputStatistics, Trace, current_trace

# --- metrics ---
# Counts what requests did, for Prometheus: the one module that changes a metric.
#
# Of several processes each writes into files of a folder that they share (prometheus_client's own way),
# and the process that is scraped adds them up. Unless noted a method may be called from any thread.

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client looks there when it is imported
WRITE_S = 1.0  # seconds between two writings of the drift: a few sums over 200 numbers
T = TypeVar("T")
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # half of the text, and of no use here


class Metrics:
    """The counters of one server, or of one of its processes."""

    def __init__(self) -> None:
        self._folder = os.environ.get(FOLDER)
        self._own = CollectorRegistry()
        self._families = Families(self._own)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._drift: dict[tuple[str, str], Drift] = {}
        self._answered: dict[tuple[str, str], AnswerCounts] = {}
        self._written = 0.0
        if self._folder is None:
            ProcessCollector(registry=self._own)
        for error in ("ArtefactError", "BundleError", "NotReady"):
            self._families.refused_bundles.labels(error)
        for error in ("Busy", "TooLate", "NotReady"):  # a rate of what never happened is 0, not unknown
            self._families.refused.labels(error)

    def record(self, trace: Trace, *, method: str, route: str, status: int) -> None:
        """Count one request; on the event loop alone."""
        families, child = self._families, self._child
        child(families.requests, method, route, str(status)).inc()
        if trace.error is not None:
            child(families.refused, trace.error).inc()
        if trace.loaded is not None:
            for stage, seconds in trace.seconds.items():
                child(families.seconds, trace.loaded.name, stage).observe(seconds)
            self._record_answer(trace, trace.loaded)

    def _record_answer(self, trace: Trace, loaded: LoadedModel) -> None:
        families, child = self._families, self._child
        self._answered.setdefault((loaded.name, loaded.version), AnswerCounts()).add(trace)
        kind = loaded.active.kind
        if kind == "baseline":
            child(families.fallbacks, loaded.name, loaded.version).inc()
        if trace.decision is not None:
            child(families.decisions, loaded.name, loaded.version, kind, trace.decision).inc()
        if trace.rejected is not None:
            child(families.rejected, loaded.name, trace.rejected).inc()
        if trace.seen is not None:
            self._drift.setdefault((loaded.name, loaded.version), Drift()).add(trace.seen)
            if time.monotonic() - self._written >= WRITE_S:
                self.write_drift()

    def answered(self, loaded: LoadedModel) -> AnswerCounts:
        """Return what this process has answered by one version since it started."""
        return self._answered.get((loaded.name, loaded.version), AnswerCounts())

    def record_invalid_output(self, loaded: LoadedModel, *, broken: bool) -> None:
        """Count an answer that a guard kept back."""
        self._families.failed.labels(loaded.name, loaded.version, str(broken).lower()).inc()

    def record_refused_bundle(self, error: TbconvError) -> None:
        """Count a change of a folder that was not loaded."""
        self._families.refused_bundles.labels(type(error).__name__).inc()

    def record_refusal(self, kind: str) -> None:
        """Count what was refused before it was a request: a head without end, a connection too many."""
        self._child(self._families.refused, kind).inc()

    def record_dead_worker(self, ended: str) -> None:
        """Count a process that this one or another replaces."""
        self._families.died.labels(ended).inc()

    def publish(self, before: ModelTable, after: ModelTable) -> None:
        """Count the models whose current version changed, and name those that answer now."""
        live = {(name, one.version) for name, versions in after.models.items() for one in versions}
        self._drift = {key: drift for key, drift in self._drift.copy().items() if key in live}
        self._answered = {key: counts for key, counts in self._answered.copy().items() if key in live}
        old, new = _current_of(before), _current_of(after)
        for name in new.keys() & old.keys():
            if new[name].version != old[name].version:
                self._families.swaps.labels(name).inc()
        for value, versions in ((0, old), (1, new)):
            for loaded in versions.values():
                self._families.current.labels(*_labels(loaded)).set(value)

    def wait(self, work: Callable[[], T]) -> Callable[[], T]:
        """Count a request as waiting, and return the work that ends it when a worker takes it up."""
        begun, trace, context = time.perf_counter(), current_trace(), copy_context()
        if trace is not None and "read" not in trace.seconds:  # the standby waits a second time, and has read already
            trace.add("read", begun - trace.begun)
        self._families.waiting.inc()

        def run_counted() -> T:
            self._families.waiting.dec()
            if trace is not None:
                trace.add("queue", time.perf_counter() - begun)
            with self._families.busy.track_inprogress():
                return context.run(work)

        return run_counted

    def cancel_wait(self, future: Future[Any]) -> None:
        """Uncount a cancelled request that no worker will run."""
        if future.cancelled():
            self._families.waiting.dec()

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics, and their content type.

        Args:
            accept: the header of that name; it chooses between Prometheus' text and OpenMetrics.
        """
        registry = CollectorRegistry()
        source: Any = self._own
        if self._folder is not None:
            remove_dead_gauges(self._folder)
            source = MultiProcessCollector(None, self._folder)  # type: ignore[no-untyped-call]
        registry.register(Report(source))
        encode, content_type = prometheus_client.exposition.choose_encoder(accept)
        return encode(registry), content_type

    def write_drift(self) -> None:
        """Write the drift where it is added up; on the event loop alone, as `record`."""
        self._written = time.monotonic()
        for version, drift in tuple(self._drift.items()):
            for quantity, films, sums in drift.sums():
                for name in ("n", "total", "squares"):
                    child = self._child(self._families.drift, *version, quantity, films, name)
                    child.set(getattr(sums, name))

    def _child(self, family: Any, *labels: str) -> Any:
        """Return a family's metric for these labels; finding it again here is three times as fast as in the library."""
        key = (family, *labels)
        try:
            return self._children[key]
        except KeyError:
            return self._children.setdefault(key, family.labels(*labels))


@dataclass(slots=True)
class AnswerCounts:
    """Requests that one version answered in one process, and where their time went."""

    requests: int = 0
    films: int = 0  # that its network ran on
    runs: int = 0  # of the network
    last: float = 0.0  # seconds since 1970; 0: none yet
    seconds: dict[str, float] = field(default_factory=dict)  # by stage
    counts: dict[str, int] = field(default_factory=dict)  # by stage

    def add(self, trace: Trace) -> None:
        """Count one request."""
        self.requests += 1
        self.last = time.time()
        if trace.seen is not None:
            self.films, self.runs = self.films + len(trace.seen.margin), self.runs + 1
        for stage, seconds in trace.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
            self.counts[stage] = self.counts.get(stage, 0) + 1


def _current_of(table: ModelTable) -> dict[str, LoadedModel]:
    return {name: versions[0] for name, versions in table.models.items()}


def _labels(loaded: LoadedModel) -> tuple[str, ...]:
    active = loaded.active
    return loaded.name, loaded.version, active.kind, active.artefact, active.verdict.verdict.value


# --- families ---
# The names of all metrics, their labels and what they mean, in the one place that says so.

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; 10 is the deadline
RAW = "tbconv_raw_drift"  # summed over processes, and turned into means when they are scraped


class Families:
    """Every metric of a server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Make them.

        Args:
            registry: of this server alone; what else runs in the process has its own.
        """
        self.requests = Counter(
            "tbconv_requests", "Requests by route template and status", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "tbconv_stage_seconds",
            "Seconds of an answered request in a stage: read, queue, decode, gate, prepare, invoke, encode, total",
            ("model", "stage"),
            buckets=BUCKETS,
            registry=registry,
        )
        self.refused = Counter(
            "tbconv_refused",
            "Requests that got an expected error, by its class: Busy is shed load, TooLate a missed deadline",
            ("error",),
            registry=registry,
        )
        self.decisions = Counter(
            "tbconv_decisions",
            "Films decided: refer, indeterminate, not_flagged",
            ("model", "version", "kind", "decision"),
            registry=registry,
        )
        self.rejected = Counter(
            "tbconv_rejected", "Films that the gate or their own file kept out", ("model", "reason"), registry=registry
        )
        self.fallbacks = Counter(
            "tbconv_fallbacks", "Requests answered by the baseline", ("model", "version"), registry=registry
        )
        self.failed = Counter(
            "tbconv_guards_tripped",
            "Answers that a guard kept back; broken: the network was dropped",
            ("model", "version", "broken"),
            registry=registry,
        )
        self.refused_bundles = Counter(
            "tbconv_bundles_refused",
            "Folders in the model directory that were not loaded, once a change of them, by the error's class",
            ("error",),  # not the folder: whoever writes there would choose how many series there are
            registry=registry,
        )
        self.died = Counter(
            "tbconv_workers_died",
            "Processes that died and were replaced, by how they ended",
            ("ended",),
            registry=registry,
        )
        self.swaps = Counter("tbconv_swaps", "Changes of a model's current version", ("model",), registry=registry)
        self.waiting = Gauge(
            "tbconv_queue_waiting", "Requests that wait for a worker", multiprocess_mode="livesum", registry=registry
        )
        self.busy = Gauge("tbconv_workers_busy", "Workers that answer", multiprocess_mode="livesum", registry=registry)
        self.current = Gauge(
            "tbconv_model_current",
            "1 for the version that answers where none is named",
            ("model", "version", "kind", "artefact", "verdict"),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.drift = Gauge(
            RAW,
            "Sums of a quantity over films",
            ("model", "version", "quantity", "films", "sum"),
            multiprocess_mode="livesum",
            registry=registry,
        )


# --- dead processes ---
# Gauges of processes that were killed are removed.

_LIVE = re.compile(r"gauge_live[a-z]+_(\d+)\.db")  # how prometheus_client names what holds for a living process


def remove_dead_gauges(folder: str) -> None:
    """Remove the live gauges of processes that are gone; their counters stay, since what was counted was."""
    found = (_LIVE.fullmatch(path.name) for path in Path(folder).glob("gauge_live*.db"))
    for pid in {int(match[1]) for match in found if match}:
        if not _is_running(pid):
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user has that number now: rather keep a row than lose one
    return True


# --- drift ---
# Whether films change over time: mean and spread of the last 200 of a model version beside those of its first 200.
#
# A bundle records no grey levels of the films that it was calibrated on, so what came first is the
# reference. It says nothing of whether the first films were the right ones.

FILMS = 200  # with so many the mean of a quantity is known to a fourteenth of its spread
FIRST, LAST = f"first_{FILMS}", f"last_{FILMS}"


@dataclass(frozen=True, slots=True)
class Sums:
    """What several processes can add up, and a mean and a spread are made of."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """The mean."""
        return self.total / self.n

    @property
    def spread(self) -> float:
        """The standard deviation between films; 0 for one film."""
        if self.n < 2:
            return 0.0
        return float(np.sqrt(max(self.squares - self.total * self.mean, 0.0) / (self.n - 1)))


class Drift:
    """The first and the last films of one version."""

    def __init__(self) -> None:
        self._first: list[tuple[float, ...]] = []
        self._last: deque[tuple[float, ...]] = deque(maxlen=FILMS)

    def add(self, seen: InputStatistics) -> None:
        """Take films."""
        rows = list(zip(*(values.tolist() for values in seen), strict=True))
        self._first.extend(islice(rows, FILMS - len(self._first)))
        self._last.extend(rows)

    def sums(self) -> Iterator[tuple[str, str, Sums]]:
        """Yield quantity, which films, and their sums."""
        for films, rows in ((FIRST, self._first), (LAST, self._last)):
            for quantity, values in zip(InputStatistics._fields, np.array(rows, np.float64).T, strict=True):
                yield quantity, films, Sums(len(values), float(values.sum()), float(values @ values))


# --- drift report ---
# Sums of several processes turned into what a person reads: mean, spread and number of films.

LABELS = ("model", "version", "quantity", "films")
_MEANING = (
    ("mean", "Mean over films of grey_level (0..255), contrast (0..255) or margin (logits)"),
    ("spread", "Standard deviation between films of the same"),
    ("n", "Films behind both: the first of this version in each process, or the last"),
)


class Report(Collector):
    """All metrics of a source, with the drift in words of its own."""

    def __init__(self, source: Any) -> None:
        """Keep the source: anything with `collect`."""
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield every family; that of the raw sums as three others."""
        for family in self._source.collect():
            if family.name == RAW:
                yield from _drift(family.samples)
            else:
                yield family


def _drift(samples: Iterable[Any]) -> Iterator[Metric]:
    found: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for sample in samples:
        found[tuple(sample.labels[label] for label in LABELS)][sample.labels["sum"]] = sample.value
    sums = {key: Sums(int(row["n"]), row["total"], row["squares"]) for key, row in found.items() if row.get("n")}
    for name, meaning in _MEANING:
        family = GaugeMetricFamily(f"tbconv_input_{name}", meaning, labels=LABELS)
        for key, row in sums.items():
            family.add_metric(key, getattr(row, name))
        yield family
