"""Counting what requests did, and saying it as Prometheus asks: the one module that changes a metric.

Of several processes each writes into files of a folder that they share (prometheus_client's own way),
and whoever is asked adds them up. Where nothing else is said a method may be called from any thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector

from tf_serve.departed import forget_the_dead
from tf_serve.drift import Drift
from tf_serve.drift_report import Report
from tf_serve.families import Families
from tf_serve.registry import Loaded, Table
from tf_serve.trace import Trace, current

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
        self._written = 0.0
        if self._folder is None:
            ProcessCollector(registry=self._own)
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

    def _record_answer(self, trace: Trace, loaded: Loaded) -> None:
        families, child = self._families, self._child
        kind = loaded.served.kind
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

    def trip(self, loaded: Loaded, *, broken: bool) -> None:
        """Count an answer that a guard kept back."""
        self._families.tripped.labels(loaded.name, loaded.version, str(broken).lower()).inc()

    def publish(self, before: Table, after: Table) -> None:
        """Count the models whose current version changed, and name those that answer now."""
        live = {(name, one.version) for name, versions in after.models.items() for one in versions}
        self._drift = {key: drift for key, drift in self._drift.copy().items() if key in live}
        old, new = _current_of(before), _current_of(after)
        for name in new.keys() & old.keys():
            if new[name].version != old[name].version:
                self._families.swaps.labels(name).inc()
        for value, versions in ((0, old), (1, new)):
            for loaded in versions.values():
                self._families.current.labels(*_labels(loaded)).set(value)

    def wait(self, work: Callable[[], T]) -> Callable[[], T]:
        """Count somebody as waiting, and return the work that ends it when a worker takes it up."""
        begun, trace, context = time.perf_counter(), current(), copy_context()
        if trace is not None and "read" not in trace.seconds:  # a stand-in waits a second time, and has read already
            trace.add("read", begun - trace.begun)
        self._families.waiting.inc()

        def taken_up() -> T:
            self._families.waiting.dec()
            if trace is not None:
                trace.add("queue", time.perf_counter() - begun)
            with self._families.busy.track_inprogress():
                return context.run(work)

        return taken_up

    def give_up(self, future: Future[Any]) -> None:
        """Count nobody as waiting whom no worker will take up."""
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
            forget_the_dead(self._folder)
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


def _current_of(table: Table) -> dict[str, Loaded]:
    return {name: versions[0] for name, versions in table.models.items()}


def _labels(loaded: Loaded) -> tuple[str, ...]:
    served = loaded.served
    return loaded.name, loaded.version, served.kind, served.artefact, served.verdict.verdict.value
