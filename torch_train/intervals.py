"""95 % intervals that hold for few films: exact for counts, score-type for AUROC, bootstrap by patient for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)  # 1.96
RESAMPLES = 2000  # a percentile at 2.5 % then rests on 50 resamples
EXACT = "Clopper-Pearson"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its 95 % interval and what it rests on; None where there was nothing to count."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # films behind the figure
    method: str  # of the interval


def digits_for(n: int) -> int:
    """Return how many decimals n films support: the fewest that still tell k of n from k + 1 of n.

    One film is 1/n, so 10 films carry one decimal, 100 carry two, 607 three.
    """
    return max(1, math.ceil(math.log10(n))) if n > 1 else 1


def proportion(successes: int, n: int) -> Estimate:
    """Return successes / n with its exact interval (Clopper and Pearson, 1934)."""
    if n == 0:
        return Estimate(None, None, None, 0, EXACT)
    found = binomtest(int(successes), int(n)).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(successes / n, float(found.low), float(found.high), n, EXACT)


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
        return (theta - auroc) ** 2 - Z**2 * _auroc_variance(theta, positives, negatives)

    tiny = 1e-12  # the variance is zero at 0 and 1, which solves the equation there for the wrong reason
    low = brentq(excess, tiny, min(auroc, 1 - tiny)) if auroc > tiny else 0.0
    high = brentq(excess, max(auroc, tiny), 1 - tiny) if auroc < 1 - tiny else 1.0
    return Estimate(auroc, float(low), float(high), positives + negatives, "Newcombe 2006, method 5")


def _auroc_variance(theta: float, positives: int, negatives: int) -> float:
    spare = (positives + negatives) / 2 - 1
    inner = 1 + spare * (1 - theta) / (2 - theta) + spare * theta / (1 + theta)
    return theta * (1 - theta) * inner / (positives * negatives)


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
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    method = f"bootstrap of {len(groups)} patients, {RESAMPLES} resamples"
    return Estimate(statistic(np.arange(len(labels))), float(low), float(high), len(labels), method)
