"""What n could prove: how many films a claim needs, counted with the exact binomial before any is believed.

"Sensitivity of at least 90 %" is shown where the lower bound of the exact interval reaches 90 %:
29 of 29 one-sided, 36 of 36 two-sided, and more as soon as one is missed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from torch_train.intervals import CONFIDENCE

ONE_SIDED, TWO_SIDED = 1 - CONFIDENCE, (1 - CONFIDENCE) / 2
MOST = 100_000  # films; a claim that needs more is out of reach of any set this tool is for
POWER_AT = (0.95, 0.98)  # true rates that a hoped-for reader may have


@dataclass(frozen=True, slots=True)
class Enough:
    """What a claim of a rate of at least `target` asks for, and what is there."""

    target: float
    have: int  # independent positives (or negatives): patients
    all_found_one_sided: int  # needed if not one is missed
    all_found_two_sided: int
    observed: float | None
    at_observed: int | None  # from how many on the observed rate shows it, two-sided; None: not below MOST, or never
    best_lower_bound: float  # the highest that `have` of `have` could give, two-sided
    power: dict[str, float]  # by true rate: chance that as many as there are show it, two-sided

    @property
    def could_show(self) -> bool:
        """Whether there are enough, were not one missed."""
        return self.have >= self.all_found_two_sided


def what_n_could_prove(have: int, *, target: float, observed: float | None) -> Enough:
    """Count for one claim.

    Args:
        have: independent cases that the rate is measured on.
        target: claimed rate, in (0, 1).
        observed: measured rate; None where there is none.
    """
    return Enough(
        target=target,
        have=have,
        all_found_one_sided=needed_if_all_found(target, tail=ONE_SIDED),
        all_found_two_sided=needed_if_all_found(target, tail=TWO_SIDED),
        observed=observed,
        at_observed=None if observed is None else needed_at_rate(observed, target),
        best_lower_bound=TWO_SIDED ** (1 / have) if have else 0.0,
        power={f"{rate:g}": chance_to_show(have, target, rate) for rate in POWER_AT if rate > target},
    )


def needed_if_all_found(target: float, *, tail: float) -> int:
    """Return the least n for which n of n has a lower bound of `target`: target ** n <= tail."""
    return math.ceil(math.log(tail) / math.log(target) - 1e-9)


def needed_at_rate(rate: float, target: float) -> int | None:
    """Return the n from which on floor(rate * n) of n has a two-sided lower bound of `target`.

    None where the rate does not exceed the target, or MOST would not be enough.
    """
    if rate <= target:
        return None
    n = np.arange(1, MOST + 1)
    short = np.flatnonzero(lower_bound(np.floor(rate * n + 1e-9), n) < target)
    last = int(n[short[-1]]) if len(short) else 0
    return None if last == MOST else last + 1


def chance_to_show(have: int, target: float, true_rate: float) -> float:
    """Return the chance that `have` cases show a rate of at least `target` when it truly is `true_rate`."""
    found = np.arange(have + 1)
    return float(binom.pmf(found, have, true_rate)[lower_bound(found, np.full(have + 1, have)) >= target].sum())


def lower_bound(found: NDArray[np.floating] | NDArray[np.integer], n: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the two-sided Clopper-Pearson lower bound of found / n, element by element."""
    bound = beta.ppf(TWO_SIDED, np.maximum(found, 1e-300), n - found + 1)
    return np.where(found > 0, bound, 0.0)
