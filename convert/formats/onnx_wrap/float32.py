"""The float32 network behind a file in other numbers: shorter or longer floats are cast, QDQ pairs are dropped.

What that changes is no matter of trust: the file itself is run as well, and how far it lies from this is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import nodes_of, tensors_of
from convert.formats.onnx_wrap.admit import refused
from convert.formats.onnx_wrap.names import fresh, names_in, rename_within

FLOATS = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
UNREADABLE = "its float graph cannot be read from it"
GIVE_FLOAT = "give the float32 file that it was quantized from"
# What gives no number below zero, and what passes on that its input has none.
NONNEGATIVE = ("Relu", "Sigmoid", "Softmax", "HardSigmoid", "Exp", "Abs")
KEEPS_SIGN = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Add", "Mul", "Concat", "Identity", "Pad")
MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Dropout", "Slice", "Gather", "Split", "Expand")
SIX = 6.0  # where ReLU6 ends
ROOTS = {"Div": 2**0.5, "Mul": 0.5**0.5}  # by which a GELU scales what its Erf reads


def to_float32(model: onnx.ModelProto) -> str:
    """Bring a graph to float32 in place; return in words what was done, nothing where it is float32 already.

    Raises:
        ConversionError: integers that are no pair of QuantizeLinear and DequantizeLinear, or numbers beyond float32.
    """
    found = [*_drop_pairs(model), *_cast_floats(model)]
    return "; ".join(found)


# --- floats ---


def _cast_floats(model: onnx.ModelProto) -> Iterator[str]:
    """Cast tensors, casts and the types of values; yield what was done.

    float64 that is calculated with in a float32 network, as sizes are, stays: no weight, input or output is of it.
    """
    values = [*model.graph.input, *model.graph.output]
    kinds = {one.data_type for one in model.graph.initializer} | {one.type.tensor_type.elem_type for one in values}
    short = {one.data_type for one in tensors_of(model)}
    short |= {one.i for node in nodes_of(model) if node.op_type == "Cast" for one in node.attribute if one.name == "to"}
    cast = {kind: name for kind, name in FLOATS.items() if kind in kinds or (kind in short and name != "float64")}
    if not cast:
        return
    counts = dict.fromkeys(cast.values(), 0)
    for tensor in tensors_of(model):
        if tensor.data_type in cast:
            counts[cast[tensor.data_type]] += 1
            _store(tensor, numpy_helper.to_array(tensor))
    for node in nodes_of(model):
        for one in node.attribute:
            if one.name in ("to", "dtype") and one.i in cast:
                one.i = TensorProto.FLOAT
    graphs = [model.graph, *(one.g for node in nodes_of(model) for one in node.attribute if one.HasField("g"))]
    for graph in graphs:
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in cast:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    words = " and ".join(f"{kind} ({count} stored tensors)" for kind, count in counts.items())
    roots = _restore_roots(model)
    gelu = f", with the root of 2 in {roots} GELU set to float32's" if roots else ""
    yield f"{words} cast to float32, in which it computes here{gelu}"


def _restore_roots(model: onnx.ModelProto) -> int:
    """Set the root of 2 that a GELU was rounded to in float16 to that of float32, in place; return how many there are.

    A GELU that is written out as Erf(x / 1.4140625) is none: off by 1e-4 of x, and no layer stands for it.
    """
    after = {name for node in model.graph.node if node.op_type == "Erf" for name in node.input}
    scaled = [node for node in model.graph.node if after.intersection(node.output)]
    read = {name: node.op_type for node in scaled for name in node.input if node.op_type in ROOTS}
    stored = [(one.name, one) for one in model.graph.initializer]
    stored += [(n.output[0], a.t) for n in model.graph.node if n.op_type == "Constant" for a in n.attribute]
    count = 0
    for name, tensor in stored:
        if name not in read or tensor.data_type != TensorProto.FLOAT:
            continue
        root, values = ROOTS[read[name]], numpy_helper.to_array(tensor)
        if values.size == 1 and float(values.reshape(())) == float(np.float16(root)):
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, root), tensor.name))
            count += 1
    return count


def _store(tensor: onnx.TensorProto, values: NDArray[Any]) -> None:
    with np.errstate(over="ignore"):
        cast = values.astype(np.float32)
    if np.isfinite(values.astype(np.float64)).sum() != np.isfinite(cast).sum():
        what = f"{tensor.name or 'a constant'} holds numbers beyond float32"
        raise refused(what, "they would be infinite", "export the network with .float()")
    tensor.CopyFrom(numpy_helper.from_array(cast, tensor.name))


# --- pairs of QuantizeLinear and DequantizeLinear ---


@dataclass(frozen=True, slots=True)
class _Grid:
    """What integers of a tensor stand for: (q - zero) * scale."""

    scale: NDArray[np.float32]
    zero: NDArray[Any]
    axis: int

    @property
    def key(self) -> tuple[object, ...]:
        return (self.scale.tobytes(), self.zero.astype(np.int64).tobytes(), self.axis)

    @property
    def starts_at_zero(self) -> bool:
        """Whether nothing below zero can be stored: rounding is then a ReLU, too."""
        return bool(self.zero.size == 1 and int(self.zero.reshape(())) == np.iinfo(self.zero.dtype).min)

    @property
    def highest(self) -> float:
        """The largest number that can be stored, of those that start at zero."""
        info = np.iinfo(self.zero.dtype)
        return float(info.max - info.min) * float(self.scale.max())

    def real(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return what stored integers stand for, float32."""
        shape = [1] * values.ndim
        if self.scale.size > 1:
            shape[self.axis % values.ndim] = self.scale.size
        scale, zero = (one.reshape(shape) if one.size > 1 else one.reshape(()) for one in (self.scale, self.zero))
        return np.asarray((values.astype(np.int64) - zero.astype(np.int64)) * scale, np.float32)


@dataclass(slots=True)
class _Pairs:
    """What is known while pairs are dropped, node by node."""

    stored: dict[str, NDArray[Any]]
    taken: set[str]
    grids: dict[str, tuple[object, ...]] = field(default_factory=dict)  # of tensors that are integers in the file
    renamed: dict[str, str] = field(default_factory=dict)
    nonnegative: set[str] = field(default_factory=set)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    made: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # stored besides: weights, and bounds of a Clip
    weights: int = 0  # of them
    dropped: int = 0
    clamped: int = 0  # ReLUs that rounding had taken over

    def now(self, name: str) -> str:
        """Return what a tensor of the file is called in the float graph."""
        return self.renamed.get(name, name)

    def is_nonnegative(self, name: str) -> bool:
        """Whether a tensor can't be below zero."""
        stored = self.stored.get(name)
        if stored is None or stored.dtype.kind not in "fiu":
            return name in self.nonnegative
        return bool((stored >= 0).all())


def _drop_pairs(model: onnx.ModelProto) -> Iterator[str]:
    """Let rounding go from a graph of QDQ format, in place; yield what was done.

    A quantizer leaves a ReLU out where rounding to integers from zero up does its work: it comes back.
    """
    if not any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in model.graph.node):
        return
    pairs = _Pairs(_stored(model), names_in(model))
    for node in model.graph.node:
        {QUANTIZE: _quantize, DEQUANTIZE: _dequantize}.get(node.op_type, _keep)(pairs, node)
    outputs = {one.name for one in model.graph.output}
    if lost := sorted(outputs & pairs.grids.keys()):
        raise refused(f"its output {lost[0]} is integer", "its classes are compared as float32", GIVE_FLOAT)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in pairs.nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.node.extend(
        helper.make_node("Identity", [new], [name]) for name, new in pairs.renamed.items() if name in outputs
    )
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in pairs.made.items())
    _drop_unread(model)
    relus = f", ReLU put back where rounding from zero up stood for it ({pairs.clamped})" if pairs.clamped else ""
    weights = f"{pairs.weights} stored tensors dequantized"
    yield f"int8: its float graph was taken, {pairs.dropped} roundings dropped, {weights}{relus}"


def _stored(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    constants = [(node, one) for node in model.graph.node if node.op_type == "Constant" for one in node.attribute]
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return stored | {node.output[0]: numpy_helper.to_array(one.t) for node, one in constants if one.name == "value"}


def _grid(pairs: _Pairs, node: onnx.NodeProto) -> _Grid:
    scale, options = pairs.stored.get(node.input[1]), {one.name: one.i for one in node.attribute}
    kind = helper.tensor_dtype_to_np_dtype(options.get("output_dtype") or TensorProto.UINT8)
    zero = pairs.stored.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros((), kind)
    if scale is None or zero is None or zero.dtype.kind not in "iu" or options.get("block_size"):
        what = f"{node.name or node.op_type} does not round to integers of a stored scale"
        raise refused(what, UNREADABLE, GIVE_FLOAT)
    return _Grid(np.asarray(scale, np.float32), zero, options.get("axis", 1))


def _quantize(pairs: _Pairs, node: onnx.NodeProto) -> None:
    """Pass on what is rounded, behind a ReLU where nothing below zero can be stored."""
    source, out, grid = pairs.now(node.input[0]), node.output[0], _grid(pairs, node)
    pairs.dropped += 1
    pairs.grids[out] = grid.key
    if not grid.starts_at_zero or pairs.is_nonnegative(source):
        pairs.renamed[out] = source
        return
    made = fresh(f"{source}_from_zero", pairs.taken)
    pairs.taken.add(made)
    pairs.nonnegative.add(made)
    pairs.clamped += 1
    pairs.renamed[out] = made
    if grid.scale.size > 1 or abs(grid.highest - SIX) > float(grid.scale.reshape(())):
        pairs.nodes.append(helper.make_node("Relu", [source], [made]))
        return
    bounds = {f"{made}_least": 0.0, f"{made}_most": SIX}
    pairs.made |= {name: np.array(value, np.float32) for name, value in bounds.items()}
    pairs.nodes.append(helper.make_node("Clip", [source, *bounds], [made]))


def _dequantize(pairs: _Pairs, node: onnx.NodeProto) -> None:
    given, out, grid = node.input[0], node.output[0], _grid(pairs, node)
    if given in pairs.stored:
        pairs.stored[out] = pairs.made[out] = grid.real(pairs.stored[given])
        pairs.weights += 1
    elif pairs.grids.get(given) == grid.key:
        pairs.renamed[out] = pairs.now(given)
    else:
        what = f"{node.name or node.op_type} reads integers that no {QUANTIZE} of its scale gives"
        raise refused(what, UNREADABLE, GIVE_FLOAT)


def _keep(pairs: _Pairs, node: onnx.NodeProto) -> None:
    """Keep a node; where it only moves integers it moves what they stand for."""
    keys = {pairs.grids[name] for name in node.input if name in pairs.grids}
    if keys and (len(keys) > 1 or node.op_type not in (*MOVES, "MaxPool", "Concat", "Identity")):
        what = f"{node.name or 'a node'} ({node.op_type}) computes with integers"
        raise refused(what, UNREADABLE, GIVE_FLOAT)
    pairs.grids |= {name: key for key in keys for name in node.output}
    kept = onnx.NodeProto.FromString(node.SerializeToString())
    rename_within(kept, pairs.renamed)
    pairs.nodes.append(kept)
    read = kept.input if kept.op_type in ("Add", "Mul", "Concat") else kept.input[:1]
    passes = kept.op_type in (*KEEPS_SIGN, *MOVES) and all(map(pairs.is_nonnegative, read))
    from_zero = kept.op_type == "Clip" and len(kept.input) > 1 and pairs.is_nonnegative(kept.input[1])
    if kept.op_type in NONNEGATIVE or passes or from_zero:
        pairs.nonnegative |= set(node.output)


def _drop_unread(model: onnx.ModelProto) -> None:
    """Let stored integers, scales and zero points go that nothing reads any more."""
    read = {name for node in nodes_of(model) for name in node.input} | {one.name for one in model.graph.output}
    kept = [one for one in model.graph.initializer if one.name in read]
    tensors = [onnx.TensorProto.FromString(one.SerializeToString()) for one in kept]
    gone = {one.name for one in model.graph.initializer} - {one.name for one in tensors}
    inputs = [
        onnx.ValueInfoProto.FromString(one.SerializeToString()) for one in model.graph.input if one.name not in gone
    ]
    del model.graph.initializer[:], model.graph.input[:]  # IR version 3 lists what is stored among the inputs
    model.graph.initializer.extend(tensors)
    model.graph.input.extend(inputs)
