"""golden_films.npz: films as the bytes of files, and the one check that begins where a client begins, at those bytes.

Everything behind the square is compared elsewhere; a client that resizes, scales or turns a film
otherwise gives the right network another film, and only this sees it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN, Bundle
from tbconv.contract.errors import ArtefactError
from tbconv.contract.film_faults import likeness
from tbconv.contract.preprocess import PreprocessSpec

GOLDEN_FILMS = "golden_films.npz"
NOT_RECORDED = "the bundle records no golden films, so how films are opened was not checked"
# Grey levels. PNG is lossless and Pillow's resize is whole numbers: nothing may differ. Two JPEG decoders that keep
# to IEEE 1180-1990 (peak error of the inverse DCT: 1 level) differ by 2 at most, and averaging adds nothing:
# rounding is monotone, so what moves by whole levels at most stays within as many. (Measured between libjpeg-turbo's
# accurate and fast DCT on the two JPEG films: tests/tbconv/test_golden_films.py.)
PNG_LEVELS, JPEG_LEVELS = 0, 2
OpenFilm = Callable[[bytes], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class GoldenFilm:
    """One drawn film, no patient's: its file, and what the network has to be shown of it."""

    name: str
    data: bytes  # a whole PNG or JPEG file
    square: NDArray[np.uint8]  # [size, size]
    levels: int  # grey levels that a pixel of the square may differ by


def opener(spec: PreprocessSpec) -> OpenFilm:
    """Return the way that training, `predict` and the server open a film: bytes to uint8 [size, size]."""
    return lambda data: spec.from_bytes(data, name="a golden film")[0, ..., 0].astype(np.uint8)


def check_films(films: Bundle | Sequence[GoldenFilm], open_film: OpenFilm) -> list[str]:
    """Judge any client's way from a file's bytes to the network's input.

    Args:
        films: golden films, or a bundle that records some.
        open_film: what is judged: the bytes of a PNG or JPEG to uint8 [size, size].

    Returns:
        One sentence for each film that came out otherwise: its name, how many pixels differ, by how many grey
        levels, and what that looks like (a hint: the nearest of the known faults). Empty where all agree; of a
        bundle without golden films, that nothing was checked.

    Raises:
        ArtefactError: the bundle's golden films are missing, altered or damaged.
    """
    if isinstance(films, Bundle):
        films = read_films_of_bundle(films)
    if not films:
        return [NOT_RECORDED]
    return [problem for film in films if (problem := _check(film, open_film)) is not None]


def _check(film: GoldenFilm, open_film: OpenFilm) -> str | None:
    try:
        square = np.asarray(open_film(film.data))
    except Exception as error:  # noqa: BLE001 (whose code this is, and what it raises, is not known here)
        said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        return f"{film.name}: cannot be opened, {said}"
    if square.shape != film.square.shape or square.dtype != np.uint8:
        return f"{film.name}: becomes {square.dtype} {list(square.shape)}, not uint8 {list(film.square.shape)}"
    apart = np.abs(square.astype(np.int16) - film.square)
    count = int((apart > film.levels).sum())
    if not count:
        return None
    hint = likeness(film.data, square, film.square)
    moved = f"{count:,} of {apart.size:,} pixels differ, by up to {apart.max()} grey levels (allowed {film.levels})"
    return f"{film.name}: {moved}{f'; it looks {hint}' if hint else ''}"


def records_films(bundle: Bundle) -> bool:
    """Return whether a bundle has golden films; those of earlier versions have none."""
    return GOLDEN_FILMS in bundle.manifest.files


def read_films_of_bundle(bundle: Bundle) -> tuple[GoldenFilm, ...]:
    """Return a bundle's golden films, none where it records none; ArtefactError where they are altered."""
    return read_golden_films(bundle.path(GOLDEN_FILMS)) if records_films(bundle) else ()


def write_golden_films(path: Path, films: Sequence[GoldenFilm]) -> None:
    """Write films as arrays without pickles; a file's bytes become uint8 [n]."""
    arrays: dict[str, Any] = {f"{film.name}|bytes": np.frombuffer(film.data, np.uint8) for film in films}
    arrays |= {f"{film.name}|square": film.square for film in films}
    names, levels = np.array([film.name for film in films]), np.array([film.levels for film in films], np.uint8)
    np.savez_compressed(path, names=names, levels=levels, **arrays)


def read_golden_films(path: Path) -> tuple[GoldenFilm, ...]:
    """Read golden_films.npz; ArtefactError if it is not one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            told = zip(arrays["names"].tolist(), arrays["levels"].tolist(), strict=True)
            return tuple(
                GoldenFilm(name, arrays[f"{name}|bytes"].tobytes(), arrays[f"{name}|square"], levels)
                for name, levels in told
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # all numpy's, on damage
        what, why = f"{path} holds no golden films", f"{type(error).__name__}: {error}"
        raise ArtefactError(what, why=why, fix=MAKE_AGAIN) from error
