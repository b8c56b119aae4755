"""One film and one set of films, as every adapter gives them and training reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tbconv.contract.errors import DataError
from tbconv.contract.labels import Labels

SUFFIXES = (".png", ".jpg", ".jpeg")
MASK_FOLDERS = ("mask", "masks")
IMAGE_FOLDERS = ("image", "images")
SYNTHETIC_MARK = "SYNTHETIC.txt"  # a folder that holds this file holds phantoms


@dataclass(frozen=True, slots=True)
class Film:
    """One film: where it is and what its folder, name or table says of it."""

    path: Path
    label: int  # 0 negative, 1 positive
    patient: str  # films with the same key are of one person
    site: str | None = None
    age: float | None = None  # years
    sex: str | None = None  # "F", "M" or "O"
    mask: Path | None = None

    def __post_init__(self) -> None:
        if self.label not in (0, 1):
            raise ValueError(f"label must be 0 or 1, got {self.label!r}")


@dataclass(frozen=True, slots=True)
class FilmIndex:
    """The films of one folder, sorted by path, with their labels and what to know of them."""

    root: Path
    layout: str  # which known layout it is, in words
    labels: Labels
    films: tuple[Film, ...]
    patients_known: bool  # False: a film counts as a patient
    notes: tuple[str, ...] = ()  # what was guessed, left out or not known
    synthetic: bool = False  # phantoms, no patients
    label_source: str = "the folder names"  # where the labels stand, in words

    def count(self, label: int) -> int:
        """Return how many films have this label."""
        return sum(film.label == label for film in self.films)

    def name_of(self, film: Film) -> str:
        """Return a film's path inside the set, with forward slashes."""
        return self.name_of_path(film.path)

    def name_of_path(self, path: Path) -> str:
        """Return a path inside the set, with forward slashes."""
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()


def require_both_classes(index: FilmIndex) -> None:
    """Raise DataError where one of the two classes has no film."""
    for label, name in enumerate(index.labels.names):
        if not index.count(label):
            raise DataError(
                f"{index.root} has no film of the class {name}",
                why=f"all {len(index.films)} films are {index.labels.names[1 - label]} by {index.label_source}",
                fix="add films of the other class; a classifier needs both",
            )


def list_films(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files under a folder, sorted; masks and hidden files are not films."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if _is_film_place(path.relative_to(folder)))


def _is_film_place(path: Path) -> bool:
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return not hidden and not any(part.lower() in MASK_FOLDERS for part in path.parts[:-1])


def visible_folders(folder: Path) -> list[Path]:
    """Return the folders right inside a folder, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def find_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the folder of `root` with one of these names, in any case; None where there is none."""
    return next((path for path in visible_folders(root) if path.name.lower() in names), None)


def find_masks(root: Path) -> dict[str, Path]:
    """Return the masks beside the films by the stem of their film (`1000` of `1000.png` or `1000_mask.png`)."""
    folder = find_folder(root, MASK_FOLDERS)
    if folder is None:
        return {}
    masks = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    return {path.stem.removesuffix("_mask"): path for path in masks}


def some(names: list[str], at_most: int = 5) -> str:
    """Return the first names of a list and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def repeated(values: list[str]) -> list[str]:
    """Return the values that occur more than once, sorted."""
    return sorted(value for value, count in Counter(values).items() if count > 1)
