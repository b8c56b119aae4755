"""The answer as FHIR R4: a transaction of a Device, an Observation a figure, and a preliminary DiagnosticReport.

The models are fhir.resources' R4B: of these resources R4B (4.3.0) changed no element, so what they validate is R4
(4.0.1). fhir.resources' own default is R5, which no hospital's interface that speaks R4 reads: DiagnosticReport has
other elements there (`study` for `imagingStudy`).

Every entry is a conditional create by an identifier made of digests, so that a bundle that is posted twice makes
nothing twice. Nobody is named: a DICOM film's study is referred to by its UID, which the server resolves.
"""

from __future__ import annotations

import uuid
from html import escape
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from pydicom.uid import UID

from tbconv.contract import __version__
from tf_serve.score.hospital.answer import (
    CUT_OFF,
    DECISION,
    FILM,
    LOOKED_FOR,
    MAKER,
    NOT_ANSWERED,
    REASON,
    SCHEME,
    SCHEME_UID,
    SCORE,
    Answer,
    Code,
    Figure,
)
from tf_serve.score.hospital.study import Study

URN = "urn:ietf:rfc:3986"  # the system of identifiers that are URIs
SYSTEMS = {
    SCHEME: f"urn:oid:{SCHEME_UID}",
    "SCT": "http://snomed.info/sct",
    "UCUM": "http://unitsofmeasure.org",
}
# "healthcare research", of HL7's own list of purposes: what the data may be used for
RESEARCH = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HRESCH",
    "display": "healthcare research",
}
RADIOLOGY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}]
}
IMAGING = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "imaging",
            "display": "Imaging",
        }
    ]
}
CHEST_SINGLE_VIEW = {"system": "http://loinc.org", "code": "36554-4", "display": "XR Chest Single view"}
NOT_PERFORMED = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
            "code": "not-performed",
            "display": "Not Performed",
        }
    ]
}


def make_fhir(answer: Answer, study: Study) -> bytes:
    """Write an answer as a FHIR R4 transaction bundle.

    Args:
        answer: what is said.
        study: that the film lies in.

    Returns:
        JSON, UTF-8.
    """
    device = _device(answer)
    device_url = _urn("device", *answer.parameters, answer.model_version)
    by_device = {"device": {"reference": device_url}}
    observations = {
        _urn("observation", answer.digest, name.value): one | by_device
        for name, one in ((DECISION, _decision(answer)), *_figures(answer))
    }
    report = _report(answer, study, list(observations))
    urls = {device_url: device} | observations | {_urn("report", answer.digest): report}
    entries = [_entry(url, resource) for url, resource in urls.items()]
    bundle = Bundle.model_validate({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return f"{bundle.model_dump_json(indent=2)}\n".encode()


def _urn(*parts: str) -> str:
    """Return a UUID made of the parts, as a URN (RFC 9562, version 5)."""
    return uuid.uuid5(uuid.NAMESPACE_OID, "\n".join((SCHEME_UID, __version__, *parts))).urn


def _entry(url: str, resource: dict[str, Any]) -> dict[str, Any]:
    kind = resource["resourceType"]
    request = {"method": "POST", "url": kind, "ifNoneExist": f"identifier={URN}|{url}"}
    return {"fullUrl": url, "resource": resource | {"identifier": [{"system": URN, "value": url}]}, "request": request}


def _coding(code: Code) -> dict[str, str]:
    return {"system": SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}


def _concept(code: Code, text: str | None = None) -> dict[str, Any]:
    return {"coding": [_coding(code)], "text": text or code.meaning}


def _device(answer: Answer) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "meta": {"security": [RESEARCH]},
        "status": "active",
        "manufacturer": MAKER,
        "deviceName": [{"name": answer.model_name, "type": "model-name"}],
        "serialNumber": answer.model_version,
        "version": [{"value": answer.model_version}],
        "type": {"text": "Software that screens chest radiographs; a research tool, not a medical device"},
        "note": [{"text": one} for one in answer.parameters],
    }


def _observation(name: Code) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "meta": {"security": [RESEARCH]},
        "status": "preliminary",
        "category": [IMAGING],
        "code": _concept(name),
    }


def _decision(answer: Answer) -> dict[str, Any]:
    decision, *others = answer.evaluations
    answered = decision.value != NOT_ANSWERED
    said = {"valueCodeableConcept": _concept(decision.value, answer.words)}
    if not answered:
        said = {"dataAbsentReason": NOT_PERFORMED}
    components: list[dict[str, Any]] = [
        {"code": _concept(one.name), "valueCodeableConcept": _concept(one.value)} for one in others
    ]
    texts = ((LOOKED_FOR, answer.looked_for), (FILM, answer.film_sha256))
    components += [{"code": _concept(name), "valueString": text} for name, text in texts]
    notes = [{"text": one} for one in (answer.disclaimer, *answer.limits)]
    return _observation(DECISION) | said | {"note": notes, "component": components}


def _figures(answer: Answer) -> list[tuple[Code, dict[str, Any]]]:
    """Return an observation a figure, by its name; the cut-off stands with the score, as what it is read against."""
    found = {one.name: one for one in answer.figures}
    made = []
    for name, figure in found.items():
        if name == CUT_OFF:
            continue
        observation = _observation(name) | {"valueQuantity": _quantity(figure), "note": [{"text": answer.disclaimer}]}
        if name == SCORE:
            # not "normal": a score below the cut-off rules nothing out
            cut_off = found[CUT_OFF]
            words = f"flagged from {cut_off.value} up"
            observation["referenceRange"] = [{"low": _quantity(cut_off), "type": {"text": "flagged"}, "text": words}]
        made.append((name, observation))
    return made


def _quantity(figure: Figure) -> dict[str, Any]:
    unit = figure.unit
    return {"value": figure.value, "unit": unit.value.strip("{}"), "system": SYSTEMS[unit.scheme], "code": unit.value}


def _report(answer: Answer, study: Study, results: list[str]) -> dict[str, Any]:
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": [RESEARCH]},
        "text": {"status": "generated", "div": _narrative(answer)},
        "status": "preliminary",
        "category": [RADIOLOGY],
        "code": {"coding": [CHEST_SINGLE_VIEW], "text": "Screening of a chest radiograph by a research tool"},
        "result": [{"reference": url} for url in results],
        "conclusion": f"{answer.words} {answer.disclaimer}",
        "conclusionCode": [_concept(answer.decision)],
    }
    if study.film is not None:
        of_study = {"system": "urn:dicom:uid", "value": f"urn:oid:{UID(study.uid)}"}
        report["imagingStudy"] = [{"type": "ImagingStudy", "identifier": of_study}]
    return report


def _narrative(answer: Answer) -> str:
    """Return what a person reads who sees nothing else of the report, as XHTML."""
    figures = [f"{one.name.meaning}: {one.value}" for one in answer.figures]
    coded = [f"{one.name.meaning}: {one.value.meaning}" for one in answer.evaluations if one.name != REASON]
    lines = (answer.words, answer.disclaimer, *coded, *figures, f"Looked for: {answer.looked_for}", *answer.limits)
    inside = "".join(f"<p>{escape(one, quote=False)}</p>" for one in (*lines, *answer.parameters))
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'
