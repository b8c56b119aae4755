"""From folders to one list of films in which every film says where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tbconv.contract.errors import DataError
from tbconv.contract.labels import Labels
from torch_train.audit.config import AuditConfig
from torch_train.data.film import SYNTHETIC_MARK, Film, FilmIndex, list_films
from torch_train.data.index import read_index
from torch_train.data.patients import name_patients


def read_sources(config: AuditConfig) -> FilmIndex:
    """List the films; `site` is the folder where there are several, else what the set itself says.

    Raises:
        DataError: a folder has no film, or the set cannot be read.
        ConfigError: an option does not fit it.
    """
    if not config.data:
        return _read_by_class(config)
    indexes = [read_index(root, patient=config.patient, positive=config.positive) for root in config.data]
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
    told = [*((folder, 0) for folder in config.negative_films), *((folder, 1) for folder in config.positive_films)]
    films = tuple(film for folder, label in told for film in _films_of(folder, label))
    labels = Labels(_name(config.negative_films), _name(config.positive_films))
    index = FilmIndex(
        root=config.positive_films[0].parent,
        layout="folders of one class each",
        labels=labels,
        films=films,
        patients_known=False,
        notes=("each folder counts as a source of its own: a set of both classes is given with --data",),
        synthetic=any((place / SYNTHETIC_MARK).is_file() for folder, _ in told for place in (folder, folder.parent)),
        label_source="--positive-films and --negative-films",
    )
    return name_patients(index, config.patient)


def _name(folders: Sequence[Path]) -> str:
    return " + ".join("/".join(folder.resolve().parts[-2:]) for folder in folders)


def _films_of(folder: Path, label: int) -> list[Film]:
    paths = list_films(folder) if folder.is_dir() else []
    if not paths:
        raise DataError(
            f"{folder} has no PNG or JPEG film",
            why="there is no such folder" if not folder.exists() else "nothing under it ends in .png, .jpg or .jpeg",
            fix="give the folder that holds the films of one class",
        )
    return [Film(path, label, path.as_posix(), site=_name([folder])) for path in paths]
