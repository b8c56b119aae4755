"""Do the labels come from different places, and do the films show where? A label tied to a place is a shortcut."""

from __future__ import annotations

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
OTHERS = "others"


def count_sources(index: FilmIndex) -> dict[str, Counts]:
    """Return films a source and class; empty where no source is known."""
    return count_by(index.films, index.labels.names, lambda film: film.site)


def source_numbers(films: Sample) -> tuple[Ints, list[str]]:
    """Return each film's source as a number, and their names; sources of few films are put together.

    Returns:
        int64 [N], -1 where it is not known; the names by number.
    """
    sites = [film.site for film in films.films]
    counts = {site: sites.count(site) for site in set(sites) if site is not None}
    often = sorted(site for site, count in counts.items() if count >= FEWEST)
    names = often + ([OTHERS] if len(often) < len(counts) else [])
    places = {name: number for number, name in enumerate(names)}
    numbers = [-1 if site is None else places.get(site, len(often)) for site in sites]
    return np.array(numbers, np.int64), names


def tied_to_source(films: Sample, *, seed: int) -> Finding:
    """Judge Cramer's V of label and source over all films."""
    numbers, names = source_numbers(films)
    known = numbers >= 0
    if len(names) < 2:
        return not_asked(TIED, "the set tells of one source or none")
    labels, sources, groups = films.labels[known], numbers[known], films.groups[known]
    found = bootstrap_by_patient(
        lambda rows: cramers_v(labels[rows], sources[rows]), labels=labels, patients=groups, seed=seed
    )
    one_class = [name for number, name in enumerate(names) if len(set(labels[sources == number])) == 1]
    what = f"{len(names)} sources, {len(one_class)} of them with films of one class only"
    return above(TIED, found, level=TIED_LEVEL, what=what, measure="Cramer's V")


def cramers_v(labels: Ints, sources: Ints) -> float:
    """Return the association of two labellings, 0 to 1, without the upward bias of many sources on few films.

    Bergsma (2013), Journal of the Korean Statistical Society 42:323.
    """
    counts = np.array([[np.sum((labels == label) & (sources == source)) for source in np.unique(sources)]
                       for label in np.unique(labels)], np.float64)  # fmt: skip
    n, (rows, columns) = counts.sum(), counts.shape
    if min(rows, columns) < 2:
        return 0.0
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / n
    phi2 = float(((counts - expected) ** 2 / expected).sum() / n)
    excess = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(side - (side - 1) ** 2 / (n - 1) for side in (rows, columns))
    return float(min(1.0, np.sqrt(excess / (smaller - 1))))


def source_seen(films: Sample, features: NDArray[np.float64], tied: Finding, *, seed: int) -> Finding:
    """Judge how well cheap features tell the largest source from the others.

    That a source can be seen is no fault by itself: it counts where the label is also tied to it.
    """
    numbers, names = source_numbers(films)
    known = numbers >= 0
    if len(names) < 2:
        return not_asked(SEEN, "the set tells of one source or none")
    largest = int(np.bincount(numbers[known]).argmax())
    is_largest, groups = (numbers[known] == largest).astype(np.int64), films.groups[known]
    if min(len(np.unique(groups[is_largest == side])) for side in (0, 1)) < FEWEST:
        return not_asked(SEEN, f"fewer than {FEWEST} patients of a second source")
    found = probe_auroc(features[known], is_largest, groups, seed=seed)
    return _counted_where_tied(found, tied, what=f"{names[largest]} against the others")


def _counted_where_tied(found: Estimate, tied: Finding, *, what: str) -> Finding:
    is_tied = tied.estimate is not None and (tied.estimate.low or 0.0) > SLIGHTLY_TIED
    finding = above(SEEN, found, level=LEVEL, what=what)
    rule = f"{finding.rule}, and that of Cramer's V above {SLIGHTLY_TIED:g}"
    verdict = finding.verdict if is_tied else Verdict.PASS
    reason = what if is_tied else f"{what}; the label is not tied to it"
    return Finding(SEEN, rule, verdict, reason, estimate=found, level=LEVEL)
