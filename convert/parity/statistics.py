"""How far two runtimes differ: film by film, in decisions with bootstrap intervals, and near the threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.decisions import Decisions
from convert.parity.verdicts import TIMES_NOISE
from convert.runners.base import Answer
from tbconv.contract.statistics import identity_errors, is_positive, sqnr_db, upper_bound

# --- paired ---
# What a file costs in decisions against PyTorch on the same labelled films: paired, with bootstrap intervals.
#
# numpy only, and the one place where losses are resampled. A film is drawn with both answers, so what
# the two share cancels, and the interval is that of the difference, not of two figures apart.

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
    right = [is_positive(m, threshold) == truth for m in (reference_margin, other_margin)]
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
    lost, n = int((changes == 1).sum()), len(changes)
    return {"lost": lost, "gained": int((changes == -1).sum()), "at_most": upper_bound(lost, n)}


# --- ReLU patterns ---
# Films whose map may jump: evidence keeps the head's ReLUs as they are on the film, and one at zero may go either way.
#
# numpy only. The logits do not jump there, the map does, so its difference is reported over the other films.

COUNTED, INFERRED, UNKNOWN = "counted", "inferred", "unknown"


@dataclass(frozen=True, slots=True)
class ReluPatterns:
    """Films whose map is left out of the map's difference, and how they are known."""

    flipped: NDArray[np.bool_]  # [N]
    how: str  # counted (PyTorch's own patterns), inferred (from the size of the jump) or unknown


def map_distance(reference: Answer, other: Answer) -> NDArray[np.float64] | None:
    """Return the largest |d evidence| of each film, float64 [N]; None where one has no map."""
    if reference.evidence is None or other.evidence is None:
        return None
    distance: NDArray[np.float64] = np.abs(other.evidence.astype(np.float64) - reference.evidence).max((1, 2))
    return distance


def map_noise(reference: Answer, float64: Answer) -> float | None:
    """Return the largest map difference of float32 PyTorch from float64 over films with equal ReLU patterns.

    At least one float32 rounding step of the largest |evidence|; None without maps.
    """
    distance = map_distance(reference, float64)
    if distance is None or float64.evidence is None or not len(distance):
        return None
    equal = ~_counted(reference, float64)
    step = float(np.abs(float64.evidence).max()) * float(np.finfo(np.float32).eps)
    return max(float(distance[equal].max(initial=0.0)), step)


def find_pattern_changes(reference: Answer, other: Answer, *, noise: float | None, float32: bool) -> ReluPatterns:
    """Find the films whose ReLU pattern differs from the reference's.

    Args:
        reference: PyTorch's outputs, with ReLU patterns.
        other: another runtime's outputs for the same films; with patterns where it is PyTorch too.
        noise: see `map_noise`.
        float32: a reduced file's rounding moves every map further than a ReLU does, so nothing is inferred there.
    """
    if other.relu_patterns is not None and reference.relu_patterns is not None:
        return ReluPatterns(_counted(reference, other), COUNTED)
    distance = map_distance(reference, other)
    if distance is None or noise is None or not float32:
        return ReluPatterns(np.zeros(len(other.logits), np.bool_), UNKNOWN)
    return ReluPatterns(distance > TIMES_NOISE * noise, INFERRED)  # as for the logits: rounding alone explains no more


def _counted(reference: Answer, other: Answer) -> NDArray[np.bool_]:
    if reference.relu_patterns is None or other.relu_patterns is None:
        return np.zeros(len(other.logits), np.bool_)
    flipped: NDArray[np.bool_] = (reference.relu_patterns != other.relu_patterns).any(axis=1)
    return flipped


# --- error distribution ---
# How far a file's outputs lie from PyTorch's, film by film: quantiles, ranks, float steps.
#
# numpy only. A pooled maximum hides whether one film differs or all of them do.

QUANTILES = (0.5, 0.9, 0.99)
STEPS = (0, 1, 4, 16, 64, 256)  # float32 steps (ULP): the last of each bin of the histogram; one open bin follows


def error_distribution(reference: Answer, other: Answer, patterns: ReluPatterns) -> dict[str, Any]:
    """Return how far one file's outputs lie from the reference's, ready for JSON.

    Args:
        reference: PyTorch's answers for N films, N > 0.
        other: finite answers of the same shapes.
        patterns: films whose map jumped; their maps are measured apart.

    Returns:
        quantiles over films of each film's largest |d logit|, |d probability| and |d evidence| and of
        |margin - mean(evidence)|; Spearman's rank correlation of the margins (None where either is constant); SQNR
        of the logits and of the centred margin in dB (None where nothing differs); how many logits lie how many
        float32 steps away; the films with another ReLU pattern, by their place in the order in which they were fed.
    """
    films = per_film(reference, other)
    return {
        **{name: _quantiles(values) for name, values in films.items() if name != "abs_evidence"},
        **_maps(films.get("abs_evidence"), patterns),
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
    identity = identity_errors(other)
    return found if identity is None else found | {"identity": identity}


def _maps(distance: NDArray[np.float64] | None, patterns: ReluPatterns) -> dict[str, Any]:
    """Split the maps by whether the ReLU pattern changed: a jump says nothing about the rounding of the rest."""
    if distance is None:
        return {"abs_evidence": None, "relu_patterns": None}
    rest, jumped = distance[~patterns.flipped], distance[patterns.flipped]
    flipped = {
        "flipped": len(jumped),
        "how": patterns.how,
        "films": np.flatnonzero(patterns.flipped).tolist(),
        "max_abs_evidence": float(jumped.max()) if len(jumped) else None,
    }
    return {"abs_evidence": _quantiles(rest) if len(rest) else None, "relu_patterns": flipped}


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


# --- abstention band ---
# The band around the threshold outside which no measured film changed its decision: numpy only.


def abstention_band(
    reference_margin: NDArray[np.floating], other_margin: NDArray[np.floating], *, threshold: float
) -> dict[str, Any]:
    """Return the band in which a reduced-precision file leaves a film undecided (Decisions.band).

    Args:
        reference_margin: PyTorch's margins in logits, [N], N > 0.
        other_margin: the file's, [N].
        threshold: margin in logits.
    """
    band = Decisions.at(threshold).band(reference_margin, other_margin)
    if band is None:
        raise ValueError("a band needs films")
    return band
