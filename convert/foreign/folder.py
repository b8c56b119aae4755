"""The folder that a foreign conversion leaves: written whole or not at all, and never taken for a bundle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import CONVERSION, MANIFEST
from tbconv.contract.errors import BundleError
from tbconv.contract.files import folder_whole_or_not, sha256_file, write_json

SCHEMA = "tbconv-conversion/1"
PARITY, REPORT = "parity.json", "report.md"
NOT_OFFERED = "not_offered"  # folder of reduced files that change too many decisions


@contextlib.contextmanager
def write_conversion(place: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place if the block succeeds.

    Raises:
        BundleError: the place is taken by something that tbconv did not make.
    """
    known = any((place / name).is_file() for name in (CONVERSION, MANIFEST))
    if place.exists() and not known and (not place.is_dir() or any(place.iterdir())):
        raise BundleError(
            f"{place} exists and is neither a conversion nor a bundle",
            why="writing there would replace files that tbconv did not make",
            fix="choose another --out",
        )
    with folder_whole_or_not(place) as temporary:
        yield temporary


def seal_conversion(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write conversion.json over every file of the folder, and return it."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    sealed = {"schema": SCHEMA} | facts | {"files": files}
    write_json(folder / CONVERSION, sealed)
    return sealed


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
