"""The evidence map of a third-party network: what each place adds to an output, where the head is affine on their mean.

It is the class activation map (Zhou et al., 2016) with the bias: w * features[place] + b, whose mean over places is the
logit. A head is read from its end; what it is said to be is then tried on a drawn image, and never assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import Graph, Node, evaluate, graph_of
from convert.formats.onnx_wrap.admit import shape_of
from convert.formats.onnx_wrap.batch import SEED, open_session
from convert.formats.onnx_wrap.names import fresh, names_in, rename_tensors
from convert.formats.ops.fuse import fuse_gelu, fuse_layer_norm

EVIDENCE = "evidence"  # the output, and the prefix of its nodes and constants
ARRANGES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Transpose")
ENDS = ("Sigmoid", "Softmax", "LogSoftmax")  # behind the logits, whose map it then is
MEANS = ("GlobalAveragePool", "ReduceMean", "AveragePool")
LARGEST = ("GlobalMaxPool", "MaxPool", "ReduceMax")
DEVIATES = ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization")
LAYS_OUT = ("Transpose", "Reshape", "Cast", "Identity", "Squeeze", "Unsqueeze", "Flatten", "Mul", "Neg")  # weights
TAKES = ("Gather", "Slice", "Split")
SUMS = ("Add", "Sub", "Mul", "Div")
IMAGE, ROWS, MATRIX = 4, 3, 2  # axes
# Of the largest number: what float32 sums in another order differ by, a hundred steps of 1.2e-7.
RELATIVE = 1e-5
MOST_TRIED = 16  # tokens whose places are tried
QUARTER, FARTHER = 4, 2.0  # a change of that part of the image moves the places there so much more than the other half
# Operations that may put places elsewhere; of those in the first line, if their axes or sizes say so.
MAY_MOVE = ("Transpose", "Reshape", "Slice", "Pad", "Concat")
MOVE = (
    *("Gather", "GatherND", "GatherElements", "ScatterND", "MatMul", "Einsum", "ReverseSequence", "GridSample"),
    *("If", "Loop", "Scan", "ConvTranspose", "SpaceToDepth", "DepthToSpace", "Tile", "Expand", "AffineGrid"),
)
IN_PLACE = ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2))  # orders of four axes that keep height before width
WIDER = 1.25  # times the side, from which on a border moves what lies inside
ASPECT = 1.5  # places by which the sides of a map may differ from the image's, once borders are rounded


class NoMapError(Exception):
    """Why a network has no exact evidence map, in a clause that ends a sentence."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a graph ends with: features -> mean over places -> affine -> logits -> maybe a Sigmoid or Softmax."""

    features: str  # the tensor that is averaged
    axes: tuple[int, ...]  # of it, that are averaged; none: those of height and width, all of them
    mean: str
    chain: tuple[Node, ...]  # affine operations on the mean, in their order
    logits: str
    output: str
    ends_with: str  # of ENDS; nothing where the output is the logits


@dataclass(frozen=True, slots=True)
class EvidenceMap:
    """An evidence map that a network has: evidence[place] = features[place] @ weight + bias, [N, H, W, outputs]."""

    output: str
    ends_with: str  # what the network does to the logits before it gives them: an operation of ENDS, or nothing
    features: str
    order: tuple[int, ...]  # of the axes of the features: the batch, places, channels
    sides: tuple[int, int]  # of the map
    weight: NDArray[np.float32]  # [channels, outputs]
    bias: NDArray[np.float32]  # [outputs]

    @property
    def averages_alone(self) -> bool:
        """Whether the features are the map: the network takes their mean and does nothing more."""
        return np.array_equal(self.weight, np.eye(len(self.weight), dtype=np.float32)) and not self.bias.any()

    def to_json(self) -> dict[str, Any]:
        """Return what reports state of it."""
        return {
            "output": self.output,
            "ends_with": self.ends_with,
            "features": self.features,
            "sides": list(self.sides),
            "outputs": int(self.weight.shape[1]),
            "averages_alone": self.averages_alone,
        }


def find_map(model: onnx.ModelProto, *, channels_last: bool) -> EvidenceMap:
    """Return the evidence map of a network of one image.

    Args:
        model: of one input, an image of a fixed size; not changed.
        channels_last: whether the image is [N, H, W, C].

    Raises:
        NoMapError: it has none that is exact, and why.
    """
    graph = fuse_layer_norm(fuse_gelu(_folded(graph_of(model))))
    head = read_head(graph)
    try:
        return _Trial(model, channels_last=channels_last).measure(head, graph)
    except Exception as error:  # ONNX Runtime's errors have no public base class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        raise NoMapError("ONNX Runtime cannot run it alone, so its head could not be tried") from error


def _folded(graph: Graph) -> Graph:
    """Return a graph whose weights are stored that exporters compute of stored numbers, as by a Transpose."""
    constants, left = dict(graph.constants), list[Node]()
    for node in graph.nodes:
        read = [name for name in node.inputs if name]
        if node.op in LAYS_OUT and len(node.outputs) == 1 and all(name in constants for name in read):
            [constants[node.outputs[0]]] = evaluate(node, constants, graph.opset)
        else:
            left.append(node)
    return replace(graph, nodes=tuple(left), constants=constants)


# --- reading ---
# From the output back, through what is affine, to a mean.


def read_head(graph: Graph) -> Head:
    """Return the head of a graph, by its structure alone.

    Raises:
        NoMapError: it is not affine on a mean, or there is more than one output.
    """
    if len(graph.outputs) != 1:
        raise NoMapError(f"it has {len(graph.outputs)} outputs, and a map would have to say of which it is")
    makers = {name: node for node in graph.nodes for name in node.outputs}
    [output] = graph.outputs
    if output == EVIDENCE:
        raise NoMapError(f"its own output is called {EVIDENCE}")
    name = output
    while (node := makers.get(name)) is not None and node.op in ARRANGES:
        name = node.inputs[0]
    ends_with = node.op if node is not None and node.op in ENDS else ""
    logits = node.inputs[0] if node is not None and ends_with else output
    name, chain = logits, list[Node]()
    while (node := makers.get(name)) is not None and node.op not in MEANS:
        chain.insert(0, node)
        name = _affine_input(node, graph)
    if node is None:
        raise NoMapError("nothing in it takes a mean over places")
    features, axes = _averaged(node, makers, graph)
    return Head(features, axes, name, tuple(chain), logits, output, ends_with)


def _affine_input(node: Node, graph: Graph) -> str:
    """Return what a node reads that is affine on it, stored numbers aside; NoMapError where it is not."""
    stored = [name in graph.constants for name in node.inputs if name]
    to_float = node.op == "Cast" and node.attributes.get("to") == TensorProto.FLOAT
    if node.op in ARRANGES or to_float or (node.op in TAKES and _takes_all(node, graph)):
        if _flattens_places(node, graph):
            raise NoMapError(f"{_named(node)} keeps its places apart, and the layer behind it weighs each by itself")
        return node.inputs[0]
    if node.op in SUMS and len(stored) == MATRIX and any(stored) and (node.op != "Div" or stored[1]):
        return node.inputs[0 if all(stored) else stored.index(False)]
    affine = {
        "Neg": True,
        "Gemm": all(stored[1:]) and not node.attributes.get("transA"),
        "BatchNormalization": all(stored[1:]),
        "MatMul": stored[1:] == [True] and graph.constants[node.inputs[1]].ndim == MATRIX,
        "Conv": all(stored[1:]) and _is_dense(node, graph),
    }
    if affine.get(node.op):
        return node.inputs[0]
    raise NoMapError(_why_not(node, graph))


def _is_dense(node: Node, graph: Graph) -> bool:
    """Whether a convolution sees one place at a time, as a dense layer does."""
    stored = graph.constants.get(node.inputs[1]) if node.op == "Conv" else None
    if stored is None:
        return False
    kernel = stored.shape
    return set(kernel[2:]) == {1} and node.attributes.get("group", 1) == 1 and not any(node.attributes.get("pads", []))


def _flattens_places(node: Node, graph: Graph) -> bool:
    given, made = (graph.shapes.get(name, ()) for name in (node.inputs[0], node.outputs[0]))
    return len(given) == IMAGE and len(made) == MATRIX and given[2] * given[3] > 1


def _takes_all(node: Node, graph: Graph) -> bool:
    """Whether a node that takes parts takes the only one that there is."""
    given, made = (graph.shapes.get(name, ())[1:] for name in (node.inputs[0], node.outputs[0]))
    return math.prod(given) == math.prod(made) > 0


def _why_not(node: Node, graph: Graph) -> str:
    """Say why an operation between a mean and the output leaves no exact map."""
    joined = len([name for name in node.inputs if name and name not in graph.constants])
    why = [
        (node.op in TAKES, "reads some tokens alone, as of a class token, and no mean over places"),
        (node.op in LARGEST, "takes the largest of its places, not their mean"),
        (
            node.op in DEVIATES or (node.op == "Div" and joined > 1),
            "divides by a number that each film has of its own, so what a place adds depends on all others",
        ),
        (node.op == "MatMul" and joined > 1, "weighs its places by attention, otherwise for each film"),
        (node.op == "ReduceSum", "sums its places, each by a weight of its own, and takes no mean"),
        (node.op == "Conv", "sees several places at once, or groups of channels"),
        (joined > 1, f"joins {joined} computed tensors, not the mean over places alone"),
        (True, "among its last layers is not affine"),
    ]
    return f"{_named(node)} {next(words for fits, words in why if fits)}"


def _named(node: Node) -> str:
    return f"{node.name} ({node.op})"


def _averaged(node: Node, makers: dict[str, Node], graph: Graph) -> tuple[str, tuple[int, ...]]:
    """Return what a node averages, and over which of its axes; two means in a row are one."""
    axes = _axes(node, graph)
    inner = makers.get(node.inputs[0])
    if node.op != "ReduceMean" or inner is None or inner.op != "ReduceMean":
        return node.inputs[0], axes
    first = _axes(inner, graph)
    rank = len(graph.shapes.get(inner.inputs[0], ()))
    if not rank or not first or not axes:
        raise NoMapError(f"{_named(node)} takes a mean of a mean, of axes that are not known")
    first = tuple(axis % rank for axis in first)
    left = (
        list(range(rank)) if inner.attributes.get("keepdims", 1) else [one for one in range(rank) if one not in first]
    )
    return inner.inputs[0], tuple(sorted({*first, *(left[axis] for axis in axes)}))


def _axes(node: Node, graph: Graph) -> tuple[int, ...]:
    if node.op != "ReduceMean":
        return ()
    stored = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
    given = node.attributes.get("axes", stored)
    if given is None:
        raise NoMapError(f"{_named(node)} takes the mean over all films, or over axes that are not stored")
    return tuple(int(axis) for axis in given)


# --- affine ---
# The chain as one matrix, in float64: it is applied to zero and to each unit vector.


def compose(head: Head, constants: dict[str, NDArray[Any]], channels: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weight [channels, outputs] and bias [outputs] of the chain, float64.

    Raises:
        NoMapError: stored numbers that do not fit vectors.
    """
    rows: NDArray[np.float64] = np.vstack([np.zeros((1, channels)), np.eye(channels)])
    for node in head.chain:
        try:
            rows = _apply(node, rows, [constants.get(name) for name in node.inputs])
        except ValueError as error:
            raise NoMapError(f"{_named(node)} computes with stored numbers of another shape than a vector's") from error
    return rows[1:] - rows[0], rows[0]


def _apply(node: Node, rows: NDArray[Any], given: list[NDArray[Any] | None]) -> NDArray[Any]:
    """Apply an affine node to vectors, float64 [rows, channels]: sizes of 1 around the channels change nothing."""
    stored = [None if one is None or one.dtype.kind != "f" else one.astype(np.float64) for one in given]
    if node.op == "Neg":
        return -rows
    if node.op in SUMS:
        [number] = [one for one in stored if one is not None]
        flat = number.reshape(-1)
        if flat.size not in (1, rows.shape[1]):
            raise ValueError(node.op)
        left, right = (flat, rows) if stored[0] is not None else (rows, flat)
        operations: dict[str, Callable[[Any, Any], Any]] = {
            "Add": np.add,
            "Sub": np.subtract,
            "Mul": np.multiply,
            "Div": np.divide,
        }
        return np.asarray(operations[node.op](left, right))
    if node.op == "BatchNormalization":
        scale, offset, mean, variance = (np.asarray(one) for one in stored[1:])
        return np.asarray((rows - mean) / np.sqrt(variance + node.attributes.get("epsilon", 1e-5)) * scale + offset)
    if node.op in ("Gemm", "MatMul", "Conv"):
        kernel = np.asarray(stored[1])
        kernel = kernel.reshape(kernel.shape[0], -1).T if node.op == "Conv" else kernel
        kernel = kernel.T if node.attributes.get("transB") else kernel
        made = node.attributes.get("alpha", 1.0) * (rows @ kernel)
        bias = stored[2] if len(stored) > MATRIX else None
        return np.asarray(made if bias is None else made + node.attributes.get("beta", 1.0) * bias.reshape(-1))
    return rows


# --- trying ---
# On a drawn image: that the mean is one over all places, that the chain is what it was read as, and where tokens lie.


class _Trial:
    """A network that gives what is inside it."""

    def __init__(self, model: onnx.ModelProto, *, channels_last: bool) -> None:
        [value] = model.graph.input
        self._model, self._input = model, value.name
        sides = [one if isinstance(one, int) else 1 for one in shape_of(value)]
        self._height_first = channels_last or len(sides) < IMAGE  # [N, H, W, C], or [N, H, W]
        self._height, self._width = sides[1:3] if self._height_first else sides[2:4]
        self._image = np.random.default_rng(SEED).standard_normal(sides).astype(np.float32)

    def measure(self, head: Head, graph: Graph) -> EvidenceMap:
        """Return the map of a head; NoMapError where it is not what it was read as."""
        arranged = list(_arranged(head.features, graph))
        given = self._session({head.features, head.mean, head.logits, *arranged})(self._image)
        features, mean, logits = given[head.features], given[head.mean], given[head.logits]
        if features.ndim not in (IMAGE, ROWS):
            raise NoMapError(f"its mean is over a tensor of {features.ndim} axes, and places are those of 3 or 4")
        axes = tuple(sorted(axis % features.ndim for axis in head.axes)) or (*range(2, features.ndim),)
        rest = [axis for axis in range(1, features.ndim) if axis not in axes]
        if 0 in axes or len(rest) != 1:
            raise NoMapError(f"its mean is over the axes {list(axes)} of {features.ndim}, which are not its places")
        order = (0, *axes, rest[0])
        places = features.transpose(order).reshape(len(features), -1, features.shape[rest[0]])
        weight, bias = compose(head, graph.constants, places.shape[2])
        flat = mean.reshape(len(features), -1).astype(np.float64)
        if not _near(places.astype(np.float64).mean(1), flat):
            raise NoMapError("what it averages is not every place alike")
        if not _near(flat @ weight + bias, logits.reshape(len(features), -1)):
            raise NoMapError("its last layers do not add up to its output when they are read as affine")
        name, order, sides = self._locate(head.features, order, given, arranged)
        if sides == (1, 1):
            raise NoMapError("what it averages has a single place")
        if given[name].ndim == IMAGE and self._may_move(name, graph):
            self._ends(name, order, given[name].transpose(order))
        return EvidenceMap(
            head.output, head.ends_with, name, order, sides, weight.astype(np.float32), bias.astype(np.float32)
        )

    def _locate(
        self, features: str, order: tuple[int, ...], given: dict[str, NDArray[Any]], arranged: list[str]
    ) -> tuple[str, tuple[int, ...], tuple[int, int]]:
        """Return the tensor that holds the places, its axes as of `order`, and the sides of the map."""
        found = given[features].transpose(order)
        if found.ndim == ROWS:  # an image whose places were put into a row is that image
            for name in arranged:
                one = given[name]
                for axes in ((0, 2, 3, 1), (0, 1, 2, 3)) if one.ndim == IMAGE else ():
                    if one.size == found.size and np.array_equal(one.transpose(axes).reshape(found.shape), found):
                        sides = tuple(one.shape[axis] for axis in axes[1:3])
                        return name, axes, self._like_the_image((sides[0], sides[1]))
            return features, order, self._tiles(features, order, found)
        return features, order, self._like_the_image((found.shape[1], found.shape[2]))

    def _like_the_image(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Return the sides of a map, if it is as high to its width as the image is; NoMapError where it is not."""
        height, width = sides
        if abs(height - width * self._height / self._width) > ASPECT:
            size = f"{self._height} x {self._width}"
            raise NoMapError(f"what it averages, {height} x {width}, has not the shape of its image, {size}")
        return sides

    def _may_move(self, features: str, graph: Graph) -> bool:
        """Whether an operation on the way to the features may turn, mirror, shift or cut their places."""
        makers, wanted, behind = {one: node for node in graph.nodes for one in node.outputs}, [features], list[Node]()
        seen = set[str]()
        while wanted:
            node = makers.get(name := wanted.pop())
            if node is not None and name not in seen:
                behind.append(node)
                wanted += node.inputs
            seen.add(name)
        asked = [node for node in behind if node.op in MAY_MOVE]
        if any(node.op in MOVE for node in behind):
            return True
        inside = ({node.inputs[0] for node in asked} | {node.outputs[0] for node in asked}) & set(makers)
        known = {name: one.shape for name, one in self._session(inside)(self._image).items()} if inside else {}
        known[self._input] = self._image.shape
        return any(_moves(node, known, graph) for node in asked)

    def _ends(self, features: str, order: tuple[int, ...], found: NDArray[Any]) -> None:
        """Change the image at each of its ends, a quarter of it: the places there have to move by far the most.

        Raises:
            NoMapError: they do not, or nothing can be told.
        """
        run, generator = self._session({features}), np.random.default_rng(SEED + 1)
        for at, side in ((1, self._height), (2, self._width)):
            places, axis = found.shape[at], at if self._height_first else at + 1
            share, quarter = max(1, places // QUARTER), max(1, side // QUARTER)
            for first in (True, False) if places > 1 else ():
                changed = self._image.copy()
                cell = changed[(slice(None),) * axis + (slice(quarter) if first else slice(side - quarter, side),)]
                cell[:] = generator.standard_normal(cell.shape)
                moved = np.abs(run(changed)[features].transpose(order) - found).mean((0, 3 - at, 3))
                moved = moved if first else moved[::-1]
                if not moved[:share].mean() > FARTHER * moved[places - places // 2 :].mean():
                    raise NoMapError(
                        "where its places lie on the image cannot be told: operations before them may move them, and a "
                        "change at one end of the image does not move the places there by far the most"
                    )

    def _tiles(self, features: str, order: tuple[int, ...], found: NDArray[Any]) -> tuple[int, int]:
        """Return rows and columns of tokens: each is tried, by what changes if the image does at its place alone."""
        tokens = found.shape[1]
        height = round(math.sqrt(tokens * self._height / self._width))
        width = tokens // max(height, 1)
        why = f"where its {tokens} tokens lie on the image cannot be told"
        if height * width != tokens or tokens == 1 or self._height % height or self._width % width:
            raise NoMapError(f"{why}: they do not tile it")
        run, generator = self._session({features}), np.random.default_rng(SEED + 1)
        for token in sorted(generator.permutation(tokens)[:MOST_TRIED]):
            changed = self._image.copy()
            cell = self._cell(changed, *divmod(int(token), width), (height, width))
            cell[:] = generator.standard_normal(cell.shape)
            moved = np.abs(run(changed)[features].transpose(order) - found).max((0, 2))
            if int(moved.argmax()) != token:
                raise NoMapError(f"{why}: a change of the image at one place moves another token most")
        return height, width

    def _cell(self, image: NDArray[Any], row: int, column: int, sides: tuple[int, int]) -> NDArray[Any]:
        high, wide = self._height // sides[0], self._width // sides[1]
        rows, columns = slice(row * high, (row + 1) * high), slice(column * wide, (column + 1) * wide)
        return image[:, rows, columns] if self._height_first else image[:, :, rows, columns]

    def _session(self, names: set[str]) -> Callable[[NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return what runs the network on an image and gives tensors by name."""
        inside = onnx.ModelProto.FromString(self._model.SerializeToString())
        del inside.graph.output[:]
        inside.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in sorted(names))
        session: onnxruntime.InferenceSession = open_session(inside)
        ordered = sorted(names)
        return lambda image: dict(zip(ordered, session.run(ordered, {self._input: image}), strict=True))


def _arranged(name: str, graph: Graph) -> Iterator[str]:
    """Yield what a tensor was before it was laid out anew, the last first."""
    makers = {one: node for node in graph.nodes for one in node.outputs}
    while (node := makers.get(name)) is not None and node.op in ARRANGES:
        name = node.inputs[0]
        if name in makers:
            yield name


def _moves(node: Node, shapes: dict[str, tuple[int, ...]], graph: Graph) -> bool:
    """Whether one of MAY_MOVE may put places elsewhere; `shapes` of what is computed, for one film."""
    before, after = shapes.get(node.inputs[0]), shapes.get(node.outputs[0])
    if before is None or after is None:  # stored numbers are arranged
        return node.inputs[0] not in graph.constants
    if node.op == "Transpose":
        order = tuple(node.attributes.get("perm", range(len(before))[::-1]))
        last = tuple(range(len(before))[-2:])
        return order not in IN_PLACE and (len(order) <= IMAGE or order[-2:] != last) and math.prod(before[2:]) > 1
    if node.op == "Reshape":
        return before[-2:] != after[-2:] and min(math.prod(before[2:]), math.prod(after[2:])) > 1
    if node.op == "Concat":
        return node.attributes["axis"] % len(after) != 1 and len(after) == IMAGE and math.prod(after[2:]) > 1
    if node.op == "Slice":
        steps = graph.constants.get(node.inputs[4]) if len(node.inputs) > IMAGE else None
        backwards = len(node.inputs) > IMAGE and bool(node.inputs[4]) and (steps is None or bool((steps < 0).any()))
        return backwards or before[2:] != after[2:]
    return any(one > WIDER * other for one, other in zip(after[2:], before[2:], strict=True))


def _near(one: NDArray[Any], other: NDArray[Any]) -> bool:
    scale = max(float(np.abs(other).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0.0) <= RELATIVE * scale)


# --- adding ---


def add_map(model: onnx.ModelProto, found: EvidenceMap) -> None:
    """Add the output `evidence`, [N, H, W, outputs], in place: the mean over places is the logits.

    Args:
        model: the one that was looked at, or one with the same tensors.
        found: its map.
    """
    taken = names_in(model)
    inner = fresh(f"{EVIDENCE}_inner", taken) if EVIDENCE in taken else EVIDENCE
    rename_tensors(model, {EVIDENCE: inner})
    name = inner if found.features == EVIDENCE else found.features
    outputs = found.weight.shape[1]
    taken = names_in(model) | {EVIDENCE}
    stored = {
        "weight": found.weight,
        "bias": found.bias,
        "sides": np.array([-1, *found.sides, outputs], np.int64),
    }
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if found.order != tuple(range(len(found.order))):
        steps.append(("Transpose", [], {"perm": list(found.order)}))
    if not found.averages_alone:
        steps += [("MatMul", ["weight"], {}), ("Add", ["bias"], {})]
    if len(found.order) == ROWS:
        steps.append(("Reshape", ["sides"], {}))
    for number, (op, reads, attributes) in enumerate(steps or [("Identity", [], {})]):
        last = number == max(len(steps), 1) - 1
        made = EVIDENCE if last else fresh(f"{EVIDENCE}.{op}.out", taken)
        names = {one: fresh(f"{EVIDENCE}.{one}", taken) for one in reads}
        model.graph.initializer.extend(numpy_helper.from_array(stored[one], names[one]) for one in reads)
        node = helper.make_node(op, [name, *names.values()], [made], f"{EVIDENCE}.{op}", **attributes)
        model.graph.node.append(node)
        name = made
    batch = model.graph.output[0].type.tensor_type.shape.dim
    first = (batch[0].dim_value or batch[0].dim_param or None) if batch else None
    shape = [first, *found.sides, outputs]
    model.graph.output.append(helper.make_tensor_value_info(EVIDENCE, TensorProto.FLOAT, shape))
