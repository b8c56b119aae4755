"""The operating point: a margin in logits, because a quantised sigmoid has steps of 1/256."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A point on the validation ROC curve, fixed at training time."""

    margin: float  # logit of positive minus logit of negative; a film at or above it is positive
    wished_sensitivity: float
    sensitivity: float  # on the films it was chosen on
    specificity: float  # on the films it was chosen on
    positives: int  # of the films it was chosen on
    negatives: int
    chosen_on: str  # SHA-256 of the split

    def __post_init__(self) -> None:
        if not math.isfinite(self.margin):
            raise ValueError(f"margin must be finite, got {self.margin!r}")

    def refer(self, margins: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Decide: True where a film is at or above the threshold (NaN never is).

        Args:
            margins: [N], logits of positive minus logits of negative.
        """
        return np.asarray(margins) >= self.margin
