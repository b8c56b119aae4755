"""Many films from disk for the command, one answer each, and the pictures that show where the evidence lies."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tbconv.contract.bundle import Bundle, read_bundle, read_site
from tbconv.contract.errors import DISCLAIMER, FilmError, Reporter
from tbconv.contract.files import write_atomic
from tbconv.contract.signature import SignatureRule
from tbconv.contract.xray import open_film, read_bytes
from tbconv.contract.xray.folder import DICOMDIR, HEAD_BYTES, is_archive, kind_of, refuse_others, walk_films, words_of
from tf_serve.fallback import ActiveModel, choose_checked
from tf_serve.predict import DECISION_WORDS, Finding, ScreenResult, film_box, screen, special_limits

# --- batch ---
# Many films from disk, one row each: a film that cannot be read does not stop the others.


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


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The model that answered, and one row a film, in the given order."""

    active: ActiveModel
    rows: tuple[FilmAnswer, ...]
    left_out: tuple[tuple[Path, str], ...] = ()  # of the folders: what is no film, and what it is

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
    return BatchAnswer(active, tuple(_row(film, picture, active, bundle) for film, picture in work), left_out)


def expand(
    films: Sequence[Path], *, strict: bool, reporter: Reporter
) -> tuple[tuple[Path, ...], tuple[tuple[Path, str], ...]]:
    """Return files as they are, of a folder, zip archive or DICOM CD every film in it, sorted, and what is no film.

    Raises:
        DataError: a folder holds more than films, and `strict` forbids it.
    """
    found: list[Path] = []
    left_out: dict[Path, str] = {}
    for film in films:
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


def _row(film: Path, picture: Path | None, active: ActiveModel, bundle: Bundle) -> FilmAnswer:
    try:
        data = _read(film)
        result = screen(data, active, bundle.manifest, name=str(film))
    except FilmError as error:
        return FilmAnswer(film, None, error)
    if picture is None or result.finding is None:
        return FilmAnswer(film, result, None)
    notes = special_limits(active, bundle.manifest)
    write_atomic(picture, draw_overlay(open_film(data).pixels, result.finding, notes=notes), option="--overlay")
    return FilmAnswer(film, result, None, picture)


def _read(film: Path) -> bytes:
    if film.is_dir() or _place_of(film) is not None:
        others = walk_films(film).others
        why = words_of(others, film) if others else "it is empty"
        raise FilmError(f"{film} holds no film", why=why, fix="name PNG, JPEG or DICOM films, or a folder of them")
    return read_bytes(film)


# --- overlay ---
# The film with its evidence map, as a PNG that says what it shows wherever it ends up.
#
# Orange speaks for the positive class, blue against it: a pair that readers with any of the
# usual colour blindnesses tell apart. The film's own grey shines through where the map is weak.

POSITIVE = (230, 97, 1)  # orange and blue ends of ColorBrewer's PuOr and RdBu, colour-blind-safe
NEGATIVE = (33, 102, 172)
OPACITY = 0.5  # of the strongest cell
FAINTEST_SCALE = 1.0  # logits; a map that is weak everywhere is not blown up to full colour
LONG_SIDE = 896  # pixels of the film in the picture: 4 x 224
_TEXT_SIZE, _MARGIN, _LINE = 18, 14, 26  # pixels of the caption


def draw_overlay(pixels: NDArray[np.uint8], finding: Finding, *, notes: Sequence[str] = ()) -> bytes:
    """Draw a film, its evidence and the caption.

    Args:
        pixels: uint8 [H, W], the decoded film.
        finding: its map is laid over the film, padding cut away.
        notes: what else the caption has to say of this answer: a synthetic training set, the baseline.

    Returns:
        A PNG, RGB, without metadata.
    """
    film = Image.fromarray(pixels)
    film.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BILINEAR)
    if max(film.size) < LONG_SIDE:
        film = film.resize(_long_side(*film.size), Image.Resampling.BICUBIC)
    picture = blend(np.asarray(film), film_evidence(np.array(finding.evidence), film.height, film.width))
    out = io.BytesIO()
    _with_caption(Image.fromarray(picture), _caption(finding, notes)).save(out, "PNG")
    return out.getvalue()


def film_evidence(evidence: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """Stretch a map over the film alone, bilinear.

    Args:
        evidence: [7, 7], over the padded model_input.
        height: of the film, pixels.
        width: of the film, pixels.

    Returns:
        float32 [height, width], logits.
    """
    cells = evidence.shape[0]
    left, top, right, bottom = film_box(height, width)
    box = (left * cells, top * cells, right * cells, bottom * cells)
    grid = Image.fromarray(evidence.astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR, box=box), np.float32)


def blend(film: NDArray[np.uint8], evidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour a grey film, uint8 [H, W], by its evidence, float32 [H, W]; uint8 [H, W, 3]."""
    strength = evidence / max(float(np.abs(evidence).max()), FAINTEST_SCALE)
    colour = np.where(strength[..., None] > 0, np.array(POSITIVE), np.array(NEGATIVE))
    opacity = OPACITY * np.abs(strength)[..., None]
    mixed: NDArray[np.uint8] = np.rint((1 - opacity) * film[..., None] + opacity * colour).astype(np.uint8)
    return mixed


def _long_side(width: int, height: int) -> tuple[int, int]:
    factor = LONG_SIDE / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _with_caption(picture: Image.Image, caption: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(_TEXT_SIZE)
    letters = max(20, int((picture.width - 2 * _MARGIN) / font.getlength("n")))
    lines = [line for text in caption for line in textwrap.wrap(text, letters)]
    canvas = Image.new("RGB", (picture.width, picture.height + 2 * _MARGIN + _LINE * len(lines)), (18, 22, 28))
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, picture.height + _MARGIN + number * _LINE), line, fill=(236, 239, 243), font=font)
    return canvas


def _caption(finding: Finding, notes: Sequence[str]) -> tuple[str, ...]:
    decision = DECISION_WORDS[finding.decision].capitalize()
    figures = f"probability {finding.probability:.2f}, margin {finding.margin:+.3f}, threshold {finding.threshold:+.3f}"
    return (
        f"{decision} ({figures}).",
        f"Most evidence: {finding.place or 'nowhere in particular'}.",
        "Orange moved the margin up, blue down.",
        *notes,
        DISCLAIMER,
    )
