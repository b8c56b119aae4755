"""Films of a mere folder, split by file: some set the ranges of int8, every format is run on the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.parity.inputs import evenly, find_films, spread
from tbconv.contract.errors import DataError, FilmError, Reporter
from tbconv.contract.files import sha256_bytes
from tbconv.contract.preprocess import fit
from tbconv.contract.xray import read_xray
from tbconv.contract.xray.folder import walk_films, words_of
from torch_train.data.loading import digest_of_pixels

CALIBRATION = 64  # films, at most
LEAST, MOST = 64, 576  # films that are compared where nobody says how many; those that are looked at for it
AT_ONCE = 64  # films that are read and run at a time while some are looked for
LEAST_APART = 16  # films; of fewer, neither half would say anything, so all of them serve twice


@dataclass(frozen=True, slots=True)
class FolderFilms:
    """What is fed, and what is calibrated with."""

    calibration: NDArray[np.uint8]  # [C, H, W]
    parity: NDArray[np.uint8]  # [N, H, W]
    parity_names: tuple[str, ...]  # paths within the folder
    calibration_sha256: tuple[str, ...]  # of the grey pixels: one film, whatever file it came in
    parity_sha256: tuple[str, ...]
    held: int  # films in the folder
    chosen: int = 0  # of the compared films, taken for the side of a decision on which they lie

    @property
    def disjoint(self) -> bool:
        """Whether no film that is compared set a range."""
        return not set(self.calibration_sha256) & set(self.parity_sha256)

    @property
    def description(self) -> str:
        """What was fed, in one sentence."""
        apart = "none of them seen in calibration" if self.disjoint else "the same that int8 was calibrated on"
        chosen = f"; {self.chosen} of them chosen for the side of a decision on which they lie" if self.chosen else ""
        return f"{len(self.parity)} films of a folder of {self.held}, {apart}{chosen}"

    @property
    def digest(self) -> str:
        """SHA-256 of the calibration films' own digests, in order."""
        return sha256_bytes("".join(f"{one}\n" for one in self.calibration_sha256).encode())


def read_folder(folder: Path, *, size: tuple[int, int], films: int, reporter: Reporter) -> FolderFilms:
    """Read films evenly spread over a folder's paths, grey and model_input.

    Args:
        folder: PNG, JPEG and DICOM films, in subfolders or not.
        size: height and width in pixels.
        films: to compare, at most.
        reporter: gets a line for each film that is left out.

    Raises:
        DataError: there is no film that can be read.
    """
    if not folder.is_dir():
        raise DataError(f"--calibration {folder} is not a folder", why="films are read from it", fix="name a folder")
    tree = walk_films(folder)
    paths = list(tree.films)
    if left_out := tree.left_out():
        reporter.say(words_of(left_out, folder))
    wanted = evenly(np.arange(len(paths)), CALIBRATION + films)
    read = _read([paths[row] for row in wanted], size, reporter)
    if not read:
        raise DataError(
            f"--calibration {folder} holds no film that can be read",
            why="int8 needs the ranges that films reach, and parity cannot pass on nothing",
            fix="name a folder of PNG, JPEG or DICOM films",
        )
    names = list(read)
    calibrating, compared = split(len(names), films)
    model_inputs = np.stack([read[name][0] for name in names])
    digests = [read[name][1] for name in names]
    if len(calibrating) == len(compared) == len(names):
        reporter.say(
            f"{len(names)} films are too few to keep some apart: int8 is compared on what it was calibrated on"
        )
    return FolderFilms(
        calibration=model_inputs[calibrating],
        parity=model_inputs[compared],
        parity_names=tuple(str(names[row].relative_to(folder)) for row in compared),
        calibration_sha256=tuple(digests[row] for row in calibrating),
        parity_sha256=tuple(digests[row] for row in compared),
        held=len(paths),
    )


def read_more(folder: Path, films: FolderFilms, *, size: tuple[int, int], reporter: Reporter) -> Iterator[FolderFilms]:
    """Yield the same films with further ones of the folder to compare, until 576 were looked at.

    Args:
        folder: it.
        films: what was read of it before.
        size: height and width in pixels.
        reporter: gets a line for each film that is left out.

    Yields:
        Each time up to 64 more, spread over the folder; none that calibrates, and no content twice.
    """
    seen, known = {*films.calibration_sha256, *films.parity_sha256}, {folder / name for name in films.parity_names}
    rest = np.array([one for one in find_films(folder) if one not in known], object)
    order = spread(evenly(rest, MOST - len(known) + len(films.calibration)))
    for start in range(0, len(order), AT_ONCE):
        read = _read(list(order[start : start + AT_ONCE]), size, reporter)
        fresh = [(path, *one) for path, one in read.items() if one[1] not in seen][: MOST - len(films.parity)]
        if fresh:
            seen |= {digest for _, _, digest in fresh}
            films = replace(
                films,
                parity=np.concatenate([films.parity, [one for _, one, _ in fresh]]),
                parity_names=films.parity_names + tuple(str(path.relative_to(folder)) for path, _, _ in fresh),
                parity_sha256=films.parity_sha256 + tuple(digest for _, _, digest in fresh),
            )
            yield films


def choose_for_sides(
    sides: Mapping[str, NDArray[np.bool_]], first: int, wanted: int
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return which films to take besides the first ones, and which sides of decisions still have too few.

    Args:
        sides: by name, which films lie on it, bool [N].
        first: films that are taken anyway.
        wanted: films on each side.

    Returns:
        Rows from `first` on, as few as it takes one after the other, and how many films there are by side, of those
        sides that have fewer than wanted.
    """
    counts = {side: int(one[:first].sum()) for side, one in sides.items()}
    rows = []
    for row in range(first, len(next(iter(sides.values()), ()))):
        on = [side for side, one in sides.items() if one[row]]
        if any(counts[side] < wanted for side in on):
            rows.append(row)
            counts |= {side: counts[side] + 1 for side in on}
    return np.array(rows, np.int64), {side: count for side, count in counts.items() if count < wanted}


def pick(films: FolderFilms, first: int, rows: NDArray[np.int64]) -> FolderFilms:
    """Return the first of the compared films, and those of some rows behind them, chosen for their side."""
    kept = [*range(first), *rows.tolist()]
    return replace(
        films,
        parity=films.parity[kept],
        parity_names=tuple(films.parity_names[row] for row in kept),
        parity_sha256=tuple(films.parity_sha256[row] for row in kept),
        chosen=len(rows),
    )


def split(count: int, films: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows to calibrate with and rows to compare: evenly spread, apart where there are enough."""
    rows = np.arange(count)
    if count < LEAST_APART:
        return rows[: max(CALIBRATION, 1)], evenly(rows, films)
    calibrating = evenly(rows, min(CALIBRATION, count // 2))
    compared = np.setdiff1d(rows, calibrating)
    return calibrating, evenly(compared, films)


def _read(paths: list[Path], size: tuple[int, int], reporter: Reporter) -> dict[Path, tuple[NDArray[np.uint8], str]]:
    """Return model input and SHA-256 by path; a film that is there twice counts once."""
    found, seen = dict[Path, tuple[NDArray[np.uint8], str]](), set[str]()
    for path in reporter.track(paths, title="reading films", total=len(paths)):
        try:
            pixels = read_xray(path)
        except FilmError as error:
            reporter.say(f"left out: {error.one_line}")
            continue
        digest = digest_of_pixels(pixels)
        if digest not in seen:
            seen.add(digest)
            found[path] = (fit(pixels, *size), digest)
    return found
