"""PNG and JPEG to grey pixels: colour, alpha, palette, bit depth and orientation are settled here."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tbconv.contract.errors import FilmError

FORMATS = ("PNG", "JPEG")
# The largest published chest film sets stay below 4,892 x 4,892 = 24 megapixels (Shenzhen, Montgomery);
# a PNG of 196 megapixels takes 814 MB to decode (../shared/serving.md).
MAX_PIXELS = 50_000_000
DEPTHS = (8, 10, 12, 14, 16)  # bits that detectors store; a film uses the smallest that holds its maximum
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_STRIP = 256  # rows turned grey at once: a whole film would stand in memory four times, and as indices at 8 bytes each


@dataclass(frozen=True, slots=True)
class XrayFacts:
    """Size, mode and format of a film's file, before any conversion."""

    width: int
    height: int
    mode: str
    format: str
    bit_depth: int  # bits a channel as stored: 1, 8 or 16


def open_xray(file: BinaryIO, *, name: str = "the film", max_decoded: int | None = None) -> Image.Image:
    """Decode one film's picture, upright and in the mode of its file; `grey_pixels` is the second half.

    Args:
        file: a whole PNG or JPEG, from its first byte.
        name: how errors call the film.
        max_decoded: bytes that the decoded picture may have; None where films are one's own.

    Raises:
        FilmError: truncated, too large or no PNG or JPEG.
    """
    image = _open(file, name)
    _refuse_bytes(image, max_decoded, name)
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    # Pillow raises all of these on damaged files, the last two on damaged EXIF beside an orientation
    except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:
        raise _damaged(name, error) from error
    if image.mode == "P" and image.palette is None:
        raise _damaged(name, ValueError("its pixels are numbers of a palette that it lacks"))
    return image


def describe_picture(data: bytes, *, name: str = "the film") -> XrayFacts:
    """Read a film's header without decoding its pixels."""
    with _open(io.BytesIO(data), name) as image:
        depth = 16 if image.mode in _DEEP_MODES else 1 if image.mode == "1" else 8
        return XrayFacts(image.width, image.height, image.mode, image.format or "?", depth)


def _open(file: BinaryIO, name: str) -> Image.Image:
    first = file.read(8)
    file.seek(0)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise FilmError(
            f"{name} is not a PNG or JPEG",
            why=f"its first bytes are {first!r}" if first else "the file is empty",
            fix="export the film as PNG or JPEG",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, "too many") from error  # Pillow's own limit comes first, and does not tell the size
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(name, error) from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, f"{image.width} x {image.height}")
    return image


def _too_large(name: str, pixels: str) -> FilmError:
    return FilmError(
        f"{name} has {pixels} pixels",
        why=f"a film may have {MAX_PIXELS:,} pixels, so that one upload cannot fill the memory",
        fix="export the film at a side of 4,096 pixels or less",
    )


def _refuse_bytes(image: Image.Image, most: int | None, name: str) -> None:
    sample = 4 if image.mode == "I" else 2 if image.mode in _DEEP_MODES else 1
    decoded = image.width * image.height * len(image.getbands()) * sample
    if most is not None and decoded > most:
        raise FilmError(
            f"{name} has {decoded:,} bytes of pixels ({image.width} x {image.height}, mode {image.mode})",
            why=f"a film may have {most:,}, so that one upload cannot fill the memory",
            fix="export the film in grey, or at a side of 4,096 pixels or less",
        )


def _damaged(name: str, error: Exception) -> FilmError:
    return FilmError(f"{name} is damaged", why=str(error), fix="export or download the film again")


def grey_pixels(image: Image.Image, *, name: str = "the film") -> NDArray[np.uint8]:
    """Turn a decoded picture of any mode into grey pixels, uint8 [H, W]: alpha over black, colours to their luma.

    Raises:
        FilmError: grey values outside 0..65535.
    """
    if image.mode == "L":
        return np.asarray(image, dtype=np.uint8)
    to_grey = _deep_to_grey(image, name) if image.mode in _DEEP_MODES else _to_grey
    pixels = np.empty((image.height, image.width), np.uint8)
    for row, strip in _strips(image):
        pixels[row : row + _STRIP] = to_grey(strip)
    return pixels


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield a picture's strips with the row at which each begins; a small picture is its own only strip."""
    if image.height <= _STRIP:
        yield 0, image
        return
    for row in range(0, image.height, _STRIP):
        yield row, image.crop((0, row, image.width, min(row + _STRIP, image.height)))


def _to_grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.convert("L"), dtype=np.uint8)  # ITU-R 601 luma; exact where R = G = B


def _deep_to_grey(image: Image.Image, name: str) -> Callable[[Image.Image], NDArray[np.uint8]]:
    ends = [(int(values.min()), int(values.max())) for _, strip in _strips(image) if (values := np.asarray(strip)).size]
    levels = levels_in_use(min(low for low, _ in ends), max(high for _, high in ends), name=name)
    return lambda strip: levels[np.asarray(strip)]


def levels_in_use(low: int, high: int, *, name: str = "the film") -> NDArray[np.uint8]:
    """Return the grey level of each value 0..high, scaled by the depth in use: the smallest of DEPTHS that holds it.

    Args:
        low: the film's smallest value.
        high: its largest.
        name: how errors call the film.

    Raises:
        FilmError: values outside 0..65535.
    """
    if low < 0 or high >= 2 ** DEPTHS[-1]:
        raise FilmError(
            f"{name} has grey values outside 0..65535",
            why=f"the pixels run from {low} to {high}",
            fix="export the film with 8 to 16 unsigned bits",
        )
    depth = next(bits for bits in DEPTHS if high < 2**bits)
    levels: NDArray[np.uint8] = np.rint(np.arange(high + 1, dtype=np.float64) * (255.0 / (2**depth - 1))).astype(
        np.uint8
    )
    return levels


def look_up(levels: NDArray[np.uint8], codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return `levels[codes]`, uint8 [H, W], in strips as `grey_pixels`."""
    pixels = np.empty(codes.shape, np.uint8)
    for row in range(0, len(codes), _STRIP):
        pixels[row : row + _STRIP] = levels[codes[row : row + _STRIP]]
    return pixels
