"""The steps from a DICOM file to an opened film, in the one order in which nothing is paid for before it is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing

from tbconv.contract.errors import FilmError
from tbconv.contract.xray.dicom.dataset import (
    FRONTAL,
    RADIOGRAPHS,
    DicomHeader,
    damaged,
    read_elements,
    read_header,
    read_pixels,
    reject_by_header,
)
from tbconv.contract.xray.dicom.decoders import StoredFrame, decode_frame
from tbconv.contract.xray.film import MAX_DECODED, Film, mean_chroma
from tbconv.contract.xray.picture import DEPTHS, MAX_PIXELS, XrayFacts, grey_pixels, levels_in_use, look_up

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_SAMPLES = dict.fromkeys((*MONOCHROME, "PALETTE COLOR"), 1) | dict.fromkeys(
    ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3
)
_UPRIGHT = ("", "L\\F")  # rows run to the patient's left, columns to the feet: how a chest film is shown


def open_dicom(data: bytes, *, name: str) -> Film:
    """Decode one DICOM film.

    Raises:
        FilmError: damaged, too large, or stored in a way that is not read.
        Rejected: it states itself that it is no frontal chest film.
    """
    elements = read_elements(data, name=name)
    header = read_header(elements, name=name)
    reject_by_header(header)
    refuse_pixels(header, name=name)
    frame = decode_frame(header, read_pixels(elements, name=name), name=name)
    if frame.photometric in MONOCHROME:
        pixels, window_ignored = grey_levels(frame, elements, name=name)
        return _film(pixels, header, window_ignored=window_ignored)
    picture = picture_of(frame, elements, name=name)
    return _film(grey_pixels(picture, name=name), header, chroma=mean_chroma(picture))


def describe_dicom(data: bytes, *, name: str) -> XrayFacts:
    """Read a DICOM film's header without decoding its pixels; raises as `open_dicom`."""
    header = read_header(read_elements(data, name=name), name=name)
    reject_by_header(header)
    refuse_pixels(header, name=name)
    return XrayFacts(header.columns, header.rows, header.photometric, "DICOM", header.bits_stored)


def refuse_pixels(header: DicomHeader, *, name: str) -> None:
    """Hold the header's own numbers against the limits, before a byte of the picture is touched.

    Raises:
        FilmError: no picture, too large a picture, or one that no film is stored as.
    """
    if not header.pictured or header.rows < 1 or header.columns < 1:
        raise damaged(name, "it holds no picture")
    values = header.rows * header.columns * header.samples
    if values > MAX_PIXELS or values * (header.bits_allocated // 8) > MAX_DECODED:
        raise FilmError(
            f"{name} has {header.columns} x {header.rows} pixels of {header.samples} x {header.bits_allocated} bits",
            why=f"a film may have {MAX_PIXELS:,} values in {MAX_DECODED:,} bytes, so that none can fill the memory",
            fix="export the film at a side of 4,096 pixels or less",
        )
    if _SAMPLES.get(header.photometric) != header.samples:
        raise damaged(name, "its Photometric Interpretation is missing, unknown or contradicts its Samples per Pixel")
    if header.bits_allocated not in (8, 16) or not 1 <= header.bits_stored <= header.bits_allocated:
        raise damaged(name, "a film has 8 to 16 bits a pixel, in 8 or 16")
    if header.high_bit != header.bits_stored - 1:
        raise damaged(name, "its pixels do not lie in the lowest bits (High Bit is not Bits Stored less one)")


def _film(pixels: NDArray[np.uint8], header: DicomHeader, *, chroma: float = 0.0, window_ignored: bool = False) -> Film:
    return Film(
        pixels,
        container="DICOM",
        width=header.columns,
        height=header.rows,
        bits=header.bits_stored,
        chroma=chroma,
        # free text could hold anything, a name too: only known words are passed on
        modality=header.modality if header.modality in RADIOGRAPHS else None,
        view=header.view if header.view in FRONTAL else None,
        age_years=header.age_years,
        photometric=header.photometric,
        burned_in=header.burned_in,
        turned=header.orientation not in _UPRIGHT,
        window_ignored=window_ignored,
    )


# --- pixels ---
# Stored DICOM values to grey pixels, from greyscale and colour.

# --- grey ---
# Stored values to grey pixels, as a workstation shows them: modality, then window or VOI table, then polarity.
#
# Everything is worked out once for each value that a pixel can have (65,536 at most) and looked up, so a film of any
# size costs its own bytes and no more; pydicom's functions do the steps that the standard defines (PS3.3 C.11).

Levels = NDArray[np.float64]  # grey levels 0..255, one for each value that a pixel can have


def grey_levels(frame: StoredFrame, elements: Dataset, *, name: str) -> tuple[NDArray[np.uint8], bool]:
    """Turn a monochrome frame into pixels.

    Returns:
        uint8 [H, W], 0 black to 255 white, and whether a window was there that cannot be used.

    Raises:
        FilmError: a look-up table or window that cannot be followed.
    """
    try:
        levels, window_ignored = _levels(frame, elements)
        return look_up(np.rint(levels).astype(np.uint8), frame.values), window_ignored
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "one of its look-up tables or windows cannot be followed") from None


def _levels(frame: StoredFrame, elements: Dataset) -> tuple[Levels, bool]:
    codes = _codes(frame)
    modality = apply_modality_lut(codes, elements)
    window, usable = _window(elements)
    inverted = frame.photometric == "MONOCHROME1"  # after the tables: its lowest output is shown white
    if elements.get("VOILUTSequence"):
        levels = _scaled(apply_voi(np.rint(modality).astype(np.int32), elements))
    elif window is not None and usable:
        levels = np.clip(apply_windowing(modality, window), 0, 255)
    elif elements.get("ModalityLUTSequence"):
        levels = _scaled(modality)
    else:  # a rescale by itself moves the range and not its order, unless its slope is negative
        return _whole_range(frame, codes, inverted=inverted ^ bool(modality[1] < modality[0])), window is not None
    return (255.0 - levels if inverted else levels), False


def _codes(frame: StoredFrame) -> NDArray[np.int32]:
    """Return every value that a pixel can have, in the order in which numpy looks them up: -1 stands last."""
    codes = np.arange(2**frame.bits, dtype=np.int32)
    if frame.signed:
        codes[2 ** (frame.bits - 1) :] -= 2**frame.bits
    return codes


def _scaled(table: NDArray[np.integer]) -> Levels:
    levels: Levels = levels_in_use(int(table.min()), int(table.max()))[table].astype(np.float64)
    return levels


def _whole_range(frame: StoredFrame, codes: NDArray[np.int32], *, inverted: bool) -> Levels:
    """Scale as the contract scales a PNG of the same values: by the depth in use; signed values by their range."""
    low, high = int(frame.values.min()), int(frame.values.max())
    if inverted:  # by its values, so that a film and its inverted twin use the same depth
        ceiling = -1 if frame.signed else 2**frame.bits - 1
        codes, low, high = ceiling - codes, ceiling - high, ceiling - low
    black = low if frame.signed else 0
    white = high if frame.signed else next(2**depth - 1 for depth in DEPTHS if high < 2**depth)
    return np.clip((codes - black) * (255.0 / max(1, white - black)), 0, 255)


def _window(elements: Dataset) -> tuple[Dataset | None, bool]:
    """Return the first window as a display of 8 bits, so that pydicom's output runs from 0 to 255, and if it is usable.

    It is where its function is known, its numbers are finite and its width is one that the function can take.
    """
    center, width = (_first(elements.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return None, False
    function = str(elements.get("VOILUTFunction") or "LINEAR").strip().upper()
    least = {"LINEAR": width >= 1, "LINEAR_EXACT": width > 0, "SIGMOID": width > 0}
    usable = math.isfinite(center) and math.isfinite(width) and least.get(function, False)
    display = Dataset()
    if usable:
        display.PhotometricInterpretation, display.PixelRepresentation, display.BitsStored = "MONOCHROME2", 0, 8
        display.WindowCenter, display.WindowWidth, display.VOILUTFunction = center, width, function
    return display, usable


def _first(value: object) -> float | None:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value[0] if value else None
    if value is None or value == "":
        return None
    return float(value) if isinstance(value, int | float | str) else math.nan


# --- colour ---
# Coloured frames as Pillow pictures: secondary captures, whose grey and whose colours the contract then judges.


def picture_of(frame: StoredFrame, elements: Dataset, *, name: str) -> Image.Image:
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


def _painted(frame: StoredFrame, elements: Dataset, name: str) -> NDArray[np.uint8]:
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
