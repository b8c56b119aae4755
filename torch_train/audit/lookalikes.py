"""Whether a film of the held-out part is a film of the training part in another dress: turned, zoomed, shifted.

Features propose, as a perceptual hash does in `torch_train.data.duplicates`; fine structure confirms, after the
film was turned and zoomed until it fits. Features alone cannot: those of a trained network put most kermany films
nearer to a stranger of their class than to their own copy turned by 2 degrees (74 of 100).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torch_train.data.duplicates import fine_structure

PROPOSED = 3  # training films next to a held-out film
TURNS = (-4, -2, 0, 2, 4)  # degrees
ZOOMS = (0.92, 0.96, 1.0, 1.04, 1.08)
SHIFT = 5  # cells of 3 pixels, each way
# Of 60 films each of delhi, nih, rahman and kermany: copies turned up to 5 degrees, cropped by 2-6 % a side and
# darkened reach 0.78 or more in 95 of 100; the likest of five films of other patients 0.70 at most, phantoms 0.87.
ALIKE, ALIKE_SYNTHETIC = 0.78, 0.92
Squares = NDArray[np.uint8]


def proposals(held: NDArray[np.float32], learnt: NDArray[np.float32], most: int = PROPOSED) -> NDArray[np.int64]:
    """Return the nearest training films of each held-out film, int64 [N, at most `most`], nearest first.

    Args:
        held: unit vectors float32 [N, C].
        learnt: unit vectors float32 [M, C].
        most: how many.
    """
    middle = learnt.mean(0)  # what all chests share says nothing
    first, second = (rows - middle for rows in (held, learnt))
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.asarray(np.argsort(-(first @ second.T), axis=1)[:, :most])


def likeness(film: NDArray[np.uint8], others: Squares) -> float:
    """Return the best correlation of fine structure over turns, zooms and shifts, -1..1.

    Args:
        film: uint8 [224, 224].
        others: uint8 [M, 224, 224].
    """
    dressed = np.stack([_dress(film, turn, zoom) for turn, zoom in product(TURNS, ZOOMS)])
    spectra = _spectra(dressed)
    targets = np.conj(_spectra(others))
    best = -1.0
    for target in targets:
        over_shifts = np.fft.ifft2(spectra * target).real
        near = np.r_[0 : SHIFT + 1, -SHIFT:0]
        best = max(best, float(over_shifts[:, near][:, :, near].max()))
    return best


def _spectra(squares: Squares) -> NDArray[np.complex128]:
    rows = fine_structure(squares)
    side = round(rows.shape[1] ** 0.5)
    return np.asarray(np.fft.fft2(rows.reshape(-1, side, side)))


def _dress(film: NDArray[np.uint8], turn: float, zoom: float) -> NDArray[np.uint8]:
    image, half = Image.fromarray(film), len(film) / 2
    cos, sin = np.cos(np.deg2rad(turn)) / zoom, np.sin(np.deg2rad(turn)) / zoom
    offsets = (half - half * (cos + sin), half - half * (cos - sin))
    matrix = (cos, sin, offsets[0], -sin, cos, offsets[1])
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
