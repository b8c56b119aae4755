"""All films of an evaluation, read once for every fold, and what of them must stay on one side of any cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.reporter import Reporter
from torch_train.config import TrainConfig
from torch_train.data.groups import join_groups
from torch_train.data.index import FilmIndex
from torch_train.films import TrainingFilms, load_and_compare, put_together


@dataclass(frozen=True, slots=True)
class Pool:
    """The films, not yet cut, and who is on them."""

    films: TrainingFilms  # its parts are empty
    index: FilmIndex  # of the same films, in the same order: site, age, sex
    copies: tuple[tuple[int, ...], ...]  # films that are copies of each other
    units: NDArray[np.int64]  # [N], equal where films share a patient, a file or a picture

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], 1 positive."""
        return self.films.labels

    @property
    def in_order(self) -> NDArray[np.int64]:
        """Rows by the digest of their films, so that no cut depends on file names; int64 [N]."""
        return np.argsort(np.array(self.films.digests), kind="stable").astype(np.int64)

    def units_with(self, label: int, rows: NDArray[np.int64]) -> int:
        """Count the units of some films that have a film of this class."""
        return len(np.unique(self.units[rows[self.labels[rows] == label]]))


def read_pool(config: TrainConfig, reporter: Reporter) -> Pool:
    """Index, preprocess, look for duplicates.

    Raises:
        DataError: the folder cannot be read.
        ConfigError: an option does not fit it.
    """
    loaded, copies = load_and_compare(config, reporter)
    return pool_of(loaded.index, loaded.squares, loaded.digests, copies)


def pool_of(
    index: FilmIndex, squares: NDArray[np.uint8], digests: Sequence[str], copies: Sequence[Sequence[int]]
) -> Pool:
    """Put films together.

    Args:
        index: the films.
        squares: uint8 [N, 224, 224], in its order.
        digests: SHA-256 of each file.
        copies: groups of films that are copies of each other.
    """
    films = put_together(index, squares, digests)
    return Pool(films, index, tuple(tuple(group) for group in copies), _join(films, copies))


def _join(films: TrainingFilms, copies: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Number the units by the first of their digests, so that the numbers do not depend on file names."""
    _, same_file = np.unique(films.digests, return_inverse=True)
    joined = join_groups(len(films.digests), [*_alike(films.patients), *_alike(same_file), *copies])
    units = np.empty(len(films.digests), np.int64)
    for number, unit in enumerate(sorted(joined, key=lambda unit: min(films.digests[film] for film in unit))):
        units[list(unit)] = number
    return units


def _alike(keys: NDArray[np.int64]) -> list[list[int]]:
    """Return the rows of each key."""
    _, counts = np.unique(keys, return_counts=True)
    return [rows.tolist() for rows in np.split(np.argsort(keys, kind="stable"), np.cumsum(counts)[:-1])]
