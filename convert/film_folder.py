"""Films of a folder as `verify` feeds them: at most so many, those first that the network was not trained on.

Labels are used where the folder has any that mean the same as the bundle's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.film_set import evenly
from tbconv.contract.bundle import read_bundle, read_json
from tbconv.contract.errors import DataError, FilmError
from tbconv.contract.files import sha256_file
from tbconv.contract.labels import Labels
from tbconv.contract.reporter import Reporter
from torch_train.data.film import FilmIndex
from torch_train.run_folder import SPLIT

FILM_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFolder:
    """Which films of which folder."""

    folder: Path
    most: int | None = None  # None takes all
    patient: str | None = None
    positive: str | None = None


def read_films_of(source: FilmFolder, bundle: Path, reporter: Reporter) -> tuple[Any, Any, str]:
    """Read a folder as a data set with labels, or as a mere folder of films where it is none.

    Returns:
        squares uint8 [N, 224, 224], labels int64 [N] or None, and a sentence that says what was fed.

    Raises:
        DataError: the folder holds no film that can be read.
    """
    from torch_train.data.index import read_index
    from torch_train.data.load import load_films

    try:
        index = read_index(source.folder, patient=source.patient, positive=source.positive)
    except DataError as error:
        squares = _plain_films(source, bundle, reporter)
        reporter.say(f"labels are not used: {error.what}")
        return squares, None, f"{len(squares)} films without labels"
    held = len(index.films)
    chosen = [index.films[row] for row in _choose([film.path for film in index.films], source.most, bundle)]
    loaded = load_films(replace(index, films=tuple(chosen)), reporter)
    labels = _labels(source, bundle, loaded.index, reporter)
    kind = "synthetic films" if index.synthetic else "films"
    which = f"{len(loaded.squares)} {kind} of a folder" + (f" of {held}" if len(chosen) < held else "")
    return loaded.squares, labels, which + _overlap(bundle, loaded.digests)


def _choose(paths: Sequence[Path], most: int | None, bundle: Path) -> NDArray[np.int64]:
    """Return rows in their order: every n-th film that the network was not trained on, then every n-th other."""
    if most is None or len(paths) <= most:
        return np.arange(len(paths))
    trained_on = _trained_on(bundle)
    seen = np.array([bool(trained_on) and sha256_file(path) in trained_on for path in paths])
    unseen = evenly(np.flatnonzero(~seen), most)
    return np.sort(np.concatenate([unseen, evenly(np.flatnonzero(seen), most - len(unseen))]))


def _trained_on(bundle: Path) -> set[str]:
    return set(read_json(bundle / SPLIT)["train"]) if (bundle / SPLIT).is_file() else set()


def _labels(source: FilmFolder, bundle: Path, index: FilmIndex, reporter: Reporter) -> NDArray[np.int64] | None:
    """Return the folder's labels in the bundle's polarity; None where its classes are others."""
    labels = np.array([film.label for film in index.films], np.int64)
    wanted, found = read_bundle(bundle).manifest.labels, index.labels
    if source.positive is not None or found == wanted:
        return labels
    if found == Labels(wanted.positive, wanted.negative):
        return 1 - labels
    reporter.say(
        f"labels are not used: the bundle tells {wanted.positive} from {wanted.negative}, the folder {found.positive} "
        f"from {found.negative}; --positive {found.positive} says that they mean the same"
    )
    return None


def _overlap(bundle: Path, digests: Iterable[str]) -> str:
    """Say how many films the network was trained on; their AUROC flatters, their parity does not."""
    if not (bundle / SPLIT).is_file():
        return ""
    seen = _trained_on(bundle).intersection(digests)
    return f", {len(seen)} of which it was trained on (AUROC flatters)" if seen else ", none of them trained on"


def _plain_films(source: FilmFolder, bundle: Path, reporter: Reporter) -> Any:
    from tbconv.contract.preprocess import PreprocessSpec

    spec, squares = PreprocessSpec(), []
    paths = sorted(path for path in source.folder.rglob("*") if path.suffix.lower() in FILM_SUFFIXES)
    for row in _choose(paths, source.most, bundle):
        try:
            squares.append(spec.from_file(paths[row]))
        except FilmError as error:
            reporter.say(f"left out: {error.one_line}")
    if not squares:
        raise DataError(
            f"{source.folder} holds no film that can be read",
            why="parity cannot pass on nothing",
            fix="name a folder of PNG or JPEG films, or leave out --films",
        )
    return np.stack(squares)
