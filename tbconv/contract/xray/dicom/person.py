"""Whom a DICOM film is of, as digests: enough to keep one person's films together, never a name or a number."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pydicom import config, dcmread
from pydicom.dataset import Dataset

from tbconv.contract.xray.dicom.dataset import inflate
from tbconv.contract.xray.film import MeteredFile, silence_decoders

_TAGS: list[str] = [
    *("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "PatientAge", "PatientSex"),
]
# What anonymisers write for everybody. With a number behind it, ANON0001, it is a pseudonym: one person's own.
_NOBODY = re.compile(
    r"[\W_0x]*|anon[^\W\d]*|[^\W\d]*anonym[^\W\d]*|de-?identified|removed|redacted|unknown|none|null|n/?a|patient|test|no_?id",
    re.IGNORECASE,
)
_DIGITS = 16  # of the digest: 64 bits


@dataclass(frozen=True, slots=True)
class DicomPerson:
    """The person and the study of a film; digests, which say only whether two films share them."""

    patient: str | None
    study: str | None
    age: str | None  # as the file states it: 045Y
    sex: str | None  # M, F or O


def read_person(data: bytes) -> DicomPerson:
    """Read whom a DICOM file is of; what cannot be read is None."""
    config.settings.reading_validation_mode = config.IGNORE
    silence_decoders()
    try:
        file = MeteredFile(inflate(data, "the film"))
        found: Dataset = dcmread(file, force=True, specific_tags=_TAGS, stop_before_pixels=True)
        patient, issuer, study, age, sex = (str(found.get(tag, "") or "").strip() for tag in _TAGS)
    except Exception:  # noqa: BLE001 - on garbage pydicom raises nearly every kind there is; the decoder says it
        return DicomPerson(None, None, None, None)
    return DicomPerson(
        _digest("patient", issuer, patient) if patient and not _NOBODY.fullmatch(patient) else None,
        _digest("study", study) if study else None,
        age or None,
        sex.upper() if sex.upper() in ("F", "M", "O") else None,
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]
