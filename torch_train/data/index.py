"""From a folder that people have to the list of its films: tries each known layout in turn."""

from __future__ import annotations

from pathlib import Path

from tbconv.contract.errors import ConfigError, DataError
from torch_train.data.adapters.class_folders import read_class_folders
from torch_train.data.adapters.film_table import COLUMNS, read_table_set
from torch_train.data.adapters.metadata_csv import read_metadata_set
from torch_train.data.adapters.nlm_names import read_nlm_set
from torch_train.data.adapters.table import list_tables
from torch_train.data.film import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    SUFFIXES,
    Film,
    FilmIndex,
    find_folder,
    list_films,
    require_both_classes,
    visible_folders,
)
from torch_train.data.masks import labels_from_masks as index_by_masks
from torch_train.data.patients import name_patients

__all__ = ["Film", "FilmIndex", "read_index", "require_both_classes"]

LAYOUTS = f"known are image/ with MetaData.csv, one folder a class, NLM names (CHNCXR_0001_0.png) and a CSV {COLUMNS}"
DEEPEST = 3  # single folders around a set, as archives unpack: Chest-X-Ray/Chest-X-Ray/


def read_index(
    root: Path, *, patient: str | None = None, positive: str | None = None, labels_from_masks: bool = False
) -> FilmIndex:
    """List the films of a folder with their labels.

    Args:
        root: the folder, or one with a single folder around it.
        patient: regular expression on the file name; its first group that matched is the patient.
        positive: the class that is positive; None to guess it from well-known names.
        labels_from_masks: a film is positive where its lesion mask marks anything.

    Returns:
        The films sorted by path; both classes have at least one.

    Raises:
        DataError: there is no such folder, no film, no known layout, or labels that cannot be trained on.
        ConfigError: `patient` or `positive` does not fit the set.
    """
    folder = _unwrap(_require_folder(root))
    index = index_by_masks(folder) if labels_from_masks else _read_known_layout(folder, positive)
    if positive is not None and positive.lower() != index.labels.positive.lower():
        raise _wrong_positive(index, positive)
    require_both_classes(index)
    return name_patients(index, patient)


def _read_known_layout(root: Path, positive: str | None) -> FilmIndex:
    # tables first: who wrote one meant it, whatever the folders are called
    index = (
        read_metadata_set(root)
        or read_table_set(root, positive)
        or read_nlm_set(root)
        or read_class_folders(root, positive)
    )
    if index is None:
        raise _unknown_layout(root)
    return index


def _require_folder(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(
            f"{root} is no folder",
            why="it is a file" if root.exists() else "there is nothing of this name",
            fix="give the folder that holds the films",
        )
    return root


def _unwrap(root: Path) -> Path:
    for _ in range(DEEPEST):
        inside = visible_folders(root)
        files = [path for path in root.iterdir() if path.is_file() and path.suffix.lower() in (".csv", *SUFFIXES)]
        wraps = len(inside) == 1 and not files and bool(visible_folders(inside[0]) or list_tables(inside[0]))
        if not wraps or inside[0].name.lower() in IMAGE_FOLDERS:
            return root
        root = inside[0]
    return root


def _wrong_positive(index: FilmIndex, positive: str) -> ConfigError:
    return ConfigError(
        f"--positive {positive!r} does not fit this set",
        why=f"its labels are {index.labels.negative} and {index.labels.positive} by {index.label_source}",
        fix=f"leave --positive away, or give {index.labels.positive!r}",
    )


def _unknown_layout(root: Path) -> DataError:
    paths = list_films(root)
    if not paths:
        return DataError(f"{root} has no PNG or JPEG film", why=LAYOUTS, fix="give the folder that holds the films")
    if find_folder(root, IMAGE_FOLDERS) and find_folder(root, MASK_FOLDERS):
        return DataError(
            f"{root} has films and masks, but nothing that says which films are positive",
            why="there is no MetaData.csv with the columns id and ptb",
            fix="add it; --labels-from-masks only if the masks are drawings of lesions, not lung fields",
        )
    return DataError(
        f"{root} has {len(paths)} films and nothing that says which are positive",
        why=LAYOUTS,
        fix=f"sort the films into one folder a class, or write a CSV with the columns {COLUMNS}",
    )
