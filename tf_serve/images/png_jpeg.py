"""PNG and JPEG from outside: the contract's pixels, behind limits on what a small file can cost."""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tbconv.contract.errors import FilmError
from tbconv.contract.xray import grey_pixels, open_xray
from tf_serve.images.types import Container, FilmFacts, OpenedFilm

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
# Pillow keeps 1 MB of each packed text or profile, up to 64 MB a file, before a pixel is decoded.
MAX_TEXTS = 8
_TEXTS = (b"iTXt", b"zTXt", b"iCCP")
_CHUNK = struct.Struct(">I4s")  # a PNG's chunk begins with the length of its content, and its kind
_AROUND = 12  # bytes of a chunk beside its content: these, and a checksum
# Bytes of the decoded picture, which stands in memory two or three times for a moment. The largest published
# films (Shenzhen, Montgomery: 4,892 x 4,892) have 48 MB at 16 bits and 72 MB as RGB.
MAX_DECODED = 75_000_000
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA", "La", *_DEEP_MODES)
_BITS = dict.fromkeys(_DEEP_MODES, 16) | {"1": 1}
_THUMBNAIL = 64  # pixels of its shorter side: enough to see a colour, and noise of single pixels cancels out


def open_picture(data: bytes, *, name: str) -> OpenedFilm:
    """Decode a PNG or JPEG.

    Raises:
        FilmError: damaged, too large, or made of so many parts that decoding it would not end.
    """
    container: Container = "PNG" if data.startswith(PNG_START) else "JPEG"
    if (container == "PNG" and _texts(data) > MAX_TEXTS) or (container == "JPEG" and outline(data).endless):
        why = "each of its parts costs memory or time, and no film has as many"
        raise FilmError(f"{name} is made of too many parts", why=why, fix="export the film again, without its notes")
    picture = open_xray(MeteredFile(data), name=name, max_decoded=MAX_DECODED)
    bits, chroma = _BITS.get(picture.mode, 8), mean_chroma(picture)
    pixels = grey_pixels(picture, name=name)
    height, width = pixels.shape
    return OpenedFilm(pixels, FilmFacts(container, width, height, bits, chroma))


def mean_chroma(picture: Image.Image) -> float:
    """Return how coloured a picture is: the mean distance of a pixel's strongest and weakest colour, 0..255."""
    if picture.mode in _GREY_MODES:
        return 0.0
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGB")  # numbers of colours cannot be averaged
    small = picture.reduce(max(1, min(picture.size) // _THUMBNAIL)).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(small), 2, 0)
    strongest, weakest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return float((strongest - weakest).mean())


def _texts(data: bytes) -> int:
    """Count a PNG's packed texts and profiles by walking its chunks; too many chunks count as too many texts."""
    found, place = 0, len(PNG_START)
    for _ in range(MAX_READS):
        if place + 8 > len(data):
            return found
        length, kind = _CHUNK.unpack_from(data, place)
        found += kind in _TEXTS
        place += length + _AROUND
    return MAX_TEXTS + 1


# --- jpeg outline ---
# What a JPEG or JPEG-LS stream says of itself before anything is decoded: size, depth, frames and scans.
#
# Decoders believe this header and make room for it, and go through the whole picture once a scan; so it is read here
# first, the same way for a JPEG file and for a JPEG inside DICOM.

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


# --- metered ---
# A file in memory that allows so many reads: the one bound on what a hostile header can make a parser do.
#
# Pillow and pydicom loop in Python over chunks, markers and elements, and each turn reads. A body of 32 MB can hold
# millions of them, which takes minutes and, as objects, gigabytes; counting reads stops both without a second parser.

MAX_READS = 50_000  # a film of a detector takes some hundreds, a PNG of 32 MB in chunks of 8 kB some 16,000


class TooManyReadsError(OSError):
    """The file is made of more pieces than any film."""


class MeteredFile(io.BytesIO):
    """A `BytesIO` whose reads are counted."""

    def __init__(self, data: bytes, *, reads: int = MAX_READS) -> None:
        super().__init__(data)
        self._left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `BytesIO` does.

        Raises:
            TooManyReadsError: the budget is spent.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyReadsError("it is made of more pieces than any film")
        return super().read(size)


# --- quiet ---
# Pillow and pydicom, kept from talking about other people's files: their warnings quote values, and never end.
#
# What they warn of is settled by what the film decodes to. A server would write a line, and remember it, for each
# damaged tag that anybody sends.

_PACKAGES = ("PIL", "pydicom")
_MODULES = r"(PIL|pydicom)\b"


def silence_decoders() -> None:
    """Silence both; asked before each film, for filters and levels are process-wide and others reset them."""
    # added only where it is not there: threads that add it side by side would make the list longer and longer
    if _MODULES not in {getattr(entry[3], "pattern", None) for entry in warnings.filters}:
        warnings.filterwarnings("ignore", module=_MODULES)
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(logging.CRITICAL + 1)
