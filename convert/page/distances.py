"""The drawing of distances: each film's largest |d logit|, one row of dots a file, on a scale of powers of ten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.page.axes import Scale, bottom_axis, dots, finite, line, svg, text
from tbconv.contract.classifier import Prediction

WIDTH, ROW, LEFT, RIGHT = 860, 40, 190, 110
SMALLEST = 1e-9  # logits; below any float32 step of a logit that decides, so that exact answers have a place


@dataclass(frozen=True, slots=True)
class Strip:
    """One row."""

    name: str
    reduced: bool
    distances: NDArray[np.float64] | None  # [N], logits; None where the answers hold NaN
    allowed: float | None  # the tolerance of a float32 file


def film_distances(reference: Prediction, other: Prediction) -> NDArray[np.float64] | None:
    """Return the largest |d logit| of each film, [N]; None where one is not finite or the shapes differ."""
    if reference.logits.shape != other.logits.shape or not np.isfinite(other.logits).all():
        return None
    found: NDArray[np.float64] = np.abs(other.logits.astype(np.float64) - reference.logits).max(axis=1)
    return found


def draw_distances(strips: list[Strip]) -> str:
    """Return one row a file; a bar marks its median, a dashed line what is allowed."""
    bottom = 14 + ROW * len(strips)
    scale = Scale(*_ends(strips), LEFT, WIDTH - RIGHT, log=True)
    rows = [_row(strip, 14 + ROW * (index + 0.5), scale) for index, strip in enumerate(strips)]
    axis = bottom_axis(scale, 8, bottom, "largest |Δ logit| of a film, against PyTorch float32")
    return svg(WIDTH, bottom + 44, [axis, *rows], says="distances from PyTorch by film and file")


def _ends(strips: list[Strip]) -> tuple[float, float]:
    known = np.concatenate([finite(s.distances) for s in strips if s.distances is not None] or [np.ones(1)])
    above = known[known > SMALLEST]
    low, high = (float(above.min()), float(above.max())) if len(above) else (1e-6, 1e-5)
    return 10.0 ** np.floor(np.log10(low) - 0.05), 10.0 ** np.ceil(np.log10(max(high, 10 * low)) + 0.05)


def _row(strip: Strip, y: float, scale: Scale) -> str:
    name = text(LEFT - 12, y + 4, strip.name, "end", kind="row")
    if strip.distances is None:
        return name + text(LEFT + 8, y + 4, "NaN, infinite or misshapen answers: nothing to draw", kind="row bad")
    spread = (np.arange(len(strip.distances)) * 0.618) % 1 - 0.5  # golden ratio: neighbours do not overlap
    kind = "reduced" if strip.reduced else "exact"
    parts = [name, dots((scale(d) for d in strip.distances), y + 20 * spread, kind)]
    middle = scale(float(np.median(strip.distances)))
    parts.append(line(middle, y - 14, middle, y + 14, "median"))
    if strip.allowed is not None and scale.low < strip.allowed < scale.high:
        parts.append(line(scale(strip.allowed), y - 16, scale(strip.allowed), y + 16, "allowed"))
    return "".join(parts) + text(WIDTH - RIGHT + 10, y + 4, f"max {strip.distances.max():.1e}", kind="row")
