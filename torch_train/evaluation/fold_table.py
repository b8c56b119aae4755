"""How the threshold travels: each fold's figures at a threshold that was chosen on other films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from torch_train.evaluation.answers import Answers
from torch_train.evaluation.figures import AUROC, resample
from torch_train.evaluation.patient_draws import PatientDraws
from torch_train.evaluation.predictions import Predictions

SHOWN = (AUROC, "sensitivity", "specificity")


def describe_folds(
    predictions: Predictions, reader: str, repeats: Sequence[Answers], source: PatientDraws
) -> dict[str, Any]:
    """Return a row a fold, and the spread of what the threshold reached; ready for JSON."""
    rows = []
    for repeat, answers in zip(sorted({fold.repeat for fold in predictions.folds}), repeats, strict=True):
        folds = [fold for fold in predictions.folds if fold.repeat == repeat]
        for number, fold in enumerate(folds):
            found = resample([answers.only(answers.folds == number)], source)
            sick, well = int((found.labels == 1).sum()), int((found.labels == 0).sum())
            row = {"repeat": repeat, "fold": fold.name, "threshold": fold.thresholds[reader]}
            row |= {"n": sick + well, "positives": sick, "negatives": well}
            rows.append(row | {name: asdict(found.estimate(name)) for name in SHOWN})
    return {
        "rows": rows,
        "spread": {name: _spread(rows, name) for name in SHOWN[1:]},
        "short": _short(rows, predictions),
    }


def _spread(rows: list[dict[str, Any]], name: str) -> dict[str, float] | None:
    """Return lowest, middle and highest of the folds' values."""
    known = [row[name]["value"] for row in rows if row[name]["value"] is not None]
    return {"low": min(known), "median": float(np.median(known)), "high": max(known)} if known else None


def _short(rows: list[dict[str, Any]], predictions: Predictions) -> int:
    """Return in how many folds the threshold found a smaller share than was wished for."""
    wished = predictions.wished_sensitivity
    known = [row["sensitivity"]["value"] for row in rows if row["sensitivity"]["value"] is not None]
    return sum(value < wished - 1e-9 for value in known)
