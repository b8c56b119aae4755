"""The steps from a DICOM file to an opened film, in the one order in which nothing is paid for before it is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
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
from tbconv.contract.xray.dicom.decoders import StoredFrame, decode_frame, decode_jpeg, is_plain
from tbconv.contract.xray.dicom.shutters import as_values, is_padding, padding_of, visible_area
from tbconv.contract.xray.film import (
    HIDDEN_LIMIT,
    MAX_DECODED,
    NO_WINDOW_LIMIT,
    TINT_LIMIT,
    WINDOW_LIMIT,
    WINDOW_OFF_LIMIT,
    Film,
    StreamHeader,
    decoding_memory,
)
from tbconv.contract.xray.grey import count_values, depth_filled, estimate_scale
from tbconv.contract.xray.picture import MAX_PIXELS, XrayFacts, grey_pixels, look_up

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
    with decoding_memory.reserve(_memory_of(header)):
        return _decode(elements, header, name)


# Bytes a stored byte takes on its way: itself, a copy and its grey level; in a decoder's process the measured 4.5 too.
_PLAIN, _PACKED = 3, 8


def _memory_of(header: DicomHeader) -> int:
    stored = header.rows * header.columns * header.samples * (header.bits_allocated // 8)
    return stored * (_PLAIN if is_plain(header) else _PACKED)


def _decode(elements: FileDataset, header: DicomHeader, name: str) -> Film:
    frame = decode_frame(header, read_pixels(elements, name=name), name=name)
    if frame.photometric in MONOCHROME:
        shown = grey_levels(frame, elements, name=name)
        return _film(shown.pixels, header, scale=shown.limits)
    grey = grey_pixels(picture_of(frame, elements, name=name), name=name)
    return _film(grey.pixels, header, chroma=grey.chroma, scale=(TINT_LIMIT,) if grey.tinted else ())


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
        raise too_large(header.columns, header.rows, header.samples, header.bits_allocated, name=name)
    if _SAMPLES.get(header.photometric) != header.samples:
        raise damaged(name, "its Photometric Interpretation is missing, unknown or contradicts its Samples per Pixel")
    if header.bits_allocated not in (8, 16) or not 1 <= header.bits_stored <= header.bits_allocated:
        raise damaged(name, "a film has 8 to 16 bits a pixel, in 8 or 16")
    if header.high_bit != header.bits_stored - 1:
        raise damaged(name, "its pixels do not lie in the lowest bits (High Bit is not Bits Stored less one)")


def too_large(width: int, height: int, samples: int, bits: int, *, name: str) -> FilmError:
    """Return the error of a film that would fill the memory."""
    return FilmError(
        f"{name} has {width} x {height} pixels of {samples} x {bits} bits",
        why=f"a film may have {MAX_PIXELS:,} values in {MAX_DECODED:,} bytes, so that none can fill the memory",
        fix="export the film at a side of 4,096 pixels or less",
    )


def _film(pixels: NDArray[np.uint8], header: DicomHeader, *, chroma: float = 0.0, scale: tuple[str, ...] = ()) -> Film:
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
        scale=scale,
    )


def open_jpeg(data: bytes, header: StreamHeader, *, name: str) -> tuple[NDArray[np.uint8], bool]:
    """Decode a JPEG file that Pillow does not read: of 12 bits, of the lossless process, or JPEG-LS.

    Returns:
        uint8 [H, W], and whether black and white were estimated.

    Raises:
        FilmError: damaged, too large, in colour, or made of several pictures.
    """
    values = header.width * header.height
    if header.samples != 1 or header.frames != 1 or not 2 <= header.precision <= 16 or values < 1:
        why = "JPEG of more than 8 bits, lossless JPEG and JPEG-LS are read where they hold one grey picture"
        raise FilmError(f"{name} is a JPEG of a kind that is not read", why=why, fix="export it as PNG")
    if values > MAX_PIXELS or values * 2 > MAX_DECODED:
        raise too_large(header.width, header.height, 1, header.precision, name=name)
    stored = decode_jpeg(data, header, name=name)
    counts = count_values(stored, 2**header.precision)
    [occurring] = np.nonzero(counts)
    scale = estimate_scale(occurring, counts[occurring], depth=header.precision)
    levels = np.rint(scale.levels(np.arange(2**header.precision))).astype(np.uint8)
    return look_up(levels, stored), not scale.stated


# --- pixels ---
# Stored DICOM values to grey pixels, from greyscale and colour.

# --- grey ---
# Stored values to grey pixels, as a workstation shows them: modality, then window or VOI table, then polarity.
#
# Everything is worked out once for each value that a pixel can have (65,536 at most) and looked up, so a film of any
# size costs its own bytes and no more; pydicom's functions do the steps that the standard defines (PS3.3 C.11).

Levels = NDArray[np.float64]  # grey levels 0..255, one for each value that a pixel can have
LEAST_INSIDE = 0.05  # of the film's pixels have to lie inside its window: one that shows fewer is not this film's


@dataclass(frozen=True, slots=True)
class ShownFilm:
    """A monochrome film as it is shown."""

    pixels: NDArray[np.uint8]  # [H, W], 0 black to 255 white; padding and what lies behind a shutter are black
    limits: tuple[str, ...]  # how its grey scale was found, where the file does not say it


def grey_levels(frame: StoredFrame, elements: Dataset, *, name: str) -> ShownFilm:
    """Turn a monochrome frame into pixels.

    Raises:
        FilmError: a look-up table, window, padding or shutter that cannot be followed.
    """
    try:
        return _shown(frame, elements)
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "one of its look-up tables, windows or shutters cannot be followed") from None


def _shown(frame: StoredFrame, elements: Dataset) -> ShownFilm:
    allocated = 8 * frame.values.dtype.itemsize
    stored = np.arange(2**allocated, dtype=np.int32)
    codes = stored & (2**frame.bits - 1)  # what stands above the bits stored is no part of a value
    seen = visible_area(elements, height=frame.values.shape[0], width=frame.values.shape[1])
    counts = count_values(frame.values, len(stored), seen)
    padded: NDArray[np.bool_] = np.zeros(len(stored), bool)
    if padding := padding_of(elements, bits=allocated):
        padded = is_padding(stored, padding, bits=allocated, signed=frame.signed)
        padded |= is_padding(stored, padding, bits=frame.bits, signed=frame.signed) & _fits(padding, frame, allocated)
    hidden = seen is not None or bool(counts[padded].any())
    counts[padded] = 0
    found = np.bincount(codes, weights=counts, minlength=2**frame.bits).astype(np.int64)
    levels, limits = _levels(frame, elements, found, covered=hidden)
    shown = np.rint(levels).astype(np.uint8)[codes]
    shown[padded] = 0
    pixels = look_up(shown, frame.values)
    if seen is not None:
        pixels[~seen] = 0
    return ShownFilm(pixels, (*limits, HIDDEN_LIMIT) if hidden else limits)


def _fits(padding: tuple[int, int], frame: StoredFrame, allocated: int) -> bool:
    """Whether a value of padding is one of the bits stored, so that decoders may have dropped what stood above it."""
    ends = np.array(padding)
    wide, narrow = (as_values(ends, bits=bits, signed=frame.signed) for bits in (allocated, frame.bits))
    return bool(np.array_equal(wide, narrow))


def _levels(
    frame: StoredFrame, elements: Dataset, counts: NDArray[np.integer], *, covered: bool
) -> tuple[Levels, tuple[str, ...]]:
    """Return the grey level of each code of `frame.bits`, and what has to be said of it."""
    values = as_values(np.arange(2**frame.bits), bits=frame.bits, signed=frame.signed)
    modality = apply_modality_lut(values, elements)
    window, usable = _window(elements)
    inverted = frame.photometric == "MONOCHROME1"  # after the tables: its lowest output is shown white
    levels: Levels | None = None
    if elements.get("VOILUTSequence"):
        levels = _scaled(apply_voi(np.rint(modality).astype(np.int32), elements), elements.VOILUTSequence)
    elif window is not None and usable:
        levels = np.clip(apply_windowing(modality, window), 0, 255)
    if levels is not None and _shows(levels, counts):
        return (255.0 - levels if inverted else levels), ()
    off = (WINDOW_OFF_LIMIT,) if levels is not None else (WINDOW_LIMIT,) if window is not None else ()
    if elements.get("ModalityLUTSequence"):
        levels = _scaled(modality, elements.ModalityLUTSequence)
        return (255.0 - levels if inverted else levels), off
    # a rescale by itself moves the range and not its order, unless its slope is negative
    inverted ^= bool(modality[1] < modality[0])
    order = np.argsort(values)
    order = order[counts[order] > 0]
    scale = estimate_scale(
        values[order], counts[order], depth=frame.bits, signed=frame.signed, inverted=inverted, covered=covered
    )
    return scale.levels(values), off or (() if scale.stated else (NO_WINDOW_LIMIT,))


def _shows(levels: Levels, counts: NDArray[np.integer]) -> bool:
    """Whether a window or table shows the film, and not one black or white area."""
    inside = (levels > 0) & (levels < 255)
    return bool(counts[inside].sum() >= LEAST_INSIDE * counts.sum())


def _scaled(table: NDArray[np.integer], sequence: Any) -> Levels:
    """Scale what a look-up table puts out by the bits that it states, or that it fills."""
    stated = 2 ** min(16, max(1, int(sequence[0].LUTDescriptor[2]))) - 1
    white = depth_filled(float(table.max()), stated) if stated > 255 else stated
    levels: Levels = np.clip(table * (255.0 / white), 0, 255).astype(np.float64)
    return levels


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
