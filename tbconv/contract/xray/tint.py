"""Films scanned in colour: a blue base or a sepia tone is turned to grey where every colour hangs on one brightness.

A tinted film has one colour for each grey, a photograph of the world many: the colours of a thumbnail are fitted by a
curve of their brightness, and what is left over tells the two apart. The grey film is one channel of the scan, for a
tint is a filter: luma would show every film darker or flatter than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.xray.grey import USUAL_WHITE, ends_in

GREY_CHROMA = 3.0  # mean distance of strongest and weakest colour: below it a picture is grey, whatever its mode
# Root mean square of what the curve leaves over, in levels of a channel. Tinted films stay below 3 (JPEG's noise
# among it), photographs of 0.0 to 42 do not when their colours are many (docs/films.md).
MOST_LEFT = 5.0
_FULL, _SATURATED = 254, 0.01  # a channel with more than this share of its pixels at white was driven beyond it


@dataclass(frozen=True, slots=True)
class Colours:
    """How coloured a picture is."""

    chroma: float  # mean distance of a pixel's strongest and weakest colour, 0 grey .. 255
    levels: NDArray[np.uint8] | None = None  # [256], grey of each luma; where all colours are of one hue


def colours_of(picture: Image.Image) -> Colours:
    """Judge the colours of a thumbnail, RGB."""
    small = np.asarray(picture, np.float64).reshape(-1, 3)
    chroma = float((small.max(axis=1) - small.min(axis=1)).mean())
    luma = small @ (0.299, 0.587, 0.114)
    if chroma <= GREY_CHROMA or luma.std() < 1:
        return Colours(chroma)
    curves = [np.polyfit(luma, channel, 2) for channel in small.T]
    left = np.stack([channel - np.polyval(curve, luma) for channel, curve in zip(small.T, curves, strict=True)])
    if float(np.sqrt(np.square(left).mean())) > MOST_LEFT:
        return Colours(chroma)
    return Colours(chroma, _levels(small, curves))


def _levels(small: NDArray[np.float64], curves: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Return the grey of each luma: the channel in which the film is stored with most contrast."""
    saturated = (small >= _FULL).mean(axis=0) > _SATURATED
    high = np.quantile(small, 0.995, axis=0)
    if saturated.all():
        best = 1
    elif saturated.any():  # driven beyond white: of the others the one that is as bright as films usually are
        best = int(np.where(saturated, np.inf, np.abs(high / 255 - USUAL_WHITE)).argmin())
    else:
        best = int(small.std(axis=0).argmax())
    low = float(np.quantile(small[:, best], 0.005))
    black, white = ends_in(low, float(high[best]), 255.0)
    channel = np.maximum.accumulate(np.polyval(curves[best], np.arange(256)))
    levels: NDArray[np.uint8] = np.rint(np.clip((channel - black) * (255 / (white - black)), 0, 255)).astype(np.uint8)
    return levels
