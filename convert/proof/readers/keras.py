"""A `.keras` or H5 file in the normal form: its configuration is JSON, its weights are HDF5; no layer is made."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it ships no types
import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import NONE, ONE, ZERO, NormalForm, NoRuleError, Pads, Stored, View, number
from convert.proof.readers import choices, compositions
from convert.proof.readers.tensorflow import bound, same

FRAMEWORK = "litert"
WEIGHTED = ("Conv2D", "DepthwiseConv2D", "Dense", "BatchNormalization", "LayerNormalization", "PReLU")


class KerasFormReader:
    """Reads a functional model from its outputs back; a layer that is called twice is read twice."""

    def __init__(self, path: Path) -> None:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as file:
                config, weights = (
                    json.loads(file.read("config.json")),
                    h5py.File(io.BytesIO(file.read("model.weights.h5"))),
                )
            self._weights = _by_class(weights, config["config"]["layers"])
        else:
            weights = h5py.File(path)
            config = json.loads(weights.attrs["model_config"])
            self._weights = _by_layer(weights["model_weights"])
        if config["class_name"] != "Functional":
            raise NoRuleError(f"a {config['class_name']} model")
        self._config = config["config"]
        self._layers = {one["config"]["name"]: one for one in self._config["layers"]}
        self._calls: dict[tuple[str, int], View] = {}
        self.form = NormalForm()

    def read(self) -> NormalForm:
        """Return the normal form; NoRuleError names the first layer that has no rule."""
        outputs = self._config["output_layers"]
        if not isinstance(outputs, dict):
            raise NoRuleError("its outputs have no names")
        self.form.outputs = {name: self._call(layer, node) for name, (layer, node, _) in outputs.items()}
        return self.form

    def _call(self, name: str, node: int) -> View:
        waiting = [(name, node)]
        while waiting:  # not by recursion: networks are deeper than the stack
            name, node = waiting[-1]
            before = [one for one in self._reads(name, node) if one not in self._calls]
            if before:
                if len(waiting) > len(self._layers) * 64:
                    raise NoRuleError(f"{name} reads itself")
                waiting += before
            else:
                if (name, node) not in self._calls:
                    self._calls[name, node] = self._read(self._layers[name], node)
                waiting.pop()
        return self._calls[name, node]

    def _reads(self, name: str, node: int) -> list[tuple[str, int]]:
        given = self._layers[name]["inbound_nodes"]
        return [(one[0], one[1]) for one in _histories(given[node]["args"])] if given else []

    def _read(self, layer: dict[str, Any], node: int) -> View:
        kind, config = layer["class_name"], layer["config"]
        self.form.node = f"{config['name']} ({kind})"
        try:
            return self._rule(kind, config, layer["inbound_nodes"], node)
        except (NoRuleError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            raise NoRuleError(f"{self.form.node}: {error}") from error

    def _rule(self, kind: str, config: dict[str, Any], calls: list[Any], node: int) -> View:
        if kind == "InputLayer":
            return self.form.input((1, *config["batch_shape"][1:]))
        first = config.get("data_format", "channels_last") not in ("channels_last", None) and kind != "Cropping2D"
        if kind not in RULES or first:
            raise NoRuleError("no rule for this layer, or for channels that are first")
        policy = config.get("dtype", "float32")
        if (policy["config"]["name"] if isinstance(policy, dict) else policy) != "float32":
            raise NoRuleError("it does not compute in float32")
        call = calls[node]
        if any(value is not None for key, value in call["kwargs"].items() if key not in ("mask", "training")):
            raise NoRuleError(f"it is called with {sorted(call['kwargs'])}")
        given = [self._value(one) for one in _flat(call["args"])]
        made = RULES[kind](self.form, given, config, self._weights.get(config["name"], []))
        return _activation(self.form, [made], config, []) if kind in WEIGHTED[:3] else made

    def _value(self, given: Any) -> View:
        if isinstance(given, dict) and given.get("class_name") == "__keras_tensor__":
            name, node, _ = given["config"]["keras_history"]
            return self._calls[name, node]
        if isinstance(given, dict) and given.get("class_name") in ("__numpy__", "__tensor__"):
            return View(np.asarray(given["config"]["value"], given["config"]["dtype"]))
        return View(np.asarray(given, np.float32))


def _flat(given: Any) -> list[Any]:
    return [each for one in given for each in (_flat(one) if isinstance(one, list) else [one])]


def _histories(given: Any) -> list[Any]:
    return [
        one["config"]["keras_history"]
        for one in _flat(given)
        if isinstance(one, dict) and "keras_history" in one["config"]
    ]


def _by_class(file: Any, layers: list[dict[str, Any]]) -> dict[str, list[NDArray[Any]]]:
    """Return weights by layer: `.keras` numbers the layers of each class, in their order."""
    seen, found = Counter[str](), dict[str, list[NDArray[Any]]]()
    for layer in layers:
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", layer["class_name"]).lower()
        place = f"layers/{kind}_{seen[kind]}" if seen[kind] else f"layers/{kind}"
        seen[kind] += 1
        if layer["class_name"] in WEIGHTED:
            stored = file[f"{place}/vars"]
            found[layer["config"]["name"]] = [np.asarray(stored[str(index)]) for index in range(len(stored))]
    return found


def _by_layer(file: Any) -> dict[str, list[NDArray[Any]]]:
    """Return weights by layer: an H5 names them."""
    return {
        name: [np.asarray(file[name][one]) for one in file[name].attrs["weight_names"]]
        for name in file
        if len(file[name].attrs.get("weight_names", ()))
    }


# --- rules ---

Rule = Callable[[NormalForm, list[View], dict[str, Any], list[NDArray[Any]]], View]


def _pads(view: View, config: dict[str, Any], reach: tuple[int, int], strides: tuple[int, int]) -> Pads:
    if config["padding"] not in ("same", "valid"):
        raise NoRuleError(f"padding {config['padding']}")
    return NONE if config["padding"] == "valid" else same(view.at.shape[1:3], reach, strides)


def _conv(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    kernel, groups = weights[0], config.get("groups", 1)
    if "depth_multiplier" in config:
        groups = kernel.shape[2]
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    strides, dilations = tuple(config["strides"]), tuple(config["dilation_rate"])
    reach = ((kernel.shape[0] - 1) * dilations[0] + 1, (kernel.shape[1] - 1) * dilations[1] + 1)
    pads = _pads(given[0], config, reach, (strides[0], strides[1]))
    return compositions.conv(form, given[0], Stored(kernel), _bias(config, weights), strides, dilations, pads, groups)


def _bias(config: dict[str, Any], weights: list[NDArray[Any]]) -> Stored:
    return Stored(weights[1]) if config["use_bias"] else ZERO


def _normalise(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    if config["axis"] not in (-1, [-1], given[0].at.ndim - 1) or not (config["center"] and config["scale"]):
        raise NoRuleError("it normalises another axis, or without scale or shift")
    gamma, beta, mean, variance = (one.astype(np.float64) for one in weights)
    scale = gamma / np.sqrt(variance + config["epsilon"])
    return form.affine(given[0], number(scale), Stored(beta - mean * scale, unit=np.abs(beta) + np.abs(mean * scale)))


def _layer_norm(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    axes, last = config["axis"], [given[0].at.ndim - 1]
    if config["rms_scaling"] or ((config["scale"] or config["center"]) and axes not in (-1, [-1], last)):
        raise NoRuleError("it scales otherwise, or not the last axis")
    rest = [Stored(one) for one in weights]
    gamma, beta = rest.pop(0) if config["scale"] else ONE, rest.pop() if config["center"] else ZERO
    axes = axes if isinstance(axes, list) else [axes]
    return compositions.layer_norm(form, given[0], axes, config["epsilon"], gamma, beta)


def _activation(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    kind, view = config["activation"], given[0]
    known: dict[str, Callable[[], View]] = {
        "linear": lambda: view,
        "exponential": lambda: form.each(view, "exp"),
        "gelu": lambda: compositions.gelu(form, view),
        "log_softmax": lambda: form.each(compositions.softmax(form, view), "log"),
        "softplus": lambda: compositions.softplus(form, view),
        "relu": lambda: form.clip(view, low=0),
        "relu6": lambda: form.clip(view, 0, 6),
        "sigmoid": lambda: form.each(view, "sigmoid"),
        "tanh": lambda: form.each(view, "tanh"),
        "softmax": lambda: compositions.softmax(form, view),
        "hard_sigmoid": lambda: compositions.hard_sigmoid(form, view, 1 / 6, 0.5),
        "hard_silu": lambda: compositions.multiply(form, view, compositions.hard_sigmoid(form, view, 1 / 6, 0.5)),
        "silu": lambda: compositions.multiply(form, view, form.each(view, "sigmoid")),
    }
    if kind not in known:
        raise NoRuleError(f"activation {kind}")
    return known[kind]()


def _relu(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    if config["threshold"] or (config["negative_slope"] and config["max_value"] is not None):
        raise NoRuleError("a threshold, or a slope and an end")
    if config["negative_slope"]:
        return form.each(given[0], "leaky", slope=number(config["negative_slope"]))
    return form.clip(given[0], 0, np.inf if config["max_value"] is None else config["max_value"])


def _pool(kind: str) -> Rule:
    def rule(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
        kernel, strides = tuple(config["pool_size"]), tuple(config["strides"])
        return compositions.pool(form, given[0], kind, kernel, strides, _pads(given[0], config, kernel, strides))

    return rule


def _pad(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    (top, bottom), (left, right) = config["padding"]
    return form.pad(given[0], (top, left, bottom, right))


def _crop(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    cut = [slice(first, -last or None) for first, last in config["cropping"]]
    front = (slice(None),) * (2 if config["data_format"] == "channels_first" else 1)
    return given[0].map(lambda at: at[(*front, *cut)])


def _reduce(kind: str) -> Rule:
    return lambda form, given, config, weights: form.mean(
        given[0], range(1, given[0].at.ndim - 1), keep=config["keepdims"], kind=kind
    )


def _binary(kind: str) -> Rule:
    def rule(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
        made = given[0]
        for one in given[1:]:
            made = form.binary(kind, made, one)
        return made

    return rule


def _cast(form: NormalForm, given: list[View], config: dict[str, Any], weights: list[NDArray[Any]]) -> View:
    if config["dtype"] != "float32":
        raise NoRuleError("it casts to another type than float32")
    return given[0]


def _plainly(rule: Callable[[NormalForm, list[View]], View]) -> Rule:
    return lambda form, given, config, weights: rule(form, given)


RULES: dict[str, Rule] = {
    **{name: _plainly(rule) for name, rule in choices.rules(choices.camel).items()},
    "Activation": _activation,
    "Add": _binary("add"),
    "AveragePooling2D": _pool("average"),
    "BatchNormalization": _normalise,
    "Cast": _cast,
    "Concatenate": lambda form, given, config, weights: compositions.join(form, given, config["axis"]),
    "Conv2D": _conv,
    "Cropping2D": _crop,
    "Dense": lambda form, given, config, weights: form.matmul(given[0], Stored(weights[0]), _bias(config, weights)),
    "DepthwiseConv2D": _conv,
    "Divide": lambda form, given, config, weights: compositions.divide(form, *given),
    "Dropout": lambda form, given, config, weights: given[0],
    "ELU": lambda form, given, config, weights: compositions.elu(form, given[0], config["alpha"]),
    "Erf": lambda form, given, config, weights: compositions.erf(form, given[0]),
    "Flatten": lambda form, given, config, weights: given[0].reshape(1, -1),
    "GlobalAveragePooling1D": _reduce("mean"),
    "GlobalAveragePooling2D": _reduce("mean"),
    "GlobalMaxPooling1D": _reduce("largest"),
    "GlobalMaxPooling2D": _reduce("largest"),
    "LayerNormalization": _layer_norm,
    "LeakyReLU": lambda form, given, config, weights: form.each(
        given[0], "leaky", slope=number(config["negative_slope"])
    ),
    "Maximum": lambda form, given, config, weights: bound(form, *given, low=True),
    "Log": lambda form, given, config, weights: form.each(given[0], "log"),
    "Matmul": lambda form, given, config, weights: compositions.product(form, *given),
    "MaxPooling2D": _pool("max"),
    "Minimum": lambda form, given, config, weights: bound(form, *given, low=False),
    "Multiply": lambda form, given, config, weights: compositions.multiply(form, *given),
    "Permute": lambda form, given, config, weights: given[0].transpose(0, *config["dims"]),
    "PReLU": lambda form, given, config, weights: compositions.prelu(form, given[0], Stored(weights[0])),
    "Power": lambda form, given, config, weights: compositions.power(
        form, given[0], float(given[1].stored.values.reshape(()))
    ),
    "ReLU": _relu,
    "Reciprocal": lambda form, given, config, weights: form.each(given[0], "reciprocal"),
    "Rescaling": lambda form, given, config, weights: form.affine(
        given[0], number(config["scale"]), number(config["offset"])
    ),
    "Reshape": lambda form, given, config, weights: given[0].reshape(1, *config["target_shape"]),
    "Softmax": lambda form, given, config, weights: compositions.softmax(form, given[0], config["axis"]),
    "Sqrt": lambda form, given, config, weights: form.each(given[0], "sqrt"),
    "Subtract": lambda form, given, config, weights: form.binary(
        "add", given[0], compositions.negative(form, given[1])
    ),
    "Where": lambda form, given, config, weights: choices.choose(form, *given),
    "ZeroPadding2D": _pad,
}
