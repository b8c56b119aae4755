"""The one door for films: the bytes say what container they are, whatever the sender or the folder calls them."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import FilmError
from tbconv.contract.xray.film import (
    DEPTH_LIMIT,
    MAX_DECODED,
    MAX_READS,
    TINT_LIMIT,
    Container,
    Film,
    MeteredFile,
    StreamHeader,
    decoding_memory,
    read_jpeg_header,
    silence_decoders,
)
from tbconv.contract.xray.folder import read_bytes
from tbconv.contract.xray.grey import HIGH
from tbconv.contract.xray.kinds import JPEG_START, PNG_START, looks_like_dicom, why_no_film
from tbconv.contract.xray.picture import DEEP_MODES, XrayFacts, describe_picture, grey_pixels, open_xray

DICOM_TYPE = "application/dicom"
FILM_TYPES = ("image/png", "image/jpeg", DICOM_TYPE)


def open_film(source: bytes | Path, *, content_type: str | None = None, name: str | None = None) -> Film:
    """Decode one film.

    Args:
        source: a whole PNG, JPEG or DICOM file, or where one lies.
        content_type: what the sender calls it; it matters only for DICOM that lacks the usual first bytes.
        name: how errors call the film; never a file's name where an answer or a log shows it. None: its path, if it
            has one.

    Returns:
        Its grey pixels, what its file states of them, and the `limits` that an answer about it has to carry.

    Raises:
        FilmError: the file is missing, damaged, too large or of another kind.
        Rejected: a whole DICOM file that states itself that it is no frontal chest film; a FilmError too.
    """
    data, name = _bytes_of(source, name)
    silence_decoders()
    if data.startswith((PNG_START, JPEG_START)):
        return open_picture(data, name=name)
    if looks_like_dicom(data) or (data and media_type(content_type) == DICOM_TYPE):
        film: Film = _dicom(name).open_dicom(data, name=name)
        return film
    raise _unknown(data, name)


def may_be_film(data: bytes) -> bool:
    """Whether the bytes begin as a PNG, JPEG or DICOM file does; the first hundreds of a file are enough."""
    return data.startswith((PNG_START, JPEG_START)) or looks_like_dicom(data)


def decode_xray(data: bytes, *, name: str = "the film") -> NDArray[np.uint8]:
    """Return a film's grey pixels alone, uint8 [H, W], 0 black to 255 white; raises as `open_film`."""
    return open_film(data, name=name).pixels


def read_xray(path: Path) -> NDArray[np.uint8]:
    """Return the grey pixels of a film on disk, uint8 [H, W], 0 black to 255 white; raises as `open_film`."""
    return open_film(path).pixels


def describe_xray(source: bytes | Path, *, name: str | None = None) -> XrayFacts:
    """Read a film's header without decoding its pixels; raises as `open_film`."""
    data, name = _bytes_of(source, name)
    silence_decoders()
    if data.startswith(JPEG_START):
        header = read_jpeg_header(data)
        if _is_deep(header):
            return XrayFacts(header.width, header.height, "I;16", "JPEG", header.precision)
    if data.startswith((PNG_START, JPEG_START)):
        return describe_picture(data, name=name)
    if looks_like_dicom(data):
        facts: XrayFacts = _dicom(name).describe_dicom(data, name=name)
        return facts
    raise _unknown(data, name)


def _bytes_of(source: bytes | Path, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, Path):
        return read_bytes(source), name or str(source)
    return source, name or "the film"


def media_type(content_type: str | None) -> str:
    """Return the type without its parameters, in small letters; empty where there is none."""
    return (content_type or "").split(";", maxsplit=1)[0].strip().lower()


def _dicom(name: str, kind: str = "DICOM") -> ModuleType:
    """Return the reader of DICOM; a FilmError where pydicom, in the extra `dicom`, is not installed."""
    try:
        from tbconv.contract.xray.dicom import decode
    except ModuleNotFoundError as error:
        if error.name != "pydicom":
            raise
        fix = "pip install 'tbconv[dicom]', or send a PNG"
        raise FilmError(f"{name} is {kind}", why="pydicom is not installed here", fix=fix) from error
    return decode


def _unknown(data: bytes, name: str) -> FilmError:
    return FilmError(f"{name} is not a PNG, JPEG or DICOM file", why=why_no_film(data), fix="export it as one of them")


# --- PNG and JPEG ---
# The contract's pixels, behind limits on what a small file can cost.

# Pillow keeps 1 MB of each packed text or profile, up to 64 MB a file, before a pixel is decoded.
MAX_TEXTS = 8
_TEXTS = (b"iTXt", b"zTXt", b"iCCP")
_CHUNK = struct.Struct(">I4s")  # a PNG's chunk begins with the length of its content, and its kind
_AROUND = 12  # bytes of a chunk beside its content: these, and a checksum
_CHANNELS = {2: 3, 4: 2, 6: 4}  # of a PNG's colour types that have several
_BITS = dict.fromkeys(DEEP_MODES, 16) | {"1": 1}


def open_picture(data: bytes, *, name: str) -> Film:
    """Decode a PNG or JPEG.

    Raises:
        FilmError: damaged, too large, or made of so many parts that decoding it would not end.
    """
    container: Container = "PNG" if data.startswith(PNG_START) else "JPEG"
    header = read_jpeg_header(data) if container == "JPEG" else StreamHeader()
    if (container == "PNG" and _texts(data) > MAX_TEXTS) or header.endless:
        why = "each of its parts costs memory or time, and no film has as many"
        raise FilmError(f"{name} is made of too many parts", why=why, fix="export the film again, without its notes")
    with decoding_memory.reserve(_memory_of(data, header)):
        if _is_deep(header):
            return _open_deep_jpeg(data, header, name)
        return _open_with_pillow(data, container, name)


def _memory_of(data: bytes, header: StreamHeader) -> int:
    """Return the bytes that decoding takes, by the file's own header: the picture, a copy and its grey pixels."""
    if header.frames:
        return header.width * header.height * (8 if _is_deep(header) else 2 * header.samples + 1)
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26].ljust(10, b"\0"))
    return int(width * height * (2 * _CHANNELS.get(colour, 1) * max(1, bits // 8) + 1))


def _is_deep(header: StreamHeader) -> bool:
    """Whether a JPEG is one that Pillow does not read: it takes 8 bits of the usual process alone."""
    return header.lossless or header.jpeg_ls or header.precision > 8


def _open_with_pillow(data: bytes, container: Container, name: str) -> Film:
    picture = open_xray(MeteredFile(data), name=name, max_decoded=MAX_DECODED)
    grey = grey_pixels(picture, name=name)
    if data[24:25] == b"\x10" and container == "PNG" and picture.mode not in DEEP_MODES:
        _refuse_dark(grey.pixels, name)
    height, width = grey.pixels.shape
    scale = (*((DEPTH_LIMIT,) if grey.estimated else ()), *((TINT_LIMIT,) if grey.tinted else ()))
    return Film(grey.pixels, container, width, height, _BITS.get(picture.mode, 8), grey.chroma, scale=scale)


def _refuse_dark(pixels: NDArray[np.uint8], name: str) -> None:
    """Refuse a PNG of 16 bits a channel that uses few of them: of several channels Pillow keeps the upper 8 bits."""
    if np.quantile(pixels[::4, ::4], 1 - HIGH) < 255 / 2:
        why = "its values lie in the lower half of 16 bits, and of several channels only the upper 8 bits are read"
        raise FilmError(f"{name} is a PNG of 16 bits in colour or with alpha", why=why, fix="export it in grey")


def _open_deep_jpeg(data: bytes, header: StreamHeader, name: str) -> Film:
    """Decode a JPEG file of 12 bits, of the lossless process, or a JPEG-LS: by the decoders of DICOM."""
    pixels, estimated = _dicom(name, "JPEG of 12 bits or lossless").open_jpeg(data, header, name=name)
    height, width = pixels.shape
    return Film(pixels, "JPEG", width, height, header.precision, scale=(DEPTH_LIMIT,) if estimated else ())


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
