"""The baseline: logistic regression on a 28 x 28 thumbnail, as plain a classifier as can be stored.

Whatever the trained network claims is compared with it on the same split, and it is what a
server falls back to. Its graph is 8 x 8 average pooling, one weight a pixel and a mean, so its 7 x 7
evidence is exact as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 28
CELL = 8  # 224 / 28 film pixels a thumbnail pixel
REGULARISATION = 0.01  # scikit-learn's C on pixels in 0..1: 784 weights on some 500 films need a strong prior


@dataclass(frozen=True, slots=True)
class BaselineWeights:
    """One weight a thumbnail pixel (grey / 255) and an intercept; the margin of the baseline."""

    weight: NDArray[np.float32]  # [784]
    bias: float


def fit_baseline(model_inputs: NDArray[np.uint8], labels: NDArray[np.int64], *, seed: int) -> BaselineWeights:
    """Fit on training films.

    Args:
        model_inputs: uint8 [N, 224, 224].
        labels: int64 [N], 1 positive.
        seed: of the solver.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=2000, random_state=seed)
    model.fit(thumbnails(model_inputs), labels)
    return BaselineWeights(model.coef_[0].astype(np.float32), float(model.intercept_[0]))


def thumbnails(model_inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average 8 x 8 pixels: uint8 [N, 224, 224] -> float32 [N, 784], values 0..1."""
    cells = model_inputs.reshape(len(model_inputs), THUMBNAIL, CELL, THUMBNAIL, CELL)
    mean = np.stack([cell.mean((1, 3), dtype=np.float32) for cell in cells])
    return np.asarray((mean / np.float32(255)).reshape(len(model_inputs), -1), np.float32)


def baseline_margins(weights: BaselineWeights, model_inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the margins of films uint8 [N, 224, 224], float64 [N]."""
    return np.asarray(thumbnails(model_inputs).astype(np.float64) @ weights.weight.astype(np.float64) + weights.bias)
