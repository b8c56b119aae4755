"""Which films a run scores: a folder, a table, an archive or a bucket, listed once in the order of their ids.

A million names are never in memory at once. They are written into a temporary file as they are found, sorted there in
parts that are then merged, and read back one after the other. The order makes the shards of a run repeatable, and what
is named twice is found without a set of all names.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import heapq
import hmac
import io
import itertools
import os
import stat
from array import array
from collections import Counter
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

from tbconv.contract.errors import ConfigError, DataError, FilmError, printable
from tbconv.contract.files import refuse_as_films, temporary_folder
from tbconv.contract.xray.archive import (
    ARCHIVE_SUFFIXES,
    LEADS_OUT,
    MAX_MEMBER,
    Member,
    is_archive,
    members,
    tar_members,
    unreadable,
)
from tbconv.contract.xray.folder import FILM_SUFFIXES, HEAD_BYTES, left_out_by_name, read_bytes, walk_names

MANIFESTS = (".csv", ".tsv")
FILM_COLUMNS = ("film", "path", "file", "filename", "image")  # of a table: the first that it has
ID_COLUMNS = ("id", "film_id")
SORTED_AT_ONCE = 16 << 20  # bytes of names; some 50 MB as objects
AT_ONCE = 1_000  # records
LEAST_KEY = 16  # bytes
_ANYWHERE = "://"
_SPAN = "tar:"  # begins the place of a film in a tar archive, which no path does: they are absolute


class Film(NamedTuple):
    """One film of a run."""

    id: str  # path inside the source, with forward slashes, or the table's id; a pseudonym where that was asked for
    place: str  # where its bytes are: a path, also into a zip archive, an address, or a part of a tar archive


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """What stands for ids in results: a keyed digest, which without the key leads back to nobody."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < LEAST_KEY:
            raise ConfigError(
                "the key of --pseudonymise is too short",
                why=f"it has {len(self.key)} bytes, {LEAST_KEY} are the least: a short key can be found by trying",
                fix="openssl rand -hex 32 > KEYFILE",
            )

    @classmethod
    def read(cls, source: str) -> Pseudonyms:
        """Read a key.

        Args:
            source: path of a file, or env:NAME for a variable of the environment; the key itself is never an argument,
                which other processes of the machine can see.

        Raises:
            ConfigError: there is no such file or variable, or the key is too short.
        """
        kind, _, name = source.partition(":")
        if kind == "env":
            if not os.environ.get(name):
                why = "the key is read from there"
                raise ConfigError(
                    f"the variable {name} is empty", why=why, fix=f"export {name}=$(openssl rand -hex 32)"
                )
            return cls(os.environ[name].encode())
        try:
            return cls(Path(source).read_bytes().strip())
        except OSError as error:
            what = "the key of --pseudonymise cannot be read"  # the key may have been given itself: it is not repeated
            why = f"it has to be the path of a file, or env:NAME ({error.strerror})"
            raise ConfigError(what, why=why, fix="openssl rand -hex 32 > KEYFILE; --pseudonymise KEYFILE") from None

    def of(self, name: str) -> str:
        """Return the pseudonym of an id, 32 hex digits of its HMAC-SHA256."""
        return hmac.digest(self.key, name.encode("utf-8", "surrogateescape"), "sha256").hex()[:32]

    @property
    def mark(self) -> str:
        """What tells this key from another one, and does not lead back to it."""
        return hmac.digest(self.key, b"tbconv: which key", "sha256").hex()[:16]


@dataclass(frozen=True, slots=True)
class FilmList:
    """All films of a run, sorted by id, in a file."""

    path: Path
    count: int
    sha256: str  # of all ids in their order; keyed where ids are pseudonyms
    left_out: dict[str, int]  # what is no film by its place, counted by kind; bytes are looked at when a film is scored

    def __len__(self) -> int:
        """How many films there are."""
        return self.count

    def __iter__(self) -> Iterator[Film]:
        """Yield the films in order of id."""
        with self.path.open("rb") as file:
            yield from map(_film_of, file)

    def shards(self, size: int, *, but: Collection[int] = ()) -> Iterator[tuple[int, list[Film]]]:
        """Yield the films so many at a time, with the number of each shard, leaving out the shards that are done."""
        with self.path.open("rb") as file:
            for number in range(-(-self.count // size)):
                lines = list(itertools.islice(file, size))
                if number not in but:
                    yield number, [_film_of(line) for line in lines]

    def starts(self, size: int) -> array[int]:
        """Return where each shard begins in the file, in bytes, and where the last one ends."""
        starts, offset = array("q"), 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if number % size == 0:
                    starts.append(offset)
                offset += len(line)
        starts.append(offset)
        return starts


def listed_between(path: Path, start: int, stop: int) -> list[Film]:
    """Return the films of a part of a list (`FilmList.path`, `FilmList.starts`)."""
    with path.open("rb") as file:
        file.seek(start)
        return [_film_of(line) for line in io.BytesIO(file.read(stop - start))]


@contextlib.contextmanager
def list_films(source: str, *, pseudonyms: Pseudonyms | None = None) -> Iterator[FilmList]:
    """List the films of a source; the list is gone with the block.

    Args:
        source: a folder, a CSV or TSV table, a zip or tar archive, a film, or an address that fsspec knows (s3://...).
        pseudonyms: stand for the ids; films are then sorted by them, so that the order says nothing either.

    Raises:
        DataError: there is no film, one is named twice, the table has no column of films, or an archive is damaged.
    """
    with temporary_folder("films") as folder:
        left_out: Counter[str] = Counter()
        found = _remote(source, left_out) if is_elsewhere(source) else _local(Path(source), left_out)
        with contextlib.closing(found):  # an error of the list leaves no file open
            listed = _sorted(found, folder, pseudonyms, source, left_out)
        yield listed


def read(place: str) -> bytes:
    """Return the bytes of a film.

    Args:
        place: of a `Film`.

    Raises:
        FilmError: they cannot be read, or are more than any film has.
        DataError: the archive that it lies in was changed since it was listed.
    """
    if place.startswith(_SPAN):
        return _read_span(place)
    if _ANYWHERE in place:
        return _fetch(place)
    path = Path(place)
    try:
        state = path.stat()
    except NotADirectoryError:  # inside a zip archive
        return read_bytes(path)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    if not stat.S_ISREG(state.st_mode):
        raise unreadable(path, "it is no regular file")
    if state.st_size > MAX_MEMBER:
        raise unreadable(path, f"it has {state.st_size:,} bytes, of which {MAX_MEMBER:,} are read")
    return read_bytes(path)


def is_elsewhere(source: str) -> bool:
    """Whether a source is an address and not a path of this machine."""
    return _ANYWHERE in source


def is_called_film(place: str) -> bool:
    """Whether the name of what lies at the place of a `Film` says that it is one."""
    if place.startswith(_SPAN):
        return place.split(":", 5)[4] == "film"
    return place.casefold().endswith(FILM_SUFFIXES)


# --- sources ---
# Each yields (id, place) as it finds them, in no order, and counts what is no film by its place.

_Found = Generator[tuple[str, str]]


def _local(source: Path, left_out: Counter[str]) -> _Found:
    refuse_as_films(source)
    root = Path(os.path.abspath(source))  # noqa: PTH100  (resolve() would follow links, and films would change names)
    if root.is_dir():
        return _in_folder(root, left_out)
    if root.suffix.casefold() in MANIFESTS:
        return _in_table(str(root), root.open(newline="", encoding="utf-8-sig", errors="surrogateescape"))
    try:
        with root.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(f"{source} cannot be opened", why=why, fix="check the path and its permissions") from error
    if head.startswith(b"\x1f\x8b"):
        why = "films are read from the middle of an archive, which a packed one does not allow"
        raise DataError(f"{source} is packed by gzip", why=why, fix=f"gunzip -k {source}, and give the tar archive")
    if is_archive(root, head):
        return _in_archive(root, "", left_out)
    return (one for one in [(root.name, str(root))])


def _in_folder(root: Path, left_out: Counter[str]) -> _Found:
    """Yield what is under a folder: by names alone, since opening a million files takes minutes."""
    start = len(str(root).rstrip("/")) + 1
    for place, fault in walk_names(root, ordered=False):
        name = place[start:]
        kind = fault or left_out_by_name(name.split("/"))
        if kind:
            left_out[kind] += 1
        elif place.casefold().endswith(ARCHIVE_SUFFIXES):
            yield from _in_archive(Path(place), f"{name}/", left_out)
        else:
            yield name, place


def _in_archive(archive: Path, above: str, left_out: Counter[str]) -> _Found:
    state = archive.stat()
    for member in members(archive):
        kind = LEADS_OUT if member.leads_out else left_out_by_name(member.name.split("/"))
        if kind:
            left_out[kind] += 1
        elif member.offset is None:
            yield f"{above}{member.name}", f"{archive}/{member.name}"
        else:
            yield f"{above}{member.name}", _span(str(archive), member, f"{state.st_size}-{state.st_mtime_ns}")


def _in_table(place: str, file: TextIO) -> _Found:
    """Yield the films of a table: paths are taken from where it lies, and ids are those paths unless it has its own."""
    base, _, name = place.rpartition("/")
    with file:
        head = file.readline()
        delimiter = max(",;\t", key=head.count)
        columns = [one.strip().casefold() for one in next(csv.reader([head], delimiter=delimiter), [])]
        films = next((columns.index(one) for one in FILM_COLUMNS if one in columns), None)
        if films is None:
            why = f"a table of films has a column {', '.join(FILM_COLUMNS[:-1])} or {FILM_COLUMNS[-1]}"
            raise DataError(f"{place} names no films", why=why, fix="write film into its first line, above the paths")
        ids = next((columns.index(one) for one in ID_COLUMNS if one in columns), films)
        for line, cells in enumerate(csv.reader(file, delimiter=delimiter), start=2):
            if not cells:
                continue
            if len(cells) <= max(films, ids) or not cells[films] or not cells[ids]:
                raise DataError(f"row {line} of {name} names no film", why="a cell is empty", fix="complete the table")
            film = cells[films]
            yield cells[ids], film if film.startswith("/") or _ANYWHERE in film else f"{base}/{film}"


def _span(archive: str, member: Member, state: str) -> str:
    called = "film" if member.name.casefold().endswith(FILM_SUFFIXES) else "file"
    return f"{_SPAN}{member.offset}:{member.size}:{state}:{called}:{archive}"


def _read_span(place: str) -> bytes:
    offset, size, state, _, archive = place.removeprefix(_SPAN).split(":", 4)
    begin, length = int(offset), int(size)
    if length > MAX_MEMBER:
        raise FilmError("it cannot be read", why=f"it has {length:,} bytes", fix=f"{MAX_MEMBER:,} are the most")
    if _ANYWHERE in archive:
        filesystem, path = _filesystem(archive)
        with _faults_stated(archive):
            return bytes(filesystem.cat_file(path, start=begin, end=begin + length))
    try:
        with Path(archive).open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if f"{found.st_size}-{found.st_mtime_ns}" != state:
                why, fix = "its films would be read from the wrong places", "begin anew, into another folder"
                raise DataError(f"{archive} was changed while it was scored", why=why, fix=fix)
            data = os.pread(file.fileno(), length, begin)
    except OSError as error:
        raise unreadable(Path(archive), error.strerror or str(error)) from error
    if len(data) != length:
        raise unreadable(Path(archive), "it ends in the middle of the film")
    return data


# --- elsewhere ---
# Buckets and whatever else fsspec reaches, by the address's scheme; credentials are found as its libraries find them.


def _remote(source: str, left_out: Counter[str]) -> _Found:
    filesystem, path = _filesystem(source)
    scheme = source.partition(_ANYWHERE)[0]
    with _faults_stated(source):
        if path.casefold().endswith(MANIFESTS):
            text = io.TextIOWrapper(filesystem.open(path, "rb"), "utf-8-sig", errors="surrogateescape", newline="")
            yield from _in_table(source, text)
        elif path.casefold().endswith(".tar"):
            state = str(filesystem.size(path))
            with filesystem.open(path, "rb") as file:
                for member in tar_members(cast("BinaryIO", file), source):
                    if kind := LEADS_OUT if member.leads_out else left_out_by_name(member.name.split("/")):
                        left_out[kind] += 1
                    else:
                        yield member.name, _span(source, member, state)
        elif path.casefold().endswith(".zip"):
            why = "its list is at its end, and a film in it cannot be read alone from there"
            raise DataError(f"{source} is a zip archive elsewhere", why=why, fix="pack it as tar, or fetch it first")
        elif filesystem.isfile(path):
            yield path.rpartition("/")[2], source
        else:
            start = len(path.rstrip("/")) + 1
            for folder, _, names in filesystem.walk(path):
                for one in names:
                    found = f"{folder}/{one}"
                    if kind := left_out_by_name(found[start:].split("/")):
                        left_out[kind] += 1
                    else:
                        yield found[start:], f"{scheme}{_ANYWHERE}{found.lstrip('/') if scheme != 'file' else found}"


@contextlib.contextmanager
def _faults_stated(place: str) -> Iterator[None]:
    """Turn what a remote file system says into an error of a film; its classes are each library's own."""
    try:
        yield
    except (DataError, FilmError, ModuleNotFoundError):
        raise
    except Exception as error:
        why = printable(str(error) or type(error).__name__, most=300)
        raise FilmError(f"{place} cannot be read", why=why, fix="check the address and its credentials") from error


def _fetch(place: str) -> bytes:
    filesystem, path = _filesystem(place)
    with _faults_stated(place):
        return bytes(filesystem.cat_file(path))


def _filesystem(place: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, one a process, and the path in it."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(place)
    return filesystem, str(path)


# --- sorted on disk ---
# A record is id, NUL and place, and a line end. Line ends and backslashes in names are escaped: NUL cannot be in one.


def _record(film: str, place: str) -> bytes:
    line = f"{film}\0{place}".encode("utf-8", "surrogateescape")
    if line.count(b"\0") != 1:
        why, fix = "no path holds one, so it is no path", "write the table, or pack the archive, again"
        raise DataError("the name of a film holds a NUL character", why=why, fix=fix)
    if b"\\" in line or b"\n" in line:
        line = line.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return line + b"\n"


def _text(name: str) -> str:
    """Return a name that a table can hold: a byte that is no UTF-8 is written in hexadecimal."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _film_of(record: bytes) -> Film:
    line = record[:-1]
    if b"\\" in line:
        line = b"\\".join(part.replace(b"\\n", b"\n") for part in line.split(b"\\\\"))
    film, _, place = line.decode("utf-8", "surrogateescape").partition("\0")
    return Film(film, place)


def _sorted(
    found: _Found, folder: Path, pseudonyms: Pseudonyms | None, source: str, left_out: Counter[str]
) -> FilmList:
    parts = list(_write_parts(found, folder, pseudonyms))
    key = pseudonyms.key if pseudonyms else b""
    digest: Any = hmac.new(key, digestmod="sha256") if key else hashlib.sha256()
    place, count, before = folder / "films", 0, None
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(place.open("wb"))
        lines: Iterator[bytes] = heapq.merge(*(stack.enter_context(part.open("rb")) for part in parts))
        while some := list(itertools.islice(lines, AT_ONCE)):
            films = [line.partition(b"\0")[0] for line in some]
            for film in films:
                count += 1
                if film == before:
                    raise _twice(source, count, pseudonyms)
                before = film
            digest.update(b"\n".join((*films, b"")))
            out.writelines(some)
    if not count:
        others = f"; left out: {', '.join(f'{kind} {n}' for kind, n in sorted(left_out.items()))}" if left_out else ""
        raise DataError(f"{source} holds no film", why=f"nothing was found there{others}", fix="check the path")
    for part in parts:
        part.unlink()
    return FilmList(place, count, digest.hexdigest(), dict(sorted(left_out.items())))


def _write_parts(found: _Found, folder: Path, pseudonyms: Pseudonyms | None) -> Iterator[Path]:
    records: list[bytes] = []
    size = number = 0
    for film, place in found:
        record = _record(pseudonyms.of(film) if pseudonyms else _text(film), place)
        records.append(record)
        size += len(record)
        if size >= SORTED_AT_ONCE:
            yield _write_part(records, folder / f"part-{number}")
            records, size, number = [], 0, number + 1
    if records:
        yield _write_part(records, folder / f"part-{number}")


def _write_part(records: list[bytes], place: Path) -> Path:
    records.sort()
    with place.open("wb") as file:
        file.writelines(records)
    return place


def _twice(source: str, before: int, pseudonyms: Pseudonyms | None) -> DataError:
    """Say that a film is named twice; by its place in the order and not by its name."""
    order = f"in the order of {'pseudonyms' if pseudonyms else 'ids'}"
    return DataError(
        f"{source} names one film twice",
        why=f"it is number {before:,} {order}, and each film has one row in the results",
        fix="remove the second, or give each row of the table an id of its own in a column named id",
    )
