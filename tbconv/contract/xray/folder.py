"""The one walk through a folder, a CD or an archive: every file once, and its bytes say whether it is a film.

Training, `data check`, `predict`, `evaluate`, `audit` and `verify` all list films here, so none of them can leave out
what another one reads. A film inside a zip or tar archive has a path like any other: `set.zip/Normal/a.png`.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from tbconv.contract.errors import DataError, some
from tbconv.contract.files import refuse_as_films
from tbconv.contract.xray.archive import (
    ARCHIVE_FAULTS,
    INSIDE,
    LEADS_OUT,
    begins_archive,
    is_archive,
    members,
    read_head,
    read_member,
    unreadable,
)
from tbconv.contract.xray.kinds import JPEG_START, PNG_START, UNKNOWN, looks_like_dicom, what_it_is

FILM_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")  # a file of such a name is meant to be a film
MASK_FOLDERS = ("mask", "masks", "manualmask", "leftmask", "rightmask")
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "ds_store")
SYSTEM = "a hidden file of the operating system"
MASK = "a mask"
DICOMDIR = "a DICOM folder index (DICOMDIR)"
HEAD_BYTES = 1024  # read of each file; a DICOM file says within the first 400 what it holds
# Media storage classes (DICOM PS3.4 B.5, PS3.3 F) that hold no picture.
_NO_PICTURE = {
    "1.2.840.10008.1.3.10": DICOMDIR,
    "1.2.840.10008.5.1.4.1.1.88.": "a DICOM report",
    "1.2.840.10008.5.1.4.1.1.11.": "a DICOM presentation state",
    "1.2.840.10008.5.1.4.1.1.104.": "a document inside DICOM",
    "1.2.840.10008.5.1.4.1.1.9.": "a DICOM waveform",
    "1.2.840.10008.5.1.4.1.1.66": "DICOM raw or derived data without a picture",
    "1.2.840.10008.5.1.4.1.1.481.3": "a radiotherapy structure set",
    "1.2.840.10008.5.1.4.1.1.481.5": "a radiotherapy plan",
}
_CLASS_UID = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)  # (0002,0002) Media Storage SOP Class UID


@dataclass(frozen=True, slots=True)
class FilmTree:
    """What is under a folder, each file once."""

    root: Path
    films: tuple[Path, ...]  # sorted; PNG, JPEG and DICOM by their bytes, and what is called so and is damaged
    others: dict[Path, str]  # path to what it is, in words; sorted

    @property
    def masks(self) -> tuple[Path, ...]:
        """Pictures in a folder of masks."""
        return tuple(path for path, kind in self.others.items() if kind == MASK)

    def is_system(self, path: Path) -> bool:
        """Whether a file is one that operating systems leave in folders."""
        return self.others.get(path) == SYSTEM

    def under(self, folder: Path) -> FilmTree:
        """Return what is under a folder inside."""
        depth = len(folder.parts)
        films = tuple(path for path in self.films if path.parts[:depth] == folder.parts)
        return FilmTree(
            folder, films, {path: kind for path, kind in self.others.items() if path.parts[:depth] == folder.parts}
        )

    def named(self, *names: str) -> list[Path]:
        """Return the other files with one of these names, in any case."""
        return [path for path in self.others if path.name.casefold() in names and not self.is_system(path)]

    def left_out(self, used: Iterable[Path] = ()) -> dict[Path, str]:
        """Return what is neither a film, a mask, nor one of the files that were used."""
        kept = set(used)
        return {path: kind for path, kind in self.others.items() if kind != MASK and path not in kept}


def walk_films(root: Path) -> FilmTree:
    """List what is under a folder or in an archive, links followed, in the order of the paths.

    Raises:
        DataError: the folder cannot be opened, is a bundle or a run, or the archive is damaged or holds too many files;
            one that lies in a folder is then no film.
    """
    refuse_as_films(root)
    films: list[Path] = []
    others: dict[Path, str] = {}
    for path, kind in _files(root):
        inside = parts_inside(path, root)
        by_name = left_out_by_name(inside)
        if by_name == SYSTEM or (kind is None and by_name):
            others[path] = by_name
        elif kind is None:
            films.append(path)
        else:
            others[path] = kind
    return FilmTree(root, tuple(sorted(films)), dict(sorted(others.items())))


def left_out_by_name(inside: Sequence[str]) -> str | None:
    """Return what a file is that its place alone says to be no film, in words: a mask, or one of the system's.

    Args:
        inside: the parts of its path under the root.
    """
    *folders, name = inside
    above = _of_folders(tuple(folders))
    if above == SYSTEM or _is_system_name(name):
        return SYSTEM
    return above


@lru_cache(maxsize=1024)
def _of_folders(folders: tuple[str, ...]) -> str | None:
    """Return what everything in a folder is by its place; a million films of one folder ask once."""
    if any(part.startswith(".") or part == "__MACOSX" for part in folders):
        return SYSTEM
    return MASK if any(part.casefold() in MASK_FOLDERS for part in folders) else None


def _is_system_name(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX" or name.casefold() in SYSTEM_FILES


def parts_inside(path: Path, root: Path) -> tuple[str, ...]:
    """Return the parts of a path under a root, without asking again whether it is: sets have 400,000 films."""
    return path.parts[len(root.parts) :]


def name_inside(path: Path, root: Path) -> str:
    """Return the path of what is under a root from there, with forward slashes."""
    return "/".join(parts_inside(path, root))


def words_of(left_out: dict[Path, str], root: Path) -> str:
    """Return what is no film, counted by kind and named: `3 files are no films: 2 PDFs (a.pdf, b.pdf), ...`."""
    if not left_out:
        return "it holds no file"
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, kind in left_out.items():
        kinds[kind].append(path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path))
    return _listed(len(left_out), [f"{kind} ({some(names, 3)})" for kind, names in sorted(kinds.items())])


def kinds_of(left_out: dict[Path, str]) -> str:
    """Return what is no film, counted by kind, without a name: `3 files are no films and left out: a PDF 2, ...`."""
    return _listed(len(left_out), [f"{kind} {count}" for kind, count in sorted(Counter(left_out.values()).items())])


def _listed(count: int, kinds: list[str]) -> str:
    return f"{count} {'file is no film' if count == 1 else 'files are no films'} and left out: {'; '.join(kinds)}"


def refuse_others(left_out: dict[Path, str], root: Path) -> None:
    """Raise DataError where something is left out: `--strict`."""
    if left_out:
        raise DataError(
            f"{root} holds more than films",
            why=words_of(left_out, root),
            fix="remove these files, or omit --strict to leave them out",
        )


def kind_of(head: bytes, name: str) -> str | None:
    """Return what a file is by its first bytes, in words; None where it is a film, or is called one.

    Args:
        head: its first `HEAD_BYTES`, all of a smaller one.
        name: with its suffix.
    """
    if head.startswith((PNG_START, JPEG_START)):
        return None
    if looks_like_dicom(head):
        found = _CLASS_UID.search(head[132:])
        uid = found[1].decode() if found else ""
        return next((kind for start, kind in _NO_PICTURE.items() if uid.startswith(start)), None)
    if name.casefold().endswith(FILM_SUFFIXES):
        return None  # the decoder says what is wrong with it
    other = what_it_is(head) if head else "empty"
    return "of an unknown kind" if other == UNKNOWN else other


# --- files and archives ---


def _files(root: Path) -> Iterator[tuple[Path, str | None]]:
    if root.is_file():
        yield from _members(root)
        return
    for place, fault in walk_names(root):
        path = Path(place)
        if fault:
            yield path, fault
            continue
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            yield path, None if path.name.casefold().endswith(FILM_SUFFIXES) else f"unreadable ({error.strerror})"
            continue
        try:
            packed = tuple(_members(path)) if is_archive(path, head) else None
        except DataError as error:
            yield path, f"a damaged archive ({error.why})"
            continue
        yield from ((path, kind_of(head, path.name)),) if packed is None else packed


def walk_names(root: Path, *, ordered: bool = True) -> Iterator[tuple[str, str]]:
    """Yield the path of every file under a folder, and why it is none that can be opened, without opening any.

    Args:
        root: links to folders are followed, but for those that lead back up.
        ordered: by name within each folder, which keeps a folder's names in memory; else as the system has them.

    Raises:
        DataError: the folder cannot be opened.
    """
    yield from _walk(str(root), (), ordered=ordered)


def _walk(folder: str, above: tuple[tuple[int, int], ...], *, ordered: bool) -> Iterator[tuple[str, str]]:
    try:
        state = Path(folder).stat()
        entries = os.scandir(folder)
    except OSError as error:
        why = error.strerror or str(error)
        if above:
            yield folder, f"a folder that cannot be opened ({why})"
            return
        raise DataError(f"{folder} cannot be opened", why=why, fix="check the path and its permissions") from error
    here = (state.st_dev, state.st_ino)
    with entries:
        if here in above:
            return
        for entry in sorted(entries, key=lambda entry: entry.name) if ordered else entries:
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError as error:  # a link to itself, or one through a folder that may not be entered
                yield entry.path, f"a link that cannot be followed ({error.strerror or error})"
                continue
            if is_folder:
                yield from _walk(entry.path, (*above, here), ordered=ordered)
            elif is_file:
                yield entry.path, ""
            else:
                yield entry.path, "a link that leads nowhere" if entry.is_symlink() else "a device or pipe"


def _members(path: Path) -> Iterator[tuple[Path, str | None]]:
    for _, member in sorted({one.name: one for one in members(path)}.items()):
        inside = PurePosixPath(member.name)
        if member.leads_out:
            yield path / inside.name, LEADS_OUT
            continue
        place = path.joinpath(*inside.parts)
        try:
            head = read_head(path, member, HEAD_BYTES)
        except ARCHIVE_FAULTS as error:
            yield place, f"unreadable inside its archive ({error})"
            continue
        yield place, INSIDE if begins_archive(head, member.name) else kind_of(head, inside.name)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, also of one inside an archive.

    Raises:
        FilmError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except NotADirectoryError as error:
        archive = next((place for place in path.parents if place.is_file()), None)
        if archive is None:
            raise unreadable(path, error.strerror or str(error)) from error
        return read_member(archive, path.relative_to(archive).as_posix())
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
