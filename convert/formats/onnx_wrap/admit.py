"""Which ONNX files can be converted at all: everything that is refused, and why, before anything is made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from onnx import TensorProto

from convert.formats.onnx_graph import (
    STANDARD,
    UNBOUNDED,
    infer_shapes,
    is_external,
    lies_beside,
    locations,
    nodes_in,
    nodes_of,
    tensors_of,
)
from convert.formats.ops.control import of_sizes
from tbconv.contract.errors import ConversionError, printable, some
from tbconv.contract.files import sha256_file

LOWEST_OPSET = 7  # from there on Add and Mul broadcast as numpy does, which the front relies on
INTEGER = ("QLinear", "DynamicQuantize", "ConvInteger", "MatMulInteger", "QGemm", "QAttention")  # begin such names
FIRST_BYTE = 0x08  # the tag of ir_version, with which every exporter begins a ModelProto
EXPORT_AGAIN = "export it again"
LONGEST = 400  # characters of a line that holds names of the file
SCORES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)  # kinds of outputs
OPTIMISER = "com.microsoft"  # whose operations ONNX Runtime writes into files that it optimises
NO_LIST, ALONE = "is no list of classes", "export the classifier's outputs alone"


def read_foreign(path: Path) -> onnx.ModelProto:
    """Read a file that others made, with its external data, and check that it is whole.

    Raises:
        ConversionError: it is no ONNX file, cut off, lacks external data, is newer than the package onnx, ONNX's
            checker finds it invalid, or it takes, gives or stores what is no tensor.
    """
    model = _parse(path)
    external_files(model, path)
    _require_known(model)
    _require_ends(model)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        line = " ".join(str(error).split())[:400]
        raise ConversionError(f"{path.name} is not a valid ONNX file", why=line, fix=EXPORT_AGAIN) from error
    _require_tensors(model)
    return model


def _require_ends(model: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, for which the package onnx has no end."""
    calls = {
        (one.domain, one.name): {(node.domain, node.op_type) for node in nodes_in(one.node)} for one in model.functions
    }
    while leaves := [name for name, called in calls.items() if not called & calls.keys()]:
        for name in leaves:
            del calls[name]
    if calls:
        names = some(sorted(f"{domain}::{name}" for domain, name in calls), 4)
        raise refused(f"its function {names} calls itself", "it has no end", EXPORT_AGAIN)


def _require_tensors(model: onnx.ModelProto) -> None:
    """Refuse what goes in, comes out or is stored as anything but a dense tensor whose number of axes is stated."""
    inputs, outputs = ([(side, one) for one in values] for side, values in _sides_of(model))
    if not outputs:
        raise refused("it has no output", "a classifier gives its scores", EXPORT_AGAIN)
    for side, value in (*inputs, *outputs):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            words = str(kind or "nothing_type").removesuffix("_type").replace("_", " ")
            what = f"its {side} {value.name} is not a tensor ({words})"
            why = "films go in as one tensor of numbers, and scores come out as one"
            raise refused(what, why, "export the network alone, without what arranges its answers (zipmap=False)")
    names = [value.name for _, value in outputs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise refused(f"two of its outputs are called {twice}", "they could not be told apart", EXPORT_AGAIN)
    if sparse := [one.values.name for one in model.graph.sparse_initializer]:
        what = f"it stores {len(sparse)} sparse tensors such as {sparse[0]}"
        raise refused(what, "numbers are read from dense tensors alone", "export it with dense weights")


def _sides_of(model: onnx.ModelProto) -> tuple[tuple[str, list[onnx.ValueInfoProto]], ...]:
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    return ("input", inputs), ("output", list(model.graph.output))


def _require_known(model: onnx.ModelProto) -> None:
    """Refuse a file that is newer than the package onnx, which would call it invalid."""
    newest, opset = onnx.defs.onnx_opset_version(), opset_of(model)
    if model.ir_version > onnx.IR_VERSION or opset > newest:
        what = f"its opset is {opset}, of IR version {model.ir_version}"
        why = f"onnx {onnx.__version__} knows opset {newest} and IR version {onnx.IR_VERSION} at most"
        raise refused(what, why, f"export with opset {newest}")


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operations; 0 where none is stated."""
    return max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)


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


def check_body(model: onnx.ModelProto) -> int:
    """Return the opset, after what no front can mend was refused.

    Raises:
        ConversionError: an old opset, a file that computes in integers, one in training mode, or outputs that are no
            classes.
    """
    opset = opset_of(model)
    if opset < LOWEST_OPSET:
        why = f"{LOWEST_OPSET} is the first whose Add and Mul broadcast"
        raise refused(f"its opset is {opset}", why, "export with opset 18")
    integer = [node for node in model.graph.node if node.op_type.startswith(INTEGER)]
    if integer:
        what = f"it computes in integers: {len(integer)} nodes such as {integer[0].op_type}"
        why = "their rounding cannot be told from an error; pairs of QuantizeLinear and DequantizeLinear are taken"
        raise refused(what, why, "give the float32 file that it was quantized from, or one with QuantFormat.QDQ")
    training = [node.name or node.op_type for node in model.graph.node if _trains(node, opset)]
    if training:
        known = of_sizes(model)  # weights that are standardised are no films
        training = [
            node.name or node.op_type
            for node in model.graph.node
            if _trains(node, opset) and node.output[0] not in known
        ]
    if training:
        what = f"it is in training mode: {len(training)} BatchNormalization nodes such as {training[0]}"
        fix = "export it after model.eval(), without training=TrainingMode.TRAINING or PRESERVE"
        raise refused(what, "each film would be normalised by those that come with it", fix)
    if foreign := [node for node in nodes_of(model) if node.domain not in STANDARD]:
        counts = Counter(f"{node.domain}::{node.op_type}" for node in foreign)
        what = f"it has operations that are not ONNX's own: {some([f'{n} {op}' for op, n in counts.most_common()], 6)}"
        by_optimiser = counts and all(node.domain.startswith(OPTIMISER) for node in foreign)
        fix = "give the file from before ONNX Runtime optimised it" if by_optimiser else "export it without them"
        raise refused(what, "no rule says what they compute", fix)
    for value in model.graph.output:
        _require_scores(model, value)
    return opset


def _require_scores(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> None:
    """Refuse an output that gives no number of each class for each film."""
    kind, what = value.type.tensor_type.elem_type, f"its output {value.name}"
    if kind not in SCORES:
        why = "it holds decisions, or rounded scores: how near to another decision a film was is lost in them"
        fix = "export the scores, as they are in front of ArgMax, a comparison or a rounding"
        raise refused(f"{what} is {TensorProto.DataType.Name(kind)}", why, fix)
    if value.type.tensor_type.HasField("shape") and not value.type.tensor_type.shape.dim:
        raise refused(f"{what} {NO_LIST}", "it is one number for all films: [], not [N, classes]", ALONE)
    sides = output_sides(model, value)
    single = len(sides) == 4 and sides[2:] == [1, 1] and isinstance(sides[1], int)
    if sides and len(sides) not in (1, 2) and not single:
        shown = ", ".join("?" if one is None else str(one) for one in sides)
        why = f"a classifier gives [N, classes], this has {len(sides)} axes: [{shown}]"
        raise refused(f"{what} {NO_LIST}", why, ALONE)


def require_bounded(model: onnx.ModelProto) -> None:
    """Refuse loops that are left once those over sizes were written out."""
    if loops := [node for node in nodes_of(model) if node.op_type in UNBOUNDED]:
        names = some([f"{node.name or 'a node'} ({node.op_type})" for node in loops], 4)
        why = "how often they run depends on the film, and no file of another format says that"
        raise refused(f"it has {len(loops)} loops: {names}", why, "export the network without them")


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
    return [side.dim_value if side.dim_value > 0 else side.dim_param or None for side in sides]


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


def refused(what: str, why: str, fix: str) -> ConversionError:
    """Return the error of a file that cannot be converted, whose names may be of any length and hold any character."""
    what, why, fix = (printable(one, most=LONGEST) for one in (what, why, fix))
    return ConversionError(f"this ONNX file cannot be converted: {what}", why=why, fix=fix)
