"""The answer as a DICOM structured report: TID 1500 (IHE AI Results), Comprehensive 3D SR, unverified and preliminary.

One measurement group (TID 1501) holds all: decision, side and zone as coded evaluations, score, cut-off and probability
as measurements, the algorithm (TID 4019), and disclaimer, words and limits as comments. The observer is a device
(TID 1004). highdicom writes the templates; what TID 1500 allows beyond them (it is extensible) is added here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import highdicom as hd
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid
from pydicom.valuerep import DA, TM

from tbconv.contract import __version__
from tf_serve.score.hospital.answer import (
    CHEST_RADIOGRAPH,
    FILM,
    LOOKED_FOR,
    MAKER,
    SCHEME,
    SCHEME_NAME,
    SCHEME_UID,
    SCREENING,
    Answer,
    Code,
)
from tf_serve.score.hospital.study import DEMANDED, Study, remove_dates_of_call, state_character_set

SERIES_NUMBER, CAPTURE_SERIES_NUMBER = 9001, 9002  # beyond those of devices
LONGEST = 64  # characters of a long string (VR LO)
COMMENT = Code("121106", "DCM", "Comment")
BEST_ILLUSTRATION = Code("121080", "DCM", "Best illustration of finding")
DEVICE = Code("121007", "DCM", "Device")
DESCRIPTION = f"{MAKER}: research result, unverified"


def make_report(answer: Answer, study: Study, *, made: datetime, capture: Dataset | None) -> Dataset:
    """Write an answer as a structured report.

    Args:
        answer: what is said.
        study: that the film lies in.
        made: when, in the hospital's local time: PS3.3 demands the date of a report's content.
        capture: the picture of the same answer, which the report then refers to.

    Returns:
        A Comprehensive 3D SR, with its file's own header.
    """
    uid = generate_uid(entropy_srcs=["tbconv report", __version__, answer.digest, made.isoformat()])
    evidence = _evidence(study, capture)
    nothing = _anonymous(study, SecondaryCaptureImageStorage, uid, uid)  # highdicom wants one; it is removed again
    report = hd.sr.Comprehensive3DSR(
        evidence=evidence or [nothing],
        content=_content(answer, study, capture)[0],
        series_instance_uid=generate_uid(entropy_srcs=["tbconv series", uid]),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        series_description=DESCRIPTION,
        **equipment(answer),
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(SCHEME, name=SCHEME_NAME, uid=SCHEME_UID),
        ],
    )
    remove_dates_of_call(report)
    report.update(study.stated)
    report.ContentDate, report.ContentTime = DA(made.date()), TM(made.time().replace(microsecond=0))
    if not evidence:
        del report.CurrentRequestedProcedureEvidenceSequence
    return state_character_set(report)


def equipment(answer: Answer) -> dict[str, Any]:
    """Return what highdicom asks of the device that made an object."""
    return {
        "manufacturer": MAKER,
        "manufacturer_model_name": long_string(answer.model_name),
        "device_serial_number": answer.model_version,
        "software_versions": __version__,
    }


def long_string(text: str) -> str:
    r"""Return text that a long string (LO) may hold: 64 characters, no backslash, which separates values."""
    return text.replace("\\", "/")[:LONGEST].strip()


def _evidence(study: Study, capture: Dataset | None) -> list[Dataset]:
    """Return what the report refers to, as highdicom takes it: it sees no person's data, and can log none."""
    found = [study.film] if study.film is not None else []
    if capture is not None:
        found.append(capture)
    return [_anonymous(study, one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID) for one in found]


def _anonymous(study: Study, sop_class: str, instance: str, series: str) -> Dataset:
    one = Dataset()
    for name in DEMANDED:
        setattr(one, name, "")
    one.StudyInstanceUID = study.uid
    one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID = sop_class, instance, series
    return one


def concept(code: Code) -> CodedConcept:
    """Return a code as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _content(answer: Answer, study: Study, capture: Dataset | None) -> hd.sr.MeasurementReport:
    sources = []
    if study.film is not None:
        film = study.film
        sources.append(hd.sr.SourceImageForMeasurementGroup(film.SOPClassUID, film.SOPInstanceUID))
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=generate_uid(entropy_srcs=["tbconv tracking", answer.digest]), identifier=SCREENING.meaning
        ),
        algorithm_id=hd.sr.AlgorithmIdentification(
            name=answer.model_name, version=answer.model_version, parameters=answer.parameters, manufacturer=MAKER
        ),
        measurements=[hd.sr.Measurement(concept(one.name), one.value, concept(one.unit)) for one in answer.figures],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(concept(one.name), concept(one.value)) for one in answer.evaluations
        ],
        source_images=sources,
    )
    inside = group[0].ContentSequence
    inside.append(_text(LOOKED_FOR, answer.looked_for))
    inside.append(_text(FILM, answer.film_sha256))
    if capture is not None:
        inside.append(
            hd.sr.ImageContentItem(
                concept(BEST_ILLUSTRATION),
                capture.SOPClassUID,
                capture.SOPInstanceUID,
                relationship_type=RelationshipTypeValues.CONTAINS,
            )
        )
    for line in (answer.words, answer.disclaimer, *answer.limits):
        inside.append(_text(COMMENT, line))
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=_observer(answer)),
        procedure_reported=concept(CHEST_RADIOGRAPH),
        imaging_measurements=[group],
        title=PydicomCode("126000", "DCM", "Imaging Measurement Report"),
    )


def _observer(answer: Answer) -> hd.sr.ObserverContext:
    return hd.sr.ObserverContext(
        observer_type=concept(DEVICE),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=["tbconv device", *answer.parameters]),
            name=f"{MAKER} (research tool, not a medical device)",
            manufacturer_name=MAKER,
            model_name=answer.model_name,
            serial_number=answer.model_version,
        ),
    )


def _text(name: Code, value: str) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(concept(name), value, relationship_type=RelationshipTypeValues.CONTAINS)
