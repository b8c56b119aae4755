"""How a file's answers spread around PyTorch's, film by film: quantiles, ranks, float steps.

numpy only. One pooled maximum hides whether one film strays or all of them do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity import sqnr_db
from tbconv.contract.classifier import Prediction

QUANTILES = (0.5, 0.9, 0.99)
STEPS = (0, 1, 4, 16, 64, 256)  # float32 steps (ULP): upper edges of the histogram, the last bin is open


def spread(reference: Prediction, other: Prediction) -> dict[str, Any]:
    """Return the spread of one file's logits and margin around the reference's, ready for JSON.

    Args:
        reference: PyTorch's answers for N films, N > 0.
        other: finite answers of the same shapes.

    Returns:
        quantiles over films of the largest |d logit| and |d probability| of each film, Spearman's
        rank correlation of the margins (None where either is constant), the SQNR of the centred margin in dB (None
        where nothing differs), and how many logits lie how many float32 steps away.
    """
    logits = np.abs(other.logits.astype(np.float64) - reference.logits).max(axis=1)
    probability = np.abs(other.probability.astype(np.float64) - reference.probability).max(axis=1)
    centred = sqnr_db(_centre(reference.margin), _centre(other.margin))
    return {
        "abs_logits": _quantiles(logits),
        "abs_probability": _quantiles(probability),
        "spearman": spearman(reference.margin, other.margin),
        "centred_margin_sqnr_db": centred if np.isfinite(centred) else None,
        "float32_steps": histogram_of_steps(reference.logits, other.logits),
    }


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Return Spearman's rank correlation of two margins [N], ties at their mean rank; None if one is constant."""
    one, two = _ranks(first), _ranks(second)
    return float(np.corrcoef(one, two)[0, 1]) if np.ptp(one) and np.ptp(two) else None


def histogram_of_steps(reference: NDArray[np.floating], other: NDArray[np.floating]) -> dict[str, int]:
    """Count values by their distance in float32 steps: how many representable numbers lie between."""
    steps = np.abs(_on_a_line(other) - _on_a_line(reference))
    edges = [-1, *STEPS]
    found = {
        f"<= {high}": int(((steps > low) & (steps <= high)).sum()) for low, high in zip(edges, STEPS, strict=False)
    }
    return found | {f"> {STEPS[-1]}": int((steps > STEPS[-1]).sum())}


def _on_a_line(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number float32 values so that neighbours differ by one, through zero as well."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = ((last - counts + 1 + last) / 2)[inverse]
    return ranks


def _centre(values: NDArray[np.floating]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values.astype(np.float64) - float(np.mean(values, dtype=np.float64))
    return centred


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = {f"p{100 * q:g}": float(value) for q, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
    return found | {"max": float(values.max())}
