"""A good model beside folders made to take it down: how soon it answers, and how soon a new one beside it does.

    python -m benchmarks.hostile_folders BUNDLE [--rounds 5]

BUNDLE is any good bundle. Every hostile folder is a kind of its own; tests/tf_serve/test_hostile_folders.py feeds the
same kinds to the repository and to a server.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first, where `convert` would mean a script

from benchmarks.serve_load import Caller, request  # noqa: E402
from benchmarks.serve_process import tbconv_server  # noqa: E402
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, seal  # noqa: E402
from tbconv.contract.consistency import LABELS  # noqa: E402
from tbconv.contract.files import sha256_file  # noqa: E402

Make = Callable[[Path, Path], None]  # (place to make, a good bundle)
SHA = "0" * 64


def _text(data: bytes) -> Make:
    """Make a folder with that manifest and nothing else."""

    def make(place: Path, _: Path) -> None:
        place.mkdir()
        (place / MANIFEST).write_bytes(data)

    return make


def _copy(good: Path, place: Path) -> None:
    """Copy what a server reads of a bundle; the networks are linked, so whoever changes one removes it first."""
    place.mkdir()
    for path in sorted(good.iterdir()):
        if path.suffix == ".tflite":
            _link_or_copy(str(path), str(place / path.name))
        elif path.suffix in (".json", ".npz"):
            shutil.copyfile(path, place / path.name)


def _link_or_copy(source: str, place: str) -> None:
    try:
        os.link(source, place)
    except OSError:  # another file system
        shutil.copyfile(source, place)


def _changed(change: Callable[[dict[str, Any]], object]) -> Make:
    """Make a copy of a good bundle whose manifest is changed."""

    def make(place: Path, good: Path) -> None:
        _copy(good, place)
        value = json.loads((place / MANIFEST).read_text())
        change(value)
        (place / MANIFEST).write_text(json.dumps(value))

    return make


def _named(name: str) -> Make:
    return _changed(lambda value: value["files"].update({name: {"sha256": SHA, "bytes": 1}}))


def _sealed(name: str, data: Callable[[bytes], bytes]) -> Make:
    """Make a copy of a good bundle in which one file is another, and the manifest has its digest."""

    def make(place: Path, good: Path) -> None:
        _copy(good, place)
        file = place / _existing(place, name)
        changed = data(file.read_bytes() if file.is_file() else b"")
        file.unlink(missing_ok=True)
        file.write_bytes(changed)
        value = json.loads((place / MANIFEST).read_text())
        digest = hashlib.sha256(changed).hexdigest()
        value["files"][file.name] = {"sha256": digest, "bytes": len(changed)}
        (place / MANIFEST).write_text(json.dumps(value))

    return make


def _sealed_anew(name: str, data: Callable[[bytes], bytes]) -> Make:
    """Make a copy of a good bundle in which one file is another, and everything that holds a digest agrees with it."""

    def make(place: Path, good: Path) -> None:
        _sealed(name, data)(place, good)
        value, path = json.loads((place / CERTIFICATE).read_text()), _existing(place, name)
        if path in value["artefacts"]:
            value["artefacts"][path]["sha256"] = sha256_file(place / path)
            (place / CERTIFICATE).write_text(json.dumps(value))
        manifest = read_bundle(place).manifest
        (place / MANIFEST).unlink()
        seal(place, manifest)

    return make


def _with_zip(members: int, size: int) -> Callable[[bytes], bytes]:
    """Append a zip whose members unpack to that many zeros each."""

    def append(data: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(members):
                archive.writestr(f"{number}.txt" if number else LABELS, bytes(size))
        return data + out.getvalue()  # readers take the last zip of a file

    return append


def _existing(place: Path, name: str) -> str:
    """Return the file that serves for `model`; it is not the same in every bundle."""
    if name != "model":
        return name
    proposed = json.loads((place / CERTIFICATE).read_text()).get("deploy", {}).get("artefact")
    return proposed or next(path.name for path in sorted(place.glob("model_*.tflite")))


def _instead(name: str, make_node: Callable[[Path], object]) -> Make:
    """Make a copy of a good bundle in which something else stands in the place of a file."""

    def make(place: Path, good: Path) -> None:
        _copy(good, place)
        file = place / _existing(place, name)
        file.unlink(missing_ok=True)
        make_node(file)

    return make


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _archive(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.npy", data)
    return out.getvalue()


def _many(count: int, *, folders: bool) -> Make:
    def make(place: Path, good: Path) -> None:
        _copy(good, place)
        for number in range(count):
            path = place / f"x{number}.json"
            path.mkdir() if folders else path.touch()

    return make


def _deep(place: Path, good: Path) -> None:
    _copy(good, place)
    inner = place
    for _ in range(500):
        inner = inner / "d"
    inner.mkdir(parents=True)


def _numbered(*names: str) -> Make:
    def make(place: Path, good: Path) -> None:
        place.mkdir()
        for name in names:
            (place / name).mkdir()
            shutil.copy(good / MANIFEST, place / name)

    return make


def _unreadable(place: Path, good: Path) -> None:
    _copy(good, place)
    (place / MANIFEST).chmod(0)


def _closed(place: Path, good: Path) -> None:
    _copy(good, place)
    place.chmod(0)


def _link(target: str) -> Make:
    return lambda place, _: place.symlink_to(target)


def _certificate(change: Callable[[dict[str, Any]], object]) -> Make:
    def edit(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    return _sealed(CERTIFICATE, edit)


KINDS: dict[str, Make] = {
    # the manifest as text
    "deep-lists": _text(b"[" * 200_000),
    "deep-objects": _text(b'{"a":' * 200_000),
    "nothing": _text(b""),
    "zeros": _text(bytes(1000)),
    "latin-1": _text(b'{"name": "\xe9"}'),
    "utf-16": _text('{"name": 1}'.encode("utf-16")),
    "not-json": _text(b"<html>"),
    "a-list": _text(b"[]"),
    "a-number": _text(b"9" * 4000),
    "huge-number": _text(b"9" * 5000),
    "overflow": _text(b'{"schema_version": 1e999}'),
    "half-a-pair": _text(b'{"schema_version": "\\ud800"}'),
    "a-million-lists": _text(b"[" + b"[]," * 330_000 + b"[]]"),
    "a-key-twice": _text(b'{"schema_version": 1, "schema_version": 1}'),
    # what it says
    "nul-name": _named("a\0b"),
    "long-name": _named("a" * 5000),
    "long-part": _named("a/" + "b" * 256),
    "line-in-name": _named("a\nERROR forged"),
    "escape-in-name": _named("\x1b[2J\x1b]0;owned\x07"),
    "above": _named("../../etc/passwd"),
    "drive": _named("C:\\evil"),
    "many-files": _changed(
        lambda value: value["files"].update({f"f{n}": {"sha256": SHA, "bytes": 1} for n in range(9000)})
    ),
    "no-digest": _changed(lambda value: value["files"].update(x={"sha256": None, "bytes": 1})),
    "negative": _changed(lambda value: value["files"].update(x={"sha256": SHA, "bytes": -1})),
    "huge-shape": _changed(lambda value: value["artefacts"][0]["inputs"][0].update(shape=[2**60])),
    "schema-99": _changed(lambda value: value.update(schema_version=99)),
    "forged-name": _changed(lambda value: value.update(name="x\n2026 ERROR forged")),
    "label-bomb": _changed(lambda value: value["labels"].update(positive="x" * 500_000)),
    "margin-text": _changed(lambda value: value.update(decision_rules={"trained": {"operating_point": "x"}})),
    "no-rules": _changed(lambda value: value.update(decision_rules={})),
    # what stands in its place
    "fifo": _instead(MANIFEST, os.mkfifo),
    "folder": _instead(MANIFEST, Path.mkdir),
    "loop": _instead(MANIFEST, lambda path: path.symlink_to(path.name)),
    "dangling": _instead(MANIFEST, lambda path: path.symlink_to("nowhere")),
    "endless": _instead(MANIFEST, lambda path: path.symlink_to("/dev/zero")),
    "sparse": _instead(MANIFEST, _sparse),
    "socket": _instead(MANIFEST, _socket),
    "unreadable": _unreadable,
    "closed": _closed,
    "itself": _link("itself"),
    "devices": _link("/dev"),
    # other files
    "certificate-fifo": _instead(CERTIFICATE, os.mkfifo),
    "certificate-deep": _sealed(CERTIFICATE, lambda _: b"[" * 200_000),
    "certificate-null": _certificate(lambda value: value.update(artefacts=None)),
    "certificate-text": _certificate(lambda value: value.update(scope="x", deploy="x")),
    "tflite-fifo": _instead("model", os.mkfifo),
    "tflite-folder": _instead("model", Path.mkdir),
    "tflite-outside": _instead("model", lambda path: path.symlink_to("/etc/hostname")),
    "tflite-sparse": _instead("model", _sparse),
    "tflite-noise": _sealed_anew("model", lambda data: bytes(len(data))),
    "baseline-noise": _sealed_anew("baseline.tflite", lambda data: bytes(len(data))),
    "tflite-zip-of-many": _sealed_anew("model", _with_zip(400, 1 << 20)),
    "tflite-zip-of-much": _sealed_anew("model", _with_zip(1, 1 << 29)),
    "golden-44-pib": _sealed_anew("golden.npz", lambda _: _archive(_header("(1125899906842624, 11)"))),
    "golden-bomb": _sealed_anew("golden.npz", lambda _: _archive(_header("(33554432,)") + bytes(4 << 25))),
    "golden-films": _sealed_anew("golden_films.npz", lambda _: b"PK\x03\x04" + bytes(100)),
    # folders
    "many-files-there": _many(2_500, folders=False),
    "many-folders-there": _many(1_500, folders=True),
    "deep-folders": _deep,
    "numbers": _numbered("0" * 250 + "1", "9" * 200, "٣", "-1", "1e3", "7", "007"),
}


# the file that answers is whole, so these are models like any other; and nothing is closed to root
GOOD = {"deep-folders", "many-folders-there", "baseline-noise"}
GOOD |= {"closed", "unreadable"} if os.geteuid() == 0 else set()


def make_all(folder: Path, good: Path, *, but: Collection[str] = ()) -> int:
    """Make one folder of each kind, and return how many."""
    names = [name for name in KINDS if name not in but]
    for name in names:
        KINDS[name](folder / name, good)
    return len(names)


def remove_all(folder: Path) -> None:
    """Open what was closed, so that the folder can be removed."""
    for name in ("closed", "unreadable"):
        place = folder / name
        if place.exists():
            place.chmod(0o755)


def measure(bundle: Path, *, alone: bool = False) -> tuple[float, float, float]:
    """Return the seconds from a server's start to a good model beside hostile folders, and until a new one answers.

    The third are the CPU seconds that the server took for the first: what the clock would say of a core of its own.
    """
    with tempfile.TemporaryDirectory(prefix="tbconv-hostile-") as name:
        folder = Path(name) / "models"
        folder.mkdir()
        make_all(folder, bundle, but=KINDS if alone else GOOD)
        for place in (folder / "zzz", Path(name) / "new"):
            shutil.copytree(bundle, place, copy_function=_link_or_copy)
        begun = time.monotonic()
        try:
            with tbconv_server(folder, Path(name) / "log", "--watch") as running:
                caller = Caller(running.port, timeout_s=30)
                _wait_for(caller, request("/v2/models/zzz/ready", method="GET"))
                ready, spent = time.monotonic() - begun, running.cpu_seconds()
                begun = time.monotonic()
                (Path(name) / "new").rename(folder / "new")
                _wait_for(caller, request("/v2/models/new/ready", method="GET"))
                return ready, time.monotonic() - begun, spent
        finally:
            remove_all(folder)


def _wait_for(caller: Caller, raw: bytes) -> None:
    while caller.ask(raw).status != 200:
        time.sleep(0.01)


def main() -> None:
    """Measure, and print both figures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("bundle", type=Path)
    words.add_argument("--rounds", type=int, default=5)
    given = words.parse_args()
    titles = ("good model ready", "new good model seen", "CPU seconds until ready")
    for alone in (False, True):
        beside = "no other" if alone else f"{len(KINDS.keys() - GOOD)} hostile folders, each of a kind of its own"
        sys.stdout.write(f"beside {beside}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores:\n")
        rows = [measure(given.bundle, alone=alone) for _ in range(given.rounds)]
        for title, values in zip(titles, zip(*rows, strict=True), strict=True):
            spread = f"{min(values):.2f} to {max(values):.2f}"
            sys.stdout.write(f"  {title}: median {statistics.median(values):.2f} s, {spread} (n={len(values)})\n")


if __name__ == "__main__":
    main()
