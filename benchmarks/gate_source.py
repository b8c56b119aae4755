"""What pictures that are no film are made of: films, photographs and masks, and a way to resize them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
SIDES = (224, 640)  # pixels; what is drawn from nothing has sides between these


@dataclass(frozen=True, slots=True)
class Source:
    """Films and photographs to make pictures of."""

    films: tuple[tuple[Pixels, ...], ...]  # a tuple a folder, so that a large folder is not drawn more often
    photographs: tuple[Pixels, ...]
    masks: tuple[Pixels, ...]  # lung masks, 0 and 255
    vary: Callable[[np.random.Generator, Pixels], Pixels] | None = None  # for the fit: what it makes more of

    def film(self, rng: np.random.Generator) -> Pixels:
        """Draw a folder, then a film of it."""
        folder = self.films[rng.integers(len(self.films))]
        return self._varied(rng, folder[rng.integers(len(folder))])

    def photograph(self, rng: np.random.Generator) -> Pixels:
        """Draw a photograph."""
        return self._varied(rng, self.photographs[rng.integers(len(self.photographs))])

    def _varied(self, rng: np.random.Generator, pixels: Pixels) -> Pixels:
        return self.vary(rng, pixels) if self.vary else pixels


Maker = Callable[[np.random.Generator, Source], Pixels]


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize, antialiased."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def sides(rng: np.random.Generator) -> tuple[int, int]:
    """Draw height and width, no further apart than a page's."""
    height = int(rng.integers(*SIDES))
    return height, int(np.clip(height * rng.uniform(0.65, 1.5), *SIDES))


def to_uint8(values: NDArray[np.floating]) -> Pixels:
    """Round and clip to grey levels."""
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
