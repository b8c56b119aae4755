"""An ONNX graph in the normal form: the reference that every other file is compared with."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.reference
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.proof.normal import NONE, ONE, ZERO, NormalForm, NoRuleError, Pads, Stored, View, number
from convert.proof.readers import choices, compositions, places, resample
from convert.proof.readers.places import Given, Views, first, last, optional
from convert.proof.readers.tensorflow import bound, same

FRAMEWORK = "litert"


class OnnxFormReader:
    """Reads nodes one by one; the batch is one film."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = onnx.inliner.inline_local_functions(model).graph if model.functions else model.graph
        self._opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
        self.form = NormalForm()
        self.views: dict[str, View] = {one.name: View(numpy_helper.to_array(one)) for one in self._graph.initializer}

    def read(self) -> NormalForm:
        """Return the normal form; NoRuleError names the first node that has no rule."""
        [film] = [one for one in self._graph.input if one.name not in self.views]
        _, *sizes = [one.dim_value for one in film.type.tensor_type.shape.dim]
        if not sizes or min(sizes) < 1:
            raise NoRuleError(f"its input has the open sizes {sizes}")
        image = len(sizes) == 3
        made = self.form.input((1, *sizes[1:], sizes[0]) if image else (1, *sizes))
        self.views[film.name] = made.transpose(0, 3, 1, 2) if image else made
        for index, node in enumerate(self._graph.node):
            self.form.node = f"{node.name or index} ({node.op_type})"
            try:
                self._read(node)
            except (NoRuleError, KeyError, ValueError, IndexError, TypeError) as error:
                raise NoRuleError(f"{self.form.node}: {error}") from error
        self.form.outputs = {one.name: self.views[one.name] for one in self._graph.output}
        return self.form

    def _read(self, node: Any) -> None:
        views = [self.views[name] if name else None for name in node.input]
        stored = bool(views) and all(one is None or one.term is None for one in views)
        if stored and node.domain in ("", "ai.onnx") and node.op_type not in MOVES:  # of sizes and weights
            evaluator = onnx.reference.ReferenceEvaluator(node, opsets={"": self._opset})
            arrays = {name: self.views[name].array for name in node.input if name}
            self.views |= zip(node.output, (View(np.asarray(one)) for one in evaluator.run(None, arrays)), strict=True)
            return
        if node.domain not in ("", "ai.onnx") or node.op_type not in RULES:
            raise NoRuleError("no rule for this operation")
        given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        made = RULES[node.op_type](self.form, views, Given(given | {"count": len(node.output)}, self._opset))
        self.views |= zip(node.output, made if isinstance(made, list) else [made], strict=False)


MOVES = {"Cast", "CastLike", "Concat", "Constant", "Expand", "Gather", "Identity", "Reshape", "Shape", "Slice", "Split"}
MOVES |= {"Add", "Mul", "Sub", "Squeeze", "Tile", "Transpose", "Unsqueeze"}  # whose rules know stored numbers


Rule = Callable[[NormalForm, Views, Given], Any]


def _pads(given: Given, sizes: tuple[int, ...], reach: list[int], strides: list[int]) -> Pads:
    auto = given.get("auto_pad", b"NOTSET")
    if auto == b"NOTSET":
        top, left, bottom, right = given.get("pads", NONE)
        return top, left, bottom, right
    if auto == b"VALID":
        return NONE
    top, left, bottom, right = same(sizes, reach, strides)
    return (top, left, bottom, right) if auto == b"SAME_UPPER" else (bottom, right, top, left)


def _conv(form: NormalForm, views: Views, given: Given) -> View:
    if views[1].at.ndim == 3:  # of rows, which are an image of one
        sides: dict[str, Any] = {key: [1, *given[key]] for key in ("strides", "dilations") if key in given}
        sides |= {"pads": [0, given["pads"][0], 0, given["pads"][1]]} if "pads" in given else {}
        row, kernel = (one.map(lambda at: np.expand_dims(at, 2)) for one in views[:2])
        made = _conv(form, [row, kernel, *views[2:]], Given({**given, **sides}, given.opset))
        return made.map(lambda at: at[:, :, 0])
    view, kernel = last(views[0]), views[1].map(lambda at: at.transpose(2, 3, 1, 0)).stored
    bias = ZERO if optional(views, 2) is None else views[2].stored
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    reach = [(size - 1) * wide + 1 for size, wide in zip(kernel.base.shape[:2], dilations, strict=True)]
    pads = _pads(given, view.at.shape[1:3], reach, strides)
    return first(
        compositions.conv(form, view, kernel, bias, tuple(strides), tuple(dilations), pads, given.get("group", 1))
    )


def _beyond(size: int, before: int, after: int, kernel: int, stride: int) -> int:
    """Return how far the last window of ceil_mode reaches: one that begins within the image or before it."""
    last = -(-(size + before + after - kernel) // stride) * stride
    return max(0, (last - stride if last >= size + before else last) + kernel - size - before - after)


def _along_one(form: NormalForm, view: View, kind: str, given: Given) -> View:
    """Add a pool of three or five axes along one of them."""
    kernel = given["kernel_shape"]
    strides = given.get("strides", [1] * len(kernel))
    odd = any(given.get("pads", ())) or given.get("ceil_mode", 0) or max(given.get("dilations", [1])) > 1
    moved = [axis for axis in range(len(kernel)) if (kernel[axis], strides[axis]) != (1, 1)]
    if len(moved) > 1 or odd or given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NoRuleError(f"a pool {kernel} of several axes, or with pads")
    axis, sizes = moved[0] + 2 if moved else 2, view.at.shape
    rows = view.reshape(1, math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :]))
    made = form.pool(rows, kind, (1, kernel[axis - 2]), (1, strides[axis - 2]))
    return made.reshape(*sizes[:axis], -1, *sizes[axis + 1 :])


def _pool(kind: str) -> Rule:
    def rule(form: NormalForm, views: Views, given: Given) -> View:
        if views[0].at.ndim in (3, 5):
            return _along_one(form, views[0], kind, given)
        view, kernel = last(views[0]), given["kernel_shape"]
        strides = given.get("strides", [1, 1])
        pads = _pads(given, view.at.shape[1:3], kernel, strides)
        if max(given.get("dilations", [1])) > 1:
            raise NoRuleError("dilations")
        counted, beyond = bool(given.get("count_include_pad", 0)), (0, 0)
        if given.get("ceil_mode", 0):
            high, wide = (
                _beyond(view.at.shape[1 + axis], pads[axis], pads[axis + 2], kernel[axis], strides[axis])
                for axis in (0, 1)
            )
            beyond = high, wide
        if kind == "average" and counted and any(pads) and any(beyond):
            raise NoRuleError("windows of ceil_mode beyond pads that count")
        whole = (pads[0], pads[1], pads[2] + beyond[0], pads[3] + beyond[1])
        return first(
            compositions.pool(form, view, kind, tuple(kernel), tuple(strides), whole, counted=counted and any(pads))
        )

    return rule


def _places(view: View) -> tuple[int, ...]:
    return tuple(range(2, view.at.ndim))


def _normalise(form: NormalForm, views: Views, given: Given) -> View:
    view, (gamma, beta, mean, variance) = views[0], (one.stored.values for one in views[1:5])
    if given.get("training_mode", 0) or (given.opset < 14 and given["count"] > 1):
        raise NoRuleError("it normalises by the batch")
    scale = gamma / np.sqrt(variance + given.get("epsilon", 1e-5))
    around = (-1, *(1,) * (view.at.ndim - 2))
    offset = Stored((beta - mean * scale).reshape(around), unit=(np.abs(beta) + np.abs(mean * scale)).reshape(around))
    return form.affine(view, number(scale.reshape(around)), offset)


def _layer_norm(form: NormalForm, views: Views, given: Given) -> View:
    axes = range(given.get("axis", -1) % views[0].at.ndim, views[0].at.ndim)
    gamma, beta = (
        views[index].stored if len(views) > index and views[index] else end for index, end in ((1, ONE), (2, ZERO))
    )
    return compositions.layer_norm(form, views[0], axes, given.get("epsilon", 1e-5), gamma, beta)


def _group_norm(form: NormalForm, views: Views, given: Given) -> View:
    groups, epsilon = given.get("num_groups", views[0].at.shape[1]), given.get("epsilon", 1e-5)
    return compositions.group_norm(form, views[0], groups, epsilon, views[1].stored, views[2].stored)


def _gemm(form: NormalForm, views: Views, given: Given) -> Any:
    if given.get("transA", 0) or given.get("alpha", 1) != 1 or given.get("beta", 1) != 1:
        raise NoRuleError("transA, alpha or beta")
    matrix = views[1].transpose(1, 0) if given.get("transB", 0) else views[1]
    return form.matmul(views[0], matrix.stored, ZERO if optional(views, 2) is None else views[2].stored)


def _over(kind: str) -> Rule:
    def rule(form: NormalForm, views: Views, given: Given) -> View:
        axes = given.get("axes", optional(views, 1))
        axes, keep = range(views[0].at.ndim) if axes is None else axes, bool(given.get("keepdims", 1))
        return form.mean(views[0], axes, keep=keep, kind=kind)

    return rule


def _total(form: NormalForm, views: Views, given: Given) -> View:
    mean = _over("mean")(form, views, given)
    return form.affine(mean, number(views[0].at.size // mean.at.size))


def _length(form: NormalForm, views: Views, given: Given) -> View:
    return form.each(_total(form, [compositions.multiply(form, views[0], views[0]), *views[1:]], given), "sqrt")


def _least(form: NormalForm, views: Views, given: Given) -> View:
    turned = [compositions.negative(form, views[0]), *views[1:]]
    return compositions.negative(form, _over("largest")(form, turned, given))


def _clip(form: NormalForm, views: Views, given: Given) -> View:
    low = optional(views, 1, given.get("min", -math.inf))
    high = optional(views, 2, given.get("max", math.inf))
    return form.clip(views[0], float(np.reshape(low, ())), float(np.reshape(high, ())))


def _celu(form: NormalForm, views: Views, given: Given) -> View:
    alpha = given.get("alpha", 1.0)
    return form.affine(form.each(form.affine(views[0], number(1 / alpha)), "elu"), number(alpha))


def _softsign(form: NormalForm, views: Views, given: Given) -> View:
    below = form.affine(compositions.absolute(form, views[0]), ONE, ONE)
    return compositions.divide(form, views[0], below)


def _softmax(form: NormalForm, views: Views, given: Given) -> View:
    rank = views[0].at.ndim
    axis = given.get("axis", -1 if given.opset >= 13 else 1) % rank
    if given.opset < 13 and math.prod(views[0].at.shape[axis + 1 :]) > 1:
        raise NoRuleError("one softmax over several axes")
    return compositions.softmax(form, views[0], axis)


def _binary(kind: str) -> Rule:
    return lambda form, views, given: form.binary(kind, views[0], views[1])


def _each(kind: str) -> Rule:
    return lambda form, views, given: form.each(views[0], kind)


def _plainly(rule: Callable[[NormalForm, Views], View]) -> Rule:
    return lambda form, views, given: rule(form, views)


NAMES = {"greater_equal": "GreaterOrEqual", "less_equal": "LessOrEqual"}  # where ONNX has a name of its own
NAMES |= {f"logical_{one}": one.title() for one in ("and", "or", "not")}
RULES: dict[str, Rule] = {
    **{name: _plainly(rule) for name, rule in choices.rules(lambda name: NAMES.get(name, choices.camel(name))).items()},
    "ConvTranspose": resample.conv_transpose,
    "CumSum": lambda form, views, given: compositions.cumulated(form, views[0], int(views[1].array.reshape(())), given),
    "Einsum": lambda form, views, given: compositions.einsum(form, views[0], views[1], given["equation"].decode()),
    "GatherND": lambda form, views, given: places.gather_nd(views, given),
    "DepthToSpace": functools.partial(resample.shuffle, deep=False),
    "Resize": resample.resize,
    "SpaceToDepth": functools.partial(resample.shuffle, deep=True),
    "Abs": lambda form, views, given: compositions.absolute(form, views[0]),
    "Add": _binary("add"),
    "AveragePool": _pool("average"),
    "BatchNormalization": _normalise,
    "Cast": places.cast,
    "CastLike": places.cast,
    "Celu": _celu,
    "Clip": _clip,
    "Concat": lambda form, views, given: compositions.join(form, views, given["axis"]),
    "Constant": lambda form, views, given: View(_constant(given)),
    "ConstantOfShape": lambda form, views, given: View(np.full(views[0].array, _fill(given))),
    "Conv": _conv,
    "Div": lambda form, views, given: compositions.divide(form, views[0], views[1]),
    "Dropout": lambda form, views, given: _dropout(views),
    "Elu": lambda form, views, given: compositions.elu(form, views[0], given.get("alpha", 1.0)),
    "Erf": lambda form, views, given: compositions.erf(form, views[0]),
    "Exp": _each("exp"),
    "Expand": lambda form, views, given: views[0].map(
        lambda at: np.broadcast_to(at, np.broadcast_shapes(at.shape, tuple(views[1].array)))
    ),
    "Flatten": places.flatten,
    "Gather": lambda form, views, given: views[0].map(lambda at: np.take(at, views[1].array, given.get("axis", 0))),
    "Gelu": lambda form, views, given: compositions.gelu(
        form, views[0], tanh=given.get("approximate", b"none") != b"none"
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda form, views, given: form.mean(views[0], _places(views[0]), keep=True),
    "GlobalMaxPool": lambda form, views, given: form.mean(views[0], _places(views[0]), keep=True, kind="largest"),
    "GroupNormalization": _group_norm,
    "HardSigmoid": lambda form, views, given: compositions.hard_sigmoid(
        form, views[0], given.get("alpha", 0.2), given.get("beta", 0.5)
    ),
    "HardSwish": lambda form, views, given: compositions.multiply(
        form, views[0], compositions.hard_sigmoid(form, views[0], 1 / 6, 0.5)
    ),
    "Identity": lambda form, views, given: views[0],
    "InstanceNormalization": _group_norm,
    "LRN": lambda form, views, given: first(compositions.local_response(form, last(views[0]), given)),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda form, views, given: form.each(views[0], "leaky", slope=number(given.get("alpha", 0.01))),
    "Log": _each("log"),
    "LogSoftmax": lambda form, views, given: form.each(_softmax(form, views, given), "log"),
    "MatMul": lambda form, views, given: compositions.product(form, views[0], views[1]),
    "Max": lambda form, views, given: bound(form, *views, low=True),
    "MaxPool": _pool("max"),
    "Min": lambda form, views, given: bound(form, *views, low=False),
    "Mish": lambda form, views, given: compositions.multiply(
        form, views[0], form.each(compositions.softplus(form, views[0]), "tanh")
    ),
    "Mul": lambda form, views, given: compositions.multiply(form, *views),
    "Neg": lambda form, views, given: compositions.negative(form, views[0]),
    "PRelu": lambda form, views, given: compositions.prelu(form, views[0], views[1].stored),
    "Pad": places.pad,
    "Pow": lambda form, views, given: compositions.power(form, views[0], float(views[1].stored.values.reshape(()))),
    "Reciprocal": _each("reciprocal"),
    "ReduceL2": _length,
    "ReduceMax": _over("largest"),
    "ReduceMin": _least,
    "ReduceMean": _over("mean"),
    "ReduceSum": _total,
    "Relu": lambda form, views, given: form.clip(views[0], low=0),
    "Reshape": places.reshape,
    "Selu": lambda form, views, given: form.affine(
        compositions.elu(form, views[0], given.get("alpha", 1.67326319)), number(given.get("gamma", 1.05070102))
    ),
    "Size": lambda form, views, given: View(np.asarray(views[0].at.size, np.int64)),
    "Shape": lambda form, views, given: View(
        np.array(views[0].at.shape, np.int64)[given.get("start", 0) : given.get("end", None)]
    ),
    "Sigmoid": _each("sigmoid"),
    "Slice": places.part,
    "Softmax": _softmax,
    "Softplus": lambda form, views, given: compositions.softplus(form, views[0]),
    "Softsign": _softsign,
    "Split": places.split,
    "Sqrt": _each("sqrt"),
    "Squeeze": places.squeeze,
    "Sub": lambda form, views, given: form.binary("add", views[0], compositions.negative(form, views[1])),
    "Sum": lambda form, views, given: functools.reduce(functools.partial(form.binary, "add"), views),
    "Tanh": _each("tanh"),
    "Tile": lambda form, views, given: views[0].map(lambda at: np.tile(at, views[1].array)),
    "Transpose": lambda form, views, given: views[0].transpose(*given["perm"]),
    "Unsqueeze": places.unsqueeze,
    "Where": lambda form, views, given: choices.choose(form, *views),
}


def _constant(given: Given) -> NDArray[Any]:
    if "value" in given:
        return np.asarray(numpy_helper.to_array(given["value"]))
    [(kind, value)] = given.items()
    return np.asarray(value, np.float32 if "float" in kind else np.int64)


def _fill(given: Given) -> Any:
    return numpy_helper.to_array(given["value"])[0] if "value" in given else np.float32(0)


def _dropout(views: Views) -> Any:
    if optional(views, 2) is not None and bool(optional(views, 2)):
        raise NoRuleError("it drops numbers, as in training")
    return views[0]
