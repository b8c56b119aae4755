"""Augmentation on the device: one affine resampling and one change of grey levels, drawn per film.

What a film becomes depends on its own draws alone, never on its place in a batch; a training epoch takes
them from a table by film (`draw_table`), so order, batch size and number of processes do not matter.
"""

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


DRAWS = 7  # a film: rotation, zoom, shift x, shift y, flip, contrast, brightness


def augment(films: Tensor, numbers: Augmentation, generator: torch.Generator) -> Tensor:
    """Change each film a little, with draws of the moment; see `change_films`.

    Args:
        films: uint8 [N, 1, S, S].
        numbers: how far the changes go.
        generator: of the films' device.
    """
    return change_films(films, torch.rand(len(films), DRAWS, generator=generator, device=films.device) * 2 - 1, numbers)


def draw_table(films: int, showings: int, seed: int) -> Tensor:
    """Draw an epoch's changes on the CPU, whose numbers are the same beside every device.

    Args:
        films: N, of the whole set.
        showings: how often the film that is shown most often is shown; a second time it gets another change.
        seed: of this epoch.

    Returns:
        float32 [showings, N, DRAWS], -1..1.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(showings, films, DRAWS, generator=generator) * 2 - 1


def change_films(films: Tensor, draws: Tensor, numbers: Augmentation) -> Tensor:
    """Change each film as its draws say: one pass over the pixels once compiled.

    Args:
        films: uint8 [N, 1, S, S].
        draws: float32 [N, DRAWS], -1..1.
        numbers: how far the changes go; all zero returns the films as they are.

    Returns:
        float32 [N, 1, S, S], values 0..255; black comes in from outside.
    """
    images = films.float()
    mean = images.mean((2, 3), keepdim=True)  # of the film as it came: no second pass over the moved one
    if numbers.moves:
        grid = F.affine_grid(_affine(draws, numbers), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if numbers.recolours:
        images = _recolour(images, mean, draws, numbers)
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


def _recolour(images: Tensor, mean: Tensor, draws: Tensor, numbers: Augmentation) -> Tensor:
    gain = (1 + draws[:, 5] * numbers.contrast).reshape(-1, 1, 1, 1)
    step = (draws[:, 6] * numbers.brightness * 255).reshape(-1, 1, 1, 1)
    return ((images - mean) * gain + mean + step).clamp(0, 255)
