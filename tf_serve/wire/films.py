"""Films as they stand inside a message: base64 in JSON, raw or base64 in the binary extension."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from tf_serve.wire.images import MAX_FILMS, Films, check_number
from tf_serve.wire.json_body import malformed

_LENGTH = struct.Struct("<I")  # Triton's BYTES: four bytes of length before each element


def films_from_texts(texts: Sequence[str]) -> Films:
    """Turn base64 texts into films.

    Raises:
        BadRequest: one is no base64.
        TooLarge: more films than one request may have.
    """
    check_number(len(texts))
    return Films(tuple(_decode(text, number) for number, text in enumerate(texts)))


def films_from_elements(data: memoryview) -> Films:
    """Turn the elements of a BYTES tensor into films: files as they are, or their base64.

    tritonclient sends texts as BYTES elements unless told otherwise, so base64 is understood
    here too; neither a PNG nor a JPEG nor a DICOM file consists of its letters alone.

    Raises:
        BadRequest: the lengths do not fit the data.
        TooLarge: more films than one request may have.
    """
    elements = tuple(islice(_elements(data), MAX_FILMS + 1))  # one too many is enough to say so
    check_number(len(elements))
    return Films(tuple(_raw_or_base64(element) for element in elements))


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
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: letters beyond ASCII
        raise malformed(f"film {number} is no base64", str(error)) from error


def _raw_or_base64(element: bytes) -> bytes:
    try:
        return base64.b64decode(element, validate=True)
    except binascii.Error:
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
