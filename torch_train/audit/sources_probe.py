"""Do the labels come from different places, and do the films show where? A label tied to a place is a shortcut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from torch_train.audit.crossval import probe_auroc
from torch_train.audit.finding import FEWEST, LEVEL, SLIGHTLY_TIED, TIED_LEVEL, Finding, Verdict, above, not_asked
from torch_train.audit.sample import Sample
from torch_train.data.film import FilmIndex
from torch_train.data.report import Counts
from torch_train.data.survey import count_by
from torch_train.intervals import Estimate, bootstrap_by_patient

Ints = NDArray[np.int64]
TIED, SEEN = "label tied to source", "source seen in the film"
OTHERS, ONE_SOURCE = "others", "the set tells of one source or none"


def count_sources(index: FilmIndex) -> dict[str, Counts]:
    """Return films a source and class; empty where no source is known."""
    return count_by(index.films, index.labels.names, lambda film: film.site)


def source_numbers(films: Sample, *, fewest: int = 1) -> tuple[Ints, list[str]]:
    """Return each film's source as a number, and their names.

    Args:
        films: of known and unknown sources.
        fewest: patients; sources of fewer are put together.

    Returns:
        int64 [N], -1 where it is not known; the names by number.
    """
    sites = [film.site for film in films.films]
    patients: dict[str, set[int]] = {}
    for site, patient in zip(sites, films.groups.tolist(), strict=True):
        if site is not None:
            patients.setdefault(site, set()).add(patient)
    often = sorted(site for site, own in patients.items() if len(own) >= fewest)
    names = often + ([OTHERS] if len(often) < len(patients) else [])
    places = {name: number for number, name in enumerate(names)}
    numbers = [-1 if site is None else places.get(site, len(often)) for site in sites]
    return np.array(numbers, np.int64), names


def tied_to_source(films: Sample, *, seed: int) -> Finding:
    """Judge Cramer's V of label and source over all films.

    Small sources count, too: twenty of nine patients, each of one class, give the label away. Those of one patient
    are put together: one by one they are always of one class.
    """
    numbers, names = source_numbers(films, fewest=2)
    known = numbers >= 0
    labels, sources, groups = films.labels[known], numbers[known], films.groups[known]
    if len(names) < 2:
        return not_asked(TIED, "each source is of one patient" if names == [OTHERS] else ONE_SOURCE)
    if len(np.unique(labels)) < 2:
        return not_asked(TIED, "the source is known of films of one class only")
    found = bootstrap_by_patient(
        lambda rows: cramers_v(labels[rows], sources[rows], groups[rows]), labels=labels, patients=groups, seed=seed
    )
    # a resample is corrected more than the films are: of many small sources its V is lower, on the safe side
    found = replace(found, high=max(found.high or 0.0, found.value or 0.0))
    one_class = [name for number, name in enumerate(names) if len(set(labels[sources == number])) == 1]
    what = f"{len(names)} sources, {len(one_class)} of them with films of one class only"
    return above(TIED, found, level=TIED_LEVEL, what=what, measure="Cramer's V")


def cramers_v(labels: Ints, sources: Ints, patients: Ints | None = None) -> float:
    """Return the association of two labellings, 0 to 1, without the upward bias of many sources on few films.

    Bergsma (2013), Journal of the Korean Statistical Society 42:323, with Kish's effective number of patients for the
    number of films. Films of one patient, and a patient whom a resample holds twice, would tie a small source to a
    class by themselves.

    Args:
        labels: int64 [N].
        sources: int64 [N].
        patients: int64 [N], equal where the patient is; None: each film is a patient.
    """
    places = [np.unique(values, return_inverse=True)[1] for values in (labels, sources)]
    rows, columns = (int(place.max()) + 1 for place in places)
    weights = np.ones(len(labels)) if patients is None else np.unique(patients, return_counts=True)[1]
    n = float(weights.sum() ** 2 / np.square(weights).sum())
    if min(rows, columns) < 2 or n <= 2:
        return 0.0
    counts = np.bincount(places[0] * columns + places[1], minlength=rows * columns).reshape(rows, columns)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    phi2 = float(((counts - expected) ** 2 / expected).sum() / counts.sum())
    excess = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(side - (side - 1) ** 2 / (n - 1) for side in (rows, columns))
    return float(min(1.0, np.sqrt(excess / (smaller - 1)))) if excess > 0 and smaller > 1 else 0.0


def source_seen(films: Sample, features: NDArray[np.float64], tied: Finding, *, seed: int) -> Finding:
    """Judge how well cheap features tell the largest source from the others.

    That a source can be seen is no fault by itself: it counts where the label is also tied to it.
    """
    numbers, names = source_numbers(films)
    known = numbers >= 0
    if len(names) < 2:
        return not_asked(SEEN, ONE_SOURCE)
    largest = int(np.bincount(numbers[known]).argmax())
    is_largest, groups = (numbers[known] == largest).astype(np.int64), films.groups[known]
    if min(len(np.unique(groups[is_largest == side])) for side in (0, 1)) < FEWEST:
        return not_asked(SEEN, f"fewer than {FEWEST} patients of the largest source, or of all others")
    found = probe_auroc(features[known], is_largest, groups, seed=seed)
    return _counted_where_tied(found, tied, what=f"{names[largest]} against the others")


def _counted_where_tied(found: Estimate, tied: Finding, *, what: str) -> Finding:
    finding = above(SEEN, found, level=LEVEL, what=what)
    rule = f"{finding.rule}, and that of Cramer's V above {SLIGHTLY_TIED:g}"
    if tied.estimate is None:
        reason = f"{what}; whether the label is tied to it is not known: {tied.reason}"
        return Finding(SEEN, rule, Verdict.NOTED, reason, estimate=found, level=LEVEL)
    is_tied = (tied.estimate.low or 0.0) > SLIGHTLY_TIED
    verdict = finding.verdict if is_tied else Verdict.PASS
    reason = what if is_tied else f"{what}; the label is not tied to it"
    return Finding(SEEN, rule, verdict, reason, estimate=found, level=LEVEL)
