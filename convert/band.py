"""The band around the threshold outside which no measured film changed its decision: numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAREST = 32  # films that the width rests on at least: a handful near the threshold would promise too much


def indeterminate_band(
    reference_margin: NDArray[np.floating], other_margin: NDArray[np.floating], *, threshold: float
) -> dict[str, Any]:
    """Return the band in which a reduced-precision file leaves a film undecided.

    A film can only flip if its margin moved by more than its distance to the threshold. So the largest
    movement of all bounds the band; of the films inside that bound the largest movement is smaller, because
    the films that move most are far from any threshold; and so on until it stays, or 32 films are left.

    Args:
        reference_margin: PyTorch's margins in logits, [N], N > 0.
        other_margin: the file's, [N].
        threshold: margin in logits.

    Returns:
        `half_width` in logits; `rests_on`, the films whose movement it bounds; `inside`, how many of the N
        films are left undecided; `samples`, N.
    """
    moved = np.abs(other_margin.astype(np.float64) - reference_margin)
    away = np.abs(other_margin.astype(np.float64) - threshold)
    nearest = np.partition(away, min(NEAREST, len(away)) - 1)[min(NEAREST, len(away)) - 1]
    width, before = float(moved.max()), np.inf
    while width < before:
        before = width
        width = float(moved[away <= max(width, nearest)].max())
    inside = int((away <= width).sum())
    return {
        "half_width": width,
        "rests_on": int((away <= max(width, nearest)).sum()),
        "inside": inside,
        "samples": len(moved),
    }
