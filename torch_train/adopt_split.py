"""Who has seen what: a split by patient in which no film that the checkpoint learnt from chooses or tests.

`tbconv train` knows its own training films; here somebody else has to tell, by the digests of the
films' files, as `sha256sum` prints them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ConfigError, DataError
from torch_train.data.duplicates import find_duplicates
from torch_train.data.groups import join_groups
from torch_train.data.split import PARTS, digest_of
from torch_train.films import TrainingFilms

DIGEST = re.compile(r"^[0-9a-f]{64}(?![0-9a-f])", re.MULTILINE)


def read_digests(path: Path) -> frozenset[str]:
    """Return the SHA-256 at the start of each line.

    Raises:
        ConfigError: no line starts with one.
    """
    found = frozenset(DIGEST.findall(path.read_text(encoding="utf-8", errors="replace")))
    if not found:
        why = "no line of it starts with a SHA-256 of 64 digits"
        raise ConfigError(f"--trained-on {path} names no film", why=why, fix="sha256sum FILMS > LIST")
    return found


def set_apart(films: TrainingFilms, seen: frozenset[str], *, seed: int, fractions: tuple[float, ...]) -> TrainingFilms:
    """Put all that the checkpoint may know into the training part, and share out the rest.

    A film goes with its patient and its duplicates. What is left goes to validation and test, each
    class in the ratio of their fractions; chance comes from digests and seed alone.

    Args:
        films: of the run, split in whatever way.
        seen: SHA-256 of the films that the checkpoint learnt from.
        seed: another seed, another share.
        fractions: of training, validation and test; the first is not asked for.

    Raises:
        ConfigError: no film is in the list.
        DataError: what is left cannot fill validation and test with both classes, or training lacks one.
    """
    known = np.array([digest in seen for digest in films.digests])
    if not known.any():
        why = f"none of its {len(seen)} digests is of a film that was read"
        raise ConfigError("--trained-on fits no film", why=why, fix="sha256sum of the very files in --data")
    units = _units(films)
    told = [unit for unit in units if known[unit].any()]
    left = [unit for unit in units if not known[unit].any()]
    rows: dict[str, list[int]] = {"train": [int(row) for unit in told for row in unit], "validation": [], "test": []}
    share = fractions[2] / (fractions[1] + fractions[2])
    for label in (1, 0):
        of_class = [unit for unit in left if int(films.labels[unit].max()) == label]
        for place, unit in enumerate(sorted(of_class, key=lambda unit: _draw(films, unit, seed))):
            part = "test" if int((place + 1) * share) > int(place * share) else "validation"
            rows[part] += [int(row) for row in unit]
    parts = {part: np.array(sorted(rows[part]), np.int64) for part in PARTS}
    _require_both_classes(films, parts)
    return replace(films, parts=parts, split_digest=digest_of([rows[part] for part in PARTS], films.digests))


def _units(films: TrainingFilms) -> list[NDArray[np.int64]]:
    """Return the rows that must stay together: of one patient, or duplicates of each other."""
    patients = [np.flatnonzero(films.patients == patient).tolist() for patient in np.unique(films.patients)]
    twins = find_duplicates(films.squares, films.digests).groups
    return [np.array(unit, np.int64) for unit in join_groups(len(films.labels), [*patients, *twins])]


def _draw(films: TrainingFilms, unit: NDArray[np.int64], seed: int) -> str:
    first = min(films.digests[row] for row in unit)
    return hashlib.sha256(f"{seed} {first}".encode()).hexdigest()


def _require_both_classes(films: TrainingFilms, parts: dict[str, NDArray[np.int64]]) -> None:
    for part, rows in parts.items():
        for label, name in enumerate(films.names.names):
            if not (films.labels[rows] == label).any():
                raise DataError(
                    f"the {part} part has no film of the class {name}",
                    why="films in --trained-on may neither choose a threshold nor test it, and only they may train",
                    fix="more films that the checkpoint has not seen, or a list that names those it has",
                )
