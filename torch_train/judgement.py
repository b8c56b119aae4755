"""From margins to what is said about a run: readouts fixed on validation, figures from the test part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.manifest import Readout
from torch_train.calibrate import fit_calibration
from torch_train.config import TrainConfig
from torch_train.data.split import PARTS
from torch_train.films import TrainingFilms
from torch_train.metrics import auroc_difference, judge
from torch_train.operating_point import choose_operating_point

TRAINED, BASELINE_NETWORK = "trained", "baseline"


@dataclass(frozen=True, slots=True)
class Judged:
    """One network's readout and its margins on every film."""

    readout: Readout
    margins: NDArray[np.floating]  # [N]; what is NaN for training films is never read


def read_out(margins: NDArray[np.floating], films: TrainingFilms, config: TrainConfig) -> Judged:
    """Fix calibration and operating point on the validation part."""
    rows = films.parts["validation"]
    chosen, labels = margins[rows], films.labels[rows]
    point = choose_operating_point(
        chosen, labels, wished_sensitivity=config.wished_sensitivity, chosen_on=films.split_digest
    )
    return Judged(Readout(fit_calibration(chosen, labels), point), margins)


def collect_metrics(judged: dict[str, Judged], films: TrainingFilms, config: TrainConfig) -> dict[str, Any]:
    """Return metrics.json: every network on validation and test, and their difference on test.

    Args:
        judged: by network: baseline, and trained if there is one.
        films: of the run.
        config: for the seed of the bootstraps.
    """
    metrics = {
        "synthetic": films.synthetic,
        "disclaimer": DISCLAIMER,
        "labels": asdict(films.names),
        "patients_known": films.patients_known,
        "films": {part: _counts(films, part) for part in PARTS},
        "networks": {name: _network(one, films, config) for name, one in judged.items()},
    }
    if TRAINED in judged:
        metrics["auroc_gain"] = _gain(judged, films, config)
    return metrics


def _counts(films: TrainingFilms, part: str) -> dict[str, int]:
    labels = films.labels_of(part)
    positives = int((labels == 1).sum())
    patients = len(np.unique(films.patients_of(part)))
    return {"n": len(labels), "positives": positives, "negatives": len(labels) - positives, "patients": patients}


def _network(judged: Judged, films: TrainingFilms, config: TrainConfig) -> dict[str, Any]:
    point = judged.readout.operating_point
    parts = {
        part: judge(
            judged.margins[films.parts[part]],
            films.labels_of(part),
            films.patients_of(part),
            point,
            names=films.names,
            seed=config.seed,
        )
        for part in ("validation", "test")
    }
    return {**asdict(judged.readout), **parts}


def _gain(judged: dict[str, Judged], films: TrainingFilms, config: TrainConfig) -> dict[str, Any]:
    rows = films.parts["test"]
    first, second = judged[TRAINED].margins[rows], judged[BASELINE_NETWORK].margins[rows]
    labels, patients = films.labels_of("test"), films.patients_of("test")
    return asdict(auroc_difference(first, second, labels, patients, seed=config.seed))
