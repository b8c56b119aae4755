"""The one path from X-ray pixels to model input, shared by training and serving.

Training, conversion, parity and serving all call `PreprocessSpec`. Resizers of different
libraries do not agree bit for bit, so there is exactly one here: Pillow's. Its answer is
whole grey levels, so the float32 files and the uint8 file of a bundle see the same film.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.xray import decode_xray, read_xray


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """How a film becomes model input; travels in the manifest, word for word."""

    size: int = 224  # side of the square, the size that torchvision's ResNet50 was trained at
    colour: str = "grey"
    pad: str = "black"  # to a square, centred: the aspect is anatomy
    resample: str = "pillow-bilinear"  # antialiased
    values: str = "0..255"  # the network scales and normalises inside the graph

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be positive, got {self.size}")
        if (self.colour, self.pad, self.resample, self.values) != ("grey", "black", "pillow-bilinear", "0..255"):
            raise ValueError(f"this version has one way to preprocess, not {self}")

    def model_input(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pad to a square and resize.

        Args:
            pixels: uint8 [H, W], 0 black to 255 white, lungs dark.

        Returns:
            uint8 [size, size].

        Raises:
            ValueError: `pixels` is not a 2-D uint8 array with at least one pixel.
        """
        if pixels.ndim != 2 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise ValueError(f"pixels must be uint8 [H, W], got {pixels.dtype} {pixels.shape}")
        return fit(pixels, self.size, self.size)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn one grey X-ray into model input.

        Args:
            pixels: uint8 [H, W], 0 black to 255 white, lungs dark.

        Returns:
            float32 [1, size, size, 1], values 0..255; the network normalises them itself.

        Raises:
            ValueError: `pixels` is not a 2-D uint8 array.
        """
        return as_model_input(self.model_input(pixels)[None])

    def from_bytes(self, data: bytes, *, name: str = "the film") -> NDArray[np.float32]:
        """Turn the bytes of one PNG or JPEG into model input, float32 [1, size, size, 1]."""
        return self.apply(decode_xray(data, name=name))

    def from_file(self, path: Path) -> NDArray[np.uint8]:
        """Turn one film on disk into uint8 [size, size]: what training keeps in memory."""
        return self.model_input(read_xray(path))


def fit(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Pad a film with black to the shape of a model's input, centred, and resize it; a bundle's input is a square.

    Args:
        pixels: uint8 [H, W], at least one pixel.
        height: of the result.
        width: of the result.

    Returns:
        uint8 [height, width].
    """
    high, wide = pixels.shape
    padded = max(high, -(-wide * height // width)), max(wide, -(-high * width // height))
    canvas = Image.new("L", padded[::-1], 0)
    canvas.paste(Image.fromarray(pixels), ((padded[1] - wide) // 2, (padded[0] - high) // 2))
    return np.asarray(canvas.resize((width, height), Image.Resampling.BILINEAR))


def as_model_input(model_inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn uint8 [N, size, size] into float32 [N, size, size, 1], values 0..255."""
    return model_inputs[..., None].astype(np.float32)


# --- what cannot be a film ---
# Clients that prepare films themselves forget what happened to the values on the way. A network answers anything:
# a film divided by 255 is nearly black, and gets a plausible probability.

TAKES = "grey levels as they are stored, 0 black to 255 white, neither divided nor normalised: the network does that"
LEAST_RANGE = 2.0  # grey levels from the darkest to the brightest; divided by 255 a film has at most 1, by 127.5 2
# Below this range values with a fraction are logarithms or standard scores, not a dark film: the darkest of 1,054 real
# films spans 24 levels when it is dimmed to 40 of 255, and a dimmed film has whole levels.
LEAST_FRACTIONS = 8.0
# Share of pixels at the darkest and at the brightest level together: at most 0.50 of 1,054 real films of six sets,
# dimmed to 10 levels or cut to 4 bits too; at least 0.95 of 275 lung masks that were resized with soft edges.
MOST_AT_ENDS = 0.9


def why_no_film(levels: NDArray[np.floating] | NDArray[np.integer], *, brightest: int = 255) -> str | None:
    """Say why values cannot be one film's grey levels, or None where they can: dark and narrow films can.

    Args:
        levels: of one film, any shape.
        brightest: the largest level that there may be.
    """
    low, high = float(levels.min()), float(levels.max())
    run = f"its values run from {low:g} to {high:g}"
    if not (low >= 0 and high <= brightest):  # NaN is neither
        return f"{run}{_likely_cause(low, high)}"
    if high - low < LEAST_RANGE:
        if low == high:
            return f"all its values are {low:g}"
        return f"{run}, as after a division, or as in a mask"
    if high - low < LEAST_FRACTIONS and levels.dtype.kind == "f" and not np.array_equal(np.rint(levels), levels):
        return f"{run}, with fractions, as after a division, a logarithm or a normalisation"
    inner = levels[(levels != low) & (levels != high)]
    if not inner.size or inner.min() == inner.max():
        return f"it has {2 + bool(inner.size)} different values, as a mask has"
    at_ends = 1 - inner.size / levels.size
    return f"{at_ends:.0%} of its values are {low:g} or {high:g}, as in a mask" if at_ends >= MOST_AT_ENDS else None


def _likely_cause(low: float, high: float) -> str:
    if low < 0:
        return ", as after a normalisation"
    return ", as of 10 to 16 bits" if 255 < high <= 65535 else ""
