"""Sums of several processes turned into what a person reads: mean, spread and number of films."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tf_serve.drift import Sums
from tf_serve.families import RAW

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
