"""The one frame of a film as stored values: uncompressed here, JPEG by Pillow, all else by a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from tbconv.contract.errors import FilmError
from tf_serve.films.dicom.apart import decode_apart
from tf_serve.films.dicom.header import Header
from tf_serve.films.dicom.read import damaged
from tf_serve.films.dicom.stream import Stream, agree, jpeg_2000_stream, jpeg_stream, without_boxes
from tf_serve.films.metered import MeteredFile

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG_8_OR_12 = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
JPEG_OTHERS = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless)
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)


@dataclass(frozen=True, slots=True)
class Frame:
    """Stored values, before any look-up table."""

    values: NDArray[np.integer]  # [H, W] or [H, W, 3]
    bits: int  # that a value uses
    signed: bool
    photometric: str  # of the values, which a decoder may have changed


def decode_frame(header: Header, pixel_data: bytes, *, name: str) -> Frame:
    """Decode the film's only frame.

    Raises:
        FilmError: damaged, compressed in a way that is not read, or a stream that contradicts the header.
    """
    if header.syntax in (*NATIVE, uid.DeflatedExplicitVRLittleEndian):
        return _native(header, pixel_data, name)
    if header.syntax not in (*JPEG_8_OR_12, *JPEG_OTHERS, *JPEG_2000, uid.RLELossless):
        raise FilmError(
            f"{name} is DICOM, compressed in a way that is not read here",
            why="it is neither plain, deflated, JPEG, JPEG-LS, JPEG 2000 nor RLE",
            fix="export it uncompressed, or as PNG",
        )
    return _compressed(header, _only_frame(pixel_data, name), name)


def _native(header: Header, pixel_data: bytes, name: str) -> Frame:
    big = header.syntax == uid.ExplicitVRBigEndian
    return _unpack(header, pixel_data, uid.ExplicitVRBigEndian if big else uid.ExplicitVRLittleEndian, name)


def _only_frame(pixel_data: bytes, name: str) -> bytes:
    try:
        return get_frame(MeteredFile(pixel_data), 0, number_of_frames=1)
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "the pieces of its compressed picture do not fit together") from None


def _compressed(header: Header, packed: bytes, name: str) -> Frame:
    if header.syntax == uid.RLELossless:
        stream = Stream(header.columns, header.rows, header.samples, header.bits_stored)
        # each byte of a value, and each colour, is a plane of its own (PS3.5 annex G)
        return _apart("rle", packed, header, stream, name, planar_configuration=1, bits_allocated=header.bits_allocated)
    if header.syntax in JPEG_2000:
        packed = without_boxes(packed)
        stream = agree(jpeg_2000_stream(packed), header, name=name)
        return _apart("openjpeg", packed, header, stream, name)
    stream = agree(jpeg_stream(packed), header, name=name)
    if header.syntax in JPEG_8_OR_12 and stream.precision == 8:
        source = encapsulate([packed], has_bot=False)
        return _unpack(header, source, uid.JPEGBaseline8Bit, name, stream, decoding_plugin="pillow")
    return _apart("libjpeg", packed, header, stream, name)


def _apart(decoder: str, packed: bytes, header: Header, stream: Stream, name: str, **how: int) -> Frame:
    size = {"rows": header.rows, "columns": header.columns, "bits_allocated": header.bits_allocated}
    most = header.rows * header.columns * header.samples * 2
    unpacked = decode_apart(decoder, packed, size=size, most=most, name=name)
    return _unpack(header, unpacked, uid.ExplicitVRLittleEndian, name, stream, **how)


def _unpack(
    header: Header, source: bytes, syntax: uid.UID, name: str, stream: Stream | None = None, **how: Any
) -> Frame:
    """Let pydicom put bytes into an array: byte order, planes, unused bits and signs."""
    bits = stream.precision if stream else header.bits_stored
    photometric = _after_decoding(header.photometric) if stream else header.photometric
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "number_of_frames": 1,
        "bits_allocated": (8 if bits <= 8 else 16) if stream else header.bits_allocated,
        "bits_stored": bits,
        "pixel_representation": int(header.signed),
        "planar_configuration": 0 if stream else header.planar,
        "photometric_interpretation": photometric,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW",
        "allow_excess_frames": False,
        "view_only": True,  # the film's own bytes where they can stay as they are, not a copy
        **how,
    }
    try:
        values, found = get_decoder(syntax).as_array(source, index=0, raw=True, **options)
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "its picture is damaged, or shorter than its header says") from None
    # stream and header may each claim more bits than the values use, and black to white is told from them
    used = min(bits, header.bits_stored) if _fit(values, header) else bits
    return Frame(values, used, header.signed, str(found["photometric_interpretation"]))


def _fit(values: NDArray[np.integer], header: Header) -> bool:
    least = -(2 ** (header.bits_stored - 1)) if header.signed else 0
    return least <= int(values.min()) and int(values.max()) < least + 2**header.bits_stored


def _after_decoding(photometric: str) -> str:
    """Return what decoders leave: JPEG 2000 comes back as RGB, and halved colours at full size."""
    if photometric in ("YBR_ICT", "YBR_RCT"):
        return "RGB"
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric
