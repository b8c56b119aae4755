"""How a file's answers spread around PyTorch's, film by film: quantiles, ranks, float steps.

numpy only. One pooled maximum hides whether one film strays or all of them do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.locks import Locks, map_distance
from convert.parity import sqnr_db
from convert.runners.child import Answer
from tbconv.contract.classifier import Prediction

QUANTILES = (0.5, 0.9, 0.99)
STEPS = (0, 1, 4, 16, 64, 256)  # float32 steps (ULP): the last of each bin of the histogram; one open bin follows


def spread(reference: Answer, other: Answer, locks: Locks) -> dict[str, Any]:
    """Return the spread of one file's outputs around the reference's, ready for JSON.

    Args:
        reference: PyTorch's answers for N films, N > 0.
        other: finite answers of the same shapes.
        locks: films whose map jumped; their maps are measured apart.

    Returns:
        quantiles over films of each film's largest |d logit|, |d probability| and |d evidence| and of
        |margin - mean(evidence)|; Spearman's rank correlation of the margins (None where either is constant); SQNR
        of the logits and of the centred margin in dB (None where nothing differs); how many logits lie how many
        float32 steps away; the films with flipped locks, by their place in the order in which they were fed.
    """
    films = per_film(reference, other)
    return {
        **{name: _quantiles(values) for name, values in films.items() if name != "abs_evidence"},
        **_maps(films.get("abs_evidence"), locks),
        "spearman": spearman(reference.margin, other.margin),
        "logits_sqnr_db": _finite(sqnr_db(reference.logits, other.logits)),
        "centred_margin_sqnr_db": _finite(sqnr_db(_centre(reference.margin), _centre(other.margin))),
        "float32_steps": histogram_of_steps(reference.logits, other.logits),
    }


def per_film(reference: Answer, other: Answer) -> dict[str, NDArray[np.float64]]:
    """Return one number a film and measure, each float64 [N]; the maps' are missing where there is no map."""
    found = {
        "abs_logits": np.abs(other.logits.astype(np.float64) - reference.logits).max(axis=1),
        "abs_margin": np.abs(other.margin.astype(np.float64) - reference.margin),
        "abs_probability": np.abs(other.probability.astype(np.float64) - reference.probability).max(axis=1),
    }
    maps = map_distance(reference, other)
    if maps is not None:
        found["abs_evidence"] = maps
    if other.evidence is not None:
        found["identity"] = _identity(other)
    return found


def _identity(answer: Prediction) -> NDArray[np.float64]:
    mean = np.asarray(answer.evidence).astype(np.float64).mean((1, 2))
    missed: NDArray[np.float64] = np.abs(answer.margin.astype(np.float64) - mean)
    return missed


def _maps(distance: NDArray[np.float64] | None, locks: Locks) -> dict[str, Any]:
    """Split the maps by whether locks flipped: a jump says nothing about the rounding of the rest."""
    if distance is None:
        return {"abs_evidence": None, "locks": None}
    rest, jumped = distance[~locks.flipped], distance[locks.flipped]
    flipped = {
        "flipped": len(jumped),
        "how": locks.how,
        "films": np.flatnonzero(locks.flipped).tolist(),
        "max_abs_evidence": float(jumped.max()) if len(jumped) else None,
    }
    return {"abs_evidence": _quantiles(rest) if len(rest) else None, "locks": flipped}


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Return Spearman's rank correlation of two margins [N], ties at their mean rank; None if one is constant."""
    one, two = _ranks(first), _ranks(second)
    return float(np.corrcoef(one, two)[0, 1]) if np.ptp(one) and np.ptp(two) else None


def histogram_of_steps(reference: NDArray[np.floating], other: NDArray[np.floating]) -> dict[str, int]:
    """Count values by their distance in float32 steps: how many representable numbers lie between.

    Returns:
        A count for each bin - `0`, `1`, `2 to 4`, ... `> 256` - which add up to the number of values.
    """
    steps = np.abs(_on_a_line(other) - _on_a_line(reference))
    firsts = [0, *(last + 1 for last in STEPS[:-1])]
    found = {
        f"{last}" if first == last else f"{first} to {last}": int(((steps >= first) & (steps <= last)).sum())
        for first, last in zip(firsts, STEPS, strict=True)
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


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
