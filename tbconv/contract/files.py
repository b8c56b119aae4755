"""Digests, and writes that are seen whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100  # of <fcntl.h>: paths are relative to the working folder


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file beside its place, then rename it there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, and never NaN or Infinity."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())


@contextlib.contextmanager
def folder_whole_or_not(place: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `place`; it takes that place only if the block succeeds."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    temporary.chmod(0o755)
    try:
        yield temporary
        _take_place(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # after an exchange this is the old folder


def _take_place(temporary: Path, place: Path) -> None:
    if not place.exists():
        temporary.rename(place)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    if exchange is None or exchange(_AT_FDCWD, bytes(temporary), _AT_FDCWD, bytes(place), _EXCHANGE) != 0:
        aside = temporary.with_name(f"{temporary.name}.old")  # no exchange here: two renames, as close as it gets
        place.rename(aside)
        temporary.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
