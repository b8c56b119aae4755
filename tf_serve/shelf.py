"""What lies in the served folder: bundles, the state their files are in, and whether somebody is still copying.

A bundle arrives whole, by a rename (`tbconv convert` does so), or file by file, by a copy. The first is
opened at once, the second when nothing has moved for a moment. Folders that begin with a dot are not looked
at: a bundle that is being written is called so.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from tbconv.contract.bundle import MANIFEST, Bundle, read_bundle
from tbconv.contract.errors import BundleError

SETTLE_S = 2.0  # seconds without a change after which a bundle that lacks files is taken as it is
SUFFIXES = (".tflite", ".json", ".npz")  # what the server reads of a bundle
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # what may stand in an address
Stamp = tuple[tuple[str, int, int, int], ...]  # name, inode, bytes and time of each file


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a manifest."""

    name: str  # of the model
    folder: Path
    number: int | None  # where versions are numbered
    stamp: Stamp

    def still_arriving(self) -> str | None:
        """Return what a bundle lacks that somebody is still copying; None when it can be opened."""
        try:
            missing = _missing(read_bundle(self.folder))
        except BundleError:
            missing = "a manifest that can be read"
        return f"it is being copied: it lacks {missing}" if missing and _moved(self.folder) else None


class Shelf:
    """One bundle, or a folder of bundles."""

    def __init__(self, root: Path) -> None:
        """Look at a folder.

        Args:
            root: a bundle; or a folder, possibly empty, in which every folder is a model: a bundle itself, or
                numbered bundles, of which the highest good one answers.
        """
        self.root = root
        self.one_bundle = (root / MANIFEST).is_file()
        self._name = _manifest_name(root) if self.one_bundle else ""

    def scan(self) -> dict[str, tuple[Place, ...]] | None:
        """Return the places of every model, highest number first; None while the folder itself cannot be read."""
        try:
            if self.one_bundle:
                return {self._name: _places(self._name, self.root)}
            folders = sorted(path for path in self.root.iterdir() if NAME.fullmatch(path.name) and path.is_dir())
        except OSError:
            return None
        found = {folder.name: _places(folder.name, folder) for folder in folders}
        return {name: places for name, places in found.items() if places}


def _places(name: str, folder: Path) -> tuple[Place, ...]:
    if (stamp := _stamp(folder)) is not None:
        return (Place(name, folder, None, stamp),)
    try:
        inside = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    except OSError:  # it went away meanwhile
        return ()
    stamped = [(path, _stamp(path)) for path in sorted(inside, key=lambda path: int(path.name), reverse=True)]
    return tuple(Place(name, path, int(path.name), stamp) for path, stamp in stamped if stamp is not None)


def _stamp(folder: Path) -> Stamp | None:
    """Return the state of a bundle's files; None where there is no manifest."""
    rows = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIXES):
                    found = entry.stat()
                    rows.append((entry.name, found.st_ino, found.st_size, found.st_mtime_ns))
    except OSError:
        return None
    return tuple(sorted(rows)) if any(row[0] == MANIFEST for row in rows) else None


def _missing(bundle: Bundle) -> str | None:
    for name, record in bundle.manifest.files.items():
        place = bundle.root / name
        if not place.is_file() or place.stat().st_size < record.bytes:
            return name
    return None


def _moved(folder: Path) -> bool:
    try:
        latest = max(path.stat().st_ctime for path in (folder, *folder.rglob("*")))
    except OSError:
        return True
    return time.time() - latest < SETTLE_S


def _manifest_name(root: Path) -> str:
    try:
        return read_bundle(root).manifest.name
    except BundleError:
        return root.name
