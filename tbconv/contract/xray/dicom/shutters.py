"""What of a DICOM film is not shown: pixels that are padding, and what lies behind a display shutter (PS3.3 C.7.6.11).

Detectors fill the corners of a rectangle with a padding value, and workstations lay shutters over what a collimator
covered. Either would count among the film's greys, and the first is often shown white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from tbconv.contract.xray.grey import strips

# The elements that are read for this; overlays are in one of sixteen groups.
_OVERLAY_ELEMENTS = (0x0010, 0x0011, 0x0050, 0x3000)  # rows, columns, origin, data
OVERLAYS = tuple(group << 16 | element for group in range(0x6000, 0x6020, 2) for element in _OVERLAY_ELEMENTS)
SHUTTERS = (
    *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
    *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
    *("VerticesOfThePolygonalShutter", "ShutterOverlayGroup"),
)
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
MAX_VERTICES = 10_000


def padding_of(elements: Dataset, *, bits: int) -> tuple[int, int] | None:
    """Return the smallest and the largest stored code of padding, 0..2**bits - 1 as signed or unsigned bits; or None.

    Args:
        elements: the film's.
        bits: allocated for each pixel.
    """
    ends = [_code(elements.get(keyword), bits) for keyword in PADDING]
    value, limit = ends[0], ends[1] if ends[1] is not None else ends[0]
    return None if value is None or limit is None else (value, limit)


def is_padding(codes: NDArray[np.integer], padding: tuple[int, int], *, bits: int, signed: bool) -> NDArray[np.bool_]:
    """Whether each code of `bits` bits is padding: its value lies between the two, whichever of them is larger."""
    values, ends = (as_values(np.asarray(one), bits=bits, signed=signed) for one in (codes, padding))
    found: NDArray[np.bool_] = (values >= ends.min()) & (values <= ends.max())
    return found


def as_values(codes: NDArray[np.integer], *, bits: int, signed: bool) -> NDArray[np.int32]:
    """Return the values of codes of so many bits; what stands above them is dropped."""
    values: NDArray[np.int32] = np.asarray(codes).astype(np.int32) & (2**bits - 1)
    if signed:
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values).astype(np.int32)
    return values


def _code(value: Any, bits: int) -> int | None:
    """Return a value of padding as its bits; US or SS, whichever the writer chose, they are the same."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value[0] if value else None
    if isinstance(value, bytes):  # its kind hangs on another element, and pydicom left it
        value = int.from_bytes(value[:2], "little") if value else None
    return None if value is None or value == "" else int(value) & (2**bits - 1)


def visible_area(elements: Dataset, *, height: int, width: int) -> NDArray[np.bool_] | None:
    """Return what no shutter covers, bool [H, W]; None where the film has no shutter, or one that says nothing."""
    shapes = _words(elements.get("ShutterShape"))
    masks = (
        _SHAPES[shape](elements, height, width) for shape in shapes if shape in _SHAPES
    )  # several shutters: what is inside all of them is seen
    seen = None
    for mask in masks:
        if mask is not None:
            seen = mask if seen is None else seen & mask
    return seen if seen is not None and not seen.all() else None


def _rectangle(elements: Dataset, height: int, width: int) -> NDArray[np.bool_] | None:
    edges = [_numbers(elements.get(f"Shutter{edge}Edge")) for edge in ("LeftVertical", "RightVertical")]
    edges += [_numbers(elements.get(f"Shutter{edge}Edge")) for edge in ("UpperHorizontal", "LowerHorizontal")]
    if not all(edges):
        return None
    left, right, upper, lower = (int(edge[0]) for edge in edges)
    seen = np.zeros((height, width), bool)  # rows and columns are counted from 1, and the edges are seen
    seen[max(0, upper - 1) : max(0, lower), max(0, left - 1) : max(0, right)] = True
    return seen


def _circle(elements: Dataset, height: int, width: int) -> NDArray[np.bool_] | None:
    center, radius = (
        _numbers(elements.get("CenterOfCircularShutter")),
        _numbers(elements.get("RadiusOfCircularShutter")),
    )
    if len(center) != 2 or not radius:
        return None
    seen = np.empty((height, width), bool)
    across = (np.arange(1, width + 1, dtype=np.float32) - center[1]) ** 2
    for rows in strips(height):
        down = (np.arange(rows.start + 1, rows.stop + 1, dtype=np.float32) - center[0]) ** 2
        seen[rows] = down[:, None] + across[None] <= radius[0] ** 2
    return seen


def _polygon(elements: Dataset, height: int, width: int) -> NDArray[np.bool_] | None:
    numbers = _numbers(elements.get("VerticesOfThePolygonalShutter"))[: 2 * MAX_VERTICES]
    corners = [(column - 1, row - 1) for row, column in zip(numbers[::2], numbers[1::2], strict=False)]
    if len(corners) < 3:
        return None
    mask = Image.new("1", (width, height), 0)
    ImageDraw.Draw(mask).polygon(corners, fill=1, outline=1)
    return np.asarray(mask)


def _bitmap(elements: Dataset, height: int, width: int) -> NDArray[np.bool_] | None:
    groups = _numbers(elements.get("ShutterOverlayGroup"))
    if not groups:
        return None
    group = int(groups[0]) << 16
    rows, columns = (_numbers(_value(elements, group | element)) for element in (0x0010, 0x0011))
    origin, packed = _numbers(_value(elements, group | 0x0050)) or [1, 1], _value(elements, group | 0x3000)
    if not rows or not columns or not isinstance(packed, bytes):
        return None
    down, across = int(rows[0]), int(columns[0])
    if not 0 < down * across <= 8 * len(packed):
        return None
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=down * across, bitorder="little").reshape(down, across)
    seen = np.ones((height, width), bool)
    top, left = int(origin[0]) - 1, int(origin[1]) - 1
    inside = bits[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    place = seen[max(0, top) : max(0, top) + len(inside), max(0, left) : max(0, left) + inside.shape[1]]
    place[:] = inside == 0  # a bit that is set lies behind the shutter (PS3.3 C.7.6.15)
    return seen


_SHAPES = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon, "BITMAP": _bitmap}


def _value(elements: Dataset, tag: int) -> Any:
    return elements[tag].value if tag in elements else None


def _words(value: Any) -> tuple[str, ...]:
    parts = (value,) if isinstance(value, str) else value if isinstance(value, Sequence) else ()
    return tuple(part.strip().upper() for part in parts if isinstance(part, str))


def _numbers(value: Any) -> list[float]:
    parts = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
    return [float(part) for part in parts if part is not None and part != ""]
