"""The drawing of margins: how far a reduced file's margin lies from PyTorch's, film by film, and where that flips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.page.axes import Scale, bottom_axis, dots, left_axis, line, svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 330, 58, 14, 30, 284


def draw_margins(
    reference: NDArray[np.floating],
    other: NDArray[np.floating],
    *,
    threshold: float,
    band: float,
    labels: NDArray[np.int64] | None,
) -> str:
    """Draw one file.

    Args:
        reference: PyTorch's margins in logits, [N].
        other: the file's margins for the same films, [N], finite.
        threshold: margin in logits.
        band: half the width of the band around the threshold in which decisions can flip, logits.
        labels: int64 [N], 1 positive; None where they are not known.
    """
    difference = other.astype(np.float64) - reference
    reach = max(float(np.abs(difference).max()), 1e-9) * 1.1
    x = Scale(*_ends(reference, threshold), LEFT, WIDTH - RIGHT)
    y = Scale(-reach, reach, BOTTOM, TOP)
    flipped = (reference >= threshold) != (other >= threshold)
    groups = _groups(labels, len(reference))
    points = [dots(map(x, reference[rows]), map(y, difference[rows]), kind) for kind, rows in groups.items()]
    rings = [_ring(x(a), y(b)) for a, b in zip(reference[flipped], difference[flipped], strict=True)]
    left, right = x(threshold - band), x(threshold + band)
    shade = f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{BOTTOM - TOP}"/>'
    edge = _edge(x, y, threshold, reach)
    cut = line(x(threshold), TOP, x(threshold), BOTTOM, "threshold")
    axes = bottom_axis(x, TOP, BOTTOM, "PyTorch's margin, logits") + left_axis(
        y, LEFT, WIDTH - RIGHT, "file \N{MINUS SIGN} PyTorch"
    )
    said = "difference of margins over PyTorch's margin"
    return svg(WIDTH, HEIGHT, [shade, axes, cut, edge, *points, *rings], says=said)


def _ends(reference: NDArray[np.floating], threshold: float) -> tuple[float, float]:
    low, high = min(float(reference.min()), threshold), max(float(reference.max()), threshold)
    room = 0.04 * max(high - low, 1e-6)
    return low - room, high + room


def _groups(labels: NDArray[np.int64] | None, count: int) -> dict[str, NDArray[np.bool_]]:
    if labels is None:
        return {"unknown": np.ones(count, bool)}
    return {"negative": labels == 0, "positive": labels == 1}


def _edge(x: Scale, y: Scale, threshold: float, reach: float) -> str:
    """Return the line beyond which a decision flips: where the file's margin equals the threshold."""
    ends = [max(x.low, threshold - reach), min(x.high, threshold + reach)]
    return line(x(ends[0]), y(threshold - ends[0]), x(ends[1]), y(threshold - ends[1]), "edge")


def _ring(x: float, y: float) -> str:
    return f'<circle class="flip" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
