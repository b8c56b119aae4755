"""What is carried along while an ONNX graph is walked: layouts, shared layers, and errors that name the node."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import BATCH, Graph, Node, plain_name
from convert.formats.ops.builder import Builder
from tbconv.contract.errors import NoRuleError

ROUTE = "change the network: docs/ops.md lists what has a layer"
IMAGE_RANK = 4
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # orders of the axes of an image
MOST_COPIES = 64  # of a tensor, or places that are stored, that one operation joins
MOST_NAMES = 6  # of an error's first line; beyond them it counts operations, and the reasons name them all
MOST_REASONS = 12  # lines
MOST_SHAPES = 4  # nodes of one reason, each with the shapes that it reads


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor on the way: what the builder made, and how ONNX sees it."""

    tensor: Any
    channels_first: bool = False  # ONNX says [N, C, H, W], the tensor is [N, H, W, C]
    rows: int = 1  # ONNX says [N * rows, C], the tensor is [N, rows, C]
    rows_first: bool = False  # whether ONNX says [rows * N, C] instead
    batch_at: int = 0  # which of ONNX's axes the batch is; it is the tensor's first, the others behind in their order
    nonnegative: bool = False  # whether it can't be below zero, whatever the film: then a border of zeros can't win

    def like(self, tensor: Any, *, nonnegative: bool = False) -> Value:
        """Return another tensor in the same layout."""
        return replace(self, tensor=tensor, nonnegative=nonnegative)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes behind the batch, in ONNX's order."""
        sizes = tuple(self.tensor.shape[1:])
        return (sizes[-1], *sizes[:-1]) if self.channels_first else sizes

    @property
    def sizes(self) -> list[int]:
        """All sizes in ONNX's order, with BATCH for the batch, times the rows that are folded into it."""
        others = self.shape[1:] if self.rows > 1 else self.shape
        return [*others[: self.batch_at], BATCH * self.rows, *others[self.batch_at :]]


@dataclass(slots=True)
class Walk:
    """The constants, and who makes what the nodes become."""

    make: Builder
    constants: dict[str, NDArray[Any]]
    batch: int = 0  # of the file, where it is fixed
    opset: int = 18
    films: dict[str, NDArray[Any]] = field(default_factory=dict)  # stored, and repeated for each film: [1, ...]

    def constant(self, node: Node, index: int) -> NDArray[Any]:
        """Return input `index` of a node as an array; ConversionError if it is computed or left out."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        if not name:
            raise unknown(node, f"its input {index} is left out")
        if name not in self.constants:
            raise unknown(node, f"its input {index} is computed, not stored")
        return self.constants[name]

    def film(self, node: Node, index: int) -> NDArray[Any]:
        """Return input `index` as one film's stored numbers; ConversionError as of `constant`."""
        name = node.inputs[index]
        return self.films[name] if name in self.films else self.constant(node, index)

    def given(self, node: Node, index: int) -> NDArray[Any] | None:
        """Return input `index` as an array, None if it is left out."""
        absent = index >= len(node.inputs) or not node.inputs[index]
        return None if absent else self.constant(node, index)


Operation = Callable[[Walk, Node, list[Value | None]], Value | list[Value]]  # a list: one of each output


class UnknownError(NoRuleError):
    """A node that no Keras layer stands for; `build` collects them all before it raises."""

    def __init__(self, node: Node, why: str) -> None:
        super().__init__(f"node {node.name} ({node.op}) cannot be converted exactly", why=why, fix=ROUTE)
        self.node = node


def unknown(node: Node, why: str) -> UnknownError:
    """Return the error for a known operation that is used in an unknown way."""
    return UnknownError(node, why)


def all_of(found: list[UnknownError], graph: Graph) -> NoRuleError:
    """Return one error that names every node in `found`, a line a reason, with the shapes of what it reads.

    Of many reasons the last lines hold what is left, so that no refusal is longer than a screen.
    """
    nodes = [one.node for one in found]
    if len(nodes) == 1:
        return NoRuleError(found[0].what, why=f"{found[0].why}{_reads(nodes[0], graph)}", fix=ROUTE)
    if len(nodes) <= MOST_NAMES:
        named = ", ".join(f"{node.name} ({node.op})" for node in nodes)
    else:
        named = ", ".join(f"{count} {op}" for op, count in Counter(node.op for node in nodes).most_common())
    reasons: dict[str, list[Node]] = defaultdict(list)
    for one in found:
        reasons[one.why].append(one.node)
    lines = [f"{reason}: {_listed(those, graph)}" for reason, those in reasons.items()]
    if len(lines) > MOST_REASONS:
        others: dict[str, list[Node]] = defaultdict(list)
        for node in (node for those in [*reasons.values()][MOST_REASONS - 1 :] for node in those):
            others[node.op].append(node)
        rest = "; ".join(f"{op} {_listed(those, graph)}" for op, those in others.items())
        lines = [*lines[: MOST_REASONS - 1], f"{len(reasons) - MOST_REASONS + 1} reasons more, of {rest}"]
    what = f"{len(nodes)} nodes cannot be converted exactly: {named}"
    return NoRuleError(what, why="\n    ".join(lines), fix=ROUTE)


def _listed(nodes: Sequence[Node], graph: Graph) -> str:
    """Return the names of nodes: a few with what each reads, many by what their names have in common."""
    if len(nodes) <= MOST_SHAPES:
        return ", ".join(f"{node.name}{_reads(node, graph)}" for node in nodes)
    alike: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        alike[re.sub(r"\d+", "*", node.name)].append(node.name)
    names = [those[0] if len(those) == 1 else _span(those) for those in alike.values()]
    return f"{len(nodes)} nodes{_reads(nodes[0], graph).replace('(it', '(the first')}: {', '.join(names)}"


def _span(names: Sequence[str]) -> str:
    """Return names that differ in numbers alone as one, with their numbers: /layer.{0,2,3}/Erf."""
    parts = [re.split(r"(\d+)", name) for name in names]
    columns = [list(dict.fromkeys(column)) for column in zip(*parts, strict=True)]
    if sum(len(column) > 1 for column in columns) > 1:  # which goes with which would be lost
        return ", ".join(names)
    return "".join(column[0] if len(column) == 1 else f"{{{','.join(column)}}}" for column in columns)


def _reads(node: Node, graph: Graph) -> str:
    known = graph.shapes | {name: array.shape for name, array in graph.constants.items()}
    shapes = [str([size or "N" for size in known[name]]) for name in node.inputs if known.get(name)]
    return f" (it reads {', '.join(shapes)})" if shapes else ""


def only(node: Node, values: list[Value | None], index: int = 0, *, anywhere: bool = False) -> Value:
    """Return input `index` as a tensor; ConversionError if it is a stored constant.

    Args:
        node: that reads it.
        values: its inputs.
        index: of one.
        anywhere: whether the batch may be another axis than the first, or behind rows; else ConversionError, too.
    """
    value = values[index]
    if value is None:
        raise unknown(node, f"its input {index} is a constant")
    if (value.batch_at or value.rows_first) and not anywhere:
        raise unknown(node, f"the batch is axis {value.batch_at} of what it reads")
    return value


def image(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Return the first input as an image [N, C, H, W]."""
    value = only(node, values)
    if len(value.tensor.shape) != IMAGE_RANK or value.rows > 1:
        raise unknown(node, "its input is not an image [N, C, H, W]")
    return as_image(walk, node, value)


def as_image(walk: Walk, node: Node, value: Value, part: int = 0) -> Value:
    """Return a tensor of four axes with its channels last."""
    if value.channels_first:
        return value
    name = f"{layer_name(node)}.channels_last{part or ''}"
    made = walk.make.permute(value.tensor, CHANNELS_LAST, name)
    return replace(value, tensor=made, channels_first=True)


def as_onnx(walk: Walk, node: Node, value: Value, part: int = 0) -> Value:
    """Return a tensor with its axes in ONNX's order."""
    if not value.channels_first:
        return value
    made = walk.make.permute(value.tensor, CHANNELS_FIRST, f"{layer_name(node)}.channels_first{part or ''}")
    return replace(value, tensor=made, channels_first=False)


def alike(walk: Walk, node: Node, values: Sequence[Value]) -> list[Value]:
    """Return tensors in one layout: as images where one is, and all have four axes."""
    ranks = {len(one.tensor.shape) for one in values}
    if ranks != {IMAGE_RANK} or not any(one.channels_first for one in values) or any(one.rows > 1 for one in values):
        return list(values)
    return [as_image(walk, node, one, part) for part, one in enumerate(values)]


def together(walk: Walk, node: Node, values: Sequence[Value]) -> list[Value]:
    """Return tensors in one layout, whose sizes of 1 stretch to each other's; ConversionError where they don't."""
    found = alike(walk, node, values)
    if len({(one.channels_first, one.rows, one.rows_first, one.batch_at) for one in found}) > 1:
        raise unknown(node, f"its {len(found)} tensors are laid out differently")
    shapes = [one.shape for one in found]
    alone = len({len(one) for one in shapes}) == 1
    if not alone or any(len(set(column) - {1}) > 1 for column in zip(*shapes, strict=True)):
        raise unknown(node, f"{' and '.join(str(list(one)) for one in shapes)} don't stretch to each other")
    return found


def by_place(node: Node, value: Value, numbers: NDArray[Any], batch: int = 0) -> NDArray[Any]:
    """Return stored numbers [1, ...] in the tensor's layout; ConversionError where they don't stretch to it.

    Where the file's batch is fixed at 1 they may be one film's of each row that is folded into it, such as of windows.
    """
    wanted, folded = value.sizes, value.rows > 1
    wanted[value.batch_at] = 1
    sizes = (1,) * (len(wanted) - numbers.ndim) + numbers.shape
    if folded and batch == 1 and not value.rows_first and sizes[0] == value.rows and value.shape[0] == value.rows:
        sizes, folded = (1, *sizes), False
        wanted = [1, *value.shape]
    fits = len(sizes) == len(wanted) and all(one in (1, own) for one, own in zip(sizes, wanted, strict=True))
    if not fits or value.batch_at:
        raise unknown(node, f"a constant of shape {numbers.shape} does not stretch to {['N', *value.shape]}")
    found = numbers.reshape((*sizes[:1], *((1,) if folded else ()), *sizes[1:]))  # each row of a film alike
    return np.ascontiguousarray(found.transpose(CHANNELS_LAST) if value.channels_first else found)


def here(value: Value, axis: int) -> int:
    """Return where an axis, as ONNX counts it from the batch on, stands in the tensor."""
    if value.channels_first:
        return {1: len(value.tensor.shape) - 1, 2: 1, 3: 2}.get(axis, axis)
    return 0 if axis == value.batch_at else axis + (axis < value.batch_at) + (value.rows > 1)


def shared(node: Node) -> object:
    """Return what is equal for nodes with the same stored weights and attributes: they are one layer."""
    return (node.op, repr(sorted(node.attributes.items())), *node.inputs[1:])


def layer_name(node: Node) -> str:
    """Return the node's name as Keras and TFLite allow it: without slashes."""
    return plain_name(node.name)
