"""What TensorFlow's files of every format mean by a border and by a slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convert.proof.normal import Pads

FRAMEWORK = "litert"


def same(sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> Pads:
    """Return the borders of TensorFlow's "same": the odd one below and right."""
    walks = zip(sizes, strides, reach, strict=True)
    high, wide = (max((-(-size // step) - 1) * step + reached - size, 0) for size, step, reached in walks)
    return high // 2, wide // 2, high - high // 2, wide - wide // 2


def cut(begin: list[int], end: list[int], step: list[int], masks: tuple[int, int, int]) -> tuple[Any, ...]:
    """Return TensorFlow's strided slice as numpy's: masks of begin, end and the axes that are taken away."""
    made: list[Any] = []
    for axis in range(len(begin)):
        first, last, alone = (bool(mask >> axis & 1) for mask in masks)
        whole = slice(None if first else begin[axis], None if last else end[axis], step[axis])
        made.append(begin[axis] if alone else whole)
    return tuple(made)
