"""Walk an ONNX graph and apply its operations: what they become is the builder's."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import (
    Graph,
    Node,
    evaluate,
    is_static,
    moved_in_film,
    reads_batch,
    repeated_by_batch,
    shape_of,
)
from convert.formats.ops import OPERATIONS
from convert.formats.ops.builder import Builder
from convert.formats.ops.fuse import fuse_gelu, fuse_layer_norm, fuse_pool_border
from convert.formats.ops.walk import IMAGE_RANK, UnknownError, Value, Walk, all_of, unknown
from tbconv.contract.errors import ConversionError

SEVERAL = ("Split",)  # operations whose further outputs are made, too
BATCH_SIZE = "it calculates with the batch, whose size is not known"
TRUTH = "it reads what is true or false, not numbers"
TRUTH_GIVEN = "it gives an output of true and false, not of numbers"
OF_TRUTH = ("And", "Cast", "Flatten", "Identity", "Not", "Or", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Where")
# What may make a number infinite, or none at all, and what hands such a one on: a product with zeros is none then.
INFINITE = ("Div", "Exp", "Log", "Pow", "Reciprocal", "Sqrt")
HANDS_ON = (
    *("Abs", "Add", "Concat", "Expand", "Flatten", "Gather", "Identity", "LeakyRelu", "Max", "MaxPool", "Min", "Mul"),
    *("Neg", "Pad", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Slice", "Split", "Squeeze", "Sub", "Sum"),
    *("Transpose", "Unsqueeze", "Where", "Conv", "MatMul", "Gemm", "Einsum", "BatchNormalization", "Cast", "Clip"),
    *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum", "PRelu", "Elu", "CumSum"),
)
UNBOUNDED = "it sums what may be infinite, which a product with zeros would spread to every place"
MOVED = "it gives an output, and does not keep the batch in front"
NO_FILM = "it reads no film, and cannot be computed before: it draws at random, or gives several outputs"


def apply(graph: Graph, make: Builder) -> tuple[Any, dict[str, Any]]:
    """Return the input, and the outputs by name, as the builder made them.

    Raises:
        ConversionError: the input is no image of a fixed size.
        NoRuleError: operations, or the ways they are used, are not known here: one error names every such node.
    """
    graph = fuse_pool_border(fuse_layer_norm(fuse_gelu(graph)))
    image = _input(graph, make)
    walk = Walk(make, dict(graph.constants), batch=graph.input_shape[0], opset=graph.opset)
    values = {graph.input: Value(image, channels_first=True)}
    found: list[UnknownError] = []
    read = {*graph.outputs, *(name for node in graph.nodes for name in node.inputs)}
    for node in graph.nodes:
        try:
            _step(walk, node, values, read)
        except UnknownError as error:
            found.append(error)
            values |= _stand_ins(walk, node, graph)
        given = [one for one in node.outputs if one in graph.outputs]
        found += [unknown(node, UNBOUNDED)] if node.op == "CumSum" and _may_be_infinite(node, graph) else []
        found += [unknown(node, MOVED) for one in given if _is_moved(one, values)]
        found += [unknown(node, TRUTH_GIVEN) for one in given if _is_truth(one, values)]
    if found:
        raise all_of(found, graph)
    _require_film(graph, values)
    return image, {name: values[name].tensor for name in graph.outputs}


def _may_be_infinite(node: Node, graph: Graph) -> bool:
    """Whether what a node reads is a logarithm, a quotient of computed numbers or the like, handed on at most."""
    makers, waiting = {name: one for one in graph.nodes for name in one.outputs}, [node.inputs[0]]
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is None:
            continue
        by_stored = maker.op == "Div" and maker.inputs[1] in graph.constants
        if maker.op in INFINITE and not by_stored:
            return True
        waiting += maker.inputs if maker.op in HANDS_ON or by_stored else ()
    return False


def _input(graph: Graph, make: Builder) -> Any:
    if len(graph.input_shape) != IMAGE_RANK or min(graph.input_shape[1:]) < 1:
        raise ConversionError(
            f"the input {graph.input} is {list(graph.input_shape)}, 0 standing for what is not fixed",
            why="Keras and TFLite need an image [N, channels, height, width] whose last three sizes are known",
            fix="export with a fixed size: only the batch may be dynamic",
        )
    _, channels, height, width = graph.input_shape
    return make.image((height, width, channels), graph.input)


def _require_film(graph: Graph, values: dict[str, Value]) -> None:
    fixed = [name for name in graph.outputs if name not in values]
    if fixed:
        raise ConversionError(
            f"the output {fixed[0]} does not depend on the film",
            why="it is stored, or computed from stored numbers alone",
            fix="export outputs that depend on the film",
        )


def _step(walk: Walk, node: Node, values: dict[str, Value], read: set[str]) -> None:
    """Apply one node: what is known without the film becomes a constant, everything else a layer.

    Most layers give the first output alone: of a second one that is in `read`, the node is refused.
    """
    if is_static(node, walk.constants):
        walk.constants |= zip(node.outputs, evaluate(node, walk.constants, walk.opset), strict=True)
    elif node.op == "Shape" and node.inputs[0] in values:
        walk.constants[node.outputs[0]] = shape_of(node, values[node.inputs[0]].sizes)
    elif node.op == "Size" and node.inputs[0] in values:
        walk.constants[node.outputs[0]] = np.asarray(prod(values[node.inputs[0]].sizes), np.int64)
    elif (film := _film(node, walk)) is not None:
        walk.films[node.outputs[0]] = film
    elif all(name in walk.constants for name in node.inputs):
        raise unknown(node, BATCH_SIZE if reads_batch(node, walk.constants) else NO_FILM)
    elif node.op not in OPERATIONS:
        raise unknown(node, f"{node.op} has no rule here; docs/ops.md lists what has one")
    elif read.intersection(node.outputs[1:]) and node.op not in SEVERAL:
        raise unknown(node, "its second output is used, and a layer gives the first alone")
    elif node.op not in OF_TRUTH and any(_is_truth(name, values) for name in node.inputs):
        raise unknown(node, TRUTH)
    elif not any(_is_lost(name, walk, values) for name in node.inputs):
        made = OPERATIONS[node.op](walk, node, [values.get(name) for name in node.inputs])
        values |= zip(node.outputs, made if isinstance(made, list) else [made], strict=False)


def _film(node: Node, walk: Walk) -> NDArray[Any] | None:
    """Return stored numbers that a node repeats for each film, or lays out anew once they are; None of any other."""
    made = repeated_by_batch(node, walk.constants)
    return made if made is not None else moved_in_film(node, walk.films, walk.constants, walk.opset)


def _is_moved(name: str, values: dict[str, Value]) -> bool:
    return name in values and (values[name].batch_at > 0 or values[name].rows_first)


def _is_truth(name: str, values: dict[str, Value]) -> bool:
    return name in values and values[name].tensor.dtype == "bool"


def _is_lost(name: str, walk: Walk, values: dict[str, Value]) -> bool:
    """Whether a tensor lies behind a node that could not be made, and its shape is not known."""
    return bool(name) and not any(name in known for known in (values, walk.constants, walk.films))


def _stand_ins(walk: Walk, node: Node, graph: Graph) -> dict[str, Value]:
    """Return inputs of the inferred shape in place of what a node gives, so that the walk goes on and finds more."""
    found: dict[str, Value] = {}
    for name in node.outputs:
        sizes = graph.shapes.get(name, ())[1:]
        if sizes and min(sizes) > 0:
            is_image = len(sizes) + 1 == IMAGE_RANK
            tensor = walk.make.image((*sizes[1:], sizes[0]) if is_image else sizes, None)
            found[name] = Value(tensor, channels_first=is_image, nonnegative=True)
    return found
