"""Which films the probes look at: whole patients with their copies, drawn by content, so many of each class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.xray import XrayFacts
from torch_train.data.film import Film
from torch_train.data.groups import join_groups
from torch_train.data.load import LoadedFilms

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Films that probes look at."""

    squares: NDArray[np.uint8]  # [N, 224, 224]
    labels: Ints  # [N], 1 positive
    groups: Ints  # [N], equal where a patient or a copy joins films: never on both sides of a fold
    films: tuple[Film, ...]
    facts: tuple[XrayFacts, ...]
    digests: tuple[str, ...]

    def patients_of(self, label: int) -> int:
        """Return how many groups have a film of this class."""
        return len(np.unique(self.groups[self.labels == label]))

    def part(self, rows: Ints) -> Sample:
        """Return some of the films."""
        return Sample(
            self.squares[rows],
            self.labels[rows],
            self.groups[rows],
            tuple(self.films[row] for row in rows),
            tuple(self.facts[row] for row in rows),
            tuple(self.digests[row] for row in rows),
        )


def all_films(loaded: LoadedFilms, copies: Sequence[Sequence[int]]) -> Sample:
    """Return all films; those of one patient and those that are copies of each other are one group."""
    films = loaded.index.films
    by_patient: dict[str, list[int]] = {}
    for number, film in enumerate(films):
        by_patient.setdefault(film.patient, []).append(number)
    groups = np.empty(len(films), np.int64)
    for number, members in enumerate(join_groups(len(films), [*by_patient.values(), *copies])):
        groups[list(members)] = number
    labels = np.array([film.label for film in films], np.int64)
    return Sample(loaded.squares, labels, groups, films, loaded.facts, loaded.digests)


def draw(films: Sample, most: int, seed: int) -> Sample:
    """Draw whole groups until there are `most` films; a class that is rarer than half gives all it has.

    AUROC does not depend on the share of positives, so the sample need not keep it.
    """
    if len(films.labels) <= most:
        return films
    rarer = int((films.labels == 1).sum() < (films.labels == 0).sum())
    wished = {rarer: min(int((films.labels == rarer).sum()), most // 2)}
    wished[1 - rarer] = most - wished[rarer]
    rows: list[int] = []
    held = {0: 0, 1: 0}
    for members in _in_drawn_order(films, seed):
        own = int(films.labels[members].max())
        if held[own] < wished[own]:
            rows += members.tolist()
            held[own] += len(members)
    return films.part(np.array(sorted(rows), np.int64))


def _in_drawn_order(films: Sample, seed: int) -> list[Ints]:
    order = np.argsort(films.groups, kind="stable")
    starts = np.flatnonzero(np.diff(films.groups[order], prepend=-1))
    members = np.split(order, starts[1:])

    def key(rows: Ints) -> str:
        return hashlib.sha256(f"{seed} {min(films.digests[row] for row in rows)}".encode()).hexdigest()

    return sorted(members, key=key)
