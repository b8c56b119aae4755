"""The known layouts of a data set; each reads a folder into a `FilmIndex`, or returns None for another layout."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import DataError, FilmError, some
from tbconv.contract.manifest import Labels
from tbconv.contract.xray import read_xray
from torch_train.data.records import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    SYNTHETIC_MARK,
    Film,
    FilmIndex,
    choose_labels,
    find_folder,
    find_masks,
    list_films,
    parse_age,
    parse_person,
    parse_sex,
    repeated,
    visible_folders,
)

# --- class folders ---
# One folder a class, under any two names.

PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def read_class_folders(root: Path, positive: str | None) -> FilmIndex | None:
    """Read one folder a class; None where the folder holds no folders of films.

    Raises:
        DataError: one class, more than two, folders that are parts of a split, or names of unknown meaning.
    """
    candidates = [path for path in visible_folders(root) if path.name.lower() not in (*MASK_FOLDERS, *IMAGE_FOLDERS)]
    folders = {path.name: paths for path in candidates if (paths := list_films(path))}
    if not folders:
        return None
    if parts := [name for name in folders if name.lower() in PARTS]:
        raise DataError(
            f"{root} is split into {', '.join(parts)}",
            why="these are parts of a split, not classes; tbconv makes its own split, by patient",
            fix=f"name the part to read: {root / parts[0]}",
        )
    labels, notes = choose_labels(folders, positive, source=f"the folders of {root}")
    masks = find_masks(root)
    return FilmIndex(
        root=root,
        layout="one folder a class",
        labels=labels,
        films=tuple(
            Film(path, labels.names.index(name), path.relative_to(root).as_posix(), mask=masks.get(path.stem))
            for name in sorted(folders)
            for path in folders[name]
        ),
        patients_known=False,
        notes=(*notes, *_left_out(root, folders)),
        synthetic=(root / SYNTHETIC_MARK).is_file(),
        label_source=f"the folders {labels.negative}/ and {labels.positive}/",
    )


def _left_out(root: Path, folders: dict[str, list[Path]]) -> tuple[str, ...]:
    known = {path for paths in folders.values() for path in paths}
    others = (path for name in sorted(folders) for path in sorted((root / name).rglob("*")))
    names = [path.name for path in others if path.is_file() and path not in known and path.name[0] != "."]
    return (f"{len(names)} files are no PNG or JPEG films and are left out: {some(names)}",) if names else ()


# --- table ---
# CSV as spreadsheets export it: a byte-order mark, odd capitals and spaces in the header, short rows.

Row = dict[str, str]  # lower-case column to stripped cell
ABSENT = frozenset({"", "nan", "none", "null", "na", "n/a"})


def read_rows(path: Path) -> list[Row]:
    """Return the rows that are not blank; empty cells and NaN are ''."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = [_clean(row) for row in csv.DictReader(file)]
    return [row for row in rows if any(row.values())]


def read_columns(path: Path) -> set[str]:
    """Return the lower-case column names of a table."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return {name.strip().lower() for name in next(csv.reader(file), [])}


def list_tables(folder: Path) -> list[Path]:
    """Return the CSV files right inside a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.name[0] != ".")


def _clean(row: dict[str, str]) -> Row:
    pairs = ((key.strip().lower(), (value or "").strip()) for key, value in row.items() if isinstance(key, str))
    return {key: "" if value.lower() in ABSENT else value for key, value in pairs}


def _require_once(films: list[str], table: Path) -> None:
    """Raise DataError where a table names a film twice."""
    if twice := repeated(films):
        raise DataError(
            f"{table.name} names {len(twice)} films more than once: {some(twice)}",
            why="one film cannot have two rows",
            fix="delete the rows that are wrong",
        )


def _without_a_row(names: list[str], table: Path) -> tuple[str, ...]:
    return (f"{len(names)} films have no row in {table.name} and are left out: {some(names)}",) if names else ()


# --- film table ---
# Any CSV with the columns `file` and `label`; `patient_id`, `site`, `age` and `sex` where known.

COLUMNS = "file,label[,patient_id,site,age,sex]"


def read_table_set(root: Path, positive: str | None) -> FilmIndex | None:
    """Read the films that a table names; None where no table has the columns.

    Raises:
        DataError: two such tables, rows without a label, files that are missing or named twice.
    """
    tables = [path for path in list_tables(root) if {"file", "label"} <= read_columns(path)]
    if not tables:
        return None
    if len(tables) > 1:
        raise DataError(
            f"{len(tables)} tables name films: {some([path.name for path in tables])}",
            why="it is not clear which of them holds the labels",
            fix="keep one of them in this folder",
        )
    table, rows = tables[0], read_rows(tables[0])
    _check_rows(root, table, rows)
    names = {row["label"] for row in rows}
    labels, notes = choose_labels(names, positive, source=f"the labels of {table.name}")
    masks = find_masks(root)
    films = [_film_of_table_row(root, row, labels, masks) for row in rows]
    nameless = sum(not row.get("patient_id") for row in rows)
    if 0 < nameless < len(rows):
        notes = (*notes, f"{nameless} rows of {table.name} have no patient_id: each counts as a patient")
    named = {film.path for film in films}
    notes += _without_a_row([path.name for path in list_films(root) if path not in named], table)
    return FilmIndex(
        root=root,
        layout=f"table {table.name}",
        labels=labels,
        films=tuple(sorted(films, key=lambda film: film.path)),
        patients_known=nameless < len(rows),
        notes=notes,
        synthetic=(root / SYNTHETIC_MARK).is_file(),
        label_source=f"the column label of {table.name}",
    )


def _film_of_table_row(root: Path, row: Row, labels: Labels, masks: dict[str, Path]) -> Film:
    path = root / row["file"]
    age, sex = parse_person(row.get("age"), row.get("sex"))
    patient, site = row.get("patient_id") or row["file"], row.get("site") or None
    return Film(path, labels.names.index(row["label"]), patient, site, age, sex, masks.get(path.stem))


def _check_rows(root: Path, table: Path, rows: list[Row]) -> None:
    if not rows:
        raise DataError(f"{table.name} has no rows", why="a table names the films", fix=f"fill its columns {COLUMNS}")
    if unlabelled := [row["file"] or "a row without a file" for row in rows if not row["label"] or not row["file"]]:
        raise DataError(
            f"{table.name} has {len(unlabelled)} rows without a file or label: {some(unlabelled)}",
            why="a film without a label can be neither trained on nor tested on",
            fix="fill these cells, or delete these rows",
        )
    _require_once([row["file"] for row in rows], table)
    if missing := [row["file"] for row in rows if not (root / row["file"]).is_file()]:
        raise DataError(
            f"{table.name} names {len(missing)} files that are not there: {some(missing)}",
            why=f"its paths are read from {root}",
            fix="copy the missing films there, correct the paths, or delete these rows",
        )


# --- metadata csv ---
# The users' layout: `image/1000.png`, `mask/1000.png` and `MetaData.csv` with the label in `ptb`.

LABELS = Labels("normal", "tuberculosis")
PHANTOM_LABELS = Labels("synthetic-normal", "synthetic-opacity")  # no phantom has a disease
_LABEL_OF = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def find_metadata(root: Path) -> Path | None:
    """Return the table of this layout, or None where the folder is of another kind."""
    tables = [path for path in list_tables(root) if path.name.lower() == "metadata.csv"]
    fits = tables and {"id", "ptb"} <= read_columns(tables[0]) and find_folder(root, IMAGE_FOLDERS) is not None
    return tables[0] if fits else None


def read_metadata_set(root: Path) -> FilmIndex | None:
    """Read the users' layout; None where the folder is of another kind.

    Raises:
        DataError: labels other than 0 and 1, ids that occur twice, or rows whose film is missing.
    """
    table, images = find_metadata(root), find_folder(root, IMAGE_FOLDERS)
    if table is None or images is None:
        return None
    rows = {stem_of(row): row for row in read_rows(table)}
    _check_labels(table)
    paths = {path.stem: path for path in list_films(images)}
    _check_ids(table, paths, images)
    masks = find_masks(root)
    films = [_film_of_metadata_row(paths[stem], row, masks.get(stem)) for stem, row in rows.items()]
    synthetic = (root / SYNTHETIC_MARK).is_file()
    return FilmIndex(
        root=root,
        layout=f"{images.name}/ and {table.name}",
        labels=PHANTOM_LABELS if synthetic else LABELS,
        films=tuple(sorted(films, key=lambda film: film.path)),
        patients_known=False,
        notes=_without_a_row([path.name for stem, path in paths.items() if stem not in rows], table),
        synthetic=synthetic,
        label_source=f"the column ptb of {table.name}",
    )


def stem_of(row: Row) -> str:
    """Return the file stem that a row's id stands for: `1000`, `1000.0` and `1000.png` are the same."""
    name = row["id"]
    return Path(name).stem if name.lower().endswith((".png", ".jpg", ".jpeg", ".0")) else name


def _film_of_metadata_row(path: Path, row: Row, mask: Path | None) -> Film:
    age, sex = parse_person(row.get("age"), row.get("gender") or row.get("sex"))
    site = row.get("county") or None
    return Film(path, _LABEL_OF[row["ptb"]], path.name, site=site, age=age, sex=sex, mask=mask)


def _check_labels(table: Path) -> None:
    wrong = [f"{row['id']} ({row['ptb'] or 'empty'})" for row in read_rows(table) if row["ptb"] not in _LABEL_OF]
    if wrong:
        raise DataError(
            f"{table.name} has {len(wrong)} rows whose ptb is neither 0 nor 1: {some(wrong)}",
            why="a film without a label can be neither trained on nor tested on",
            fix="write 0 (normal) or 1 (tuberculosis) there, or delete these rows",
        )


def _check_ids(table: Path, paths: dict[str, Path], images: Path) -> None:
    stems = [stem_of(row) for row in read_rows(table)]
    _require_once(stems, table)
    if missing := [stem for stem in stems if stem not in paths]:
        raise DataError(
            f"{table.name} names {len(missing)} films that are not in {images.name}/: {some(missing)}",
            why=f"{images.name}/ holds {len(paths)} films, the table {len(stems)} rows",
            fix="copy the missing films there, or delete their rows",
        )


# --- nlm names ---
# The names of the National Library of Medicine: `CHNCXR_0001_0.png`, `MCUCXR_0001_1.png`.
#
# The last digit is the label. A clinical reading (`CHNCXR_0001_0.txt`) gives age and sex
# where it lies anywhere in the folder, as in the published archives.

_NAME = re.compile(r"(CHNCXR|MCUCXR)_\d+_([01])$")
_SITES = {"CHNCXR": "Shenzhen", "MCUCXR": "Montgomery"}
_MASK_PLACES = ("ManualMask",)  # Montgomery's own folder of left and right lung masks
_READING_SEX = re.compile(r"\b(female|femal|male|f|m)\b", re.IGNORECASE)
_READING_AGE = re.compile(r"(?<!\w)(?:fe)?(?:male?)?\s*(\d+\s*(?:y|m|w|d)\w*)", re.IGNORECASE)


def read_nlm_set(root: Path) -> FilmIndex | None:
    """Read films whose names hold site and label; None where most names are of another kind."""
    paths = [path for path in list_films(root) if not set(_MASK_PLACES) & set(path.parts)]
    named = [path for path in paths if _NAME.match(path.stem)]
    if not named or 2 * len(named) <= len(paths):
        return None
    other = [path.name for path in paths if not _NAME.match(path.stem)]
    readings = {path.stem: path for path in root.rglob("*CXR_*.txt")}
    masks = find_masks(root)
    return FilmIndex(
        root=root,
        layout="NLM names",
        labels=Labels("normal", "tuberculosis"),
        films=tuple(_film_of_nlm_name(path, readings.get(path.stem), masks.get(path.stem)) for path in named),
        patients_known=False,
        notes=(f"{len(other)} films have other names and are left out: {some(other)}",) if other else (),
        label_source="the last digit of the file names",
    )


def _film_of_nlm_name(path: Path, reading: Path | None, mask: Path | None) -> Film:
    found = _NAME.match(path.stem)
    if found is None:
        raise ValueError(f"{path.name} is no NLM name")
    text = reading.read_text(encoding="utf-8", errors="replace") if reading else ""
    sex, age = _READING_SEX.search(text), _READING_AGE.search(text)
    return Film(
        path,
        int(found[2]),
        path.name,
        site=_SITES[found[1]],
        age=parse_age(age[1]) if age else None,
        sex=parse_sex(sex[1]) if sex else None,
        mask=mask,
    )


# --- masks ---
# Labels from masks of lesions, and the refusal to read lung fields as lesions.
#
# A mask of the lungs is there for the healthy and the sick alike: "any white pixel" would call
# every film positive. Lung fields are recognised: nearly every film has them, as one or two large
# regions that cover a good part of the film.

# The lungs of openist's 275 masks cover 15-46 % of the film (median 29 %), in two regions each.
LUNG_SHARE = (0.10, 0.50)  # of the film, all regions together
LUNG_REGIONS = (1, 2)  # regions that hold more than a tenth of the mask: both lungs, or both in one
MOST_FILMS = 0.5  # above this share of films with lung-like masks, the set is one of lung fields
MARKED = 127  # a mask's grey value above this is marked; JPEG and resizing blur 0 and 255
COARSE_SIDE = 256  # pixels; large regions are counted at about this side, where it takes 2 ms and not 200
SPECK = 1e-5  # of the film; smaller areas are compression noise, not drawings (10 pixels of 1000 x 1000)


@dataclass(frozen=True, slots=True)
class MaskShape:
    """What a mask marks."""

    share: float  # of the film's area, 0..1
    large_regions: int  # connected regions that hold more than a tenth of what is marked

    @property
    def is_lung_like(self) -> bool:
        """Whether one or two large regions cover as much of the film as lungs do."""
        low, high = LUNG_SHARE
        return low <= self.share <= high and self.large_regions in LUNG_REGIONS

    @property
    def marks_something(self) -> bool:
        """Whether more than noise is marked."""
        return self.share > SPECK


def measure_mask(mask: NDArray[np.uint8]) -> MaskShape:
    """Measure what a mask marks.

    Args:
        mask: uint8 [H, W], marked where above 127.
    """
    from scipy import ndimage

    marked = mask > MARKED
    step = max(1, max(marked.shape) // COARSE_SIDE)
    regions, _ = ndimage.label(marked[::step, ::step])
    sizes = np.bincount(regions.ravel())[1:]
    return MaskShape(float(marked.mean()), int((sizes > 0.1 * sizes.sum()).sum()))


def labels_from_masks(root: Path) -> FilmIndex:
    """Label a film positive where its lesion mask marks anything.

    Args:
        root: a folder with `image/` and `mask/`; a MetaData.csv gives site, age and sex.

    Raises:
        DataError: no masks, films without one, masks that cannot be read, or masks of lung fields.
    """
    films, masks = _pair(root)
    shapes = {}
    for film in films:
        mask = masks[film.path.stem]
        try:
            shapes[film.path] = measure_mask(read_xray(mask))
        except FilmError as error:
            raise DataError(f"the mask {mask.name} cannot be read", why=error.one_line, fix=error.fix) from error
    lung_like = sum(shape.is_lung_like for shape in shapes.values())
    if lung_like > MOST_FILMS * len(films):
        table = find_metadata(root)
        other = "sort the films into one folder a class, or add a MetaData.csv with the columns id and ptb"
        raise DataError(
            f"{lung_like} of {len(films)} masks are lung fields, not lesions",
            why="one or two large regions cover 10-50 % of the film, of the healthy and the sick alike",
            fix=f"use the column ptb of {table.name}: omit --labels-from-masks" if table else other,
        )
    labelled = (
        replace(film, label=int(shapes[film.path].marks_something), mask=masks[film.path.stem]) for film in films
    )
    return FilmIndex(
        root=root,
        layout="films and lesion masks",
        labels=Labels("no lesion", "lesion"),
        films=tuple(labelled),
        patients_known=False,
        notes=("labels are from masks: a film is positive where its mask marks anything",),
        label_source="the lesion masks",
    )


def _pair(root: Path) -> tuple[list[Film], dict[str, Path]]:
    images, masks = find_folder(root, IMAGE_FOLDERS), find_masks(root)
    if images is None or not masks:
        raise DataError(
            f"{root} has no image/ and mask/ folders",
            why="--labels-from-masks reads mask/NAME.png for image/NAME.png",
            fix="omit the option, or move films and masks into these two folders",
        )
    index = read_metadata_set(root)
    known = {film.path: film for film in (index.films if index else ())}
    films = [known.get(path, Film(path, 0, path.name)) for path in list_films(images)]
    if bare := [film.path.name for film in films if film.path.stem not in masks]:
        raise DataError(
            f"{len(bare)} films have no mask: {some(bare)}",
            why="a missing mask may mean healthy or not drawn yet",
            fix="add a mask for each film, all black where there is no lesion",
        )
    return films, masks
