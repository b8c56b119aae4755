"""Films as pictures: every film of a folder as an 8-bit PNG of the very pixels that training and serving see."""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
from collections.abc import Container
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from PIL import Image

from tbconv.contract.errors import ConfigError, DataError, FilmError, Reporter
from tbconv.contract.files import atomic_file, write_atomic
from tbconv.contract.xray import decode_xray, read_bytes
from tbconv.contract.xray.folder import refuse_others, walk_films, words_of
from tbconv.contract.xray.kinds import looks_like_dicom

LISTING = "films.csv"  # file,patient_id,study_id,age,sex: ready for a column `label`


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    films: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]


def export_films(folder: Path, out: Path, reporter: Reporter, *, strict: bool = False) -> Exported:
    """Write each film as PNG under the same path, and a table of whom the DICOM files are of, as digests.

    Args:
        folder: films of any kind; also a zip or tar archive, or a DICOM CD.
        out: a folder that is new or empty.
        reporter: where progress and what is left out go.
        strict: refuse a folder that holds anything but films.

    Raises:
        ConfigError: `out` holds something.
        DataError: there is no film, or more than films where `strict` forbids it.
    """
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(
            f"{out} is not empty", why="its files could be mixed up with the films", fix="name a new folder: --png NEW"
        )
    tree = walk_films(folder)
    left_out = tree.left_out()
    if not tree.films:
        why = words_of(left_out, folder) if left_out else "it is empty"
        raise DataError(f"{folder} has no PNG, JPEG or DICOM film", why=why, fix="give the folder that holds the films")
    if strict:
        refuse_others(left_out, folder)
    if left_out:
        reporter.say(words_of(left_out, folder))
    rows: list[tuple[str, ...]] = []
    written: dict[Path, None] = {}  # in order, and asked of each film
    salt = secrets.token_bytes(16)  # of this export, kept nowhere: nobody can try numbers against its digests
    unreadable: list[tuple[Path, str]] = []
    for path in reporter.track(tree.films, title="films", total=len(tree.films)):
        try:
            data = read_bytes(path)
            pixels = decode_xray(data, name=str(path))
        except FilmError as error:
            unreadable.append((path, error.one_line))
            reporter.say(f"left out: {error.one_line}")
            continue
        place = _free(out / path.relative_to(folder), written)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(place) as file:
            Image.fromarray(pixels).save(file, "PNG")  # nothing but pixels: no text, no tag
        written[place] = None
        rows.append((place.relative_to(out).as_posix(), *_person(data, salt)))
    if not written:
        first = unreadable[0][1]
        raise DataError(f"no film of {folder} can be read", why=f"the first one: {first}", fix="export them again")
    _write_listing(out / LISTING, rows)
    return Exported(tuple(written), tuple(unreadable))


def _free(path: Path, taken: Container[Path]) -> Path:
    """Return the path of a PNG: the film's own, numbered where films differ by their suffix alone."""
    name = path.name if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".dcm", ".dicom") else path.stem
    place = path.with_name(f"{name}.png")
    numbers = count(2)
    while place in taken:
        place = path.with_name(f"{name}-{next(numbers)}.png")
    return place


def _person(data: bytes, salt: bytes) -> tuple[str, str, str, str]:
    if not looks_like_dicom(data):
        return ("", "", "", "")
    from tbconv.contract.xray.dicom.person import read_person

    person = read_person(data)
    return (_salted(person.patient, salt), _salted(person.study, salt), person.age or "", person.sex or "")


def _salted(digest: str | None, salt: bytes) -> str:
    return hashlib.sha256(salt + digest.encode()).hexdigest()[: len(digest)] if digest else ""


def _write_listing(path: Path, rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("file", "patient_id", "study_id", "age", "sex"), *rows])
    write_atomic(path, text.getvalue().encode())
