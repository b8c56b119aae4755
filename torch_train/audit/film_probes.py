"""The probes that need films and labels only: what can be told without reading a chest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.labels import Labels
from tbconv.contract.reporter import Reporter
from torch_train.audit import looks
from torch_train.audit.crossval import probe_auroc
from torch_train.audit.file_facts import file_features, name_features
from torch_train.audit.finding import FEWEST, GREYS_LEVEL, LEVEL, PLACE_LEVEL, Finding, above, not_asked, noted
from torch_train.audit.people import count_known, people_features
from torch_train.audit.sample import Sample
from torch_train.audit.sources_probe import source_seen, tied_to_source
from torch_train.intervals import Estimate

Features = NDArray[np.float64]
GREYS, FRAME, BORDER, TAGS, PLACES, FILE, NAME, PEOPLE = (
    "greys",
    "border",
    "border greys",
    "corner tags",
    "tag at one place",
    "file facts",
    "file name",
    "age and sex",
)
LEVELS = {GREYS: GREYS_LEVEL, PLACES: PLACE_LEVEL}
WHAT = {
    GREYS: "grey histogram of the film and of its border",
    FRAME: "flat bars at the four sides",
    BORDER: f"greys of the outer {looks.BORDER:.0%}: exposure and position move them, too",
    TAGS: "small bright objects in the corners",
    PLACES: "where in the corners they stand",
    FILE: "size, depth, mode, compression",
    NAME: "length and pattern, class names taken out: a network never sees it",
}


def film_findings(everything: Sample, films: Sample, labels: Labels, *, seed: int, reporter: Reporter) -> list[Finding]:
    """Ask every probe that needs no network.

    Args:
        everything: all films, for the table of sources.
        films: the sample that features are taken of.
        labels: the class names.
        seed: of folds and bootstraps.
        reporter: where progress is told.
    """
    tied = tied_to_source(everything, seed=seed)
    features = _features(films, labels, reporter)
    findings = [tied, source_seen(films, _cheap(features), tied, seed=seed)]
    few = min(films.patients_of(label) for label in (0, 1))
    for name, columns in reporter.track(features.items(), title="probes", total=len(features)):
        if few < FEWEST:
            findings.append(not_asked(name, f"{few} patients of the rarer class, and it takes {FEWEST}"))
            continue
        estimate = probe_auroc(columns, films.labels, films.groups, seed=seed)
        findings.append(_judge(name, estimate))
    return [*findings, _people(films, seed=seed)]


def _features(films: Sample, labels: Labels, reporter: Reporter) -> dict[str, Features]:
    seen = {GREYS: looks.greys, FRAME: looks.frame, BORDER: looks.border_greys, TAGS: looks.corner_tags}
    seen[PLACES] = looks.tag_places
    looked = reporter.track(seen.items(), title="looking at films", total=len(seen))
    found = {name: looks.look_at(look, films.squares, films.facts) for name, look in looked}
    return {**found, FILE: file_features(films), NAME: name_features(films, labels)}


def _cheap(features: dict[str, Features]) -> Features:
    return np.column_stack([features[name] for name in (GREYS, FRAME, TAGS, FILE)])


def _judge(name: str, estimate: Estimate) -> Finding:
    if name in (NAME, BORDER):
        return noted(name, estimate, what=WHAT[name])
    return above(name, estimate, level=LEVELS.get(name, LEVEL), what=WHAT[name])


def _people(films: Sample, *, seed: int) -> Finding:
    known = min(count_known(films.films, label) for label in (0, 1))
    if known < FEWEST:
        return not_asked(PEOPLE, f"known of {known} films of a class, and it takes {FEWEST}")
    estimate = probe_auroc(people_features(films.films), films.labels, films.groups, seed=seed)
    return above(PEOPLE, estimate, level=LEVEL, what="age, sex, and whether they are known")
