"""Bytes to the few DICOM elements that matter, within a budget: names, numbers and dates are never even kept.

pydicom reads; what it is given is bounded first (bytes to inflate, reads to make), and what it would say about a
value is not passed on, because values of other people's files are names.
"""

from __future__ import annotations

import struct
import zlib

from pydicom import config, dcmread
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from tbconv.contract.errors import FilmError
from tf_serve.films.metered import MeteredFile

# The elements that are read. Segmented palettes are not among them: 6 bytes of one stand for 65,535 colours.
_TAGS: list[str] = [
    *("SOPClassUID", "Modality", "PresentationIntentType", "BodyPartExamined", "ViewPosition", "ViewCodeSequence"),
    *("PatientAge", "PatientOrientation", "BurnedInAnnotation", "NumberOfFrames", "Rows", "Columns"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "PixelData"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
]
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
        plain = _inflate(data, name)
        elements = dcmread(MeteredFile(plain), force=True, specific_tags=_TAGS)
    except FilmError:
        raise
    # On garbage pydicom raises nearly every kind there is, with values of the file in the text: neither leaves here.
    except Exception:  # noqa: BLE001
        raise damaged(name, "its elements cannot be read to the end, or nest or multiply beyond any film's") from None
    _refuse_sequences(elements, name)
    return elements


def damaged(name: str, why: str) -> FilmError:
    """Return the error of a DICOM file that cannot be read; `why` never quotes the file."""
    return FilmError(f"{name} cannot be read as DICOM", why=why, fix="export it again, or as PNG from a viewer")


def _inflate(data: bytes, name: str) -> bytes:
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
