"""The names of all metrics, their labels and what they mean, in the one place that says so."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; 10 is the deadline
RAW = "tbconv_raw_drift"  # summed over processes, and turned into means when somebody asks


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
            "Seconds of an answered request in a stage: read, queue, decode, gate, invoke, encode, total",
            ("model", "stage"),
            buckets=BUCKETS,
            registry=registry,
        )
        self.refused = Counter(
            "tbconv_refused",
            "Requests that got a stated error, by its class: Busy is shed load, TooLate a missed deadline",
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
        self.tripped = Counter(
            "tbconv_guards_tripped",
            "Answers that a guard kept back; broken: the network was dropped",
            ("model", "version", "broken"),
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
