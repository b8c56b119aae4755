"""Pillow's padding and bilinear resize written out in numpy: the one witness that the installed Pillow resizes as ever.

Whole numbers throughout, so it agrees bit for bit or not at all. Source: src/libImaging/Resample.c of Pillow 12
(`precompute_coeffs`, `normalize_coeffs_8bpc`, horizontal pass first).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRECISION_BITS = 32 - 8 - 2  # Resample.c: 8 bits of result, 2 against overflow
HALF = 1 << (PRECISION_BITS - 1)


def plain_square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Pad to a square with black and resize.

    Args:
        pixels: uint8 [H, W].
        size: side of the result.

    Returns:
        uint8 [size, size].
    """
    height, width = pixels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    canvas: NDArray[np.int64] = np.zeros((side, side), np.int64)
    canvas[top : top + height, left : left + width] = pixels
    weights = _weights(side, size)
    for _ in range(2):  # along the rows, turned, along the columns, turned back
        canvas = ((canvas @ weights.T + HALF) >> PRECISION_BITS).T
    return canvas.astype(np.uint8)


def _weights(side: int, size: int) -> NDArray[np.int64]:
    """Return the weights of a triangle as wide as a pixel of the result, int64 [size, side]."""
    scale = side / size
    reach = max(scale, 1.0)
    weights = np.zeros((size, side), np.int64)
    for row in range(size):
        centre = (row + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(side, int(centre + reach + 0.5))
        raw = np.maximum(0.0, 1.0 - np.abs((np.arange(first, last) - centre + 0.5) / reach))
        weights[row, first:last] = (raw / raw.sum() * (1 << PRECISION_BITS) + 0.5).astype(np.int64)
    return weights
