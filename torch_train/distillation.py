"""What a pupil owes its teacher: the loss that pulls it there, and the one count of how far it still is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tbconv.contract.threshold import OperatingPoint


@dataclass(frozen=True, slots=True)
class Answers:
    """What the teacher says, or a pupil."""

    logits: Tensor  # float32 [N, 2]
    features: Tensor  # float32 [N, C, 7, 7]

    @property
    def margin(self) -> Tensor:
        """Logit of positive minus logit of negative, [N]."""
        return self.logits[:, 1] - self.logits[:, 0]


@dataclass(frozen=True, slots=True)
class Distillation:
    """The loss: how far a pupil is from its teacher, in units of the teacher's own spread."""

    spread: float  # standard deviation of the teacher's margin
    threshold: float  # the operating point's margin
    near_weight: float
    near_width: float
    feature_weight: float

    def loss(self, pupil: Answers, teacher: Answers) -> Tensor:
        """Return a scalar: margin (films near the threshold count more) + logits + feature map."""
        distance = (teacher.margin - self.threshold) / (self.near_width * self.spread)
        weight = 1 + self.near_weight * torch.exp(-0.5 * distance.square())
        margin = (weight * ((pupil.margin - teacher.margin) / self.spread).square()).mean()
        logits = ((pupil.logits - teacher.logits) / self.spread).square().mean()
        power = teacher.features.square().mean().clamp(min=1e-12)
        features = (pupil.features - teacher.features).square().mean() / power
        return margin + logits + self.feature_weight * features


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near one network answers to the original float network on held-out films."""

    films: int
    sqnr_db: float  # of the logits
    margin_sqnr_db: float  # of the margin about its mean
    max_abs_margin: float
    missed: int  # decisions that flip from positive to negative
    added: int  # decisions that flip from negative to positive

    def line(self) -> str:
        """Return one line for people."""
        return (
            f"{self.sqnr_db:.1f} dB (margin {self.margin_sqnr_db:.1f} dB), max |d margin| {self.max_abs_margin:.3g}, "
            f"{self.missed} missed + {self.added} added of {self.films} films"
        )


def closeness(truth: NDArray[np.float64], other: NDArray[np.float64], point: OperatingPoint) -> Closeness:
    """Compare two sets of logits [N, 2]; the first one is right.

    Raises:
        ValueError: there is no film, or a logit is no number.
    """
    if not (len(truth) and np.isfinite(truth).all() and np.isfinite(other).all()):
        raise ValueError("closeness needs films and finite logits")
    margin, others = truth[:, 1] - truth[:, 0], other[:, 1] - other[:, 0]
    positive, positives = point.refer(margin), point.refer(others)
    return Closeness(
        films=len(truth),
        sqnr_db=_sqnr_db(truth, other - truth),
        margin_sqnr_db=_sqnr_db(margin - margin.mean(), (others - others.mean()) - (margin - margin.mean())),
        max_abs_margin=float(np.abs(others - margin).max()),
        missed=int((positive & ~positives).sum()),
        added=int((~positive & positives).sum()),
    )


def _sqnr_db(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """Return 10 log10 of the powers' ratio; 300 where nothing differs, which JSON can hold."""
    ratio = max(np.square(signal).sum(), 1e-300) / max(np.square(noise).sum(), 1e-300)
    return float(np.clip(10 * np.log10(ratio), -300, 300))
