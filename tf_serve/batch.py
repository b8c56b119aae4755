"""Many films from disk, one row each: a film that cannot be read does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import FilmError
from tbconv.contract.reporter import Reporter
from tbconv.contract.xray import read_bytes
from tf_serve.fallback import Served, choose_model
from tf_serve.films import FILM_SUFFIXES, open_film
from tf_serve.overlay import draw_overlay
from tf_serve.predict import ScreenResult, screen, special_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictConfig:
    """What `tbconv predict` was asked to do."""

    bundle: Path
    films: tuple[Path, ...]  # files and folders
    overlay: Path | None = None  # folder of pictures
    artefact: str | None = None  # None: the one that the certificate proposes

    def __post_init__(self) -> None:
        if not self.films:
            raise ValueError("films must name at least one file or folder")


@dataclass(frozen=True, slots=True)
class Row:
    """One film: its answer, or the error that it met."""

    film: Path
    result: ScreenResult | None
    error: FilmError | None
    overlay: Path | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answered, and one row a film, in the order asked."""

    served: Served
    rows: tuple[Row, ...]

    @property
    def unreadable(self) -> int:
        """How many films met an error."""
        return sum(row.error is not None for row in self.rows)


def predict(config: PredictConfig, *, reporter: Reporter) -> Answers:
    """Answer every film.

    Raises:
        BundleError: no file of the bundle may answer.
    """
    bundle = read_bundle(config.bundle)
    served = choose_model(bundle, artefact=config.artefact)
    films = tuple(expand(config.films))
    pictures = picture_paths(films, config.overlay) if config.overlay else [None] * len(films)
    work = reporter.track(zip(films, pictures, strict=True), title="films", total=len(films))
    return Answers(served, tuple(_row(film, picture, served, bundle) for film, picture in work))


def expand(films: Sequence[Path]) -> Iterator[Path]:
    """Yield files as they are, and of a folder every PNG, JPEG and DICOM in it, sorted."""
    for film in films:
        inside = (
            sorted(path for path in film.rglob("*") if path.suffix.lower() in FILM_SUFFIXES) if film.is_dir() else []
        )
        yield from inside or [film]  # an empty folder stays: it gets an error in its row


def picture_paths(films: Sequence[Path], folder: Path) -> list[Path]:
    """Return one picture a film, named after it; films of the same name get a number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[Path, None] = {}  # a set that keeps its order
    for film in films:
        numbers = ("", *(f"-{number}" for number in range(2, len(films) + 1)))
        candidates = (folder / f"{film.stem}{number}.overlay.png" for number in numbers)
        paths[next(path for path in candidates if path not in paths)] = None
    return list(paths)


def _row(film: Path, picture: Path | None, served: Served, bundle: Bundle) -> Row:
    try:
        data = _read(film)
        result = screen(data, served, bundle.manifest, name=str(film))
    except FilmError as error:
        return Row(film, None, error)
    if picture is None or result.finding is None:
        return Row(film, result, None)
    notes = special_limits(served, bundle.manifest)
    picture.write_bytes(draw_overlay(open_film(data).pixels, result.finding, notes=notes))
    return Row(film, result, None, picture)


def _read(film: Path) -> bytes:
    if film.is_dir():
        why = f"none of its files ends in {', '.join(FILM_SUFFIXES)}"
        raise FilmError(f"{film} holds no film", why=why, fix="name PNG, JPEG or DICOM files, or a folder of them")
    return read_bytes(film)
