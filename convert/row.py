"""One witness's row: everything measured of its answers against PyTorch in float32 and float64."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate import Tolerances
from convert.film_set import part_of
from convert.locks import find_flipped, map_noise
from convert.oracle import oracle_distance
from convert.paired import paired_losses
from convert.parity import Difference, compare
from convert.runners.child import Answer
from convert.spread import spread
from convert.witnesses import Witness
from tbconv.contract.manifest import Kind


@dataclass(frozen=True, slots=True)
class Row:
    """One witness in the table."""

    name: str
    network: Kind
    precision: str
    films: Difference | None  # None where no films were fed
    golden: Difference
    auroc: dict[str, Any] | None  # an estimate with its interval, where labels are known
    spread: dict[str, Any] | None  # film by film (convert.spread); None where the answer is unusable
    oracle: dict[str, float] | None = None  # distance from float64 (convert.oracle); None where unusable
    decisions: dict[str, Any] | None = None  # losses against PyTorch (convert.paired); None without labels
    probes: dict[str, Any] | None = None  # films near the threshold; None where none were fed
    threads: int = 1
    sampled: bool = False  # it answered a sample of the films


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What one witness is measured against: PyTorch's answers to what this witness was fed."""

    reference: Answer
    oracle: Answer
    threshold: float  # margin in logits
    labels: NDArray[np.int64] | None  # of the films
    films: int  # how many come first
    golden: int  # how many stand behind them; the rest are probes

    def part(self, start: int, end: int | None) -> Yardstick:
        """Return the yardstick of some of the inputs."""
        reference, oracle = part_of(self.reference, start, end), part_of(self.oracle, start, end)
        return Yardstick(reference, oracle, self.threshold, self.labels, self.films, self.golden)

    def compare(self, answer: Answer, start: int, end: int | None) -> Difference:
        """Compare some of the answers with PyTorch's in float32."""
        return compare(part_of(self.reference, start, end), part_of(answer, start, end), threshold=self.threshold)


def make_row(witness: Witness, answer: Answer, yardstick: Yardstick) -> Row:
    """Measure one witness.

    Args:
        witness: who answered.
        answer: to the films, golden inputs and probes that it was fed.
        yardstick: PyTorch's answers to the same.
    """
    films, behind = yardstick.films, yardstick.films + yardstick.golden
    difference = yardstick.compare(answer, 0, films) if films else None
    golden = yardstick.compare(answer, films, behind)
    fed = (0, films) if films else (0, behind)  # what detail is about: films where there are any
    usable = (difference or golden).problem is None
    detail = _detail(part_of(answer, *fed), yardstick.part(*fed), witness) if usable else (None, None)
    return Row(
        name=witness.name,
        network=witness.network,
        precision=witness.precision,
        films=difference,
        golden=golden,
        auroc=_auroc(answer, yardstick) if usable else None,
        spread=detail[0],
        oracle=detail[1],
        decisions=_decisions(answer, yardstick) if usable else None,
        probes=_probes(part_of(answer, behind, None), yardstick.part(behind, None)),
        threads=witness.threads,
        sampled=witness.sampled,
    )


def _detail(answer: Answer, yardstick: Yardstick, witness: Witness) -> tuple[dict[str, Any], dict[str, float]]:
    reference, oracle = yardstick.reference, yardstick.oracle
    noise = map_noise(reference, oracle)
    locks = find_flipped(reference, answer, noise=noise, float32=witness.precision == "float32")
    return spread(reference, answer, locks), oracle_distance(answer, reference, oracle)


def _probes(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    """Return what flipped on films that were searched to lie at the threshold, and how far from it the furthest was."""
    reference = yardstick.reference
    if not len(reference.logits):
        return None
    found = compare(reference, answer, threshold=yardstick.threshold)
    distance = np.abs(reference.margin.astype(np.float64) - yardstick.threshold)
    flipped = np.zeros(len(distance), np.bool_)
    if found.problem is None:
        flipped = (reference.margin >= yardstick.threshold) != (answer.margin >= yardstick.threshold)
    return found.to_json() | {
        "furthest_from_threshold": float(distance.max()),
        "furthest_flip": float(distance[flipped].max()) if flipped.any() else None,
        "allowed": Tolerances.derive(reference, yardstick.oracle).logits,
    }


def _labelled(answer: Answer, yardstick: Yardstick) -> NDArray[np.floating] | None:
    """Return the margins of labelled films; None without both classes or with an answer that is NaN."""
    labels, margins = yardstick.labels, answer.margin[: yardstick.films]
    if labels is None or len(np.unique(labels)) < 2 or len(margins) != len(labels):
        return None
    return margins if np.isfinite(margins).all() else None


def _decisions(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    margins = _labelled(answer, yardstick)
    if margins is None or yardstick.labels is None:
        return None
    reference = yardstick.reference.margin[: yardstick.films]
    return paired_losses(reference, margins, yardstick.labels, threshold=yardstick.threshold)


def _auroc(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    from torch_train.intervals import auroc_estimate
    from torch_train.metrics import auroc

    margins, labels = _labelled(answer, yardstick), yardstick.labels
    if margins is None or labels is None:
        return None
    positives = int((labels == 1).sum())
    value = auroc(margins.astype(np.float64), labels)  # float64: scipy adds up float32 ranks in float32
    return asdict(auroc_estimate(value, positives=positives, negatives=len(labels) - positives))
