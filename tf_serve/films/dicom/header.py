"""DICOM elements as plain values: what every later step reads, so that no surprise of a foreign file goes further."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tf_serve.films.dicom.read import damaged

_AGE = re.compile(r"(\d{1,3})\s*([DWMY]?)")
_UNITS_A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class Header:
    """What a film's DICOM header says, cleaned: capital letters, whole numbers, no names."""

    syntax: str  # transfer syntax UID
    sop_class: str
    rows: int
    columns: int
    samples: int  # a pixel
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str
    modality: str
    intent: str
    body_part: str
    view: str
    age_years: float | None
    orientation: str  # of rows and columns, "L\\F" as a rule
    burned_in: bool
    pictured: bool  # it has pixel data


def read_header(elements: FileDataset, *, name: str) -> Header:
    """Read the header.

    Raises:
        FilmError: an element that holds something else than its kind.
    """
    try:
        return _header(elements)
    # pydicom converts values when they are asked for and raises nearly every kind, with the value in the text
    except Exception:  # noqa: BLE001
        raise damaged(name, "an element of its header holds something else than it should") from None


def read_pixels(elements: FileDataset, *, name: str) -> bytes:
    """Return the bytes of the picture, packed or not.

    Raises:
        FilmError: the element is of a kind that holds no bytes.
    """
    try:
        value = elements["PixelData"].value
    except Exception:  # noqa: BLE001 - as above
        value = None
    if not isinstance(value, bytes):
        raise damaged(name, "its picture is stored as something else than bytes")
    return value


def _header(elements: FileDataset) -> Header:
    allocated = _number(elements, "BitsAllocated", 0)
    stored = _number(elements, "BitsStored", allocated)
    return Header(
        syntax=_syntax(elements),
        sop_class=_words(elements, "SOPClassUID") or _words(elements.file_meta, "MediaStorageSOPClassUID"),
        rows=_number(elements, "Rows", 0),
        columns=_number(elements, "Columns", 0),
        samples=_number(elements, "SamplesPerPixel", 1),
        frames=_number(elements, "NumberOfFrames", 1),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=_number(elements, "HighBit", stored - 1),
        signed=_number(elements, "PixelRepresentation", 0) == 1,
        planar=_number(elements, "PlanarConfiguration", 0),
        photometric=_words(elements, "PhotometricInterpretation"),
        modality=_words(elements, "Modality"),
        intent=_words(elements, "PresentationIntentType"),
        body_part=_words(elements, "BodyPartExamined"),
        view=_words(elements, "ViewPosition") or _view_words(elements),
        age_years=_age(_words(elements, "PatientAge")),
        orientation=_words(elements, "PatientOrientation"),
        burned_in=_words(elements, "BurnedInAnnotation") == "YES",
        pictured="PixelData" in elements,
    )


def _syntax(elements: FileDataset) -> str:
    stated = elements.file_meta.get("TransferSyntaxUID")
    if stated is not None:
        return str(stated)
    implicit, little = elements.original_encoding  # without a header pydicom tells from the first element
    return str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _number(elements: Dataset, keyword: str, default: int) -> int:
    value = elements.get(keyword)
    if value is None or value == "":
        return default
    return int(value)


def _words(elements: Dataset, keyword: str) -> str:
    value: Any = elements.get(keyword)
    parts = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)
    return "\\".join(part.strip().upper() for part in parts if isinstance(part, str))


def _view_words(elements: Dataset) -> str:
    """Return the view as its code's meaning puts it ("lateral"), for files that have no ViewPosition."""
    items = elements.get("ViewCodeSequence")
    return _words(items[0], "CodeMeaning") if items else ""


def _age(stated: str) -> float | None:
    match = _AGE.fullmatch(stated)
    return int(match[1]) / _UNITS_A_YEAR[match[2]] if match else None
