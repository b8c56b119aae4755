"""The recipes that were tried: options of `tbconv train`, and what it has no option for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Way:
    """A recipe: options of `tbconv train`, and what it has no option for."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of TrainConfig
    ema: float | None = None  # decay a step of a moving average of the weights, which is judged instead of them
    head_first: int = 0  # epochs in which the head alone learns, before the other layers that may
    cosine: bool = False  # the schedule; else a plateau's, with early stopping and the best epoch
    views: int = 0  # slightly changed copies whose mean margin answers for a film, beside the film itself
    side: int = 224  # of the film

    @property
    def readers(self) -> tuple[str, ...]:
        """The names under which it answers."""
        return (self.name, *([f"{self.name}, {self.views} views"] if self.views else []))


STRONG = {"rotation": 15.0, "shift": 0.1, "zoom": 0.2, "brightness": 0.2, "contrast": 0.3}
NOTHING = {"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "brightness": 0.0, "contrast": 0.0}
ALL = {"fine_tune": "all"}

WAYS = (
    Way("before", views=8),  # tbconv train as it stood: a plateau's schedule, 20 layers
    Way("all", ALL),
    Way("all, rate 1e-4", {**ALL, "learning_rate": 1e-4}),
    Way("all, rate 1e-3", {**ALL, "learning_rate": 1e-3}),
    Way("rate 1e-3", {"learning_rate": 1e-3}),
    Way("rate 1e-4", {"learning_rate": 1e-4}),
    Way("batch 16", {"batch": 16}),
    Way("strong augmentation", STRONG),
    Way("no augmentation", NOTHING),
    Way("mirrored", {"flip": True}),
    # as it was fitted: eagerly, when the loss was PyTorch's own, which waits for the GPU
    Way("label smoothing 0.1", {"label_smoothing": 0.1, "step": "eager"}),
    Way("ema", ema=0.99),
    Way("all, ema", ALL, ema=0.99),
    Way("cosine", cosine=True),
    Way("cosine, 16 epochs", {"epochs": 16}, cosine=True),
    Way("all, cosine, 16 epochs", {**ALL, "epochs": 16}, cosine=True),
    Way("before, 50 epochs", {"epochs": 50}),  # beside --epochs below 50: the plateau's schedule to its end
    Way("all, cosine", ALL, cosine=True),
    Way("all, cosine, ema", ALL, cosine=True, ema=0.99),
    Way("all, cosine, ema, strong", {**ALL, **STRONG}, cosine=True, ema=0.99),
    Way("head first", head_first=5),
    Way("all, head first", ALL, head_first=5),
    Way("160 pixels", side=160),
    Way("320 pixels", side=320),
    Way("all, 320 pixels", ALL, side=320),
    Way("from random weights", {**ALL, "weights": "none"}),
)
