"""The steps from a DICOM file to an opened film, in the one order in which nothing is paid for before it is allowed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import FilmError
from tbconv.contract.xray import MAX_PIXELS, grey_pixels
from tf_serve.images.dicom.dataset import (
    FRONTAL,
    RADIOGRAPHS,
    DicomHeader,
    damaged,
    read_elements,
    read_header,
    read_pixels,
    reject_by_header,
)
from tf_serve.images.dicom.decoders import decode_frame
from tf_serve.images.dicom.pixels import grey_levels, picture_of
from tf_serve.images.film import MAX_DECODED, Film, mean_chroma

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
