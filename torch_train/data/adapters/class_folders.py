"""One folder a class, under any two names."""

from __future__ import annotations

from pathlib import Path

from tbconv.contract.errors import DataError
from torch_train.data.film import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    SYNTHETIC_MARK,
    Film,
    FilmIndex,
    find_masks,
    list_films,
    some,
    visible_folders,
)
from torch_train.data.polarity import choose_labels

PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def read_class_folders(root: Path, positive: str | None) -> FilmIndex | None:
    """Read one folder a class; None where the folder holds no folders of films.

    Raises:
        DataError: one class, more than two, folders that are parts of a split, or names that say nothing.
    """
    folders = {path.name: list_films(path) for path in visible_folders(root) if _may_be_class(path.name)}
    folders = {name: paths for name, paths in folders.items() if paths}
    if not folders:
        return None
    _refuse_parts(root, list(folders))
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


def _may_be_class(name: str) -> bool:
    return name.lower() not in (*MASK_FOLDERS, *IMAGE_FOLDERS)


def _refuse_parts(root: Path, names: list[str]) -> None:
    parts = [name for name in names if name.lower() in PARTS]
    if parts:
        raise DataError(
            f"{root} is cut into {', '.join(parts)}",
            why="these are parts of a split, not classes; tbconv makes its own split, by patient",
            fix=f"name the part to read: {root / parts[0]}",
        )


def _left_out(root: Path, folders: dict[str, list[Path]]) -> tuple[str, ...]:
    known = {path for paths in folders.values() for path in paths}
    others = (path for name in sorted(folders) for path in sorted((root / name).rglob("*")))
    names = [path.name for path in others if path.is_file() and path not in known and path.name[0] != "."]
    return (f"{len(names)} files are no PNG or JPEG films and are left out: {some(names)}",) if names else ()
