"""Augmentation on the device: one affine resampling and one change of grey levels, drawn per film.

An augmented film depends on its own draws alone, not on its place in a batch; a training epoch takes them
from a table by film (`draw_table`), so order, batch size and number of processes do not matter.
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
    """The range of each augmentation; each film draws uniformly from minus to plus."""

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
    def is_geometric(self) -> bool:
        """Whether pixels are resampled."""
        return self.flip or max(self.rotation, self.shift, self.zoom) > 0

    @property
    def changes_grey(self) -> bool:
        """Whether grey levels change."""
        return max(self.brightness, self.contrast) > 0


DRAWS = 7  # a film: rotation, zoom, shift x, shift y, flip, contrast, brightness


def draw_table(films: int, repetitions: int, seed: int) -> Tensor:
    """Draw an epoch's augmentations on the CPU, so that they are the same for every device.

    Args:
        films: N, of the whole set.
        repetitions: how often the most frequent film occurs; each occurrence gets its own draw.
        seed: of this epoch.

    Returns:
        float32 [repetitions, N, DRAWS], -1..1.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(repetitions, films, DRAWS, generator=generator) * 2 - 1


def augment_films(films: Tensor, draws: Tensor, numbers: Augmentation) -> Tensor:
    """Augment each film by its draws, in one pass over the pixels once compiled.

    Args:
        films: uint8 [N, 1, S, S].
        draws: float32 [N, DRAWS], -1..1.
        numbers: the range of each augmentation; all zero returns the films unchanged.

    Returns:
        float32 [N, 1, S, S], values 0..255; the border is filled with black.
    """
    images = films.float()
    mean = images.mean((2, 3), keepdim=True)  # of the film before resampling: saves a second pass
    if numbers.is_geometric:
        grid = F.affine_grid(_affine(draws, numbers), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if numbers.changes_grey:
        images = _change_grey(images, mean, draws, numbers)
    return images


def _affine(draws: Tensor, numbers: Augmentation) -> Tensor:
    """Return the affine matrices from output to input coordinates -1..1, [N, 2, 3]."""
    angle = draws[:, 0] * math.radians(numbers.rotation)
    scale = 1 / (1 + draws[:, 1] * numbers.zoom)
    mirror = 1 - 2 * ((draws[:, 4] > 0) & numbers.flip).float()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = draws[:, 2:4] * (2 * numbers.shift)  # the side is 2 long in these coordinates
    rows = (cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1])
    return torch.stack(rows, 1).reshape(-1, 2, 3)


def _change_grey(images: Tensor, mean: Tensor, draws: Tensor, numbers: Augmentation) -> Tensor:
    gain = (1 + draws[:, 5] * numbers.contrast).reshape(-1, 1, 1, 1)
    step = (draws[:, 6] * numbers.brightness * 255).reshape(-1, 1, 1, 1)
    return ((images - mean) * gain + mean + step).clamp(0, 255)
