"""What a film's DICOM file states of its study, as far as an object in the same study has to repeat it, and no further.

PS3.3 demands of every object of a study the attributes of type 1 and 2 of the patient and the study, with the values
that the study has; nothing else about a person is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import PersonName, validate_value

from tbconv.contract.xray.dicom.dataset import inflate
from tbconv.contract.xray.film import MeteredFile, silence_decoders
from tbconv.contract.xray.kinds import JPEG_START, PNG_START

# Type 2 in the modules Patient (PS3.3 C.7.1.1) and General Study (C.7.2.1): present in every object, empty if unknown.
DEMANDED = {
    "PatientName": "PN",
    "PatientID": "LO",
    "PatientBirthDate": "DA",
    "PatientSex": "CS",
    "StudyDate": "DA",
    "StudyTime": "TM",
    "ReferringPhysicianName": "PN",
    "StudyID": "SH",
    "AccessionNumber": "SH",
}
_REFERENCE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_PICTURE = ("PatientOrientation", "BurnedInAnnotation", "LossyImageCompression")
_UID = re.compile(r"[0-9.]{3,64}")
_DIRECTION = re.compile(r"[APLRHF]{1,3}")  # Patient Orientation, PS3.3 C.7.6.1.1.1
_SEXES = ("M", "F", "O")
UTF_8 = "ISO_IR 192"
TEXT_VR = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))  # what a character set applies to


@dataclass(frozen=True, slots=True)
class Study:
    """The study that an object about a film lies in, and the film in it."""

    uid: str
    stated: Dataset  # DEMANDED, with the film's values; all empty where the film is no DICOM file
    film: Dataset | None  # SOP class, instance, series and study of the film; None where it is no DICOM file
    orientation: list[str]  # of the film's rows and columns; empty where the film does not say it
    burned_in: str | None  # YES or NO, as the film states it
    lossy: bool  # the film was compressed with loss


def read_study(data: bytes, digest: str) -> Study:
    """Read what a film states of its study.

    Args:
        data: a whole PNG, JPEG or DICOM file.
        digest: SHA-256 of it, which the generated study of a film without one is named after.
    """
    found = None if data.startswith((PNG_START, JPEG_START)) else _header(data)
    reference = {} if found is None else {name: str(found.get(name, "") or "").strip() for name in _REFERENCE}
    if found is None or not all(map(_UID.fullmatch, reference.values())):
        return _nobody(digest, lossy=data.startswith(JPEG_START))
    film = Dataset()
    for name, uid in reference.items():
        setattr(film, name, UID(uid))
    stated = Dataset()
    for name, vr in DEMANDED.items():
        setattr(stated, name, _valid(found, name, vr))
    burned_in = _text(found, "BurnedInAnnotation").upper()
    return Study(
        uid=reference["StudyInstanceUID"],
        stated=stated,
        film=film,
        orientation=_orientation(found),
        burned_in=burned_in if burned_in in ("YES", "NO") else None,
        lossy=_text(found, "LossyImageCompression") == "01",
    )


def _nobody(digest: str, *, lossy: bool) -> Study:
    stated = Dataset()
    for name in DEMANDED:
        setattr(stated, name, "")
    uid = generate_uid(entropy_srcs=["tbconv study", digest])
    return Study(uid, stated, None, [], None, lossy)


def _header(data: bytes) -> Dataset | None:
    config.settings.reading_validation_mode = config.IGNORE
    silence_decoders()
    try:
        file = MeteredFile(inflate(data, "the film"))
        tags = ["SpecificCharacterSet", *_REFERENCE, *DEMANDED, *_PICTURE]
        found = dcmread(file, force=True, specific_tags=tags, stop_before_pixels=True)
        for name in tags:  # decoded here, where what a foreign file holds can still be refused
            found.get(name)
    except Exception:  # noqa: BLE001 - on garbage pydicom raises nearly every kind there is; the decoder says it
        return None
    return found


def _text(found: Dataset, name: str) -> str:
    value = found.get(name)
    return str(value).strip() if isinstance(value, str | PersonName) else ""


def _valid(found: Dataset, name: str, vr: str) -> str:
    """Return a value as the film states it; empty where it is none that the standard allows."""
    value = _text(found, name)
    if name == "PatientSex" and value not in _SEXES:
        return ""
    try:
        validate_value(vr, value, config.RAISE)
    except ValueError:
        return ""
    return value


def _orientation(found: Dataset) -> list[str]:
    value = found.get("PatientOrientation")
    parts = [str(one).strip() for one in value] if isinstance(value, MultiValue) else []
    return parts if len(parts) == 2 and all(map(_DIRECTION.fullmatch, parts)) else []


def state_character_set(made: Dataset) -> Dataset:
    """State UTF-8 in an object that holds anything but ASCII, and nothing in any other: each reader knows ASCII."""
    found: list[bool] = []

    def look(_: Dataset, element: DataElement) -> None:
        if element.VR in TEXT_VR:
            found.append(not str(element.value).isascii())

    made.walk(look)
    if any(found):
        made.SpecificCharacterSet = UTF_8
    return made


def remove_dates_of_call(made: Dataset) -> None:
    """Remove the times at which highdicom was called: none is demanded, and the same answer is the same bytes."""
    for name in _DATES_OF_CALL:
        if name in made:
            delattr(made, name)
    for equipment in made.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in equipment:
            del equipment.ContributionDateTime


_DATES_OF_CALL = (
    *("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"),
    *("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)
