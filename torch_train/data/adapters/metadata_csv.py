"""The users' layout: `image/1000.png`, `mask/1000.png` and `MetaData.csv` with the label in `ptb`."""

from __future__ import annotations

from pathlib import Path

from tbconv.contract.errors import DataError
from tbconv.contract.labels import Labels
from torch_train.data.adapters.table import Row, list_tables, read_columns, read_rows
from torch_train.data.demographics import parse_person
from torch_train.data.film import (
    IMAGE_FOLDERS,
    SYNTHETIC_MARK,
    Film,
    FilmIndex,
    find_folder,
    find_masks,
    list_films,
    repeated,
    some,
)

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
    films = [_film(paths[stem], row, masks.get(stem)) for stem, row in rows.items()]
    synthetic = (root / SYNTHETIC_MARK).is_file()
    extra = [path.name for stem, path in paths.items() if stem not in rows]
    return FilmIndex(
        root=root,
        layout=f"{images.name}/ and {table.name}",
        labels=PHANTOM_LABELS if synthetic else LABELS,
        films=tuple(sorted(films, key=lambda film: film.path)),
        patients_known=False,
        notes=(f"{len(extra)} films have no row in {table.name} and are left out: {some(extra)}",) if extra else (),
        synthetic=synthetic,
        label_source=f"the column ptb of {table.name}",
    )


def stem_of(row: Row) -> str:
    """Return the file stem that a row's id stands for: `1000`, `1000.0` and `1000.png` are the same."""
    name = row["id"]
    return Path(name).stem if name.lower().endswith((".png", ".jpg", ".jpeg", ".0")) else name


def _film(path: Path, row: Row, mask: Path | None) -> Film:
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
    if twice := repeated(stems):
        raise DataError(
            f"{table.name} has ids that occur more than once: {some(twice)}",
            why="one film cannot have two rows",
            fix="delete the rows that are wrong",
        )
    if missing := [stem for stem in stems if stem not in paths]:
        raise DataError(
            f"{table.name} names {len(missing)} films that are not in {images.name}/: {some(missing)}",
            why=f"{images.name}/ holds {len(paths)} films, the table {len(stems)} rows",
            fix="copy the missing films there, or delete their rows",
        )
