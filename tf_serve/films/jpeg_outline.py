"""What a JPEG or JPEG-LS stream says of itself before anything is decoded: size, depth, frames and scans.

Decoders believe this header and make room for it, and go through the whole picture once a scan; so it is read here
first, the same way for a JPEG file and for a JPEG inside DICOM.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

# libjpeg goes through the whole picture once a scan, and a scan of an empty picture is some bytes long: 1 MB can ask
# for an hour. Progressive files have 6 scans (grey) to 13 (colour, hand-tuned).
MAX_SCANS = 32
MAX_SEGMENTS = 2_000  # a photograph with profile, thumbnail and notes has some 60
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # neither a stuffed byte, a restart nor a fill byte
_ALONE = frozenset((0x01, 0xD8))  # TEM and SOI carry no length
_EOI, _SOS, _JPEG_LS = 0xD9, 0xDA, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}  # SOF0..15 and JPEG-LS; not DHT, JPG, DAC


@dataclass(frozen=True, slots=True)
class JpegOutline:
    """The header of a stream, as far as it could be followed."""

    width: int = 0  # of the last frame; 0: no frame was found
    height: int = 0
    precision: int = 0  # bits a sample
    components: int = 0
    frames: int = 0
    scans: int = 0
    segments: int = 0
    orderly: bool = True  # up to the first scan each segment begins where the one before it ends

    @property
    def endless(self) -> bool:
        """Whether it is made of more parts than any film, so that decoding would not end."""
        return self.scans > MAX_SCANS or self.segments > MAX_SEGMENTS


def outline(stream: bytes) -> JpegOutline:
    """Follow a stream's segments, from its first byte to its end or to more parts than any film has."""
    found = JpegOutline()
    position = 0
    while not found.endless and (match := _MARKER.search(stream, position)):
        marker, after = match[1][0], match.end()
        if marker == _EOI:
            break
        found = _with(found, marker, stream[after : after + 8], gap=match.start() - position)
        length = 0 if marker in _ALONE else int.from_bytes(stream[after : after + 2])
        position = after + length
    return found


def _with(found: JpegOutline, marker: int, head: bytes, *, gap: int) -> JpegOutline:
    frame = (found.width, found.height, found.precision, found.components)
    if marker in _FRAMES and len(head) == 8:
        precision, height, width, components = struct.unpack(">xxBHHB", head)
        frame = (width, height, precision, components)
    return JpegOutline(
        *frame,
        frames=found.frames + (marker in _FRAMES),
        scans=found.scans + (marker == _SOS),
        segments=found.segments + 1,
        orderly=found.orderly and (gap == 0 or found.scans > 0),
    )
