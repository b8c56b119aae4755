"""Every threshold that could have been chosen, and what each would do to a thousand people screened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from torch_train.evaluation.answers import Answers
from torch_train.evaluation.drawn import Drawn, share_interval
from torch_train.evaluation.figures import Resampled
from torch_train.evaluation.patient_draws import PatientDraws, ones
from torch_train.evaluation.screening import Field, per_thousand
from torch_train.evaluation.weighted import mean_of_known, weighted_share
from torch_train.evaluation.who_target import SOURCE, judge_target
from torch_train.intervals import Estimate

STEPS = 61  # thresholds at as many quantiles of either class: dense where films are
WORST_TO_BEST = (0.99, 0.98, 0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.50)  # sensitivities that the short table shows


def sweep_thresholds(repeats: Sequence[Answers], source: PatientDraws, field: Field) -> dict[str, Any]:
    """Return one row a threshold over the whole range, ready for JSON, and the rows worth printing.

    A threshold is set on scores that folds share: logits that other folds calibrated, raw
    margins where there is one fold only. Reading the best row off films that it is measured
    on flatters; only the transported threshold was chosen elsewhere.
    """
    thresholds = _grid(repeats)
    sensitivity = _shares(repeats, source, thresholds, truth=1)
    specificity = _shares(repeats, source, thresholds, truth=0)
    rows = [_row(*one, field) for one in zip(thresholds, sensitivity, specificity, strict=True)]
    calibrated = all(one.calibrated is not None for one in repeats)
    for row in rows:
        row["probability"] = float(expit(row["threshold"])) if calibrated else None
    return {"scale": "calibrated logit" if calibrated else "margin", "rows": rows, "printed": _printed(rows)}


def describe_transported(resampled: Resampled, field: Field) -> dict[str, Any]:
    """Return what the folds' own thresholds did on films that none of them was chosen on, and WHO's verdict."""
    sensitivity, specificity = resampled.estimate("sensitivity"), resampled.estimate("specificity")
    row = _plain(sensitivity, specificity, field)
    return row | {"who": {"source": SOURCE, "verdict": judge_target(sensitivity, specificity)}}


def _grid(repeats: Sequence[Answers]) -> NDArray[np.float64]:
    """Return thresholds from the lowest score to just above the highest, dense where either class has films."""
    scores = np.concatenate([one.scores for one in repeats])
    labels = np.concatenate([one.labels for one in repeats])
    at = np.linspace(0, 1, STEPS)
    kept = [np.quantile(scores[labels == label], at, method="lower") for label in (0, 1)]
    above = np.nextafter(scores.max(), np.inf)
    return np.asarray(np.unique(np.concatenate([*kept, [scores.min(), above]])), np.float64)


def _shares(
    repeats: Sequence[Answers], source: PatientDraws, thresholds: NDArray[np.float64], *, truth: int
) -> list[Estimate]:
    """Return sensitivity (truth 1) or specificity (truth 0) at every threshold."""
    kept = [one.only(one.labels == truth) for one in repeats]
    right = [(one.scores[:, None] >= thresholds) == bool(truth) for one in kept]
    every = [np.ones(len(one.rows), np.bool_) for one in kept]
    values = [weighted_share(ones(one.rows), r, e) for one, r, e in zip(kept, right, every, strict=True)]
    drawn = [
        source.each(one.rows, lambda weights, r=r, e=e: weighted_share(weights, r, e))  # type: ignore[misc]
        for one, r, e in zip(kept, right, every, strict=True)
    ]
    rows = np.unique(np.concatenate([one.rows for one in kept]))
    value, draws = mean_of_known(values)[0], mean_of_known(drawn)
    patients = source.patients_of(rows)
    return [
        share_interval(Drawn(float(value[k]), draws[:, k], len(rows), patients, source.method))
        for k in range(len(thresholds))
    ]


def _row(threshold: float, sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Any]:
    return {"threshold": float(threshold), **_plain(sensitivity, specificity, field)}


def _plain(sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Any]:
    figures = {"sensitivity": sensitivity, "specificity": specificity}
    return {name: asdict(one) for name, one in (figures | per_thousand(sensitivity, specificity, field)).items()}


def _printed(rows: list[dict[str, Any]]) -> list[int]:
    """Return the highest threshold that still reaches each sensitivity, each once, from careful to strict."""
    reached = np.array([row["sensitivity"]["value"] for row in rows])
    return sorted({int(np.flatnonzero(reached >= wished - 1e-9)[-1]) for wished in WORST_TO_BEST})
