"""The films of an audit, their sources, and the cross-validated classifier of its probes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import DataError
from tbconv.contract.manifest import Labels
from tbconv.contract.statistics import Estimate
from tbconv.contract.xray import XrayFacts
from tbconv.contract.xray.folder import FilmTree, refuse_others, walk_films, words_of
from torch_train.data.index import name_patients, read_index
from torch_train.data.loading import LoadedFilms
from torch_train.data.records import SYNTHETIC_MARK, Film, FilmIndex
from torch_train.data.split import join_films
from torch_train.evaluation.audit.findings import AuditConfig
from torch_train.metrics import auroc_by_patient, auroc_estimate

# --- sample ---
# The films that probes measure: whole patients with their copies, drawn by content, so many of each class.

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """The films that probes measure."""

    model_inputs: NDArray[np.uint8]  # [N, 224, 224]
    labels: Ints  # [N], 1 positive
    groups: Ints  # [N], equal where a patient or a copy joins films: never on both sides of a fold
    films: tuple[Film, ...]
    facts: tuple[XrayFacts, ...]
    digests: tuple[str, ...]

    def patients_of(self, label: int) -> int:
        """Return how many groups have a film of this class."""
        return len(np.unique(self.groups[self.labels == label]))

    def part(self, rows: Ints) -> Sample:
        """Return some of the films."""
        return Sample(
            self.model_inputs[rows],
            self.labels[rows],
            self.groups[rows],
            tuple(self.films[row] for row in rows),
            tuple(self.facts[row] for row in rows),
            tuple(self.digests[row] for row in rows),
        )


def all_films(loaded: LoadedFilms, copies: Sequence[Sequence[int]]) -> Sample:
    """Return all films; those of one patient and those that are copies of each other are one group."""
    films = loaded.index.films
    groups = np.empty(len(films), np.int64)
    for number, members in enumerate(join_films([film.patient for film in films], loaded.digests, copies)):
        groups[list(members)] = number
    labels = np.array([film.label for film in films], np.int64)
    return Sample(loaded.model_inputs, labels, groups, films, loaded.facts, loaded.digests)


def draw(films: Sample, most: int, seed: int) -> Sample:
    """Draw whole groups until there are `most` films; a class that is rarer than half gives all it has.

    AUROC does not depend on the share of positives, so the sample need not keep it.
    """
    if len(films.labels) <= most:
        return films
    rarer = int((films.labels == 1).sum() < (films.labels == 0).sum())
    target = {rarer: min(int((films.labels == rarer).sum()), most // 2)}
    target[1 - rarer] = most - target[rarer]
    rows: list[int] = []
    held = {0: 0, 1: 0}
    for members in _in_drawn_order(films, seed):
        own = int(films.labels[members].max())
        if held[own] < target[own]:
            rows += members.tolist()
            held[own] += len(members)
    return films.part(np.array(sorted(rows), np.int64))


def _in_drawn_order(films: Sample, seed: int) -> list[Ints]:
    order = np.argsort(films.groups, kind="stable")
    starts = np.flatnonzero(np.diff(films.groups[order], prepend=-1))
    members = np.split(order, starts[1:])

    def key(rows: Ints) -> str:
        return hashlib.sha256(f"{seed} {min(films.digests[row] for row in rows)}".encode()).hexdigest()

    return sorted(members, key=key)


# --- sources ---
# From folders to one list of films, each with its source.


def read_sources(config: AuditConfig) -> FilmIndex:
    """List the films; `site` is the folder where there are several, else the site that the set itself records.

    Raises:
        DataError: a folder has no film, or the set cannot be read.
        ConfigError: an option does not fit it.
    """
    if not config.data:
        return _read_by_class(config)
    indexes = [
        read_index(
            root,
            patient=config.patient,
            positive=config.positive,
            label=config.label,
            negative=config.negative,
            uncertain=config.uncertain,
            strict=config.strict,
        )
        for root in config.data
    ]
    return indexes[0] if len(indexes) == 1 else _join(indexes)


def _join(indexes: Sequence[FilmIndex]) -> FilmIndex:
    first = indexes[0]
    names = {str(index.labels.names) for index in indexes}
    films = tuple(film for index in indexes for film in _named(index))
    others = (f"classes are called {', '.join(sorted(names))}; the first folder's names are used",)
    return replace(
        first,
        layout=f"{len(indexes)} sets",
        films=films,
        patients_known=all(index.patients_known for index in indexes),
        notes=tuple(note for index in indexes for note in index.notes) + (others if len(names) > 1 else ()),
        synthetic=any(index.synthetic for index in indexes),
        label_source="each set's own",
    )


def _named(index: FilmIndex) -> Iterator[Film]:
    for film in index.films:
        site = str(index.root) if film.site is None else f"{index.root}: {film.site}"
        yield replace(film, site=site, patient=f"{index.root}: {film.patient}")


def _read_by_class(config: AuditConfig) -> FilmIndex:
    given = [*((folder, 0) for folder in config.negative_films), *((folder, 1) for folder in config.positive_films)]
    trees = [(_walk(folder), label) for folder, label in given]
    used = [config.boxes] if config.boxes else []
    others = {tree.root: left_out for tree, _ in trees if (left_out := tree.left_out(used))}
    for root, left_out in others.items() if config.strict else ():
        refuse_others(left_out, root)
    films = tuple(
        Film(path, label, path.as_posix(), site=_name([tree.root])) for tree, label in trees for path in tree.films
    )
    labels = Labels(_name(config.negative_films), _name(config.positive_films))
    index = FilmIndex(
        root=config.positive_films[0].parent,
        layout="folders of one class each",
        labels=labels,
        films=films,
        patients_known=False,
        notes=(
            "each folder counts as a source of its own: a set of both classes is given with --data",
            *(words_of(left_out, root) for root, left_out in others.items()),
        ),
        synthetic=any((place / SYNTHETIC_MARK).is_file() for folder, _ in given for place in (folder, folder.parent)),
        label_source="--positive-films and --negative-films",
    )
    return name_patients(index, config.patient)


def _name(folders: Sequence[Path]) -> str:
    return " + ".join("/".join(folder.resolve().parts[-2:]) for folder in folders)


def _walk(folder: Path) -> FilmTree:
    tree = walk_films(folder) if folder.exists() else None
    if tree is None or not tree.films:
        raise DataError(
            f"{folder} has no PNG, JPEG or DICOM film",
            why="there is no such folder" if tree is None else words_of(tree.left_out(), folder),
            fix="give the folder that holds the films of one class",
        )
    return tree


# --- crossval ---
# How well features predict the class of held-out films: one fixed classifier, folds by patient and copy.

FOLDS = 5
# Logistic regression on standardised features, with a strong prior: 52 features on 104 films. Boosted trees found no
# more between two sources and turned the opacities of phantoms themselves into a histogram's AUROC of 0.95.
REGULARISATION = 0.1  # scikit-learn's C


def cross_validated_margins(
    features: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int
) -> NDArray[np.float64]:
    """Return each film's margin from the fit of the folds that it is not in, float64 [N].

    Args:
        features: float64 [N, F].
        labels: int64 [N], both 0 and 1, each in at least `FOLDS` groups.
        groups: int64 [N]; films of one group are in one fold.
        seed: of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    margins = np.empty(len(labels))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for training, kept in folds.split(features, labels, groups):
        regression = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=2000)
        model = make_pipeline(StandardScaler(), regression).fit(features[training], labels[training])
        margins[kept] = model.decision_function(features[kept])
    return margins


def probe_auroc(
    features: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int
) -> Estimate:
    """Return the out-of-fold AUROC with a bootstrap interval over groups; see `cross_validated_margins`."""
    margins = cross_validated_margins(features, labels, groups, seed=seed)
    found = auroc_by_patient(margins, labels, groups, seed=seed)
    if found.value not in (0.0, 1.0):
        return found
    # every resample of a perfect order is perfect: the bootstrap would claim to know it exactly
    negatives, positives = (len(np.unique(groups[labels == label])) for label in (0, 1))
    return replace(auroc_estimate(found.value, positives=positives, negatives=negatives), n=len(labels))
