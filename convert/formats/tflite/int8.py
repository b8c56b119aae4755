"""What an int8 file stores: the grid of each tensor, which operations compute in int8, and the steps of their weights.

A grid is decided elsewhere (convert.quantization); here stands what LiteRT's int8 kernels demand of it: operations that
only move numbers keep the grid of what they read, some outputs have a fixed one, and a join has one grid for all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from convert.formats.tflite.plain import Operation, Plain, fold_scales

LEAST, MOST = -128, 127  # of an activation; weights leave out -128, as LiteRT's kernels demand
STEPS = MOST - LEAST
LARGEST_BIAS = 1 << 30  # of an int32 bias: what a sum of products adds still fits beside it
LEAST_MULTIPLIER, MOST_MULTIPLIER = 2.0**-31, 128  # XNNPACK takes s_in * s_w / s_out from 2^-32 on, and below 256

MOVES = (
    "average_pool",
    "border",
    "cut",
    "max_pool",
    "reshape",
    "transpose",
)  # the grid of the input is that of the output
WEIGHTED = ("conv", "depthwise", "dense")
DECLARED = "tbconv.quantization"  # metadata: what a prover may not expect of the nearest steps
INTEGER = (  # operations with an int8 kernel in LiteRT 2.x; all others stay in float32
    *MOVES,
    *WEIGHTED,
    "add",
    "hard_silu",
    "join",
    "leaky_relu",
    "mean",
    "multiply",
    "relu",
    "sigmoid",
    "softmax",
    "subtract",
    "tanh",
    "times",
)


@dataclass(frozen=True, slots=True)
class Grid:
    """Real numbers that int8 stands for: scale * (q - zero)."""

    scale: float  # a float32 number
    zero: int

    def steps(self, values: NDArray[np.floating]) -> NDArray[np.int8]:
        """Return the nearest steps."""
        found = np.rint(np.asarray(values, np.float64) / self.scale) + self.zero
        return np.clip(found, LEAST, MOST).astype(np.int8)

    def round(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the nearest numbers on the grid, float64."""
        return self.scale * (self.steps(values).astype(np.float64) - self.zero)


GREY = Grid(1.0, LEAST)  # grey levels 0 to 255: such a file takes them as uint8
FIXED = {  # what LiteRT's kernels give, whatever they read
    "sigmoid": Grid(1 / 256, LEAST),
    "softmax": Grid(1 / 256, LEAST),
    "tanh": Grid(1 / 128, 0),
}


def grid_of(low: float, high: float, *, least: float = 0.0) -> Grid:
    """Return the grid of a range in steps of at least a size; zero is on it, so the range is stretched to hold it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max((high - low) / STEPS, least))
    if not scale > 0:  # nothing but zeros, or less than float32 holds
        return Grid(1.0, LEAST)
    zero = round(LEAST - low / float(scale))
    return Grid(float(scale), min(max(zero, LEAST), MOST))


@dataclass(frozen=True, slots=True)
class Steps:
    """Weights of one operation in int8, laid out as its kernel is."""

    values: NDArray[np.int8]
    scale: NDArray[np.float32]  # one a output channel

    def real(self, kind: str) -> NDArray[np.float64]:
        """Return the numbers that they stand for, laid out as the kernel is."""
        return self.values * on_outputs(self.scale.astype(np.float64), kind, self.values.shape)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a network is stored in int8."""

    integer: frozenset[str]  # operations that compute in int8, by what they give
    grids: Mapping[str, Grid]  # of every tensor that is stored in int8
    steps: Mapping[str, Steps] = field(default_factory=dict)  # of the weights, by what their operation gives
    shifts: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)  # of biases, in steps, by the same
    io: str = "float32"  # of convert.formats.table.IO
    outputs: Mapping[str, Grid] = field(default_factory=dict)  # of what the network gives, where that is no float

    def biases(self, operation: Operation) -> NDArray[np.int32]:
        """Return the bias of an operation in steps of s_in * s_w, shifts included."""
        name, scale = operation.output.name, self.steps[operation.output.name].scale
        found = bias_steps(operation, self.grids[operation.inputs[0].name], scale)
        return found + self.shifts.get(name, np.zeros_like(found))

    def declaration(self, plain: Plain, searched: Mapping[str, str] | None) -> bytes:
        """Return what a file says of its integers: JSON.

        `rounding` is nearest, or searched where weights may be the second nearest steps; `weights` are then the digests
        of what the search left, so that no other weight may be; `bias_steps` holds by bias the channels that were
        shifted, and by how many steps.

        Args:
            plain: the network.
            searched: SHA-256 of the stored weights by tensor; None where all were rounded to the nearest step.
        """
        names = {one.output.name: f"{one.names[-1]}.bias" for one in plain.operations if one.names}
        shifted = {
            names[name]: [[int(at), int(by[at])] for at in np.flatnonzero(by)] for name, by in self.shifts.items()
        }
        told: dict[str, object] = {"rounding": "nearest", "bias_steps": shifted}
        if searched is not None:
            told |= {"rounding": "searched", "weights": dict(searched)}
        return json.dumps(told, sort_keys=True).encode()


def on_outputs(values: NDArray[np.float64], kind: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return numbers a output channel, shaped so that they stretch over a kernel."""
    return values.reshape(shape[2:]) if kind == "depthwise" else values


def outputs_last[Number: np.generic](kernel: NDArray[Number], kind: str) -> NDArray[Number]:
    """Return a kernel as [products of an output, outputs]."""
    if kind == "depthwise":
        return kernel.reshape(kernel.shape[0] * kernel.shape[1], -1)
    return kernel.reshape(-1, kernel.shape[-1])


def to_integer(plain: Plain) -> Plain:
    """Return the network with every product and sum a channel of an image as a convolution of each channel.

    A product and a sum in int8 would round twice; a 1 x 1 depthwise convolution rounds once, and its weights are exact.
    Those of a single channel, such as the normalisation of a grey film, stay a product and a sum, in float32.
    """
    folded = fold_scales(plain, shifts_apart=False)
    return replace(folded, operations=tuple(_as_depthwise(one) for one in folded.operations))


def _as_depthwise(one: Operation) -> Operation:
    if one.kind != "affine" or len(one.output.sizes) != 3 or one.output.sizes[-1] == 1:
        return one
    channels = one.output.sizes[-1]
    scale, offset = (np.broadcast_to(one.arrays[key].reshape(-1), channels) for key in ("scale", "offset"))
    options = {**one.options, "strides": (1, 1), "dilations": (1, 1)}
    arrays = {"kernel": scale.reshape(1, 1, channels, 1).copy(), "bias": offset.copy()}
    return replace(one, kind="depthwise", options=options, arrays=arrays)


def integer_operations(plain: Plain, kept: Collection[str]) -> frozenset[str]:
    """Return which operations compute in int8, by what they give: those with a kernel that are not kept in float.

    What only moves numbers between operations in float does so in float.
    """
    found = {one.output.name for one in plain.operations if one.kind in INTEGER and one.output.name not in kept}
    for one in reversed(plain.operations):
        name = one.output.name
        readers = [other.output.name for other in plain.operations if one.output in other.inputs]
        if one.kind in MOVES and name in found and readers and not found.intersection(readers):
            made = one.inputs[0].name
            if made != plain.image.name and made not in found:
                found.discard(name)
    for one in plain.operations:
        if one.kind in MOVES and one.inputs[0].name not in found and one.inputs[0].name != plain.image.name:
            readers = [other.output.name for other in plain.operations if one.output in other.inputs]
            if not found.intersection(readers):
                found.discard(one.output.name)
    return frozenset(found)


def grids_of(
    plain: Plain, integer: Collection[str], ranges: Mapping[str, tuple[float, float]], *, grey: bool
) -> dict[str, Grid]:
    """Return the grid of every tensor that an operation in int8 reads or gives.

    Args:
        plain: the network.
        integer: operations that compute in int8.
        ranges: least and largest number to be stored, by tensor; of those without a rule of their own.
        grey: whether the image holds grey levels 0 to 255.
    """
    read = {one.name for operation in plain.operations if operation.output.name in integer for one in operation.inputs}
    wanted, readers = set(integer) | read, plain.readers()
    grids: dict[str, Grid] = {}
    if grey:  # as the file takes them, whoever reads them
        grids[plain.image.name] = GREY
    elif plain.image.name in wanted:
        grids[plain.image.name] = grid_of(*ranges[plain.image.name])
    ends = dict(ranges)
    for one in plain.operations:  # what a join alone reads gets the join's grid at once
        if one.kind == "join" and one.output.name in integer:
            ends |= {part.name: ends[one.output.name] for part in one.inputs if readers[part.name] == 1}
    for one in plain.operations:
        name = one.output.name
        if name not in wanted:
            continue
        if name in integer and one.kind in FIXED:
            grids[name] = FIXED[one.kind]
        elif name in integer and (one.kind in MOVES or _joins_one(one, grids)):
            grids[name] = grids[one.inputs[0].name]
        else:
            low, high = _within(one, *ends[name])
            least = _least_step(one, grids) if name in integer else 0.0
            if not low < high:
                least = max(least, _unseen_step(plain, one, integer, ends, grids))
            grids[name] = grid_of(low, high, least=least)
    return grids


def _least_step(operation: Operation, grids: Mapping[str, Grid]) -> float:
    """Return the smallest step that the kernel of a layer can give: it sums steps that are 128 times as large.

    An output that films hardly reach, far below what the weights could make of the input, has no use of finer ones.
    """
    if operation.kind not in WEIGHTED:
        return 0.0
    products = grids[operation.inputs[0].name].scale * _largest(operation.arrays["kernel"]) / MOST
    biases = _largest(operation.arrays.get("bias", np.zeros(1))) / LARGEST_BIAS
    return max(products, biases) / MOST_MULTIPLIER


def _unseen_step(
    plain: Plain,
    operation: Operation,
    integer: Collection[str],
    ends: Mapping[str, tuple[float, float]],
    grids: Mapping[str, Grid],
) -> float:
    """Return the step of a tensor that is 0 on all films: one that its maker could fill, and its readers can add up.

    A layer that reads nothing but zeros gives its biases. Beside a step of 1 these would be rounded to nothing, and
    the kernel refuses a step that is so much larger than what it gives.
    """
    source = grids.get(operation.inputs[0].name, GREY).scale
    step = source * (_largest(operation.arrays["kernel"]) or 1.0) if operation.kind in WEIGHTED else source
    same = {operation.output.name}  # and what only moves it
    for one in plain.operations:
        name = one.output.name
        if name not in integer or not same.intersection(tensor.name for tensor in one.inputs):
            continue
        if one.kind in MOVES:
            same.add(name)
        elif one.kind in WEIGHTED and ends[name][0] < ends[name][1]:
            given = grid_of(*_within(one, *ends[name])).scale
            step = min(step, given * MOST / (_largest(one.arrays["kernel"]) or 1.0))
    return step


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0.0))


def _joins_one(operation: Operation, grids: Mapping[str, Grid]) -> bool:
    """Whether an operation joins what is on one grid already, such as parts of one tensor: nothing is rounded again."""
    return operation.kind == "join" and len({grids.get(one.name) for one in operation.inputs}) == 1


def _within(operation: Operation, low: float, high: float) -> tuple[float, float]:
    """Return the part of a range that an operation can give: a grid that ends at a bound is that bound."""
    most = operation.options.get("most")
    return (low, high) if most is None else (0.0, min(high, most))


def nearest_steps(operation: Operation, scale: NDArray[np.float32]) -> Steps:
    """Return the weights of an operation on the nearest steps."""
    kernel = operation.arrays["kernel"]
    exact = kernel / on_outputs(scale.astype(np.float64), operation.kind, kernel.shape)
    return Steps(np.clip(np.rint(exact), -MOST, MOST).astype(np.int8), scale)


def weight_scales(operation: Operation, source: Grid, result: Grid) -> NDArray[np.float32]:
    """Return the scale of each output channel: its largest weight is 127 steps, if bias and multiplier then fit."""
    kernel = outputs_last(operation.arrays["kernel"], operation.kind)
    bias = np.abs(operation.arrays.get("bias", np.zeros(kernel.shape[1])))
    most = np.abs(kernel).max(axis=0)
    least = np.maximum(bias / LARGEST_BIAS, LEAST_MULTIPLIER * result.scale) / source.scale
    return np.asarray(np.maximum(np.maximum(most / MOST, least), np.finfo(np.float32).tiny), np.float32)


def bias_steps(operation: Operation, source: Grid, scale: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the bias in steps of s_in * s_w."""
    bias = operation.arrays.get("bias", np.zeros(len(scale)))
    return np.rint(bias / (source.scale * scale.astype(np.float64))).astype(np.int32)
