"""The bundle on disk: open = verify digests, write = atomic; and the one way to read JSON and arrays."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import math
import os
import shutil
import stat
import struct
import tempfile
import tokenize
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import ArtefactError, BundleError, TbconvError
from tbconv.contract.manifest import FileRecord, Manifest, with_current_keys
from tbconv.contract.reporting import printable

MANIFEST = "manifest.json"
CERTIFICATE = "certificate.json"
CONVERSION = "conversion.json"  # of a third-party ONNX model's formats, which are no bundle
MAKE_AGAIN = "tbconv convert RUN --out BUNDLE, or restore the file"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder with a manifest; its files are trusted one by one, by digest."""

    root: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Return where a file of the bundle is, after its digest was checked.

        Args:
            name: a path of the manifest; a folder (SavedModel) stands for all files in it.

        Raises:
            ArtefactError: the file is not in the manifest, missing or altered.
        """
        for key in self._listed(name):
            self._check(key)
        return self.root / name

    def _listed(self, name: str) -> list[str]:
        names = [key for key in self.manifest.files if key == name or key.startswith(f"{name}/")]
        if not names:
            raise ArtefactError(f"{name} is not in the manifest", why="no digest of it is recorded", fix=MAKE_AGAIN)
        return names

    def _check(self, name: str) -> None:
        place, record = self.root / name, self.manifest.files[name]
        if not place.is_file():
            raise ArtefactError(f"{name} is missing", why="the manifest lists it", fix=MAKE_AGAIN)
        if (
            size := place.stat().st_size
        ) > record.bytes + MOST_READ:  # its digest would take as long as its writer wants
            why = "the file changed after it was verified, so its parity is unknown"
            raise ArtefactError(
                f"{name} has {size:,} bytes, the manifest says {record.bytes:,}", why=why, fix=MAKE_AGAIN
            )
        digest = sha256_file(place)
        if digest != record.sha256:
            raise ArtefactError(
                f"{name} has digest {digest[:12]}, the manifest says {record.sha256[:12]}",
                why="the file changed after it was verified, so its parity is unknown",
                fix=MAKE_AGAIN,
            )

    def verify_digests(self) -> None:
        """Check every file of the manifest; ArtefactError at the first that differs."""
        for name in self.manifest.files:
            self._check(name)

    def certificate(self) -> Certificate:
        """Return the certificate.

        Raises:
            ArtefactError: it is missing, altered or not one.
        """
        value = read_json(self.path(CERTIFICATE))
        try:
            return Certificate.from_json(value)
        except (KeyError, TypeError, ValueError) as error:
            what = f"{CERTIFICATE} cannot be understood"
            raise ArtefactError(what, why=f"{type(error).__name__}: {error}", fix=MAKE_AGAIN) from error

    def verdict(self, name: str) -> ArtefactVerdict:
        """Return what the certificate says of one artefact; UNVERIFIED where it says nothing.

        Raises:
            ArtefactError: the certificate is missing or altered, or is about another digest.
        """
        found = self.certificate().artefacts.get(name)
        if found is None:
            return ArtefactVerdict(Verdict.UNVERIFIED, self.digest(name), "the certificate does not name it")
        if found.sha256 != self.digest(name):
            raise ArtefactError(
                f"the verdict on {name} is about {found.sha256[:12]}, the file is {self.digest(name)[:12]}",
                why="the file was replaced after it was certified",
                fix=MAKE_AGAIN,
            )
        return found

    def digest(self, name: str) -> str:
        """Return the SHA-256 of an artefact as the manifest has it.

        Of a folder it is that of its files' names and digests; fingerprint.pb is left out,
        since TensorFlow writes a random number into it.

        Raises:
            ArtefactError: it is not in the manifest.
        """
        if self._listed(name) == [name]:
            return self.manifest.files[name].sha256
        return folder_digest({path: record.sha256 for path, record in self.manifest.files.items()}, name)


def folder_digest(digests: dict[str, str], name: str) -> str:
    """Return one digest for the files of a folder, given all files' digests by path."""
    inside = sorted(path for path in digests if path.startswith(f"{name}/") and not path.endswith("fingerprint.pb"))
    return sha256_bytes("".join(f"{path} {digests[path]}\n" for path in inside).encode())


# --- bounds ---
# What a file of others may cost: this machine reads no more of it than the real ones need, and never waits for it.
# Everything here raises `BundleError` (or what the caller names), so that a damaged file is one sentence.

MOST_MANIFEST = 1 << 20  # bytes; that of a ResNet50 has 16 KB
MOST_READ = 64 << 20  # bytes of any other file that is read whole: the split of 112,000 films takes 10 MB
MOST_VALUES = 1 << 22  # of JSON, a 32nd of it in manifest and certificate: `[],` is 3 bytes there and 64 in memory
MOST_DEPTH = 64  # lists and objects within each other; ours have 7
MOST_INTEGER = 1 << 63
MOST_UNPACKED = 64 << 20  # bytes of an .npz in all, or `MOST_RATIO` times what it takes: drawn films pack 3 to 1
MOST_RATIO = 100
MOST_FILES = 1_000  # of a manifest; each costs a look at the disk. A bundle has 30
MOST_NAME = 255  # bytes of one part of a path, what ext4, XFS, APFS and NTFS take
_NOT_IN_NAMES = frozenset('<>:"|?*\\')  # a drive, a stream or a separator on Windows: the name would mean another file


def read_small(path: Path, error: type[BundleError]) -> bytes:
    """Return a file whole; the error where it is missing, no regular file, or larger than any that is read whole."""
    most = MOST_MANIFEST if path.name == MANIFEST else MOST_READ
    try:
        with _opened(path) as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as found:
        raise error(f"{path} cannot be read", why=str(found), fix=MAKE_AGAIN) from found
    if len(data) > most:
        raise error(f"{path} is too large", why=f"it holds more than {most:,} bytes", fix=MAKE_AGAIN)
    return data


@contextlib.contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    """Open what was read, or a file; OSError where that is none: a FIFO would keep us until someone writes into it."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    handle = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no regular file")
        yield file


def read_json(path: Path, *, keys_of_users: bool = False) -> Any:
    """Return the JSON of a file, its keys by today's names; BundleError if it is missing, not JSON or beyond bounds.

    Args:
        path: the file.
        keys_of_users: whether users choose keys in it, such as names of models: all keys then stay as they are.
    """
    return parse_json(read_small(path, BundleError), path, keys_of_users=keys_of_users)


def parse_json(data: bytes, name: str | Path, *, keys_of_users: bool = False) -> Any:
    """Return the value of JSON, its keys by today's names.

    Args:
        data: UTF-8.
        name: what to call it in the error.
        keys_of_users: whether users choose keys in it: all keys then stay as they are.

    Raises:
        BundleError: it is no JSON, names a key twice (two readers would disagree on it), holds NaN, Infinity, half of
            a surrogate pair or an integer beyond 64 bits, or is larger or nested deeper than any record of ours.
    """
    try:
        _check_count(data, MOST_VALUES >> 5 if Path(name).name in (MANIFEST, CERTIFICATE) else MOST_VALUES)
        value = json.loads(data.decode(), object_pairs_hook=_keys_once)
        _check_values(value)
        return value if keys_of_users else with_current_keys(value)
    except (ValueError, RecursionError) as error:
        why = f"it is nested deeper than {MOST_DEPTH} levels" if isinstance(error, RecursionError) else str(error)
        raise BundleError(f"{name} cannot be read as JSON", why=why, fix=MAKE_AGAIN) from error


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {printable(counts.most_common(1)[0][0], most=80)!r} stands there twice")
    return found


def _check_count(data: bytes, most: int) -> None:
    if sum(data.count(mark) for mark in (b",", b"[", b"{", b":")) > most:  # no value without one before it
        raise ValueError(f"it holds more than {most:,} values")


def _check_values(value: Any) -> None:
    """Refuse, level by level and without recursion, what JSON can say and a record never does; ValueError."""
    level = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += (*one, *one.values())
            elif isinstance(one, list):
                inner += one
            else:
                _check_plain(one)
        level = inner
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")


def _check_plain(value: str | float | bool | None) -> None:
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # UnicodeEncodeError: half of a surrogate pair, which no answer can carry
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"it holds {value}, which is no number of JSON")
    elif value is not None and not -MOST_INTEGER <= value < MOST_INTEGER:
        raise ValueError(f"it holds an integer of {value.bit_length()} bits, 64 are the most")


@contextlib.contextmanager
def read_arrays(
    source: Path | bytes, what: str, *, error: type[TbconvError] = ArtefactError, fix: str = MAKE_AGAIN
) -> Iterator[Mapping[str, Any]]:
    """Yield the arrays of an .npz file by name, without pickles; nothing is unpacked before its headers are judged.

    Args:
        source: the file, or its bytes.
        what: it should hold, in words, for the error.
        error: to raise where it is missing, damaged or beyond bounds, or lacks an array that the block reads.
        fix: of that error.
    """
    name = source if isinstance(source, Path) else "the archive"
    try:
        with _opened(source) as file:
            _check_archive(file)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
    except _DAMAGED as found:
        raise error(f"{name} holds no {what}", why=f"{type(found).__name__}: {found}", fix=fix) from found


# what zipfile, zlib and numpy raise on damage, and what an array of another kind or shape leads to
_DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, IndexError, MemoryError, RuntimeError),
    *(OverflowError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error),
)


def _check_archive(file: BinaryIO) -> None:
    """Refuse an .npz whose arrays are not as large as its directory says, or would fill the memory; ValueError."""
    packed = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        most = max(MOST_UNPACKED, MOST_RATIO * packed)
        if (unpacked := sum(member.file_size for member in members)) > most:
            raise ValueError(f"it unpacks to {unpacked / 2**20:,.0f} MB, {most / 2**20:,.0f} MB are the most")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it holds two arrays of one name")
        for member in members:
            _check_array(archive, member)
    file.seek(0)


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    name = printable(member.filename, most=80)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or not name.endswith(".npy"):
        raise ValueError(f"{name} is no array as numpy packs it")
    with archive.open(member) as data:
        version = np.lib.format.read_magic(data)  # type: ignore[no-untyped-call]
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{name} is an array of version {version}")
        shape, _, dtype = read(data)  # type: ignore[no-untyped-call]
        count = math.prod(shape)
        if dtype.hasobject or not dtype.itemsize or min(shape, default=0) < 0:
            raise ValueError(f"{name} has dtype {dtype} and shape {shape}, which hold no numbers or text")
        if count * dtype.itemsize != member.file_size - data.tell():
            raise ValueError(f"{name} has shape {shape} and {member.file_size - data.tell():,} bytes of {dtype}")


def check_name(name: object) -> None:
    """Refuse a name of a manifest that is not the same file on every machine: no path is built of it before.

    Raises:
        BundleError: it leaves the bundle, is no relative path with '/' between folders, is longer than file systems
            take, has characters that are not printable, or is not in Unicode's composed form (NFC).
    """
    if not isinstance(name, str):
        raise BundleError(f"the manifest names {name!r}", why="it is no text", fix=MAKE_AGAIN)
    parts = name.split("/")
    why = ""
    if name.startswith("/") or ".." in parts:
        why = "it leaves the bundle"
    elif not name.isprintable() or not _NOT_IN_NAMES.isdisjoint(name) or not unicodedata.is_normalized("NFC", name):
        why = "file systems disagree on it: it holds control characters, signs of Windows' paths, or is not in NFC"
    elif len(parts) > MOST_DEPTH or any(not part or part[-1] in ". " for part in parts):
        why = "it is no plain path"
    elif max(len(part.encode()) for part in parts) > MOST_NAME:
        why = f"it is longer than the {MOST_NAME} bytes that file systems take"
    if why:
        raise BundleError(f"the manifest names {printable(repr(name), most=120)}", why=why, fix=MAKE_AGAIN)


def read_bundle(root: Path) -> Bundle:
    """Read the manifest and trust no file yet: each is checked when its path is requested.

    Raises:
        BundleError: no folder, no manifest, one of another schema, or one that points outside the folder.
    """
    if not (root / MANIFEST).is_file() and (root / CONVERSION).is_file():
        raise BundleError(
            f"{root} is a conversion of a third-party ONNX model, not a bundle",
            why="no threshold was chosen or tested on labelled films, so there is no decision to serve or verify",
            fix=f"read {root / 'report.md'}; its files load in their own runtimes, and tbconv adopt takes a checkpoint",
        )
    if not (root / MANIFEST).is_file():
        raise BundleError(
            f"{root} is not a bundle",
            why=_why_no_bundle(root),
            fix="make one: tbconv convert RUN --out BUNDLE",
        )
    manifest = Manifest.from_json(read_json(root / MANIFEST))
    if len(manifest.files) > MOST_FILES:
        why = f"it names {len(manifest.files):,} files, {MOST_FILES:,} are the most"
        raise BundleError(f"{root / MANIFEST} is too long", why=why, fix=MAKE_AGAIN)
    for name in (*manifest.files, *(one.path for one in manifest.artefacts)):
        check_name(name)
        if _leaves(root, name):
            raise BundleError(f"the manifest names {name!r}", why="it leaves the bundle", fix=MAKE_AGAIN)
    return Bundle(root, manifest)


def _why_no_bundle(root: Path) -> str:
    if os.path.lexists(root / MANIFEST):
        return f"its {MANIFEST} is no regular file"
    return f"it has no {MANIFEST}" if root.is_dir() else "there is no such folder"


def _leaves(root: Path, name: str) -> bool:
    place = root / name
    try:
        return place.is_symlink() or not place.resolve().is_relative_to(
            root.resolve()
        )  # a folder on the way may be a link
    except (OSError, RuntimeError):  # links that lead around in circles
        return True


def open_bundle(root: Path) -> Bundle:
    """Read a bundle and check the digest of every file; ArtefactError at the first that differs."""
    bundle = read_bundle(root)
    bundle.verify_digests()
    return bundle


@contextlib.contextmanager
def replace_folder(place: Path, *, marks: tuple[str, ...], kind: str) -> Iterator[Path]:
    """Yield a temporary folder that takes the place if the block succeeds: of nothing, or of what tbconv made.

    Args:
        place: the folder to write.
        marks: files by which a folder that tbconv made is known.
        kind: what the folder at `place` has to be, in words.

    Raises:
        BundleError: the place is taken by something else.
    """
    known = any((place / name).is_file() for name in marks)
    if place.exists() and not known and (not place.is_dir() or any(place.iterdir())):
        raise BundleError(
            f"{place} exists and is {kind}",
            why="writing there would replace files that tbconv did not make",
            fix="choose another --out",
        )
    with folder_whole_or_not(place) as temporary:
        yield temporary


@contextlib.contextmanager
def write_bundle(place: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes the bundle at `place` if the block succeeds and sealed it.

    Raises:
        BundleError: `place` exists and is something else than a bundle, or the block forgot `seal`.
    """
    with replace_folder(place, marks=(MANIFEST,), kind="not a bundle") as temporary:
        yield temporary
        open_bundle(temporary)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write manifest.json over every file of the folder, and return it with their digests."""
    sealed = replace(manifest, files=file_records(folder, but=MANIFEST))
    write_json(folder / MANIFEST, sealed.to_json())
    return sealed


def file_records(folder: Path, *, but: str) -> dict[str, FileRecord]:
    """Return digest and size of every file of a folder, by path; without the one that will hold them."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(sha256_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / but
    }


# --- files ---
# Digests, and atomic writes.

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
