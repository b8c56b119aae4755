"""PNG and JPEG from outside: the contract's pixels, behind limits on what a small file can cost."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from tbconv.contract.errors import FilmError
from tbconv.contract.xray import grey_pixels, open_xray
from tf_serve.films.film import Container, FilmFacts, OpenedFilm
from tf_serve.films.jpeg_outline import outline
from tf_serve.films.metered import MAX_READS, MeteredFile

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
