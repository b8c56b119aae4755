"""Platt's slope and offset: from a margin in logits to a probability that people can read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(slope * margin + offset), at the prior of the films it was fitted on."""

    slope: float
    offset: float
    positives: int  # films it was fitted on
    negatives: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.offset)):
            raise ValueError(f"slope and offset must be finite, got {self.slope!r}, {self.offset!r}")

    @property
    def prior(self) -> float:
        """Share of positives among the films that it was fitted on."""
        return self.positives / max(1, self.positives + self.negatives)

    def probability(self, margins: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the calibrated probability of the positive class, float64 [N]."""
        exponent = np.clip(-(self.slope * np.asarray(margins, np.float64) + self.offset), -700, 700)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), np.float64)
