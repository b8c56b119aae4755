"""The records of a data set: one film, one set of films, and the age and sex of patients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tbconv.contract.errors import LONGEST_NAME, ConfigError, DataError, printable, some
from tbconv.contract.manifest import Labels
from tbconv.contract.xray.folder import FilmTree, parts_inside

# --- film ---
# One film and one set of films, as every layout yields them and training reads them.

IMAGE_FOLDERS = ("image", "images")
SYNTHETIC_MARK = "SYNTHETIC.txt"  # a folder that holds this file holds phantoms

Part = Literal["train", "validation", "test"]  # of the split that a set was published with
PART_WORDS: dict[str, Part] = {
    "train": "train", "training": "train", "trainval": "train", "trainvalid": "train", "development": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "validate": "validation",
    "dev": "validation",
    "test": "test", "testing": "test", "tests": "test", "heldout": "test", "holdout": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Film:
    """One film: its path, and what its folder, name or table records."""

    path: Path
    label: int  # 0 negative, 1 positive
    patient: str  # films with the same key are of one person
    site: str | None = None
    age: float | None = None  # years
    sex: str | None = None  # "F", "M" or "O"
    mask: Path | None = None
    part: Part | None = None  # of the split that the set was published with; None: it has none
    targets: tuple[int, ...] = ()  # of several labels, one each: 1 has it, 0 has not, UNKNOWN; empty: two classes

    def __post_init__(self) -> None:
        if self.label not in (0, 1):
            raise ValueError(f"label must be 0 or 1, got {self.label!r}")


def contradict(films: Sequence[Film]) -> bool:
    """Whether copies of one film have different labels: of several, one that some have and others have not."""
    if films[0].targets:
        return any({0, 1} <= set(column) for column in zip(*(film.targets for film in films), strict=True))
    return len({film.label for film in films}) > 1


@dataclass(frozen=True, slots=True)
class FilmIndex:
    """The films of one folder, sorted by path, with their labels and notes."""

    root: Path
    layout: str  # which known layout it is, in words
    labels: Labels
    films: tuple[Film, ...]
    patients_known: bool  # False: a film counts as a patient
    patients_by_layout: bool = False  # by names that the layout knows, not by a table or --patient
    notes: tuple[str, ...] = ()  # what was guessed, left out or is not known
    synthetic: bool = False  # phantoms, no patients
    label_source: str = "the folder names"  # where the labels come from, in words
    used: tuple[Path, ...] = ()  # files beside the films that were read: tables, lists, clinical readings
    left_out: tuple[tuple[Path, str], ...] = ()  # what else is in the folder, and what it is: no films

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


def part_of_word(word: str | None) -> Part | None:
    """Return the part of a split that a word names; None where it names none."""
    return PART_WORDS.get(re.sub(r"[\W_]+", "", (word or "").casefold()))


def part_of_path(path: Path, root: Path) -> Part | None:
    """Return the part of a split that one of a film's folders names."""
    return next((part for name in parts_inside(path, root)[:-1] if (part := part_of_word(name))), None)


def find_folder(tree: FilmTree, names: tuple[str, ...]) -> Path | None:
    """Return the folder right under the root that holds something and has one of these names; None if there is none."""
    for path in (*tree.films, *tree.others):
        first, *rest = parts_inside(path, tree.root)
        if rest and first.casefold() in names and not tree.is_system(path):
            return tree.root / first
    return None


def find_masks(tree: FilmTree) -> dict[str, Path]:
    """Return the masks beside the films by the stem of their film (`1000` of `1000.png` or `1000_mask.png`)."""
    stems = Counter(path.stem.removesuffix("_mask") for path in tree.masks)  # left and right lung: neither is the mask
    return {stem: path for path in tree.masks if stems[stem := path.stem.removesuffix("_mask")] == 1}


def is_synthetic(tree: FilmTree) -> bool:
    """Whether the folder says that its films are drawn."""
    return tree.root / SYNTHETIC_MARK in tree.others


def repeated(values: list[str]) -> list[str]:
    """Return the values that occur more than once, sorted."""
    return sorted(value for value, count in Counter(values).items() if count > 1)


# --- notes ---


class Note(str):
    """A note that names files: itself for the one whose films they are, `unnamed` for what leaves the house."""

    __slots__ = ("unnamed",)
    unnamed: str

    def __new__(cls, text: str, unnamed: str) -> Note:
        """Keep both wordings."""
        self = super().__new__(cls, text)
        self.unnamed = unnamed
        return self

    def __reduce__(self) -> tuple[type[Note], tuple[str, str]]:
        """Return what it is made of: notes travel to the processes that fit folds."""
        return Note, (str(self), self.unnamed)


def naming(words: str, names: Sequence[str], most: int = 5) -> Note:
    """Return a note that ends with the first of the names that it counts."""
    return Note(f"{words}: {some(names, most)}", words)


def unnamed(index: FilmIndex, text: str) -> str:
    """Return a note, or another text of an index, without the name of a file or the path of the set.

    Names of tables and of other files of the set become `a file of the set`.
    """
    found = text.unnamed if isinstance(text, Note) else text
    paths = (*index.used, *(path for path, _ in index.left_out))
    for name in sorted({path.name for path in paths} | {index.name_of_path(path) for path in paths}, key=len)[::-1]:
        whole = rf"(?<!\w){re.escape(printable(name, most=LONGEST_NAME))}(?!\w)"
        found = re.sub(whole, "a file of the set", found)
    return found.replace(str(index.root), "the set")


# --- patients ---
# An anonymiser that wrote one number for everybody joins nobody.

MOST_OF_ONE = 0.5  # share of a set's films; a number that more of them carry is nobody's
FEWEST_OF_ONE = 5  # films


def telling(keys: Sequence[str | None]) -> list[str | None]:
    """Return numbers of patients or studies, film by film; None for one that most films carry, and for an empty one."""
    counts = Counter(key for key in keys if key)
    most = max(FEWEST_OF_ONE, MOST_OF_ONE * len(keys))
    return [key if key and counts[key] <= most else None for key in keys]


# --- demographics ---
# Age and sex as people write them in tables: `044`, `1yr`, `16month`, `male35`, `Female,`.

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(y|m|w|d)?", re.IGNORECASE)
_YEARS = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
OLDEST = 120.0  # years; a larger number is a typing error


def parse_age(text: str | None) -> float | None:
    """Return years, or None where the text holds no age a person can have."""
    found = _AGE.search(text or "")
    if found is None:
        return None
    years = float(found[1]) * _YEARS[(found[2] or "").lower()]
    return round(years, 3) if years <= OLDEST else None


def parse_sex(text: str | None) -> str | None:
    """Return F, M or O, or None where the text holds none of them."""
    word = (text or "").strip().lower()
    if word.startswith(("f", "woman")):
        return "F"
    if word.startswith("o"):
        return "O"
    return "M" if word == "m" or word.startswith(("ma", "m,")) else None


def parse_person(age: str | None, sex: str | None) -> tuple[float | None, str | None]:
    """Return age and sex from two cells; each is looked for in the other cell where its own holds none."""
    years, letter = parse_age(age), parse_sex(sex)
    return (parse_age(sex) if years is None else years), (letter or parse_sex(age))


# --- polarity ---
# Which of two class names is the positive one: given, or guessed from well-known names, with a note.

# fmt: off
POSITIVE_WORDS = frozenset({
    "tuberculosis", "tb", "ptb", "pneumonia", "positive", "pos", "abnormal", "disease", "diseased", "sick", "covid",
    "cancer", "nodule", "lesion", "lesions", "opacity", "infected", "bacteria", "bacterial", "virus", "viral",
    "effusion", "pathology", "yes", "true", "1",
})
NEGATIVE_WORDS = frozenset({
    "normal", "normals", "negative", "neg", "healthy", "clear", "control", "controls", "no", "non", "not", "none",
    "false", "0",
})
# fmt: on


def choose_labels(names: Collection[str], positive: str | None, *, source: str) -> tuple[Labels, tuple[str, ...]]:
    """Decide which class is positive.

    Args:
        names: the class names that were found.
        positive: the name that the user gave, in any case; None to guess.
        source: where the names come from, for errors.

    Returns:
        The labels, and a note where they were guessed.

    Raises:
        DataError: one class only, more than two, or no well-known name among them.
        ConfigError: `positive` is none of the names.
    """
    _require_two(sorted(names), source)
    if positive is not None:
        return _given(sorted(names), positive), ()
    kinds = {name: polarity_of(name) for name in sorted(names)}
    first, second = kinds
    if kinds[first] == kinds[second]:
        raise DataError(
            f"it is not clear which of {first!r} and {second!r} is positive",
            why=f"{source} have no well-known pair of names such as Normal and Tuberculosis",
            fix=f"--positive {second!r} or --positive {first!r}",
        )
    labels = Labels(first, second) if kinds[first] < kinds[second] else Labels(second, first)
    return labels, (f"positive is {labels.positive!r}: guessed from the names, --positive overrides it",)


def polarity_of(name: str) -> int:
    """Return 1 for a well-known name of a positive class, -1 of a negative one, 0 for any other name."""
    words = set(re.findall(r"[a-z]+|\d+", name.lower()))
    if words & NEGATIVE_WORDS:  # first, for "no tuberculosis"
        return -1
    return int(bool(words & POSITIVE_WORDS))


def _given(names: list[str], positive: str) -> Labels:
    matches = [name for name in names if name == positive] or [n for n in names if n.lower() == positive.lower()]
    if len(matches) != 1:
        raise ConfigError(
            f"--positive {positive!r} is not a class of this set",
            why=f"its classes are {names[0]!r} and {names[1]!r}",
            fix=" or ".join(f"--positive {name!r}" for name in names if polarity_of(name) >= 0) or "omit --positive",
        )
    return Labels(next(name for name in names if name != matches[0]), matches[0])


def _require_two(names: list[str], source: str) -> None:
    if len(names) == 2:
        return
    if len(names) < 2:
        raise DataError(
            f"there is only one class: {names[0]!r}" if names else "there is no class",
            why=f"{source} name the classes, and a classifier needs two",
            fix="add films of the other class, in a folder or with a label of their own",
        )
    raise DataError(
        f"there are {len(names)} classes: {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}",
        why=f"{source} name the classes, and labels here are (negative, positive)",
        fix="merge or leave out classes until two remain",
    )
