"""What is said of one film, in the terms that all three formats share: codes, figures, sentences, identity.

The decision is coded; the bundle's own words for it, which may be longer than a code's meaning, stand beside it as
text. Side and zone of the evidence are what moved the score, so they are no "finding site": that would say where
disease is. The margin is left out: three scales for one number are read wrongly, and the picture and the table of
results have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tbconv.contract.bundle import CERTIFICATE
from tbconv.contract.errors import sentence
from tbconv.contract.manifest import Manifest, digest_of_json
from tf_serve.predict import ScreenResult

MAKER = "tbconv"
# Our own codes. DICOM asks for "99" before a private scheme's name (PS3.16 8); the UID names the same scheme in both
# DICOM and FHIR. It is generate_uid(entropy_srcs=["tbconv coding scheme"]), written out so that no library can move it.
SCHEME, SCHEME_UID = "99TBCONV", "1.2.826.0.1.3680043.8.498.39194354970194402070345309894202138899"
SCHEME_NAME = "tbconv: answers of a research tool to chest radiographs"


class Code(NamedTuple):
    """A coded concept: value, coding scheme (as DICOM designates it), meaning."""

    value: str
    scheme: str
    meaning: str


def own(value: str, meaning: str) -> Code:
    """Return a concept of our own scheme."""
    return Code(value, SCHEME, meaning)


SCREENING = own("screening", "Screening of a chest radiograph by a research tool")
DECISION = own("decision", "Screening decision")
DECISIONS = {
    "refer": own("refer", "Flagged"),
    "indeterminate": own("indeterminate", "Indeterminate"),
    "not_flagged": own("not_flagged", "Not flagged"),
}
NOT_ANSWERED = own("not_answered", "Not answered: the network did not run")
REASON = own("gate_reason", "Reason why the network did not run")
LOOKED_FOR = own("looked_for", "Looked for")
FILM = own("film_sha256", "SHA-256 of the film's file")
SCORE = own("score", "Score, 0 to 100")
CUT_OFF = own("cut_off", "Cut-off: flagged from this score up")
PROBABILITY = own("probability", "Calibrated probability")
SIDE = own("evidence_side", "Side that moved the score most")
ZONE = own("evidence_zone", "Zone that moved the score most")
SIDES = {
    "right": Code("24028007", "SCT", "Right"),
    "left": Code("7771000", "SCT", "Left"),
    "both": Code("51440002", "SCT", "Bilateral"),
}
ZONES = {
    "upper": Code("281392002", "SCT", "Upper zone of lung"),
    "middle": Code("281393007", "SCT", "Middle zone of lung"),
    "lower": Code("281394001", "SCT", "Lower zone of lung"),
}
SCORE_UNIT = Code("{score}", "UCUM", "score")
NO_UNIT = Code("1", "UCUM", "no units")
CHEST_RADIOGRAPH = Code("399208008", "SCT", "Plain chest X-ray")


class Figure(NamedTuple):
    """A number that is said of a film."""

    name: Code
    value: float
    unit: Code


class Evaluation(NamedTuple):
    """A coded statement about a film."""

    name: Code
    value: Code


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready to be written in any format."""

    digest: str  # SHA-256 over the film's digest and all that is said of it: its identity
    film_sha256: str
    model_name: str  # of the bundle
    model_version: str  # 12 hex digits over all that decides
    parameters: tuple[str, ...]  # sentences that identify what answered, to the byte
    looked_for: str  # the labels, in words: "Pneumonia, against Normal"
    figures: tuple[Figure, ...]  # none where the network did not run
    evaluations: tuple[Evaluation, ...]  # the decision first
    words: str  # the decision in the bundle's own words, a sentence
    disclaimer: str  # the bundle's
    limits: tuple[str, ...]  # sentences, the disclaimer not among them

    @property
    def decision(self) -> Code:
        """The decision, or that there is none."""
        return self.evaluations[0].value


def describe_answer(result: ScreenResult, manifest: Manifest, film_sha256: str) -> Answer:
    """Put an answer into the shared terms.

    Args:
        result: of the film.
        manifest: of the bundle that answered.
        film_sha256: of the film's bytes.
    """
    said = result.to_json()
    del said["result_id"]  # random: one answer is one answer, however often it is given
    certificate = manifest.files[CERTIFICATE].sha256 if CERTIFICATE in manifest.files else None
    model = result.model
    identity = said | {"film": film_sha256, "certificate": certificate, "labels": manifest.labels.names}
    return Answer(
        digest=digest_of_json(identity),
        film_sha256=film_sha256,
        model_name=manifest.name,
        model_version=model["version"],
        parameters=_parameters(result, certificate),
        looked_for=f"{manifest.labels.positive}, against {manifest.labels.negative}",
        figures=_figures(result),
        evaluations=_evaluations(result),
        words=_words(result),
        disclaimer=model["disclaimer"],
        limits=tuple(one for one in result.limits if one != model["disclaimer"]),
    )


def _parameters(result: ScreenResult, certificate: str | None) -> tuple[str, ...]:
    model = result.model
    whole = (
        f"File {model['artefact']}, SHA-256 {model['sha256']}",
        f"Certificate SHA-256 {certificate}, verdict {model['verdict']}"
        if certificate
        else "The bundle has no certificate",
        f"Flagged from a score of {result.calibration['threshold_score']} up",
    )
    baseline = (f"The baseline answers: {model['fallback_reason']}",) if model["fallback_reason"] else ()
    return (*whole, *baseline)


def _figures(result: ScreenResult) -> tuple[Figure, ...]:
    found = result.finding
    if found is None:
        return ()
    return (
        Figure(SCORE, found.score, SCORE_UNIT),
        Figure(CUT_OFF, found.threshold_score, SCORE_UNIT),
        Figure(PROBABILITY, round(found.probability, 4), NO_UNIT),
    )


def _evaluations(result: ScreenResult) -> tuple[Evaluation, ...]:
    found, refusal = result.finding, result.refusal
    if found is None:
        reason = own(refusal.value, sentence(refusal.value.replace("_", " "))) if refusal else NOT_ANSWERED
        return (Evaluation(DECISION, NOT_ANSWERED), Evaluation(REASON, reason))
    decision = (Evaluation(DECISION, DECISIONS[found.decision]),)
    if found.side is None or found.zone is None:
        return decision
    return (*decision, Evaluation(SIDE, SIDES[found.side]), Evaluation(ZONE, ZONES[found.zone]))


def _words(result: ScreenResult) -> str:
    if result.finding is not None:
        return f"{sentence(result.finding.words)}."
    return f"The network did not run. {result.refusal.explanation}" if result.refusal else ""
