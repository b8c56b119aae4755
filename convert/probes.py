"""The golden inputs: drawn figures and phantoms that no patient stands behind.

A square, symmetric or uniform input cannot see a transpose; these can.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.preprocess import PreprocessSpec
from torch_train.data.phantom import draw_phantom

PHANTOMS = 8  # half of them positive
FIRST_SEED = 20_000  # apart from the seeds of any drawn training set


def golden_inputs(spec: PreprocessSpec) -> tuple[list[str], NDArray[np.uint8]]:
    """Return names and films, uint8 [N, size, size]."""
    figures = _figures(spec.size)
    phantoms = {
        f"phantom_{'positive' if index % 2 else 'negative'}_{index}": spec.square(
            draw_phantom(FIRST_SEED + index, positive=bool(index % 2)).pixels
        )
        for index in range(PHANTOMS)
    }
    films = figures | phantoms
    return list(films), np.stack(list(films.values()))


def draw_phantoms(spec: PreprocessSpec, n: int) -> NDArray[np.uint8]:
    """Draw further phantoms, uint8 [n, size, size], every other one positive; none of them is a golden input."""
    first = FIRST_SEED + PHANTOMS
    drawn = [draw_phantom(first + index, positive=bool(index % 2)) for index in range(n)]
    return np.stack([spec.square(phantom.pixels) for phantom in drawn])


def _figures(size: int) -> dict[str, NDArray[np.uint8]]:
    rows, columns = np.mgrid[:size, :size]
    black = np.zeros((size, size), np.uint8)
    corner, figure = black.copy(), black.copy()
    corner[: size // 8, : size // 8] = 255
    figure[size // 7 : size // 3, size // 5 : size // 4] = 200  # an upright bar
    figure[size // 3 : size // 3 + 9, size // 5 : size // 2] = 120  # and a foot: neither square nor symmetric
    noise = np.random.default_rng(FIRST_SEED).integers(0, 256, (size, size), dtype=np.uint8)
    return {
        "black": black,
        "white": np.full_like(black, 255),
        "checkerboard": ((rows + columns) % 2 * 255).astype(np.uint8),
        "ramp_x": (columns * 255 // (size - 1)).astype(np.uint8),
        "ramp_y": (rows * 255 // (size - 1)).astype(np.uint8),
        "corner": corner,
        "figure": figure,
        "noise": noise,
    }
