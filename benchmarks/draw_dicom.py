"""Drawn DICOM films of every syntax that can be written here: seeds for the fuzz runs and films for the tests."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless)


def draw_chest(height: int = 96, width: int = 80, *, bits: int = 12, seed: int = 0) -> NDArray[np.uint16]:
    """Return a chest-like film, uint16 [height, width]: bright body, two dark lungs, noise, all of its bits in use."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    lungs = sum(np.exp(-(((x - c) / 0.13) ** 2) - ((y - 0.47) / 0.27) ** 2) for c in (0.29, 0.71))
    film = 0.8 - 0.6 * lungs + np.random.default_rng(seed).normal(0, 0.02, (height, width))
    film = film.clip(0, 1)
    levels: NDArray[np.uint16] = np.rint(film / film.max() * (2**bits - 1)).astype(np.uint16)
    return levels


def draw_dicom(
    pixels: NDArray[Any], *, syntax: str = uid.ExplicitVRLittleEndian, bits: int | None = None, **elements: Any
) -> bytes:
    """Return a DICOM file.

    Args:
        pixels: uint8, uint16 or int16, [H, W], [frames, H, W] or [H, W, 3].
        syntax: transfer syntax; JPEG baseline is Pillow's, lossless JPEG the drawing of `lossless_jpeg`, JPEG of 12
            bits and JPEG-LS are imagecodecs', all others pydicom's and pylibjpeg's.
        bits: stored; all that the type has, where it is None.
        elements: further elements by keyword; None leaves one out.
    """
    film = _describe(pixels, bits)
    film.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    plain = syntax in NATIVE
    film.PixelData = pixels.astype(
        pixels.dtype.newbyteorder(">" if syntax == uid.ExplicitVRBigEndian else "<")
    ).tobytes()
    film["PixelData"].VR = "OW"
    if syntax == uid.JPEGBaseline8Bit:
        film.PixelData = encapsulate([as_file(Image.fromarray(pixels), "JPEG")])
    elif syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        film.PixelData = encapsulate([lossless_jpeg(pixels, film.BitsStored)])
    elif syntax == uid.JPEGExtended12Bit:
        film.PixelData = encapsulate([bytes(imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12))])
    elif syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless):
        off = 2 if syntax == uid.JPEGLSNearLossless else 0
        packed = imagecodecs.jpegls_encode(pixels, level=off, bitspersample=film.BitsStored)
        film.PixelData = encapsulate([bytes(packed)])
    elif not plain:
        film.compress(syntax, encoding_plugin="pydicom" if syntax == uid.RLELossless else "pylibjpeg")
    film.file_meta.TransferSyntaxUID = uid.UID(syntax)
    for keyword, value in elements.items():
        if value is None:
            delattr(film, keyword)
        else:
            setattr(film, keyword, value)
    out = io.BytesIO()
    film.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _describe(pixels: NDArray[Any], bits: int | None) -> Dataset:
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    film.SOPInstanceUID = "1.2.3.4"
    film.Modality, film.ViewPosition, film.BodyPartExamined = "DX", "PA", "CHEST"
    film.PatientName, film.PatientID, film.InstitutionName = "Quux^Zebulon", "MRN-Q4711", "Quux Hospital"
    film.StudyDate, film.PatientBirthDate = "20200131", "19700501"
    coloured = pixels.ndim == 3 and pixels.shape[2] == 3
    film.SamplesPerPixel, film.PhotometricInterpretation = (3, "RGB") if coloured else (1, "MONOCHROME2")
    if coloured:
        film.PlanarConfiguration = 0
    if pixels.ndim == 3 and not coloured:
        film.NumberOfFrames = len(pixels)
    film.Rows, film.Columns = pixels.shape[:2] if coloured else pixels.shape[-2:]
    film.BitsAllocated = 8 * pixels.dtype.itemsize
    film.BitsStored = bits or film.BitsAllocated
    film.HighBit = film.BitsStored - 1
    film.PixelRepresentation = int(pixels.dtype.kind == "i")
    return film


def as_file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def lossless_jpeg(pixels: NDArray[Any], precision: int) -> bytes:
    """Return grey pixels as lossless JPEG (ISO 10918-1 process 14, each pixel predicted from its left neighbour).

    The Huffman table gives each of the 17 categories of a difference a code of five bits.
    """
    values = pixels.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]  # the first of a row from the one above it
    predicted[0, 0] = 1 << (precision - 1)
    bits = "".join(_coded(int(difference)) for difference in (values - predicted).ravel())
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    height, width = pixels.shape
    size = bytes((precision, height >> 8, height & 255, width >> 8, width & 255))
    table = bytes((0, 0, 0, 0, 0, 17)) + bytes(11) + bytes(range(17))
    return (
        b"\xff\xd8\xff\xc3\0\x0b" + size + b"\1\1\x11\0"  # one component, not subsampled
        b"\xff\xc4" + (2 + len(table)).to_bytes(2) + table + b"\xff\xda\0\x08\1\1\0\1\0\0" + packed + b"\xff\xd9"
    )


def _coded(difference: int) -> str:
    category = abs(difference).bit_length()
    low = difference if difference > 0 else difference + (1 << category) - 1
    return f"{category:05b}" + (f"{low:0{category}b}" if 0 < category < 16 else "")
