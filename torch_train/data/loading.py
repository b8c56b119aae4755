"""Films from disk into memory, each exactly as every later stage will see it, with a cache of decoded films."""

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
from tbconv.contract.errors import DataError, FilmError, Reporter, SetupError, some
from tbconv.contract.files import sha256_bytes, write_atomic
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import XrayFacts, decode_xray, describe_xray, read_bytes
from torch_train.data.records import Film, FilmIndex


@dataclass(frozen=True, slots=True)
class LoadedFilms:
    """The readable films of an index, in its order; 50 kB each."""

    index: FilmIndex  # the readable films only
    model_inputs: NDArray[np.uint8]  # [N, 224, 224], 0 black to 255 white
    digests: tuple[str, ...]  # SHA-256 of each file
    facts: tuple[XrayFacts, ...]  # size, mode and format of each file
    unreadable: tuple[tuple[Path, str], ...]  # path and reason


def load_films(index: FilmIndex, reporter: Reporter, *, cache: FilmCache | None = None) -> LoadedFilms:
    """Decode all films to the network's input size, on all cores: reading, hashing and decoding release the GIL.

    Args:
        index: the films to read.
        reporter: where progress and unreadable films go.
        cache: films that are in it are not decoded; the others are added.

    Raises:
        DataError: a class is left without a readable film.
    """
    with ThreadPoolExecutor() as pool:
        readings = pool.map(lambda film: _read_film(film, cache), index.films)
        tracked = reporter.track(readings, title="films", total=len(index.films))
        pairs = list(zip(index.films, tracked, strict=True))
    good = [(film, reading) for film, reading in pairs if isinstance(reading, _FilmReading)]
    unreadable = tuple((film.path, reading) for film, reading in pairs if isinstance(reading, str))
    for path, reason in unreadable:
        reporter.say(f"left out: {path}: {reason}")
    kept = replace(index, films=tuple(film for film, _ in good))
    for label, name in enumerate(kept.labels.names):
        if not kept.count(label):
            raise DataError(
                f"no film of the class {name} can be read: {some([path.name for path, _ in unreadable])}",
                why=f"the first one: {unreadable[0][1]}" if unreadable else "the index has none",
                fix="export or download these films again",
            )
    if cache is not None:
        _report_cache([reading for _, reading in good], cache, reporter)
    return LoadedFilms(
        index=kept,
        model_inputs=np.stack([reading.model_input for _, reading in good]),
        digests=tuple(reading.digest for _, reading in good),
        facts=tuple(reading.facts for _, reading in good),
        unreadable=unreadable,
    )


@dataclass(frozen=True, slots=True)
class _FilmReading:
    model_input: NDArray[np.uint8]
    digest: str
    facts: XrayFacts
    cached: bool
    not_kept: str  # why it is not in the cache now; "" if it is, or if there is none


def _read_film(film: Film, cache: FilmCache | None) -> _FilmReading | str:
    try:
        data = read_bytes(film.path)
        digest, facts = sha256_bytes(data), describe_xray(data, name=film.path.name)
        found = None if cache is None else cache.find(digest)
        if found is not None:
            return _FilmReading(found, digest, facts, cached=True, not_kept="")
        model_input = PreprocessSpec().model_input(decode_xray(data, name=film.path.name))
    except FilmError as error:
        return error.one_line
    not_kept = ""
    if cache is not None:
        try:
            cache.keep(digest, model_input)
        except SetupError as error:
            not_kept = error.why
        except OSError as error:
            not_kept = error.strerror or str(error)
    return _FilmReading(model_input, digest, facts, cached=False, not_kept=not_kept)


def _report_cache(readings: list[_FilmReading], cache: FilmCache, reporter: Reporter) -> None:
    cached = sum(reading.cached for reading in readings)
    place = cache.folder.parent
    if cached:
        reporter.say(f"  {cached} of {len(readings)} films were decoded before and come from {place}")
    else:
        reporter.say(f"  decoded films are kept for the next run in {place}")
    if lost := [reading.not_kept for reading in readings if reading.not_kept]:
        reporter.say(f"  {len(lost)} films are not kept for the next run: {lost[0]}")


# --- film cache ---
# Decoded films kept between runs, by content: a film is found by its bytes and by how it is preprocessed.
#
# What is kept is what `load_films` makes of a film, so a run that finds it there equals one that decodes. A
# changed film, another Pillow or another version of the code that reads films has another key; a file that was
# cut off or altered fails its digest and is decoded again. Films are of patients: only the owner can enter the folder.

PLACE = "TBCONV_CACHE"  # environment variable: where films are kept
DIGEST_BYTES = 32  # SHA-256 behind the pixels


@dataclass(frozen=True, slots=True)
class FilmCache:
    """One folder for one way to preprocess; a file a film, its pixels uint8 [size, size] and their SHA-256."""

    folder: Path
    spec: PreprocessSpec

    def find(self, digest: str) -> NDArray[np.uint8] | None:
        """Return the model input of the film whose bytes have this SHA-256, or None."""
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
        """Write a film's model input; what a power cut leaves of it does no harm, for its digest is missing.

        Raises:
            SetupError: the disk is full, or the folder cannot be written to.
            OSError: another fault of it.
        """
        path, pixels = self._path(digest), model_input.tobytes()
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, pixels + hashlib.sha256(pixels).digest(), durable=False)

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
    """Digest all that a model input depends on beside the film: the spec, Pillow, and the code that reads films."""
    readers = sorted(Path(str(xray.__file__)).parent.rglob("*.py"))
    code = b"".join(path.read_bytes() for path in (Path(str(preprocess.__file__)), *readers))
    return sha256_bytes(json.dumps([asdict(spec), PIL.__version__]).encode() + code)


def load_cached(index: FilmIndex, folder: Path | None, reporter: Reporter) -> LoadedFilms:
    """Load films as `load_films` does, through the cache in a folder.

    Args:
        index: the films to read.
        folder: where decoded films are kept; None keeps none.
        reporter: where progress goes, what was found in the cache, and what cannot be kept.

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
    return load_films(index, reporter, cache=cache)
