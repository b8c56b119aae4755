"""One film in, one answer out, for the command and the server alike; and many films from disk for the command."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import DecisionRule, Manifest
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import Prediction, proportion
from tbconv.contract.xray import Rejected, RejectionReason, open_film
from tbconv.contract.xray.reference import NO_REFERENCE_LIMIT
from tf_serve.fallback import ActiveModel
from tf_serve.gate.rules import GateLevel, refuse
from tf_serve.telemetry.trace import stage

# --- predict ---
# One film in, one answer out: the command and the server share it, so they cannot disagree.

SYNTHETIC_LIMIT = "Trained on synthetic phantoms: it shows that the chain works and says nothing about a person."
BASELINE_LIMIT = "The baseline answers: one linear layer on a 28 x 28 thumbnail, not the trained network."
ALTERED_LIMIT = "The file that answers is unchanged since certification; these other files of the bundle have changed:"
UNDECIDED_LIMIT = "The margin lies in the band in which this file was seen to change decisions: it decides nothing."
MOST_NAMED = 5  # changed files of a sentence
NUMBERS = ("probability", "margin", "score", "threshold", "threshold_score", "indeterminate_band")
Decision = Literal["refer", "indeterminate", "not_flagged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the network finds on one film."""

    margin: float  # logit of positive minus logit of negative: what decisions compare
    probability: float  # calibrated, 0..1: for people
    threshold: float  # the operating point, a margin
    score: float  # the probability, 0..100, rounded but never across the cut-off
    threshold_score: float  # the cut-off: a score at or above it is flagged
    decision: Decision
    words: str  # the decision in the bundle's own words, in lower case
    abstention_band: float  # half width around the threshold in which nothing is decided; 0 for float32 files
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
    """The answer to one film: a finding, or the reason why the network did not run."""

    finding: Finding | None
    refusal: RejectionReason | None
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
    finding, said = None, limits(active, manifest)
    try:
        with stage("decode"):
            film = open_film(data, content_type=content_type, name=name)
    except Rejected as rejected:
        refusal: RejectionReason | None = rejected.reason
    else:
        said = (*said, *film.limits)
        with stage("gate"):
            refusal = refuse(film, gate)
        if not refusal:
            with stage("prepare"):
                model_input = manifest.preprocessing.model_input(film.pixels)
            finding = find(film.pixels, active, manifest, model_input=model_input)
            said = (*said, *likeness_limits(model_input, finding, active))
    model = describe_model(active, manifest)
    return ScreenResult(finding, refusal, describe_calibration(active.decision_rule), model, said)


def find(
    pixels: NDArray[np.uint8],
    active: ActiveModel,
    manifest: Manifest,
    *,
    model_input: NDArray[np.uint8] | None = None,
) -> Finding:
    """Run the network on a decoded film.

    Args:
        pixels: uint8 [H, W].
        active: the model that answers.
        manifest: of its bundle.
        model_input: uint8 [S, S], where it was made of the pixels already.
    """
    if model_input is None:
        model_input = manifest.preprocessing.model_input(pixels)
    prediction = active.classifier.predict(as_model_input(model_input[None]))
    rule, margin = active.decision_rule, float(prediction.margin[0])
    decision = decide(margin, active)
    evidence = _finite_evidence(prediction, active.artefact)
    side, zone = locate(evidence, film_box(*pixels.shape))
    # from the margin, not from the graph: the sigmoid of an int8 file has steps of 1/256
    [probability] = rule.calibration.probability(prediction.margin)
    return Finding(
        margin=margin,
        probability=float(probability),
        threshold=rule.operating_point.margin,
        score=rule.score(margin),
        threshold_score=rule.threshold_score,
        decision=decision,
        words=manifest.words.decisions[decision],
        abstention_band=active.abstention_band,
        evidence=tuple(tuple(float(cell) for cell in row) for row in evidence),
        side=side,
        zone=zone,
    )


def likeness_limits(model_input: NDArray[np.uint8], finding: Finding, active: ActiveModel) -> tuple[str, ...]:
    """Return what an answer has to say of how its film looks and how near it came to the threshold.

    Args:
        model_input: uint8 [S, S].
        finding: of the film.
        active: the model that answered; without a reference it says so in every answer (`special_limits`).
    """
    if active.reference is None:
        return ()
    return (*active.reference.limits(model_input), *near_limit(finding.margin, active))


def near_limit(margin: float, active: ActiveModel) -> tuple[str, ...]:
    """Return what an answer so near to the threshold has to say; nothing where the bundle has no reference."""
    if active.reference is None:
        return ()
    return active.reference.near_limit(active.kind, margin, active.decision_rule.operating_point.margin)


def margin_limits(margin: float, active: ActiveModel) -> tuple[str, ...]:
    """Return the same for an answer in tensors, whose reader decides: that this file decides nothing there, too."""
    undecided = (UNDECIDED_LIMIT,) if decide(margin, active) == "indeterminate" else ()
    return (*near_limit(margin, active), *undecided)


def decide(margin: float, active: ActiveModel) -> Decision:
    """Return the decision; inside the band in which this file was seen to change decisions, none.

    Args:
        margin: logit of positive minus logit of negative.
        active: its verdict holds the band (convert.parity.statistics), its decision_rule the threshold.
    """
    threshold = active.decision_rule.operating_point.margin
    if active.abstention_band and abs(margin - threshold) <= active.abstention_band:
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
        "referral": manifest.words.phrase or None,
        "disclaimer": manifest.words.disclaimer,
        "binding": active.binding.value,
        "altered": None if active.altered is None else list(active.altered),
    }


def describe_calibration(decision_rule: DecisionRule) -> dict[str, float]:
    """Return slope, offset, the films they were fitted on, and the threshold as a probability and as a score."""
    return {
        **asdict(decision_rule.calibration),
        "threshold_probability": round(decision_rule.threshold_probability, 4),
        "threshold_score": decision_rule.threshold_score,
    }


def limits(active: ActiveModel, manifest: Manifest) -> tuple[str, ...]:
    """Return what the answer is not, for this network; a site's own figures stand where its films' strangeness did."""
    disclaimer, films, map_limit = manifest.words.limits
    if active.site is None:
        return (disclaimer, films, map_limit, *special_limits(active, manifest))
    return (disclaimer, active.site.limit_of(active.sha256), map_limit, *special_limits(active, manifest))


def operating_figures(active: ActiveModel, films: str) -> dict[str, Any]:
    """Return sensitivity and specificity at the threshold, with intervals, and what films they are of.

    Args:
        active: the file that answers, its verdict and its operating point.
        films: what the certificate was measured on, in words; empty where there is no certificate.

    Returns:
        `sensitivity` and `specificity`, each {value, low, high, n, method}, and `of`, a phrase.
    """
    if site := active.site_figures:
        figures = {"sensitivity": asdict(site.sensitivity), "specificity": asdict(site.specificity)}
        return figures | {"of": f"{site.films} films of this site"}
    return claimed_figures(active, films)


def claimed_figures(active: ActiveModel, films: str) -> dict[str, Any]:
    """Return what the bundle itself claims, as `operating_figures` does."""
    measured = active.verdict.figures.get("operating") or {}
    if films and all((measured.get(name) or {}).get("low") is not None for name in ("sensitivity", "specificity")):
        return {name: measured[name] for name in ("sensitivity", "specificity")} | {"of": films}
    point = active.decision_rule.operating_point
    return {
        "sensitivity": asdict(proportion(round(point.sensitivity * point.positives), point.positives)),
        "specificity": asdict(proportion(round(point.specificity * point.negatives), point.negatives)),
        "of": "the validation films that the threshold was chosen on, which flatters it",
    }


def special_limits(active: ActiveModel, manifest: Manifest) -> tuple[str, ...]:
    """Return the limits that not every network has.

    They are of synthetic films, of the baseline, of a bundle that changed, and of one without a reference.
    """
    synthetic = (SYNTHETIC_LIMIT,) if manifest.synthetic else ()
    baseline = (BASELINE_LIMIT,) if active.kind == "baseline" else ()
    altered = (f"{ALTERED_LIMIT} {'; '.join(active.altered[:MOST_NAMED])}.",) if active.altered else ()
    without = (NO_REFERENCE_LIMIT,) if active.reference is None else ()
    return (*synthetic, *baseline, *altered, *without)


def _refusal_json(refusal: RejectionReason | None) -> dict[str, str | None]:
    return {"reason": refusal.value, "explanation": refusal.explanation} if refusal else {"reason": None}


def _finding_json(finding: Finding | None) -> dict[str, Any]:
    if finding is None:
        return dict.fromkeys((*NUMBERS, "decision", "decision_words", "evidence"))
    return {
        "probability": round(finding.probability, 4),
        "margin": finding.margin,
        "score": finding.score,
        "threshold": finding.threshold,
        "threshold_score": finding.threshold_score,
        "indeterminate_band": finding.abstention_band,
        "decision": finding.decision,
        "decision_words": finding.words,
        # href: the server keeps no film, so there is no address to fetch a picture from
        "evidence": {"map": finding.evidence, "side": finding.side, "zone": finding.zone, "href": None},
    }


# --- region ---
# Where on the film the evidence is, in the words of a reader: the patient's side, and a zone.

STRONG = 0.5  # of the strongest cell: full width at half maximum, the usual width of a peak
ONE_SIDED = 2 / 3  # share of the weight; below it both sides are named
ZONES = ("upper", "middle", "lower")  # thirds of the film's height


def film_box(height: int, width: int) -> tuple[float, float, float, float]:
    """Return where `PreprocessSpec.model_input` puts a film: left, top, right, bottom as fractions of the square."""
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return left / side, top / side, (left + width) / side, (top + height) / side


def locate(evidence: NDArray[np.floating], box: tuple[float, float, float, float]) -> tuple[str | None, str | None]:
    """Name the side and the zone of the strongest positive cells.

    Args:
        evidence: [7, 7], rows from the top of the padded model_input.
        box: of the film, from `film_box`; cells whose centre lies outside are padding and do not count.

    Returns:
        The patient's side under the usual display, where the image's left is the patient's right (right, left, both),
        and the zone (upper, middle, lower); both None where no cell speaks for the positive class.
    """
    left, top, right, bottom = box
    rows, columns = (np.arange(cells) + 0.5 for cells in evidence.shape)
    y = (rows / evidence.shape[0] - top) / (bottom - top)
    x = (columns / evidence.shape[1] - left) / (right - left)
    inside = np.outer((y > 0) & (y < 1), (x > 0) & (x < 1))
    weights = np.where(inside, evidence, 0.0)
    weights = np.where(weights >= STRONG * weights.max(), weights, 0.0).clip(min=0.0)
    if not weights.any():
        return None, None
    return _side(weights.sum(axis=0), x), _zone(weights.sum(axis=1), y)


def _side(weights: NDArray[np.floating], x: NDArray[np.floating]) -> str:
    image_left = np.where(np.isclose(x, 0.5), 0.5, x < 0.5)  # the middle column lies on both sides
    share = float((weights * image_left).sum() / weights.sum())
    return "right" if share >= ONE_SIDED else "left" if share <= 1 - ONE_SIDED else "both"


def _zone(weights: NDArray[np.floating], y: NDArray[np.floating]) -> str:
    zones = np.clip((y * len(ZONES)).astype(int), 0, len(ZONES) - 1)
    return ZONES[int(np.argmax(np.bincount(zones, weights, minlength=len(ZONES))))]
