"""All that an evaluation says, as one JSON value: page, model card and terminal are made from nothing else."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ConfigError
from tbconv.contract.reporting import DISCLAIMER
from torch_train.evaluation import statistics
from torch_train.evaluation.bootstrap import PatientResamples, SampleSize, assess_sample_size, draw_patients
from torch_train.evaluation.predictions import Predictions
from torch_train.evaluation.statistics import (
    FIGURES,
    Field,
    OutOfFold,
    Resampled,
    describe_calibration,
    describe_folds,
    describe_subgroups,
    describe_transported,
    differences,
    pool_folds,
    resample,
    sweep_thresholds,
)

FORMAT = 1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SummaryConfig:
    """What figures need beside the predictions."""

    prevalence: float = 0.01  # share of the screened who are ill
    cost_film: float | None = None  # of each screened film, in the user's own currency
    cost_test: float | None = None  # of each test of a referred person
    seed: int = 0  # of the resamples

    def __post_init__(self) -> None:
        if not 0 < self.prevalence < 1:
            raise ConfigError(
                f"--prevalence is {self.prevalence!r}",
                why="it is the share of screened people who are ill, between 0 and 1",
                fix="--prevalence 0.01 for one in a hundred",
            )
        costs = (self.cost_film, self.cost_test)
        if any(cost is not None and not (math.isfinite(cost) and cost >= 0) for cost in costs):
            raise ConfigError(
                f"--cost-film is {costs[0]!r}, --cost-test {costs[1]!r}",
                why="a cost is a number from 0 up",
                fix="give both in one currency",
            )
        if (self.cost_film is None) != (self.cost_test is None):
            raise ConfigError(
                f"--cost-film is {costs[0]!r}, --cost-test {costs[1]!r}",
                why="the cost of a case found is made of both",
                fix="give both in one currency, 0 for what costs nothing, or neither",
            )


def summarise(predictions: Predictions, config: SummaryConfig) -> Json:
    """Return every figure of an evaluation, ready for `write_json`.

    Args:
        predictions: with at least one fold and one classifier that answered in all folds.
        config: prevalence, costs and the seed of the resamples.

    Raises:
        ValueError: no classifier answered in every fold, or the tested films are of one class.
    """
    pooled = {classifier: pool_folds(predictions, classifier) for classifier in predictions.classifiers}
    tested = _tested(predictions)
    _check(predictions, tested)
    source = draw_patients(predictions.labels, predictions.patients, tested, seed=config.seed)
    resampled = {classifier: resample(repeats, source) for classifier, repeats in pooled.items()}
    main = predictions.classifiers[0]
    field = Field(config.prevalence, config.cost_film, config.cost_test)
    return {
        **_about(predictions, tested, source, config),
        "main": main,
        "readers": {classifier: _figures(found) for classifier, found in resampled.items()},
        "differences": _differences(resampled, main),
        "enough": _enough(resampled[main], predictions),
        "calibration": {classifier: describe_calibration(pooled[classifier], source) for classifier in _graded(pooled)},
        "subgroups": describe_subgroups(predictions, pooled[main], source),
        "folds": {
            classifier: describe_folds(predictions, classifier, pooled[classifier], source)
            for classifier in _graded(pooled)
        },
        "transported": describe_transported(resampled[main], field),
        "thresholds": sweep_thresholds(pooled[main], source, field),
    }


def _tested(predictions: Predictions) -> NDArray[np.int64]:
    rows = [fold.rows for fold in predictions.folds]
    return np.asarray(np.unique(np.concatenate(rows)) if rows else [], np.int64)


def _check(predictions: Predictions, tested: NDArray[np.int64]) -> None:
    if not predictions.classifiers:
        raise ValueError("no classifier answered in every fold")
    if len(np.unique(predictions.labels[tested])) < 2:
        raise ValueError("the tested films are all of one class")


def _about(
    predictions: Predictions, tested: NDArray[np.int64], source: PatientResamples, config: SummaryConfig
) -> Json:
    """Return what was judged, on what, and how."""
    sick = int((predictions.labels[tested] == 1).sum())
    films = {"n": len(tested), "positives": sick, "negatives": len(tested) - sick, "of": len(predictions.labels)}
    films |= {"patients": source.patients_of(tested), "patients_known": predictions.patients_known}
    return {
        "format": FORMAT,
        "disclaimer": DISCLAIMER,
        "synthetic": predictions.synthetic,
        "labels": asdict(predictions.names),
        "films": films,
        "protocol": predictions.protocol,
        "repeats": len({fold.repeat for fold in predictions.folds}),
        "fits": len(predictions.folds),
        "target_sensitivity": predictions.target_sensitivity,
        "data_digest": predictions.data_digest,
        "recipe": predictions.recipe,
        "settings": asdict(config),
        "interval": source.method,
    }


def _figures(found: Resampled) -> dict[str, Json]:
    return {name: asdict(found.estimate(name)) for name in FIGURES}


def _differences(resampled: dict[str, Resampled], main: str) -> Json:
    """Return the main classifier minus each other one."""
    others = (classifier for classifier in resampled if classifier != main)
    return {
        other: {name: asdict(one) for name, one in differences(resampled[main], resampled[other]).items()}
        for other in others
    }


def _graded(pooled: dict[str, tuple[OutOfFold, ...]]) -> list[str]:
    """Return the classifiers whose margins say anything of a film."""
    return [classifier for classifier, repeats in pooled.items() if not all(one.is_constant for one in repeats)]


def _enough(found: Resampled, predictions: Predictions) -> Json:
    """Return what the tested patients could prove of the wished sensitivity and of WHO's specificity."""
    claims = {
        "sensitivity": (predictions.target_sensitivity, 1),
        "specificity": (statistics.SPECIFICITY, 0),
    }
    return {name: asdict(_claim(found, name, target, truth)) for name, (target, truth) in claims.items() if target < 1}


def _claim(found: Resampled, name: str, target: float, truth: int) -> SampleSize:
    patients = found.source.patients_of(found.rows[found.labels == truth])
    return assess_sample_size(patients, target=target, observed=found.estimate(name).value)
