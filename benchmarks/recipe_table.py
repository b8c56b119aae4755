"""Ways to train, compared on the same folds and the same resamples of patients: figures, and what each gains."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipe_ways import WAYS
from tbconv.contract.statistics import Estimate
from torch_train.evaluation.bootstrap import draw_patients
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.predictions import Fold, Predictions
from torch_train.evaluation.splits import FoldPlan, Pool
from torch_train.evaluation.statistics import AUROC, FOLDS_AUROC, Resampled, differences, pool_folds, resample

Json = dict[str, Any]


def compare_ways(
    pool: Pool, plans: Sequence[FoldPlan], config: EvaluateConfig, out: Path, names: Sequence[str]
) -> dict[str, tuple[Resampled, Json]]:
    """Return every way's figures, and where they were taken; ways that were not fitted are left out."""
    listed = [name for name in names if (out / f"{name}.npz").is_file()]
    margins = {name: np.load(out / f"{name}.npz")["margins"].astype(np.float64) for name in listed}
    folds = tuple(
        Fold(
            plan.repeat,
            plan.name,
            plan.test,
            {name: all_[k][plan.test] for name, all_ in margins.items()},
            dict.fromkeys(margins, 0.0),
        )
        for k, plan in enumerate(plans)
    )
    films = pool.films
    nobody = (None,) * len(films.labels)
    predictions = Predictions(
        films.labels,
        films.patients,
        nobody,
        nobody,
        nobody,
        films.names,
        films.patients_known,
        films.synthetic,
        config.title,
        config.recipe.target_sensitivity,
        films.data_digest,
        config.recipe.stored(),
        folds,
    )
    tested = np.unique(np.concatenate([plan.test for plan in plans]))
    source = draw_patients(films.labels, films.patients, tested, seed=0)
    return {
        name: (resample(pool_folds(predictions, name), source), json.loads((out / f"{name}.json").read_text()))
        for name in margins
    }


def rows_of(
    found: dict[str, tuple[Resampled, Json]], given: argparse.Namespace, pool: Pool, config: EvaluateConfig
) -> list[Json]:
    """Return a CSV row a way; a gain is over the first of them."""
    first = next(iter(found.values()))[0]
    common = {
        "data": given.data.name,
        "films": len(pool.labels),
        "protocol": config.title,
        "epochs": given.epochs,
        "weights": Path(given.weights).name,
    }
    rows = []
    for name, (one, where) in found.items():
        gain = differences(one, first)
        row = where | common | {"way": name, "epochs": _epochs_of(name, given)}
        for figure in (AUROC, FOLDS_AUROC):
            for title, value in ((figure, one.estimate(figure)), (f"{figure}_gain", gain[figure])):
                row |= _cells(title, value)
        rows.append(row)
    return rows


def _cells(title: str, value: Estimate) -> Json:
    numbers = {title: value.value, f"{title}_low": value.low, f"{title}_high": value.high}
    return {name: None if number is None else round(number, 5) for name, number in numbers.items()}


def _epochs_of(name: str, given: argparse.Namespace) -> int:
    """Return the epochs of a way's own options, else of the command."""
    way = next(way for way in WAYS if name in way.readers)
    return int(way.options.get("epochs", given.epochs))


def show(found: dict[str, tuple[Resampled, Json]]) -> None:
    """Print a line a way."""
    first = next(iter(found.values()))[0]
    for name, (one, where) in found.items():
        gain = differences(one, first)
        cells = []
        for figure in (AUROC, FOLDS_AUROC):
            value, more = one.estimate(figure), gain[figure]
            cells.append(
                f"{value.value:.4f} ({value.low:.4f} to {value.high:.4f}) "
                f"{more.value:+.4f} ({more.low:+.4f} to {more.high:+.4f})"
            )
        print(f"{name:32} pooled {cells[0]}   folds {cells[1]}   {where['seconds_a_fit']} s a fit")
