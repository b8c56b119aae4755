"""Outputs of a network, and the statistics that every stage shares: decision, exact intervals, SQNR, identity of a map.

Training, conversion, verification and serving must call a film positive, bound a share and judge a moved logit in the
same way, so each of these rules is written here and nowhere else. Standard library and numpy only: a server has no
scipy.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95  # of every interval and bound, unless a caller says otherwise
TAIL = (1 - CONFIDENCE) / 2  # each side of a two-sided interval
EXACT = "Clopper-Pearson"

# --- outputs ---
# The outputs of every runner of every framework: three named arrays for a batch of films.


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outputs for N films."""

    logits: NDArray[np.floating]  # [N, 2], (negative, positive)
    probability: NDArray[np.floating]  # [N, 1], calibrated
    evidence: NDArray[np.floating] | None  # [N, 7, 7], margin = mean(evidence); None from an H5

    @property
    def margin(self) -> NDArray[np.floating]:
        """Logit of positive minus logit of negative, [N]: what decisions compare."""
        return np.asarray(self.logits[:, 1] - self.logits[:, 0])


class Classifier(Protocol):
    """Anything that predicts films."""

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Return the outputs for films, float32 [N, 224, 224, 1], values 0..255."""
        ...


# --- decision ---


def is_positive(margins: ArrayLike, threshold: ArrayLike) -> NDArray[np.bool_]:
    """Decide: True where a film's margin is at or above the threshold (NaN never is).

    Args:
        margins: [N] or one, logit of positive minus logit of negative.
        threshold: in logits; one, or any shape that broadcasts with `margins`.
    """
    return np.asarray(np.asarray(margins) >= threshold)


# --- binomial intervals ---


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its 95 % interval and what it rests on; None where there was nothing to count."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # films behind the figure
    method: str  # of the interval


def proportion(successes: int, n: int) -> Estimate:
    """Return successes / n with its exact 95 % interval (Clopper and Pearson, 1934)."""
    if n == 0:
        return Estimate(None, None, None, 0, EXACT)
    low, high = exact_interval(successes, n)
    return Estimate(successes / n, low, high, n, EXACT)


def positive_predictive_value(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> Estimate:
    """Return the share of the flagged who are positive, among people of whom `prevalence` are.

    Its bounds are those of the two intervals put in together: at least 90 % sure, and never narrower than that.
    """
    of = ((getattr(sensitivity, end), getattr(specificity, end)) for end in ("value", "low", "high"))
    ends = [None if None in one else _flagged_rightly(*one, prevalence) for one in of]
    if sensitivity.value is None or specificity.value is None:
        return Estimate(None, None, None, 0, "sensitivity or specificity has no value")
    if ends[0] is None:
        return Estimate(None, None, None, 0, "no film is called so")
    known = [end for end in ends[1:] if end is not None]
    n = min(sensitivity.n, specificity.n)
    low, high = (min(known), max(known)) if len(known) == 2 else (known[0] if known else None, None)
    return Estimate(ends[0], low, high, n, "bounds of sensitivity and specificity")


def _flagged_rightly(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    right, wrong = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return right / (right + wrong) if right + wrong > 0 else None


def exact_interval(successes: float, n: float, level: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of successes / n.

    Args:
        successes: how many of `n`; a count, or a weighted one that need not be whole.
        n: trials, or the number of independent ones that they are worth.
        level: share of such intervals that hold the true rate, at least.

    Raises:
        ValueError: `successes` does not lie in 0..n, or `level` not between 0 and 1.
    """
    if not 0 <= successes <= n or not 0 < level < 1:
        raise ValueError(f"no interval of {successes!r} of {n!r} at a level of {level!r}")
    tail = (1 - level) / 2
    low = _beta_quantile(tail, successes, n - successes + 1) if successes > 0 else 0.0
    high = _beta_quantile(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return low, high


def upper_bound(events: int, n: int, level: float = CONFIDENCE) -> float:
    """Return the one-sided Clopper-Pearson bound: a share that `events` of `n` do not exceed at this confidence.

    For no event of n it is 1 - 0.05^(1/n), about 3/n; 1.0 where every trial was one, or there was none.
    """
    return 1.0 if events >= n else _beta_quantile(level, events + 1, n - events)


def lower_bound(events: int, n: int, level: float = CONFIDENCE) -> float:
    """Return the one-sided Clopper-Pearson bound that a share with `events` of `n` does not fall below; 0.0 of none."""
    return 1.0 - upper_bound(n - events, n, level) if n else 0.0


@functools.lru_cache(maxsize=4096)
def _beta_quantile(share: float, a: float, b: float) -> float:
    """Return the x at which the regularised incomplete beta function I_x(a, b) is `share`.

    Newton's method, kept inside a bracket that every step narrows.
    """
    low, high, x = 0.0, 1.0, a / (a + b)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    for _ in range(200):
        if not 0 < x < 1:
            break
        excess = _incomplete_beta(x, a, b, log_beta) - share
        low, high = (x, high) if excess < 0 else (low, x)
        log_density = (a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - log_beta
        step = excess * math.exp(-log_density) if log_density > -700 else math.inf
        following = x - step if low < x - step < high else (low + high) / 2
        if abs(following - x) <= 4 * sys.float_info.epsilon * x:
            return following
        x = following
    return x


def _incomplete_beta(x: float, a: float, b: float, log_beta: float) -> float:
    """Return I_x(a, b) by its continued fraction (Numerical Recipes 6.4, Lentz's method)."""
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - _incomplete_beta(1 - x, b, a, log_beta)
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d or tiny), 1 + term / c or tiny
            fraction *= d * c
        if abs(d * c - 1) < sys.float_info.epsilon:
            break
    return fraction * math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a


# --- distances ---


def sqnr_db(reference: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the signal to quantization noise ratio of `other` against `reference`, both of one shape; see `decibels`.

    The signal is the reference's power, the noise that of the difference.
    """
    signal = np.square(reference.astype(np.float64)).sum()
    return decibels(float(signal), float(np.square(other.astype(np.float64) - reference).sum()))


def decibels(signal: float, noise: float) -> float:
    """Return 10 log10 of a power over another: infinite without noise, NaN where either is not finite."""
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return math.nan
    return math.inf if noise == 0 else 10 * float(np.log10(max(signal, 1e-300) / noise))


# --- evidence identity ---

IDENTITY = 1e-4  # logits; |margin - mean(evidence)| in float32, measured 8e-6 on ResNet50 in TFLite float32


def identity_errors(prediction: Prediction) -> NDArray[np.float64] | None:
    """Return |margin - mean(evidence)| of each film in logits, float64 [N]; None without a map."""
    if prediction.evidence is None:
        return None
    mean = np.asarray(prediction.evidence, np.float64).mean((1, 2))
    return np.asarray(np.abs(np.asarray(prediction.margin, np.float64) - mean), np.float64)


def identity_error(prediction: Prediction) -> float | None:
    """Return max |margin - mean(evidence)| over films, in logits (NaN if one is); None without a map."""
    errors = identity_errors(prediction)
    return None if errors is None else float(errors.max())


# --- allowed move ---

TIMES_TYPICAL = 10.0  # times the file's median distance from PyTorch; other kernels moved 4 times that at most


def allowed_move(recorded: Prediction, reference: Prediction) -> float:
    """Return how far a reduced-precision file's golden logits may move from the recorded ones, in logits.

    Kernels of another processor round differently, but a file that moves further is another model. It may move as far
    as it was from PyTorch, but not by more than ten times its median distance: one input far from any film (int8
    answers black 9 logits off) would excuse anything otherwise.

    Args:
        recorded: the file's golden answers.
        reference: PyTorch's to the same inputs.
    """
    distance = np.abs(recorded.logits.astype(np.float64) - reference.logits).max(axis=1)
    distance = distance[np.isfinite(distance)]
    if not len(distance):
        return IDENTITY
    return max(IDENTITY, min(float(distance.max()), TIMES_TYPICAL * float(np.median(distance))))


# --- distributions ---
# Whether scores or greys of many films are spread as those that a network was measured on: counts in fixed bins, which
# add up over shards and name no film.

DISTRIBUTIONS = "distributions"  # of metrics.json: `scores` by network and class, `grey_mean`, `grey_deviation`
SCORE_EDGES = tuple(range(0, 101, 5))  # of scores, 0..100
GREY_EDGES = tuple(range(0, 257, 8))  # of grey levels, 0..255
MOST_ALIKE = 0.1  # of the index: below it is no shift, above 0.25 a large one (Siddiqi 2006, Credit Risk Scorecards)
# Of 120 draws of 50 films each, none of which was shifted, one was called so; of 12 films each, 35 were.
FEWEST_COMPARED, FEWEST_OF_REFERENCE = 50, 20
_RESAMPLES = 1000
_MIXING_STEPS = 200  # of the EM algorithm; the share of 20 bins moves by less than 1e-4 after 100
Counts = NDArray[np.int64]


def bin_counts(values: ArrayLike, edges: Sequence[float]) -> Counts:
    """Return how many values lie in each bin, int64 [len(edges) - 1]; what lies outside counts in the outermost."""
    known = np.asarray(values, np.float64)
    clipped = np.clip(known[np.isfinite(known)], edges[0], edges[-1])
    return np.asarray(np.histogram(clipped, edges)[0], np.int64)


@dataclass(frozen=True, slots=True)
class Shift:
    """How far counts lie from those of reference films."""

    index: Estimate  # population stability index: 0 for the same shares in every bin
    positives: Estimate | None  # share of reference positives in the mix that fits best; None where classes are unknown
    enough: bool  # films for a verdict

    @property
    def verdict(self) -> str:
        """Whether films are spread as the reference films: "alike", "shifted", or "cannot say"."""
        if not self.enough or self.index.low is None or self.index.high is None:
            return "cannot say"
        return "shifted" if self.index.low > MOST_ALIKE else "alike" if self.index.high <= MOST_ALIKE else "cannot say"


def measure_shift(reference: Sequence[ArrayLike], found: ArrayLike, *, seed: int = 0) -> Shift:
    """Compare counts with those of reference films by the population stability index.

    With two classes (negatives first) the reference is the mix of both that fits best: a programme in which few are ill
    is not called shifted because the reference films were half of either class.

    Args:
        reference: counts by bin, of all reference films or of each of two classes.
        found: counts by bin.
        seed: of the resamples, of both sides.
    """
    classes = np.asarray(reference, np.int64)
    counts = np.asarray(found, np.int64)
    n = int(min(classes.sum(axis=1).min(), counts.sum()))
    if n == 0:
        nothing = Estimate(None, None, None, 0, "nothing to compare")
        return Shift(nothing, None, enough=False)
    enough = bool(counts.sum() >= FEWEST_COMPARED and n >= FEWEST_OF_REFERENCE)
    generator = np.random.default_rng(seed)
    classes_drawn = np.stack([generator.multinomial(one.sum(), _shares(one), _RESAMPLES) for one in classes], axis=1)
    counts_drawn = generator.multinomial(counts.sum(), _shares(counts), _RESAMPLES)
    index, share = _index(classes[None], counts[None])
    indices, shares = _index(classes_drawn, counts_drawn)
    # Of few films chance alone makes an index; resamples add to it what the films themselves had, so it is there twice.
    excess = float(indices.mean() - index[0])
    value = max(0.0, float(index[0]) - excess)
    low, high = (max(0.0, float(np.quantile(indices, end)) - 2 * excess) for end in (TAIL, 1 - TAIL))
    method = "bootstrap of both sides, what chance makes taken off"
    estimate = Estimate(value, min(low, value), max(high, value), n, method)
    if len(classes) == 1:
        return Shift(estimate, None, enough)
    low, high = (float(np.quantile(shares, end)) for end in (TAIL, 1 - TAIL))
    return Shift(estimate, Estimate(float(share[0]), low, high, n, "bootstrap of both sides"), enough)


def _shares(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1), np.float64)


def _index(
    classes: NDArray[np.integer], counts: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the index and the share of positives for each draw, [D]; of classes [D, C, bins] and counts [D, bins].

    A bin that is empty on one side alone would make an index infinite: both sides are drawn towards what they are
    together, by half a film for each bin that is not empty on both.
    """
    both = (_shares(classes).mean(axis=1) + _shares(counts)) / 2
    more = both * (both > 0).sum(axis=-1, keepdims=True) / 2
    shares, wanted = _smoothed(classes, more[:, None]), _smoothed(counts, more)
    positives = np.full((len(counts), 1), 0.5)
    mixed = shares[:, 0]
    if shares.shape[1] == 2:
        for _ in range(_MIXING_STEPS):  # the likeliest mix, by EM (Saerens 2002, Neural Computation 14:21)
            of_positives = positives * shares[:, 1]
            either = np.maximum(of_positives + (1 - positives) * shares[:, 0], 1e-300)
            positives = (wanted * of_positives / either).sum(axis=-1, keepdims=True)
        mixed = positives * shares[:, 1] + (1 - positives) * shares[:, 0]
    known = both > 0
    ratio = np.log(np.where(known, wanted, 1) / np.where(known, mixed, 1))
    return ((wanted - mixed) * ratio).sum(axis=-1), positives[:, 0]


def _smoothed(counts: NDArray[np.integer], more: NDArray[np.float64]) -> NDArray[np.float64]:
    made = counts + more
    return np.asarray(made / made.sum(axis=-1, keepdims=True), np.float64)
