"""The predictions of every fold for films that it was not trained on: all figures are made of this table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import read_json
from tbconv.contract.files import write_json
from tbconv.contract.manifest import Labels

TRAINED, BASELINE, AGE_SEX, PRIOR = "trained", "baseline", "age and sex", "class prior"
FILE = "predictions.json"


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit, and its predictions for the films held out from it."""

    repeat: int  # from 0
    name: str  # "fold 2 of 5", a site's name, "70/20/10"
    rows: NDArray[np.int64]  # [n], indices of the films that it is tested on
    margins: dict[str, NDArray[np.float64]]  # by classifier (TRAINED, BASELINE, AGE_SEX, PRIOR): logits, [n]
    thresholds: dict[
        str, float
    ]  # by classifier: margin from which it refers, chosen on the fold's own validation films


@dataclass(frozen=True, slots=True)
class Predictions:
    """The films, as far as figures need them (no name, no path, no patient's key), and every fold."""

    labels: NDArray[np.int64]  # [N], 1 positive
    patients: NDArray[np.int64]  # [N], equal where the patient is
    sites: tuple[str | None, ...]
    sexes: tuple[str | None, ...]  # F, M or O
    ages: tuple[float | None, ...]  # years
    names: Labels
    patients_known: bool
    synthetic: bool
    protocol: str  # "5 x 5 folds", "leave one site out", "70/20/10"
    target_sensitivity: float
    data_digest: str
    recipe: dict[str, Any]  # TrainConfig.stored()
    folds: tuple[Fold, ...]

    @property
    def classifiers(self) -> tuple[str, ...]:
        """Those with margins in every fold, the main one first."""
        known = (TRAINED, BASELINE, AGE_SEX, PRIOR)
        return tuple(name for name in known if self.folds and all(name in fold.margins for fold in self.folds))


def write_predictions(folder: Path, predictions: Predictions) -> Path:
    """Write predictions.json and return its path."""
    fields = asdict(predictions)
    fields["folds"] = [fold_to_json(fold) for fold in predictions.folds]
    fields |= {"labels": predictions.labels.tolist(), "patients": predictions.patients.tolist()}
    write_json(folder / FILE, fields)
    return folder / FILE


def fold_to_json(fold: Fold) -> dict[str, Any]:
    """Return a fold in values that JSON has."""
    margins = {name: values.tolist() for name, values in fold.margins.items()}
    return asdict(fold) | {"rows": fold.rows.tolist(), "margins": margins}


def read_predictions(folder: Path) -> Predictions:
    """Read what `write_predictions` wrote."""
    fields: dict[str, Any] = read_json(folder / FILE)
    fields |= {"folds": tuple(fold_from_json(one) for one in fields["folds"]), "names": Labels(**fields["names"])}
    fields |= {name: tuple(fields[name]) for name in ("sites", "sexes", "ages")}
    fields |= {name: np.asarray(fields[name], np.int64) for name in ("labels", "patients")}
    return Predictions(**fields)


def fold_from_json(fields: dict[str, Any]) -> Fold:
    """Return the fold that `fold_to_json` gave."""
    margins = {name: np.asarray(values, np.float64) for name, values in fields["margins"].items()}
    return Fold(fields["repeat"], fields["name"], np.asarray(fields["rows"], np.int64), margins, fields["thresholds"])
