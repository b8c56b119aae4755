"""Many films from disk for the command, one answer each, with pictures and the hospital's formats on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tbconv.contract.bundle import Bundle, read_bundle, read_site
from tbconv.contract.errors import NO_REFERRAL, FilmError, Referral, Reporter
from tbconv.contract.files import refuse_as_films, write_atomic
from tbconv.contract.signature import SignatureRule
from tbconv.contract.xray import open_film, read_bytes
from tbconv.contract.xray.archive import is_archive
from tbconv.contract.xray.folder import DICOMDIR, HEAD_BYTES, kind_of, refuse_others, walk_films, words_of
from tf_serve.fallback import ActiveModel, choose_checked
from tf_serve.predict import ScreenResult, special_limits
from tf_serve.score.hospital import HospitalWriter
from tf_serve.score.overlay import draw_overlay
from tf_serve.score.scorer import Scorer

# One row a film: a film that cannot be read does not stop the others.


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictConfig:
    """Arguments of `tbconv predict`."""

    bundle: Path
    films: tuple[Path, ...]  # files and folders
    overlay: Path | None = None  # folder of pictures
    artefact: str | None = None  # None: the one that the certificate proposes
    signature: SignatureRule | None = None  # whose signature is required
    strict: bool = False  # refuse folders that hold anything but films
    site: Path | None = None  # site.json: the site's own figures of the bundle
    hospital: HospitalWriter | None = None  # writes each answer in the hospital's formats

    def __post_init__(self) -> None:
        if not self.films:
            raise ValueError("films must name at least one file or folder")


@dataclass(frozen=True, slots=True)
class FilmAnswer:
    """One film: its answer, or the error that it met."""

    film: Path
    result: ScreenResult | None
    error: FilmError | None
    overlay: Path | None = None
    files: tuple[Path, ...] = ()  # in the hospital's formats


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The model that answered, and one row a film, in the given order."""

    active: ActiveModel
    rows: tuple[FilmAnswer, ...]
    left_out: tuple[tuple[Path, str], ...] = ()  # of the folders: what is no film, and what it is
    words: Referral = NO_REFERRAL  # of the bundle

    @property
    def unreadable(self) -> int:
        """How many films met an error."""
        return sum(row.error is not None for row in self.rows)


def predict(config: PredictConfig, *, reporter: Reporter) -> BatchAnswer:
    """Answer every film.

    Raises:
        BundleError: no file of the bundle may answer, or the site's figures are of another bundle.
        DataError: a folder holds more than films, and `strict` forbids it.
    """
    bundle = read_bundle(config.bundle)
    active = choose_checked(bundle, artefact=config.artefact, signature=config.signature)
    if config.site is not None:
        active = replace(active, site=read_site(config.site, bundle))
    films, left_out = expand(config.films, strict=config.strict, reporter=reporter)
    pictures = picture_paths(films, config.overlay) if config.overlay else [None] * len(films)
    work = reporter.track(zip(films, pictures, strict=True), title="films", total=len(films))
    rows = tuple(_row(film, picture, active, bundle, config.hospital) for film, picture in work)
    return BatchAnswer(active, rows, left_out, bundle.manifest.words)


def expand(
    films: Sequence[Path], *, strict: bool, reporter: Reporter
) -> tuple[tuple[Path, ...], tuple[tuple[Path, str], ...]]:
    """Return files as they are, of a folder, zip archive or DICOM CD every film in it, sorted, and what is no film.

    Raises:
        DataError: a folder holds more than films, and `strict` forbids it; a bundle or a run is among them.
    """
    found: list[Path] = []
    left_out: dict[Path, str] = {}
    for film in films:
        refuse_as_films(film)
        place = _place_of(film)
        if place is None:
            found.append(film)
            continue
        tree = walk_films(place)
        others = {path: kind for path, kind in tree.others.items() if kind != DICOMDIR}
        if strict:
            refuse_others(others, place)
        if others:
            reporter.say(words_of(others, place))
        left_out |= others
        found += tree.films or [film]  # an empty folder stays: it gets an error in its row
    return tuple(found), tuple(left_out.items())


def _place_of(film: Path) -> Path | None:
    """Return the folder or archive that a path means; None where it means a film."""
    if film.is_dir():
        return film
    if not film.is_file():
        return None
    with film.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if kind_of(head, film.name) == DICOMDIR:
        return film.parent
    return film if is_archive(film, head) else None


def picture_paths(films: Sequence[Path], folder: Path) -> list[Path]:
    """Return one picture a film, named after it; films of the same name get a number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[Path, None] = {}  # a set that keeps its order
    for film in films:
        numbers = ("", *(f"-{number}" for number in range(2, len(films) + 1)))
        candidates = (folder / f"{film.stem}{number}.overlay.png" for number in numbers)
        paths[next(path for path in candidates if path not in paths)] = None
    return list(paths)


def _row(
    film: Path, picture: Path | None, active: ActiveModel, bundle: Bundle, hospital: HospitalWriter | None
) -> FilmAnswer:
    try:
        data = _read(film)
        result = Scorer.of(active, bundle.manifest).score(data, name=str(film))
    except FilmError as error:
        return FilmAnswer(film, None, error)
    files = hospital.write(data, result, bundle.manifest) if hospital else ()
    if picture is None or result.finding is None:
        return FilmAnswer(film, result, None, files=files)
    notes = (*special_limits(active, bundle.manifest), bundle.manifest.words.disclaimer)
    write_atomic(picture, draw_overlay(open_film(data).pixels, result.finding, notes=notes), option="--overlay")
    return FilmAnswer(film, result, None, picture, files)


def _read(film: Path) -> bytes:
    if film.is_dir() or _place_of(film) is not None:
        others = walk_films(film).others
        why = words_of(others, film) if others else "it is empty"
        raise FilmError(f"{film} holds no film", why=why, fix="name PNG, JPEG or DICOM films, or a folder of them")
    return read_bytes(film)
