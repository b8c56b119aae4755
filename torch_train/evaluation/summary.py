"""All figures of an evaluation as one JSON value, from which page, model card and terminal output are made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tbconv.contract.errors import ConfigError, Referral
from tbconv.contract.manifest import proposed_referral
from torch_train.evaluation import statistics
from torch_train.evaluation.bootstrap import assess_sample_size, draw_patients
from torch_train.evaluation.predictions import Predictions
from torch_train.evaluation.statistics import (
    FIGURES,
    Field,
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
        predictions: with at least one fold and one classifier that has margins in all of them.
        config: prevalence, costs and the seed of the resamples.

    Raises:
        ValueError: no classifier has margins in every fold, or the tested films are of one class.
    """
    if not predictions.classifiers:
        raise ValueError("no classifier has margins in every fold")
    tested = np.unique(np.concatenate([fold.rows for fold in predictions.folds]))
    positives = int((predictions.labels[tested] == 1).sum())
    if positives in (0, len(tested)):
        raise ValueError("the tested films are all of one class")
    pooled = {classifier: pool_folds(predictions, classifier) for classifier in predictions.classifiers}
    source = draw_patients(predictions.labels, predictions.patients, tested, seed=config.seed)
    resampled = {classifier: resample(repeats, source) for classifier, repeats in pooled.items()}
    main = predictions.classifiers[0]
    # a class prior gives every film of a fold one margin: there is nothing to calibrate, and no threshold to transport
    graded = [name for name, repeats in pooled.items() if not all(one.is_constant for one in repeats)]
    field = Field(config.prevalence, config.cost_film, config.cost_test)
    return {
        "format": FORMAT,
        "disclaimer": Referral(proposed_referral(predictions.names)).disclaimer,
        "synthetic": predictions.synthetic,
        "labels": asdict(predictions.names),
        "films": {
            "n": len(tested),
            "positives": positives,
            "negatives": len(tested) - positives,
            "of": len(predictions.labels),
            "patients": source.patients_of(tested),
            "patients_known": predictions.patients_known,
        },
        "protocol": predictions.protocol,
        "repeats": len({fold.repeat for fold in predictions.folds}),
        "fits": len(predictions.folds),
        "target_sensitivity": predictions.target_sensitivity,
        "data_digest": predictions.data_digest,
        "recipe": predictions.recipe,
        "settings": asdict(config),
        "interval": source.method,
        "main": main,
        "readers": {
            name: {figure: asdict(found.estimate(figure)) for figure in FIGURES} for name, found in resampled.items()
        },
        "differences": {
            name: {figure: asdict(one) for figure, one in differences(resampled[main], found).items()}
            for name, found in resampled.items()
            if name != main
        },
        "enough": _sample_sizes(resampled[main], predictions.target_sensitivity),
        "calibration": {name: describe_calibration(pooled[name], source) for name in graded},
        "subgroups": describe_subgroups(predictions, pooled[main], source),
        "folds": {name: describe_folds(predictions, name, pooled[name], source) for name in graded},
        "transported": describe_transported(resampled[main], field),
        "thresholds": sweep_thresholds(pooled[main], source, field),
    }


def _sample_sizes(found: Resampled, target_sensitivity: float) -> Json:
    """Return what the tested patients suffice to show of the target sensitivity and of WHO's specificity."""
    claims = (("sensitivity", target_sensitivity, 1), ("specificity", statistics.SPECIFICITY, 0))
    return {
        name: asdict(
            assess_sample_size(
                found.source.patients_of(found.rows[found.labels == truth]),
                target=target,
                observed=found.estimate(name).value,
            )
        )
        for name, target, truth in claims
        if target < 1
    }
