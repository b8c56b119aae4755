"""Tensors of images as a client may send them: one shape, two number types, grey levels 0..255."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.tensor import TensorSpec
from tf_serve.refusals import BadRequest, TooLarge
from tf_serve.wire.json_body import array_of, malformed
from tf_serve.wire.nested import flatten

Images = NDArray[np.float32] | NDArray[np.uint8]  # [N, 224, 224, 1], 0 black to 255 white, lungs dark
DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}
DATATYPES = {"float32": "FP32", "uint8": "UINT8"}  # as manifests and LiteRT name them
# One film takes some 22 ms of one core (docs/parity.md), and a request holds a place in the queue for all of its films.
MAX_FILMS = 32
NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Films:
    """Whole files - PNG, JPEG or DICOM - that still have to be opened; one row of the batch each."""

    files: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_number(len(self.files))


Given = Images | Films


def images_from_numbers(data: Any, datatype: str, shape: tuple[int, ...] | None, spec: TensorSpec) -> Images:
    """Turn JSON numbers into images.

    Args:
        data: flat row-major, or nested.
        datatype: FP32 or UINT8.
        shape: as the client states it; None takes the nesting.
        spec: the input of the file that will answer.

    Raises:
        BadRequest: it is no tensor, of another shape, or holds what is no grey level.
        TooLarge: more than `MAX_FILMS` films.
    """
    values, nesting = flatten(array_of(data, "data"), NUMBERS, "data")
    stated = nesting if shape is None else shape
    check_shape(stated, spec)
    if np.prod(stated) != len(values):
        raise malformed(f"shape {list(stated)} does not fit the data", f"the data have {len(values)} values")
    try:
        levels = np.frombuffer(array("f", values), np.float32)  # a third of np.array's time
    except OverflowError as error:
        raise _no_grey_levels("one of them no float can hold") from error
    return as_images(levels, datatype, stated, spec)


def images_from_bytes(data: memoryview, datatype: str, shape: tuple[int, ...], spec: TensorSpec) -> Images:
    """Turn little-endian row-major bytes into images, without a copy.

    Raises:
        BadRequest: the bytes are too few or too many, of another shape, or hold what is no grey level.
        TooLarge: more than `MAX_FILMS` films.
    """
    check_shape(shape, spec)
    dtype = DTYPES[datatype]
    needed = int(np.prod(shape)) * dtype.itemsize
    if len(data) != needed:
        raise malformed(f"shape {list(shape)} of {datatype} takes {needed} bytes", f"{len(data)} came")
    return as_images(np.frombuffer(data, dtype), datatype, shape, spec)


def as_images(levels: NDArray[Any], datatype: str, shape: tuple[int, ...], spec: TensorSpec) -> Images:
    """Check that numbers are grey levels which the file can take, and give them their shape."""
    if levels.dtype != np.uint8:
        lowest, highest = float(levels.min()), float(levels.max())
        if not (lowest >= 0 and highest <= 255):  # NaN is neither
            raise _no_grey_levels(f"they run from {lowest:g} to {highest:g}")
        if "UINT8" in (datatype, DATATYPES[spec.dtype]) and not np.array_equal(np.rint(levels), levels):
            raise _no_grey_levels("the file that answers takes whole ones, and some have a fraction")
    images: Images = levels.astype(DTYPES[datatype], copy=False).reshape(shape)
    return images


def check_shape(shape: tuple[int, ...], spec: TensorSpec) -> None:
    """Refuse a shape that the network does not take."""
    if len(shape) != len(spec.shape) or shape[1:] != spec.shape[1:] or shape[0] < 1:
        why = f"{spec.name} is {list(spec.shape)}, -1 being the number of films"
        raise malformed(f"shape {list(shape)[: len(spec.shape) + 1]} is none that the model takes", why)
    check_number(shape[0])


def check_number(films: int) -> None:
    """Refuse more films than one request may have."""
    if films > MAX_FILMS:
        why = f"one request may have {MAX_FILMS}, since it holds its place in the queue for all of them"
        raise TooLarge(f"the request has {films} films", why=why, fix="send several requests, side by side")


def _no_grey_levels(why: str) -> BadRequest:
    fix = "send the film as it is stored: 0 black to 255 white, not normalised"
    return BadRequest("the image's values are no grey levels 0..255", why=why, fix=fix)
