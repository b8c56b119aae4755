"""Ways to open a film wrongly that clients were seen to take: the one list, to name a fault and to prove it is caught.

Never a way to open a film: that is `PreprocessSpec` alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tbconv.contract.errors import FilmError
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import decode_xray

Grey = NDArray[np.uint8]
ALIKE = 0.25  # a fault is named where it explains three quarters of the distance; a choice, since it is but a hint


def likeness(data: bytes, square: Grey, true: Grey) -> str:
    """Return how a square looks that came out otherwise: "resized with bicubic"; empty where nothing is near.

    Args:
        data: the film's file.
        square: what the client made of it, uint8 [size, size].
        true: what it should have made of it.
    """
    opened = {name: _try(way, data, true) for name, way in FAULTS.items()}
    apart = {name: _distance(square, one) for name, one in opened.items() if one is not None}
    if not apart:
        return ""
    nearest = min(apart, key=apart.__getitem__)
    return nearest if apart[nearest] <= ALIKE * _distance(square, true) else ""


def _try(way: Callable[[bytes, int], Grey], data: bytes, true: Grey) -> Grey | None:
    try:
        opened = way(data, len(true))
    except (FilmError, OSError, ValueError):  # not every fault can be made of every file
        return None
    return None if np.array_equal(opened, true) else opened


def _distance(one: Grey, other: Grey) -> float:
    return float(np.abs(one.astype(np.float64) - other).mean())


def _raw(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def _fit(pixels: Grey, size: int) -> Grey:
    return PreprocessSpec(size=size).square(np.ascontiguousarray(pixels))


def _pad(pixels: Grey, *, fill: int = 0, centre: bool = True) -> Image.Image:
    height, width = pixels.shape
    side = max(height, width)
    canvas = Image.new("L", (side, side), fill)
    canvas.paste(Image.fromarray(pixels), ((side - width) // 2, (side - height) // 2) if centre else (0, 0))
    return canvas


def _resized(resample: Image.Resampling, gap: float | None = None) -> Callable[[bytes, int], Grey]:
    return lambda data, size: np.asarray(_pad(decode_xray(data)).resize((size, size), resample, reducing_gap=gap))


def _not_antialiased(data: bytes, size: int) -> Grey:
    """Mix the four nearest pixels, however many lie between: what tf.image.resize and OpenCV do by default."""
    canvas = np.asarray(_pad(decode_xray(data)), np.float64)
    places = ((np.arange(size) + 0.5) * len(canvas) / size - 0.5).clip(0, len(canvas) - 1)
    low = np.floor(places).astype(np.int64)
    high, part = np.minimum(low + 1, len(canvas) - 1), places - low
    rows = canvas[low] * (1 - part[:, None]) + canvas[high] * part[:, None]
    return np.asarray(np.rint(rows[:, low] * (1 - part) + rows[:, high] * part), np.uint8)


def _in_floats(data: bytes, size: int) -> Grey:
    """Resize with the right filter, rounding once at the end: what torchvision and tf.image do when antialiased."""
    canvas = _pad(decode_xray(data)).convert("F")
    return np.asarray(np.rint(np.asarray(canvas.resize((size, size), Image.Resampling.BILINEAR))), np.uint8)


def _stretched(data: bytes, size: int) -> Grey:
    return np.asarray(Image.fromarray(decode_xray(data)).resize((size, size), Image.Resampling.BILINEAR))


def _cropped(data: bytes, size: int) -> Grey:
    image = Image.fromarray(decode_xray(data))
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR))


def _padded(*, fill: int = 0, centre: bool = True) -> Callable[[bytes, int], Grey]:
    return lambda data, size: _fit(np.asarray(_pad(decode_xray(data), fill=fill, centre=centre)), size)


def _moved(move: Callable[[Grey], Grey]) -> Callable[[bytes, int], Grey]:
    return lambda data, size: np.ascontiguousarray(move(_fit(decode_xray(data), size)))


def _deep(scale: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[bytes, int], Grey]:
    def opened(data: bytes, size: int) -> Grey:
        image = _raw(data)
        if not image.mode.startswith("I"):
            raise ValueError(f"{image.mode} has 8 bits")
        return _fit(scale(np.asarray(image).astype(np.float64)).clip(0, 255).astype(np.uint8), size)

    return opened


def _of_mode(mode: str, change: Callable[[Image.Image], Image.Image]) -> Callable[[bytes, int], Grey]:
    def opened(data: bytes, size: int) -> Grey:
        image = _raw(data)
        if image.mode != mode:
            raise ValueError(f"{image.mode} is not {mode}")
        return _fit(np.asarray(change(ImageOps.exif_transpose(image)).convert("L")), size)

    return opened


def _not_turned(data: bytes, size: int) -> Grey:
    image = _raw(data)
    if not image.getexif():
        raise ValueError("it has no EXIF")
    return _fit(np.asarray(image.convert("L")), size)


def _on_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)


def _mixed(mix: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.fromarray(np.rint(mix(np.asarray(image, np.float64))).astype(np.uint8))


FAULTS: dict[str, Callable[[bytes, int], Grey]] = {  # "it looks ..."
    "resized with bicubic": _resized(Image.Resampling.BICUBIC),
    "resized with Lanczos": _resized(Image.Resampling.LANCZOS),
    "resized with the nearest pixel": _resized(Image.Resampling.NEAREST),
    "resized with a box filter": _resized(Image.Resampling.BOX),
    "resized in two steps (reducing_gap)": _resized(Image.Resampling.BILINEAR, 1.0),
    "resized without antialiasing": _not_antialiased,
    "resized in floats instead of whole grey levels": _in_floats,
    "stretched instead of padded": _stretched,
    "cropped instead of padded": _cropped,
    "padded with white": _padded(fill=255),
    "padded at one side": _padded(centre=False),
    "inverted": _moved(lambda square: 255 - square),
    "transposed": _moved(np.transpose),
    "mirrored": _moved(lambda square: square[:, ::-1]),
    "upside down": _moved(lambda square: square[::-1]),
    "scaled from 16 bits, not from those in use": _deep(lambda values: np.rint(values * (255 / 65535))),
    "cut to the high byte of 16 bits": _deep(lambda values: values // 256),
    "clipped at 255": _deep(lambda values: values),
    "scaled by its own maximum": _deep(lambda values: np.rint(values * (255 / values.max()))),
    "stretched from its darkest to its brightest pixel": _deep(
        lambda values: np.rint((values - values.min()) * (255 / np.ptp(values)))
    ),
    "opened without its EXIF orientation": _not_turned,
    "opened with palette numbers as grey levels": _of_mode("P", lambda image: Image.fromarray(np.asarray(image))),
    "opened without its alpha": _of_mode("RGBA", lambda image: image.convert("RGB")),
    "opened on white instead of black": _of_mode("RGBA", _on_white),
    "grey by the mean of the colours": _of_mode("RGB", _mixed(lambda rgb: rgb.mean(axis=2))),
    "grey by red alone": _of_mode("RGB", _mixed(lambda rgb: rgb[..., 0])),
    "grey by Rec. 709 luma": _of_mode("RGB", _mixed(lambda rgb: rgb @ np.array([0.2126, 0.7152, 0.0722]))),
}
