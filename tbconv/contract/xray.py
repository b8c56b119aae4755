"""The one path from film bytes to grey pixels, shared by training, conversion and serving.

Everything that can make two programs see two different films in the same file is settled
here: colour, alpha, palette, bit depth, orientation. What comes out is uint8 [H, W].
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tbconv.contract.errors import FilmError

FORMATS = ("PNG", "JPEG")
# The largest published chest film sets stay below 4,892 x 4,892 = 24 megapixels (Shenzhen, Montgomery);
# a PNG of 196 megapixels takes 814 MB to decode (../shared/serving.md).
MAX_PIXELS = 50_000_000
DEPTHS = (8, 10, 12, 14, 16)  # bits that detectors store; a film uses the smallest that holds its maximum
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


@dataclass(frozen=True, slots=True)
class XrayFacts:
    """What a film's file says of itself, before any conversion."""

    width: int
    height: int
    mode: str
    format: str
    bit_depth: int  # bits a channel as stored: 1, 8 or 16


def read_xray(path: Path) -> NDArray[np.uint8]:
    """Read one film from disk.

    Returns:
        uint8 [H, W], 0 black to 255 white.

    Raises:
        FilmError: the file is missing, truncated, too large or no PNG or JPEG.
    """
    return decode_xray(read_bytes(path), name=str(path))


def read_bytes(path: Path) -> bytes:
    """Return a film's bytes, or a FilmError that names the file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FilmError(
            f"{path} cannot be read",
            why=error.strerror or str(error),
            fix="check the path and its permissions",
        ) from error


def decode_xray(data: bytes, *, name: str = "the film") -> NDArray[np.uint8]:
    """Decode one film.

    Args:
        data: a whole PNG or JPEG file.
        name: how errors call the film.

    Returns:
        uint8 [H, W], 0 black to 255 white; more than 8 bits are scaled by the depth in use.

    Raises:
        FilmError: the bytes are truncated, too large or no PNG or JPEG.
    """
    with _open(data, name) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
        # Pillow raises all of these on damaged files, the last two on damaged EXIF beside an orientation
        except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:
            raise _damaged(name, error) from error
        return _grey(upright, name)


def describe_xray(data: bytes, *, name: str = "the film") -> XrayFacts:
    """Read a film's header without decoding its pixels."""
    with _open(data, name) as image:
        depth = 16 if image.mode in _DEEP_MODES else 1 if image.mode == "1" else 8
        return XrayFacts(image.width, image.height, image.mode, image.format or "?", depth)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise FilmError(
            f"{name} is not a PNG or JPEG",
            why=f"its first bytes are {data[:8]!r}" if data else "the file is empty",
            fix="export the film as PNG or JPEG",
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _damaged(name, error) from error
    if image.width * image.height > MAX_PIXELS:
        raise FilmError(
            f"{name} has {image.width} x {image.height} pixels",
            why=f"a film may have {MAX_PIXELS:,} pixels, so that one upload cannot fill the memory",
            fix="export the film at a side of 4,096 pixels or less",
        )
    return image


def _damaged(name: str, error: Exception) -> FilmError:
    return FilmError(f"{name} is damaged", why=str(error), fix="export or download the film again")


def _grey(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode in _DEEP_MODES:
        return _scale_depth(np.asarray(image).astype(np.float64), name)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.convert("L"), dtype=np.uint8)  # ITU-R 601 luma; exact where R = G = B


def _scale_depth(values: NDArray[np.float64], name: str) -> NDArray[np.uint8]:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() >= 2 ** DEPTHS[-1]:
        raise FilmError(
            f"{name} has grey values outside 0..65535",
            why=f"the pixels run from {values.min():g} to {values.max():g}",
            fix="export the film with 8 to 16 unsigned bits",
        )
    depth = next(bits for bits in DEPTHS if values.max() < 2**bits)
    scaled: NDArray[np.uint8] = np.rint(values * (255.0 / (2**depth - 1))).astype(np.uint8)
    return scaled
