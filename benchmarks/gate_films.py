"""The films, photographs and masks of ../shared/data in the parts that the input gate is fitted, set and measured on.

A file's part follows from its own SHA-256 alone: nobody chose it, and it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.xray import decode_xray

FILM_FOLDERS = ("delhi", "kermany", "nih", "openist/image", "rahman", "tbx11k")
PHOTOGRAPHS, MASKS = "not_xrays", "openist/mask"
SUFFIXES = (".png", ".jpg", ".jpeg")


class Part(StrEnum):
    """What a file may be used for."""

    FIT = "fit"  # the weights: three eighths
    THRESHOLD = "threshold"  # the threshold, on films that the weights have not seen: one eighth
    REPORT = "report"  # the figures: one half, kept from every choice


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One file of the data."""

    folder: str
    path: Path
    part: Part
    pixels: NDArray[np.uint8]  # [H, W]


def part_of(data: bytes) -> Part:
    """Return the part of a file's bytes."""
    first = hashlib.sha256(data).digest()[0]
    return Part.FIT if first < 96 else Part.THRESHOLD if first < 128 else Part.REPORT


def read_pictures(root: Path, folders: tuple[str, ...]) -> list[Picture]:
    """Read every picture of some folders, in the order of their names."""
    return [_read(folder, path) for folder in folders for path in list_pictures(root / folder)]


def list_pictures(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files under a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _read(folder: str, path: Path) -> Picture:
    data = path.read_bytes()
    return Picture(folder, path, part_of(data), decode_xray(data, name=str(path)))
