"""Third-party ONNX -> model.onnx that takes grey films: the first step, and the only one that reads the original.

The original is read and never written; its digest is taken before and after.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.formats.normalise import Normalise, choose_normalise
from convert.formats.onnx_graph import infer_shapes, is_external, lies_beside, locations, tensors_of
from convert.formats.ops.control import resolve_control
from tbconv.contract.errors import ConversionError, printable
from tbconv.contract.files import sha256_file

FRAMEWORK = "litert"

CONTROL = ("If", "Loop", "Scan")
MATRIX = 2  # axes of a dense layer's weights
ARRANGES = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Dropout")


def wrap(request: dict[str, Any]) -> dict[str, Any]:
    """Write the wrapped graph.

    Args:
        request: onnx (theirs), out (ours), normalise (name or null), mean and std (lists or null).

    Returns:
        converter, source (SHA-256 by file), opset, producer, input (their name and shape), channels, size,
        outputs (ours, in their order), source_outputs, dynamic_batch, source_batch, normalise (name, mean, std,
        white, assumed), versions (what was done to the opset, or nothing), flattened_outputs (ours, with the axes that
        they had), renamed_outputs, renamed_nodes, nodes, last_ops (by output), dense_share, operators,
        parameters, wrapped (SHA-256).

    Raises:
        ConversionError: the file cannot be converted.
        ConfigError: the normalisation does not fit its channels.
    """
    source, out = Path(request["onnx"]), Path(request["out"])
    before = digests(source)
    model = read_foreign(source)
    value, opset = image_input(model), check_body(model)
    facts = _facts(model, value) | {"source": before, "opset": opset}
    mean, std = (None if request.get(key) is None else tuple(request[key]) for key in ("mean", "std"))
    normalise = choose_normalise(facts["channels"], name=request.get("normalise"), mean=mean, std=std)
    strip(model)
    _drop_stored_inputs(model, value)
    model, versions = raise_opset(model, opset)
    outputs, flattened = name_outputs(model), flatten_outputs(model)
    clear_name(model, "image")
    add_front(model, model.graph.input[0], normalise)
    unroll(model)
    nodes = name_nodes(model)
    wrapped, dynamic = open_batch(model)
    onnx.checker.check_model(wrapped)
    onnx.save(wrapped, str(out))
    _untouched(source, before)
    return facts | {
        "converter": f"tbconv's front, onnx {onnx.__version__}",
        "outputs": [one.name for one in wrapped.graph.output],
        "dynamic_batch": dynamic,
        "normalise": {key: getattr(normalise, key) for key in ("name", "mean", "std", "white", "assumed")},
        "renamed_outputs": outputs,
        "flattened_outputs": flattened,
        "versions": versions,
        "renamed_nodes": nodes,
        "nodes": [node.name for node in wrapped.graph.node],
        "last_ops": {one.name: last_op(wrapped, one.name) for one in wrapped.graph.output},
        "dense_share": dense_share(wrapped),
        "wrapped": sha256_file(out),
    }


def last_op(model: onnx.ModelProto, output: str) -> str:
    """Return the operation that gives an output, behind those that only arrange or name its values."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while (node := makers.get(output)) is not None and node.op_type in ARRANGES:
        output = node.input[0]
    return node.op_type if node is not None else ""


def dense_share(model: onnx.ModelProto) -> float:
    """Return the share of the weights that dense layers hold, 0 to 1: matrices, of all float constants."""
    stored = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    dense = sum(prod(tensor.dims) for tensor in stored if len(tensor.dims) == MATRIX)
    share: float = dense / max(sum(prod(tensor.dims) for tensor in stored), 1)
    return share


def _facts(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> dict[str, Any]:
    batch, channels, size, _ = shape_of(value)
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        "input": {"name": value.name, "shape": shape_of(value)},
        "channels": channels,
        "size": size,
        "source_batch": batch,
        "source_outputs": [one.name for one in model.graph.output],
        "operators": dict(Counter(node.op_type for node in model.graph.node)),
        "parameters": sum(prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == 1),
    }


def _drop_stored_inputs(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> None:
    """Keep the image as the only input: files of IR version 3 list their weights there, too."""
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(value)
    del model.graph.input[:]
    model.graph.input.append(kept)


def _untouched(source: Path, before: dict[str, str]) -> None:
    if digests(source) != before:
        why = "its digest differs from that of a minute ago"
        raise ConversionError(f"{source.name} changed while it was read", why=why, fix="convert it again")


# --- front ---
# What is put in front of a third-party graph, and what is renamed in it: in place, on a copy.
#
# The front is `image` [N, 1, S, S], grey 0..255 -> Concat to three channels -> Mul -> Add -> their network.

IMAGE = "image"
BATCH = "batch"
PREFIX = "preprocess"  # of the nodes and constants of the front
# TensorFlow's own rule for scopes is [A-Za-z0-9.][A-Za-z0-9_.\\/>-]*; a signature's names are simpler.
NOT_IN_NODES, NOT_IN_OUTPUTS = re.compile(r"[^A-Za-z0-9_.\-/]"), re.compile(r"[^A-Za-z0-9_]")


def add_front(model: onnx.ModelProto, value: onnx.ValueInfoProto, normalise: Normalise) -> None:
    """Put preprocessing before the input, which becomes `image`; the network's own nodes stay as they are."""
    inner, side = value.name, int(str(shape_of(value)[2]))
    nodes: list[onnx.NodeProto] = []
    last = IMAGE
    if len(normalise.mean) == 3:
        nodes.append(helper.make_node("Concat", [last] * 3, [f"{PREFIX}.grey"], f"{PREFIX}.Concat", axis=1))
        last = f"{PREFIX}.grey"
    if not normalise.changes_nothing:
        for op, numbers in (("Mul", normalise.scale), ("Add", normalise.offset)):
            constant, made = f"{PREFIX}.{op}.by", f"{PREFIX}.{op}.out"
            array = numbers.astype(np.float32).reshape(1, -1, 1, 1)
            model.graph.initializer.append(numpy_helper.from_array(array, constant))
            nodes.append(helper.make_node(op, [last, constant], [made], f"{PREFIX}.{op}"))
            last = made
    rename_tensors(model, {inner: last})
    value.name = IMAGE  # after the renaming, which would have taken it along
    batch = shape_of(value)[0]
    value.CopyFrom(helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, [batch, 1, side, side]))
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])


def clear_name(model: onnx.ModelProto, name: str) -> None:
    """Rename a tensor inside that bears a name which is needed."""
    taken = {one for node in model.graph.node for one in (*node.input, *node.output)}
    if name in taken:
        rename_tensors(model, {name: fresh(f"{name}_inner", taken)})


def rename_tensors(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename tensors wherever nodes, constants, inputs and outputs refer to them."""
    for node in model.graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
    for owner in (*model.graph.initializer, *model.graph.output, *model.graph.input):
        owner.name = names.get(owner.name, owner.name)


def name_outputs(model: onnx.ModelProto) -> dict[str, str]:
    """Give each output a name that a signature can bear; return new name by old one, where it changed."""
    changed: dict[str, str] = {}
    taken = {one for node in model.graph.node for one in (*node.input, *node.output)} | {IMAGE}
    for value in model.graph.output:
        wanted = NOT_IN_OUTPUTS.sub("_", value.name).strip("_") or "output"
        if wanted != value.name or wanted == IMAGE:
            changed[value.name] = fresh(wanted, taken)
            taken.add(changed[value.name])
    rename_tensors(model, changed)
    return changed


def name_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Give each node a name that is its own and legal in TensorFlow; return new name by old one, where it changed.

    Two names are the same where they differ in slashes alone: Keras allows none and gets dots.
    """
    seen: set[str] = {node.name.replace("/", ".") for node in model.graph.node if node.name.startswith(f"{PREFIX}.")}
    counted: Counter[str] = Counter()
    changed: dict[str, str] = {}
    for node in model.graph.node:
        if node.name.startswith(f"{PREFIX}."):
            continue
        old, base = node.name, NOT_IN_NODES.sub("_", node.name).lstrip("_-")
        if not base:
            base = f"{node.op_type}_{counted[node.op_type]}"
        counted[node.op_type] += 1
        node.name = fresh(base, seen)
        seen.add(node.name.replace("/", "."))
        if old and node.name != old:
            changed[old] = node.name
    return changed


def fresh(wanted: str, taken: Iterable[str]) -> str:
    """Return the name, or the first of name_1, name_2, ... that is free."""
    known, found, count = set(taken), wanted, 0
    while found.replace("/", ".") in known or found in known:
        count += 1
        found = f"{wanted}_{count}"
    return found


def strip(model: onnx.ModelProto) -> None:
    """Remove what exporters leave of the machine (source paths, stack traces) and shapes of a fixed batch."""
    owners = [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]
    for owner in owners:
        if hasattr(owner, "metadata_props"):
            del owner.metadata_props[:]
        owner.doc_string = ""
    del model.graph.value_info[:]


def raise_opset(model: onnx.ModelProto, opset: int) -> tuple[onnx.ModelProto, str]:
    """Return an old graph in the first opset that docs/ops.md is about, and in words what onnx made of it.

    Where its version converter fails the graph stays as it is: every file is compared with the given one in any case.
    """
    model.ir_version = max(model.ir_version, LEAST_IR)
    if opset >= FIRST_OPSET:
        return model, ""
    converter = f"by the version converter of onnx {onnx.__version__}"
    try:
        raised = onnx.version_converter.convert_version(model, FIRST_OPSET)
        onnx.checker.check_model(raised)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:  # what its C++ raises
        return model, f"not raised {converter}, which says: {printable(error, most=200)}"
    return raised, f"raised to {FIRST_OPSET} {converter}"


def flatten_outputs(model: onnx.ModelProto) -> dict[str, list[int | str | None]]:
    """Give outputs [N, C, 1, 1] as [N, C] and [N] as [N, 1]; return the sides that they had, by name."""
    changed = {}
    for value in model.graph.output:
        sides = output_sides(model, value)
        if len(sides) not in FLATTENED:
            continue
        taken = {one for node in model.graph.node for one in (*node.input, *node.output)}
        name, classes = value.name, sides[1] if len(sides) > 1 and isinstance(sides[1], int) else 1
        inner, target = fresh(f"{name}_{len(sides)}d", taken), fresh(f"{name}_sizes", taken)
        rename_tensors(model, {name: inner})
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1, classes], np.int64), target))
        model.graph.node.append(helper.make_node("Reshape", [inner, target], [name]))
        value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [sides[0], classes]))
        changed[name] = sides
    return changed


def unroll(model: onnx.ModelProto) -> None:
    """Write loops and branches over sizes out, where the graph answers at all."""
    if not any(node.op_type in CONTROL for node in model.graph.node):
        return
    value = model.graph.input[0]
    sides = [one if isinstance(one, int) else None for one in shape_of(value)]

    def answer(asked: onnx.ModelProto, films: int) -> list[NDArray[Any]]:
        drawn = np.random.default_rng(SEED).integers(0, 256, (films, *(one or 1 for one in sides[1:])))
        given = {value.name: drawn.astype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))}
        found: list[NDArray[Any]] = _open(asked).run(None, given)
        return found

    try:
        resolve_control(model, answer, sides[0])
    except Exception as error:  # ONNX Runtime's errors have no public base class; the walk names what is left
        if not type(error).__module__.startswith("onnxruntime"):
            raise


# --- batch ---
# A batch that was fixed at export becomes dynamic where the graph gives the same answers then: tried, not assumed.

SEED = 4
# Of the largest output: what float32 sums in another order differ by, a hundred steps of 1.2e-7.
RELATIVE = 1e-5


def open_batch(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """Return the graph with a dynamic batch if it answers two films as it answers them one by one.

    Returns:
        The graph to ship, and whether its batch is dynamic; if not, it is 1.

    Raises:
        ConversionError: the batch is fixed at more than one and cannot be changed.
    """
    opened = onnx.ModelProto.FromString(model.SerializeToString())
    fixed = shape_of(model.graph.input[0])[0]
    _set_batch(opened, BATCH)
    if isinstance(fixed, int):
        _free_reshapes(opened, fixed)
    if _answers_alike(opened):
        return opened, True
    if isinstance(fixed, int) and fixed != 1:
        why = "with another batch its answers change or fail: something in it counts films, or mixes them"
        raise ConversionError(f"its batch is fixed at {fixed}", why=why, fix="export with batch 1 or a dynamic batch")
    static = onnx.ModelProto.FromString(model.SerializeToString())
    _set_batch(static, 1)
    return static, False


def _set_batch(model: onnx.ModelProto, batch: int | str) -> None:
    for value in [*model.graph.input, *model.graph.output]:
        sides = value.type.tensor_type.shape.dim
        if not sides:
            continue
        sides[0].Clear()
        if isinstance(batch, int):
            sides[0].dim_value = batch
        else:
            sides[0].dim_param = batch


def _free_reshapes(model: onnx.ModelProto, fixed: int) -> None:
    """Let a Reshape whose stored shape begins with the fixed batch take whatever batch comes: 0 copies the side."""
    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape" and len(node.input) > 1}
    for tensor in _stored(model):
        if tensor.name not in shapes or tensor.name in _read_otherwise(model):
            continue
        shape = numpy_helper.to_array(tensor).copy()
        if shape.size > 1 and shape.flat[0] == fixed:
            shape.flat[0] = 0
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(shape, name))


def _stored(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return initializers, and `Constant` nodes under the names of their outputs."""
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    tensors = [a.t for node in constants for a in node.attribute if a.name == "value"]
    for node, tensor in zip(
        [n for n in constants if any(a.name == "value" for a in n.attribute)], tensors, strict=True
    ):
        tensor.name = node.output[0]
    return [*model.graph.initializer, *tensors]


def _read_otherwise(model: onnx.ModelProto) -> set[str]:
    return {name for node in model.graph.node if node.op_type != "Reshape" for name in node.input}


def _answers_alike(model: onnx.ModelProto) -> bool:
    side = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    films = np.random.default_rng(SEED).integers(0, 256, (2, 1, side, side)).astype(np.float32)
    try:
        session = _open(model)
        together = _answer(session, films)
        alone = [_answer(session, film[None]) for film in films]
    except Exception as error:  # ONNX Runtime's errors have no public base class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        return False
    apart = [np.concatenate(rows) for rows in zip(*alone, strict=True)]
    return all(_near(one, other) for one, other in zip(together, apart, strict=True))


def _open(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails here is an answer, not news
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _answer(session: onnxruntime.InferenceSession, films: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    answers: list[NDArray[np.float32]] = session.run(None, {"image": films})
    return answers


def _near(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.allclose(one, other, rtol=0, atol=RELATIVE * max(float(np.abs(other).max()), 1.0), equal_nan=True))


# --- admit ---
# Which ONNX files can be converted at all: everything that is refused, and why, before anything is made.

FIRST_OPSET, LEAST_IR = 13, 8  # of docs/ops.md, and a version of the format that has it
FLATTENED = (1, 4)  # axes of outputs that are given as [N, classes]
LOWEST_OPSET = 7  # from there on Add and Mul broadcast as numpy does, which the front relies on
CHANNELS = (1, 3)
QUANTIZED = (
    "QLinear",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantize",
    "ConvInteger",
    "MatMulInteger",
    "QGemm",
)
FIRST_BYTE = 0x08  # the tag of ir_version, with which every exporter begins a ModelProto
EXPORT_AGAIN = "export it again"


def read_foreign(path: Path) -> onnx.ModelProto:
    """Read a file that others made, with its external data, and check that it is whole.

    Raises:
        ConversionError: it is no ONNX file, cut off, lacks external data, or ONNX's checker finds it invalid.
    """
    model = _parse(path)
    external_files(model, path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        line = " ".join(str(error).split())[:400]
        raise ConversionError(f"{path.name} is not a valid ONNX file", why=line, fix=EXPORT_AGAIN) from error
    return model


def external_files(model: onnx.ModelProto, path: Path) -> list[str]:
    """Return the files within the ONNX file's folder that hold its weights; ConversionError where one is not there."""
    places = {name for tensor in tensors_of(model) if is_external(tensor) for name in locations(tensor)}
    missing = [printable(name, most=200) for name in sorted(places) if not lies_beside(path.parent, name)]
    if missing:
        raise ConversionError(
            f"{path.name} keeps weights in {', '.join(missing)}, which is not beside it",
            why="an ONNX file above 2 GB, or one exported with external data, is several files of one folder",
            fix=f"put {', '.join(missing)} into {path.parent}, or export with external_data=False",
        )
    return sorted(places)


def digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of the file and of its external data, by name."""
    beside = [path.parent / name for name in external_files(_parse(path), path)]
    return {one.name: sha256_file(one) for one in (path, *beside)}


def image_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """Return the one input, [N, 1 or 3, S, S] float32.

    Raises:
        ConversionError: there are several, or it is no square image of a fixed size.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise _refused(f"it has {len(inputs)} inputs: {names}", "a film is one image", "export the image network alone")
    [value] = inputs
    kind = value.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind.elem_type)
        raise _refused(f"its input {value.name} is {found}", "float32 is needed", "export the float32 network")
    _check_shape(value.name, shape_of(value))
    return value


def check_body(model: onnx.ModelProto) -> int:
    """Return the opset, after what no front can mend was refused.

    Raises:
        ConversionError: an old opset, a file that is quantized already, weights of another float type,
            or outputs that are no classes.
    """
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    if opset < LOWEST_OPSET:
        why = f"{LOWEST_OPSET} is the first whose Add and Mul broadcast"
        raise _refused(f"its opset is {opset}", why, "export with opset 18")
    quantized = [node for node in model.graph.node if node.op_type.startswith(QUANTIZED)]
    if quantized:
        what = f"it is quantized already: {len(quantized)} nodes such as {quantized[0].op_type}"
        raise _refused(what, "rounding twice cannot be distinguished from an error", "export the float32 network")
    others = {t.data_type for t in model.graph.initializer} & {
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.DOUBLE,
    }
    if others:
        names = ", ".join(sorted(TensorProto.DataType.Name(one) for one in others))
        raise _refused(f"it holds weights in {names}", "float32 is needed", "export the network with .float()")
    training = [node.name or node.op_type for node in model.graph.node if _trains(node, opset)]
    if training:
        what = f"it is in training mode: {len(training)} BatchNormalization nodes such as {training[0]}"
        fix = "export it after model.eval(), without training=TrainingMode.TRAINING or PRESERVE"
        raise _refused(what, "each film would be normalised by those that come with it", fix)
    for value in model.graph.output:
        sides = output_sides(model, value)
        single = len(sides) == 4 and sides[2:] == [1, 1] and isinstance(sides[1], int)
        if sides and len(sides) not in (1, 2) and not single:
            shown = ", ".join("?" if one is None else str(one) for one in sides)
            why = f"a classifier gives [N, classes], this has {len(sides)} axes: [{shown}]"
            raise _refused(
                f"its output {value.name} is no list of classes", why, "export the classifier's outputs alone"
            )
    return opset


def _trains(node: onnx.NodeProto, opset: int) -> bool:
    """Whether a BatchNormalization takes its statistics from the batch: before opset 14 one that gives them, too."""
    mode = any(one.name == "training_mode" and one.i for one in node.attribute)
    return node.op_type == "BatchNormalization" and (mode or (opset < 14 and sum(map(bool, node.output)) > 1))


def output_sides(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> list[int | str | None]:
    """Return the sides of an output, as the file states or onnx infers them; nothing where neither says them."""
    stated = shape_of(value) if value.type.tensor_type.HasField("shape") else []
    if not stated or None in stated or any(isinstance(one, str) for one in stated[1:]):
        found = infer_shapes(model).get(value.name, ())
        stated = [one or None for one in found] if found else stated
    return stated


def shape_of(value: onnx.ValueInfoProto) -> list[int | str | None]:
    """Return each side as a number, a name where it is dynamic, None where nothing is said."""
    sides = value.type.tensor_type.shape.dim
    return [side.dim_value if side.HasField("dim_value") else side.dim_param or None for side in sides]


def _parse(path: Path) -> onnx.ModelProto:
    try:
        # not by its suffix: onnx would read .json and .textproto as text, which ONNX Runtime cannot
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except DecodeError as error:
        data = path.open("rb").read(1)
        if data[:1] == bytes([FIRST_BYTE]):
            why = f"it begins as one and then cannot be read ({path.stat().st_size} bytes)"
            raise ConversionError(
                f"{path.name} is cut off or damaged", why=why, fix="copy or export it again"
            ) from error
        raise _no_onnx(path) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise ConversionError(f"{path} cannot be read", why=why, fix="check the path and its permissions") from error
    if not model.graph.node:
        raise _no_onnx(path)
    return model


def _no_onnx(path: Path) -> ConversionError:
    why = "there is no graph in it"
    return ConversionError(
        f"{path.name} is not an ONNX file", why=why, fix="give a run folder, or a file of torch.onnx.export"
    )


def _check_shape(name: str, shape: list[Any]) -> None:
    said = f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
    if len(shape) != 4:
        raise _refused(f"its input {name} is {said}", "an image is [N, C, H, W]", "export a network that takes images")
    _, channels, height, width = shape
    if channels not in CHANNELS:
        last = " (it looks like [N, H, W, C])" if shape[3] in CHANNELS else ""
        why = f"a grey film gives one channel, or the same in three{last}"
        raise _refused(f"its input {name} is {said}", why, "export it as [N, 1 or 3, H, W]")
    if not (isinstance(height, int) and isinstance(width, int)):
        why = "a converted file has one size, and the file does not state which one this network was trained at"
        raise _refused(
            f"its input {name} is {said}, height or width dynamic", why, "export with a fixed size, such as 224"
        )
    if height != width:
        raise _refused(f"its input {name} is {said}, not square", "films are padded to a square", "export it square")


def _refused(what: str, why: str, fix: str) -> ConversionError:
    return ConversionError(f"this ONNX file cannot be converted: {what}", why=why, fix=fix)
