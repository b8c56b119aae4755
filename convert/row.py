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
from convert.parity import NOT_FINITE, Difference, compare, is_finite
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
    operating: dict[str, Any] | None = None  # sensitivity and specificity of its own, with intervals; as auroc
    oracle: dict[str, float] | None = None  # distance from float64 (convert.oracle); None where either is unusable
    decisions: dict[str, Any] | None = None  # losses against PyTorch (convert.paired); None without labels
    probes: dict[str, Any] | None = None  # films near the threshold; None where none were fed
    threads: int = 1
    sampled: bool = False  # it answered a sample of the films

    @property
    def problem(self) -> str | None:
        """What makes the answers unusable, to golden inputs, films or probes; None where nothing does."""
        if self.golden.problem is not None:
            return self.golden.problem
        if self.films is not None and self.films.problem is not None:
            return self.films.problem
        near = None if self.probes is None else self.probes["problem"]
        return None if near is None else f"near the threshold: {near}"


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
        operating=_operating(answer, yardstick) if usable else None,
        oracle=detail[1],
        decisions=_decisions(answer, yardstick) if usable else None,
        probes=_probes(part_of(answer, behind, None), yardstick.part(behind, None)),
        threads=witness.threads,
        sampled=witness.sampled,
    )


def _detail(answer: Answer, yardstick: Yardstick, witness: Witness) -> tuple[dict[str, Any], dict[str, float] | None]:
    reference, oracle = yardstick.reference, yardstick.oracle
    exact = is_finite(oracle)
    noise = map_noise(reference, oracle) if exact else None
    locks = find_flipped(reference, answer, noise=noise, float32=witness.precision == "float32")
    return spread(reference, answer, locks), oracle_distance(answer, reference, oracle) if exact else None


def _probes(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    """Return what flipped on films that were searched to lie at the threshold, and how far from it the furthest was."""
    reference, oracle = yardstick.reference, yardstick.oracle
    if not len(reference.logits):
        return None
    found = compare(reference, answer, threshold=yardstick.threshold, alike=True)  # an 8 bit step may hold all of them
    problem = found.problem or (None if is_finite(oracle) else NOT_FINITE)
    distance = np.abs(reference.margin.astype(np.float64) - yardstick.threshold)
    flipped = np.zeros(len(distance), np.bool_)
    if problem is None:
        flipped = (reference.margin >= yardstick.threshold) != (answer.margin >= yardstick.threshold)
    return found.to_json() | {
        "problem": problem,
        "furthest_from_threshold": float(distance[np.isfinite(distance)].max(initial=0.0)),
        "furthest_flip": float(distance[flipped].max()) if flipped.any() else None,
        "allowed": Tolerances.derive(reference, oracle).logits if problem is None else None,
    }


def _labelled(answer: Answer, yardstick: Yardstick) -> NDArray[np.floating] | None:
    """Return the margins of labelled films; None without both classes or where it or PyTorch answers NaN."""
    labels, margins = yardstick.labels, answer.margin[: yardstick.films]
    if labels is None or len(np.unique(labels)) < 2 or len(margins) != len(labels):
        return None
    both = np.stack([margins, yardstick.reference.margin[: yardstick.films]])
    return margins if np.isfinite(both).all() else None


def _decisions(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    margins = _labelled(answer, yardstick)
    if margins is None or yardstick.labels is None:
        return None
    reference = yardstick.reference.margin[: yardstick.films]
    return paired_losses(reference, margins, yardstick.labels, threshold=yardstick.threshold)


def _operating(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    """Return the file's own sensitivity and specificity at the threshold, each an estimate with its exact interval."""
    from torch_train.intervals import proportion

    margins, labels = _labelled(answer, yardstick), yardstick.labels
    if margins is None or labels is None:
        return None
    refers, positive = margins >= yardstick.threshold, labels == 1
    right = {"sensitivity": refers[positive], "specificity": ~refers[~positive]}
    return {name: asdict(proportion(int(films.sum()), len(films))) for name, films in right.items()}


def _auroc(answer: Answer, yardstick: Yardstick) -> dict[str, Any] | None:
    from torch_train.intervals import auroc_estimate
    from torch_train.metrics import auroc

    margins, labels = _labelled(answer, yardstick), yardstick.labels
    if margins is None or labels is None:
        return None
    positives = int((labels == 1).sum())
    value = auroc(margins.astype(np.float64), labels)  # float64: scipy adds up float32 ranks in float32
    return asdict(auroc_estimate(value, positives=positives, negatives=len(labels) - positives))
