"""What a compressed frame says of itself, held against the film's header before anything is decoded.

Decoders believe the stream and make room for what it claims: a film of 2 x 2 pixels could bring 65,535 x 65,535.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tf_serve.films.dicom.header import Header
from tf_serve.films.dicom.read import damaged
from tf_serve.films.jpeg_outline import outline

_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC and SIZ, the first two markers of JPEG 2000 (ISO 15444-1, A.5.1)
_SIZ_BYTES = 43  # up to the first component's depth


@dataclass(frozen=True, slots=True)
class Stream:
    """Size and depth as a compressed frame states them."""

    width: int
    height: int
    samples: int
    precision: int  # bits


def jpeg_stream(packed: bytes) -> Stream | None:
    """Read the header of JPEG or JPEG-LS; None where it is unusual, for decoders do not agree about those."""
    found = outline(packed)
    if found.frames != 1 or found.endless or not found.orderly:
        return None
    return Stream(found.width, found.height, found.components, found.precision)


def jpeg_2000_stream(packed: bytes) -> Stream | None:
    """Read the header of a JPEG 2000 stream; None where it does not begin with one."""
    if not packed.startswith(_CODESTREAM) or len(packed) < _SIZ_BYTES:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", packed, 8)
    return Stream(right - left, bottom - top, int.from_bytes(packed[40:42]), (packed[42] & 0x7F) + 1)


def without_boxes(packed: bytes) -> bytes:
    """Return the stream without the JP2 boxes that some writers leave around it, against PS3.5 A.4.4."""
    return packed[max(0, packed.find(_CODESTREAM)) :]


def agree(stream: Stream | None, header: Header, *, name: str) -> Stream:
    """Return the stream if it is the film's.

    Raises:
        FilmError: no header, another size, or more bits than a film has.
    """
    if stream is None:
        raise damaged(name, "the header of its compressed picture cannot be followed")
    if (stream.width, stream.height, stream.samples) != (header.columns, header.rows, header.samples):
        raise damaged(name, "its compressed picture has another size than its header says")
    if not 2 <= stream.precision <= 16:
        raise damaged(name, "its compressed picture has more than 16 bits, or less than 2")
    return stream
