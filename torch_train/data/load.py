"""Films from disk into memory, each exactly as every later stage will see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import DataError, FilmError
from tbconv.contract.files import sha256_bytes
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.reporter import Reporter
from tbconv.contract.xray import XrayFacts, decode_xray, describe_xray, read_bytes
from torch_train.data.film import Film, FilmIndex, some


@dataclass(frozen=True, slots=True)
class LoadedFilms:
    """The readable films of an index, in its order; 50 kB each."""

    index: FilmIndex  # the readable films only
    squares: NDArray[np.uint8]  # [N, 224, 224], 0 black to 255 white
    digests: tuple[str, ...]  # SHA-256 of each file
    facts: tuple[XrayFacts, ...]  # what each file says of itself
    unreadable: tuple[tuple[Path, str], ...]  # path and reason


@dataclass(frozen=True, slots=True)
class _Reading:
    square: NDArray[np.uint8]
    digest: str
    facts: XrayFacts


def load_films(index: FilmIndex, reporter: Reporter) -> LoadedFilms:
    """Decode all films to the network's input size, on all cores: Pillow lets go of the GIL.

    Args:
        index: the films to read.
        reporter: where progress and unreadable films are told.

    Raises:
        DataError: a class is left without a readable film.
    """
    with ThreadPoolExecutor() as pool:
        answers = reporter.track(pool.map(_read, index.films), title="reading films", total=len(index.films))
        pairs = list(zip(index.films, answers, strict=True))
    good = [(film, answer) for film, answer in pairs if isinstance(answer, _Reading)]
    unreadable = tuple((film.path, answer) for film, answer in pairs if isinstance(answer, str))
    for path, reason in unreadable:
        reporter.say(f"left out: {path}: {reason}")
    kept = replace(index, films=tuple(film for film, _ in good))
    _require_both_classes(kept, unreadable)
    return LoadedFilms(
        index=kept,
        squares=np.stack([answer.square for _, answer in good]),
        digests=tuple(answer.digest for _, answer in good),
        facts=tuple(answer.facts for _, answer in good),
        unreadable=unreadable,
    )


def _read(film: Film) -> _Reading | str:
    try:
        data = read_bytes(film.path)
        square = PreprocessSpec().square(decode_xray(data, name=film.path.name))
        return _Reading(square, sha256_bytes(data), describe_xray(data, name=film.path.name))
    except FilmError as error:
        return error.one_line


def _require_both_classes(kept: FilmIndex, unreadable: tuple[tuple[Path, str], ...]) -> None:
    for label, name in enumerate(kept.labels.names):
        if not kept.count(label):
            raise DataError(
                f"no film of the class {name} can be read: {some([path.name for path, _ in unreadable])}",
                why=f"the first one: {unreadable[0][1]}" if unreadable else "the index has none",
                fix="export or download these films again",
            )
