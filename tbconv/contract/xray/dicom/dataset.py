"""Bytes to the few DICOM elements that matter, within a budget: names, numbers and dates are never even kept.

pydicom reads; what it is given is bounded first (bytes to inflate, reads to make), and what it would say about a
value is not passed on, because values of other people's files are names.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydicom import config
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tbconv.contract.errors import FilmError
from tbconv.contract.xray.dicom.shutters import OVERLAYS, PADDING, SHUTTERS
from tbconv.contract.xray.film import MeteredFile, Rejected, RejectionReason

# The elements that are read. Segmented palettes are not among them: 6 bytes of one stand for 65,535 colours.
_TAGS: list[str | int] = [
    *("SOPClassUID", "Modality", "PresentationIntentType", "BodyPartExamined", "ViewPosition", "ViewCodeSequence"),
    *("PatientAge", "PatientOrientation", "BurnedInAnnotation", "NumberOfFrames", "Rows", "Columns"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", *PADDING, *SHUTTERS, "PixelData"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *OVERLAYS,
]
_PIXEL_DATA = 0x7FE00010
_SEQUENCES = ("ViewCodeSequence", "ModalityLUTSequence", "VOILUTSequence")
MAX_SEQUENCE = 512 * 1024  # bytes: two tables of 65,536 entries, the most that one look-up step can use, and room
MAX_INFLATED = 80_000_000  # bytes: the largest picture that is decoded (pictures.MAX_DECODED), and its header
_STEP = 1024 * 1024  # bytes inflated at a time while only counting
# The file's own header, written again: only the syntax of what follows it.
_PLAIN_META = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + f"{ExplicitVRLittleEndian}\0".encode()


def read_elements(data: bytes, *, name: str) -> FileDataset:
    """Read the elements of _TAGS.

    Raises:
        FilmError: damaged, more pieces than any film has, or too much to inflate.
    """
    config.settings.reading_validation_mode = config.IGNORE  # what a value may not be, header.py decides
    try:
        plain = inflate(data, name)
        elements = read_partial(
            MeteredFile(plain), _after_pixels(), force=True, specific_tags=[Tag(tag) for tag in _TAGS]
        )
    except FilmError:
        raise
    # On garbage pydicom raises nearly every kind there is, with values of the file in the text: neither leaves here.
    except Exception:  # noqa: BLE001
        raise damaged(name, "its elements cannot be read to the end, or nest or multiply beyond any film's") from None
    _refuse_sequences(elements, name)
    return elements


def _after_pixels() -> Callable[[BaseTag, str | None, int], bool]:
    """Return what stops pydicom behind the pixels: some writers fill a block up with zeros there."""
    pixels_read = False

    def stop(tag: BaseTag, *_: object) -> bool:
        nonlocal pixels_read
        pixels_read, stops = tag == _PIXEL_DATA or pixels_read, pixels_read
        return stops

    return stop


def damaged(name: str, why: str) -> FilmError:
    """Return the error of a DICOM file that cannot be read; `why` never quotes the file."""
    return FilmError(f"{name} cannot be read as DICOM", why=why, fix="export it again, or as PNG from a viewer")


def inflate(data: bytes, name: str) -> bytes:
    """Return a deflated file as a plain one; any other file as it is."""
    if str(DeflatedExplicitVRLittleEndian).encode() not in data:
        return data
    file = MeteredFile(data)
    read_preamble(file, force=True)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        raise damaged(name, "its own header cannot be followed")
    packed = file.read()
    if _inflated_size(packed) > MAX_INFLATED:
        raise damaged(name, f"it inflates to more than {MAX_INFLATED:,} bytes, which would fill the memory")
    return bytes(128) + b"DICM" + _PLAIN_META + zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed)


def _inflated_size(packed: bytes) -> int:
    """Return how many bytes it inflates to, counted without keeping them and no further than MAX_INFLATED."""
    unpacker, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, packed
    while rest and size <= MAX_INFLATED and not unpacker.eof:
        size += len(unpacker.decompress(rest, _STEP))
        rest = unpacker.unconsumed_tail
    return size


def _refuse_sequences(elements: FileDataset, name: str) -> None:
    for keyword in _SEQUENCES:
        if keyword in elements:
            value = getattr(elements.get_item(keyword), "value", None)
            if isinstance(value, bytes) and len(value) > MAX_SEQUENCE:
                raise damaged(name, "one of its look-up tables is larger than any that a film uses")


# --- header ---
# DICOM elements as plain values: what every later step reads, so that no surprise of a foreign file goes further.

_AGE = re.compile(r"(\d{1,3})\s*([DWMY]?)")
_UNITS_A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class DicomHeader:
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
    words: bool  # its bytes are words of 16 bits, which big endian swaps even for pixels of 8 (VR OW)


def read_header(elements: FileDataset, *, name: str) -> DicomHeader:
    """Read the header.

    Raises:
        FilmError: an element that holds something else than its kind.
    """
    try:
        return _header(elements)
    # pydicom converts values when they are read and raises nearly every kind, with the value in the text
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


def _header(elements: FileDataset) -> DicomHeader:
    allocated = _number(elements, "BitsAllocated", 0)
    stored = _number(elements, "BitsStored", allocated)
    return DicomHeader(
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
        words="PixelData" in elements and elements.get_item("PixelData").VR != "OB",
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


# --- fitness ---
# Is it a frontal chest film by its own words? A tag that is missing or unknown never speaks against a film.

# Plain radiographs: DX, CR, RG (film) and DR as some devices write it. OT, SC and HC are what digitised films and
# secondary captures are filed under, so they say nothing against one.
RADIOGRAPHS = frozenset(("DX", "CR", "RG", "DR", "OT", "SC", "HC"))
FRONTAL = ("PA", "AP")
# Defined terms of DX View Position (PS3.3 C.8.11.5.1.1) and the free words of CR devices.
LATERAL = frozenset(("LL", "RL", "LAT", "LLAT", "RLAT"))
OTHER_VIEW = frozenset(("LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "LLD", "RLD", "OBL", "DECUB"))
LATERAL_WORDS = re.compile(r"LATERAL|\bLAT\b")
OTHER_WORDS = re.compile(r"OBLIQUE|DECUBITUS|\bOBL\b|\bDECUB\b")
# Body Part Examined (PS3.16 annex L) is often missing or wrong, so only parts far from the chest speak against it.
OTHER_PARTS = frozenset(
    (
        *("SKULL", "HEAD", "BRAIN", "JAW", "SINUS", "ORBIT", "HAND", "FINGER", "THUMB", "WRIST", "FOREARM", "ELBOW"),
        *("HUMERUS", "HIP", "PELVIS", "FEMUR", "THIGH", "KNEE", "PATELLA", "LEG", "TIBIA", "FIBULA", "ANKLE", "FOOT"),
        *("TOE", "CALCANEUS", "LSPINE", "CSPINE", "SSPINE", "COCCYX", "BREAST", "TEETH", "TOOTH"),
    )
)
RAW_INTENT = "FOR PROCESSING"  # Presentation Intent Type (PS3.3 C.8.11.2.1.2)


def reject_by_header(header: DicomHeader) -> None:
    """Raise Rejected with the first reason that the file gives itself."""
    view = header.view
    reasons = (
        (RejectionReason.OTHER_MODALITY, header.modality and header.modality not in RADIOGRAPHS),
        (RejectionReason.OTHER_BODY_PART, header.body_part in OTHER_PARTS),
        (RejectionReason.NOT_FOR_VIEWING, header.intent == RAW_INTENT),
        (RejectionReason.OTHER_VIEW, view in OTHER_VIEW or OTHER_WORDS.search(view)),  # first: a lateral decubitus
        (RejectionReason.LATERAL_VIEW, view in LATERAL or LATERAL_WORDS.search(view)),
        (RejectionReason.MULTI_FRAME, header.frames > 1),
        (RejectionReason.NO_PICTURE, not header.pictured and _stores_no_picture(header.sop_class)),
    )
    for reason, holds in reasons:
        if holds:
            raise Rejected(reason)


def _stores_no_picture(sop_class: str) -> bool:
    """Whether a file is of a kind without pictures; a radiograph that lacks its picture is damaged instead."""
    return bool(sop_class) and "Image Storage" not in UID(sop_class).name
