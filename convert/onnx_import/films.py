"""Films of a mere folder, split by file: some set the ranges of int8, every format is run on the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.parity.inputs import evenly
from tbconv.contract.errors import DataError, FilmError, Reporter
from tbconv.contract.files import sha256_bytes
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import read_bytes
from tbconv.contract.xray.folder import walk_films, words_of

CALIBRATION = 64  # films, at most
LEAST_APART = 16  # films; of fewer, neither half would say anything, so all of them serve twice


@dataclass(frozen=True, slots=True)
class FolderFilms:
    """What is fed, and what is calibrated with."""

    calibration: NDArray[np.uint8]  # [C, S, S]
    parity: NDArray[np.uint8]  # [N, S, S]
    parity_names: tuple[str, ...]  # paths within the folder
    calibration_sha256: tuple[str, ...]  # of the files
    parity_sha256: tuple[str, ...]
    held: int  # films in the folder, each content once

    @property
    def disjoint(self) -> bool:
        """Whether no film that is compared set a range."""
        return not set(self.calibration_sha256) & set(self.parity_sha256)

    @property
    def description(self) -> str:
        """What was fed, in one sentence."""
        apart = "none of them seen in calibration" if self.disjoint else "the same that int8 was calibrated on"
        return f"{len(self.parity)} films of a folder of {self.held}, {apart}"

    @property
    def digest(self) -> str:
        """SHA-256 of the calibration films' own digests, in order."""
        return sha256_bytes("".join(f"{one}\n" for one in self.calibration_sha256).encode())


def read_folder(folder: Path, *, size: int, films: int, reporter: Reporter) -> FolderFilms:
    """Read films evenly spread over a folder's paths, grey and model_input.

    Args:
        folder: PNG, JPEG and DICOM films, in subfolders or not.
        size: side of the square in pixels.
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


def split(count: int, films: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows to calibrate with and rows to compare: evenly spread, apart where there are enough."""
    rows = np.arange(count)
    if count < LEAST_APART:
        return rows[: max(CALIBRATION, 1)], evenly(rows, films)
    calibrating = evenly(rows, min(CALIBRATION, count // 2))
    compared = np.setdiff1d(rows, calibrating)
    return calibrating, evenly(compared, films)


def _read(paths: list[Path], size: int, reporter: Reporter) -> dict[Path, tuple[NDArray[np.uint8], str]]:
    """Return square and SHA-256 by path; a film that is there twice counts once."""
    spec, found, seen = PreprocessSpec(size=size), {}, set()
    for path in reporter.track(paths, title="reading films", total=len(paths)):
        try:
            model_input, digest = spec.from_file(path), sha256_bytes(read_bytes(path))
        except FilmError as error:
            reporter.say(f"left out: {error.one_line}")
            continue
        if digest not in seen:
            seen.add(digest)
            found[path] = (model_input, digest)
    return found
