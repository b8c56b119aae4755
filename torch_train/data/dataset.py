"""The films of one run: preprocessed once, split by patient, named by digest from here on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import Reporter
from tbconv.contract.files import sha256_bytes
from tbconv.contract.manifest import Labels
from torch_train.config import TrainConfig
from torch_train.data.index import read_index
from torch_train.data.loading import LoadedFilms, cache_folder, load_cached, refuse_unreadable
from torch_train.data.records import FilmIndex
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

    @property
    def data_digest(self) -> str:
        """SHA-256 over all films' digests and labels, in an order that file names do not matter to."""
        rows = sorted(f"{digest} {label}" for digest, label in zip(self.digests, self.labels, strict=True))
        return sha256_bytes("\n".join(rows).encode())

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
        reporter.say(f"  {part}: {len(labels)} films ({counts}{patients})")
    return films


def find_films(config: TrainConfig) -> FilmIndex:
    """List the films and their labels, before a weight is loaded or a film decoded.

    Raises:
        DataError: the folder cannot be read, or its labels cannot be trained on.
        ConfigError: an option does not fit it.
    """
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
    reporter.say(f"data: {len(found.films)} {kind}, layout {found.layout}, positive is {found.labels.positive!r}")
    for note in found.notes:
        reporter.say(f"  note: {note}")
    loaded = load_cached(found, cache_folder() if config.film_cache else None, reporter).under(config.film_identity)
    if config.strict:
        refuse_unreadable(loaded, found)
    return loaded, find_duplicates(loaded.model_inputs, loaded.digests).groups


def put_together(index: FilmIndex, model_inputs: NDArray[np.uint8], digests: Sequence[str]) -> TrainingFilms:
    """Return films that are not yet split.

    Args:
        index: the films.
        model_inputs: uint8 [N, 224, 224], in its order.
        digests: SHA-256 of each film.
    """
    _, patients = np.unique([film.patient for film in index.films], return_inverse=True)
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
    )
