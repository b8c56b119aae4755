"""What convert.proof.readers.saved_model left of a SavedModel, in the normal form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.proof.normal import NONE, ONE, ZERO, NormalForm, NoRuleError, Pads, View, number
from convert.proof.readers import choices, compositions
from convert.proof.readers.tensorflow import bound, cut, pad, same, select

FRAMEWORK = "litert"


class FrozenFormReader:
    """Reads nodes one by one."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._graph = folder, json.loads((folder / "graph.json").read_text())
        self.form = NormalForm()
        self.views: dict[str, View] = {}

    def read(self) -> NormalForm:
        """Return the normal form; NoRuleError names the first node that has no rule."""
        self.views[_plain(self._graph["input"])] = self.form.input(self._graph["shape"])
        for index, node in enumerate(self._graph["nodes"]):
            self.form.node = f"{node['name']} ({node['op']})"
            if node["op"] == "Const":
                self.views[node["name"]] = View(np.load(self._folder / f"{index}.npy", allow_pickle=False))
            elif node["op"] not in ("Placeholder", "NoOp"):
                try:
                    self.views[node["name"]] = self._read(node)
                except (NoRuleError, KeyError, ValueError, IndexError, TypeError) as error:
                    raise NoRuleError(f"{self.form.node}: {error}") from error
        self.form.outputs = {name: self.views[_plain(one)] for name, one in self._graph["outputs"].items()}
        return self.form

    def _read(self, node: dict[str, Any]) -> View:
        if node["op"] not in RULES:
            raise NoRuleError("no rule for this operation")
        given = node["attributes"]
        if {given.get("T"), given.get("dtype")} & {"float16", "bfloat16", "float64"}:
            raise NoRuleError("it does not compute in float32")
        if given.get("data_format", "NHWC") != "NHWC":
            raise NoRuleError("its channels are first")
        views = [self.views[_plain(one)] for one in node["inputs"] if not one.startswith("^")]
        return RULES[node["op"]](self.form, views, given)


def _plain(name: str) -> str:
    if ":" in name and not name.endswith(":0"):
        raise NoRuleError(f"it reads {name}, a further output")
    return name.removesuffix(":0")


def _numbers(view: View) -> list[int]:
    return [int(one) for one in view.array.reshape(-1)]


Given = dict[str, Any]
Rule = Callable[[NormalForm, list[View], Given], View]


def _pads(view: View, given: Given, reach: tuple[int, ...], strides: tuple[int, ...]) -> Pads:
    if given["padding"] == "EXPLICIT":
        (top, bottom), (left, right) = np.reshape(given["explicit_paddings"], (4, 2))[1:3].tolist()
        return top, left, bottom, right
    return NONE if given["padding"] == "VALID" else same(view.at.shape[1:3], reach, strides)


def _conv(form: NormalForm, views: list[View], given: Given) -> View:
    strides, dilations = given["strides"][1:3], given["dilations"][1:3]
    high, wide, each, _ = views[1].at.shape
    reach = ((high - 1) * dilations[0] + 1, (wide - 1) * dilations[1] + 1)
    pads, groups = _pads(views[0], given, reach, strides), views[0].at.shape[3] // each
    return compositions.conv(form, views[0], views[1].stored, ZERO, tuple(strides), tuple(dilations), pads, groups)


def _depthwise(form: NormalForm, views: list[View], given: Given) -> View:
    high, wide, channels, more = views[1].at.shape
    return _conv(form, [views[0], views[1].reshape(high, wide, 1, channels * more)], given)


def _matmul(form: NormalForm, views: list[View], given: Given) -> View:
    if given.get("transpose_a") or given.get("adj_x"):
        raise NoRuleError("its left side is transposed")
    turned = given.get("transpose_b") or given.get("adj_y")
    right = views[1].map(lambda at: np.swapaxes(at, -1, -2)) if turned else views[1]
    return compositions.product(form, views[0], right)


def _pool(kind: str) -> Rule:
    def rule(form: NormalForm, views: list[View], given: Given) -> View:
        kernel, strides = tuple(given["ksize"][1:3]), tuple(given["strides"][1:3])
        return compositions.pool(form, views[0], kind, kernel, strides, _pads(views[0], given, kernel, strides))

    return rule


def _strided(form: NormalForm, views: list[View], given: Given) -> View:
    if given["ellipsis_mask"] or given["new_axis_mask"]:
        raise NoRuleError("it slices in a way that no rule knows")
    begin, end, step = (_numbers(view) for view in views[1:4])
    part = cut(begin, end, step, (given["begin_mask"], given["end_mask"], given["shrink_axis_mask"]))
    return views[0].map(lambda at: at[part])


def _squeeze(form: NormalForm, views: list[View], given: Given) -> View:
    return views[0].map(lambda at: np.squeeze(at, tuple(given["squeeze_dims"]) or None))


def _pack(form: NormalForm, views: list[View], given: Given) -> View:
    axis = given["axis"]
    return form.concat([one.map(lambda at: np.expand_dims(at, axis)) for one in views], axis)


def _root(form: NormalForm, views: list[View], given: Given) -> View:
    if views[0].term is not None:
        return form.each(form.each(views[0], "sqrt"), "reciprocal")
    return View(1 / np.sqrt(views[0].stored.values))


def _distance(form: NormalForm, views: list[View], given: Given) -> View:
    far = form.binary("add", views[0], compositions.negative(form, views[1]))
    return compositions.multiply(form, far, far)


def _cast(form: NormalForm, views: list[View], given: Given) -> View:
    if views[0].term is None:
        return View(views[0].array.astype(given["DstT"]))
    if given["DstT"] != "float32":
        raise NoRuleError("it casts to another type than float32")
    return views[0]


def _prod(form: NormalForm, views: list[View], given: Given) -> View:
    return View(np.prod(views[0].array, tuple(_numbers(views[1])), keepdims=given["keep_dims"]).astype(np.int32))


def _reduce(kind: str) -> Rule:
    return lambda form, views, given: form.mean(views[0], _numbers(views[1]), keep=given["keep_dims"], kind=kind)


def _gather(form: NormalForm, views: list[View], given: Given) -> View:
    if given.get("batch_dims"):
        raise NoRuleError("it gathers a batch")
    return views[0].map(lambda at: np.take(at, views[1].array, int(views[2].array)))


def _binary(kind: str) -> Rule:
    return lambda form, views, given: form.binary(kind, views[0], views[1])


def _each(kind: str) -> Rule:
    return lambda form, views, given: form.each(views[0], kind)


def _plainly(rule: Callable[[NormalForm, list[View]], View]) -> Rule:
    return lambda form, views, given: rule(form, views)


RULES: dict[str, Rule] = {
    **{name: _plainly(rule) for name, rule in choices.rules(choices.camel).items()},
    "Abs": lambda form, views, given: compositions.absolute(form, views[0]),
    "Add": lambda form, views, given: compositions.add(form, *views),
    "AddV2": lambda form, views, given: compositions.add(form, *views),
    "AvgPool": _pool("average"),
    "BatchMatMulV2": _matmul,
    "BiasAdd": _binary("add"),
    "Cast": _cast,
    "ClipByValue": lambda form, views, given: form.clip(views[0], views[1].stored, views[2].stored),
    "ConcatV2": lambda form, views, given: compositions.join(form, views[:-1], int(views[-1].array)),
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise,
    "Elu": _each("elu"),
    "Erf": lambda form, views, given: compositions.erf(form, views[0]),
    "Erfc": lambda form, views, given: form.affine(compositions.erf(form, views[0]), number(-1), ONE),
    "Exp": _each("exp"),
    "ExpandDims": lambda form, views, given: views[0].map(lambda at: np.expand_dims(at, int(views[1].array))),
    "GatherV2": _gather,
    "Identity": lambda form, views, given: views[0],
    "LeakyRelu": lambda form, views, given: form.each(views[0], "leaky", slope=number(given["alpha"])),
    "Log": _each("log"),
    "LogSoftmax": lambda form, views, given: form.each(compositions.softmax(form, views[0]), "log"),
    "MatMul": _matmul,
    "Max": _reduce("largest"),
    "MaxPool": _pool("max"),
    "Maximum": lambda form, views, given: bound(form, *views, low=True),
    "Mean": _reduce("mean"),
    "Minimum": lambda form, views, given: bound(form, *views, low=False),
    "Mul": lambda form, views, given: compositions.multiply(form, *views),
    "Neg": lambda form, views, given: compositions.negative(form, views[0]),
    "Pack": _pack,
    "Pad": lambda form, views, given: pad(form, views[0], views[1], None),
    "PadV2": lambda form, views, given: pad(form, *views),
    "Pow": lambda form, views, given: compositions.power(form, views[0], float(views[1].stored.values.reshape(()))),
    "Prod": _prod,
    "RealDiv": lambda form, views, given: compositions.divide(form, views[0], views[1]),
    "Reciprocal": _each("reciprocal"),
    "Relu": lambda form, views, given: form.clip(views[0], low=0),
    "Relu6": lambda form, views, given: form.clip(views[0], 0, 6),
    "Reshape": lambda form, views, given: views[0].reshape(*_numbers(views[1])),
    "Rsqrt": _root,
    "Select": lambda form, views, given: select(form, *views, stretches=False),
    "SelectV2": lambda form, views, given: select(form, views[0], views[1], views[2]),
    "Shape": lambda form, views, given: View(np.array(views[0].at.shape, np.int32)),
    "Sigmoid": _each("sigmoid"),
    "Softmax": lambda form, views, given: compositions.softmax(form, views[0]),
    "Softplus": lambda form, views, given: compositions.softplus(form, views[0]),
    "Sqrt": _each("sqrt"),
    "Square": lambda form, views, given: compositions.multiply(form, views[0], views[0]),
    "SquaredDifference": _distance,
    "Squeeze": _squeeze,
    "StopGradient": lambda form, views, given: views[0],
    "StridedSlice": _strided,
    "Sub": lambda form, views, given: form.binary("add", views[0], compositions.negative(form, views[1])),
    "Tanh": _each("tanh"),
    "Transpose": lambda form, views, given: views[0].transpose(*_numbers(views[1])),
}
