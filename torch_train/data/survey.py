"""Counting: who, where, how large, how bright, and what of it gives the class away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import FilmError
from tbconv.contract.reporter import Reporter
from tbconv.contract.xray import read_xray
from torch_train.data.duplicates import find_duplicates
from torch_train.data.film import Film, FilmIndex
from torch_train.data.load import LoadedFilms
from torch_train.data.masks import MaskShape, measure_mask
from torch_train.data.report import Counts, DuplicateReport, MaskReport, PatientReport

FEW_AGES = 10  # a class with fewer known ages says nothing about age


def count_classes(index: FilmIndex) -> Counts:
    """Return films a class."""
    return {name: index.count(label) for label, name in enumerate(index.labels.names)}


def count_by(films: Sequence[Film], names: tuple[str, str], key: Callable[[Film], str | None]) -> dict[str, Counts]:
    """Return films a value and class; films without a value are left out."""
    counts: dict[str, Counts] = {}
    for film in films:
        value = key(film)
        if value is not None:
            row = counts.setdefault(value, dict.fromkeys(names, 0))
            row[names[film.label]] += 1
    return dict(sorted(counts.items()))


def count_values(values: Sequence[object]) -> Counts:
    """Return how often each value occurs, the most frequent first."""
    return {str(value): count for value, count in Counter(values).most_common()}


def survey_patients(index: FilmIndex) -> PatientReport:
    """Count patients, those with several films and those with films of both classes."""
    labels: dict[str, list[int]] = {}
    for film in index.films:
        labels.setdefault(film.patient, []).append(film.label)
    return PatientReport(
        known=index.patients_known,
        patients=len(labels),
        with_several_films=sum(len(own) > 1 for own in labels.values()),
        most_films=max(map(len, labels.values())),
        of_both_classes=sum(len(set(own)) == 2 for own in labels.values()),
    )


def survey_ages(index: FilmIndex) -> dict[str, dict[str, float]]:
    """Return known, minimum, median and maximum age a class; classes without a known age are left out."""
    ages = {}
    for label, name in enumerate(index.labels.names):
        known = [film.age for film in index.films if film.label == label and film.age is not None]
        if known:
            summary = {"minimum": min(known), "median": float(np.median(known)), "maximum": max(known)}
            ages[name] = {"known": len(known), **summary}
    return ages


def survey_sexes(index: FilmIndex) -> dict[str, Counts]:
    """Return films a class and sex, where any sex is known."""
    if not any(film.sex for film in index.films):
        return {}
    return {
        name: count_values([film.sex or "unknown" for film in index.films if film.label == label])
        for label, name in enumerate(index.labels.names)
    }


def survey_duplicates(loaded: LoadedFilms) -> DuplicateReport:
    """Find copies and name them; a group with two labels is conflicting."""
    found, index = find_duplicates(loaded.squares, loaded.digests), loaded.index
    conflicting = [group for group in found.groups if len({index.films[film].label for film in group}) > 1]

    def by_name(groups: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(index.name_of(index.films[film]) for film in group) for group in groups)

    return DuplicateReport(by_name(found.exact), by_name(found.near), by_name(conflicting))


def survey_masks(index: FilmIndex, reporter: Reporter) -> MaskReport:
    """Measure every mask."""
    paths = [film.mask for film in index.films if film.mask is not None]
    shapes: list[MaskShape] = []
    unreadable = []
    for path in reporter.track(paths, title="reading masks", total=len(paths)):
        try:
            shapes.append(measure_mask(read_xray(path)))
        except FilmError as error:
            unreadable.append(error.one_line)
    return MaskReport(
        films_with=len(paths),
        films_without=len(index.films) - len(paths),
        unreadable=tuple(unreadable),
        lung_like=sum(shape.is_lung_like for shape in shapes),
        empty=sum(not shape.marks_something for shape in shapes),
        median_share=round(float(np.median([shape.share for shape in shapes])), 4) if shapes else None,
    )


def survey_shortcuts(loaded: LoadedFilms) -> dict[str, float]:
    """Return how well one property alone tells the classes apart, each as an AUROC from 0.5 to 1.

    Values without an order (site, size, mode) are ranked by their share of positives, which
    flatters values of few films: those of fewer than ten are put together.
    """
    films, facts = loaded.index.films, loaded.facts
    labels = np.array([film.label for film in films])
    ordered = {"brightness": loaded.squares.mean(axis=(1, 2))}
    aged = np.array([film.age is not None for film in films])
    if min(labels[aged].sum(), (1 - labels[aged]).sum()) >= FEW_AGES:
        ordered["age"] = np.array([film.age if film.age is not None else np.nan for film in films])
    named = {
        "size": [f"{fact.width}x{fact.height}" for fact in facts],
        "mode": [fact.mode for fact in facts],
        "format": [fact.format for fact in facts],
        "site": [film.site or "" for film in films],
    }
    scores = {**ordered, **{name: _rank_by_share(values, labels) for name, values in named.items()}}
    return {name: round(_auroc(values, labels), 3) for name, values in scores.items() if len(set(values)) > 1}


def _rank_by_share(values: Sequence[str], labels: NDArray[np.int_]) -> NDArray[np.float64]:
    often = {value for value, count in Counter(values).items() if count >= 10}
    merged = np.array([value if value in often else "rare" for value in values])
    share = {value: labels[merged == value].mean() for value in set(merged.tolist())}
    return np.array([share[value] for value in merged.tolist()])


def _auroc(values: NDArray[np.floating], labels: NDArray[np.int_]) -> float:
    from scipy import stats

    known = np.isfinite(values)
    ranks, own = stats.rankdata(values[known]), labels[known]
    positives, negatives = int(own.sum()), int((1 - own).sum())
    area = (ranks[own == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return float(max(area, 1 - area))
