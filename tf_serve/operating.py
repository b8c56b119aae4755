"""How often the file that answers is right at its threshold, with exact 95 % intervals: what a PPV is worked out from.

The page turns sensitivity and specificity into "of 100 people flagged, so many have it". They
are those of the served file itself where its certificate counted them, else those of the films
that the threshold was chosen on. SciPy stays out of the server, so the interval is solved here;
a test holds it against `torch_train.intervals.proportion`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tf_serve.fallback import Served

TAIL = 0.025  # each side of a 95 % interval
HALVINGS = 40  # of the interval 0..1: 1e-12, far below what any count of films can tell
EXACT = "Clopper-Pearson"


def operating_figures(served: Served, films: str) -> dict[str, Any]:
    """Return sensitivity and specificity at the threshold, with intervals, and what films they are of.

    Args:
        served: the file that answers, its verdict and its operating point.
        films: what the certificate was measured on, in words; empty where there is no certificate.

    Returns:
        `sensitivity` and `specificity`, each {value, low, high, n, method}, and `of`, a phrase.
    """
    measured = served.verdict.figures.get("operating") or {}
    if films and all((measured.get(name) or {}).get("low") is not None for name in ("sensitivity", "specificity")):
        return {name: measured[name] for name in ("sensitivity", "specificity")} | {"of": films}
    point = served.readout.operating_point
    return {
        "sensitivity": proportion(round(point.sensitivity * point.positives), point.positives),
        "specificity": proportion(round(point.specificity * point.negatives), point.negatives),
        "of": "the validation films that the threshold was chosen on, which flatters it",
    }


def proportion(successes: int, n: int) -> dict[str, Any]:
    """Return successes / n with its exact interval (Clopper and Pearson, 1934); None where n is 0."""
    if n == 0:
        return {"value": None, "low": None, "high": None, "n": 0, "method": EXACT}
    low, high = exact_interval(successes, n)
    return {"value": successes / n, "low": low, "high": high, "n": n, "method": EXACT}


@functools.lru_cache
def exact_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the bounds at which so many successes, or more, or fewer, have a chance of 2.5 %."""
    low = 0.0 if successes == 0 else _solve(successes, n)
    high = 1.0 if successes == n else 1 - _solve(n - successes, n)
    return low, high


def _solve(successes: int, n: int) -> float:
    """Return the share at which `successes` or more of n have a chance of `TAIL`; it rises with the share."""
    counts = np.arange(successes, n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    ways = factorials[n] - factorials[counts] - factorials[n - counts]
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        chance = np.exp(ways + counts * np.log(share) + (n - counts) * np.log1p(-share)).sum()
        low, high = (share, high) if chance < TAIL else (low, share)
    return (low + high) / 2
