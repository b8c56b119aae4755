"""Faults of a client that opens films by itself: other pixels from the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.fault_injection.faults.fault import Fault
from tbconv.contract.xray import decode_xray

SIZE = 224
Grey = NDArray[np.uint8]


def _square(pixels: Grey, *, fill: int = 0, corner: bool = False) -> Image.Image:
    height, width = pixels.shape
    side = max(height, width)
    canvas = Image.new("L", (side, side), fill)
    canvas.paste(Image.fromarray(pixels), (0, 0) if corner else ((side - width) // 2, (side - height) // 2))
    return canvas


def _resized(image: Image.Image, how: Any = Image.Resampling.BILINEAR, **options: Any) -> Grey:
    return np.array(image.resize((SIZE, SIZE), how, **options))


def _by(how: Any) -> Callable[[bytes, float], Grey]:
    return lambda data, _: _resized(_square(decode_xray(data)), how)


def _no_antialias(data: bytes, _: float) -> Grey:
    """Two by two pixels around each centre, as cv2.resize and tf.image.resize take them."""
    pixels = np.asarray(_square(decode_xray(data)), np.float64)
    at = np.clip((np.arange(SIZE) + 0.5) * len(pixels) / SIZE - 0.5, 0, len(pixels) - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(pixels) - 1), at - low
    rows = pixels[low] * (1 - share)[:, None] + pixels[high] * share[:, None]
    taken: Grey = np.rint(rows[:, low] * (1 - share) + rows[:, high] * share).astype(np.uint8)
    return taken


def _thumbnail(data: bytes, _: float) -> Grey:
    """Shrink by whole steps first, as a fast thumbnail does."""
    return _resized(_square(decode_xray(data)), reducing_gap=1.0)


def _stretched(data: bytes, _: float) -> Grey:
    return _resized(Image.fromarray(decode_xray(data)))


def _cropped(data: bytes, _: float) -> Grey:
    image = Image.fromarray(decode_xray(data))
    return np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR))


def _padded_grey(data: bytes, severity: float) -> Grey:
    return _resized(_square(decode_xray(data), fill=int(severity)))


def _padded_behind(data: bytes, _: float) -> Grey:
    return _resized(_square(decode_xray(data), corner=True))


def _pad_after(data: bytes, _: float) -> Grey:
    """Resize first and pad then: the same but for rounding of the sides."""
    image = Image.fromarray(decode_xray(data))
    image.thumbnail((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=None)
    return _resized(_square(np.asarray(image)))


def _deep(data: bytes, scale: Callable[[NDArray[np.float64]], NDArray[Any]]) -> Grey:
    image = Image.open(io.BytesIO(data))
    if not image.mode.startswith("I"):
        return _resized(_square(decode_xray(data)))
    return _resized(_square(np.clip(scale(np.asarray(image, np.float64)), 0, 255).astype(np.uint8)))


def _full_depth(data: bytes, _: float) -> Grey:
    return _deep(data, lambda values: np.rint(values * 255 / 65535))


def _high_byte(data: bytes, _: float) -> Grey:
    return _deep(data, lambda values: values.astype(int) >> 8)


def _low_byte(data: bytes, _: float) -> Grey:
    return _deep(data, lambda values: values.astype(int) & 255)


def _clipped(data: bytes, _: float) -> Grey:
    """Pillow's own convert("L") of 16 bits: everything above 255 is white."""
    return _deep(data, lambda values: values)


def _truncated_depth(data: bytes, _: float) -> Grey:
    """Round towards zero where the nearest level is meant."""

    def scale(values: NDArray[np.float64]) -> NDArray[np.float64]:
        depth = next(bits for bits in (8, 10, 12, 14, 16) if values.max() < 2**bits)
        scaled: NDArray[np.float64] = np.floor(values * 255 / (2**depth - 1))
        return scaled

    return _deep(data, scale)


def _window(data: bytes, _: float) -> Grey:
    pixels = decode_xray(data).astype(np.float64)
    low, high = pixels.min(), max(pixels.max(), pixels.min() + 1)
    return _resized(_square(np.rint((pixels - low) * 255 / (high - low)).astype(np.uint8)))


def _normalised_twice(data: bytes, _: float) -> Grey:
    """0..1 reaches a graph that scales by itself."""
    return (_resized(_square(decode_xray(data))) / 255.0).astype(np.uint8)


def _inverted(data: bytes, _: float) -> Grey:
    return _resized(_square(255 - decode_xray(data)))


def _brighter(data: bytes, severity: float) -> Grey:
    pixels = _resized(_square(decode_xray(data))).astype(np.float64) + severity
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _shifted(data: bytes, severity: float) -> Grey:
    return np.roll(_resized(_square(decode_xray(data))), int(severity), axis=1)


def _unrotated(data: bytes, _: float) -> Grey:
    """EXIF's orientation is not obeyed."""
    image = Image.open(io.BytesIO(data))
    upright = decode_xray(data)
    turned = image.getexif().get(0x0112, 1) != 1
    return _resized(_square(np.asarray(image.convert("L")) if turned else upright))


def _transparent(data: bytes, _: float) -> Grey:
    """What lies under a transparent pixel shows through."""
    image = Image.open(io.BytesIO(data))
    seen = np.asarray(image.convert("RGB").convert("L")) if "A" in image.getbands() else decode_xray(data)
    return _resized(_square(seen))


def _red(data: bytes, _: float) -> Grey:
    image = Image.open(io.BytesIO(data))
    return _resized(_square(np.asarray(image)[..., 0] if image.mode == "RGB" else decode_xray(data)))


def _mean_of_channels(data: bytes, _: float) -> Grey:
    image = Image.open(io.BytesIO(data))
    if image.mode != "RGB":
        return _resized(_square(decode_xray(data)))
    return _resized(_square(np.rint(np.asarray(image, np.float64).mean(-1)).astype(np.uint8)))


def _bgr(data: bytes, _: float) -> Grey:
    """Channels in the order of OpenCV, of a film whose channels are equal."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode != "RGB" or np.ptp(np.asarray(image), axis=-1).any():
        return _resized(_square(decode_xray(data)))
    return _resized(_square(np.asarray(Image.fromarray(np.asarray(image)[..., ::-1].copy()).convert("L"))))


def _palette_index(data: bytes, _: float) -> Grey:
    image = Image.open(io.BytesIO(data))
    return _resized(_square(np.asarray(image) if image.mode == "P" else decode_xray(data)))


def _fault(name: str, what: str, inject: Any, severities: tuple[float, ...] = (1.0,), why: str = "") -> Fault:
    return Fault(name, "preprocessing", what, inject, severities=severities, equivalent=why)


FAULTS = (
    _fault("bicubic", "instead of bilinear", _by(Image.Resampling.BICUBIC)),
    _fault("nearest", "instead of bilinear", _by(Image.Resampling.NEAREST)),
    _fault("Lanczos", "instead of bilinear", _by(Image.Resampling.LANCZOS)),
    _fault("box", "a mean over areas, cv2's INTER_AREA", _by(Image.Resampling.BOX)),
    _fault("no antialias", "cv2's and TensorFlow's bilinear", _no_antialias),
    _fault("thumbnail", "shrunk by whole steps first", _thumbnail),
    _fault("stretched", "to a square instead of padded", _stretched),
    _fault("cropped", "to the middle square instead of padded", _cropped),
    _fault("padded with grey", "level s instead of black", _padded_grey, (255, 128, 16, 1)),
    _fault("padded behind", "the film in the corner, not in the middle", _padded_behind),
    _fault("resized before padding", "sides rounded to whole pixels", _pad_after),
    _fault("16 bits by 65,535", "whatever depth is in use", _full_depth),
    _fault("high byte", ">> 8 of a 12-bit film", _high_byte),
    _fault("low byte", "& 255 of a 12-bit film", _low_byte),
    _fault("clipped at 255", "16 bits turned to 8 by clipping", _clipped),
    _fault("depth truncated", "towards zero, not to the nearest level", _truncated_depth),
    _fault("window", "stretched from the film's minimum to its maximum", _window),
    _fault("normalised twice", "0..1 to a graph that scales itself", _normalised_twice),
    _fault("inverted", "bone dark", _inverted),
    _fault("brighter", "by s grey levels", _brighter, (16, 4, 1)),
    _fault("shifted", "by s pixels", _shifted, (8, 1)),
    _fault("EXIF ignored", "a turned film stays turned", _unrotated),
    _fault("transparency ignored", "what lies under it shows", _transparent),
    _fault("red alone", "of a coloured film", _red),
    _fault("mean of channels", "instead of luma, of a coloured film", _mean_of_channels),
    _fault("palette ignored", "the index is taken for the grey level", _palette_index),
    _fault("BGR", "channels in OpenCV's order", _bgr, why="the three channels of a grey film are equal"),
)
