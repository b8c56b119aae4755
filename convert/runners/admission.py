"""What a SavedModel, a `.keras` or an H5 of others may hold before TensorFlow opens it: to open one is to run it.

A SavedModel may read, write and send files of this machine, a `.keras` may hold code, an H5 may point into other
files. Each is read here as plain data first, and only what our converters write is let in; everything else is refused
by name. Whatever opens such a file asks here before; ONNX files are judged in `convert.formats.onnx_graph`.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it ships no types
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from tbconv.contract.bundle import parse_json
from tbconv.contract.errors import ArtefactError, BundleError, ConversionError, printable, some

FIX = "convert the run on this machine: tbconv convert RUN --out BUNDLE; nothing of this file was run"


def admit(path: Path) -> Path:
    """Return the path of a file that TensorFlow may open.

    Args:
        path: a SavedModel's folder, a `.keras` or a `.h5` file: TensorFlow, too, goes by the suffix.

    Raises:
        ArtefactError: it holds what no converter of ours writes; nothing of it was executed.
        ConversionError: it is cut off or damaged.
    """
    try:
        judge = {".keras": _judge_keras, ".h5": _judge_h5}.get(path.suffix, _judge_saved_model)
        if judge is not _judge_saved_model:
            _require_file(path)
        judge(path)
    except _RefusedError as error:
        raise ArtefactError(f"{path.name} is refused before it is opened", why=str(error), fix=FIX) from error
    except BundleError as error:  # of the JSON in it
        raise ArtefactError(f"{path.name} is refused before it is opened", why=error.one_line, fix=FIX) from error
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, DecodeError, zipfile.BadZipFile) as error:
        why = printable(f"{type(error).__name__}: {error}", most=300)
        raise ConversionError(f"{path.name} is cut off or damaged", why=why, fix="convert again") from error
    return path


class _RefusedError(ValueError):
    """Something in the file is not let in."""


def _require_file(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise _RefusedError(f"{path.name} is a link or no regular file")


def _refuse(what: str, names: Iterator[str] | set[str] | list[str]) -> None:
    """Raise where there is any; the words name a few."""
    found = sorted(set(names))
    if found:
        raise _RefusedError(f"{what}: {some(found)}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- SavedModel ---
# Every operation of the graph and of its functions is one of those that compute; those that touch files stand in the
# two functions in which TensorFlow saves and restores variables, and nothing calls these.
#
# `tf.saved_model.load` restores variables by itself and runs neither of the two. What it does run are the functions,
# so a function that computes can do no harm, whoever calls it.

SAVED_MODEL_FILES = re.compile(
    r"saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d{5}-of-\d{5})|variables|assets"
    r"|assets\.extra(/tbconv\.json)?"  # what it states of itself (convert.formats.metadata); no graph reads it
)
OBJECTS = {"variable", "constant", "user_object", "bare_concrete_function"}
REGISTERED = {"", "tf.TrackableConstant"}  # TensorFlow makes an object of the class that it knows by that name
IDENTIFIERS = {"_generic_user_object", "signature_map", "trackable_list_wrapper", "trackable_dict_wrapper"}
SAVERS = {
    *("SaveV2", "RestoreV2", "ShardedFilename", "MergeV2Checkpoints", "StringJoin", "StaticRegexFullMatch"),
    *("AssignVariableOp", "DisableCopyOnRead", "Select"),
}
COMPUTE = _words(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3
    BatchToSpaceND BiasAdd BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput Cos
    Cosh Cumsum DepthToSpace DepthwiseConv2dNative Div DivNoNan Einsum Elu Equal Erf Erfc Exp ExpandDims Expm1 Fill
    Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater
    GreaterEqual Identity IdentityN IsFinite IsInf IsNan LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr MatMul Max MaxPool MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mod Mul MulNoNan Neg NoOp
    NotEqual OneHot OnesLike Pack Pad PadV2 PartitionedCall Pow Prod Range Rank ReadVariableOp RealDiv Reciprocal
    Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor Reverse ReverseV2 Rint Round Rsqrt Select SelectV2 Selu
    Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV
    Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StopGradient StridedSlice Sub Sum Tan Tanh Tile
    TopKV2 Transpose Unpack Where ZerosLike
    """
)
OUTSIDE = {"VarHandleOp", "Placeholder"}  # beside the functions: the variables, and what a signature takes
OPAQUE = {20, 21}  # DT_RESOURCE and DT_VARIANT of tensorflow/core/framework/types.proto


def _judge_saved_model(folder: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2  # a .keras or H5 file is judged without TensorFlow

    _judge_folder(folder)
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].object_graph_def.nodes:
        raise _RefusedError("it is not the one graph with objects that tf.saved_model.save writes")
    [graph] = saved.meta_graphs
    _refuse("it comes with assets", [one.filename or "one without a name" for one in graph.asset_file_def])
    _judge_objects(graph.object_graph_def)
    savers = _saver_functions(graph)
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(node for one in functions for node in one.node_def)]
    _refuse("it calls functions that it does not hold", set(_called(nodes)) - {one.signature.name for one in functions})
    for function in functions:
        allowed = COMPUTE | SAVERS if function.signature.name in savers else COMPUTE
        where = f"in its function {printable(function.signature.name, most=80)}"
        _judge_nodes(function.node_def, allowed, where)
        if OPAQUE & {tensor.dtype for tensor in _tensors(function.attr)}:
            raise _RefusedError(f"a constant {where} holds no numbers")
        _refuse("a function calls what saves or restores", savers & set(_called(function.node_def)))
    _judge_nodes(graph.graph_def.node, COMPUTE | OUTSIDE, "in its graph")
    _refuse("an object saves or restores by itself", savers & _functions_of(graph.object_graph_def))


def _judge_folder(folder: Path) -> None:
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise _RefusedError("it is no folder")
    for path in folder.rglob("*"):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if not SAVED_MODEL_FILES.fullmatch(name) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            _refuse("it holds what no SavedModel of ours does", [name])


def _judge_objects(objects: Any) -> None:
    kinds = {one.WhichOneof("kind") or "nothing" for one in objects.nodes}
    _refuse("it holds objects of the kind", kinds - OBJECTS)
    named = {one.user_object.identifier for one in objects.nodes if one.HasField("user_object")}
    _refuse("it holds objects called", named - IDENTIFIERS)
    _refuse("it holds objects registered as", {one.registered_name for one in objects.nodes} - REGISTERED)
    if any(one.saveable_objects or one.registered_saver for one in objects.nodes):
        raise _RefusedError("it restores objects by functions of its own")


def _functions_of(objects: Any) -> set[str]:
    """Return the functions that objects give to whoever loads them."""
    bare = {one.bare_concrete_function.concrete_function_name for one in objects.nodes}
    return bare | set(objects.concrete_functions)


def _saver_functions(graph: Any) -> set[str]:
    """Return the functions that the saver's own nodes call, and nothing else may."""
    saver = graph.saver_def
    nodes = {name.partition(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name)} - {""}
    return {one for node in graph.graph_def.node if node.name in nodes for one in _called([node])}


def _judge_nodes(nodes: Any, allowed: set[str] | frozenset[str], where: str) -> None:
    _refuse(f"operations {where} that no converter of ours writes", {node.op for node in nodes} - allowed)
    for node in nodes:
        kinds = {tensor.dtype for tensor in _tensors(node.attr)}
        if node.op == "Const":
            said = node.attr["dtype"].type
            if kinds - {said}:
                raise _RefusedError(f"a constant {where} is of another kind than it says")
            kinds.add(said)
        if kinds & OPAQUE:
            raise _RefusedError(f"a constant {where} holds no numbers")


def _tensors(attributes: Any) -> Iterator[Any]:
    """Yield what TensorFlow makes a tensor of as soon as it reads an attribute, before it looks at what that is for."""
    waiting = list(attributes.values())
    while waiting:
        one = waiting.pop()
        if one.HasField("tensor"):
            yield one.tensor
        yield from one.list.tensor
        for function in (one.func, *one.list.func):
            waiting += function.attr.values()


def _called(nodes: Any) -> Iterator[str]:
    for node in nodes:
        for value in node.attr.values():
            yield from (one.name for one in (value.func, *value.list.func) if one.name)


# --- .keras ---
# A zip of three entries, stored as they are; its config names only layers that our converters use.

ENTRIES = ("config.json", "metadata.json", "model.weights.h5")
LAYERS = _words(
    """
    InputLayer Rescaling ZeroPadding2D Cropping2D Conv2D DepthwiseConv2D Dense BatchNormalization Activation ReLU
    LeakyReLU PReLU ELU Softmax MaxPooling2D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalMaxPooling1D GlobalMaxPooling2D Add Subtract Multiply Concatenate Maximum Minimum Reshape Permute Flatten
    Dropout LayerNormalization Functional
    """
)
ARRAY, NUMBERS = "__numpy__", ("float32", "float64", "bool")  # a stored factor a place is a list in the configuration
CLASSES: dict[str | None, frozenset[str]] = {
    None: LAYERS | {"__keras_tensor__", ARRAY},  # an H5 names no module; neither does a tensor, nor an array
    "keras.layers": LAYERS,
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.ops.numpy": _words(
        """
        Add Cos Divide Equal Greater GreaterEqual Less LessEqual Log LogicalAnd LogicalNot LogicalOr Matmul Multiply
        Power Reciprocal Sin Sqrt Subtract Where
        """
    ),
    "keras.src.ops.core": frozenset({"Cast"}),
    "keras.src.ops.math": frozenset({"Erf"}),
    "keras.initializers": frozenset({"GlorotUniform", "Zeros", "Ones", "Constant"}),
    "keras": frozenset({"DTypePolicy"}),
}
ACTIVATIONS = {None, "linear", "relu", "sigmoid", "tanh", "hard_silu", "hard_sigmoid", "softmax", "silu", "elu", "gelu"}
ACTIVATIONS |= {"exponential", "softplus", "log_softmax"}


def _judge_keras(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = sorted(member.filename for member in members)
        if tuple(names) != ENTRIES:
            _refuse("it holds other entries than Keras writes", names)
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise _RefusedError("its entries are packed; Keras stores them as they are")
        for name in ENTRIES[:2]:
            _judge_config(parse_json(archive.read(name), name, keys_of_users=True))
        weights = archive.read(ENTRIES[2])  # stored as it is, so no larger than the file
        _judge_hdf5(io.BytesIO(weights), len(weights))


def _judge_config(value: Any) -> None:
    """Judge whatever Keras would make an object of, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            _judge_object(one)


def _judge_object(one: dict[str, Any]) -> None:
    if not {"class_name", "module", "registered_name"}.isdisjoint(one):
        module, name, registered = one.get("module"), one.get("class_name"), one.get("registered_name")
        if not (isinstance(name, str) and (module is None or isinstance(module, str))):
            raise _RefusedError("an object in its configuration has no name")
        if name not in CLASSES.get(module, ()) or registered not in (None, name):
            _refuse("an object in its configuration that no converter of ours writes", [f"{module}.{name}"])
        config = one.get("config")
        if name == ARRAY and not (isinstance(config, dict) and config.get("dtype") in NUMBERS):
            raise _RefusedError("an array in its configuration is not one of numbers")
    for key, value in one.items():
        if key.endswith("activation") and not (value is None or (isinstance(value, str) and value in ACTIVATIONS)):
            _refuse("an activation that no converter of ours writes", [str(value)])
    if "inbound_nodes" not in one and one.get("compile_config"):
        raise _RefusedError("it brings an optimizer or a loss")


# --- HDF5 ---
# A file of groups, datasets and attributes, and nothing that leads out of it: HDF5 follows links to other files of the
# machine, reads datasets from raw files, and loads filters as libraries.


def _judge_h5(path: Path) -> None:
    with path.open("rb") as file:
        size = path.stat().st_size
        _judge_hdf5(file, size)
    with h5py.File(path, "r") as opened:
        config = opened.attrs.get("model_config")
        if config is None:
            raise _RefusedError("it describes no model")
        text = config if isinstance(config, bytes) else str(config).encode()
        _judge_config(parse_json(text, "model_config", keys_of_users=True))
        if opened.attrs.get("training_config") is not None:
            raise _RefusedError("it brings an optimizer or a loss")


def _judge_hdf5(file: Any, size: int) -> None:
    with h5py.File(file, "r") as opened:
        seen: set[Any] = set()
        waiting: list[Any] = [opened]
        total = 0
        while waiting:
            group = waiting.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    _refuse(f"it holds a link ({type(link).__name__})", [name])
                one = group[name]
                address = h5py.h5o.get_info(one.id).addr
                if address in seen:
                    continue
                seen.add(address)
                if isinstance(one, h5py.Group):
                    waiting.append(one)
                elif isinstance(one, h5py.Dataset):
                    total += _judge_dataset(one, name)
                else:
                    _refuse("it holds what is no array", [name])
        if total > size:
            raise _RefusedError(f"its arrays are {total:,} bytes, the file has {size:,}")


def _judge_dataset(dataset: Any, name: str) -> int:
    if dataset.external or dataset.is_virtual:
        _refuse("an array in it lies in another file", [name])
    if dataset.id.get_create_plist().get_nfilters():
        _refuse("an array in it needs a filter", [name])
    if dataset.dtype.kind not in "biufS":
        _refuse("an array in it holds no numbers", [name])
    return int(dataset.nbytes)
