"""Where the lungs of a film are: its mask where one is known, else a central box that holds nearly all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import read_xray
from torch_train.audit.boxes import area_of
from torch_train.audit.sample import Sample
from torch_train.data.film import SUFFIXES
from torch_train.data.masks import MARKED

# Of a film's side on each side. The box holds 98 % of the lungs of openist's masks (5th hundredth of films: 93 %).
OUTSIDE = 0.08
Marks = NDArray[np.bool_]  # [224, 224]


def find_masks_of(films: Sample, folder: Path | None) -> list[Path | None]:
    """Return each film's mask: by name in the folder, else what the set itself has."""
    if folder is None:
        return [film.mask for film in films.films]
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    named = {path.stem.removesuffix("_mask"): path for path in paths}
    return [named.get(film.path.stem, film.mask) for film in films.films]


def read_mask(path: Path) -> Marks:
    """Read one mask as the network would see it, bool [224, 224].

    Raises:
        FilmError: it cannot be read.
    """
    return np.asarray(PreprocessSpec().square(read_xray(path)) > MARKED)


def central_box(films: Sample, number: int) -> Marks:
    """Return the box of one film that stands for its lungs, bool [224, 224]."""
    fact, side = films.facts[number], films.squares.shape[1]
    return area_of(fact, side, (OUTSIDE, OUTSIDE, 1 - OUTSIDE, 1 - OUTSIDE))


def outside_border(films: Sample, number: int, share: float) -> Marks:
    """Return all of a film but its border, bool [224, 224]."""
    fact, side = films.facts[number], films.squares.shape[1]
    return area_of(fact, side, (share, share, 1 - share, 1 - share))
