"""ONNX -> real Keras layers, by walking the graph: one layer a node, named after it.

ONNX images are [N, C, H, W], Keras images [N, H, W, C]: the walk carries that along with each
tensor instead of transposing. Rows that ONNX folds into the batch ([N * 49, C]) stay [N, 49, C]
in Keras, whose dense and BatchNorm layers act on the last axis either way.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.src.legacy.saving.saving_options import keras_option_scope
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

from convert.formats.onnx_graph import Graph, read_graph
from convert.formats.ops.apply import apply
from convert.formats.ops.builder import Activation, Border, Combination, Comparison, Pair, Places
from convert.formats.ops.walk import IMAGE_RANK
from convert.formats.reproducible import copy_entry, timeless_entry
from tbconv.contract.errors import ConversionError

FRAMEWORK = "tensorflow"

H5_OUTPUTS = ("logits", "probability")  # of a bundle: what readers of its H5 expect; the map is in the other files


def load(request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001  (as every step)
    """Load TensorFlow, some 3 s, in a process that then waits for the next step."""
    return {}


def onnx_to_keras(request: dict[str, Any]) -> dict[str, Any]:
    """Build the layers and save them.

    Args:
        request: onnx; and where to write: h5, keras, saved_model (each may be null). h5_outputs names the outputs
            that the H5 carries: by default H5_OUTPUTS where the graph has both, else all.

    Returns:
        converter.
    """
    outputs = build(read_graph(Path(request["onnx"])))
    image = outputs.pop("image")
    model = keras.Model(image, outputs, name="tbconv")
    if request.get("h5"):
        names = request.get("h5_outputs") or list(H5_OUTPUTS if outputs.keys() >= {*H5_OUTPUTS} else outputs)
        small = keras.Model(image, {name: outputs[name] for name in names}, name="tbconv")
        save_h5(small, request["h5"])
    if request.get("keras"):
        model.save(request["keras"])
        make_repeatable(Path(request["keras"]))
    if request.get("saved_model"):
        export_saved_model(model, request["saved_model"])
    return {"converter": f"tbconv's layers, keras {keras.__version__}, tensorflow {tf.__version__}"}


def build(graph: Graph) -> dict[str, Any]:
    """Return the Keras tensors of the graph's outputs by name, and its input as `image`.

    Raises:
        ConversionError: as `apply`.
    """
    image, outputs = apply(graph, LayerBuilder())
    return {"image": image} | outputs


# --- layers ---
# Operations as real Keras layers.


FUNCTIONS = {
    "cos": keras.ops.cos,
    "divide": keras.ops.divide,
    "equal": keras.ops.equal,
    "erf": keras.ops.erf,
    "greater": keras.ops.greater,
    "greater_equal": keras.ops.greater_equal,
    "less": keras.ops.less,
    "less_equal": keras.ops.less_equal,
    "log": keras.ops.log,
    "logical_and": keras.ops.logical_and,
    "logical_not": keras.ops.logical_not,
    "logical_or": keras.ops.logical_or,
    "reciprocal": keras.ops.reciprocal,
    "sin": keras.ops.sin,
    "sqrt": keras.ops.sqrt,
}
COMBINATIONS = {
    "add": layers.Add,
    "maximum": layers.Maximum,
    "minimum": layers.Minimum,
    "multiply": layers.Multiply,
    "subtract": layers.Subtract,
}


class LayerBuilder:
    """Makes layers; nodes with the same stored weights and attributes get the same layer.

    Keras pins a BatchNorm to the rank that it first saw, so there the rank is part of the key.
    """

    def __init__(self) -> None:
        self._shared: dict[object, Any] = {}

    def image(self, sizes: tuple[int, ...], name: str | None) -> Any:
        """Return an input."""
        return keras.Input(sizes, name=name)

    def activation(self, tensor: Any, kind: Activation, name: str, **options: float | None) -> Any:
        """Apply ReLU, LeakyReLU, ELU, Softmax, a named activation, or a function that Keras has no layer for."""
        made: dict[str, Callable[[], Any]] = {
            "relu": lambda: layers.ReLU(max_value=options.get("most"), name=name),
            "leaky_relu": lambda: layers.LeakyReLU(negative_slope=options["slope"], name=name),
            "elu": lambda: layers.ELU(alpha=options["alpha"], name=name),
            "softmax": lambda: layers.Softmax(name=name),
        }
        if kind == "abs":
            below = layers.ReLU(name=f"{name}.below")(layers.Rescaling(-1.0, name=f"{name}.turned")(tensor))
            return layers.Add(name=name)([layers.ReLU(name=f"{name}.above")(tensor), below])
        if kind == "power":
            return keras.ops.power(tensor, options["exponent"])
        if kind in FUNCTIONS:
            return FUNCTIONS[kind](tensor)
        return made.get(kind, lambda: layers.Activation(kind, name=name))()(tensor)

    def prelu(self, tensor: Any, slope: NDArray[Any], name: str, key: object) -> Any:
        """Apply PReLU with a slope a channel."""
        places = list(range(1, len(tensor.shape) - 1))
        weights = slope.reshape(*(1,) * len(places), -1)
        return self._layer(key, lambda: layers.PReLU(shared_axes=places or None, name=name), [weights], tensor)

    def clip(self, tensor: Any, low: float, high: float, name: str) -> Any:
        """Apply Maximum and Minimum; a bound is 0 * x + bound, since a H5 holds no constants."""
        for bound, made, end in ((low, layers.Maximum, "low"), (high, layers.Minimum, "high")):
            if math.isfinite(bound):
                other = layers.Rescaling(0.0, bound, name=f"{name}.{end}.bound")(tensor)
                tensor = made(name=f"{name}.{end}")([tensor, other])
        return tensor

    def scale(self, tensor: Any, scale: Any, offset: Any, name: str) -> Any:
        """Apply Rescaling."""
        return layers.Rescaling(scale, offset, name=name)(tensor)

    def times(self, tensor: Any, factor: NDArray[Any], name: str) -> Any:
        """Apply Rescaling by a number a place."""
        return layers.Rescaling(factor[0].tolist(), name=name)(tensor)

    def plus(self, tensor: Any, addend: NDArray[Any], name: str) -> Any:
        """Apply Rescaling with an offset a place."""
        return layers.Rescaling(1.0, addend[0].tolist(), name=name)(tensor)

    def stored(self, like: Any, numbers: NDArray[Any], axis: int, name: str) -> Any:
        """Apply Rescaling by 0 to as many places, with the numbers as offsets, since a H5 holds no constants."""
        place, count = self.cut(like, axis, (0, 1, 1), f"{name}.place"), numbers.shape[axis]
        places = place if count == 1 else self.join([place] * count, axis, f"{name}.places")
        first = float(numbers.flat[0])
        return layers.Rescaling(0.0, first if (numbers == first).all() else numbers[0].tolist(), name=name)(places)

    def cut(self, tensor: Any, axis: int, places: Places, name: str) -> Any:
        """Apply Cropping2D, and to leave places out MaxPooling2D of one place; tensors of other ranks are reshaped."""
        sizes, (start, stop, step) = tuple(tensor.shape[1:]), places
        size, kept = sizes[axis - 1], (start, sizes[axis - 1] - stop)
        if len(sizes) + 1 == IMAGE_RANK and step == 1:  # channels are the last of the axes of "channels first"
            around, how = (
                ((kept, (0, 0)) if axis == 1 else ((0, 0), kept)),
                "channels_" + ("first" if axis > 2 else "last"),
            )
            return layers.Cropping2D(around, data_format=how, name=name)(tensor)
        flat = (math.prod(sizes[: axis - 1]), size, math.prod(sizes[axis:]))
        tensor = tensor if flat == sizes else layers.Reshape(flat, name=f"{name}.flat")(tensor)
        if any(kept):
            tensor = layers.Cropping2D(((0, 0), kept), name=f"{name}.crop")(tensor)
        if step > 1:
            tensor = layers.MaxPooling2D((1, 1), strides=(1, step), name=f"{name}.every")(tensor)
        back = (*sizes[: axis - 1], tensor.shape[2], *sizes[axis:])
        return tensor if tuple(tensor.shape[1:]) == back else layers.Reshape(back, name=name)(tensor)

    def combine(self, tensors: Sequence[Any], kind: Combination, name: str) -> Any:
        """Apply Add, Multiply, Subtract, Maximum or Minimum; quotients and truths by `keras.ops`."""
        if kind in FUNCTIONS:
            return FUNCTIONS[kind](*tensors)
        return COMBINATIONS[kind](name=name)(list(tensors))

    def join(self, tensors: Sequence[Any], axis: int, name: str) -> Any:
        """Apply Concatenate."""
        return layers.Concatenate(axis=axis, name=name)(list(tensors))

    def dense(self, tensor: Any, kernel: NDArray[Any], bias: NDArray[Any] | None, name: str, key: object) -> Any:
        """Apply Dense."""
        weights = _with_bias(kernel, bias)
        return self._layer(
            key, lambda: layers.Dense(kernel.shape[1], use_bias=bias is not None, name=name), weights, tensor
        )

    def product(self, left: Any, right: Any, name: str) -> Any:  # noqa: ARG002  (a function has no name)
        """Multiply matrices, as a function."""
        return keras.ops.matmul(left, right)

    def conv(
        self,
        tensor: Any,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,
        *,
        strides: Pair,
        dilations: Pair,
        groups: int,
    ) -> Any:
        """Apply Conv2D."""
        both = max(strides) > 1 and max(dilations) > 1  # which Keras refuses: every place, of which some are kept
        options: Any = {"dilation_rate": dilations, "use_bias": bias is not None, "name": name}
        options["strides"] = (1, 1) if both else strides

        def make() -> Any:
            return layers.Conv2D(kernel.shape[3], kernel.shape[:2], groups=groups, **options)

        made = self._layer(key, make, _with_bias(kernel, bias), tensor)
        return layers.MaxPooling2D((1, 1), strides=strides, name=f"{name}.every")(made) if both else made

    def depthwise(
        self,
        tensor: Any,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,
        *,
        strides: Pair,
        dilations: Pair,
    ) -> Any:
        """Apply DepthwiseConv2D."""
        options: Any = {"strides": strides, "dilation_rate": dilations, "use_bias": bias is not None, "name": name}

        def make() -> Any:
            return layers.DepthwiseConv2D(kernel.shape[:2], depth_multiplier=kernel.shape[3], **options)

        return self._layer(key, make, _with_bias(kernel, bias), tensor)

    def normalise(
        self,
        tensor: Any,
        statistics: Sequence[NDArray[Any]],
        name: str,
        key: object,
        *,
        epsilon: float,
        momentum: float,
    ) -> Any:
        """Apply BatchNormalization, with the gamma that TensorFlow's rsqrt needs."""
        gamma, beta, mean, variance = statistics
        arrays = [_for_rsqrt(gamma, variance, epsilon), beta, mean, variance]

        def make() -> Any:
            return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=name)

        return self._layer((len(tensor.shape), key), make, arrays, tensor)

    def standardise(
        self,
        tensor: Any,
        weights: tuple[NDArray[Any] | None, NDArray[Any] | None],
        name: str,
        key: object,
        *,
        axes: tuple[int, ...],
        epsilon: float,
    ) -> Any:
        """Apply LayerNormalization."""
        scale, center = (one is not None for one in weights)

        def make() -> Any:
            return layers.LayerNormalization(axis=axes, epsilon=epsilon, scale=scale, center=center, name=name)

        return self._layer((axes, key), make, [one for one in weights if one is not None], tensor)

    def border(self, tensor: Any, around: Border, name: str) -> Any:
        """Apply ZeroPadding2D."""
        top, left, bottom, right = around
        return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(tensor)

    def pool(
        self, tensor: Any, kind: Literal["max", "average"], kernel: Pair, strides: Pair, name: str, *, same: bool
    ) -> Any:
        """Apply MaxPooling2D or AveragePooling2D."""
        made = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
        return made(kernel, strides=strides, padding="same" if same else "valid", name=name)(tensor)

    def reduce(self, tensor: Any, kind: Literal["max", "mean"], name: str, *, keep: bool) -> Any:
        """Apply GlobalAveragePooling2D or GlobalMaxPooling2D, or to rows the same in 1D."""
        made = {
            ("mean", IMAGE_RANK): layers.GlobalAveragePooling2D,
            ("mean", IMAGE_RANK - 1): layers.GlobalAveragePooling1D,
            ("max", IMAGE_RANK): layers.GlobalMaxPooling2D,
            ("max", IMAGE_RANK - 1): layers.GlobalMaxPooling1D,
        }
        return made[kind, len(tensor.shape)](keepdims=keep, name=name)(tensor)

    def reshape(self, tensor: Any, sizes: tuple[int, ...], name: str) -> Any:
        """Apply Reshape."""
        return layers.Reshape(sizes, name=name)(tensor)

    def permute(self, tensor: Any, order: Sequence[int], name: str) -> Any:
        """Apply Permute."""
        return layers.Permute(tuple(order[1:]), name=name)(tensor)

    def compare(self, left: Any, right: Any, kind: Comparison, name: str) -> Any:  # noqa: ARG002  (as of product)
        """Compare, as a function."""
        return FUNCTIONS[kind](left, right)

    def choose(self, where: Any, yes: Any, no: Any, name: str) -> Any:  # noqa: ARG002
        """Choose, as a function."""
        return keras.ops.where(where, yes, no)

    def to_float(self, tensor: Any, name: str) -> Any:  # noqa: ARG002
        """Cast, as a function."""
        return keras.ops.cast(tensor, "float32")

    def _layer(self, key: object, make: Callable[[], Any], weights: list[NDArray[Any]], on: Any) -> Any:
        key = (key, *(one.shape for one in weights))  # the same scales of a Resize are other matrices at other sizes
        if key not in self._shared:
            made = make()
            made.build(on.shape)
            made.set_weights(weights)
            self._shared[key] = made
        return self._shared[key](on)


def _with_bias(kernel: NDArray[Any], bias: NDArray[Any] | None) -> list[NDArray[Any]]:
    return [kernel] if bias is None else [kernel, bias]


def _for_rsqrt(gamma: NDArray[Any], variance: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """Return the gamma whose product with TensorFlow's float32 rsqrt is the one that ONNX means.

    That rsqrt is low by 8e-9 on average; over 53 layers it put SavedModel and TFLite 7 dB further from
    float64 than eager PyTorch is (kermany, 512 films; docs/log.md). Gamma moves by a float32 step or so.
    """
    root = np.sqrt(variance.astype(np.float64) + epsilon)
    found = tf.math.rsqrt(tf.constant(variance) + np.float32(epsilon)).numpy().astype(np.float64)
    corrected: NDArray[Any] = (gamma.astype(np.float64) / root / found).astype(np.float32)
    return corrected


# --- h5 ---
# A H5's configuration names classes alone, which Keras looks up among its layers; of an entry that names a module too,
# as all of a `.keras` do, it makes the class of that module (`process_layer` in keras/src/models/functional.py).


def save_h5(model: keras.Model, place: str) -> None:
    """Write a H5 that `keras.models.load_model` opens by itself, functions of `keras.ops` with the module of each."""
    functions = {one.name: one for one in model.operations if not isinstance(one, layers.Layer)}
    if functions:
        with keras_option_scope(use_legacy_config=True):
            config = model.get_config()
        for entry in config["layers"]:
            if entry["name"] in functions:
                whole = keras.saving.serialize_keras_object(functions[entry["name"]])
                entry |= {key: whole[key] for key in ("module", "registered_name", "config")}
        model.get_config = lambda: config  # what it is saved with
    model.save(place)


# --- saved model ---
# Written so that its bytes repeat.


def export_saved_model(model: keras.Model, place: str) -> None:
    """Write a SavedModel with variables, a dynamic batch and the signature image -> outputs by name.

    Not Keras's own export: it keeps the variables in the order of a set, which differs from process
    to process. Here they are in the model's order, so the same ONNX gives the same bytes. The model
    itself is not tracked: every variable would be stored twice (198 MB for 99 MB).
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]  # what is not held here is not saved
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")]
    serve = tf.function(lambda image: model(image, training=False), input_signature=signature, autograph=False)
    tf.saved_model.save(module, place, signatures={"serving_default": serve})
    renumber_functions(Path(place))


# --- repeat saved model ---
# TensorFlow ends the names of functions in a counter of the process: they tell what else it has converted before.

COUNTED = re.compile(r"(.*_)(\d+)")
GIVEN_NAME = "_user_specified_name"


def renumber_functions(place: Path) -> None:
    """Number the functions of a SavedModel from 0, in place: the same network gives the same bytes.

    Raises:
        ConversionError: a name stands in a part of the file that is not known here.
    """
    path = place / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        library = graph.graph_def.library.function
        counted = filter(None, (COUNTED.fullmatch(one.signature.name) for one in library))
        found = sorted(counted, key=lambda match: int(match[2]))
        names = {match[0]: f"{match[1]}{number}" for number, match in enumerate(found)}
        _rename_functions(graph.graph_def, names)
        _rename_objects(graph.object_graph_def, names)
        _require_renamed(graph, names.keys() - names.values())
    path.write_bytes(saved.SerializeToString(deterministic=True))
    write_fingerprint(str(place))  # it holds a checksum of the file


def _rename_functions(graph: Any, names: Mapping[str, str]) -> None:
    library = graph.library.function
    for function in library:
        function.signature.name = names.get(function.signature.name, function.signature.name)
        for argument in function.arg_attr.values():
            if GIVEN_NAME in argument.attr and argument.attr[GIVEN_NAME].s.isdigit():
                del argument.attr[GIVEN_NAME]  # of a variable: a number that the process counts too
    for node in (*graph.node, *(node for function in library for node in function.node_def)):
        for value in node.attr.values():
            if value.HasField("func"):
                value.func.name = names.get(value.func.name, value.func.name)
    library.sort(key=lambda one: one.signature.name)


def _rename_objects(objects: Any, names: Mapping[str, str]) -> None:
    for one in objects.nodes:
        if old := one.bare_concrete_function.concrete_function_name:
            one.bare_concrete_function.concrete_function_name = names.get(old, old)
    functions = objects.concrete_functions
    for old, new in names.items():  # ascending: no new name is one that is still to go
        if old in functions and old != new:
            functions[new].CopyFrom(functions[old])
            del functions[old]


def _require_renamed(graph: Any, names: Set[str]) -> None:
    data = graph.SerializeToString()
    left = sorted(name for name in names if re.search(re.escape(name).encode() + rb"(?!\d)", data))
    if left:
        raise ConversionError(
            f"the SavedModel names the function {left[0]} where it is not expected",
            why=f"tensorflow {tf.__version__} is not the version whose files are known to repeat",
            fix="install the versions that were measured: pip install 'tbconv[convert]'",
        )


# --- repeat keras ---
# The one place that takes times and memory addresses out of a `.keras` file, so that its bytes repeat.
#
# Keras 3.15 writes three things into the zip that differ from process to process: the time of each
# entry, the date in metadata.json, and, as `shared_object_id` in config.json, the memory address of
# each object that several layers share (keras/src/saving/serialization_lib.py). Loading needs none
# of them but the ids, and of those only which are equal.

ENTRIES = ("metadata.json", "config.json", "model.weights.h5")  # what Keras 3 writes, in its order
SHARED = "shared_object_id"


def make_repeatable(path: Path) -> None:
    """Rewrite a `.keras` file in place: the same network gives the same bytes.

    Raises:
        ConversionError: it holds other entries than Keras 3.15 writes.
    """
    fresh = path.with_name(f"{path.name}.repeatable")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(fresh, "w") as new:
        if sorted(old.namelist()) != sorted(ENTRIES):
            raise ConversionError(
                f"{path.name} holds {', '.join(old.namelist())}",
                why=f"Keras 3.15 writes {', '.join(ENTRIES)}, and only these are known to repeat",
                fix="install the versions that were measured: pip install 'tbconv[convert]'",
            )
        for name in ENTRIES:
            if name.endswith(".json"):
                new.writestr(timeless_entry(name), json.dumps(settle(json.loads(old.read(name)))))
            else:
                copy_entry(old, new, name)
    fresh.replace(path)


def settle(value: Any, numbers: dict[int, int] | None = None) -> Any:
    """Return JSON without the date, and with shared objects numbered in the order of their appearance."""
    numbers = {} if numbers is None else numbers
    if isinstance(value, list):
        return [settle(item, numbers) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if key != "date_saved"}
    return {
        key: numbers.setdefault(item, len(numbers)) if key == SHARED else settle(item, numbers)
        for key, item in kept.items()
    }
