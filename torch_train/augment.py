"""Augmentation on the device: one affine resampling and one change of grey levels a batch, drawn per film."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from torch_train.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each change may go; each film draws its own, evenly from minus to plus."""

    rotation: float  # degrees
    shift: float  # of the side
    zoom: float  # around 1
    brightness: float  # of 255
    contrast: float  # around 1, about the film's mean
    flip: bool

    @classmethod
    def of(cls, config: TrainConfig) -> Augmentation:
        """Take the numbers from the recipe."""
        return cls(config.rotation, config.shift, config.zoom, config.brightness, config.contrast, config.flip)

    @property
    def moves(self) -> bool:
        """Whether pixels change place."""
        return self.flip or max(self.rotation, self.shift, self.zoom) > 0

    @property
    def recolours(self) -> bool:
        """Whether grey levels change."""
        return max(self.brightness, self.contrast) > 0


def augment(films: Tensor, numbers: Augmentation, generator: torch.Generator) -> Tensor:
    """Change each film a little.

    Args:
        films: uint8 [N, 1, S, S].
        numbers: how far the changes go; all zero returns the films as they are.
        generator: of the films' device; seeded per epoch, so an epoch can be repeated.

    Returns:
        float32 [N, 1, S, S], values 0..255; black comes in from outside.
    """
    images = films.float()
    draws = torch.rand(len(films), 7, generator=generator, device=films.device) * 2 - 1
    if numbers.moves:
        grid = F.affine_grid(_affine(draws, numbers), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if numbers.recolours:
        images = _recolour(images, draws, numbers)
    return images


def _affine(draws: Tensor, numbers: Augmentation) -> Tensor:
    """Return [N, 2, 3]: where each pixel of the result comes from, in coordinates -1..1."""
    angle = draws[:, 0] * math.radians(numbers.rotation)
    scale = 1 / (1 + draws[:, 1] * numbers.zoom)
    mirror = 1 - 2 * ((draws[:, 4] > 0) & numbers.flip).float()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = draws[:, 2:4] * (2 * numbers.shift)  # the side is 2 long in these coordinates
    rows = (cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1])
    return torch.stack(rows, 1).reshape(-1, 2, 3)


def _recolour(images: Tensor, draws: Tensor, numbers: Augmentation) -> Tensor:
    gain = (1 + draws[:, 5] * numbers.contrast).reshape(-1, 1, 1, 1)
    step = (draws[:, 6] * numbers.brightness * 255).reshape(-1, 1, 1, 1)
    mean = images.mean((2, 3), keepdim=True)
    return ((images - mean) * gain + mean + step).clamp(0, 255)
