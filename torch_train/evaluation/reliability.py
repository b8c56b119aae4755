"""Whether a probability means what it says: slope, offset and diagram, on films that the calibration never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from torch_train.evaluation.answers import Answers
from torch_train.evaluation.drawn import Drawn, nothing, percentile_interval, share_interval
from torch_train.evaluation.figures import NO_CALIBRATION
from torch_train.evaluation.patient_draws import PatientDraws, Weights, ones
from torch_train.evaluation.weighted import mean_of_known, ratio, weighted_line, weighted_mean
from torch_train.intervals import Estimate

FEWEST_FOR_ECE = 500  # below it the error of a perfectly calibrated reader is mostly noise
LINE_RESAMPLES = 500  # each is a fit of its own: a percentile at 2.5 % then rests on 12 of them
FILMS_A_BIN, MOST_BINS = 25, 10  # 25 films leave a share uncertain by some +-0.2
Line = dict[str, Estimate]


def describe_calibration(repeats: Sequence[Answers], source: PatientDraws) -> dict[str, Any]:
    """Return slope and offset before and after calibration, the diagram's bins and the ECE, ready for JSON."""
    raw = slope_and_offset(repeats, source, calibrated=False)
    after = slope_and_offset(repeats, source, calibrated=True)
    bins = reliability_bins(repeats, source)
    return {
        "margins": {name: asdict(one) for name, one in raw.items()},
        "calibrated": {name: asdict(one) for name, one in after.items()},
        "bins": bins,
        "ece": asdict(expected_calibration_error(repeats, source)),
    }


def slope_and_offset(repeats: Sequence[Answers], source: PatientDraws, *, calibrated: bool) -> Line:
    """Fit the label on the logit: slope 1 and offset 0 are what a calibrated logit has.

    Args:
        repeats: one reader's answers.
        source: the resamples.
        calibrated: of logits that the other folds calibrated, instead of raw margins.
    """
    if calibrated and any(one.calibrated is None for one in repeats):
        return {name: nothing(NO_CALIBRATION) for name in ("slope", "offset")}
    logits = [one.scores if calibrated else one.margins for one in repeats]
    if any(one.orders_nothing for one in repeats):
        return {name: nothing("one margin for all films of a fold has no slope") for name in ("slope", "offset")}
    pairs = [_fit(values, one, source.first(LINE_RESAMPLES)) for values, one in zip(logits, repeats, strict=True)]
    value, draws = (mean_of_known(parts) for parts in zip(*pairs, strict=True))
    rows, method = _films(repeats), source.first(LINE_RESAMPLES).method
    return {
        name: percentile_interval(Drawn(float(value[k]), draws[:, k], len(rows), source.patients_of(rows), method))
        for k, name in enumerate(("slope", "offset"))
    }


def _fit(
    logits: NDArray[np.float64], answers: Answers, source: PatientDraws
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and offset of the films as they are, [2], and of every resample, [draws, 2]."""
    value = weighted_line(ones(answers.rows), logits, answers.labels)[0]
    start = (float(value[0]), float(value[1]))
    draws = source.each(answers.rows, lambda weights: weighted_line(weights, logits, answers.labels, start=start))
    return value, draws


def reliability_bins(repeats: Sequence[Answers], source: PatientDraws) -> list[dict[str, Any]]:
    """Return bins of equally many films: mean probability, share that is positive with its interval, n.

    A film counts in the bin of each repeat's probability; empty without out-of-fold calibration.
    """
    if any(one.calibrated is None for one in repeats):
        return []
    edges = _edges(repeats)
    return [_bin(repeats, source, edges, k) for k in range(len(edges) - 1)]


def _edges(repeats: Sequence[Answers]) -> NDArray[np.float64]:
    probabilities = np.concatenate([expit(one.scores) for one in repeats])
    bins = int(np.clip(len(_films(repeats)) // FILMS_A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)))
    return np.concatenate([[-np.inf], edges[1:-1], [np.inf]])


def _bin(repeats: Sequence[Answers], source: PatientDraws, edges: NDArray[np.float64], index: int) -> dict[str, Any]:
    inside = [_where(one, edges) == index for one in repeats]
    kept = [one.only(keep) for one, keep in zip(repeats, inside, strict=True)]
    rows = _films(kept)
    counted = [_truth_and_one(one).sum(axis=0) for one in kept]
    drawn = np.sum([source.each(one.rows, lambda weights, one=one: weights @ _truth_and_one(one)) for one in kept], 0)  # type: ignore[misc]
    total = np.sum(counted, axis=0)
    share = Drawn(
        float(total[0] / total[1]), ratio(drawn[:, 0], drawn[:, 1]), len(rows), source.patients_of(rows), source.method
    )
    probability = float(np.mean(np.concatenate([expit(one.scores) for one in kept])))
    return {"probability": probability, "observed": asdict(share_interval(share)), "answers": int(total[1])}


def _where(answers: Answers, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(edges[1:-1], expit(answers.scores), side="right"), np.int64)


def _truth_and_one(answers: Answers) -> NDArray[np.float64]:
    return np.stack([answers.labels, np.ones_like(answers.labels)], axis=1).astype(np.float64)


def expected_calibration_error(repeats: Sequence[Answers], source: PatientDraws) -> Estimate:
    """Return the mean distance of probability and share over the diagram's bins; nothing below n = 500."""
    rows = _films(repeats)
    if len(rows) < FEWEST_FOR_ECE:
        return nothing(f"n = {len(rows)} is below {FEWEST_FOR_ECE}: it would be mostly noise")
    if any(one.calibrated is None for one in repeats):
        return nothing(NO_CALIBRATION)
    edges = _edges(repeats)
    value = float(np.mean([_error(one, edges, ones(one.rows))[0] for one in repeats]))
    draws = np.mean([source.each(one.rows, lambda w, one=one: _error(one, edges, w)) for one in repeats], axis=0)  # type: ignore[misc]
    return _without_bias(Drawn(value, draws, len(rows), source.patients_of(rows), source.method))


def _without_bias(drawn: Drawn) -> Estimate:
    """Return the error less what noise adds to it, with the basic bootstrap's interval, none below 0.

    Noise alone pushes a mean of distances up, in these films as in every resample of them.
    """
    found = percentile_interval(drawn)
    ends = [
        max(0.0, 2 * drawn.value - end) for end in (found.high, float(drawn.draws.mean()), found.low) if end is not None
    ]
    low, value, high = ends
    return Estimate(value, low, high, drawn.n, f"{drawn.method}, less its bias")


def _error(answers: Answers, edges: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Return sum over bins of |sum of weight (probability - label)| / total weight, [draws]."""
    excess = expit(answers.scores) - answers.labels
    where = _where(answers, edges)
    by_bin = np.where(where[:, None] == np.arange(len(edges) - 1), excess[:, None], 0.0)
    return np.asarray(np.abs(weighted_mean(weights, by_bin)).sum(axis=1), np.float64)


def _films(repeats: Sequence[Answers]) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.concatenate([one.rows for one in repeats])), np.int64)
