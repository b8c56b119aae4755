"""What a file costs in decisions against PyTorch on the same labelled films: paired, with bootstrap intervals.

numpy only, and the one place where losses are resampled. A film is drawn with both answers, so what
the two share cancels, and the interval is that of the difference, not of two figures apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000  # a percentile at 2.5 % then rests on 50 of them
CHUNK = 250  # resamples at once; bounds the memory of draws to some 10 MB at 4,000 films
INTERVAL = (0.025, 0.975)
ONE_SIDED = 0.95


def paired_losses(
    reference_margin: NDArray[np.floating],
    other_margin: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    threshold: float,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what a file loses of AUROC, sensitivity and specificity; positive is a loss, PyTorch minus file.

    Films are drawn with repeats within each class, 2,000 times, and count as independent. Where no decision
    flips every resample says 0, which is no proof: `at_most` bounds the share of films lost without that.

    Args:
        reference_margin: PyTorch's margins in logits, [N].
        other_margin: the file's margins for the same films, [N].
        labels: int64 [N], 1 positive; both classes occur.
        threshold: margin in logits; a film at or above it is called positive.
        seed: of the draws; the same for every file, so that rows compare.

    Returns:
        `auroc_loss`, `sensitivity_loss`, `specificity_loss`, each with value, low and high (95 % percentile
        interval) and upper95 (one-sided), the latter two with lost, gained (films) and at_most (one-sided 95 %
        Clopper-Pearson bound of the share lost, gains not set off); n, positives, negatives, resamples, seed.

    Raises:
        ValueError: a margin is not finite, the lengths differ, or one class is missing.
    """
    truth = _check(reference_margin, other_margin, labels)
    order = _kernel(reference_margin, truth) - _kernel(other_margin, truth)
    right = [(np.asarray(m) >= threshold) == truth for m in (reference_margin, other_margin)]
    lost = right[0].astype(np.float32) - right[1]  # 1 lost, -1 gained
    groups = {"sensitivity_loss": lost[truth], "specificity_loss": lost[~truth]}
    drawn = np.concatenate(list(_resample(order, *groups.values(), seed=seed)), axis=1)
    found: dict[str, Any] = {"auroc_loss": _summarise(float(order.mean(dtype=np.float64)), drawn[0])}
    for row, (name, changes) in zip(drawn[1:], groups.items(), strict=True):
        found[name] = _summarise(float(changes.mean(dtype=np.float64)), row) | _count(changes)
    size = {"n": len(truth), "positives": int(truth.sum()), "negatives": int((~truth).sum())}
    return found | size | {"resamples": RESAMPLES, "seed": seed}


def _check(first: NDArray[np.floating], second: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not first.shape == second.shape == labels.shape or first.ndim != 1:
        raise ValueError(f"margins and labels must be [N], got {first.shape}, {second.shape}, {labels.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a margin is NaN or infinite")
    truth: NDArray[np.bool_] = labels == 1
    if truth.all() or not truth.any():
        raise ValueError("losses need films of both classes")
    return truth


def _kernel(margin: NDArray[np.floating], truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return for each pair (positive, negative) whether it is in the right order, a tie one half: [P, N].

    Its mean is the AUROC, and a resample only weights its rows and columns: no ranks to sort again.
    """
    positives, negatives = margin[truth][:, None], margin[~truth][None, :]
    ordered: NDArray[np.float32] = ((np.sign(positives - negatives) + 1) / 2).astype(np.float32)
    return ordered


def _resample(
    order: NDArray[np.float32], positives: NDArray[np.float32], negatives: NDArray[np.float32], *, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Yield losses of AUROC, sensitivity and specificity, float64 [3, CHUNK]; halves add up exactly in float32."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES // CHUNK):
        rows, columns = _weights(generator, len(positives)), _weights(generator, len(negatives))
        pairs = ((rows @ order).astype(np.float64) * columns).sum(axis=1) / order.size
        yield np.stack([pairs, rows @ positives / len(positives), columns @ negatives / len(negatives)])


def _weights(generator: np.random.Generator, films: int) -> NDArray[np.float32]:
    """Return how often each film is drawn, [CHUNK, films]."""
    drawn = generator.integers(0, films, (CHUNK, films)) + films * np.arange(CHUNK)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=CHUNK * films).reshape(CHUNK, films)
    return counts.astype(np.float32)


def _summarise(value: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    low, high, upper = np.quantile(drawn, [*INTERVAL, ONE_SIDED])
    return {"value": value, "low": float(low), "high": float(high), "upper95": float(upper)}


def _count(changes: NDArray[np.float32]) -> dict[str, Any]:
    from scipy.stats import beta

    lost, n = int((changes == 1).sum()), len(changes)
    bound = 1.0 if lost == n else float(beta.ppf(ONE_SIDED, lost + 1, n - lost))
    return {"lost": lost, "gained": int((changes == -1).sum()), "at_most": bound}
