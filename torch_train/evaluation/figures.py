"""A reader's figures on pooled out-of-fold answers, resampled by patient: the one table that readers are compared in.

Folds are pooled within a repeat, and a figure is averaged over repeats inside each resample:
25 answers to 104 films stay 104 films. Pooled margins come of different networks, whose scales
may differ, so the mean of the folds' own AUROCs stands beside the pooled one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from torch_train.evaluation.answers import Answers
from torch_train.evaluation.drawn import (
    Drawn,
    auroc_interval,
    difference_interval,
    nothing,
    percentile_interval,
    share_interval,
)
from torch_train.evaluation.patient_draws import PatientDraws, Weights, ones
from torch_train.evaluation.weighted import mean_of_known, weighted_auroc, weighted_mean, weighted_share
from torch_train.intervals import Estimate

AUROC, FOLDS_AUROC = "auroc", "auroc_mean_of_folds"
SHARES = ("sensitivity", "specificity", "accuracy")
LOSSES = ("brier", "log_loss")
FIGURES = (AUROC, FOLDS_AUROC, *SHARES, *LOSSES)
NO_CALIBRATION = "no other fold to calibrate on"


@dataclass(frozen=True, slots=True)
class Resampled:
    """One reader's figures, of the films as they are and of every resample."""

    values: NDArray[np.float64]  # [figures], in the order of FIGURES; NaN where there is none
    draws: NDArray[np.float64]  # [draws, figures]
    rows: NDArray[np.int64]  # [n], the films, each once
    labels: NDArray[np.int64]  # [n]
    source: PatientDraws
    orders_nothing: bool

    def drawn(self, name: str) -> Drawn:
        """Return one figure with the films that it counts."""
        truth = {"sensitivity": self.labels == 1, "specificity": self.labels == 0}.get(name)
        rows = self.rows if truth is None else self.rows[truth]
        column = FIGURES.index(name)
        value, draws = float(self.values[column]), self.draws[:, column]
        return Drawn(value, draws, len(rows), self.source.patients_of(rows), self.source.method)

    def estimate(self, name: str) -> Estimate:
        """Return one figure with its interval."""
        found = self.drawn(name)
        if name in LOSSES:
            return percentile_interval(found) if np.isfinite(found.value) else nothing(NO_CALIBRATION)
        return share_interval(found) if name in SHARES else self._auroc(found)

    def _auroc(self, found: Drawn) -> Estimate:
        if self.orders_nothing and np.isfinite(found.value):
            return Estimate(0.5, 0.5, 0.5, found.n, "one answer to all films of a fold orders none: 0.5 by definition")
        sick, well = (self.source.patients_of(self.rows[self.labels == label]) for label in (1, 0))
        return auroc_interval(found, positives=sick, negatives=well)


def resample(repeats: Sequence[Answers], source: PatientDraws) -> Resampled:
    """Return the figures of one reader's answers.

    Args:
        repeats: the answers, repeat by repeat; those to some films only are allowed.
        source: the resamples.
    """
    values = mean_of_known([reader_figures(one, ones(one.rows)) for one in repeats])[0]
    drawn = [source.each(one.rows, lambda weights, one=one: reader_figures(one, weights)) for one in repeats]  # type: ignore[misc]
    rows, first = np.unique(np.concatenate([one.rows for one in repeats]), return_index=True)
    labels = np.concatenate([one.labels for one in repeats])[first]
    orders_nothing = all(one.orders_nothing for one in repeats)
    return Resampled(values, mean_of_known(drawn), rows, labels, source, orders_nothing)


def reader_figures(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return FIGURES of one repeat for every weighting, float64 [draws, figures]."""
    truth, every = answers.labels == 1, np.ones(len(answers.rows), np.bool_)
    right = answers.referred == truth
    found = [
        _pooled_auroc(answers, weights),
        mean_of_folds(answers, weights),
        weighted_share(weights, right, truth),
        weighted_share(weights, right, ~truth),
        weighted_share(weights, right, every),
    ]
    return np.column_stack([*found, _losses(answers, weights)])


def _pooled_auroc(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return the AUROC over all folds.

    A class prior is lower where the fold holds more positives: pooled, it would order films by
    their fold, the wrong way round, so what orders nothing within folds is given one margin.
    """
    margins = np.zeros_like(answers.margins) if answers.orders_nothing else answers.margins
    return weighted_auroc(weights, margins, answers.labels)


def mean_of_folds(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return the plain mean of the folds' AUROCs, over those where both classes have weight, [draws]."""
    inside = [answers.folds == fold for fold in np.unique(answers.folds)]
    areas = np.stack([weighted_auroc(weights[:, i], answers.margins[i], answers.labels[i]) for i in inside])
    return mean_of_known(areas)


def _losses(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return the mean Brier score and log loss of probabilities that other folds calibrated, [draws, 2]."""
    if answers.calibrated is None:
        return np.full((len(weights), len(LOSSES)), np.nan)
    brier = (expit(answers.calibrated) - answers.labels) ** 2
    surprise = np.logaddexp(0, answers.calibrated) - answers.labels * answers.calibrated
    return weighted_mean(weights, np.stack([brier, surprise], axis=1))


def differences(first: Resampled, second: Resampled) -> dict[str, Estimate]:
    """Return first - second for every figure, on the same resamples."""
    return {name: difference_interval(first.drawn(name).minus(second.drawn(name))) for name in FIGURES}
