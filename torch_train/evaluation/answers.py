"""Each repeat's folds laid end to end: the one place where out-of-fold answers are put on a common scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.calibration import Calibration
from torch_train.calibrate import fit_calibration
from torch_train.evaluation.predictions import Fold, Predictions


@dataclass(frozen=True, slots=True)
class Answers:
    """What one reader said in one repeat of the films that it did not learn from."""

    rows: NDArray[np.int64]  # [n], indices of the films
    labels: NDArray[np.int64]  # [n], 1 positive
    folds: NDArray[np.int64]  # [n], number of the fold within the repeat
    margins: NDArray[np.float64]  # [n], logits; each fold's are another network's
    referred: NDArray[np.bool_]  # [n], at or above the fold's own transported threshold
    calibrated: NDArray[np.float64] | None  # [n], logits by a calibration of the other folds; None with one fold

    @property
    def scores(self) -> NDArray[np.float64]:
        """Margins on a scale that folds share as far as there is one, [n]."""
        return self.margins if self.calibrated is None else self.calibrated

    @property
    def orders_nothing(self) -> bool:
        """Whether each fold says one thing of all its films, as the class prior does."""
        return _orders_nothing(self.margins, self.folds)

    def only(self, keep: NDArray[np.bool_]) -> Answers:
        """Return the answers to some of the films, bool [n]."""
        calibrated = None if self.calibrated is None else self.calibrated[keep]
        return Answers(
            self.rows[keep], self.labels[keep], self.folds[keep], self.margins[keep], self.referred[keep], calibrated
        )


def pool_folds(predictions: Predictions, reader: str) -> tuple[Answers, ...]:
    """Return one reader's answers, repeat by repeat.

    Raises:
        ValueError: a repeat tests a film twice, or a margin is not finite.
    """
    repeats = sorted({fold.repeat for fold in predictions.folds})
    return tuple(
        _pool_repeat([fold for fold in predictions.folds if fold.repeat == repeat], predictions.labels, reader)
        for repeat in repeats
    )


def _pool_repeat(folds: list[Fold], labels: NDArray[np.int64], reader: str) -> Answers:
    rows = np.concatenate([fold.rows for fold in folds])
    margins = np.concatenate([np.asarray(fold.margins[reader], np.float64) for fold in folds])
    if len(np.unique(rows)) < len(rows):
        raise ValueError(f"repeat {folds[0].repeat} tests a film in more than one fold")
    if not np.isfinite(margins).all():
        raise ValueError(f"{reader} answered with a margin that is not finite in repeat {folds[0].repeat}")
    number = np.repeat(np.arange(len(folds)), [len(fold.rows) for fold in folds])
    thresholds = np.array([fold.thresholds[reader] for fold in folds])[number]
    calibrated = calibrate_by_the_others(margins, labels[rows], number)
    return Answers(rows, labels[rows], number, margins, margins >= thresholds, calibrated)


def calibrate_by_the_others(
    margins: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return each film's logit by the slope and offset that the other folds' films give, [n].

    The fit is the one that `tbconv train` ships, so that what is judged is what people get; the
    line that judges it, `weighted.weighted_line`, is another. None where a fold has no other
    folds with films of both classes to learn from. A reader that
    orders no films gets an offset alone: a slope through a few nearly equal margins would be noise.
    """
    logits, flat = np.empty_like(margins), _orders_nothing(margins, folds)
    for fold in np.unique(folds):
        inside = folds == fold
        if len(np.unique(labels[~inside])) < 2:
            return None
        found = fit_calibration(0 * margins[~inside] if flat else margins[~inside], labels[~inside])
        logits[inside] = _logit(found, 0 * margins[inside] if flat else margins[inside])
    return logits


def _orders_nothing(margins: NDArray[np.float64], folds: NDArray[np.int64]) -> bool:
    return all(np.ptp(margins[folds == fold]) == 0 for fold in np.unique(folds))


def _logit(calibration: Calibration, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    return calibration.slope * margins + calibration.offset
