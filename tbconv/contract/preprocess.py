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
        height, width = pixels.shape
        side = max(height, width)
        canvas = Image.new("L", (side, side), 0)
        canvas.paste(Image.fromarray(pixels), ((side - width) // 2, (side - height) // 2))
        return np.asarray(canvas.resize((self.size, self.size), Image.Resampling.BILINEAR))

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


def as_model_input(model_inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn uint8 [N, size, size] into float32 [N, size, size, 1], values 0..255."""
    return model_inputs[..., None].astype(np.float32)
