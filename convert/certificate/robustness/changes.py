"""Changes of a film that a radiologist reads past, and one that is not harmless, as files that a product receives.

Each is what happens to films on their way: another display curve, a frame of a digitiser, a name burnt in, another
codec. Strengths were chosen by looking at them: every changed film still shows what the film shows. What is measured in
pixels goes by the film's side, so a film of 224 and one of 3,000 pixels look alike afterwards.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = NDArray[np.uint8]  # [H, W]
MODEL_SIDE = 224  # of the model input: blur is given in its pixels


@dataclass(frozen=True, slots=True)
class Change:
    """One change: how a film's pixels become another file's."""

    name: str
    what: str  # in words, with its strength
    alter: Callable[[Pixels], Pixels]
    pack: Callable[[Pixels], bytes] | None = None  # None: an 8-bit grey PNG
    harmless: bool = True

    def apply(self, pixels: Pixels) -> bytes:
        """Return the changed film as a file.

        Args:
            pixels: uint8 [H, W], as the one decoder has them.
        """
        return (self.pack or as_png)(self.alter(pixels))


def as_png(pixels: Pixels) -> bytes:
    """Return pixels, uint8 or uint16 [H, W], as a grey PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _as_jpeg(pixels: Pixels, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _as_12_bits(pixels: Pixels) -> bytes:
    values = np.rint(pixels * (4095 / 255)).astype(np.uint16)
    return as_png(values)


# --- greys ---


def _curve(levels: Callable[[NDArray[np.float64]], NDArray[Any]]) -> Callable[[Pixels], Pixels]:
    """Return the change that gives every grey level another one, whatever the film."""
    greys = np.asarray(np.arange(256), np.float64)
    table = np.rint(np.clip(levels(greys), 0, 255)).astype(np.uint8)
    return lambda pixels: table[pixels]


def _gamma(exponent: float) -> Callable[[Pixels], Pixels]:
    return _curve(lambda grey: 255 * (grey / 255) ** exponent)


def _steeper(pixels: Pixels, gain: float) -> Pixels:
    mean = float(pixels.mean())
    return np.rint(np.clip((pixels - mean) * gain + mean, 0, 255)).astype(np.uint8)


# --- structure ---


def _filtered(pixels: Pixels, sharpen: bool) -> Pixels:
    radius = max(pixels.shape) / MODEL_SIDE
    image = Image.fromarray(pixels)
    if sharpen:
        return np.asarray(image.filter(ImageFilter.UnsharpMask(radius=1.5 * radius, percent=120, threshold=0)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)))


def _noisy(pixels: Pixels) -> Pixels:
    # the same film always gets the same noise; coarser on large films, which the model input would average away
    source = np.random.default_rng(zlib.crc32(pixels.tobytes()))
    rows, columns = (min(side, 2 * MODEL_SIDE) for side in pixels.shape)
    noise = Image.fromarray(source.normal(0, 8, (rows, columns)).astype(np.float32))
    height, width = pixels.shape
    grown = np.asarray(noise.resize((width, height), Image.Resampling.NEAREST))
    return np.asarray(np.rint(np.clip(pixels + grown, 0, 255)), np.uint8)


def _smaller(pixels: Pixels) -> Pixels:
    """Return the film at half its side, and at no less than 112 pixels."""
    factor = max(0.5, 112 / min(pixels.shape))
    if factor >= 1:
        return pixels
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


# --- place ---


def _moved(pixels: Pixels, *, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Pixels:
    """Return the film turned clockwise about its middle and moved, shares of its sides; black comes in."""
    offset = (round(shift[0] * pixels.shape[1]), round(shift[1] * pixels.shape[0]))
    turned = Image.fromarray(pixels).rotate(-degrees, Image.Resampling.BICUBIC, translate=offset, fillcolor=0)
    return np.asarray(turned)


def _cropped(pixels: Pixels) -> Pixels:
    """Return the inner 90 % of both sides: everything appears 1.11 times as large."""
    rows, columns = (max(1, round(0.05 * side)) for side in pixels.shape)
    return np.ascontiguousarray(pixels[rows:-rows, columns:-columns])


def _framed(pixels: Pixels, share: float, grey: int) -> Pixels:
    """Return the film with a frame around it, a share of each side."""
    rows, columns = (round(share * side) for side in pixels.shape)
    return np.pad(pixels, ((rows, rows), (columns, columns)), constant_values=grey)


def _mirrored(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::-1])


# --- writing ---


def _named(pixels: Pixels) -> Pixels:
    """Return the film with a name, a number and a date burnt in, top left and bottom right."""
    height, width = pixels.shape
    image = Image.fromarray(pixels.copy())
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(max(9, round(0.045 * min(pixels.shape))))
    pen.multiline_text((0.02 * width, 0.02 * height), "DOE, JANE\nID 0041879\nF 034Y", fill=255, font=font)
    pen.multiline_text((0.98 * width, 0.97 * height), "2021-03-14\nCHEST PA", fill=255, font=font, anchor="rd")
    return np.asarray(image)


def _marked(pixels: Pixels) -> Pixels:
    """Return the film with a lead marker: a white L on the patient's left, the picture's right, and a white block."""
    height, width = pixels.shape
    image = Image.fromarray(pixels.copy())
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(max(12, round(0.11 * min(pixels.shape))))
    pen.text((0.93 * width, 0.07 * height), "L", fill=255, font=font, anchor="mm")
    pen.rectangle((0.02 * width, 0.92 * height, 0.16 * width, 0.97 * height), fill=255)
    return np.asarray(image)


# --- suite ---


def _same(pixels: Pixels) -> Pixels:
    return pixels


CHANGES = (
    Change("gamma_up", "brighter middle greys: gamma 0.7", _gamma(0.7)),
    Change("gamma_down", "darker middle greys: gamma 1.4", _gamma(1.4)),
    Change("contrast_low", "half the contrast, about middle grey", _curve(lambda grey: (grey - 128) * 0.5 + 128)),
    Change("contrast_high", "1.5 times the contrast, about the film's mean", lambda pixels: _steeper(pixels, 1.5)),
    Change("brighter", "30 grey levels brighter", _curve(lambda grey: grey + 30)),
    Change("darker", "30 grey levels darker", _curve(lambda grey: grey - 30)),
    Change("white_border", "a white frame around it, 10 % of each side", lambda pixels: _framed(pixels, 0.1, 255)),
    Change("black_border", "a black frame around it, 10 % of each side", lambda pixels: _framed(pixels, 0.1, 0)),
    Change("thin_border", "a white frame around it, 2 % of each side", lambda pixels: _framed(pixels, 0.02, 255)),
    Change("text", "a name, a number and a date burnt in", _named),
    Change("marker", "a letter L and a white block burnt in", _marked),
    Change("jpeg_60", "packed as JPEG, quality 60", _same, lambda pixels: _as_jpeg(pixels, 60)),
    Change("jpeg_25", "packed as JPEG, quality 25", _same, lambda pixels: _as_jpeg(pixels, 25)),
    Change("blur", "blurred by 1 pixel of the model input", lambda pixels: _filtered(pixels, sharpen=False)),
    Change("sharpen", "sharpened by 120 % at 1.5 pixels of it", lambda pixels: _filtered(pixels, sharpen=True)),
    Change("noise", "noise of 8 grey levels", _noisy),
    Change("tilt_left", "turned by 8 degrees anticlockwise", lambda pixels: _moved(pixels, degrees=-8)),
    Change("tilt_right", "turned by 8 degrees clockwise", lambda pixels: _moved(pixels, degrees=8)),
    Change("shift", "moved by 4 % to the right and down", lambda pixels: _moved(pixels, shift=(0.04, 0.04))),
    Change("zoom", "its inner 90 %, so 1.11 times as large", _cropped),
    Change("resolution", "half the pixels a side", _smaller),
    Change("bits_12", "packed as 12 of 16 bits", _same, _as_12_bits),
    Change("greys_32", "32 grey levels", _curve(lambda grey: grey // 8 * 8 + 4)),
    Change("mirrored", "left and right exchanged", _mirrored, harmless=False),
)
