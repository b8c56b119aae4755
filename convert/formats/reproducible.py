"""What of a bundle repeats from one conversion to the next, and what cannot: the one table, with the reasons."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tbconv.contract.files import sha256_bytes, sha256_file

FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell
READABLE = 0o644 << 16  # permissions, as zips made on Unix carry them


@dataclass(frozen=True, slots=True)
class Varies:
    """Files that differ between two conversions of one run, and why that cannot be helped."""

    pattern: str  # of a path inside the bundle, as a shell writes it
    reason: str


VARIES = (
    Varies("saved_model/fingerprint.pb", "TensorFlow draws a random number for it at every save"),
    Varies("parity.json", "measured anew each time: distances, latencies, seconds"),
    Varies("certificate.json", "the measured figures and the machine that measured them"),
    Varies("certificate.html", "shows the measured figures"),
    Varies("model_card.md", "prints the measured figures"),
    Varies("manifest.json", "names the digests of all of these, the machine and the commit"),
)


def timeless_entry(name: str) -> zipfile.ZipInfo:
    """Return an entry of a zip that says the same at every time and under every user."""
    info = zipfile.ZipInfo(name, FIRST_TIME)
    info.external_attr = READABLE
    return info


def copy_entry(old: zipfile.ZipFile, new: zipfile.ZipFile, name: str) -> None:
    """Copy an entry from one zip to another, stored, without its time and user."""
    info = timeless_entry(name)
    info.file_size = old.getinfo(name).file_size  # so that zipfile need not reserve room for 64 bits
    with old.open(name) as source, new.open(info, "w") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def reason_to_vary(path: str) -> str | None:
    """Return why a path of the bundle may differ between two conversions; None where it must repeat."""
    return next((row.reason for row in VARIES if fnmatch(path, row.pattern)), None)


def content_digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a bundle that must repeat, by path."""
    paths = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: sha256_file(path) for name, path in paths.items() if reason_to_vary(name) is None}


def content_digest(path: Path) -> str:
    """Return one SHA-256 for what a file, a SavedModel or a whole bundle holds, without what cannot repeat.

    Args:
        path: a file (its bytes repeat: times are taken out when it is made), a folder `saved_model`, or a bundle.
    """
    if path.is_file():
        return sha256_file(path)
    prefix = f"{path.name}/" if (path / "saved_model.pb").is_file() else ""
    files = {f"{prefix}{found.relative_to(path).as_posix()}": found for found in path.rglob("*") if found.is_file()}
    kept = {name: files[name] for name in sorted(files) if reason_to_vary(name) is None}
    return sha256_bytes("".join(f"{name} {sha256_file(file)}\n" for name, file in kept.items()).encode())


def differing(first: Path, second: Path) -> tuple[str, ...]:
    """Return the files that should repeat and differ, or are in one of two bundles only."""
    one, other = content_digests(first), content_digests(second)
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def table() -> str:
    """Return what cannot repeat as the table that docs/bundle.md prints."""
    rows = [f"| `{row.pattern}` | {row.reason} |" for row in VARIES]
    return "\n".join(["| file | why it may differ |", "|---|---|", *rows])
