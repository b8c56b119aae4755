"""The bundle on disk: open = verify digests, seal = bind and record, write = atomic; how JSON and arrays are read."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import io
import itertools
import json
import math
import os
import platform
import re
import secrets
import shutil
import stat
import struct
import sys
import tempfile
import time
import tokenize
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, SetupError, TbconvError
from tbconv.contract.manifest import SCHEMA_VERSION, FileRecord, Manifest, with_current_keys
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
    sha256: str = ""  # of manifest.json as it was read

    def read(self, name: str) -> bytes:
        """Return a file whole, after the digest of these very bytes was checked; for small files.

        Args:
            name: a path of the manifest, or manifest.json itself.

        Raises:
            ArtefactError: the file is not in the manifest, missing, altered or far too large.
        """
        if name == MANIFEST:
            expected = self.sha256
        elif name in self.manifest.files:
            expected = self.manifest.files[name].sha256
        else:
            raise ArtefactError(f"{name} is not in the manifest", why="no digest of it is recorded", fix=MAKE_AGAIN)
        self.check_is_there(name)
        data = read_small(self.root / name, ArtefactError)
        if sha256_bytes(data) != expected:
            raise _altered(name, sha256_bytes(data), expected)
        if name != MANIFEST and len(data) != self.manifest.files[name].bytes:
            why = f"the manifest says {self.manifest.files[name].bytes:,}"
            raise ArtefactError(f"{name} has {len(data):,} bytes", why=why, fix=MAKE_AGAIN)
        return data

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

    def check_is_there(self, name: str) -> None:
        """Raise ArtefactError where a file is missing."""
        if not (self.root / name).is_file():
            raise ArtefactError(f"{name} is missing", why="the manifest lists it", fix=MAKE_AGAIN)

    def _check(self, name: str) -> None:
        place, record = self.root / name, self.manifest.files[name]
        self.check_is_there(name)
        size = place.stat().st_size
        if size > record.bytes + MOST_READ:  # its digest would take as long as its writer wants
            why = "the file changed after it was verified, so its parity is unknown"
            raise ArtefactError(
                f"{name} has {size:,} bytes, the manifest says {record.bytes:,}", why=why, fix=MAKE_AGAIN
            )
        digest = sha256_file(place)
        if digest != record.sha256:
            raise _altered(name, digest, record.sha256)

    def problem_of(self, name: str) -> str | None:
        """Return how a file, or the manifest itself, differs from its digest, in words; None where it does not."""
        try:
            if name == MANIFEST:
                self.read(name)
                return None
            if (self.root / name).stat().st_size != self.manifest.files[name].bytes:
                return f"{name} changed"
            self._check(name)
        except (OSError, ArtefactError):
            return f"{name} changed" if (self.root / name).is_file() else f"{name} is missing"
        return None

    def verify_digests(self) -> None:
        """Check every file of the manifest; ArtefactError at the first that differs."""
        for name in self.manifest.files:
            self._check(name)

    def certificate(self) -> Certificate:
        """Return the certificate.

        Raises:
            ArtefactError: it is missing, altered or not one.
        """
        value = parse_json(self.read(CERTIFICATE), CERTIFICATE)
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


def _altered(name: str, digest: str, expected: str) -> ArtefactError:
    return ArtefactError(
        f"{name} has digest {digest[:12]}, the manifest says {expected[:12]}",
        why="the file changed after it was verified, so its parity is unknown",
        fix=MAKE_AGAIN,
    )


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
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, most) + 1)  # which is reserved before anything is read
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
    source: Path | bytes,
    what: str,
    *,
    name: str = "the archive",
    error: type[TbconvError] = ArtefactError,
    fix: str = MAKE_AGAIN,
) -> Iterator[Mapping[str, Any]]:
    """Yield the arrays of an .npz file by name, without pickles; nothing is unpacked before its headers are judged.

    Args:
        source: the file, or its bytes.
        what: it should hold, in words, for the error.
        name: of bytes, for the error.
        error: to raise where it is missing, damaged or beyond bounds, or lacks an array that the block reads.
        fix: of that error.
    """
    called = source if isinstance(source, Path) else name
    try:
        with _opened(source) as file:
            _check_archive(file)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
    except _DAMAGED as found:
        raise error(f"{called} holds no {what}", why=f"{type(found).__name__}: {found}", fix=fix) from found


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
    data = read_small(root / MANIFEST, BundleError)
    manifest = Manifest.from_json(parse_json(data, root / MANIFEST))
    if len(manifest.files) > MOST_FILES:
        why = f"it names {len(manifest.files):,} files, {MOST_FILES:,} are the most"
        raise BundleError(f"{root / MANIFEST} is too long", why=why, fix=MAKE_AGAIN)
    for name in (*manifest.files, *(one.path for one in manifest.artefacts)):
        check_name(name)
        if _leaves(root, name):
            raise BundleError(f"the manifest names {name!r}", why="it leaves the bundle", fix=MAKE_AGAIN)
    return Bundle(root, manifest, sha256_bytes(data))


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
def private_copy(root: Path) -> Iterator[Bundle]:
    """Yield a copy of a bundle that nobody else can change, every file of which has its digest; for long work.

    Raises:
        BundleError: `root` is no bundle.
        ArtefactError: a file is missing or altered.
    """
    bundle = read_bundle(root)
    with temporary_folder("copy") as folder:
        copy = replace(bundle, root=folder / root.resolve().name)
        for name in bundle.manifest.files:
            bundle.check_is_there(name)
            (copy.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy.root / name)
        (copy.root / MANIFEST).write_bytes(bundle.read(MANIFEST))
        copy.verify_digests()
        yield copy


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
    """Bind the certificate to all that the manifest says, write manifest.json over every file, and return it.

    The certificate's scope gets the digest of the manifest without its files, and that of the list of all files but
    itself; the manifest holds the certificate's digest. So neither changes without the other.
    """
    sealed = replace(manifest, files=file_records(folder, but=MANIFEST), schema_version=SCHEMA_VERSION)
    if CERTIFICATE in sealed.files:
        sealed = Manifest.from_json(json.loads(json.dumps(sealed.to_json())))  # as it will be read
        certificate = read_json(folder / CERTIFICATE)
        certificate["scope"] = certificate.get("scope", {}) | {"binding": binding_of(sealed)}
        write_json(folder / CERTIFICATE, certificate)
        place = folder / CERTIFICATE
        sealed.files[CERTIFICATE] = FileRecord(sha256_file(place), place.stat().st_size)
    write_json(folder / MANIFEST, sealed.to_json())
    return sealed


def binding_of(manifest: Manifest) -> dict[str, str]:
    """Return the two digests by which a certificate is bound to a manifest."""
    return {"manifest_sha256": manifest.digest, "files_sha256": manifest.files_digest(but=CERTIFICATE)}


def file_records(folder: Path, *, but: str) -> dict[str, FileRecord]:
    """Return digest and size of every file of a folder, by path; without the one that will hold them."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(sha256_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / but
    }


# --- files ---
# Digests; writes that are whole or not at all; folders and locks that tell their owner; what a disk refuses.
#
# What a process makes for a while carries a lock that the kernel drops at the process's death, and a record of who
# it is. So whoever comes next can tell what is left over from what is in use, where numbers of processes repeat, too.

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100  # of <fcntl.h>: paths are relative to the working folder
OWNER = "owner.lock"  # in a folder of ours: its lock, and the record of its owner
TEMPORARY = "tbconv-"  # begins the name of a folder in the temporary folder
MAKING = ".tbconv"  # ends the name of a folder in the making, beside its place
WRITER = ".tbconv-lock"  # in a folder that is written in place: lock and record of who writes there
PART = ".tbconv-part"  # ends the name of a file that is being written, beside its place
_NEW, _OLD = "new", "old"  # in a folder in the making: what takes the place, what made room for it
_LONGEST_NAME = 200  # bytes of a name that ours begins with: file systems take 255 in all
EMPTY_ROUNDS, EMPTY_EVERY_S = 20, 0.02
CLEANER_S = 5.0  # seconds that another command may hold the lock of what it removes for a dead process
MOUNTS = Path("/proc/self/mountinfo")
SHARED = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "ceph",
    "lustre",
    "gpfs",
    "9p",
    "virtiofs",
    "glusterfs",
    "beegfs",
    "afs",
    "ocfs2",
)
_numbers = itertools.count(1)
_swept: set[Path] = set()  # folders that this process has looked through


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_file(
    path: Path, *, mode: int | None = None, durable: bool = True, needed: int | None = None, option: str = "--out"
) -> Iterator[BinaryIO]:
    """Yield a file open for writing that takes its place if the block succeeds: whole or not at all.

    Args:
        path: its place; what is there before keeps its permissions.
        mode: permissions, for what others must not read: 0o600; None: those of the file before, or the umask's.
        durable: whether it has to outlast a power cut; what can be made again need not.
        needed: bytes that will be written, if they are known, for the error.
        option: of the command, by which another place is chosen.

    Raises:
        SetupError: the disk has no room, or does not let us write.
    """
    with disk_errors_stated(path, needed=needed, option=option):
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a terminal, which is not replaced
            with path.open("wb") as stream:
                yield stream
            return
        remove_leftovers(path.parent, once=True)
        kept = stat.S_IMODE(path.stat().st_mode) if mode is None and path.is_file() else None
        part = path.parent / f".{_short(path.name)}.{_mark()}{PART}"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode)
        _lock(descriptor)
        try:
            with (
                disk_errors_stated(path, needed=needed, option=option),  # before the room is free again
                open(part, "wb", opener=lambda *_: descriptor) as file,  # libraries ask for its name
            ):
                if kept is not None:
                    os.fchmod(descriptor, kept)
                yield file
                file.flush()
                if durable:
                    os.fsync(descriptor)  # renamed before it is on the disk, it would be empty after a power cut
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        if durable:
            _sync_folder(path.parent)


def write_atomic(
    path: Path, data: bytes | str, *, mode: int | None = None, durable: bool = True, option: str = "--out"
) -> None:
    """Write a file whole or not at all; text as UTF-8. See `atomic_file`."""
    content = data.encode() if isinstance(data, str) else data
    with atomic_file(path, mode=mode, durable=durable, needed=len(content), option=option) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, and never NaN or Infinity."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    write_atomic(path, f"{text}\n")


@contextlib.contextmanager
def temporary_folder(purpose: str, *, beside: Path | None = None) -> Iterator[Path]:
    """Yield a folder below the temporary folder: gone at the end, or with the next command after a kill.

    Args:
        purpose: part of its name.
        beside: where the same process makes something else, to be looked through with this one.
    """
    base = temporary_place()
    remove_leftovers(base, once=True)
    root = base / f"{TEMPORARY}{purpose}-{_mark()}"
    with disk_errors_stated(root), _owned(root, Owner.current(beside), fresh=True), disk_errors_stated(root):
        place = root / _NEW
        place.mkdir(mode=0o700)
        yield place


def temporary_place() -> Path:
    """Return the folder for temporary files: $TMPDIR if it is there, full or not, else what Python finds.

    Python alone would pass over one that is full, to the working folder in the end.

    Raises:
        SetupError: there is none.
    """
    for name in ("TMPDIR", "TEMP", "TMP"):
        if (named := os.environ.get(name)) and Path(named).is_dir():
            return Path(named)
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        what = "there is no folder for temporary files"
        raise SetupError(
            what, why=f"{error.strerror}; they may be full", fix=f"free some space, or: {OTHER_TMP}"
        ) from error


@contextlib.contextmanager
def folder_whole_or_not(place: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `place`; it takes that place only if the block succeeds.

    Args:
        place: of the folder; a link there stays, what it leads to is replaced.
        durable: whether it has to outlast a power cut; what can be made again need not.

    Raises:
        ConfigError: another process is making a folder for this place.
        SetupError: the disk has no room, or does not let us write.
    """
    place = place.resolve() if place.is_symlink() else place
    with disk_errors_stated(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent)
        root = place.with_name(f".{_short(place.name)}{MAKING}")
        with _owned(root, Owner.current(place.parent)), disk_errors_stated(place):  # before the room is free again
            _recover(root, place)
            _empty(root)
            temporary = root / _NEW
            temporary.mkdir()
            yield temporary
            if durable:
                _sync_tree(temporary)
            _take_place(temporary, place, root / _OLD)


@contextlib.contextmanager
def only_writer(folder: Path, *, option: str = "--out") -> Iterator[None]:
    """Be the only process that writes into a folder that exists, and remove what a dead one left in it.

    Raises:
        ConfigError: another process writes there.
    """
    with disk_errors_stated(folder, option=option):
        descriptor = _take(folder, WRITER, Owner.current(None), option=option)
        try:
            remove_leftovers(folder)
            yield
        finally:
            (folder / WRITER).unlink(missing_ok=True)
            os.close(descriptor)


def _short(name: str) -> str:
    """Return a name that leaves room for ours behind it."""
    data = name.encode()
    if len(data) <= _LONGEST_NAME:
        return name
    return f"{data[: _LONGEST_NAME - 17].decode(errors='ignore')}-{sha256_bytes(data)[:16]}"


def _mark() -> str:
    """Return a word that no other process and no other call has."""
    return f"{os.getpid()}-{_start_of(os.getpid())}-{_boot()[:8]}-{next(_numbers)}{secrets.token_hex(2)}"


def _take_place(temporary: Path, place: Path, aside: Path) -> None:
    if not place.exists():
        temporary.rename(place)
    else:
        libc = ctypes.CDLL(None, use_errno=True)
        exchange = getattr(libc, "renameat2", None)
        if exchange is None or exchange(_AT_FDCWD, bytes(temporary), _AT_FDCWD, bytes(place), _EXCHANGE) != 0:
            place.rename(
                aside
            )  # no exchange here: two renames, as close as it gets; `_recover` knows of a death between
            temporary.rename(place)
    _sync_folder(place.parent)


def _recover(root: Path, place: Path) -> None:
    """Finish what a process began that died between two renames: the old folder had made room already."""
    if (root / _OLD).exists() and (root / _NEW).exists() and not place.exists():
        (root / _NEW).rename(place)


def _sync_tree(folder: Path) -> None:
    """Bring a folder to the disk before it is renamed, or a power cut could leave it with empty files."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if Path(parent, name).is_symlink():
                continue
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system whose folders cannot be synced
            raise
    finally:
        os.close(descriptor)


# --- owners ---
# Who holds a lock, and what is left over of those who died.


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, and since when it has what it owns."""

    pid: int
    start: int  # clock ticks from the machine's start to the process's; 0 where the system does not tell
    boot: str  # of the machine's running; "" where the system does not tell
    host: str
    command: str
    since: str  # ISO 8601, UTC
    beside: str | None = None  # a folder in which it makes something else

    @classmethod
    def current(cls, beside: Path | None) -> Owner:
        """Return this process."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        program = Path(sys.argv[0] if sys.argv else "python")
        name = program.parent.name if program.name == "__main__.py" else program.name
        subcommand = [word for word in sys.argv[1:2] if word.isidentifier()]
        command = "".join(one if one.isprintable() else "?" for one in " ".join([name, *subcommand]))
        place = None if beside is None else str(beside.absolute())
        pid = os.getpid()
        return cls(pid, _start_of(pid), _boot(), platform.node(), command[:100], since, place)

    @classmethod
    def read(cls, data: bytes) -> Owner | None:
        """Return the owner of a record; None if it is none."""
        try:
            value = json.loads(data)
            owner = cls(**{one.name: value[one.name] for one in fields(cls)})
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        numbers = isinstance(owner.pid, int) and isinstance(owner.start, int)
        shown = (getattr(owner, name) for name in ("boot", "host", "command", "since"))
        texts = all(isinstance(one, str) and one.isprintable() and len(one) < 300 for one in shown)
        return owner if numbers and texts and isinstance(owner.beside, str | None) else None

    def may_run(self, descriptor: int) -> bool:
        """Return whether it may run still though the lock of its open file was free.

        Some disks give each machine locks of its own: there another machine's process counts as running.
        """
        if self.boot != _boot():
            return self.host != platform.node() and _is_network(descriptor)
        return self.host == platform.node() and _runs(self.pid, self.start)

    def __str__(self) -> str:
        """Name it for a message."""
        return f"process {self.pid} on {self.host} ({self.command}), since {self.since}"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder that tbconv began and whose owner is dead."""

    path: Path
    bytes: int
    owner: Owner | None  # None: of a file, whose name tells only the process


def remove_leftovers(folder: Path, *, once: bool = False) -> list[Leftover]:
    """Remove what dead processes of this user left in a folder; return what it was.

    Nothing is removed that has no record of ours, whose lock is held, whose owner runs or is another user; no link is
    followed, and a folder is emptied through the descriptor that was checked.

    Args:
        folder: to look through, not its folders.
        once: whether to do nothing if this process has looked already.
    """
    place = folder.absolute()
    if once and place in _swept:
        return []
    _swept.add(place)
    found = []
    for leftover in _leftovers(folder, remove=True):
        found.append(leftover)
        if leftover.owner is not None and leftover.owner.beside not in (None, str(place)):
            found += _leftovers(Path(leftover.owner.beside or ""), remove=True)
    return found


def find_leftovers(folder: Path) -> list[Leftover]:
    """Return what `remove_leftovers` would remove."""
    return list(_leftovers(folder, remove=False))


def _leftovers(folder: Path, *, remove: bool) -> Iterator[Leftover]:
    try:
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it is not there, or not ours to read
        return
    try:
        with os.scandir(parent) as entries:
            names = [entry.name for entry in entries if _may_be_ours(entry.name)]
        for name in names:
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                found = _leftover(parent, folder / name, remove=remove)
                if found is not None:
                    yield found
    finally:
        os.close(parent)


def _may_be_ours(name: str) -> bool:
    return name.startswith(TEMPORARY) or name == WRITER or (name.startswith(".") and name.endswith((MAKING, PART)))


def _leftover(parent: int, path: Path, *, remove: bool) -> Leftover | None:
    """Look at one entry of an open folder; return it if its owner is dead, and remove it if that is wanted."""
    name = path.name
    facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if facts.st_uid != os.geteuid():
        return None
    if stat.S_ISREG(facts.st_mode) and (name == WRITER or name.endswith(PART)):
        return _dead_file(parent, path, remove=remove)
    return _dead_folder(parent, path, remove=remove) if stat.S_ISDIR(facts.st_mode) and name != WRITER else None


def _dead_file(parent: int, path: Path, *, remove: bool) -> Leftover | None:
    with _held(path.name, parent) as held:
        if held is None:
            return None
        owner = None
        if path.name == WRITER:
            data = _read(held)
            owner = Owner.read(data)
            if (data and owner is None) or (owner is not None and owner.may_run(held)):
                return None
        elif _may_run_by_mark(path.name, held):
            return None
        size = os.fstat(held).st_size
        if remove:
            os.unlink(path.name, dir_fd=parent)  # in the folder that was looked through
        return Leftover(path, size, owner)


def _dead_folder(parent: int, path: Path, *, remove: bool) -> Leftover | None:
    inside = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if os.fstat(inside).st_uid != os.geteuid():
            return None
        if OWNER not in os.listdir(inside):  # noqa: PTH208  # by its descriptor
            if remove and not os.listdir(inside):  # noqa: PTH208
                os.rmdir(path.name, dir_fd=parent)  # who just makes it begins again
            return None
        with _held(OWNER, inside) as held:
            if held is None:
                return None
            data = _read(held)
            owner = Owner.read(data)
            begun = not data and os.listdir(inside) == [OWNER]  # noqa: PTH208  # it died before it wrote its record
            if (owner is None and not begun) or (owner is not None and owner.may_run(held)):
                return None
            found = Leftover(path, _size(inside), owner)
            if remove:
                _recover_by_name(path, inside)
                _empty_open(inside)
                os.unlink(OWNER, dir_fd=inside)
                os.rmdir(path.name, dir_fd=parent)
            return found
    finally:
        os.close(inside)


def _recover_by_name(path: Path, inside: int) -> None:
    """Do as `_recover` does for a folder in the making that is found by its name."""
    names = os.listdir(inside)
    place = path.with_name(path.name[1 : -len(MAKING)])
    if path.name.endswith(MAKING) and _OLD in names and _NEW in names and not place.exists():
        os.rename(_NEW, place, src_dir_fd=inside)


def _size(inside: int) -> int:
    total = 0
    for _, _, names, descriptor in os.fwalk(dir_fd=inside):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
    return total


def _empty(root: Path) -> None:
    inside = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _empty_open(inside)
    finally:
        os.close(inside)


def _empty_open(inside: int) -> None:
    """Remove what a folder of ours holds beside its lock."""
    for _ in range(EMPTY_ROUNDS):  # what a child that is being killed still wrote meanwhile goes with the next round
        with os.scandir(inside) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name != OWNER]
        if not found:
            return
        for name, is_folder in found:
            with contextlib.suppress(FileNotFoundError):
                if is_folder:
                    shutil.rmtree(name, ignore_errors=True, dir_fd=inside)
                else:
                    os.unlink(name, dir_fd=inside)
        time.sleep(EMPTY_EVERY_S)
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), OWNER)  # its lock stays, and with it the record


@contextlib.contextmanager
def _owned(root: Path, owner: Owner, *, fresh: bool = False) -> Iterator[None]:
    """Own a folder of this name for the block; afterwards it is gone. `fresh` refuses one that is there already."""
    descriptor = _take(root, OWNER, owner, make=True, fresh=fresh)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # what cannot be removed now is left over for the next command
            _empty(root)
            (root / OWNER).unlink(missing_ok=True)
            root.rmdir()
        os.close(descriptor)


def _take(
    folder: Path, name: str, owner: Owner, *, make: bool = False, fresh: bool = False, option: str = "--out"
) -> int:
    """Lock a file in a folder, write who we are into it, and return its descriptor.

    Raises:
        ConfigError: another process has it.
    """
    patience = time.monotonic() + CLEANER_S
    while True:
        if make:
            _make_own(folder, fresh=fresh)
        try:
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            if make:
                continue  # another process has just removed the folder
            raise
        kept = False
        try:
            free, before = _lock(descriptor), Owner.read(_read(descriptor))
            runs = before is not None and before.may_run(descriptor)
            if free and not runs and _is_at(descriptor, folder / name):
                _record(descriptor, folder, name, owner, made=make)
                kept = True
                return descriptor
            if runs or (not free and time.monotonic() > patience):
                raise _taken(folder, folder if make else folder / name, before, option)
        finally:
            if not kept:
                os.close(descriptor)
        time.sleep(EMPTY_EVERY_S)


def _make_own(folder: Path, *, fresh: bool) -> None:
    """Make a folder, or see that the one that is there is no link and of this user."""
    folder.mkdir(mode=0o700, exist_ok=not fresh)
    try:
        facts = folder.lstat()
    except FileNotFoundError:  # another process removed it for a dead one; the lock cannot be opened either
        return
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder))


def _record(descriptor: int, folder: Path, name: str, owner: Owner, *, made: bool) -> None:
    """Write the owner into its lock; where the disk is full, leave nothing."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(owner)).encode(), 0)
    except OSError:
        (folder / name).unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):  # what a dead process left in it waits for the next command
                folder.rmdir()
        raise


def _taken(folder: Path, held: Path, owner: Owner | None, option: str) -> ConfigError:
    shown = folder if not folder.name.endswith(MAKING) else folder.with_name(folder.name[1 : -len(MAKING)])
    stop = ""
    if owner is not None and owner.host == platform.node():
        stop = f", stop it with 'kill {owner.pid}'"
    elif owner is not None:
        stop = f", remove what it left if it runs no longer ('rm -r {held}')"
    return ConfigError(
        f"{shown} is being written by another process",
        why=f"it is {owner or 'one that has not told its name'}; two at once would mix their files",
        fix=f"wait until it ends{stop}, or choose another {option}",
    )


def _lock(descriptor: int) -> bool:
    """Lock an open file; return whether it is ours. Where a file system has no locks, the record has to do."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@contextlib.contextmanager
def _held(name: str, parent: int) -> Iterator[int | None]:
    """Yield the descriptor of a file of an open folder while we hold its lock; None if another process does."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        facts = os.fstat(descriptor)
        ours = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_nlink == 1
        there = ours and _lock(descriptor) and os.path.samestat(os.stat(name, dir_fd=parent), facts)
        yield descriptor if there else None
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is still the one of this name: it may have been removed before we got its lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, 1 << 16, 0)


def _start_of(pid: int) -> int:
    """Return when a process started, in clock ticks of the machine's running; 0 if it is not known."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])  # field 22 of proc(5)
    except (OSError, ValueError, IndexError):
        return 0


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _runs(pid: int, start: int) -> bool:
    """Return whether a process of this number runs that started then."""
    if pid <= 0 or _start_of(pid) != start:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _may_run_by_mark(name: str, descriptor: int) -> bool:
    """Return whether the process that marked the name of an open file may run still, as `Owner.may_run` does."""
    found = re.search(r"\.(\d{1,10})-(\d{1,20})-(\w*)-\w+$", name.removesuffix(PART))
    if found is None:
        return True  # not a name of ours
    if found[3] != _boot()[:8]:
        return _is_network(descriptor)
    return _runs(int(found[1]), int(found[2]))


def _is_network(descriptor: int) -> bool:
    """Return whether an open file lies on a disk that several machines may share."""
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        rows = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    kinds = [row.partition(" - ")[2].split(" ")[0] for row in rows if row.split(" ")[2:3] == [number]]
    return any(kind.startswith(SHARED) for kind in kinds)


# --- disk ---
# What a disk refuses, in three parts; and whether there is room, before long work.

_REFUSED = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "larger than a file may be here (see 'ulimit -f')",
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}
OTHER_TMP = "mkdir -p ~/tmp; export TMPDIR=~/tmp"
_SAID = {os.strerror(number): number for number in _REFUSED}  # as libraries of C and C++ report it, in their own errors


@contextlib.contextmanager
def disk_errors_stated(place: Path, *, needed: int | None = None, option: str = "--out") -> Iterator[None]:
    """Turn what the system says of a full or closed disk into an expected error; see `disk_refusal`.

    Raises:
        SetupError: the disk has no room, or does not let us write.
    """
    try:
        yield
    except TbconvError:
        raise
    except Exception as error:
        refusal = disk_refusal(error, place, needed=needed, option=option)
        if refusal is None:
            raise
        raise refusal from error


def disk_refusal(
    error: BaseException | str, place: Path | None = None, *, needed: int | None = None, option: str = "--out"
) -> SetupError | None:
    """Return the expected error if the disk is full, closed or read-only; None if it is something else.

    Args:
        error: of the system, or of a library that quotes the system; or what a program printed last.
        place: what was being written, if the error does not name it.
        needed: bytes that were to be written.
        option: of the command, by which another place is chosen.
    """
    number, named = _refusal_of(error)
    if number is None:
        return None
    path, base = named or place, temporary_place()
    room = "" if number not in (errno.ENOSPC, errno.EDQUOT) else f": {_room(path or base, needed)}"
    temporary = path is None or any(_is_temporary(one, base) for one in (path, *path.parents))
    free = "free some space, or " if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
    other = f"use another temporary folder: {OTHER_TMP}" if temporary else f"choose another {option}"
    return SetupError(
        f"cannot {'open or ' if number in (errno.EACCES, errno.EPERM) else ''}write {path or 'a temporary file'}",
        why=f"{_REFUSED[number]}{room}",
        fix=f"{free}{other}; what was there before is unchanged",
    )


def _is_temporary(path: Path, base: Path) -> bool:
    """Return whether a path is one of our folders in the temporary folder; an --out may lie there as well."""
    return path.name.startswith(TEMPORARY) and path.parent.absolute() == base.absolute()


def _refusal_of(error: BaseException | str) -> tuple[int | None, Path | None]:
    """Return the number of the system's error, and the file that it names."""
    seen: BaseException | str | None = error
    for _ in range(8):  # what is raised last is often a library that closes what it could not write
        if isinstance(seen, OSError) and seen.errno in _REFUSED:
            named = seen.filename
            return seen.errno, Path(os.fsdecode(named)) if isinstance(named, str | bytes) else None
        text = str(seen)
        for said, number in _SAID.items():
            if said in text:
                return number, None
        if not isinstance(seen, BaseException):
            break
        seen = seen.__cause__ or seen.__context__
    return None, None


def require_room(needed: Mapping[Path, int], *, what: str, option: str = "--out") -> None:
    """Refuse long work for which there is no room.

    Args:
        needed: bytes by folder, which need not be there yet; folders of one file system add up.
        what: needs them.
        option: of the command, by which another place is chosen.

    Raises:
        SetupError: less is free.
    """
    disks: dict[int, list[Path]] = {}
    for folder in needed:
        disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    temporary = temporary_place()
    for folders in disks.values():
        total, free = sum(needed[one] for one in folders), _free(folders[0])
        if total <= free:
            continue
        parts = [f"{_mb(needed[one])} in {one}" for one in folders]
        others = [f"another {option}"] * any(one != temporary for one in folders)
        others += [f"another temporary folder ({OTHER_TMP})"] * (temporary in folders)
        raise SetupError(
            f"{what} needs {_mb(total)}, {_mb(free)} are free",
            why=f"it would run out of space after minutes of work: {' and '.join(parts)}",
            fix=f"free {_mb(total - free)}, or choose {' or '.join(others)}",
        )


def _room(path: Path, needed: int | None) -> str:
    there = f"{_mb(_free(path))} are free there"
    return there if needed is None else f"{_mb(needed)} were needed, {there}"


def _free(path: Path) -> int:
    facts = os.statvfs(_existing(path))
    return facts.f_bavail * facts.f_frsize


def _existing(path: Path) -> Path:
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def _mb(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 10_000_000 else f"{count / 1e3:,.0f} kB"
