"""Archives of films, zip and tar: a file inside one has a path like any other, `set.zip/Normal/a.png`."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tbconv.contract.errors import DataError, FilmError

MAX_MEMBER = 512 << 20  # bytes of one file of an archive
MAX_MEMBERS = 2_000_000
ARCHIVE_SUFFIXES = (".zip", ".tar")
LEADS_OUT = "a file whose path leads out of its archive"
INSIDE = "an archive inside an archive"
_ZIP_STARTS = (b"PK\3\4", b"PK\5\6")
_TAR_AT, _TAR_START = 257, b"ustar"  # POSIX and GNU alike
_PACKED_DOCUMENTS = {"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"}
# What `zipfile`, `tarfile` and their decompressors raise on damaged, encrypted (RuntimeError) and unknown archives.
ARCHIVE_FAULTS = (
    OSError, RuntimeError, NotImplementedError, EOFError, ValueError, MemoryError, struct.error, zipfile.BadZipFile,
    zlib.error, lzma.LZMAError, tarfile.TarError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive."""

    name: str  # inside, with forward slashes
    size: int  # bytes, unpacked
    offset: int | None  # of its bytes in the archive, where they lie there as they are: in a tar

    @property
    def leads_out(self) -> bool:
        """Whether unpacking it by its name would write elsewhere."""
        inside = PurePosixPath(self.name)
        return inside.is_absolute() or ".." in inside.parts


def is_archive(path: Path, head: bytes) -> bool:
    """Whether a file is an archive of files, not a spreadsheet or text that is packed as one."""
    if is_tar(head):
        return True
    if not head.startswith(_ZIP_STARTS):
        return False
    try:
        return not _PACKED_DOCUMENTS & set(_zip(path).namelist())
    except DataError:
        return True  # it is said where it is opened


def is_tar(head: bytes) -> bool:
    """Whether a file's first bytes are those of a tar archive."""
    return head.startswith(_TAR_START, _TAR_AT)


def begins_archive(head: bytes, name: str) -> bool:
    """Whether a file inside an archive is one itself, by its first bytes."""
    documents = (".xlsx", ".xlsm", ".docx", ".pptx")
    return is_tar(head) or (head.startswith(_ZIP_STARTS[0]) and not name.casefold().endswith(documents))


def members(path: Path) -> Iterator[Member]:
    """Yield the files of an archive as they lie in it; of a tar none is kept in memory.

    Raises:
        DataError: it is damaged, or holds too many files.
    """
    if not _is_tar(path):
        yield from (Member(one.filename, one.file_size, None) for one in _zip(path).infolist() if not one.is_dir())
        return
    with path.open("rb") as file:
        yield from tar_members(file, str(path))


def tar_members(file: BinaryIO, name: str) -> Iterator[Member]:
    """Yield the files of an open tar archive, which is read from one head to the next.

    Args:
        file: can seek.
        name: how errors call it.

    Raises:
        DataError: it is damaged, packed, or holds too many files.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for _ in range(MAX_MEMBERS + 1):
                one = archive.next()
                if one is None:
                    break
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if one.isreg() and not one.sparse:
                    yield Member(one.name.removeprefix("./"), one.size, one.offset_data)
            else:
                raise _too_many(name)
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError("its end is missing")
    except ARCHIVE_FAULTS as error:
        raise _damaged(name, "tar", error) from error


def read_head(archive: Path, member: Member, size: int) -> bytes:
    """Return the first bytes of a file inside an archive; one of ARCHIVE_FAULTS where it is damaged."""
    if member.offset is not None:
        return read_span(archive, member.offset, min(size, member.size))
    with _zip(archive).open(member.name) as file:
        return file.read(size)


def read_member(archive: Path, name: str) -> bytes:
    """Return a file inside an archive, whole.

    Raises:
        FilmError: the archive has no such file, or it is damaged or too large.
    """
    place = archive / name
    try:
        member = _tar_index(archive).get(name) if _is_tar(archive) else _zip_member(archive, name)
        if member is None:
            raise unreadable(place, "the archive holds no such file")
        if member.size > MAX_MEMBER:
            raise unreadable(place, f"it has {member.size:,} bytes, of which {MAX_MEMBER:,} are read")
        if member.offset is not None:
            return read_span(archive, member.offset, member.size)
        return _zip(archive).read(name)
    except (DataError, *ARCHIVE_FAULTS) as error:
        why = error.one_line if isinstance(error, DataError) else str(error) or type(error).__name__
        raise unreadable(place, why) from error


def read_span(path: Path, offset: int, size: int) -> bytes:
    """Return bytes out of the middle of a file; EOFError where it ends before."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise EOFError("the archive ends in the middle of it")
    return data


def unreadable(path: Path, why: str) -> FilmError:
    """Return the error of a film whose bytes cannot be read."""
    return FilmError(f"{path} cannot be read", why=why, fix="check the path and its permissions")


def _is_tar(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_tar(file.read(_TAR_AT + len(_TAR_START)))
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(f"{path} cannot be opened", why=why, fix="check the path and its permissions") from error


def _zip_member(path: Path, name: str) -> Member | None:
    try:
        return Member(name, _zip(path).getinfo(name).file_size, None)
    except KeyError:
        return None


def _zip(path: Path) -> zipfile.ZipFile:
    state = path.stat()
    return _open_zip(path, state.st_mtime_ns, state.st_size)


def _tar_index(path: Path) -> dict[str, Member]:
    state = path.stat()
    return _index_tar(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _open_zip(path: Path, changed_ns: int, size: int) -> zipfile.ZipFile:
    """Open a zip archive, whose reads of several threads take turns by themselves."""
    del changed_ns, size  # of the key: a changed archive is opened anew
    try:
        file = zipfile.ZipFile(path)
    except ARCHIVE_FAULTS as error:
        raise _damaged(str(path), "zip", error) from error
    if len(file.infolist()) > MAX_MEMBERS:
        raise _too_many(str(path))
    return file


@lru_cache(maxsize=8)
def _index_tar(path: Path, changed_ns: int, size: int) -> dict[str, Member]:
    del changed_ns, size
    return {one.name: one for one in members(path)}


def _damaged(name: str, kind: str, error: Exception) -> DataError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return DataError(f"{name} is no whole {kind} archive", why=why, fix="download or pack it again")


def _too_many(name: str) -> DataError:
    return DataError(f"{name} holds too many files", why=f"{MAX_MEMBERS:,} are read", fix="unpack it")
