"""Drawn films as file bytes, of every kind that a client may open wrongly: depth, colour, turn, palette."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torch_train.data.phantom import draw_phantom

FIRST_SEED = 40_000  # apart from the films of the run and from the golden inputs


def draw_films() -> dict[str, bytes]:
    """Return films by a name that says their kind; PNG but for one JPEG."""
    grey = [draw_phantom(FIRST_SEED + index, positive=bool(index % 2)).pixels for index in range(4)]
    tall, wide = grey[0][:, : grey[0].shape[1] * 3 // 4], grey[1][: grey[1].shape[0] * 3 // 4]
    deep = np.asarray(grey[2], np.uint16)
    shades = np.stack([grey[3], grey[3] // 2 + 60, 255 - grey[3] // 3], -1)
    alpha = np.where(np.arange(tall.shape[1]) < 40, 0, 255)[None].repeat(len(tall), 0)
    palette = Image.fromarray(255 - grey[3], "L").convert("P")
    palette.putpalette([255 - level // 3 for level in range(768)])
    return {
        "tall": _png(tall),
        "wide": _png(wide),
        "12 bits": _png(deep * 16 + deep // 16),
        "16 bits": _png(deep * 257),
        "equal channels": _png(np.stack([wide] * 3, -1)),
        "colour": _png(shades),
        "transparent": _png(np.dstack([tall, tall, tall, alpha]).astype(np.uint8)),
        "palette": _saved(palette, "PNG"),
        "turned": _turned(wide),
        "darker": _png((grey[0] * 0.7 + 20).astype(np.uint8)),
    }


def _png(pixels: NDArray[Any]) -> bytes:
    return _saved(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")


def _turned(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    return _saved(image, "JPEG", exif=exif, quality=95)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
