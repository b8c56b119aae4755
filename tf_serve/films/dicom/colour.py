"""Coloured frames as Pillow pictures: secondary captures, whose grey and whose colours the contract then judges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from tbconv.contract.xray import look_up
from tf_serve.films.dicom.frame import Frame
from tf_serve.films.dicom.read import damaged


def picture_of(frame: Frame, elements: Dataset, *, name: str) -> Image.Image:
    """Return a coloured frame as an RGB picture.

    Raises:
        FilmError: a palette that cannot be followed.
    """
    if frame.photometric == "PALETTE COLOR":
        return Image.fromarray(_painted(frame, elements, name))
    values = _bytes(frame.values, frame.bits)
    mode = (
        "RGB" if frame.photometric == "RGB" else "YCbCr"
    )  # DICOM's full-range YBR is JPEG's YCbCr (PS3.3 C.7.6.3.1.2)
    height, width = values.shape[:2]
    return Image.frombytes(mode, (width, height), values.tobytes()).convert("RGB")


def _painted(frame: Frame, elements: Dataset, name: str) -> NDArray[np.uint8]:
    try:
        codes = np.arange(2**frame.bits, dtype=np.int32)
        palette = apply_color_lut(codes[None], elements)[0]
        colours = _bytes(palette, 8 * palette.dtype.itemsize)
        return np.stack([look_up(colours[:, channel], frame.values) for channel in range(3)], axis=2)
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "its palette cannot be followed") from None


def _bytes(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    shifted: NDArray[np.uint8] = (values >> max(0, bits - 8)).astype(np.uint8)
    return shifted
