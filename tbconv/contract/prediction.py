"""The outputs of every runner of every framework: three named arrays for a batch of films."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outputs for N films."""

    logits: NDArray[np.floating]  # [N, 2], (negative, positive)
    probability: NDArray[np.floating]  # [N, 1], calibrated
    evidence: NDArray[np.floating] | None  # [N, 7, 7], margin = mean(evidence); None from an H5

    @property
    def margin(self) -> NDArray[np.floating]:
        """Logit of positive minus logit of negative, [N]: what decisions compare."""
        return np.asarray(self.logits[:, 1] - self.logits[:, 0])


class Classifier(Protocol):
    """Anything that predicts films."""

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Return the outputs for films, float32 [N, 224, 224, 1], values 0..255."""
        ...
