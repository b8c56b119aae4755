"""A network as plain operations on one film, channels last, with its stored numbers in float64.

It is what an ONNX graph says, and nothing of any framework: convert.formats.tflite.write makes a file of it. `simplify`
applies the few rewrites that are equal for every input but for rounding: what scales and shifts after stored weights is
part of these weights, and an activation or a border that one operation alone reads or gives is part of that operation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import Graph
from convert.formats.ops.apply import apply
from convert.formats.ops.builder import Activation, Border, Combination, Comparison, Pair, Places

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """What an operation gives for one film."""

    name: str
    sizes: tuple[int, ...]  # without the batch, channels last
    dtype: str = "float32"
    numbers: Array | None = None  # where it is stored

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes with the batch in front, as the operations ask for them."""
        return (None, *self.sizes)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation."""

    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    options: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(
        default_factory=dict
    )  # kernel, bias, scale, offset, factor, bound, where, yes, no
    names: tuple[str, ...] = ()  # nodes that it does the work of, the last one first


@dataclass(frozen=True, slots=True)
class Plain:
    """Operations in an order in which they can be computed."""

    image: Tensor
    operations: tuple[Operation, ...]
    outputs: Mapping[str, Tensor]  # by name

    def readers(self) -> Counter[str]:
        """Return how often each tensor is read; an output of the network is read once more."""
        read = Counter(one.name for operation in self.operations for one in operation.inputs)
        return read + Counter(one.name for one in self.outputs.values())


def to_plain(graph: Graph) -> Plain:
    """Return an ONNX graph as plain operations.

    Raises:
        ConversionError: operations, or ways to use them, that are not known here (docs/ops.md).
    """
    builder = PlainBuilder()
    image, outputs = apply(graph, builder)
    return Plain(image, tuple(builder.operations), outputs)


class PlainBuilder:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._taken: Counter[str] = Counter()

    def image(self, sizes: tuple[int, ...], name: str | None) -> Tensor:
        """Return an input."""
        return Tensor(name or "stand-in", sizes)

    def _add(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        name: str,
        sizes: Sequence[int],
        *,
        options: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any] | None] | None = None,
        dtype: str | None = None,
    ) -> Tensor:
        """Write down an operation; what it gives is of the type of what it reads, unless another one is named."""
        self._taken[name] += 1
        unique = name if self._taken[name] == 1 else f"{name}:{self._taken[name]}"
        stored = {key: np.asarray(one, np.float64) for key, one in (arrays or {}).items() if one is not None}
        output = Tensor(unique, tuple(sizes), dtype or inputs[0].dtype)
        self.operations.append(Operation(kind, tuple(inputs), output, options or {}, stored, (name,)))
        return output

    def activation(self, tensor: Tensor, kind: Activation, name: str, **options: float | None) -> Tensor:
        """Write down an activation; a ReLU's `most` is a number or infinity."""
        if kind == "relu":
            return self._add("relu", [tensor], name, tensor.sizes, options={"most": options.get("most") or math.inf})
        return self._add(kind, [tensor], name, tensor.sizes, options=options)

    def prelu(
        self,
        tensor: Tensor,
        slope: NDArray[Any],
        name: str,
        key: object,  # noqa: ARG002  (each call has its own weights here)
    ) -> Tensor:
        """Write down a slope a channel below zero."""
        return self._add("prelu", [tensor], name, tensor.sizes, arrays={"slope": slope})

    def clip(self, tensor: Tensor, low: float, high: float, name: str) -> Tensor:
        """Write down two ends."""
        return self._add("clip", [tensor], name, tensor.sizes, options={"low": low, "high": high})

    def scale(self, tensor: Tensor, scale: Any, offset: Any, name: str) -> Tensor:
        """Write down scale * x + offset."""
        return self._add("affine", [tensor], name, tensor.sizes, arrays={"scale": scale, "offset": offset})

    def times(self, tensor: Tensor, factor: NDArray[Any], name: str) -> Tensor:
        """Write down a product with stored numbers."""
        sizes = np.broadcast_shapes(tensor.sizes, factor.shape[1:])
        return self._add("times", [tensor], name, sizes, arrays={"factor": factor[0]})

    def plus(self, tensor: Tensor, addend: NDArray[Any], name: str) -> Tensor:
        """Write down a sum with stored numbers."""
        return self._add("plus", [tensor], name, tensor.sizes, arrays={"addend": addend[0]})

    def stored(
        self,
        like: Tensor,  # noqa: ARG002  (stored numbers are those of every film here)
        numbers: NDArray[Any],
        axis: int,  # noqa: ARG002
        name: str,
    ) -> Tensor:
        """Return stored numbers, which `join` takes."""
        return Tensor(name, numbers.shape[1:], numbers=np.asarray(numbers[0], np.float64))

    def cut(self, tensor: Tensor, axis: int, places: Places, name: str) -> Tensor:
        """Write down which places of an axis are kept."""
        sizes = list(tensor.sizes)
        sizes[axis - 1] = len(range(*places))
        return self._add("cut", [tensor], name, sizes, options={"axis": axis, "places": places})

    def combine(self, tensors: Sequence[Tensor], kind: Combination, name: str) -> Tensor:
        """Write down a sum, a product, or what else takes two tensors."""
        sizes = np.broadcast_shapes(*(one.sizes for one in tensors))
        return self._add(kind, tensors, name, sizes)

    def join(self, tensors: Sequence[Tensor], axis: int, name: str) -> Tensor:
        """Write down a concatenation."""
        sizes = list(tensors[0].sizes)
        sizes[axis - 1] = sum(one.sizes[axis - 1] for one in tensors)
        stored = {f"part{at}": one.numbers for at, one in enumerate(tensors) if one.numbers is not None}
        computed = [one for one in tensors if one.numbers is None]
        kind = "join_stored" if stored else "join"
        return self._add(kind, computed, name, sizes, options={"axis": axis}, arrays=stored)

    def dense(
        self,
        tensor: Tensor,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,  # noqa: ARG002  (each call has its own weights here)
    ) -> Tensor:
        """Write down a product with a matrix."""
        sizes = (*tensor.sizes[:-1], kernel.shape[1])
        return self._add("dense", [tensor], name, sizes, arrays={"kernel": kernel, "bias": bias})

    def product(self, left: Tensor, right: Tensor, name: str) -> Tensor:
        """Write down a product of two computed matrices."""
        return self._add("product", [left, right], name, (*left.sizes[:-1], right.sizes[-1]))

    def conv(
        self,
        tensor: Tensor,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,  # noqa: ARG002  (each call has its own weights here)
        *,
        strides: Pair,
        dilations: Pair,
        groups: int,
    ) -> Tensor:
        """Write down a convolution."""
        options = {"strides": strides, "dilations": dilations, "groups": groups}
        sizes = (*_places(tensor, kernel, strides, dilations), kernel.shape[3])
        return self._add("conv", [tensor], name, sizes, options=options, arrays={"kernel": kernel, "bias": bias})

    def depthwise(
        self,
        tensor: Tensor,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,  # noqa: ARG002  (each call has its own weights here)
        *,
        strides: Pair,
        dilations: Pair,
    ) -> Tensor:
        """Write down a convolution of each channel."""
        options = {"strides": strides, "dilations": dilations}
        sizes = (*_places(tensor, kernel, strides, dilations), kernel.shape[2] * kernel.shape[3])
        return self._add("depthwise", [tensor], name, sizes, options=options, arrays={"kernel": kernel, "bias": bias})

    def normalise(
        self,
        tensor: Tensor,
        statistics: Sequence[NDArray[Any]],
        name: str,
        key: object,  # noqa: ARG002  (each call has its own weights here)
        *,
        epsilon: float,
        momentum: float,  # noqa: ARG002  (of training)
    ) -> Tensor:
        """Write down a batch normalisation as what it is for one film: scale * x + offset."""
        gamma, beta, mean, variance = (one.astype(np.float64) for one in statistics)
        scale = gamma / np.sqrt(variance + epsilon)
        return self._add("affine", [tensor], name, tensor.sizes, arrays={"scale": scale, "offset": beta - mean * scale})

    def standardise(
        self,
        tensor: Tensor,
        weights: tuple[NDArray[Any] | None, NDArray[Any] | None],
        name: str,
        key: object,  # noqa: ARG002  (each call has its own weights here)
        *,
        axes: tuple[int, ...],
        epsilon: float,
    ) -> Tensor:
        """Write down a normalisation by a film's own statistics, and scale * x + offset behind it."""
        gamma, beta = weights
        last = "" if gamma is None and beta is None else ".normal"
        options = {"axes": axes, "epsilon": epsilon}
        made = self._add("standardise", [tensor], f"{name}{last}", tensor.sizes, options=options)
        return self.scale(made, 1.0 if gamma is None else gamma, 0.0 if beta is None else beta, name) if last else made

    def border(self, tensor: Tensor, around: Border, name: str) -> Tensor:
        """Write down zeros around an image."""
        top, left, bottom, right = around
        rows, columns, channels = tensor.sizes
        sizes = (rows + top + bottom, columns + left + right, channels)
        return self._add("border", [tensor], name, sizes, options={"around": around})

    def pool(
        self, tensor: Tensor, kind: Literal["max", "average"], kernel: Pair, strides: Pair, name: str, *, same: bool
    ) -> Tensor:
        """Write down a pool."""
        rows, columns, channels = tensor.sizes
        if same:
            sizes = (-(-rows // strides[0]), -(-columns // strides[1]), channels)
        else:
            sizes = ((rows - kernel[0]) // strides[0] + 1, (columns - kernel[1]) // strides[1] + 1, channels)
        options = {"kernel": kernel, "strides": strides, "same": same}
        return self._add(f"{kind}_pool", [tensor], name, sizes, options=options)

    def reduce(self, tensor: Tensor, kind: Literal["max", "mean"], name: str, *, keep: bool) -> Tensor:
        """Write down a mean or the largest over places."""
        places = len(tensor.sizes) - 1
        sizes = (*(1,) * (places if keep else 0), tensor.sizes[-1])
        options = {"axes": tuple(range(1, places + 1)), "keep": keep}
        return self._add("largest" if kind == "max" else "mean", [tensor], name, sizes, options=options)

    def reshape(self, tensor: Tensor, sizes: tuple[int, ...], name: str) -> Tensor:
        """Write down other sizes."""
        return self._add("reshape", [tensor], name, sizes)

    def permute(self, tensor: Tensor, order: Sequence[int], name: str) -> Tensor:
        """Write down another order of axes."""
        sizes = [tensor.sizes[axis - 1] for axis in order[1:]]
        return self._add("transpose", [tensor], name, sizes, options={"order": tuple(order)})

    def compare(self, left: Tensor, right: Tensor | NDArray[Any], kind: Comparison, name: str) -> Tensor:
        """Write down a comparison."""
        inputs, stored = _sides({"bound": right})
        sizes = np.broadcast_shapes(left.sizes, *(one.sizes for one in inputs))
        return self._add(kind, [left, *inputs], name, sizes, arrays=stored, dtype="bool")

    def choose(
        self, where: Tensor | NDArray[Any], yes: Tensor | NDArray[Any], no: Tensor | NDArray[Any], name: str
    ) -> Tensor:
        """Write down a choice; stored sides are arrays."""
        inputs, stored = _sides({"where": where, "yes": yes, "no": no})
        sizes = np.broadcast_shapes(*(one.sizes for one in inputs))
        return self._add("choose", inputs, name, sizes, arrays=stored, dtype="float32")

    def to_float(self, tensor: Tensor, name: str) -> Tensor:
        """Write down a cast."""
        return self._add("cast", [tensor], name, tensor.sizes, dtype="float32")


def _sides(given: Mapping[str, Tensor | NDArray[Any]]) -> tuple[list[Tensor], dict[str, NDArray[Any]]]:
    """Return which sides of an operation are computed, in their order, and which are stored, of one film each."""
    computed = [one for one in given.values() if isinstance(one, Tensor)]
    return computed, {name: one[0] for name, one in given.items() if not isinstance(one, Tensor)}


def _places(tensor: Tensor, kernel: NDArray[Any], strides: Pair, dilations: Pair) -> tuple[int, int]:
    reach = [(kernel.shape[axis] - 1) * dilations[axis] + 1 for axis in (0, 1)]
    rows, columns = ((tensor.sizes[axis] - reach[axis]) // strides[axis] + 1 for axis in (0, 1))
    return rows, columns


# --- simplify ---

WEIGHTED = ("conv", "depthwise", "dense")
ACTIVATED = (*WEIGHTED, "affine", "add", "multiply", "subtract")  # TFLite's operations that take a ReLU along
FUSED = (math.inf, 6.0)  # ends of ReLU and ReLU6


def simplify(plain: Plain) -> Plain:
    """Return the same network in fewer operations; every number is folded in float64."""
    for rewrite in (_drop_unread, _join_reshapes, fold_scales, _take_borders, _take_activations):
        plain = rewrite(plain)
    return plain


def _drop_unread(plain: Plain) -> Plain:
    """Leave out what no output is made of: runtimes do so as well, and keep no numbers of it."""
    read, kept = {one.name for one in plain.outputs.values()}, list[Operation]()
    for one in reversed(plain.operations):
        if one.output.name in read:
            read |= {tensor.name for tensor in one.inputs}
            kept.append(one)
    return replace(plain, operations=tuple(reversed(kept)))


def _join_reshapes(plain: Plain) -> Plain:
    """Take numbers to their last sizes at once, where nobody reads them in between."""
    makers, readers = dict[str, Operation](), plain.readers()
    for one in plain.operations:
        before = makers.get(one.inputs[0].name)
        if before is not None and one.kind == before.kind == "reshape" and readers[before.output.name] == 1:
            del makers[before.output.name]
            one = replace(one, inputs=before.inputs, names=(*one.names, *before.names))  # noqa: PLW2901
        makers[one.output.name] = one
    return replace(plain, operations=tuple(makers.values()))


def fold_scales(plain: Plain, *, shifts_apart: bool = True) -> Plain:
    """Fold scale and offset into the weights before them, where nobody else reads what these give.

    Args:
        plain: the network.
        shifts_apart: keep an addition before a product apart from it, as the graph has them.
    """
    readers, made, kept = plain.readers(), dict[str, int](), list[Operation]()
    for one in plain.operations:
        at = made.get(one.inputs[0].name)
        before = None if at is None else kept[at]
        alone = before is not None and readers[before.output.name] == 1 and "most" not in before.options
        if at is not None and before is not None and alone and _folds(before, one, shifts_apart=shifts_apart):
            kept[at] = replace(
                before, output=one.output, arrays=_scaled(before, one), names=(*one.names, *before.names)
            )
        else:
            at = len(kept)
            kept.append(one)
        made[one.output.name] = at
    return replace(plain, operations=tuple(kept))


def _folds(before: Operation, after: Operation, *, shifts_apart: bool) -> bool:
    if after.kind != "affine" or before.kind not in (*WEIGHTED, "affine"):
        return False
    apart = (
        shifts_apart or after.output.sizes[-1] == 1
    )  # of a single channel both stay in float, whatever else does not
    return before.kind != "affine" or not (apart and _is_shift_and_scale(before, after))


def _is_shift_and_scale(before: Operation, after: Operation) -> bool:
    """Whether two affine operations are an addition, then a product: together they would take two operators as well.

    Apart, each gives what a node of the graph gives, such as the subtraction of a mean and the division by a deviation.
    """
    return bool(np.all(before.arrays["scale"] == 1)) and not np.any(after.arrays["offset"])


def _scaled(before: Operation, affine: Operation) -> dict[str, Array]:
    scale, offset = affine.arrays["scale"], affine.arrays["offset"]
    if before.kind == "affine":
        return {"scale": before.arrays["scale"] * scale, "offset": before.arrays["offset"] * scale + offset}
    kernel = before.arrays["kernel"]
    each = scale.reshape(kernel.shape[2:]) if before.kind == "depthwise" and scale.ndim else scale
    bias = before.arrays.get("bias", np.zeros(before.output.sizes[-1]))
    return {"kernel": kernel * each, "bias": bias * scale + offset}


def _take_borders(plain: Plain) -> Plain:
    """Let a convolution bring its own zeros where they are those of TensorFlow's "same"."""
    makers = {one.output.name: one for one in plain.operations}
    readers, gone, kept = plain.readers(), set[str](), list[Operation]()
    for one in plain.operations:
        before = makers.get(one.inputs[0].name)
        if (
            before is not None
            and before.kind == "border"
            and one.kind in ("conv", "depthwise")
            and readers[before.output.name] == 1
            and _is_same(before, one)
        ):
            gone.add(before.output.name)
            options = {**one.options, "same": True}
            kept.append(replace(one, inputs=before.inputs, options=options, names=(*one.names, *before.names)))
        else:
            kept.append(one)
    return replace(plain, operations=tuple(one for one in kept if one.output.name not in gone))


def _is_same(border: Operation, conv: Operation) -> bool:
    """Whether zeros are what TensorFlow's "same" adds: half of them before, the odd one behind."""
    top, left, bottom, right = border.options["around"]
    kernel, given = conv.arrays["kernel"].shape, conv.options
    for axis, before, after in ((0, top, bottom), (1, left, right)):
        size, stride = border.inputs[0].sizes[axis], given["strides"][axis]
        reach = (kernel[axis] - 1) * given["dilations"][axis] + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        if (before, after) != (total // 2, total - total // 2):
            return False
    return True


def _take_activations(plain: Plain) -> Plain:
    """Let an operation end in the ReLU or ReLU6 that alone reads it."""
    readers, made, kept = plain.readers(), dict[str, int](), list[Operation]()
    for one in plain.operations:
        at = made.get(one.inputs[0].name)
        before = None if at is None else kept[at]
        if (
            at is not None
            and before is not None
            and one.kind == "relu"
            and one.options["most"] in FUSED
            and before.kind in ACTIVATED
            and "most" not in before.options
            and readers[before.output.name] == 1
        ):
            options = {**before.options, "most": one.options["most"]}
            kept[at] = replace(before, output=one.output, options=options, names=(*one.names, *before.names))
        else:
            at = len(kept)
            kept.append(one)
        made[one.output.name] = at
    return replace(plain, operations=tuple(kept))
