"""Comparisons, what is made of true and false, and choices between numbers.

A comparison reads the same float32 number as whatever is chosen by it, and each has an operator of its own: none is
made of the contrary of another, which would answer otherwise where a number is not one (NaN), or equals its bound.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import Node
from convert.formats.ops.builder import Combination, Comparison
from convert.formats.ops.walk import Value, Walk, by_place, layer_name, only, together, unknown

COMPARISONS: dict[str, tuple[Comparison, Comparison]] = {  # and what it is with its sides exchanged
    "Equal": ("equal", "equal"),
    "Greater": ("greater", "less"),
    "GreaterOrEqual": ("greater_equal", "less_equal"),
    "Less": ("less", "greater"),
    "LessOrEqual": ("less_equal", "greater_equal"),
}
LOGIC: dict[str, Combination] = {"And": "logical_and", "Or": "logical_or"}
MOST_COMPARED, MOST_CHOSEN = 4, 5  # axes, the batch among them, along which LiteRT's kernels stretch


def compare(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.equal`, `greater`, `greater_equal`, `less` or `less_equal`.

    TFLite: EQUAL, GREATER, GREATER_EQUAL, LESS or LESS_EQUAL.

    Two tensors as of Add, of at most 4 axes where one stretches; or a tensor and stored numbers that stretch to it.
    Exact of the numbers that it reads; where runtimes round these otherwise, one may fall on the other side.
    """
    kind, mirrored = COMPARISONS[node.op]
    if None not in values:
        left, right = together(walk, node, [only(node, values), only(node, values, 1)])
        _require_axes(node, [left, right], MOST_COMPARED)
        made = walk.make.compare(left.tensor, right.tensor, kind, layer_name(node))
        return left.like(made, nonnegative=True)
    place = values.index(None)
    value = only(node, values, 1 - place)
    numbers = _beside(node, value, walk.film(node, place).astype(np.float32))
    made = walk.make.compare(value.tensor, numbers, kind if place else mirrored, layer_name(node))
    return value.like(made, nonnegative=True)


def logic(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.logical_and` or `logical_or`.

    TFLite: LOGICAL_AND or LOGICAL_OR.

    Two tensors as of Add, of at most 4 axes where one stretches.
    """
    left, right = together(walk, node, [only(node, values), only(node, values, 1)])
    _require_axes(node, [left, right], MOST_COMPARED)
    made = walk.make.combine([left.tensor, right.tensor], LOGIC[node.op], layer_name(node))
    return left.like(made, nonnegative=True)


def contrary(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.logical_not`.

    TFLite: LOGICAL_NOT.
    """
    value = only(node, values)
    return value.like(walk.make.activation(value.tensor, "logical_not", layer_name(node)), nonnegative=True)


def where(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.where`.

    TFLite: SELECT_V2.

    Of numbers. The condition and both sides are tensors as of Add, of at most 5 axes where one stretches, or stored,
    and then finite.
    """
    if any(one is not None and one.tensor.dtype == "bool" for one in values[1:]):
        raise unknown(node, "it chooses between what is true or false, not between numbers")
    computed = together(walk, node, [only(node, values, at) for at, one in enumerate(values) if one is not None])
    _require_axes(node, computed, MOST_CHOSEN)
    largest = max(computed, key=lambda one: prod(one.shape))
    found = iter(computed)
    condition, yes, no = (
        _beside(node, largest, walk.film(node, at)) if one is None else next(found).tensor
        for at, one in enumerate(values)
    )
    made = walk.make.choose(condition, yes, no, layer_name(node))
    never = all(walk.film(node, at).min() >= 0 for at in (1, 2) if values[at] is None)
    return largest.like(made, nonnegative=never and all(one.nonnegative for one in values[1:] if one is not None))


def sign(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Subtract of `keras.ops.greater` and `less`, each behind `keras.ops.cast`.

    TFLite: SUB of GREATER and LESS, each behind a CAST.

    Of zero it is zero.
    """
    value, name, make = only(node, values), layer_name(node), walk.make
    zero = np.zeros((1,) * len(value.tensor.shape), np.float32)
    above = make.compare(value.tensor, zero, "greater", f"{name}.above")
    below = make.compare(value.tensor, zero, "less", f"{name}.below")
    above, below = make.to_float(above, f"{name}.above.number"), make.to_float(below, f"{name}.below.number")
    return value.like(make.combine([above, below], "subtract", name))


def _beside(node: Node, value: Value, numbers: NDArray[Any]) -> NDArray[Any]:
    """Return stored numbers [1, ...] as they stretch to a tensor."""
    if not np.isfinite(numbers).all():  # the JSON of a `.keras` holds none
        raise unknown(node, "a number that it stores is not finite")
    if numbers.size == 1:
        return numbers.reshape((1,) * len(value.tensor.shape))
    return by_place(node, value, numbers)


def _require_axes(node: Node, values: list[Value], most: int) -> None:
    """Refuse tensors of several sizes and of more axes than LiteRT's kernels stretch along."""
    shapes = {tuple(one.tensor.shape[1:]) for one in values}
    if len(shapes) > 1 and len(next(iter(shapes))) + 1 > most:
        raise unknown(node, f"its tensors of several sizes have more than {most} axes")
