"""Where on the film the evidence is, in the words of a reader: the patient's side, and a zone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRONG = 0.5  # of the strongest cell: full width at half maximum, the usual width of a peak
ONE_SIDED = 2 / 3  # share of the weight; below it both sides are named
ZONES = ("upper", "middle", "lower")  # thirds of the film's height


@dataclass(frozen=True, slots=True)
class FilmBox:
    """Where the film lies inside the padded square, as fractions of its side."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Region:
    """Side and zone; both None where no cell speaks for the positive class."""

    side: str | None  # the patient's: right | left | both
    zone: str | None  # upper | middle | lower


def film_box(height: int, width: int) -> FilmBox:
    """Return where `PreprocessSpec.square` puts a film of this size."""
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return FilmBox(left / side, top / side, (left + width) / side, (top + height) / side)


def locate(evidence: NDArray[np.floating], box: FilmBox) -> Region:
    """Name the side and the zone of the strongest positive cells.

    Args:
        evidence: [7, 7], rows from the top of the padded square.
        box: cells whose centre lies outside are padding and do not count.

    Returns:
        The patient's side under the usual display: the image's left is the patient's right.
    """
    rows, columns = (np.arange(cells) + 0.5 for cells in evidence.shape)
    y = (rows / evidence.shape[0] - box.top) / (box.bottom - box.top)
    x = (columns / evidence.shape[1] - box.left) / (box.right - box.left)
    inside = np.outer((y > 0) & (y < 1), (x > 0) & (x < 1))
    weights = np.where(inside, evidence, 0.0)
    weights = np.where(weights >= STRONG * weights.max(), weights, 0.0).clip(min=0.0)
    if not weights.any():
        return Region(None, None)
    return Region(_side(weights.sum(axis=0), x), _zone(weights.sum(axis=1), y))


def _side(weights: NDArray[np.floating], x: NDArray[np.floating]) -> str:
    image_left = np.where(np.isclose(x, 0.5), 0.5, x < 0.5)  # the middle column lies on both sides
    share = float((weights * image_left).sum() / weights.sum())
    return "right" if share >= ONE_SIDED else "left" if share <= 1 - ONE_SIDED else "both"


def _zone(weights: NDArray[np.floating], y: NDArray[np.floating]) -> str:
    zones = np.clip((y * len(ZONES)).astype(int), 0, len(ZONES) - 1)
    return ZONES[int(np.argmax(np.bincount(zones, weights, minlength=len(ZONES))))]
