"""The baseline: logistic regression on a 28 x 28 thumbnail, as plain a reader as can be stored.

Whatever the trained network claims is compared with it on the same split, and it is what a
server falls back to. Its graph is 8 x 8 average pooling and one linear layer, so its 7 x 7
evidence is exact as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tbconv.contract.manifest import EVIDENCE_SIDE

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


class DeployedBaseline(nn.Module):
    """The baseline in the shape of the network: `image` -> `logits`, `probability`, `evidence`."""

    weight: Tensor
    bias: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, weights: BaselineWeights, *, slope: float, offset: float) -> None:
        super().__init__()
        weight = torch.from_numpy(weights.weight)
        self.thumbnail = nn.AvgPool2d(CELL)
        self.cells = nn.AvgPool2d(THUMBNAIL // EVIDENCE_SIDE)
        self.logits = nn.Linear(THUMBNAIL**2, 2)
        self.margin = nn.Linear(THUMBNAIL**2, 1)
        with torch.no_grad():
            self.logits.weight.copy_(torch.stack([-weight, weight]) / 2)
            self.logits.bias.copy_(torch.tensor([-weights.bias, weights.bias]) / 2)
            self.margin.weight.copy_(weight[None])
            self.margin.bias.fill_(weights.bias)
        self.register_buffer("weight", weight.reshape(1, 1, THUMBNAIL, THUMBNAIL) * THUMBNAIL**2)
        self.register_buffer("bias", torch.tensor(weights.bias))
        self.register_buffer("slope", torch.tensor(slope))
        self.register_buffer("offset", torch.tensor(offset))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn films float [N, 1, 224, 224] into [N, 2], [N, 1] and [N, 7, 7]."""
        thumbnail = self.thumbnail(image) / 255.0
        rows = thumbnail.reshape(-1, THUMBNAIL**2)
        evidence = self.cells(thumbnail * self.weight) + self.bias
        probability = torch.sigmoid(self.margin(rows) * self.slope + self.offset)
        return self.logits(rows), probability, evidence.reshape(-1, EVIDENCE_SIDE, EVIDENCE_SIDE)
