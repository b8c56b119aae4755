"""A build step: fetch a packed bundle, hold it to its digest, and lay out what the server opens of it.

python fetch.py FOLDER    with BUNDLE_URL and BUNDLE_SHA256 in the environment; without either nothing is fetched

It runs inside the image's build, before anything of this project is needed: the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path, PurePosixPath
from typing import IO

MOST = 4 << 30  # bytes of the archive, and again of what it unpacks to: the largest file that a bundle may have
CHUNK = 1 << 20
WAIT_S = 60  # for an answer, and between two pieces of it
SCHEMES = ("https", "http", "file")  # the digest decides, whoever carries it
# Of a bundle: what other runtimes read, which the server never opens. The same rules as in .dockerignore.
LEFT_OUT = (
    "model.h5",
    "model.keras",
    "model.onnx",
    "saved_model",
    "*.safetensors",
    "history.jsonl",
    "split.json",
    "parity.json",
)


def main(folder: Path, url: str, sha256: str) -> str:
    """Fetch, check, unpack; return one line on what lies there now.

    Args:
        folder: where `NAME/` of the archive is put; NAME becomes the model's name in addresses.
        url: of the archive, `.tar` or `.tar.gz`; empty: nothing is fetched.
        sha256: 64 hexadecimal digits, of the archive.

    Raises:
        ValueError: the digest is missing or differs, or the archive is not one bundle; nothing is left in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not url and not sha256:
        return "no BUNDLE_URL: no bundle is fetched into the image"
    if len(sha256) != 64 or not url:
        raise ValueError("BUNDLE_URL and BUNDLE_SHA256 come together: sha256sum NAME.tar.gz prints the digest")
    if url.partition(":")[0] not in SCHEMES:
        raise ValueError(f"BUNDLE_URL is {url!r}, expected {' or '.join(SCHEMES)}")
    with tempfile.TemporaryFile() as archive, urllib.request.urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310
        found = _copy(answer, archive)
        if found != sha256.lower():
            raise ValueError(f"{url} has digest {found}, BUNDLE_SHA256 says {sha256}: nothing is unpacked")
        archive.seek(0)
        return f"{url}: {unpack(archive, folder)}"


def unpack(archive: IO[bytes], folder: Path) -> str:
    """Unpack one bundle; return its name and how many files were taken."""
    with tarfile.open(fileobj=archive) as packed:
        members = [one for one in packed.getmembers() if one.isfile()]
        names = {PurePosixPath(one.name).parts[0] for one in members}
        if len(names) != 1 or f"{next(iter(names))}/manifest.json" not in {one.name for one in members}:
            raise ValueError(
                "the archive is not one folder NAME/ with a manifest.json in it: tar -czf NAME.tar.gz NAME"
            )
        if sum(one.size for one in members) > MOST:
            raise ValueError(f"the archive unpacks to more than {MOST} bytes")
        # readable by the image's user, whatever umask the bundle was written with
        taken = [one.replace(mode=0o644, deep=False) for one in members if is_served(one.name)]
        # filter "data": no absolute path, no `..`, no link, no device, no right to run
        packed.extractall(folder, members=taken, filter="data")
    return f"{names.pop()}, {len(taken)} of {len(members)} files"


def is_served(name: str) -> bool:
    """Whether the server may open a file of the archive."""
    parts = PurePosixPath(name).parts
    return not any(PurePosixPath(part).match(rule) for part in parts for rule in LEFT_OUT)


def _copy(source: IO[bytes], goal: IO[bytes]) -> str:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        goal.write(chunk)
        size += len(chunk)
        if size > MOST:
            raise ValueError(f"the archive has more than {MOST} bytes")
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        said = main(Path(sys.argv[1]), os.environ.get("BUNDLE_URL", ""), os.environ.get("BUNDLE_SHA256", ""))
    except (ValueError, OSError, tarfile.TarError) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{said}\n")
