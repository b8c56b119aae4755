"""Figures of margins against labels: AUROC, the confusion matrix at the operating point, and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, log_softmax
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report

from tbconv.contract.manifest import CHOICES, LOWEST_SLOPE, Calibration, Choice, Labels, OperatingPoint
from tbconv.contract.statistics import CONFIDENCE, EXACT, TAIL, Estimate, is_positive, proportion
from tbconv.report_kit.words import digits_for
from torch_train.config import UNKNOWN

# --- intervals ---
# 95 % intervals that hold for few films: exact for counts, score-type for AUROC, bootstrap by patient for the rest.

Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)  # 1.96
RESAMPLES = 2000  # a percentile at 2.5 % then rests on 50 resamples


def f1_score(true_positives: int, false_positives: int, false_negatives: int) -> Estimate:
    """Return F1 with an exact interval.

    F1 = 2 J / (1 + J) rises with the Jaccard index J = TP / (TP + FP + FN), a proportion of
    the films that are positive or called so: its Clopper-Pearson bounds carry over.
    """
    n = true_positives + false_positives + false_negatives
    jaccard = proportion(true_positives, n)
    value, low, high = (None if j is None else 2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value, low, high, n, f"{EXACT} on TP / (TP + FP + FN)")


def auroc_estimate(auroc: float, *, positives: int, negatives: int) -> Estimate:
    """Return an AUROC with its score-type interval (Newcombe 2006, Statistics in Medicine 25:559, method 5).

    The bounds solve |theta - auroc| = z sqrt(V(theta)), so that an AUROC of 1.0 keeps a lower
    bound below 1.0.
    """

    def excess(theta: float) -> float:
        spare = (positives + negatives) / 2 - 1
        inner = 1 + spare * (1 - theta) / (2 - theta) + spare * theta / (1 + theta)
        return (theta - auroc) ** 2 - Z**2 * (theta * (1 - theta) * inner / (positives * negatives))

    tiny = 1e-12  # the variance is zero at 0 and 1, which solves the equation there for the wrong reason
    low = brentq(excess, tiny, min(auroc, 1 - tiny)) if auroc > tiny else 0.0
    high = brentq(excess, max(auroc, tiny), 1 - tiny) if auroc < 1 - tiny else 1.0
    return Estimate(auroc, float(low), float(high), positives + negatives, "Newcombe 2006, method 5")


def bootstrap_by_patient(
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    seed: int,
) -> Estimate:
    """Return a statistic of films with a percentile interval over resampled patients.

    Args:
        statistic: of film indices, int64 [n], with repeats.
        labels: int64 [N], 1 positive; patients are drawn apart by whether they have a positive film.
        patients: int64 [N], equal where the patient is.
        seed: of the draws.
    """
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    strata = [[group for group in groups if labels[group].any() == positive] for positive in (False, True)]
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        drawn = [stratum[i] for stratum in strata for i in generator.integers(0, len(stratum), len(stratum))]
        rows = np.concatenate(drawn)
        if 0 < labels[rows].sum() < len(rows):
            values.append(statistic(rows))
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    method = f"bootstrap of {len(groups)} patients, {RESAMPLES} resamples"
    return Estimate(statistic(np.arange(len(labels))), float(low), float(high), len(labels), method)


# --- metrics ---

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


def label_scores(logits: Margins, *, one_of_n: bool) -> NDArray[np.float64]:
    """Return by what films are ordered for each label, [N, L]: its logit, or the log of its share of one of N."""
    exact = np.asarray(logits, np.float64)
    return np.asarray(log_softmax(exact, axis=1)) if one_of_n else exact


def mean_auroc(logits: Margins, targets: Ints, *, one_of_n: bool) -> float:
    """Return the mean AUROC of several labels, each on the films of which it is known.

    Args:
        logits: [N, L].
        targets: int64 [N, L]: 1, 0, UNKNOWN; each label has known films of both sides.
        one_of_n: whether a film has exactly one of the labels.
    """
    scores = label_scores(logits, one_of_n=one_of_n)
    columns = range(targets.shape[1])
    known = [targets[:, column] != UNKNOWN for column in columns]
    return float(np.mean([auroc(scores[known[at], at], targets[known[at], at]) for at in columns]))


def confusion(decisions: NDArray[np.bool_], labels: Ints) -> Confusion:
    """Count decisions (True: called positive) against labels."""
    truth = labels == 1
    counts = (decisions & truth, decisions & ~truth, ~decisions & truth, ~decisions & ~truth)
    return Confusion(*(int(count.sum()) for count in counts))


def figures(margins: Margins, labels: Ints, point: OperatingPoint) -> dict[str, Estimate]:
    """Return every figure with its interval; all but AUROC are at the operating point.

    Films count as independent here; `auroc_by_patient` does not assume it.
    """
    count = confusion(point.is_positive(margins), labels)
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
    """Return every figure of one network on one part, ready for JSON."""
    decisions = point.is_positive(margins)
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


# --- operating point ---
# The operating point: of the thresholds that reach the target sensitivity on validation films, one.


def choose_operating_point(
    margins: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    target_sensitivity: float,
    chosen_on: str,
    choice: Choice = "best",
) -> OperatingPoint:
    """Choose the margin from which a film counts as positive.

    A film at or above the threshold is positive (`tbconv.contract.statistics.is_positive`), so films of one margin
    always fall on one side together. A lower threshold than needed finds more positives; where the next films below
    are positive ones it costs no specificity.

    Args:
        margins: [N], of validation films.
        labels: int64 [N], 1 positive; both classes occur.
        target_sensitivity: share of positives to find, in (0, 1].
        chosen_on: SHA-256 of the split.
        choice: among the thresholds that reach it: `best` takes the largest sum of sensitivity and specificity, of
            equal sums the highest threshold; `highest` the highest of all.

    Returns:
        The point with what it achieves on these films. The threshold lies midway between two
        margins, half a logit below where none is lower, so that a last digit (another format,
        another machine) flips no film.

    Raises:
        ValueError: `choice` is neither.
    """
    if choice not in CHOICES:
        raise ValueError(f"choice must be one of {', '.join(CHOICES)}, got {choice!r}")
    exact = np.asarray(margins, np.float64)
    found = np.sort(exact[labels == 1])[::-1]
    negatives = len(labels) - len(found)
    needed = math.ceil(target_sensitivity * len(found) - 1e-9)  # 0.7 * 10 is 7.000000000000001 in binary
    reaching = np.unique(found[needed - 1 :])[::-1]  # the lowest positive film found, from the highest threshold on
    last = float(reaching[0])
    if choice == "best":  # in whole films, so that equal sums are equal: argmax takes the first, the highest
        wrong = np.sort(exact[labels != 1])
        above = negatives - np.searchsorted(wrong, reaching, side="left")
        hits = len(found) - np.searchsorted(found[::-1], reaching, side="left")
        last = float(reaching[int((hits * negatives - above * len(found)).argmax())])
    below = exact[exact < last]
    threshold = (last + float(below.max())) / 2 if len(below) else last - 0.5
    count = confusion(is_positive(exact, threshold), labels)
    return OperatingPoint(
        margin=threshold,
        target_sensitivity=target_sensitivity,
        sensitivity=count.true_positives / len(found),
        specificity=count.true_negatives / negatives,
        positives=len(found),
        negatives=negatives,
        chosen_on=chosen_on,
    )


def choose_by_specificity(
    margins: NDArray[np.floating], labels: NDArray[np.int64], *, target_specificity: float, chosen_on: str
) -> OperatingPoint:
    """Choose the lowest margin that leaves so large a share of the negatives unflagged.

    `choose_operating_point` with the classes turned around: midway between two margins, half a logit above where none
    is higher.

    Args:
        margins: [N].
        labels: int64 [N], 1 positive; both classes occur.
        target_specificity: share of negatives not to flag, in (0, 1].
        chosen_on: SHA-256 of the films.
    """
    turned = choose_operating_point(
        -np.asarray(margins, np.float64),
        1 - labels,
        target_sensitivity=target_specificity,
        chosen_on=chosen_on,
        choice="highest",
    )
    return operating_point_at(-turned.margin, margins, labels, chosen_on=chosen_on)


def operating_point_at(
    threshold: float, margins: NDArray[np.floating], labels: NDArray[np.int64], *, chosen_on: str
) -> OperatingPoint:
    """Return the operating point of a threshold that is given, with what it achieves on films of both classes.

    Its target sensitivity is the one that it reaches: no other was asked for.
    """
    count = confusion(is_positive(np.asarray(margins, np.float64), threshold), labels)
    positives, negatives = count.true_positives + count.false_negatives, count.true_negatives + count.false_positives
    sensitivity = count.true_positives / positives
    specificity = count.true_negatives / negatives
    return OperatingPoint(threshold, sensitivity, sensitivity, specificity, positives, negatives, chosen_on)


# --- calibrate ---
# Platt's slope and offset, fitted on validation margins at their natural prior.
#
# Classes are balanced while training, so a raw sigmoid assumes as many sick as
# healthy; the offset puts the validation films' own prior back.


def fit_calibration(margins: NDArray[np.floating], labels: NDArray[np.int64]) -> Calibration:
    """Fit probability = sigmoid(slope * margin + offset).

    Targets are Platt's (1999): (P + 1) / (P + 2) and 1 / (N + 2) instead of 1 and 0, so that
    films that are perfectly apart do not send the slope to infinity.

    Args:
        margins: [N], of validation films.
        labels: int64 [N], 1 positive.
    """
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, offset = _fit(np.asarray(margins, np.float64), targets)
    if slope < LOWEST_SLOPE:
        logits = LOWEST_SLOPE * np.asarray(margins, np.float64)
        reach = 50.0 + float(np.abs(logits).max())  # the offset at which the mean probability is the targets' mean
        excess: Callable[[float], float] = lambda at: float((expit(logits + at) - targets).mean())  # noqa: E731
        slope, offset = LOWEST_SLOPE, float(brentq(excess, -reach, reach))
    return Calibration(slope, offset, positives, negatives)


def _fit(margins: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float]:
    """Maximise the likelihood of soft targets: each film counts as positive by t and as negative by 1 - t."""
    centre, spread = float(margins.mean()), float(margins.std()) or 1.0
    column = ((margins - centre) / spread)[:, None]  # lbfgs wants numbers near one
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(
        np.concatenate([column, column]),
        np.repeat([1, 0], len(margins)),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    slope = float(model.coef_[0, 0]) / spread
    return slope, float(model.intercept_[0]) - slope * centre
