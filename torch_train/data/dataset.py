"""The films of one run: preprocessed once, split by patient, named by digest from here on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ConfigError, DataError, Reporter, some
from tbconv.contract.files import sha256_bytes
from tbconv.contract.manifest import Labels
from torch_train.config import LEAST_LABELS, UNKNOWN, TrainConfig
from torch_train.data.findings import Uncertain
from torch_train.data.index import read_index
from torch_train.data.loading import LoadedFilms, cache_folder, load_cached, refuse_unreadable
from torch_train.data.records import Film, FilmIndex, contradict
from torch_train.data.split import PARTS, find_duplicates, split_films


@dataclass(frozen=True, slots=True)
class TrainingFilms:
    """Pixels, labels and parts; patients as numbers, so that no identity can reach a file."""

    model_inputs: NDArray[np.uint8]  # [N, 224, 224]
    labels: NDArray[np.int64]  # [N], 1 positive
    patients: NDArray[np.int64]  # [N], equal where the patient is
    parts: dict[str, NDArray[np.int64]]  # indices by part: train, validation, test
    digests: tuple[str, ...]  # SHA-256 of each film: of its pixels, or of its file in runs that began so
    names: Labels
    patients_known: bool  # False: each film counts as a patient
    synthetic: bool
    split_digest: str
    file_digests: tuple[str, ...] = ()  # SHA-256 of each file
    targets: NDArray[np.int64] | None = None  # [N, L] of several labels: 1, 0, UNKNOWN; `labels` is the rarest one then

    @property
    def data_digest(self) -> str:
        """SHA-256 over all films' digests and labels, in an order that file names do not matter to."""
        said = self.labels if self.targets is None else [" ".join(map(str, row)) for row in self.targets.tolist()]
        rows = sorted(f"{digest} {label}" for digest, label in zip(self.digests, said, strict=True))
        return sha256_bytes("\n".join(rows).encode())

    def truth(self, *, one_of_n: bool) -> NDArray[np.int64]:
        """Return what the network learns: [N] the class, or [N, L] of labels of which a film may have several."""
        if self.targets is None:
            return self.labels
        return np.asarray(self.targets.argmax(1), np.int64) if one_of_n else self.targets

    def labels_of(self, part: str) -> NDArray[np.int64]:
        """Return the labels of one part, int64 [n]."""
        return self.labels[self.parts[part]]

    def patients_of(self, part: str) -> NDArray[np.int64]:
        """Return the patients of one part, int64 [n]."""
        return self.patients[self.parts[part]]


def prepare_films(config: TrainConfig, reporter: Reporter, *, found: FilmIndex | None = None) -> TrainingFilms:
    """Index, preprocess, look for duplicates, split.

    Args:
        config: the folder, and what its labels mean.
        reporter: where progress goes.
        found: what `find_films` listed; None lists it here.

    Raises:
        DataError: the folder cannot be read, or a part lacks a class.
    """
    loaded, copies = load_and_compare(config, reporter, found=found)
    index, digests = loaded.index, loaded.digests
    split = split_films(index, groups=copies, digests=digests, seed=config.seed, fractions=config.fractions)
    parts = {part: np.array(rows, np.int64) for part, rows in split.parts.items()}
    films = replace(
        put_together(index, loaded.model_inputs, digests),
        parts=parts,
        split_digest=split.digest,
        file_digests=loaded.file_digests,
    )
    for note in split.notes:
        reporter.say(f"  note: {note}")
    for part in PARTS:
        labels = films.labels_of(part)
        patients = f", {len(np.unique(films.patients_of(part)))} patients" if films.patients_known else ""
        counts = f"{(labels == 1).sum()} {films.names.positive}, {(labels == 0).sum()} {films.names.negative}"
        if films.targets is not None and config.names is not None:
            having = (films.targets[films.parts[part]] == 1).sum(0)
            counts = ", ".join(f"{count} {name}" for count, name in zip(having, config.names, strict=True))
        reporter.say(f"  {part}: {len(labels)} films ({counts}{patients})")
    return films


def find_films(config: TrainConfig) -> FilmIndex:
    """List the films and their labels, before a weight is loaded or a film decoded.

    Raises:
        DataError: the folder cannot be read, or its labels cannot be trained on.
        ConfigError: an option does not fit it.
    """
    if config.task is not None:
        return read_targets(config)
    return read_index(
        config.data,
        patient=config.patient,
        positive=config.positive,
        labels_from_masks=config.labels_from_masks,
        label=config.label,
        negative=config.negative,
        uncertain=config.uncertain,
        strict=config.strict,
    )


def load_and_compare(
    config: TrainConfig, reporter: Reporter, *, found: FilmIndex | None = None
) -> tuple[LoadedFilms, tuple[tuple[int, ...], ...]]:
    """Index and preprocess films, and find those that are copies of each other; `found` is as in `prepare_films`.

    Raises:
        DataError: the folder cannot be read.
        ConfigError: an option does not fit it.
    """
    found = found or find_films(config)
    kind = "synthetic films (drawn, not of patients)" if found.synthetic else "films"
    what = f"{len(config.names)} labels" if config.names else f"positive is {found.labels.positive!r}"
    reporter.say(f"data: {len(found.films)} {kind}, layout {found.layout}, {what}")
    for note in found.notes:
        reporter.say(f"  note: {note}")
    loaded = load_cached(found, cache_folder() if config.film_cache else None, reporter).under(config.film_identity)
    if config.strict:
        refuse_unreadable(loaded, found)
    groups, films = find_duplicates(loaded.model_inputs, loaded.digests).groups, loaded.index.films
    if wrong := [group for group in groups if contradict([films[film] for film in group])]:
        named = [" = ".join(loaded.index.name_of(films[film]) for film in group) for group in wrong]
        shown = f"{len(wrong)} films that are there more than once have labels that contradict each other"
        reporter.say(f"  note: {shown}: {some(named, 3)}")
    return loaded, groups


def put_together(index: FilmIndex, model_inputs: NDArray[np.uint8], digests: Sequence[str]) -> TrainingFilms:
    """Return films that are not yet split.

    Args:
        index: the films.
        model_inputs: uint8 [N, 224, 224], in its order.
        digests: SHA-256 of each film.
    """
    _, patients = np.unique([film.patient for film in index.films], return_inverse=True)
    targets = np.array([film.targets for film in index.films], np.int64)
    return TrainingFilms(
        model_inputs=model_inputs,
        labels=np.array([film.label for film in index.films], np.int64),
        patients=patients.astype(np.int64),
        parts={},
        digests=tuple(digests),
        names=index.labels,
        patients_known=index.patients_known,
        synthetic=index.synthetic,
        split_digest="",
        targets=targets if targets.size else None,
    )


# --- several labels ---
# Which film has which of several labels: one reading of the set a label, each as `--label` reads it.


def read_targets(config: TrainConfig, *, of_two: Literal["refuse", "leave out"] = "refuse") -> FilmIndex:
    """List the films with their targets, the rarest label as the one by which the split is drawn.

    Args:
        config: the folder, the task and its names.
        of_two: what becomes of films with several classes where a film should have one of N.

    Raises:
        DataError: no film has a label, or all have; or films have not exactly one of N classes.
        ConfigError: a label is none of the set's.
    """
    names = config.names or ()
    found = {name: _index_of(config, name, config.uncertain) for name in names}
    rarest = min(names, key=lambda name: found[name].count(1))
    # a film of which the rarest label is unknown stays for the others
    index = _index_of(config, rarest, "negative") if config.uncertain == "leave-out" else found[rarest]
    stated = {name: {film.path: film.label for film in one.films} for name, one in found.items()}
    films = [
        replace(film, targets=tuple(stated[name].get(film.path, UNKNOWN) for name in names)) for film in index.films
    ]
    notes: list[str] = []
    if config.task == "one-of-n":
        films, notes = _of_one_class(films, names, index, leave_out=of_two == "leave out")
    elif of_two == "refuse":
        _refuse_two_classes(films, names, index)
    if unknown := sum(value == UNKNOWN for film in films for value in film.targets):
        share = f"{unknown} of {len(films) * len(names)}"
        notes.append(f"{share} labels of films are not certain: no loss, no threshold and no figure rests on them")
    shared = [note for note in index.notes if all(note in one.notes for one in found.values())]  # not of one label
    return replace(index, films=tuple(films), notes=(*shared, *notes))


def _index_of(config: TrainConfig, name: str, uncertain: Uncertain) -> FilmIndex:
    try:
        return read_index(config.data, patient=config.patient, label=name, uncertain=uncertain, strict=config.strict)
    except ConfigError as error:
        said = f"--label {name!r}"
        if said not in error.what:
            raise
        nearest = error.fix.replace("--label ", "")
        what = error.what.replace(said, f"--names: {name!r}")
        raise ConfigError(what, why=error.why, fix=f"in --names, for {name!r}: {nearest}") from error


def _of_one_class(
    films: list[Film], names: tuple[str, ...], index: FilmIndex, *, leave_out: bool
) -> tuple[list[Film], list[str]]:
    """Return the films of exactly one class, and a note of how many others there are."""
    several = [film for film in films if film.targets.count(1) > 1]
    single = [film for film in films if sorted(film.targets) == [0] * (len(names) - 1) + [1]]
    if not single:
        why = f"none of {len(films)} films has exactly one of {some(list(names))}"
        raise DataError(f"{index.root} is no set of one class of N", why=why, fix="--task multi-label")
    if several and not leave_out:
        first = several[0]
        has = " and ".join(name for name, value in zip(names, first.targets, strict=True) if value == 1)
        raise DataError(
            f"{len(several)} of {len(films)} films have several of {some(list(names))}",
            why=f"of one class of N a film has exactly one, and {index.name_of(first)} has {has}",
            fix="--task multi-label, or classes of which no film has two in --names",
        )
    kind = (
        "have none of the classes, or several, and are" if leave_out else "have none of the classes for certain and are"
    )
    return single, [f"{len(films) - len(single)} films {kind} left out"] * (len(single) < len(films))


def _refuse_two_classes(films: list[Film], names: tuple[str, ...], index: FilmIndex) -> None:
    """Refuse two labels of which every film has exactly one: they are one question, and training without a task it."""
    if len(names) == LEAST_LABELS and all(sorted(film.targets) == [0, 1] for film in films):
        raise DataError(
            f"every film of {index.root} has either {names[0]!r} or {names[1]!r}",
            why="two labels that exclude each other are two classes",
            fix=f"omit --task and --names: --positive {names[1]!r}",
        )


def require_both_sides(films: TrainingFilms, names: Sequence[str], parts: Sequence[str] = PARTS) -> None:
    """Refuse a split of which a part has no film with a label, or none without.

    Raises:
        DataError: naming part and label.
    """
    if films.targets is None:
        return
    whys = {"train": "a label is learnt from films of both sides"}
    for part in parts:
        for column, name in enumerate(names):
            own = films.targets[films.parts[part], column]
            lacking = next((word for side, word in ((1, "with"), (0, "without")) if not (own == side).any()), None)
            if lacking is not None:
                known = int((films.targets[:, column] == int(lacking == "with")).sum())
                raise DataError(
                    f"the {part} part has no film {lacking} {name!r}",
                    why=whys.get(part, "a threshold is chosen, and figures are counted, on films of both sides")
                    + f"; the set has {known} in all",
                    fix="more films of it, another --seed, larger shares of this part, or --names without it",
                )
