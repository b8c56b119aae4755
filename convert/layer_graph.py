"""An ONNX and a TFLite graph in one plain form, so that their operations can be compared one by one.

numpy only. Tensors are [positions, channels] of one film: ONNX's [1, C, H, W] and [49, C], TFLite's
[1, H, W, C] and [1, 49, C] are the same numbers in the same order then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUT = "(input)"  # stands for the film where an operation reads it
BEFORE_BIAS = " before its bias"  # what a node gives, less the constant that it adds last

_STORED = "changes how numbers are stored, computes none"
_MOVED = "moves values, or puts zeros around them, computes none"
SHAPES = "arithmetic on shapes, not on the film"
GLUE = {
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "Identity"), _STORED),
    **dict.fromkeys(("RESHAPE", "TRANSPOSE", "PAD", "PADV2", "SQUEEZE", "EXPAND_DIMS"), _MOVED),
    **dict.fromkeys(("Reshape", "Transpose", "Pad", "Squeeze", "Unsqueeze", "Flatten"), _MOVED),
    **dict.fromkeys(("SHAPE", "Shape"), SHAPES),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One node of an ONNX graph, or one operation of a TFLite file."""

    key: str  # the node's name, or the operation's index in the file
    op: str
    sources: tuple[str, ...]  # keys of those that it reads, data first; constants are left out
    shape: tuple[int, int]  # of what it gives: positions, channels
    names: tuple[str, ...] = ()  # what TFLite calls its output: one name a layer that was fused into it
    outputs: tuple[str, ...] = ()  # of the network, given by it
    glue: str | None = None  # why it is not compared; None where it computes
    integer: bool = False  # what it gives is stored as integers that stand for real numbers


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Operations in an order in which they can be computed."""

    operations: tuple[Operation, ...]

    @property
    def by_key(self) -> dict[str, Operation]:
        """Every operation by its key."""
        return {one.key: one for one in self.operations}

    @property
    def compute(self) -> tuple[Operation, ...]:
        """The operations that count: those that compute something from the film."""
        return tuple(one for one in self.operations if one.glue is None)

    def feeds(self) -> dict[str, tuple[str, ...]]:
        """Return, for each operation, the computing ones (or the film) that it reads, glue looked through."""
        known = self.by_key
        found = {one.key: [_behind_glue(source, known) for source in one.sources] for one in self.operations}
        return {key: tuple(name for name in names if name is not None) for key, names in found.items()}

    def giving(self) -> dict[str, str]:
        """Return which computing operation gives each output of the network, glue looked through."""
        known, found = self.by_key, {}
        for one in self.operations:
            for output in one.outputs:
                behind = _behind_glue(one.key, known)
                if behind is not None:
                    found[output] = behind
        return found

    @classmethod
    def from_json(cls, rows: list[dict[str, Any]]) -> LayerGraph:
        """Read what a runner wrote."""
        lists = ("sources", "shape", "names", "outputs")
        return cls(tuple(Operation(**(row | {name: tuple(row[name]) for name in lists})) for row in rows))


def _behind_glue(key: str, known: dict[str, Operation]) -> str | None:
    """Return what computes behind a chain of glue; None where the chain starts at a constant."""
    while key != INPUT and known[key].glue is not None:
        if not known[key].sources:
            return None
        key = known[key].sources[0]
    return key


def as_rows(array: NDArray[Any], *, channels_first: bool = False) -> NDArray[np.float32]:
    """Return the tensor of one film as float32 [positions, channels].

    Args:
        array: any rank, the batch of one first; a scalar is one position of one channel.
        channels_first: it is an image as ONNX has it, [1, C, H, W].
    """
    values = array.astype(np.float32, copy=False)
    if channels_first and values.ndim == 4:
        values = values.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1))


def why_glue(op: str, dtype: np.dtype[Any], *, quantised: bool = False) -> str | None:
    """Return why an operation is not compared, or None: int32 and int64 that stand for no real number are shapes."""
    if op not in GLUE and dtype in (np.int32, np.int64) and not quantised:
        return SHAPES
    return GLUE.get(op)
