"""The gate before the network: what is plainly no chest film gets a reason, not a probability.

First plain rules (size, shape, colour, contrast), then a small fitted network on a thumbnail, in numpy.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.xray.film import MAX_ASPECT, MIN_SIDE, Film, RejectionReason


class GateLevel(StrEnum):
    """What the operator lets the gate judge; no request can choose it."""

    STRICT = "strict"  # everything
    BASIC = "basic"  # size, shape, colour and contrast, and not what is to be seen
    OFF = "off"  # nothing: whatever decodes is answered


# --- rules ---

# Standard deviation of the thumbnail, grey levels: the flattest of the 7,225 films of ../shared/data has 18.7
# (docs/gate.md), a blank page with a detector's noise and shade less than 4.
MIN_CONTRAST = 8.0
# Mean distance between the strongest and the weakest colour of a pixel: 0.0 in every film, RGB files
# too; 12 and more in 24 of the 27 photographs. The other three are grey, and `Likeness` has to know them.
MAX_CHROMA = 8.0
# Logits above the threshold at which a turned or inverted picture is called a chest film: a smooth shade may pass
# the threshold by chance when it is inverted, and the answer would advise to invert it.
SURE = 5.0


def refuse(film: Film, level: GateLevel = GateLevel.STRICT) -> RejectionReason | None:
    """Say why a picture is no upright frontal chest film, or None when nothing speaks against it.

    Args:
        film: decoded; `chroma` is the colour that its grey pixels lost.
        level: how much the operator lets the gate judge.
    """
    if level is GateLevel.OFF:
        return None
    small = thumbnail(film.pixels)
    plain = _refuse_plainly(film, small)
    return plain if plain or level is GateLevel.BASIC else _refuse_by_likeness(small)


def score_likeness(pixels: NDArray[np.uint8]) -> float:
    """Return the gate's score of a film, uint8 [H, W]: a logit, for metrics that watch its drift."""
    return float(read_likeness().score(describe(thumbnail(pixels)[None]))[0])


def _refuse_plainly(film: Film, small: NDArray[np.uint8]) -> RejectionReason | None:
    shorter, longer = sorted(film.pixels.shape)
    if shorter < MIN_SIDE:
        return RejectionReason.TOO_SMALL
    if longer > MAX_ASPECT * shorter:
        return RejectionReason.WRONG_SHAPE
    if film.chroma > MAX_CHROMA:
        return RejectionReason.COLOUR_PHOTOGRAPH
    return RejectionReason.BLANK if float(small.std()) < MIN_CONTRAST else None


def _refuse_by_likeness(small: NDArray[np.uint8]) -> RejectionReason | None:
    likeness = read_likeness()
    [numbers] = describe(small[None])
    if likeness.score(numbers) >= likeness.threshold:
        return None
    # what would make it pass is the reason: another way up, or the greys the other way round
    turned = [turn(numbers, quarters) for quarters in range(4)]
    scores = likeness.score(np.stack([*turned, *map(invert, turned)]))
    best = int(scores.argmax())
    if best == 0 or scores[best] < likeness.threshold + SURE:
        return RejectionReason.NOT_A_CHEST_FILM
    return RejectionReason.TURNED if best < len(turned) else RejectionReason.INVERTED


# --- likeness ---
# How much a picture looks like one upright frontal chest film: a small fitted network, in numpy.
#
# `python -m benchmarks.gate_fit` fits it and writes likeness.npz and likeness.json (on which films, with which
# command); docs/gate.md says what it can and cannot tell.

WEIGHTS = Path(__file__).with_name("likeness.npz")


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """One hidden layer over `describe`'s numbers; a score at or above `threshold` passes."""

    hidden: NDArray[np.float32]  # [LENGTH, units]; the fit's standardisation is folded into it
    hidden_bias: NDArray[np.float32]  # [units]
    output: NDArray[np.float32]  # [units]
    output_bias: float
    threshold: float  # a logit, chosen with pictures that the weights were not fitted on

    def __post_init__(self) -> None:
        units = self.hidden_bias.shape
        if self.hidden.shape != (LENGTH, *units) or self.output.shape != units:
            raise ValueError(f"weights of {self.hidden.shape}, {units} and {self.output.shape} do not fit together")
        values = (self.hidden, self.hidden_bias, self.output, self.output_bias, self.threshold)
        if not all(np.isfinite(value).all() for value in values):
            raise ValueError("weights must be finite")

    @classmethod
    def read(cls, path: Path = WEIGHTS) -> Self:
        """Read the weights that travel with the package."""
        with np.load(path, allow_pickle=False) as arrays:
            weights = {name: arrays[name].astype(np.float32) for name in ("hidden", "hidden_bias", "output")}
            return cls(**weights, output_bias=float(arrays["output_bias"]), threshold=float(arrays["threshold"]))

    def score(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one logit a description, [N] of [N, LENGTH]: the higher, the more like an upright frontal film."""
        units = np.maximum(numbers @ self.hidden + self.hidden_bias, 0)
        scores: NDArray[np.float32] = units @ self.output + np.float32(self.output_bias)
        return scores


@functools.cache
def read_likeness() -> Likeness:
    """Return the weights, read at the first use."""
    return Likeness.read()


# --- features ---
# What the gate looks at: a thumbnail's greys and edges as 768 numbers, the same for the fit and for a request.
#
# Edges are taken by direction, so that dark lungs on a bright body differ from bright lungs on a dark one, and
# relative to the picture's own mean, so that exposure and contrast hardly count.

SIDE = 64  # of the thumbnail, pixels; the aspect is given up, as in films that come stretched to a square
CELLS = 8  # a side: edges are summed in 8 x 8 cells of 8 x 8 pixels
DIRECTIONS = 8  # a full turn, so an edge from dark to bright is another than from bright to dark
GREYS = 16  # a side: mean greys in 16 x 16 cells
LENGTH = CELLS * CELLS * DIRECTIONS + GREYS * GREYS
_SAMPLED = 4 * SIDE  # a large film is first thinned to this side: the cost of a request stays the same
_FLAT = 4.0  # grey levels added to the contrast, so that a blank page does not become a picture of its noise
_ANGLES = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
_COMPASS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1).astype(np.float32)  # [direction, (x, y)]


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a picture, uint8 [H, W], to uint8 [SIDE, SIDE]."""
    down, across = (max(1, side // _SAMPLED) for side in pixels.shape)
    sampled = Image.fromarray(np.ascontiguousarray(pixels[::down, ::across]))
    return np.asarray(sampled.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def describe(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn thumbnails, uint8 [N, SIDE, SIDE], into float32 [N, LENGTH]."""
    greys = thumbnails.astype(np.float32)
    mean, contrast = greys.mean(axis=(1, 2), keepdims=True), greys.std(axis=(1, 2), keepdims=True)
    greys = (greys - mean) / (contrast + _FLAT)
    return np.concatenate([_edges(greys), _coarse_greys(greys)], axis=1)


def turn(numbers: NDArray[np.float32], quarters: int) -> NDArray[np.float32]:
    """Return the description, [LENGTH], that the picture would have turned by quarters anticlockwise, without it."""
    edges, greys = _parts(numbers)
    # a quarter is two of eight directions, and y points down
    edges = np.roll(np.rot90(edges, quarters, axes=(1, 2)), -quarters * DIRECTIONS // 4, axis=0)
    return np.concatenate([edges.ravel(), np.rot90(greys, quarters).ravel()])


def invert(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the description, [LENGTH], that the picture would have with black for white, without it."""
    edges, greys = _parts(numbers)
    return np.concatenate([np.roll(edges, DIRECTIONS // 2, axis=0).ravel(), -greys.ravel()])


def _parts(numbers: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    edges = numbers[: CELLS * CELLS * DIRECTIONS].reshape(DIRECTIONS, CELLS, CELLS)
    return edges, numbers[CELLS * CELLS * DIRECTIONS :].reshape(GREYS, GREYS)


def _edges(greys: NDArray[np.float32]) -> NDArray[np.float32]:
    slopes = np.zeros((len(greys), 2, SIDE, SIDE), np.float32)
    slopes[:, 0, :, 1:-1] = greys[:, :, 2:] - greys[:, :, :-2]
    slopes[:, 1, 1:-1] = greys[:, 2:] - greys[:, :-2]
    steepness = np.sqrt(np.square(slopes).sum(axis=1)).reshape(len(greys), 1, SIDE * SIDE)
    along = np.maximum(_COMPASS @ slopes.reshape(len(greys), 2, SIDE * SIDE), 0)
    strength = along * along / (steepness + 1e-3)  # cosine squared, so neighbouring directions share an edge smoothly
    cells = _cell_means(strength.reshape(-1, SIDE, SIDE), CELLS).reshape(len(greys), -1)
    # the root brings weak ribs and a strong border closer together
    evened: NDArray[np.float32] = np.sqrt(cells / (cells.mean(axis=1, keepdims=True) + 1e-3))
    return evened


def _coarse_greys(greys: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped: NDArray[np.float32] = np.clip(_cell_means(greys, GREYS).reshape(len(greys), -1), -3, 3)
    return clipped


def _cell_means(maps: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    width = maps.shape[-1] // cells
    means: NDArray[np.float32] = maps.reshape(len(maps), cells, width, cells, width).mean(axis=(2, 4))
    return means
