"""Age and sex, as far as a set tells them: what a reader would know without the film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from torch_train.data.film import Film


def people_features(films: tuple[Film, ...]) -> NDArray[np.float64]:
    """Return age / 10, whether it is known, F, M and O, float64 [N, 5]; that a cell is empty may tell the class."""
    known = [film.age for film in films if film.age is not None]
    middle = float(np.median(known)) if known else 0.0
    rows = [
        ((middle if film.age is None else film.age) / 10, film.age is not None, *(film.sex == sex for sex in "FMO"))
        for film in films
    ]
    return np.array(rows, np.float64)


def count_known(films: tuple[Film, ...], label: int) -> int:
    """Return how many films of a class have an age or a sex."""
    return sum(film.label == label and (film.age is not None or film.sex is not None) for film in films)
