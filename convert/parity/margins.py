"""Whether a difference keeps within a margin that was given beforehand: paired intervals, verdicts, films needed.

Standard library and numpy only. A film is decided by both networks, so a difference rests on the films that they decide
differently; what both get right or wrong cancels. Where they differ on none, a resample says 0 to 0, which is no proof:
these intervals stay open.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from tbconv.contract.statistics import CONFIDENCE, EXACT, exact_interval

HOLDS, BROKEN, CANNOT_SAY = "HOLDS", "BROKEN", "CANNOT SAY"
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)  # 1.96
MOST_NEEDED = 10_000_000  # beyond it nobody collects films
STEPS = 100  # halvings of an interval of length 2: beyond what a float can tell
SCORE_METHOD = "paired score interval (Tango 1998)"
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MarginVerdict:
    """A difference or share with its 95 % interval, and what that says of a margin."""

    value: float
    low: float
    high: float
    n: int  # films
    patients: int  # that they are of; each film its own where patients are not known
    method: str
    margin: float | None  # None: none was given, so nothing is judged
    verdict: str | None  # HOLDS, BROKEN, CANNOT SAY; None without a margin
    needed: int | None = None  # patients that would tell, if they turn out like these; None where that is no question

    def to_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def paired_interval(gained: float, lost: float, n: float) -> Interval:
    """Return the 95 % score interval of (gained - lost) / n (Tango 1998, Stat Med 17:891).

    Args:
        gained: pairs that the second network alone gets right; a count, or one that patients are worth.
        lost: pairs that the first alone gets right.
        n: all pairs.

    Raises:
        ValueError: there are no pairs, or more that differ than there are.
    """
    if not (n > 0 and gained >= 0 and lost >= 0 and gained + lost <= n * (1 + 1e-9)):
        raise ValueError(f"no interval of {gained!r} gained and {lost!r} lost of {n!r}")
    value = (gained - lost) / n
    return -_reach(lost, gained, n, -value), _reach(gained, lost, n, value)


def _reach(gained: float, lost: float, n: float, value: float) -> float:
    """Return the largest difference that the pairs do not contradict: where the score falls to -1.96."""
    low, high = value, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(gained, lost, n, middle) > -Z else (low, middle)
    return high


def _score(gained: float, lost: float, n: float, difference: float) -> float:
    """Return Tango's statistic: standard errors by which the pairs exceed a difference, at its own likeliest rates."""
    a = 2 * n
    b = (2 * n - gained + lost) * difference - gained - lost
    c = -lost * difference * (1 - difference)
    rate = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)  # of pairs that only the first gets right
    variance = n * (2 * rate + difference * (1 - difference))
    above = gained - lost - n * difference
    return above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above) if above else 0.0


def judge_loss(gained: int, lost: int, n: int, *, patients: int, margin: float | None) -> MarginVerdict:
    """Judge a difference of shares, the second network minus the first, of which a loss is bad.

    HOLDS where the whole interval lies above -margin, BROKEN where it lies below. Films of one patient are not
    independent: all counts are scaled down to as many pairs as there are patients, which is exact where a patient's
    films are alike and careful elsewhere.

    Args:
        gained: films that the second alone decides rightly.
        lost: films that the first alone does.
        n: all films of the class.
        patients: that they are of.
        margin: how much lower the second's share may be, in [0, 1); None judges nothing.
    """
    share = patients / n

    def interval(pairs: float) -> Interval:
        return paired_interval(gained * share * pairs / patients, lost * share * pairs / patients, pairs)

    low, high = interval(patients)
    value, method = (gained - lost) / n, SCORE_METHOD if patients == n else f"{SCORE_METHOD}, of {patients} patients"
    if margin is None:
        return MarginVerdict(value, low, high, n, patients, method, None, None)
    verdict = _loss_verdict(low, high, margin)
    needed = None
    if verdict == CANNOT_SAY:
        needed = _needed(lambda pairs: _loss_verdict(*interval(pairs), margin), patients)
    return MarginVerdict(value, low, high, n, patients, method, margin, verdict, needed)


def _loss_verdict(low: float, high: float, margin: float) -> str:
    return HOLDS if low >= -margin else BROKEN if high < -margin else CANNOT_SAY


def judge_share(events: int, n: int, *, patients: int, most: float | None) -> MarginVerdict:
    """Judge a share of films that may not exceed `most`: HOLDS where its interval lies below, BROKEN where above.

    A share of 0 is about these films alone: no film may be one, and nothing is said of others.

    Args:
        events: films that count.
        n: all films.
        patients: that they are of.
        most: in [0, 1); None judges nothing.
    """

    def interval(films: float) -> Interval:
        return exact_interval(events / n * films, films)

    low, high = interval(patients)
    method = EXACT if patients == n else f"{EXACT}, of {patients} patients"
    if most is None:
        return MarginVerdict(events / n, low, high, n, patients, method, None, None)
    if most == 0:
        return MarginVerdict(events / n, low, high, n, patients, method, most, BROKEN if events else HOLDS)
    verdict = _share_verdict(low, high, most)
    needed = None
    if verdict == CANNOT_SAY:
        needed = _needed(lambda films: _share_verdict(*interval(films), most), patients)
    return MarginVerdict(events / n, low, high, n, patients, method, most, verdict, needed)


def _share_verdict(low: float, high: float, most: float) -> str:
    return HOLDS if high <= most else BROKEN if low > most else CANNOT_SAY


def _needed(verdict_at: Callable[[float], str], have: int) -> int | None:
    """Return how many patients would tell, if their rates are those of the ones that are there; None beyond reason."""
    low, high = have, 2 * have
    while verdict_at(high) == CANNOT_SAY:
        low, high = high, 2 * high
        if high > MOST_NEEDED:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if verdict_at(middle) == CANNOT_SAY else (low, middle)
    return high


def worst(verdicts: list[str]) -> str | None:
    """Return what all of them together say; None where nothing was judged."""
    return next((one for one in (BROKEN, CANNOT_SAY, HOLDS) if one in verdicts), None)
