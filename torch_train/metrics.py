"""What margins are worth against labels: AUROC, the four counts at the operating point, and figures with intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import classification_report

from tbconv.contract.labels import Labels
from tbconv.contract.threshold import OperatingPoint
from torch_train.intervals import Estimate, auroc_estimate, bootstrap_by_patient, digits_for, f1_score, proportion

Margins = NDArray[np.floating]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Films counted by truth and decision."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def n(self) -> int:
        """All films."""
        return self.true_positives + self.false_positives + self.false_negatives + self.true_negatives


def auroc(margins: Margins, labels: Ints) -> float:
    """Return the share of (positive, negative) pairs in the right order, ties counted half.

    Args:
        margins: [N], higher is more positive.
        labels: int64 [N], 1 positive; both classes occur.
    """
    positives = int((labels == 1).sum())
    pairs = positives * (len(labels) - positives)
    if pairs == 0:
        raise ValueError("AUROC needs films of both classes")
    ranks = rankdata(margins)[labels == 1].sum()
    return float((ranks - positives * (positives + 1) / 2) / pairs)


def confusion(decisions: NDArray[np.bool_], labels: Ints) -> Confusion:
    """Count decisions (True: called positive) against labels."""
    truth = labels == 1
    counts = (decisions & truth, decisions & ~truth, ~decisions & truth, ~decisions & ~truth)
    return Confusion(*(int(count.sum()) for count in counts))


def figures(margins: Margins, labels: Ints, point: OperatingPoint) -> dict[str, Estimate]:
    """Return every figure with its interval; all but AUROC are at the operating point.

    Films count as independent here; `auroc_by_patient` does not assume it.
    """
    count = confusion(point.refer(margins), labels)
    tp, fp, fn, tn = count.true_positives, count.false_positives, count.false_negatives, count.true_negatives
    return {
        "auroc": auroc_estimate(auroc(margins, labels), positives=tp + fn, negatives=tn + fp),
        "accuracy": proportion(tp + tn, count.n),
        "sensitivity": proportion(tp, tp + fn),
        "specificity": proportion(tn, tn + fp),
        "precision": proportion(tp, tp + fp),
        "f1": f1_score(tp, fp, fn),
    }


def auroc_by_patient(margins: Margins, labels: Ints, patients: Ints, *, seed: int) -> Estimate:
    """Return AUROC with a bootstrap interval over patients."""
    return bootstrap_by_patient(
        lambda rows: auroc(margins[rows], labels[rows]), labels=labels, patients=patients, seed=seed
    )


def auroc_difference(first: Margins, second: Margins, labels: Ints, patients: Ints, *, seed: int) -> Estimate:
    """Return AUROC(first) - AUROC(second) on the same films, with a paired bootstrap interval over patients."""
    return bootstrap_by_patient(
        lambda rows: auroc(first[rows], labels[rows]) - auroc(second[rows], labels[rows]),
        labels=labels,
        patients=patients,
        seed=seed,
    )


def judge(
    margins: Margins, labels: Ints, patients: Ints, point: OperatingPoint, *, names: Labels, seed: int
) -> dict[str, Any]:
    """Return all that is said about one network on one part, ready for JSON."""
    decisions = point.refer(margins)
    found = figures(margins, labels, point)
    if len(np.unique(patients)) < len(patients):
        found["auroc_by_patient"] = auroc_by_patient(margins, labels, patients, seed=seed)
    table = classification_report(
        labels,
        decisions.astype(np.int64),
        labels=[0, 1],
        target_names=list(names.names),
        digits=digits_for(len(labels)),
        zero_division=0,
    )
    return {
        "figures": {name: asdict(estimate) for name, estimate in found.items()},
        "confusion": asdict(confusion(decisions, labels)),
        "classification_report": table,
        "patients": len(np.unique(patients)),
    }
