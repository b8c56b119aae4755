"""Any CSV with the columns `file` and `label`; `patient_id`, `site`, `age` and `sex` where known."""

from __future__ import annotations

from pathlib import Path

from tbconv.contract.errors import DataError
from tbconv.contract.labels import Labels
from torch_train.data.adapters.table import Row, list_tables, read_columns, read_rows
from torch_train.data.demographics import parse_person
from torch_train.data.film import SYNTHETIC_MARK, Film, FilmIndex, find_masks, list_films, repeated, some
from torch_train.data.polarity import choose_labels

COLUMNS = "file,label[,patient_id,site,age,sex]"


def read_table_set(root: Path, positive: str | None) -> FilmIndex | None:
    """Read the films that a table names; None where no table has the columns.

    Raises:
        DataError: two such tables, rows without a label, files that are missing or named twice.
    """
    tables = [path for path in list_tables(root) if {"file", "label"} <= read_columns(path)]
    if not tables:
        return None
    _check_one(tables)
    table, rows = tables[0], read_rows(tables[0])
    _check_rows(root, table, rows)
    names = {row["label"] for row in rows}
    labels, notes = choose_labels(names, positive, source=f"the labels of {table.name}")
    masks = find_masks(root)
    films = [_film(root, row, labels, masks) for row in rows]
    nameless = sum(not row.get("patient_id") for row in rows)
    if 0 < nameless < len(rows):
        notes = (*notes, f"{nameless} rows of {table.name} have no patient_id: each counts as a patient")
    named = {film.path for film in films}
    if extra := [path.name for path in list_films(root) if path not in named]:
        notes = (*notes, f"{len(extra)} films have no row in {table.name} and are left out: {some(extra)}")
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


def _film(root: Path, row: Row, labels: Labels, masks: dict[str, Path]) -> Film:
    path = root / row["file"]
    age, sex = parse_person(row.get("age"), row.get("sex"))
    patient, site = row.get("patient_id") or row["file"], row.get("site") or None
    return Film(path, labels.names.index(row["label"]), patient, site, age, sex, masks.get(path.stem))


def _check_one(tables: list[Path]) -> None:
    if len(tables) > 1:
        raise DataError(
            f"{len(tables)} tables name films: {some([path.name for path in tables])}",
            why="which of them holds the labels cannot be told",
            fix="keep one of them in this folder",
        )


def _check_rows(root: Path, table: Path, rows: list[Row]) -> None:
    if not rows:
        raise DataError(f"{table.name} has no rows", why="a table names the films", fix=f"fill its columns {COLUMNS}")
    if unlabelled := [row["file"] or "a row without a file" for row in rows if not row["label"] or not row["file"]]:
        raise DataError(
            f"{table.name} has {len(unlabelled)} rows without a file or label: {some(unlabelled)}",
            why="a film without a label can be neither trained on nor tested on",
            fix="fill these cells, or delete these rows",
        )
    if twice := repeated([row["file"] for row in rows]):
        raise DataError(
            f"{table.name} names {len(twice)} films more than once: {some(twice)}",
            why="one film cannot have two rows",
            fix="delete the rows that are wrong",
        )
    if missing := [row["file"] for row in rows if not (root / row["file"]).is_file()]:
        raise DataError(
            f"{table.name} names {len(missing)} files that are not there: {some(missing)}",
            why=f"its paths are read from {root}",
            fix="copy the missing films there, correct the paths, or delete these rows",
        )
