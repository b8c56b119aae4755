"""What `tbconv data check` found, as numbers for programs and as lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tbconv.contract.labels import Labels
from torch_train.data.load import LoadedFilms

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class MaskReport:
    """What the masks are; shares are of the film's area."""

    films_with: int
    films_without: int
    unreadable: tuple[str, ...]
    lung_like: int  # one or two large regions over 10-50 % of the film
    empty: int
    median_share: float | None

    @property
    def kind(self) -> str:
        """What the masks mark, in words."""
        read = self.films_with - len(self.unreadable)
        if not read:
            return "none"
        return "lung fields: no labels" if self.lung_like > read / 2 else "lesions, or something smaller than lungs"


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Copies by name, one tuple a group."""

    exact: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, ...], ...]
    conflicting: tuple[tuple[str, ...], ...]  # copies of one film with different labels


@dataclass(frozen=True, slots=True)
class PatientReport:
    """Who is on how many films."""

    known: bool  # False: a film counts as a patient
    patients: int
    with_several_films: int
    most_films: int
    of_both_classes: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """One set of films, as it is before anything is trained on it."""

    root: str
    layout: str
    label_source: str
    synthetic: bool
    labels: Labels
    films: int  # that can be read
    classes: Counts
    sites: dict[str, Counts]  # site to class to films; without sites, empty
    sizes: Counts  # "512x512" to films, most frequent first
    smallest_side: int
    bit_depths: Counts
    modes: Counts
    formats: Counts
    unreadable: tuple[tuple[str, str], ...]  # name and reason
    duplicates: DuplicateReport
    patients: PatientReport
    ages: dict[str, dict[str, float]]  # class to known, minimum, median, maximum (years)
    sexes: dict[str, Counts]  # class to sex to films
    masks: MaskReport
    alone: dict[str, float]  # what one property alone tells of the class, AUROC 0.5..1
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    loaded: LoadedFilms  # for the figure; not part of the JSON

    @property
    def positive_share(self) -> float:
        """Positives among the readable films, 0..1."""
        return self.classes[self.labels.positive] / self.films

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pixels."""
        plain = ("root", "layout", "label_source", "synthetic", "films", "classes", "sites", "sizes")
        more = ("smallest_side", "bit_depths", "modes", "formats", "ages", "sexes", "alone")
        return {
            **{name: getattr(self, name) for name in (*plain, *more)},
            "labels": {"negative": self.labels.negative, "positive": self.labels.positive},
            "positive_share": round(self.positive_share, 4),
            "unreadable": [{"file": name, "reason": reason} for name, reason in self.unreadable],
            "duplicates": {
                kind: [list(group) for group in getattr(self.duplicates, kind)]
                for kind in ("exact", "near", "conflicting")
            },
            "patients": _fields(self.patients),
            "masks": {**_fields(self.masks), "kind": self.masks.kind},
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def _fields(record: PatientReport | MaskReport) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__slots__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
