"""A thin gate before the network: what is plainly no chest film gets a reason, not a probability."""

from __future__ import annotations

import io
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.xray import FORMATS, describe_xray

MIN_SIDE = 100  # pixels; the smallest published chest films have 224 (kermany as distributed)
# Measured on the 7,225 films and 27 photographs of ../shared/data (tests/tf_serve/test_gate.py):
# the flattest film has a standard deviation of 19.9 grey levels, a blank page next to none.
MIN_CONTRAST = 8.0
# Mean distance between the strongest and the weakest colour of a pixel: 0.0 in every film, RGB files
# too; 12 and more in 24 of the photographs. The other three are grey (3.0 and less): a colour gate
# cannot know them.
MAX_CHROMA = 8.0
_THUMBNAIL = (64, 64)  # enough to see a colour, and noise of single pixels cancels out
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


class Refusal(StrEnum):
    """Why a film was not shown to the network."""

    TOO_SMALL = "too_small"
    BLANK = "blank"
    COLOUR_PHOTOGRAPH = "colour_photograph"

    @property
    def explanation(self) -> str:
        """The reason as a sentence."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Refusal.TOO_SMALL: f"The picture has a side of less than {MIN_SIDE} pixels: too small to show a lung.",
    Refusal.BLANK: "The picture is nearly of one grey: there is no film on it.",
    Refusal.COLOUR_PHOTOGRAPH: "The picture has strong colours: it is a photograph, not an X-ray.",
}


def refuse(data: bytes, pixels: NDArray[np.uint8]) -> Refusal | None:
    """Say why a picture is no chest film, or None when nothing speaks against it.

    Args:
        data: the whole PNG or JPEG, for its colours.
        pixels: uint8 [H, W], the same picture decoded by the contract.
    """
    if min(pixels.shape) < MIN_SIDE:
        return Refusal.TOO_SMALL
    if mean_chroma(data) > MAX_CHROMA:
        return Refusal.COLOUR_PHOTOGRAPH
    if float(pixels.std()) < MIN_CONTRAST:
        return Refusal.BLANK
    return None


def mean_chroma(data: bytes) -> float:
    """Return how coloured a picture is: 0 for grey, up to 255."""
    if describe_xray(data).mode in _GREY_MODES:
        return 0.0
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.draft("RGB", _THUMBNAIL)  # a JPEG decodes at an eighth of its size
        small = np.asarray(image.convert("RGB").resize(_THUMBNAIL, Image.Resampling.BILINEAR), np.float64)
    return float(np.ptp(small, axis=2).mean())
