"""PNG and JPEG to grey pixels: colour, alpha, palette, bit depth and orientation are settled here."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tbconv.contract.errors import FilmError
from tbconv.contract.xray.grey import STRIP, count_values, estimate_scale, strips
from tbconv.contract.xray.tint import colours_of

FORMATS = ("PNG", "JPEG")
# The largest published chest film sets stay below 4,892 x 4,892 = 24 megapixels (Shenzhen, Montgomery);
# a PNG of 196 megapixels takes 814 MB to decode (../shared/serving.md).
MAX_PIXELS = 50_000_000
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA", "La", *DEEP_MODES)
_DEEP = 2**16  # values of a deep picture
_THUMBNAIL = 64  # pixels of its shorter side: enough to see a colour, and noise of single pixels cancels out


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
        depth = 16 if image.mode in DEEP_MODES else 1 if image.mode == "1" else 8
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
    sample = 4 if image.mode == "I" else 2 if image.mode in DEEP_MODES else 1
    decoded = image.width * image.height * len(image.getbands()) * sample
    if most is not None and decoded > most:
        raise FilmError(
            f"{name} has {decoded:,} bytes of pixels ({image.width} x {image.height}, mode {image.mode})",
            why=f"a film may have {most:,}, so that one upload cannot fill the memory",
            fix="export the film in grey, or at a side of 4,096 pixels or less",
        )


def _damaged(name: str, error: Exception) -> FilmError:
    return FilmError(f"{name} is damaged", why=str(error), fix="export or download the film again")


@dataclass(frozen=True, slots=True, eq=False)
class GreyPicture:
    """A picture turned grey."""

    pixels: NDArray[np.uint8]  # [H, W], 0 black to 255 white
    estimated: bool = False  # it has 16 bits and does not fill them, so that black and white were estimated
    tinted: bool = False  # its colours were of one hue, and became the grey of one channel
    chroma: float = 0.0  # mean distance of a pixel's strongest and weakest colour where they are of several hues


def grey_pixels(image: Image.Image, *, name: str = "the film") -> GreyPicture:
    """Turn a decoded picture of any mode grey: alpha over black, one hue to its strongest channel, others to luma.

    Raises:
        FilmError: grey values outside 0..65535.
    """
    if image.mode == "L":
        return GreyPicture(np.asarray(image, dtype=np.uint8))
    if image.mode in DEEP_MODES:
        return _deep_to_grey(image, name)
    pixels = np.empty((image.height, image.width), np.uint8)
    for row, strip in _strips(image):
        pixels[row : row + STRIP] = _to_grey(strip)
    if image.mode in _GREY_MODES:
        return GreyPicture(pixels)
    colours = colours_of(_small_rgb(image))
    if colours.levels is None:
        return GreyPicture(pixels, chroma=colours.chroma)
    return GreyPicture(look_up(colours.levels, pixels), tinted=True)


def _small_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("P", "PA"):
        image = image.convert("RGB")  # numbers of colours cannot be averaged
    return image.reduce(max(1, min(image.size) // _THUMBNAIL)).convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield a picture's strips with the row at which each begins; a small picture is its own only strip."""
    if image.height <= STRIP:
        yield 0, image
        return
    for row in range(0, image.height, STRIP):
        yield row, image.crop((0, row, image.width, min(row + STRIP, image.height)))


def _to_grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.convert("L"), dtype=np.uint8)  # ITU-R 601 luma; exact where R = G = B


def _deep_to_grey(image: Image.Image, name: str) -> GreyPicture:
    counts = np.zeros(_DEEP, np.int64)
    for _, strip in _strips(image):
        values = np.asarray(strip)
        if int(values.min()) < 0 or int(values.max()) >= _DEEP:
            raise FilmError(
                f"{name} has grey values outside 0..65535",
                why=f"the pixels run from {values.min()} to {values.max()}",
                fix="export the film with 8 to 16 unsigned bits",
            )
        counts += count_values(values, _DEEP)
    [occurring] = np.nonzero(counts)
    scale = estimate_scale(occurring, counts[occurring], depth=16)
    levels = np.rint(scale.levels(np.arange(_DEEP))).astype(np.uint8)
    pixels = np.empty((image.height, image.width), np.uint8)
    for row, strip in _strips(image):
        pixels[row : row + STRIP] = levels[np.asarray(strip)]
    return GreyPicture(pixels, estimated=not scale.stated)


def look_up(levels: NDArray[np.uint8], codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return `levels[codes]`, uint8 [H, W], strip by strip."""
    pixels = np.empty(codes.shape, np.uint8)
    for rows in strips(len(codes)):
        pixels[rows] = levels[codes[rows]]
    return pixels
