"""From the values of a request to what the network takes: tensors of grey levels, and films as base64 or bytes."""

from __future__ import annotations

import base64
import re
import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.manifest import TensorSpec
from tbconv.contract.preprocess import TAKES, why_no_film
from tbconv.contract.xray import TEXT, UNKNOWN, may_be_film, what_it_is
from tf_serve.errors import BadRequest, TooLarge
from tf_serve.messages import MAX_RANK, malformed

# --- images ---
# Tensors of images as a client may send them: one shape, two number types, grey levels 0..255.

Images = NDArray[np.float32] | NDArray[np.uint8]  # [N, 224, 224, 1], 0 black to 255 white, lungs dark
DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}
DATATYPES = {"float32": "FP32", "uint8": "UINT8"}  # as manifests and LiteRT name them
# One film takes some 22 ms of one core (docs/parity.md), and a request holds one slot for all of its films.
MAX_FILMS = 32
NUMBERS = frozenset({int, float})


Films = tuple[bytes, ...]  # whole files - PNG, JPEG or DICOM - that still have to be opened; one row of the batch each
InputBatch = Images | Films


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
    values, nesting = flatten(data, NUMBERS, "data")
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
    check_films(levels.reshape(shape))
    whole = "UINT8" in (datatype, DATATYPES[spec.dtype])
    if whole and levels.dtype != np.uint8 and not np.array_equal(np.rint(levels), levels):
        raise _no_grey_levels("some have a fraction, and the file that answers takes whole ones")
    images: Images = levels.astype(DTYPES[datatype], copy=False).reshape(shape)
    return images


def check_shape(shape: tuple[int, ...], spec: TensorSpec) -> None:
    """Refuse a shape that the network does not take."""
    if len(shape) != len(spec.shape) or shape[1:] != spec.shape[1:] or shape[0] < 1:
        why = f"{spec.name} is {list(spec.shape)}: films, rows, columns, and one grey channel last"
        raise malformed(f"shape {list(shape)[: len(spec.shape) + 1]} is none that the model takes", why)
    check_number(shape[0])


def check_films(images: NDArray[Any]) -> None:
    """Refuse a batch of tensors, [N, 224, 224, 1], in which one cannot be a film.

    Raises:
        BadRequest: saying which one, why, and what the model takes.
        TooLarge: more than `MAX_FILMS`.
    """
    check_number(len(images))
    for number, levels in enumerate(images):
        if why := why_no_film(levels):
            raise _no_grey_levels(why, f"film {number}")


def check_number(films: int) -> None:
    """Refuse more films than one request may have."""
    if films > MAX_FILMS:
        why = f"one request may have {MAX_FILMS}, since it holds one slot of the queue for all of them"
        raise TooLarge(f"the request has {films} films", why=why, fix="send several requests, side by side")


def _no_grey_levels(why: str, film: str = "the image") -> BadRequest:
    fix = "send the film as it is stored, or its file as base64"
    return BadRequest(f"{film} has no grey levels 0..255", why=f"{why}; the model takes {TAKES}", fix=fix)


# --- nested ---
# Nested JSON arrays to one flat row-major list and its shape, or a sentence; numpy would guess instead.
#
# `np.array` turns texts into numbers, null into NaN, and one long text among numbers into gigabytes.


def flatten(data: Any, leaves: frozenset[type], what: str) -> tuple[list[Any], tuple[int, ...]]:
    """Flatten an array of arrays.

    Args:
        data: a flat or nested array.
        leaves: the types that values may have.
        what: how errors call the array.

    Returns:
        The values in row-major order, and the shape.

    Raises:
        BadRequest: it is empty, ragged, too deep or holds something else.
    """
    if not isinstance(data, list):
        raise malformed(f"{what} has to be an array", "it is something else")
    level, shape = data, [len(data)]
    while (types := set(map(type, level))) == {list}:
        lengths = set(map(len, level))
        if len(lengths) > 1 or len(shape) == MAX_RANK:
            why = f"rows at depth {len(shape)} have different lengths" if len(lengths) > 1 else "it is nested too deep"
            raise malformed(f"{what} is no tensor", why)
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    if not types:
        raise malformed(f"{what} is empty", f"its shape is {shape}")
    if not types <= leaves:
        raise malformed(f"{what} holds something else than it may", f"it holds {_name(types - leaves)}")
    return level, tuple(shape)


def _name(types: set[type]) -> str:
    names = {dict: "objects", list: "arrays beside values", str: "strings", bool: "booleans", type(None): "nulls"}
    return ", ".join(sorted(names.get(one, "numbers") for one in types))


# --- films ---
# Films as they stand inside a message: base64 in JSON, raw or base64 in the binary extension.

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANK = b" \t\r\n\f\v"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # PowerShell's
_DATA_URL = re.compile(rb"data:[^,]{0,255}?;base64,", re.IGNORECASE)


def from_base64(text: bytes) -> bytes:
    """Return what base64 stands for, however it was written.

    Of either alphabet, with line ends or without, with its last signs of equality or without, as a `data:` URL, in
    quotes: `base64 FILE`, browsers, Java and Python write it in different ways.

    Raises:
        ValueError: it is no base64.
    """
    letters = text.removeprefix(_BYTE_ORDER_MARK).translate(None, _BLANK).strip(b"\"'")
    if url := _DATA_URL.match(letters):
        letters = unquote_to_bytes(letters[url.end() :])
    letters = letters.translate(_URL_SAFE).rstrip(b"=")
    return base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)


def unwrap(data: bytes) -> bytes:
    """Return a film out of its base64, or the bytes as they are where they are none."""
    found = _raw_or_base64(data)  # many a word is base64 of something
    return found if may_be_film(found) or what_it_is(found) not in (UNKNOWN, TEXT) else data


_LENGTH = struct.Struct("<I")  # Triton's BYTES: four bytes of length before each element


def films_from_texts(texts: Sequence[str]) -> Films:
    """Turn base64 texts into films.

    Raises:
        BadRequest: one is no base64.
        TooLarge: more films than one request may have.
    """
    check_number(len(texts))
    return tuple(_decode(text, number) for number, text in enumerate(texts))


def films_from_elements(data: memoryview) -> Films:
    """Turn the elements of a BYTES tensor into films: files as they are, or their base64.

    tritonclient sends texts as BYTES elements unless told otherwise, so base64 is understood here too.

    Raises:
        BadRequest: the lengths do not fit the data.
        TooLarge: more films than one request may have.
    """
    elements = tuple(islice(_elements(data), MAX_FILMS + 1))  # one too many is enough to say so
    check_number(len(elements))
    return tuple(_raw_or_base64(element) for element in elements)


def b64_of(value: Any) -> str:
    """Return the text of TensorFlow Serving's `{"b64": "..."}`.

    Raises:
        BadRequest: the object has other keys, or no text.
    """
    if not (isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)):
        raise malformed("an object in the place of a film has one key, b64", "this one has not, or holds no string")
    return str(value["b64"])


def _decode(text: str, number: int) -> bytes:
    try:
        return from_base64(text.encode())
    except ValueError as error:  # binascii.Error too, and UnicodeEncodeError of half a surrogate pair
        raise malformed(f"film {number} is no base64", str(error)) from error


def _raw_or_base64(element: bytes) -> bytes:
    if may_be_film(element):  # neither a PNG nor a JPEG nor a DICOM file consists of base64's letters alone
        return element
    try:
        return from_base64(element)
    except ValueError:
        return element


def _elements(data: memoryview) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        start = position + _LENGTH.size
        if start > len(data):
            raise malformed("the BYTES tensor is torn", "its last element has no whole length")
        [length] = _LENGTH.unpack_from(data, position)
        position = start + length
        if position > len(data):
            raise malformed("the BYTES tensor is torn", f"an element of {length} bytes does not fit into it")
        yield bytes(data[start:position])
