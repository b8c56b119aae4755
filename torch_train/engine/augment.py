"""Augmentation on the device: one affine resampling, changes of grey levels, and disturbances, drawn per film.

An augmented film depends on its own draws alone, not on its place in a batch; a training epoch takes them
from a table by film (`draw_table`), so order, batch size and number of processes do not matter.
"""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
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
    disturb: float = 0.0  # share of the films that get each disturbance (below), each for itself

    @classmethod
    def of(cls, config: TrainConfig) -> Augmentation:
        """Take the numbers from the recipe."""
        return cls(
            config.rotation,
            config.shift,
            config.zoom,
            config.brightness,
            config.contrast,
            config.flip,
            config.disturb,
        )

    @property
    def is_geometric(self) -> bool:
        """Whether pixels are resampled."""
        return self.flip or max(self.rotation, self.shift, self.zoom, self.disturb) > 0

    @property
    def changes_grey(self) -> bool:
        """Whether grey levels change."""
        return max(self.brightness, self.contrast) > 0


# The draws of a film, columns of `draw_table`.
ROTATION, ZOOM, SHIFT, FLIP, CONTRAST, BRIGHTNESS = 0, 1, slice(2, 4), 4, 5, 6
PLAIN = 7  # of them before disturbances came: they keep their values, so that earlier runs repeat
TILT, GAMMA, GAIN, PIVOT, BLUR, NOISE, TILE, JPEG = range(PLAIN, PLAIN + 8)
FRAME, FRAME_WIDTH, FRAME_LEVEL, FRAME_KIND = range(PLAIN + 8, PLAIN + 12)
TEXT, TEXT_DRAWS, TEXTS = PLAIN + 12, 5, 2  # of each text: whether and how large, x, y, which, level
DRAWS = TEXT + TEXT_DRAWS * TEXTS


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
    parts = (PLAIN, DRAWS - PLAIN)
    drawn = [torch.rand(repetitions, films, columns, generator=generator) for columns in parts]
    return torch.cat(drawn, dim=2) * 2 - 1


def augment_films(films: Tensor, draws: Tensor, numbers: Augmentation, bank: Bank | None = None) -> Tensor:
    """Augment each film by its draws, in few passes over the pixels once compiled.

    Args:
        films: uint8 [N, 1, S, S].
        draws: float32 [N, DRAWS], -1..1.
        numbers: the range of each augmentation; all zero returns the films unchanged.
        bank: what disturbances add, on the films' device; None makes it where it is needed.

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
    if numbers.disturb:
        images = _disturb(images, mean, draws, numbers.disturb, bank or make_bank(films.device))
    return images


def _affine(draws: Tensor, numbers: Augmentation) -> Tensor:
    """Return the affine matrices from output to input coordinates -1..1, [N, 2, 3]."""
    degrees = draws[:, ROTATION] * numbers.rotation
    scale = 1 / (1 + draws[:, ZOOM] * numbers.zoom)
    if numbers.disturb:
        degrees = degrees + TILT_DEGREES * _signed(draws[:, TILT], numbers.disturb)
        scale = scale * _shrunk(draws, numbers.disturb)
    angle = degrees * (math.pi / 180)
    mirror = 1 - 2 * ((draws[:, FLIP] > 0) & numbers.flip).float()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = draws[:, SHIFT] * (2 * numbers.shift)  # the side is 2 long in these coordinates
    rows = (cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1])
    return torch.stack(rows, 1).reshape(-1, 2, 3)


def _change_grey(images: Tensor, mean: Tensor, draws: Tensor, numbers: Augmentation) -> Tensor:
    gain = _each(1 + draws[:, CONTRAST] * numbers.contrast)
    step = _each(draws[:, BRIGHTNESS] * numbers.brightness * 255)
    return ((images - mean) * gain + mean + step).clamp(0, 255)


# --- disturbances ---
# What films meet on their way and a radiologist reads past: another gamma or contrast, a blur, noise, a frame, names
# and letters burnt in, JPEG, a tilt. Each comes to a share of the films, whatever the others draw.
#
# The ranges hold those of the suite that judges networks (convert.certificate.robustness.changes), and go beyond most
# of them.

TILT_DEGREES = 10.0  # to either side, beside the recipe's rotation
GAMMA_OCTAVES = 1.0  # exponents 1/2 to 2
GAIN_LOW, GAIN_HIGH = 0.35, 1.9  # of contrast
BLUR_SIGMA, SHARPEN = 1.6, 1.0  # pixels of the model input; share of the blur that is taken away
NOISE_LEVELS = 10.0  # standard deviation, grey levels
FRAME_NARROW, FRAME_WIDE = 0.01, 0.13  # of the side, at each end
TEXT_SMALL, TEXT_LARGE = 0.12, 0.7  # width of the text's box, of the side
JPEG_WORST, JPEG_BEST = 12.0, 85.0  # quality
_TILE_SIDE, _BOX, _PATTERNS = 256, (32, 128), 96


class Bank(NamedTuple):
    """What disturbances add: made once, the same for every run."""

    texts: Tensor  # float32 [patterns, 32, 128], 0..1
    noise: Tensor  # float32 [256, 256], normal
    blur: Tensor  # float32 [taps], a Gaussian
    cosines: Tensor  # float32 [8, 8], orthonormal: the rows are a JPEG's cosines
    steps: Tensor  # float32 [8, 8], the luminance table of ITU-T T.81, annex K


def make_bank(device: torch.device) -> Bank:
    """Return the bank on a device."""
    texts, noise = _draw_texts(), np.random.default_rng(0).standard_normal((_TILE_SIDE, _TILE_SIDE))
    taps = np.exp(-0.5 * np.square(np.arange(-4, 5) / BLUR_SIGMA))
    rows, columns = np.arange(8)[:, None], np.arange(8)[None]
    cosines = np.cos((2 * columns + 1) * rows * np.pi / 16) * np.where(rows == 0, np.sqrt(1 / 8), 0.5)
    arrays = (texts, noise, taps / taps.sum(), cosines, np.array(_JPEG_STEPS).reshape(8, 8))
    return Bank(*(torch.from_numpy(np.asarray(array, np.float32)).to(device) for array in arrays))


def _disturb(images: Tensor, mean: Tensor, draws: Tensor, share: float, bank: Bank) -> Tensor:
    """Disturb films float32 [N, 1, S, S], values 0..255, whose mean grey was `mean` [N, 1, 1, 1]."""
    gamma = 2 ** (GAMMA_OCTAVES * _signed(draws[:, GAMMA], share))
    images = 255 * (images.clamp(0, 255) / 255) ** _each(gamma)
    images = _blur(_stretch(images, mean, draws, share), draws, share, bank)
    images = images + _noise(draws, share, images.shape[-1], bank)
    images = _write(_frame(images, draws, share), draws, share, bank)
    return _compress(images.clamp(0, 255), draws, share, bank)


def _stretch(images: Tensor, mean: Tensor, draws: Tensor, share: float) -> Tensor:
    """Change contrast: less of it about any grey, so that films become pale or dark; more of it about the mean."""
    hit, amount = _drawn(draws[:, GAIN], share)
    gain = GAIN_LOW * (GAIN_HIGH / GAIN_LOW) ** amount
    gain = _each(torch.where(hit, gain, torch.ones_like(gain)))
    pivot = torch.where(gain < 1, _each((draws[:, PIVOT] + 1) * 127.5), mean)
    return ((images - pivot) * gain + pivot).clamp(0, 255)


def _blur(images: Tensor, draws: Tensor, share: float, bank: Bank) -> Tensor:
    """Mix films with their blurred copies, or take those away, which sharpens."""
    taps = bank.blur.reshape(1, 1, 1, -1)
    reach = taps.shape[-1] // 2
    soft = F.conv2d(_repeat_edges(images, reach, reach, axis=3), taps)
    soft = F.conv2d(_repeat_edges(soft, reach, reach, axis=2), taps.transpose(2, 3))
    amount = _signed(draws[:, BLUR], share)
    return images + _each(torch.where(amount < 0, amount * SHARPEN, amount)) * (soft - images)


def _noise(draws: Tensor, share: float, side: int, bank: Bank) -> Tensor:
    """Return noise [N, 1, side, side]: a window of the tile that begins where the film's draw says."""
    hit, amount = _drawn(draws[:, NOISE], share)
    place = ((draws[:, TILE] + 1) * (_TILE_SIDE**2 / 2)).long().clamp(0, _TILE_SIDE**2 - 1)
    steps = torch.arange(side, device=draws.device)
    rows = (place[:, None] // _TILE_SIDE + steps) % _TILE_SIDE
    columns = (place[:, None] + steps) % _TILE_SIDE
    tile = bank.noise[rows[:, :, None], columns[:, None, :]][:, None]
    return tile * _each(torch.where(hit, amount * NOISE_LEVELS, torch.zeros_like(amount)))


def _frame_of(draws: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return each film's frame as shares of the width and of the height at each end, [N]; 0 where it has none."""
    hit, kind = _drawn(draws[:, FRAME], share)
    width = FRAME_NARROW + (draws[:, FRAME_WIDTH] + 1) / 2 * (FRAME_WIDE - FRAME_NARROW)
    none = torch.zeros_like(width)
    return torch.where(hit & (kind < 0.8), width, none), torch.where(hit & ((kind < 0.6) | (kind >= 0.8)), width, none)


def _shrunk(draws: Tensor, share: float) -> Tensor:
    """Return how much farther apart a film's pixels are sampled where its frame stands around it, not over it, [N]."""
    across, along = _frame_of(draws, share)
    inside = 1 - 2 * torch.maximum(across, along)
    return torch.where(draws[:, FRAME_KIND] > 0, 1 / inside, torch.ones_like(inside))


def _frame(images: Tensor, draws: Tensor, share: float) -> Tensor:
    """Draw frames: white, black or grey."""
    side = images.shape[-1]
    away = ((torch.arange(side, device=images.device) + 0.5) / side * 2 - 1).abs()
    across, along = (1 - 2 * _each(one) for one in _frame_of(draws, share))
    outside = (away.reshape(1, 1, 1, side) > across) | (away.reshape(1, 1, side, 1) > along)
    level = (draws[:, FRAME_LEVEL] * 3).clamp(-1, 1)  # a third each: black, grey, white
    return torch.where(outside, _each((level + 1) * 127.5), images)


def _write(images: Tensor, draws: Tensor, share: float, bank: Bank) -> Tensor:
    """Burn texts in, each a pattern of the bank, more often towards the edges."""
    count, side = len(images), images.shape[-1]
    line = (torch.arange(side, device=images.device) + 0.5) / side * 2 - 1
    for number in range(TEXTS):
        first = TEXT + TEXT_DRAWS * number
        hit, amount = _drawn(draws[:, first], share)
        width = TEXT_SMALL + amount * (TEXT_LARGE - TEXT_SMALL)
        height = width * (_BOX[0] / _BOX[1])
        x, y = (draws[:, first + axis].sign() * draws[:, first + axis].abs().sqrt() for axis in (1, 2))
        across = (line[None] - (x * (1 - width))[:, None]) / width[:, None]  # -1..1 inside the box
        down = (line[None] - (y * (1 - height))[:, None]) / height[:, None]
        grid = torch.stack((across[:, None].expand(count, side, side), down[..., None].expand(count, side, side)), -1)
        which = ((draws[:, first + 3] + 1) * (_PATTERNS / 2)).long().clamp(0, _PATTERNS - 1)
        ink = F.grid_sample(bank.texts[which][:, None], grid, mode="bilinear", align_corners=False)
        level = (255 * (draws[:, first + 4] * 2 + 1.5)).clamp(0, 255)  # mostly white, sometimes grey or black
        images = torch.lerp(images, _each(level).expand_as(images), ink * _each(hit.float()))
    return images


def _compress(images: Tensor, draws: Tensor, share: float, bank: Bank) -> Tensor:
    """Pack and unpack as JPEG does: cosines of 8 x 8 pixels, rounded to multiples of a table that quality scales."""
    hit, amount = _drawn(draws[:, JPEG], share)
    quality = JPEG_WORST + amount * (JPEG_BEST - JPEG_WORST)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)  # libjpeg's rule
    steps = ((bank.steps * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)[:, None, :, None, :]
    count, side = len(images), images.shape[-1]
    more = -side % 8
    padded = _repeat_edges(_repeat_edges(images, 0, more, axis=2), 0, more, axis=3) if more else images
    blocks = (padded - 128).reshape(count, (side + more) // 8, 8, (side + more) // 8, 8)
    waves = torch.einsum("ij,nhjwk,lk->nhiwl", bank.cosines, blocks, bank.cosines)
    blocks = torch.einsum("ji,nhjwk,kl->nhiwl", bank.cosines, (waves / steps).round() * steps, bank.cosines)
    packed = (blocks.reshape(count, 1, side + more, side + more) + 128)[..., :side, :side].round().clamp(0, 255)
    return torch.where(_each(hit), packed, images)


def _repeat_edges(images: Tensor, before: int, after: int, axis: int) -> Tensor:
    """Repeat the first and last line along an axis. F.pad imports its rule in deterministic runs: not traceable."""
    side = images.shape[axis]
    return images.index_select(axis, torch.arange(-before, side + after, device=images.device).clamp(0, side - 1))


def _drawn(draw: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return which films are hit, bool [N], and for those how much, 0..1 [N], of one draw -1..1 each."""
    place = (draw + 1) / 2
    return place < share, (place / share).clamp(0, 1)


def _signed(draw: Tensor, share: float) -> Tensor:
    """Return how much films are hit, -1..1 [N]; 0 where they are not."""
    hit, amount = _drawn(draw, share)
    return torch.where(hit, 2 * amount - 1, torch.zeros_like(amount))


def _each(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)


@functools.cache
def _draw_texts() -> NDArray[np.float32]:
    """Draw names, dates, letters and markers as Pillow's own font has them, and plain blocks."""
    source, drawn = random.Random(0), []  # noqa: S311  # drawings
    for number in range(_PATTERNS):
        canvas = Image.new("L", (_BOX[1], _BOX[0]), 0)
        pen = ImageDraw.Draw(canvas)
        if number % 12 == 0:
            pen.rectangle((2, 4, 2 + source.randint(12, 120), 28), fill=255)
        else:
            text, size = _text(source, number % 6), source.randint(11, 30)
            pen.text((_BOX[1] // 2, _BOX[0] // 2), text, fill=255, font=ImageFont.load_default(size), anchor="mm")
        if number % 5 == 0:  # a box with the letters left out, as lead markers and labels have it
            canvas = Image.fromarray(255 - np.asarray(canvas))
        drawn.append(np.asarray(canvas, np.float32) / 255)
    return np.stack(drawn)


def _text(source: random.Random, kind: int) -> str:
    letters = "".join(source.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(source.randint(3, 7)))
    digits = "".join(source.choice("0123456789") for _ in range(source.randint(4, 8)))
    kinds = (source.choice("LR"), letters, digits, f"{letters} {digits[:3]}", f"{digits[:2]}.{digits[2:4]}", "AP ERECT")
    return kinds[kind]


# fmt: off
_JPEG_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
    120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
# fmt: on
