"""Nested JSON arrays to one flat row-major list and its shape, or a sentence; numpy would guess instead.

`np.array` turns texts into numbers, null into NaN, and one long text among numbers into gigabytes.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from tf_serve.wire.json_body import malformed

MAX_RANK = 8  # an image has four axes; beyond eight, nobody meant a tensor


def flatten(data: list[Any], leaves: frozenset[type], what: str) -> tuple[list[Any], tuple[int, ...]]:
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
