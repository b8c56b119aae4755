"""Films from disk into memory, each exactly as every later stage will see it."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from tbconv.contract import preprocess, xray
from tbconv.contract.bundle import sha256_bytes
from tbconv.contract.errors import DataError, FilmError
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.reporting import Reporter
from tbconv.contract.xray import XrayFacts, decode_xray, describe_xray, read_bytes
from torch_train.data.records import Film, FilmIndex, some


@dataclass(frozen=True, slots=True)
class LoadedFilms:
    """The readable films of an index, in its order; 50 kB each."""

    index: FilmIndex  # the readable films only
    model_inputs: NDArray[np.uint8]  # [N, 224, 224], 0 black to 255 white
    digests: tuple[str, ...]  # SHA-256 of each file
    facts: tuple[XrayFacts, ...]  # what each file says of itself
    unreadable: tuple[tuple[Path, str], ...]  # path and reason


@dataclass(frozen=True, slots=True)
class _FileReading:
    model_input: NDArray[np.uint8]
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
        answers = reporter.track(pool.map(_read_file, index.films), title="reading films", total=len(index.films))
        pairs = list(zip(index.films, answers, strict=True))
    good = [(film, answer) for film, answer in pairs if isinstance(answer, _FileReading)]
    unreadable = tuple((film.path, answer) for film, answer in pairs if isinstance(answer, str))
    for path, reason in unreadable:
        reporter.say(f"left out: {path}: {reason}")
    kept = replace(index, films=tuple(film for film, _ in good))
    _require_both_classes(kept, unreadable)
    return LoadedFilms(
        index=kept,
        model_inputs=np.stack([answer.model_input for _, answer in good]),
        digests=tuple(answer.digest for _, answer in good),
        facts=tuple(answer.facts for _, answer in good),
        unreadable=unreadable,
    )


def _read_file(film: Film) -> _FileReading | str:
    try:
        data = read_bytes(film.path)
        model_input = PreprocessSpec().model_input(decode_xray(data, name=film.path.name))
        return _FileReading(model_input, sha256_bytes(data), describe_xray(data, name=film.path.name))
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


# --- film cache ---
# Decoded films kept between runs, by content: a film is found by its bytes and by how it is preprocessed.
#
# What is kept is what `load_films` makes of a film, so a run that finds it there equals one that decodes. A
# changed film, another Pillow or another version of the code that reads films has another key; a file that was
# cut off or altered is seen by its digest and decoded anew. Films are of patients: the folder is its owner's alone.

PLACE = "TBCONV_CACHE"  # environment variable: where films are kept
DIGEST_BYTES = 32  # SHA-256 behind the pixels


@dataclass(frozen=True, slots=True)
class FilmCache:
    """One folder for one way to preprocess; a file a film, its pixels uint8 [size, size] and their SHA-256."""

    folder: Path
    spec: PreprocessSpec

    def find(self, digest: str) -> NDArray[np.uint8] | None:
        """Return the square of the film whose bytes have this SHA-256, or None."""
        try:
            data = self._path(digest).read_bytes()
        except OSError:  # not there, or not readable: it will be decoded
            return None
        pixels, seal = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
        size = self.spec.size
        if len(pixels) != size * size or hashlib.sha256(pixels).digest() != seal:
            return None
        return np.frombuffer(pixels, np.uint8).reshape(size, size)

    def keep(self, digest: str, model_input: NDArray[np.uint8]) -> None:
        """Write a film's square; half a file is no harm, its seal is missing.

        Raises:
            OSError: the disk is full, or the folder cannot be written to.
        """
        path, pixels = self._path(digest), model_input.tobytes()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pixels + hashlib.sha256(pixels).digest())

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def cache_folder() -> Path:
    """Return where films are kept: $TBCONV_CACHE, or tbconv below the user's cache folder."""
    if place := os.environ.get(PLACE):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tbconv"


def open_cache(folder: Path, spec: PreprocessSpec) -> FilmCache:
    """Return the cache of one way to preprocess, in a folder that only its owner can enter.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = folder / f"films-{_reader_digest(spec)[:16]}"
    own.mkdir(mode=0o700, exist_ok=True)
    return FilmCache(own, spec)


def _reader_digest(spec: PreprocessSpec) -> str:
    """Digest all that a square depends on beside the film: the spec, Pillow, and the code that reads films."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (preprocess, xray))
    return sha256_bytes(json.dumps([asdict(spec), PIL.__version__]).encode() + code)


def load_cached(index: FilmIndex, folder: Path | None, reporter: Reporter) -> LoadedFilms:
    """Load films as `load_films` does, those that are kept without decoding them, and keep the others.

    Args:
        index: the films to read.
        folder: where films are kept; None keeps none.
        reporter: hears what was found there, and what cannot be kept.

    Raises:
        DataError: a class is left without a readable film.
    """
    if folder is None:
        return load_films(index, reporter)
    try:
        cache = open_cache(folder, PreprocessSpec())
    except OSError as error:
        reporter.say(f"films are not kept for the next run: {folder}: {error.strerror}")
        return load_films(index, reporter)
    with ThreadPoolExecutor() as pool:  # reading, hashing and decoding all let go of the GIL
        answers = pool.map(lambda film: _read_cached(film, cache), index.films)
        pairs = list(zip(index.films, reporter.track(answers, title="films", total=len(index.films)), strict=True))
    good = [(film, answer) for film, answer in pairs if isinstance(answer, _CachedReading)]
    kept = replace(index, films=tuple(film for film, _ in good))
    if not (kept.count(0) and kept.count(1)):
        return load_films(index, reporter)  # which says what is wrong with them
    unreadable = tuple((film.path, answer) for film, answer in pairs if isinstance(answer, str))
    for path, reason in unreadable:
        reporter.say(f"left out: {path}: {reason}")
    _say_what_was_kept([answer for _, answer in good], folder, reporter)
    return LoadedFilms(
        index=kept,
        model_inputs=np.stack([answer.model_input for _, answer in good]),
        digests=tuple(answer.digest for _, answer in good),
        facts=tuple(answer.facts for _, answer in good),
        unreadable=unreadable,
    )


@dataclass(frozen=True, slots=True)
class _CachedReading:
    model_input: NDArray[np.uint8]
    digest: str
    facts: XrayFacts
    found: bool  # in the cache
    not_kept: str  # why it is not there now; "" if it is


def _read_cached(film: Film, cache: FilmCache) -> _CachedReading | str:
    try:
        data = read_bytes(film.path)
        digest, facts = sha256_bytes(data), describe_xray(data, name=film.path.name)
        found = cache.find(digest)
        model_input = cache.spec.model_input(decode_xray(data, name=film.path.name)) if found is None else found
    except FilmError as error:
        return error.one_line
    return _CachedReading(
        model_input, digest, facts, found is not None, "" if found is not None else _keep(cache, digest, model_input)
    )


def _keep(cache: FilmCache, digest: str, model_input: NDArray[np.uint8]) -> str:
    try:
        cache.keep(digest, model_input)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _say_what_was_kept(readings: list[_CachedReading], folder: Path, reporter: Reporter) -> None:
    found = sum(reading.found for reading in readings)
    reporter.say(f"  {found} of {len(readings)} films were decoded before and come from {folder}")
    if lost := [reading.not_kept for reading in readings if reading.not_kept]:
        reporter.say(f"  {len(lost)} films are not kept for the next run: {lost[0]}")
