"""Figures of weighted films for many weightings at once: what a bootstrap of thousands of films can afford."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from torch_train.evaluation.patient_draws import Weights

Values = NDArray[np.float64]
STEPS, LONGEST_STEP, CLOSE = 60, 2.0, 1e-8  # of Newton's method, in units of the scaled margin


def weighted_auroc(weights: Weights, margins: Values, labels: NDArray[np.int64]) -> Values:
    """Return the weighted share of (positive, negative) pairs in the right order, ties counted half.

    Args:
        weights: float32 [draws, n].
        margins: [n], higher is more positive.
        labels: int64 [n], 1 positive.

    Returns:
        float64 [draws]; NaN where a class has no weight.
    """
    order = np.argsort(margins, kind="stable")
    ordered, positive, drawn = margins[order], labels[order] == 1, weights[:, order]
    ties = np.flatnonzero(np.append(True, np.diff(ordered) > 0))
    sick, well = np.where(positive, drawn, 0), np.where(positive, 0, drawn)
    if len(ties) < len(ordered):
        sick, well = (np.add.reduceat(one, ties, axis=1) for one in (sick, well))
    lower = np.cumsum(well, axis=1, dtype=np.float64)
    right = np.einsum("dt,dt->d", sick, lower - well / 2)
    return ratio(right, sick.sum(axis=1, dtype=np.float64) * lower[:, -1])


def weighted_share(weights: Weights, found: NDArray[np.bool_], among: NDArray[np.bool_]) -> Values:
    """Return the weight of what is found among some films over the weight of those.

    Args:
        weights: float32 [draws, n].
        found: bool [n], or [n, k] for k decisions about the same films.
        among: bool [n].

    Returns:
        float64 [draws] or [draws, k]; NaN where there is nothing to find.
    """
    drawn = weights[:, among]
    hits = (drawn @ found[among].astype(np.float32)).astype(np.float64)
    total = drawn.sum(axis=1, dtype=np.float64)
    return ratio(hits, total if hits.ndim == 1 else total[:, None])


def weighted_mean(weights: Weights, losses: Values) -> Values:
    """Return the weighted mean of a loss by film, [n] -> [draws], or of k losses, [n, k] -> [draws, k]."""
    total = weights.sum(axis=1, dtype=np.float64)
    return ratio(weights.astype(np.float64) @ losses, total if losses.ndim == 1 else total[:, None])


def weighted_line(
    weights: Weights, margins: Values, labels: NDArray[np.int64], *, start: tuple[float, float] = (0.0, 0.0)
) -> Values:
    """Fit probability = sigmoid(slope * margin + offset) for every weighting by Newton's method.

    The targets are Platt's, as in `calibrate.fit_calibration`, so that films which are
    perfectly apart give a finite slope.

    Args:
        weights: float32 [draws, n].
        margins: [n], not all equal.
        labels: int64 [n], 1 positive.
        start: slope and offset to begin at; near the answer saves steps.

    Returns:
        float64 [draws, 2], slope and offset.
    """
    centre, spread = float(margins.mean()), float(margins.std())
    x, drawn = (margins - centre) / spread, weights.astype(np.float64)
    targets = _platt_targets(drawn, labels == 1)
    line = np.tile([start[0] * spread, start[1] + start[0] * centre], (len(drawn), 1))
    for _ in range(STEPS):
        step = _newton_step(line, x, drawn, targets)
        line += step
        if np.abs(step).max() < CLOSE:
            break
    slope = line[:, 0] / spread
    return np.stack([slope, line[:, 1] - slope * centre], axis=1)


def _platt_targets(drawn: Values, positive: NDArray[np.bool_]) -> Values:
    """Return (P + 1) / (P + 2) for positive films and 1 / (N + 2) for others, [draws, n]."""
    sick, well = drawn[:, positive].sum(axis=1), drawn[:, ~positive].sum(axis=1)
    return np.where(positive, ((sick + 1) / (sick + 2))[:, None], (1 / (well + 2))[:, None])


def _newton_step(line: Values, x: Values, drawn: Values, targets: Values) -> Values:
    probability = expit(line[:, :1] * x + line[:, 1:])
    pull = drawn * (targets - probability)
    bend = drawn * probability * (1 - probability)
    gradient = np.stack([pull @ x, pull.sum(axis=1)], axis=1)
    xx, x1, one = bend @ (x * x) + 1e-9, bend @ x, bend.sum(axis=1) + 1e-9
    det = xx * one - x1 * x1
    step = np.stack([one * gradient[:, 0] - x1 * gradient[:, 1], xx * gradient[:, 1] - x1 * gradient[:, 0]], axis=1)
    return np.asarray(np.clip(step / det[:, None], -LONGEST_STEP, LONGEST_STEP), np.float64)


def ratio(over: Values, under: Values) -> Values:
    """Return over / under, NaN where `under` is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under > 0, over / under, np.nan)
