"""One film in, one answer out: the command and the server share it, so they cannot disagree."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.classifier import Prediction
from tbconv.contract.disclaimer import LIMITS
from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import Manifest, Readout
from tf_serve.fallback import Served
from tf_serve.films import Unfit, UnfitReason, open_film
from tf_serve.gate import GateLevel, Refusal, refuse
from tf_serve.region import film_box, locate
from tf_serve.trace import stage

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
    served: Served,
    manifest: Manifest,
    *,
    name: str = "the film",
    content_type: str | None = None,
    gate: GateLevel = GateLevel.STRICT,
) -> ScreenResult:
    """Answer one film.

    Args:
        data: a whole PNG, JPEG or DICOM file.
        served: the network that answers.
        manifest: of its bundle.
        name: how errors call the film.
        content_type: what the sender calls it.
        gate: how much the input gate may judge.

    Raises:
        FilmError: the bytes are damaged, too large or no PNG, JPEG or DICOM.
        BundleError: the network gives no finite margin.
    """
    refusal: Refusal | UnfitReason | None
    finding, said = None, limits(served, manifest)
    try:
        with stage("decode"):
            film = open_film(data, content_type=content_type, name=name)
    except Unfit as unfit:
        refusal = unfit.reason
    else:
        said = (*said, *film.facts.limits)
        with stage("gate"):
            refusal = refuse(film, gate)
        finding = None if refusal else find(film.pixels, served, manifest)
    model = describe_model(served, manifest)
    return ScreenResult(finding, refusal, describe_calibration(served.readout), model, said)


def find(pixels: NDArray[np.uint8], served: Served, manifest: Manifest) -> Finding:
    """Ask the network about a decoded film, uint8 [H, W]."""
    prediction = served.classifier.predict(manifest.preprocessing.apply(pixels))
    point, calibration = served.readout.operating_point, served.readout.calibration
    evidence = _finite_evidence(prediction, served.artefact)
    region = locate(evidence, film_box(*pixels.shape))
    # from the margin, not from the graph: the sigmoid of an int8 file has steps of 1/256
    [probability] = calibration.probability(prediction.margin)
    return Finding(
        margin=float(prediction.margin[0]),
        probability=float(probability),
        threshold=point.margin,
        decision=decide(float(prediction.margin[0]), served),
        band=served.band,
        evidence=tuple(tuple(float(cell) for cell in row) for row in evidence),
        side=region.side,
        zone=region.zone,
    )


def decide(margin: float, served: Served) -> Decision:
    """Return the decision; inside the band in which this file was seen to change decisions, none.

    Args:
        margin: logit of positive minus logit of negative.
        served: its verdict holds the band (convert.band), its readout the threshold.
    """
    threshold = served.readout.operating_point.margin
    if served.band and abs(margin - threshold) <= served.band:
        return "indeterminate"
    return "refer" if served.readout.operating_point.refer(np.array([margin], np.float32))[0] else "not_flagged"


def _finite_evidence(prediction: Prediction, artefact: str) -> NDArray[np.floating]:
    logits, evidence = prediction.logits, prediction.evidence
    if evidence is None or not (np.isfinite(logits).all() and np.isfinite(evidence).all()):
        why = f"its logits are {logits[0].tolist()}, and an answer is made of finite numbers"
        raise BundleError(f"{artefact} gives no answer", why=why, fix=MAKE_AGAIN)
    return np.asarray(evidence[0])


def describe_model(served: Served, manifest: Manifest) -> dict[str, Any]:
    """Return who answered, as every answer carries it."""
    return {
        "name": manifest.name,
        "version": served.version,
        "sha256": served.sha256,
        "kind": served.kind,
        "artefact": served.artefact,
        "verdict": served.verdict.verdict.value,
        "fallback_reason": served.reason,
        "synthetic": manifest.synthetic,
    }


def describe_calibration(readout: Readout) -> dict[str, float]:
    """Return slope, offset, the films they were fitted on, and the threshold as a probability."""
    [threshold] = readout.calibration.probability(np.array([readout.operating_point.margin]))
    return {**asdict(readout.calibration), "threshold_probability": round(float(threshold), 4)}


def limits(served: Served, manifest: Manifest) -> tuple[str, ...]:
    """Return what the answer is not, for this network."""
    return (*LIMITS, *special_limits(served, manifest))


def special_limits(served: Served, manifest: Manifest) -> tuple[str, ...]:
    """Return the limits that not every network has: of synthetic training films, and of the baseline."""
    synthetic = (SYNTHETIC_LIMIT,) if manifest.synthetic else ()
    baseline = (BASELINE_LIMIT,) if served.kind == "baseline" else ()
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
