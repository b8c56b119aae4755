"""One film in, one answer out, for the command and the server alike; with batches, regions and overlays."""

from __future__ import annotations

import io
import textwrap
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tbconv.contract.bundle import MAKE_AGAIN, Bundle, read_bundle
from tbconv.contract.errors import BundleError, FilmError
from tbconv.contract.manifest import DecisionRule, Manifest
from tbconv.contract.prediction import Prediction
from tbconv.contract.reporting import DISCLAIMER, LIMITS, Reporter
from tbconv.contract.xray import read_bytes
from tf_serve.fallback import ActiveModel, choose_model
from tf_serve.gate import GateLevel, Refusal, refuse
from tf_serve.images import FILM_SUFFIXES, Unfit, UnfitReason, open_film
from tf_serve.telemetry.trace import stage

# --- predict ---
# One film in, one answer out: the command and the server share it, so they cannot disagree.

SYNTHETIC_LIMIT = "Trained on synthetic phantoms: it shows that the chain works and says nothing about a person."
BASELINE_LIMIT = "The baseline answers: one linear layer on a 28 x 28 thumbnail, not the trained network."
DECISION_WORDS = {
    "refer": "refer for a bacteriological test",
    "indeterminate": "indeterminate: too close to the threshold to call",
    "not_flagged": "not flagged",
}
NUMBERS = ("probability", "margin", "score", "threshold", "indeterminate_band")
Decision = Literal["refer", "indeterminate", "not_flagged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the network says of one film."""

    margin: float  # logit of positive minus logit of negative: what decisions compare
    probability: float  # calibrated, 0..1: for people
    threshold: float  # the operating point, a margin
    decision: Decision
    band: float  # half width around the threshold in which nothing is decided; 0 for float32 files
    evidence: tuple[tuple[float, ...], ...]  # [7, 7], margin = mean
    side: str | None
    zone: str | None

    @property
    def place(self) -> str:
        """Where the evidence is, in words; empty where none speaks for the positive class."""
        if self.side is None:
            return ""
        side = "both sides" if self.side == "both" else f"the patient's {self.side} side"
        return f"{self.zone} zone, {side}"


@dataclass(frozen=True, slots=True)
class ScreenResult:
    """The answer to one film: a finding, or the reason why the network was not asked."""

    finding: Finding | None
    refusal: Refusal | UnfitReason | None  # by its pixels, or by its own words
    calibration: dict[str, float]
    model: dict[str, Any]
    limits: tuple[str, ...]

    def __post_init__(self) -> None:
        if (self.finding is None) == (self.refusal is None):
            raise ValueError("a film is either answered or refused")

    def to_json(self) -> dict[str, Any]:
        """Return the answer as ../shared/serving.md words it ("The screening API")."""
        head = {"result_id": uuid.uuid4().hex, "status": "ok" if self.finding else "rejected"}
        tail = {"calibration": self.calibration, "model": self.model, "limits": list(self.limits)}
        return {**head, **_refusal_json(self.refusal), **_finding_json(self.finding), **tail}


def screen(
    data: bytes,
    active: ActiveModel,
    manifest: Manifest,
    *,
    name: str = "the film",
    content_type: str | None = None,
    gate: GateLevel = GateLevel.STRICT,
) -> ScreenResult:
    """Answer one film.

    Args:
        data: a whole PNG, JPEG or DICOM file.
        active: the model that answers.
        manifest: of its bundle.
        name: how errors call the film.
        content_type: what the sender calls it.
        gate: how much the input gate may judge.

    Raises:
        FilmError: the bytes are damaged, too large or no PNG, JPEG or DICOM.
        BundleError: the network gives no finite margin.
    """
    refusal: Refusal | UnfitReason | None
    finding, said = None, limits(active, manifest)
    try:
        with stage("decode"):
            film = open_film(data, content_type=content_type, name=name)
    except Unfit as unfit:
        refusal = unfit.reason
    else:
        said = (*said, *film.facts.limits)
        with stage("gate"):
            refusal = refuse(film, gate)
        finding = None if refusal else find(film.pixels, active, manifest)
    model = describe_model(active, manifest)
    return ScreenResult(finding, refusal, describe_calibration(active.decision_rule), model, said)


def find(pixels: NDArray[np.uint8], active: ActiveModel, manifest: Manifest) -> Finding:
    """Ask the network about a decoded film, uint8 [H, W]."""
    prediction = active.classifier.predict(manifest.preprocessing.apply(pixels))
    point, calibration = active.decision_rule.operating_point, active.decision_rule.calibration
    evidence = _finite_evidence(prediction, active.artefact)
    region = locate(evidence, film_box(*pixels.shape))
    # from the margin, not from the graph: the sigmoid of an int8 file has steps of 1/256
    [probability] = calibration.probability(prediction.margin)
    return Finding(
        margin=float(prediction.margin[0]),
        probability=float(probability),
        threshold=point.margin,
        decision=decide(float(prediction.margin[0]), active),
        band=active.band,
        evidence=tuple(tuple(float(cell) for cell in row) for row in evidence),
        side=region.side,
        zone=region.zone,
    )


def decide(margin: float, active: ActiveModel) -> Decision:
    """Return the decision; inside the band in which this file was seen to change decisions, none.

    Args:
        margin: logit of positive minus logit of negative.
        active: its verdict holds the band (convert.parity.statistics), its decision_rule the threshold.
    """
    threshold = active.decision_rule.operating_point.margin
    if active.band and abs(margin - threshold) <= active.band:
        return "indeterminate"
    return (
        "refer"
        if active.decision_rule.operating_point.is_positive(np.array([margin], np.float32))[0]
        else "not_flagged"
    )


def _finite_evidence(prediction: Prediction, artefact: str) -> NDArray[np.floating]:
    logits, evidence = prediction.logits, prediction.evidence
    if evidence is None or not (np.isfinite(logits).all() and np.isfinite(evidence).all()):
        why = f"its logits are {logits[0].tolist()}, and an answer is made of finite numbers"
        raise BundleError(f"{artefact} returns no valid output", why=why, fix=MAKE_AGAIN)
    return np.asarray(evidence[0])


def describe_model(active: ActiveModel, manifest: Manifest) -> dict[str, Any]:
    """Return who answered, as every answer carries it."""
    return {
        "name": manifest.name,
        "version": active.version,
        "sha256": active.sha256,
        "kind": active.kind,
        "artefact": active.artefact,
        "verdict": active.verdict.verdict.value,
        "fallback_reason": active.reason,
        "synthetic": manifest.synthetic,
    }


def describe_calibration(decision_rule: DecisionRule) -> dict[str, float]:
    """Return slope, offset, the films they were fitted on, and the threshold as a probability."""
    [threshold] = decision_rule.calibration.probability(np.array([decision_rule.operating_point.margin]))
    return {**asdict(decision_rule.calibration), "threshold_probability": round(float(threshold), 4)}


def limits(active: ActiveModel, manifest: Manifest) -> tuple[str, ...]:
    """Return what the answer is not, for this network."""
    return (*LIMITS, *special_limits(active, manifest))


def special_limits(active: ActiveModel, manifest: Manifest) -> tuple[str, ...]:
    """Return the limits that not every network has: of synthetic training films, and of the baseline."""
    synthetic = (SYNTHETIC_LIMIT,) if manifest.synthetic else ()
    baseline = (BASELINE_LIMIT,) if active.kind == "baseline" else ()
    return (*synthetic, *baseline)


def _refusal_json(refusal: Refusal | UnfitReason | None) -> dict[str, str | None]:
    return {"reason": refusal.value, "explanation": refusal.explanation} if refusal else {"reason": None}


def _finding_json(finding: Finding | None) -> dict[str, Any]:
    if finding is None:
        return dict.fromkeys((*NUMBERS, "decision", "evidence"))
    return {
        "probability": round(finding.probability, 4),
        "margin": finding.margin,
        "score": round(100 * finding.probability, 1),  # 0..100, as readers of chest films print theirs
        "threshold": finding.threshold,
        "indeterminate_band": finding.band,
        "decision": finding.decision,
        # href: the server keeps no film, so there is no address to fetch a picture from
        "evidence": {"map": finding.evidence, "side": finding.side, "zone": finding.zone, "href": None},
    }


# --- region ---
# Where on the film the evidence is, in the words of a reader: the patient's side, and a zone.

STRONG = 0.5  # of the strongest cell: full width at half maximum, the usual width of a peak
ONE_SIDED = 2 / 3  # share of the weight; below it both sides are named
ZONES = ("upper", "middle", "lower")  # thirds of the film's height


@dataclass(frozen=True, slots=True)
class FilmBox:
    """Where the film lies inside the padded square, as fractions of its side."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Region:
    """Side and zone; both None where no cell speaks for the positive class."""

    side: str | None  # the patient's: right | left | both
    zone: str | None  # upper | middle | lower


def film_box(height: int, width: int) -> FilmBox:
    """Return where `PreprocessSpec.model_input` puts a film of this size."""
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return FilmBox(left / side, top / side, (left + width) / side, (top + height) / side)


def locate(evidence: NDArray[np.floating], box: FilmBox) -> Region:
    """Name the side and the zone of the strongest positive cells.

    Args:
        evidence: [7, 7], rows from the top of the padded model_input.
        box: cells whose centre lies outside are padding and do not count.

    Returns:
        The patient's side under the usual display: the image's left is the patient's right.
    """
    rows, columns = (np.arange(cells) + 0.5 for cells in evidence.shape)
    y = (rows / evidence.shape[0] - box.top) / (box.bottom - box.top)
    x = (columns / evidence.shape[1] - box.left) / (box.right - box.left)
    inside = np.outer((y > 0) & (y < 1), (x > 0) & (x < 1))
    weights = np.where(inside, evidence, 0.0)
    weights = np.where(weights >= STRONG * weights.max(), weights, 0.0).clip(min=0.0)
    if not weights.any():
        return Region(None, None)
    return Region(_side(weights.sum(axis=0), x), _zone(weights.sum(axis=1), y))


def _side(weights: NDArray[np.floating], x: NDArray[np.floating]) -> str:
    image_left = np.where(np.isclose(x, 0.5), 0.5, x < 0.5)  # the middle column lies on both sides
    share = float((weights * image_left).sum() / weights.sum())
    return "right" if share >= ONE_SIDED else "left" if share <= 1 - ONE_SIDED else "both"


def _zone(weights: NDArray[np.floating], y: NDArray[np.floating]) -> str:
    zones = np.clip((y * len(ZONES)).astype(int), 0, len(ZONES) - 1)
    return ZONES[int(np.argmax(np.bincount(zones, weights, minlength=len(ZONES))))]


# --- batch ---
# Many films from disk, one row each: a film that cannot be read does not stop the others.


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
class FilmAnswer:
    """One film: its answer, or the error that it met."""

    film: Path
    result: ScreenResult | None
    error: FilmError | None
    overlay: Path | None = None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """Who answered, and one row a film, in the order asked."""

    active: ActiveModel
    rows: tuple[FilmAnswer, ...]

    @property
    def unreadable(self) -> int:
        """How many films met an error."""
        return sum(row.error is not None for row in self.rows)


def predict(config: PredictConfig, *, reporter: Reporter) -> BatchAnswer:
    """Answer every film.

    Raises:
        BundleError: no file of the bundle may answer.
    """
    bundle = read_bundle(config.bundle)
    active = choose_model(bundle, artefact=config.artefact)
    films = tuple(expand(config.films))
    pictures = picture_paths(films, config.overlay) if config.overlay else [None] * len(films)
    work = reporter.track(zip(films, pictures, strict=True), title="films", total=len(films))
    return BatchAnswer(active, tuple(_row(film, picture, active, bundle) for film, picture in work))


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


def _row(film: Path, picture: Path | None, active: ActiveModel, bundle: Bundle) -> FilmAnswer:
    try:
        data = _read(film)
        result = screen(data, active, bundle.manifest, name=str(film))
    except FilmError as error:
        return FilmAnswer(film, None, error)
    if picture is None or result.finding is None:
        return FilmAnswer(film, result, None)
    notes = special_limits(active, bundle.manifest)
    picture.write_bytes(draw_overlay(open_film(data).pixels, result.finding, notes=notes))
    return FilmAnswer(film, result, None, picture)


def _read(film: Path) -> bytes:
    if film.is_dir():
        why = f"none of its files ends in {', '.join(FILM_SUFFIXES)}"
        raise FilmError(f"{film} holds no film", why=why, fix="name PNG, JPEG or DICOM files, or a folder of them")
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
    box, cells = film_box(height, width), evidence.shape[0]
    corners = (box.left * cells, box.top * cells, box.right * cells, box.bottom * cells)
    grid = Image.fromarray(evidence.astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR, box=corners), np.float32)


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
