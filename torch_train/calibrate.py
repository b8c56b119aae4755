"""Platt's slope and offset, fitted on validation margins at their natural prior.

Classes are balanced while training, so a raw sigmoid speaks of a world with as many sick as
healthy; the offset puts the validation films' own prior back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from tbconv.contract.calibration import Calibration

# A margin that orders films the wrong way round must not turn decisions over: the probability is then nearly flat.
LOWEST_SLOPE = 1e-3


def fit_calibration(margins: NDArray[np.floating], labels: NDArray[np.int64]) -> Calibration:
    """Fit probability = sigmoid(slope * margin + offset).

    Targets are Platt's (1999): (P + 1) / (P + 2) and 1 / (N + 2) instead of 1 and 0, so that
    films that are perfectly apart do not send the slope to infinity.

    Args:
        margins: [N], of validation films.
        labels: int64 [N], 1 positive.
    """
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, offset = _fit(np.asarray(margins, np.float64), targets)
    if slope < LOWEST_SLOPE:
        slope, offset = LOWEST_SLOPE, _offset_for(LOWEST_SLOPE, np.asarray(margins, np.float64), targets)
    return Calibration(slope, offset, positives, negatives)


def _fit(margins: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float]:
    """Maximise the likelihood of soft targets: each film counts as positive by t and as negative by 1 - t."""
    centre, spread = float(margins.mean()), float(margins.std()) or 1.0
    column = ((margins - centre) / spread)[:, None]  # lbfgs wants numbers near one
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(
        np.concatenate([column, column]),
        np.repeat([1, 0], len(margins)),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    slope = float(model.coef_[0, 0]) / spread
    return slope, float(model.intercept_[0]) - slope * centre


def _offset_for(slope: float, margins: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    """Return the offset at which the mean probability is the targets' mean."""
    reach = 50.0 + slope * float(np.abs(margins).max())
    return float(brentq(lambda offset: float((expit(slope * margins + offset) - targets).mean()), -reach, reach))
