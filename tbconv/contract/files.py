"""Files and folders: digests, writes that are whole or not at all, owners that outlive nobody, and what a disk refuses.

What a process makes for a while carries a lock that the kernel drops at the process's death, and a record of who
it is. So whoever comes next can tell what is left over from what is in use, where numbers of processes repeat, too.
"""

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
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tbconv.contract.errors import ArtefactError, ConfigError, DataError, SetupError, TbconvError, printable

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100  # of <fcntl.h>: paths are relative to the working folder
OWNER = "owner.lock"  # in a folder of ours: its lock, and the record of its owner
TEMPORARY = "tbconv-"  # begins the name of a folder in the temporary folder
MAKING = ".tbconv"  # ends the name of a folder in the making, beside its place
WRITER = ".tbconv-lock"  # in a folder that is written in place: lock and record of who writes there
PART = ".tbconv-part"  # ends the name of a file that is being written, beside its place
_NEW, _OLD = "new", "old"  # in a folder in the making: what takes the place, what made room for it
_LONGEST_NAME = 200  # bytes of a name that ours begins with: file systems take 255 in all
_SHORTENED = re.compile(r".*-[0-9a-f]{16}", re.DOTALL)  # a name that `_short` has cut; a whole one may look alike
_MARKED = re.compile(r"[.-](\d{1,10})-(\d{1,20})-([0-9a-f]*)-\d+[0-9a-f]{4}\Z")  # ends a name: who made it (`_mark`)
MOST_LINKS = 40  # one after the other, as Linux has it
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
    """Return the SHA-256 of a file, 64 hex digits; OSError where it is no regular file."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def opened(source: Path | bytes) -> Iterator[io.BufferedReader | io.BytesIO]:
    """Open what was read, or a file; OSError where that is none: a FIFO would keep us until someone writes into it."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    handle = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no regular file")
        yield file


@contextlib.contextmanager
def atomic_file(
    path: Path, *, mode: int | None = None, durable: bool = True, needed: int | None = None, option: str = "--out"
) -> Iterator[BinaryIO]:
    """Yield a file open for writing that takes its place if the block succeeds: whole or not at all.

    Args:
        path: its place; what is there before keeps its permissions. A link there stays, what it leads to is replaced;
            a pipe, a terminal and what the system opens for a name (/dev/stdout) are written into.
        mode: permissions, for what others must not read: 0o600; None: those of the file before, or the umask's.
        durable: whether it has to outlast a power cut; what can be made again need not.
        needed: bytes that will be written, if they are known, for the error.
        option: of the command, by which another place is chosen.

    Raises:
        SetupError: the disk has no room, or does not let us write.
    """
    path = _led_to(path)
    with disk_errors_stated(path, needed=needed, option=option):
        if _is_of_system(path) or (path.exists() and not path.is_file() and not path.is_dir()):
            with _written_into(path) as stream:
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


def _led_to(path: Path) -> Path:
    """Return where a link leads to, link by link, or the link of the system at which that ends; else the path."""
    place = path
    for _ in range(MOST_LINKS):
        if not place.is_symlink() or _is_of_system(place):
            break
        place = place.parent / place.readlink()
    return place


def _is_of_system(path: Path) -> bool:
    """Return whether a name stands for an open file, as /dev/stdout and /proc/self/fd/1 do: nothing can replace it."""
    if not path.is_symlink():
        return False
    folder = path.parent.resolve()
    is_device = folder.is_relative_to("/dev") and not folder.is_relative_to("/dev/shm")  # noqa: S108
    return is_device or folder.is_relative_to("/proc")


@contextlib.contextmanager
def _written_into(path: Path) -> Iterator[BinaryIO]:
    """Open what is not replaced. A descriptor of this process is shared: its next lines come after what is written."""
    name = {"stdin": "0", "stdout": "1", "stderr": "2"}.get(path.name, path.name)
    own = path.parent.resolve() in (Path("/dev"), Path(f"/proc/{os.getpid()}/fd"))
    descriptor = os.dup(int(name)) if own and name.isdigit() else os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    with open(path, "wb", opener=lambda *_: descriptor) as stream:
        yield stream


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
        root = place.with_name(f".{_short(place.name)}{MAKING}")
        remove_leftovers(place.parent, but=root.name)  # whose place is known here
        with _owned(root, Owner.current(place.parent)), disk_errors_stated(place):  # before the room is free again
            with _open_folder(root) as inside:
                _recover(inside, place)
                _empty_open(inside)
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


def _recover(inside: int, place: Path) -> None:
    """Finish what a process began that died between two renames: the old folder had made room already."""
    if {_OLD, _NEW} <= set(os.listdir(inside)) and not place.exists():  # by its descriptor
        os.rename(_NEW, place, src_dir_fd=inside)


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
    problem: str | None = None  # why it could not be removed


def remove_leftovers(folder: Path, *, once: bool = False, but: str | None = None) -> list[Leftover]:
    """Remove what dead processes of this user left in a folder; return what it was, and what stays with the reason.

    Nothing is removed that has no record of ours, whose lock is held, whose owner runs or is another user; no link is
    followed, and a folder is emptied through the descriptor that was checked.

    Args:
        folder: to look through, not its folders.
        once: whether to do nothing if this process has looked already.
        but: the name of an entry that is left as it is.
    """
    place = folder.absolute()
    if once and place in _swept:
        return []
    _swept.add(place)
    found = []
    for leftover in _leftovers(folder, remove=True, but=but):
        found.append(leftover)
        if leftover.owner is not None and leftover.owner.beside not in (None, str(place)):
            found += _leftovers(Path(leftover.owner.beside or ""), remove=True)
    return found


def find_leftovers(folder: Path) -> list[Leftover]:
    """Return what `remove_leftovers` would remove."""
    return list(_leftovers(folder, remove=False))


def _leftovers(folder: Path, *, remove: bool, but: str | None = None) -> Iterator[Leftover]:
    try:
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it is not there, or not ours to read
        return
    try:
        with os.scandir(parent) as entries:
            names = [entry.name for entry in entries if entry.name != but and _may_be_ours(entry.name)]
        for name in names:
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                found = _leftover(parent, folder / name, remove=remove)
                if found is not None:
                    yield found
    finally:
        os.close(parent)


def _may_be_ours(name: str) -> bool:
    """Return whether we make such names: `tbconv-` alone may begin a name of the user's own."""
    if name.startswith(TEMPORARY):
        return _MARKED.search(name) is not None
    return name == WRITER or (name.startswith(".") and name.endswith((MAKING, PART)))


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
        found = Leftover(path, size, owner)
        if remove:
            try:
                os.unlink(path.name, dir_fd=parent)  # in the folder that was looked through
            except OSError as error:
                return replace(found, problem=error.strerror)
        return found


def _dead_folder(parent: int, path: Path, *, remove: bool) -> Leftover | None:
    inside = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if os.fstat(inside).st_uid != os.geteuid():
            return None
        if OWNER not in os.listdir(inside):  # noqa: PTH208  # by its descriptor
            empty = not os.listdir(inside)  # noqa: PTH208
            if remove and empty and (path.name.endswith(MAKING) or not _may_run_by_mark(path.name, inside)):
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
            if path.name.endswith(MAKING) and _is_cut(path.name) and {_OLD, _NEW} <= set(os.listdir(inside)):  # noqa: PTH208
                return None  # its place is known to who writes there again
            found = Leftover(path, _size(inside), owner)
            if remove:
                if path.name.endswith(MAKING):
                    _recover(inside, path.with_name(path.name[1 : -len(MAKING)]))
                found = _removed(found, inside, parent)
            return found
    finally:
        os.close(inside)


def _removed(found: Leftover, inside: int, parent: int) -> Leftover:
    """Remove a folder of ours through its descriptors; return it, with the reason where it stays."""
    try:
        _empty_open(inside)
        os.unlink(OWNER, dir_fd=inside)
        os.rmdir(found.path.name, dir_fd=parent)
    except OSError as error:
        return replace(found, problem=error.strerror)
    return found


def _is_cut(name: str) -> bool:
    """Return whether the name of a folder in the making may hold less than its place's: `_short` has cut it."""
    own = name[1 : -len(MAKING)]
    return _SHORTENED.fullmatch(own) is not None and len(own.encode()) > _LONGEST_NAME - 4  # of one letter in UTF-8


def _size(inside: int) -> int:
    total = 0
    for _, _, names, descriptor in os.fwalk(dir_fd=inside):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
    return total


@contextlib.contextmanager
def _open_folder(root: Path) -> Iterator[int]:
    """Yield a folder's descriptor; errors of what is done by it name the whole path."""
    inside = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield inside
    except OSError as error:
        if isinstance(error.filename, str):
            error.filename = str(root / error.filename)
        raise
    finally:
        os.close(inside)


def _empty_open(inside: int) -> None:
    """Remove what a folder of ours holds beside its lock; OSError, the first reason, where that cannot be done."""
    kept: list[OSError] = []
    for _ in range(EMPTY_ROUNDS):  # what a child that is being killed still wrote meanwhile goes with the next round
        with os.scandir(inside) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name != OWNER]
        if not found:
            return
        for name, is_folder in found:
            with contextlib.suppress(FileNotFoundError):
                if is_folder:
                    _remove_tree(name, inside, kept)
                else:
                    os.unlink(name, dir_fd=inside)
        time.sleep(EMPTY_EVERY_S)
    first = [one for one in kept if one.errno not in (errno.ENOENT, errno.ENOTEMPTY)][:1]
    [error] = first or [OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), OWNER)]
    raise error  # its lock stays, and with it the record


def _remove_tree(name: str, inside: int, kept: list[OSError]) -> None:
    if sys.version_info >= (3, 12):
        shutil.rmtree(name, onexc=lambda *told: kept.append(told[2]), dir_fd=inside)
    else:
        shutil.rmtree(name, onerror=lambda *told: kept.append(told[2][1]), dir_fd=inside)


@contextlib.contextmanager
def _owned(root: Path, owner: Owner, *, fresh: bool = False) -> Iterator[None]:
    """Own a folder of this name for the block; afterwards it is gone. `fresh` refuses one that is there already."""
    descriptor = _take(root, OWNER, owner, make=True, fresh=fresh)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # what cannot be removed now is left over for the next command
            with _open_folder(root) as inside:
                _empty_open(inside)
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
            fresh = False  # it is ours, though a cleaner may look at it, or have removed it while it was empty
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
        why=f"it is {owner or 'a process that has not recorded its name'}; two at once would mix their files",
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
    """Return whether the process that marked the name of an open file or folder may run still; see `Owner.may_run`."""
    found = _MARKED.search(name.removesuffix(PART))
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
_DENIED = (errno.EACCES, errno.EPERM)  # of anything that is opened or asked of the system, not of a disk alone
# As libraries of C and C++ report it, in their own errors; "Permission denied" in a text may be about anything.
_SAID = {os.strerror(number): number for number in _REFUSED if number not in _DENIED}
# Mistakes of a program stay what they are, whatever was being handled when they were made.
_MISTAKES = (LookupError, TypeError, AttributeError, NameError, AssertionError, ArithmeticError, ImportError)


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

    A file that may not be opened counts where it belongs to `place` or to a temporary folder of ours: inputs and
    programs are refused by the same words.

    Args:
        error: of the system, or of a library that quotes the system; or what a program printed last.
        place: what was being written; None where that is not known.
        needed: bytes that were to be written.
        option: of the command, by which another place is chosen.
    """
    number, named = _refusal_of(error)
    if number is None:
        return None
    base, denied = temporary_place(), number in _DENIED
    if denied and (named is None or not (place is None or _is_written_for(named, place, base))):
        return None  # of an input, or of something else
    beside = named is not None and place is not None and _is_making_of(named, place)
    path = place if beside else named or place
    room = "" if number not in (errno.ENOSPC, errno.EDQUOT) else f": {_room(path or base, needed)}"
    temporary = path is None or any(_is_temporary(one, base) for one in (path, *path.parents))
    free = "free some space, or " if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
    other = f"use another temporary folder: {OTHER_TMP}" if temporary else f"choose another {option}"
    if denied and place is None and not temporary:
        other = "change its permissions, or choose another place"  # it may be an input
    return SetupError(
        f"cannot {'open or ' if denied else ''}write {path or 'a temporary file'}",
        why=f"{_REFUSED[number]}{room}",
        fix=f"{free}{other}; what was there before is unchanged",
    )


def _is_written_for(named: Path, place: Path, base: Path) -> bool:
    """Return whether a file that the system named belongs to what is written: to its place, or a folder of ours."""
    file, place = named.absolute(), place.absolute()
    around = {file, *file.parents}
    temporary = file == base.absolute() or any(_is_temporary(one, base) for one in around)
    return place in around or file in place.parents or _is_making_of(file, place) or temporary


def _is_making_of(named: Path, place: Path) -> bool:
    """Return whether it is what `place` is made from, beside it, or lies in that."""
    mine = f".{_short(place.name)}."
    around = (named.absolute(), *named.absolute().parents)
    return any(one.parent == place.absolute().parent and one.name.startswith(mine) for one in around)


def _is_temporary(path: Path, base: Path) -> bool:
    """Return whether a path is one of our folders in the temporary folder; an --out may lie there as well."""
    return path.name.startswith(TEMPORARY) and path.parent.absolute() == base.absolute()


def _refusal_of(error: BaseException | str) -> tuple[int | None, Path | None]:
    """Return the number of the system's error, and the file that it names."""
    seen: BaseException | str | None = error
    handled = False  # whether it was only being handled when another error came
    for _ in range(8):
        if isinstance(seen, _MISTAKES) or seen is None:
            break
        if isinstance(seen, OSError) and seen.errno in _REFUSED and not (handled and seen.errno in _DENIED):
            named = seen.filename
            return seen.errno, Path(os.fsdecode(named)) if isinstance(named, str | bytes) else None
        text = str(seen)
        for said, number in _SAID.items():
            if said in text:
                return number, None
        if not isinstance(seen, BaseException):
            break
        if seen.__cause__ is None and not seen.__suppress_context__:
            seen, handled = seen.__context__, True  # a library that closes what it could not write
        else:
            seen = seen.__cause__
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


# --- arrays ---
# An .npz file is judged by its headers before anything of it is unpacked.

MOST_UNPACKED = 64 << 20  # bytes of an .npz in all, or `MOST_RATIO` times what it takes: drawn films pack 3 to 1
MOST_RATIO = 100
RESTORE = "tbconv convert RUN --out BUNDLE, or restore the file"


@contextlib.contextmanager
def read_arrays(
    source: Path | bytes,
    what: str,
    *,
    name: str = "the archive",
    error: type[TbconvError] = ArtefactError,
    fix: str = RESTORE,
    ratio: int = MOST_RATIO,
) -> Iterator[Mapping[str, Any]]:
    """Yield the arrays of an .npz file by name, without pickles; nothing is unpacked before its headers are judged.

    Args:
        source: the file, or its bytes.
        what: it should hold, in words, for the error.
        name: of bytes, for the error.
        error: to raise where it is missing, damaged or beyond bounds, or lacks an array that the block reads.
        fix: of that error.
        ratio: how many times what it takes it may unpack to, where that is more than `MOST_UNPACKED`; 0 for what a
            server reads of strangers.
    """
    import numpy as np  # most of what writes files needs none

    called = source if isinstance(source, Path) else name
    try:
        with opened(source) as file:
            _check_archive(file, ratio)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
    except _DAMAGED as found:
        raise error(f"{called} holds no {what}", why=f"{type(found).__name__}: {found}", fix=fix) from found


# what zipfile, zlib and numpy raise on damage, and what an array of another kind or shape leads to
_DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, IndexError, MemoryError, RuntimeError),
    *(OverflowError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error),
)


def _check_archive(file: BinaryIO, ratio: int) -> None:
    """Refuse an .npz whose arrays are not as large as its directory says, or would fill the memory; ValueError."""
    packed = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        most = max(MOST_UNPACKED, ratio * packed)
        if (unpacked := sum(member.file_size for member in members)) > most:
            raise ValueError(f"it unpacks to {unpacked / 2**20:,.0f} MB, {most / 2**20:,.0f} MB are the most")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it holds two arrays of one name")
        for member in members:
            _check_array(archive, member)
    file.seek(0)


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    import numpy as np

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


# --- what a path is ---
# Bundles, runs, checkpoints and films are all paths, and easily mixed up: what a path is, and which command takes it.
# Nothing is read but names: what a folder holds is judged by who opens it.

MANIFEST = "manifest.json"  # of a bundle
CONVERSION = "conversion.json"  # of a third-party ONNX model's formats, which are no bundle
RUN = "run.json"  # of a run folder, written last
LABELS_RUN = "labels.json"  # of a run of several labels, or of one of N classes
CHECKPOINT = "checkpoint.pt"  # of a run folder, from the first epoch on
LOOKED_AT = 200  # files of a folder of which one may be a film
_CHECKPOINT_ENDS = (".pt", ".pth", ".ckpt", ".safetensors")
_CONVERTED_ENDS = (".tflite", ".h5", ".keras", ".pb")
_FILM_ENDS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".zip")


@dataclass(frozen=True, slots=True)
class Advice:
    """What a path is, and what to do with it."""

    kind: str  # bundle | run | begun | conversion | part | onnx | checkpoint | converted | film | films | empty
    why: str
    fix: str


def advice_on(path: Path) -> Advice | None:
    """Say what a path is that was given in the place of another, and which command takes it.

    Args:
        path: a file or folder; nothing of it is read but names.

    Returns:
        None where nothing is known of it, or there is nothing.
    """
    try:
        return _advice_on_folder(path) if path.is_dir() else _advice_on_file(path)
    except OSError:  # a folder that may not be entered, a name that is too long
        return None


def refuse_as_films(path: Path) -> None:
    """Refuse a bundle, a run or one of their files where films are wanted: their pictures are charts.

    Raises:
        DataError: saying what it is and which command takes it.
    """
    advice = advice_on(path)
    if advice is not None and advice.kind not in ("film", "films", "empty"):
        raise DataError(f"{path} is given as films", why=advice.why, fix=advice.fix)


def _advice_on_folder(path: Path) -> Advice | None:
    ways = {
        MANIFEST: ("bundle", "it is a bundle", f"use it as one: tbconv verify {path}, or tbconv predict {path} FILM"),
        RUN: (
            "run",
            "it is a run folder of `tbconv train` or `tbconv adopt`, not yet converted",
            f"make a bundle of it: tbconv convert {path} --out BUNDLE",
        ),
        LABELS_RUN: (
            "labels",
            "it is a run folder of several labels, or of one of N classes, not yet converted",
            f"make every format of it: tbconv convert {path} --out OUT",
        ),
        CHECKPOINT: (
            "begun",
            "it is a run folder whose training has not finished",
            f"tbconv train --data DIR --out {path} --resume",
        ),
        CONVERSION: (
            "conversion",
            "it is a conversion of a third-party ONNX model: no threshold was chosen or tested on labelled films",
            f"read {path / 'report.md'}",
        ),
    }
    if mark := next((name for name in ways if (path / name).is_file()), None):
        return Advice(*ways[mark])
    found = list(itertools.islice(_files_under(path), LOOKED_AT))
    if not found:
        return Advice("empty", "it is an empty folder", "make a bundle: tbconv convert RUN --out BUNDLE")
    if any(one.suffix.lower() in _FILM_ENDS for one in found):
        fix = f"tbconv train --data {path} --out RUN, or tbconv predict BUNDLE {path}"
        return Advice("films", "it is a folder of films", fix)
    return None


def _files_under(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder as the system has them: a list of a million names is made of none."""
    try:
        entries = os.scandir(folder)
    except OSError:
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_under(Path(entry.path))
            else:
                yield Path(entry.path)


def _advice_on_file(path: Path) -> Advice | None:
    if not path.is_file():
        return None
    for home in path.parents[:2]:
        if (home / MANIFEST).is_file():
            return Advice("part", "it is a file of a bundle", f"name the bundle: {home}")
        if (home / RUN).is_file():
            return Advice("part", "it is a file of a run folder", f"name the run: {home}")
    kinds = (
        ((".onnx",), "onnx", "it is an ONNX model", f"tbconv convert {path} --calibration DIR --out DIR"),
        (_CHECKPOINT_ENDS, "checkpoint", "it is a checkpoint", f"tbconv adopt {path} --arch ARCH --data DIR --out RUN"),
        (
            _CONVERTED_ENDS,
            "converted",
            "it is one converted file, without manifest and certificate",
            f"compare it with its ONNX file: tbconv prove --onnx MODEL.onnx --file {path}",
        ),
        (_FILM_ENDS, "film", "it is a film, or an archive of films", f"tbconv predict BUNDLE {path}"),
    )
    return next((Advice(*words) for ends, *words in kinds if path.suffix.lower() in ends), None)
