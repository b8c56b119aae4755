"""Seeds and mutations for the fuzz of the film decoders: small films of every container, and ways to damage them."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from benchmarks.draw_dicom import NATIVE, as_file, draw_chest, draw_dicom

# Numbers that headers trip over: nothing, one, the ends of signed and unsigned bytes, words and long words.
EDGES = tuple(struct.pack(kind, value) for kind, value in (
    *(("B", value) for value in (0, 1, 0x7F, 0x80, 0xFF)),
    *(("<H", value) for value in (0, 1, 0x7FFF, 0x8000, 0xFFFF)),
    *(("<I", value) for value in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)),
))  # fmt: skip


def draw_seeds() -> dict[str, bytes]:
    """Return films whose decoding stays in this process, by name."""
    deep = draw_chest(48, 40)
    grey = Image.fromarray((deep >> 4).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    films = {
        "PNG grey": as_file(grey, "PNG", exif=exif),
        "PNG 16 bits": as_file(Image.fromarray(deep), "PNG"),
        "PNG palette": as_file(grey.convert("P"), "PNG", transparency=3),
        "PNG alpha": as_file(grey.convert("RGBA"), "PNG"),
        "JPEG grey": as_file(grey, "JPEG", exif=exif),
        "JPEG progressive": as_file(grey.convert("RGB"), "JPEG", progressive=True, subsampling=2),
        "JPEG CMYK": as_file(grey.convert("CMYK"), "JPEG"),
    }
    return films | _native_dicom(deep)


def _native_dicom(deep: np.typing.NDArray[np.uint16]) -> dict[str, bytes]:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 12], list(range(4096))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    windowed = {"WindowCenter": [2000, 100], "WindowWidth": [3000, 50], "RescaleSlope": 1, "RescaleIntercept": 0}
    films = {f"DICOM {syntax.name}": draw_dicom(deep, syntax=syntax, bits=12, **windowed) for syntax in NATIVE}
    bare = draw_dicom(deep, syntax=uid.ImplicitVRLittleEndian, bits=12)
    return films | {
        "DICOM bare": bare[bare.index(b"\x08\0\x16\0") :],
        "DICOM table": draw_dicom(deep, bits=12, VOILUTSequence=Sequence([table])),
        "DICOM JPEG": draw_dicom((deep >> 4).astype(np.uint8), syntax=uid.JPEGBaseline8Bit),
        "DICOM palette": _shrunk("examples_palette.dcm"),
    }


def draw_apart_seeds() -> dict[str, bytes]:
    """Return films whose decoding is left to a process of its own, by name."""
    deep = draw_chest(48, 40)
    films = {
        syntax.name: draw_dicom(deep, syntax=syntax, bits=12) for syntax in (uid.RLELossless, uid.JPEG2000Lossless)
    }
    names = ("JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "JPGExtended.dcm", "SC_rgb_jls_lossy_line.dcm")
    return (
        films
        | {"lossless JPEG": draw_dicom(deep, syntax=uid.JPEGLosslessSV1, bits=12)}
        | {name: _shrunk(name) for name in names}
    )


def _shrunk(name: str) -> bytes:
    """Return one of pydicom's own files as a radiograph, its picture cut to its first rows where it is not packed."""
    film = pydicom.dcmread(get_testdata_file(name) or "")
    film.Modality = "DX"
    if not film.file_meta.TransferSyntaxUID.is_compressed:
        film.Rows = 16
        film.PixelData = film.PixelData[: 16 * film.Columns * film.SamplesPerPixel]
    out = io.BytesIO()
    film.save_as(out)
    return out.getvalue()


def mutate(film: bytes, other: bytes, chance: random.Random, *, start: int = 0) -> bytes:
    """Damage a film in one to eight places from `start` on; most early, in a header, where most decisions fall."""
    damaged = bytearray(film)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        room = len(damaged) - 8 - start
        if room < 8:
            break
        place = start + chance.randrange(min(room, chance.choice((64, 512, 2**31))))
        chance.choice((_flip, _edge, _cut, _repeat, _splice, _truncate))(damaged, place, other, chance)
    mended = bytes(damaged)
    return mend_checksums(mended) if mended.startswith(b"\x89PNG") and chance.random() < 0.7 else mended


def _flip(film: bytearray, place: int, other: bytes, chance: random.Random) -> None:  # noqa: ARG001
    film[place] ^= 1 << chance.randrange(8)


def _edge(film: bytearray, place: int, other: bytes, chance: random.Random) -> None:  # noqa: ARG001
    edge = chance.choice(EDGES)
    film[place : place + len(edge)] = chance.choice((edge, edge[::-1]))


def _cut(film: bytearray, place: int, other: bytes, chance: random.Random) -> None:  # noqa: ARG001
    del film[place : place + chance.choice((1, 2, 4, 8, 100))]


def _repeat(film: bytearray, place: int, other: bytes, chance: random.Random) -> None:  # noqa: ARG001
    length = chance.choice((1, 4, 12, 100))
    film[place:place] = film[place : place + length] * chance.choice((1, 2, 50))


def _splice(film: bytearray, place: int, other: bytes, chance: random.Random) -> None:
    start = chance.randrange(len(other))
    film[place : place + chance.choice((0, 8, 100))] = other[start : start + chance.choice((4, 16, 200))]


def _truncate(film: bytearray, place: int, other: bytes, chance: random.Random) -> None:  # noqa: ARG001
    if chance.random() < 0.2:
        del film[place:]


def mend_checksums(png: bytes) -> bytes:
    """Write the right checksum behind each chunk of a PNG, so that damage inside it is not stopped by the old one."""
    mended, place = bytearray(png), 8
    while place + 12 <= len(mended):
        end = place + 8 + int.from_bytes(mended[place : place + 4])
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = zlib.crc32(mended[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(mended)
