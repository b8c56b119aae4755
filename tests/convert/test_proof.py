"""`prove`: every operation is equivalent in every format, every wrong file is found without running it."""

import ast
import io
import json
import re
import tokenize
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from draw_graphs import Graph
from onnx import helper, numpy_helper
from typer.testing import CliRunner

import convert.proof
from benchmarks.prove_mutants import KINDS, mutants
from convert.formats.onnx_graph import load_onnx, read_graph
from convert.formats.tflite.metadata import find_buffer, put_buffer
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import PRECISIONS, write_tflite
from convert.proof.evaluate import evaluate
from convert.proof.normal import K, NormalForm
from convert.proof.prove import prove_files
from convert.proof.readers.onnx import OnnxFormReader
from convert.proof.readers.tflite import DECLARED, TFLiteFormReader
from convert.proof.step import DIFFERENT, EQUIVALENT, UNKNOWN, _settle_names, judge
from convert.quantization.int8 import Quantizer, Recipe
from convert.worker import run_step
from tbconv.cli import app
from tbconv.contract.certificate import Certificate, Proof, ProofVerdict
from tbconv.contract.errors import ArtefactError, ConversionError, TbconvError

OWN_STEPS = (
    1.01  # 1/6 of hard swish and bounds that are shifted and back are a step away; all else is within half of one
)
SAME_ANSWER = 4e-6  # of the largest answer: ONNX Runtime sums hundreds of products in float32


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs, and their names."""
    folder = tmp_path_factory.mktemp("proof")
    return folder, [*child("draw_ops.py", folder)["right"], "zoo/model"]


@pytest.fixture(scope="module")
def zoo(drawn, child):
    """A folder with a bit of each operation as model.onnx and in every format."""
    folder = drawn[0] / "zoo"
    made = {"h5": "model.h5", "keras": "model.keras", "saved_model": "saved_model"}
    paths = {key: str(folder / name) for key, name in made.items()}
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(folder / "model.onnx"), **paths})
    child("draw_int8.py", folder)
    for precision in PRECISIONS:
        (folder / f"{precision}.tflite").write_bytes(own(folder / "model.onnx", precision))
    return folder


def own(onnx_file, precision):
    return write_tflite(simplify(to_plain(read_graph(onnx_file))), precision)


def verdict_on(onnx_file, file, kind="tflite"):
    return judge({"onnx": str(onnx_file), "file": str(file), "kind": kind})


# --- equivalent ---


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_operation_is_equivalent_in_our_own_files(drawn, tmp_path, precision):
    folder, names = drawn
    for name in names:
        file = tmp_path / "own.tflite"
        file.write_bytes(own(folder / f"{name}.onnx", precision))
        found = verdict_on(folder / f"{name}.onnx", file)
        assert found["verdict"] == EQUIVALENT, (name, found["reason"])
        assert found["figures"]["float32_steps"] <= OWN_STEPS, name


def test_both_readers_say_what_onnx_runtime_answers(drawn, tmp_path):
    folder, names = drawn
    answers = dict(np.load(folder / "onnxruntime.npz"))
    for name in names[:-1]:
        film, right = np.load(folder / f"{name}.npy")[0].transpose(1, 2, 0), answers[name][:1]
        file = tmp_path / "own.tflite"
        file.write_bytes(own(folder / f"{name}.onnx", "float32"))
        forms = [OnnxFormReader(load_onnx(folder / f"{name}.onnx")).read(), TFLiteFormReader(file).read()]
        for form, wanted in zip(forms, (right, right.transpose(0, 2, 3, 1) if right.ndim == 4 else right), strict=True):
            [answer] = evaluate(form, film).values()
            assert answer.shape == wanted.shape, name
            assert np.abs(answer - wanted).max() <= SAME_ANSWER * np.abs(wanted).max(), name


FILES = ("saved_model", "model.h5", "model.keras", *(f"{one}.tflite" for one in PRECISIONS))
FILES += tuple(f"tensorflow_{one}.tflite" for one in (*PRECISIONS, "int8"))


def test_every_format_is_equivalent_and_tensorflows_own_tflite_is_too(zoo):
    found = prove_files(zoo / "model.onnx", {name: zoo / name for name in FILES})
    assert {name: (proof.verdict, proof.reason) for name, proof in found.items() if proof.verdict != EQUIVALENT} == {}
    assert all(proof.figures["numbers"] > 0 and proof.figures["float32_steps"] < K for proof in found.values())
    assert found["tensorflow_int8.tflite"].figures["integer_activations"]
    assert "measured, not proven" in found["tensorflow_int8.tflite"].reason
    assert 0.49 < found["dynamic.tflite"].figures.get("reduced_steps", 0.5) <= 0.5001


# a dilated convolution of which only some places are kept: TensorFlow writes SpaceToBatchND, for which there is no rule
NO_RULE = {("conv_dilated_with_stride", "saved_model")}


@pytest.mark.slow
def test_every_operation_is_equivalent_in_tensorflows_formats(drawn, tmp_path):
    folder, names = drawn
    for name in names[:-1]:
        place = tmp_path / name
        place.mkdir()
        files = {"keras": place / "model.keras", "h5": place / "model.h5", "saved_model": place / "saved_model"}
        request = {"onnx": str(folder / f"{name}.onnx")} | {key: str(path) for key, path in files.items()}
        run_step("convert.formats.onnx_to_keras:onnx_to_keras", request)
        found = prove_files(folder / f"{name}.onnx", {path.name: path for path in files.values()})
        said = {path: proof.verdict for path, proof in found.items()}
        wanted = {path: UNKNOWN if (name, path) in NO_RULE else EQUIVALENT for path in found}
        assert said == wanted, (name, {path: proof.reason for path, proof in found.items()})


# --- not equivalent ---

# strides, borders and dilations of a window that sees one place, or all of it, change nothing
NO_FAULT = {"stride", "padding", "dilation"}
PLACE = ("drawn.Conv.14", "drawn.AveragePool.12")
LACKING = 6  # kinds of which a file has no place, such as a slope


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "tensorflow_float32", "tensorflow_int8"])
def test_every_wrong_file_is_found_without_running_it(zoo, tmp_path, name):
    file, counts = tmp_path / "wrong.tflite", dict.fromkeys(KINDS, 0)
    for kind, node, data in mutants((zoo / f"{name}.tflite").read_bytes(), each=2):
        file.write_bytes(data)
        try:
            found = verdict_on(zoo / "model.onnx", file)
        except ArtefactError:  # sizes that contradict each other: nothing of it can be run
            counts[kind] += 1
            continue
        ends = kind == "other end of an activation" and name.endswith("int8")  # its integers end at 6 in any case
        if ends or (kind in NO_FAULT and any(one in node for one in PLACE)):
            assert found["verdict"] in (EQUIVALENT, DIFFERENT), (kind, node)
            continue
        assert found["verdict"] == DIFFERENT, (kind, node, found["reason"])
        assert found["figures"]["node"], (kind, node)
        counts[kind] += 1
    never = {kind for kind, count in counts.items() if not count}
    scales = {kind for kind in KINDS if kind.startswith("scale of")}
    assert (never & scales) - {"scale of an activation"} == (
        set() if name.endswith("int8") else scales - {"scale of an activation"}
    )
    assert len(never - scales) <= LACKING


def first_of(file, wanted):
    return next(data for kind, _, data in mutants(file.read_bytes()) if kind == wanted)


def test_the_node_the_numbers_and_an_input_are_named(zoo, tmp_path):
    wrong = first_of(zoo / "float32.tflite", "activation lost")
    (tmp_path / "wrong.tflite").write_bytes(wrong)
    [proof] = prove_files(zoo / "model.onnx", {"wrong.tflite": tmp_path / "wrong.tflite"}).values()
    example = proof.figures["example"]
    assert proof.verdict is ProofVerdict.DIFFERENT
    assert "drawn.MaxPool.6" in proof.figures["node"]
    assert abs(example["onnx"] - example["file"]) > 1e-3
    assert f"on film {example['film'] + 1} of" in proof.reason


def test_a_fault_that_no_film_shows_is_found_and_that_is_said(zoo, tmp_path):
    wrong = next(
        data for kind, _, data in mutants((zoo / "float32.tflite").read_bytes()) if kind == "weight off by a step"
    )
    (tmp_path / "wrong.tflite").write_bytes(wrong)
    [proof] = prove_files(zoo / "model.onnx", {"wrong.tflite": tmp_path / "wrong.tflite"}).values()
    assert proof.verdict is ProofVerdict.DIFFERENT
    assert re.search(r"weight\[.*\] is .* the ONNX graph's is .*: 1[56](\.\d+)? float32 steps", proof.reason)
    assert "no output differs visibly" in proof.reason


def edited_keras(source, place, change):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(place, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(name, data))


def layer_of(config, kind):
    return next(one["config"] for one in config["config"]["layers"] if one["class_name"] == kind)


KERAS_FAULTS = {
    "epsilon": ("BatchNormalization", lambda layer: layer.update(epsilon=1e-3)),
    "border": ("ZeroPadding2D", lambda layer: layer.update(padding=[[0, 2], [1, 1]])),
    "end": ("ReLU", lambda layer: layer.update(max_value=5.0)),
    "axis": ("Concatenate", lambda layer: layer.update(axis=2)),
    "scale": ("Rescaling", lambda layer: layer.update(scale=[2 * one for one in layer["scale"]])),
    "window": ("AveragePooling2D", lambda layer: layer.update(padding="same", strides=[1, 1])),
    "activation": ("Dense", lambda layer: layer.update(activation="relu")),
}


@pytest.mark.parametrize("fault", KERAS_FAULTS)
def test_a_layer_of_another_configuration_is_found(zoo, tmp_path, fault):
    kind, change = KERAS_FAULTS[fault]

    def edit(name, data):
        if name != "config.json":
            return data
        config = json.loads(data)
        change(layer_of(config, kind))
        return json.dumps(config)

    edited_keras(zoo / "model.keras", tmp_path / "wrong.keras", edit)
    found = verdict_on(zoo / "model.onnx", tmp_path / "wrong.keras", "keras")
    assert found["verdict"] == (UNKNOWN if fault in ("axis", "window") else DIFFERENT), found["reason"]


def test_a_weight_of_keras_that_is_off_is_found(zoo, tmp_path):
    def edit(name, data):
        if name != "model.weights.h5":
            return data
        file = io.BytesIO(data)
        with h5py.File(file, "r+") as weights:
            weights["layers/dense/vars/0"][3, 1] *= 1 + 2e-6
        return file.getvalue()

    edited_keras(zoo / "model.keras", tmp_path / "wrong.keras", edit)
    found = verdict_on(zoo / "model.onnx", tmp_path / "wrong.keras", "keras")
    assert (found["verdict"], ", 1] is" in found["reason"]) == (DIFFERENT, True)


def test_another_onnx_is_another_network(zoo, tmp_path):
    model = onnx.load(zoo / "model.onnx")
    one = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    numbers = numpy_helper.to_array(one).copy()
    numbers.flat[0] += 1e-4
    one.CopyFrom(numpy_helper.from_array(numbers, one.name))
    onnx.save(model, tmp_path / "model.onnx")
    found = verdict_on(tmp_path / "model.onnx", zoo / "float32.tflite")
    assert found["verdict"] == DIFFERENT, found["reason"]


# --- cannot say ---


def test_what_has_no_rule_is_named(drawn, zoo, tmp_path):
    folder, _ = drawn
    found = verdict_on(folder / "drawn_at_random.onnx", zoo / "float32.tflite")
    assert (found["verdict"], "RandomNormal" in found["figures"]["node"]) == (UNKNOWN, True)
    (tmp_path / "cut.keras").write_bytes((zoo / "model.keras").read_bytes()[:-100])
    with pytest.raises(ConversionError, match="cut off or damaged"):
        verdict_on(zoo / "model.onnx", tmp_path / "cut.keras", "keras")


def repacked(file, place, change):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    place.write_bytes(bytes(builder.Output()))
    return place


def test_a_file_without_outputs_or_of_another_input_is_not_equivalent_to_anything(drawn, zoo, tmp_path):
    def without(model):
        model.signatureDefs[0].outputs = []

    with pytest.raises(ArtefactError):
        verdict_on(zoo / "model.onnx", repacked(zoo / "float32.tflite", tmp_path / "none.tflite", without))
    onnx_form = OnnxFormReader(load_onnx(zoo / "model.onnx")).read()
    assert "outputs none" in _settle_names(onnx_form, NormalForm())
    Graph().add("Relu").save(tmp_path / "other.onnx", ("batch", 3, 12, 12))
    found = verdict_on(tmp_path / "other.onnx", zoo / "float32.tflite")
    assert (found["verdict"], "it takes [12, 12, 4]" in found["reason"]) == (UNKNOWN, True)


def test_an_only_output_may_have_another_name(zoo, tmp_path):
    def renamed(model):
        model.signatureDefs[0].outputs[0].name = b"other"

    found = verdict_on(zoo / "model.onnx", repacked(zoo / "float32.tflite", tmp_path / "named.tflite", renamed))
    assert found["verdict"] == EQUIVALENT


def test_a_graph_that_is_written_in_another_way_is_not_called_wrong(zoo, tmp_path):
    """Twice the weights of a layer, and half of those behind it: the same function, but no rule of float files."""

    def change(model):
        tensors = model.subgraphs[0].tensors
        for operator in model.subgraphs[0].operators:
            name = tensors[operator.outputs[0]].name.decode().split(";")[-1].removesuffix(".pad")
            factor = {"drawn.Conv.3": 2, "drawn.Conv.7": 0.5, "drawn.Conv.9": 0.5}.get(name)
            for index in operator.inputs[1 : 1 + (factor is not None) + (factor == 2)]:
                buffer = model.buffers[tensors[index].buffer]
                stored = np.frombuffer(bytes(buffer.data), np.float32) * np.float32(factor)
                buffer.data = np.frombuffer(stored.tobytes(), np.uint8)

    repacked(zoo / "float32.tflite", tmp_path / "other.tflite", change)
    found = verdict_on(zoo / "model.onnx", tmp_path / "other.tflite")
    assert found["verdict"] == UNKNOWN
    assert "written in another way" in found["reason"]


def test_a_file_says_what_was_done_to_its_integers(zoo, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    def tell(model):
        buffer, entry = schema.BufferT(), schema.MetadataT()
        told = {"rounding": "searched", "bias_steps": {"one": [[3, -2]]}}
        buffer.data = np.frombuffer(json.dumps(told).encode(), np.uint8)
        entry.name, entry.buffer = DECLARED, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]

    assert not TFLiteFormReader(zoo / "tensorflow_int8.tflite").declared().searched
    declared = TFLiteFormReader(repacked(zoo / "tensorflow_int8.tflite", tmp_path / "told.tflite", tell)).declared()
    assert (declared.searched, declared.biases) == (None, {"one": {3: -2}})


# --- command and certificate ---


def run(*words):
    return CliRunner().invoke(app, ["prove", *map(str, words)])


def test_the_command_ends_with_what_it_found(zoo, tmp_path, drawn):
    done = run("--onnx", zoo / "model.onnx", "--file", zoo / "float16.tflite", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["verdict"]) == (0, "EQUIVALENT")
    assert [Proof.from_json(one).verdict for one in told["proofs"].values()] == [ProofVerdict.EQUIVALENT]
    wrong = first_of(zoo / "float32.tflite", "bias shifted")
    (tmp_path / "wrong.tflite").write_bytes(wrong)
    done = run("--onnx", zoo / "model.onnx", "--file", tmp_path / "wrong.tflite")
    assert (done.exit_code, "NOT EQUIVALENT" in done.stdout, "not a medical device" in done.stdout) == (1, True, True)
    done = run("--onnx", drawn[0] / "drawn_at_random.onnx", "--file", zoo / "float32.tflite")
    assert (done.exit_code, "CANNOT SAY" in done.stdout) == (3, True)


@pytest.mark.parametrize("words", [(), ("bundle", "--onnx", "a.onnx"), ("--onnx", "a.onnx"), ("--file", "a.tflite")])
def test_wrong_usage_of_the_command_ends_with_2(words):
    assert run(*words).exit_code == 2


def test_files_of_others_are_refused_as_elsewhere(zoo, tmp_path):
    (tmp_path / "no.tflite").write_bytes(b"TFL3" * 100)
    (tmp_path / "no.txt").write_bytes(b"")
    for name in ("no.tflite", "no.txt", "nowhere.tflite"):
        with pytest.raises(TbconvError):
            prove_files(zoo / "model.onnx", {name: tmp_path / name})


def test_a_certificate_says_both_and_an_old_one_has_no_proofs():
    told = {"artefacts": {}, "inputs": {}, "tolerances": {}, "environment": {}, "disclaimer": ""}
    assert Certificate.from_json(told).proofs == {}
    proof = {"verdict": "CANNOT SAY", "reason": "no rule", "figures": {"node": "one"}}
    assert Certificate.from_json(told | {"proofs": {"a.tflite": proof}}).proofs == {
        "a.tflite": Proof(ProofVerdict.UNKNOWN, "no rule", {"node": "one"})
    }
    for wrong in ({"verdict": "PERHAPS"}, {"reason": 3}, {"figures": None}):
        with pytest.raises((TypeError, ValueError)):
            Certificate.from_json(told | {"proofs": {"a.tflite": proof | wrong}})


# --- size ---

CORE, READER = 600, 300  # lines of code: what rewrites and compares, and each reader
FOLDER = Path(convert.proof.__file__).parent


def lines_of_code(path):
    """Count lines that are neither blank, comment nor docstring."""
    text = path.read_text()
    documented = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [one for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type not in blank]
    return len({line for one in tokens for line in range(one.start[0], one.end[0] + 1)} - documented)


def test_the_trusted_core_is_small_and_uses_no_converter():
    assert sum(lines_of_code(FOLDER / name) for name in ("normal.py", "compare.py")) <= CORE
    for reader in (FOLDER / "readers").glob("*.py"):
        assert lines_of_code(reader) <= READER, reader.name
        assert "convert.formats" not in reader.read_text(), reader.name
    for name in ("normal.py", "compare.py"):
        assert "import convert.formats" not in (FOLDER / name).read_text()
        assert "from convert.formats" not in (FOLDER / name).read_text()


# --- int8 by our own recipes ---


def drawn_network(path, *, normal=False):
    """Write layers whose channels reach very differently, with a sum behind them.

    Args:
        path: of the file.
        normal: whether the mean of an image is normalised before the last layers, as ConvNeXt's is.
    """
    draw, reach = np.random.default_rng(5), np.exp2(np.random.default_rng(6).integers(-4, 5, 8))
    stored = {
        "w1": draw.normal(size=(8, 1, 3, 3)) * reach[:, None, None, None] / 60,
        "b1": draw.normal(size=8) * reach,
        "w2": draw.normal(size=(8, 8, 1, 1)) / reach[:, None, None],
        "b2": draw.normal(size=8),
        "w3": draw.normal(size=(8, 8, 1, 1)),
        "w4": draw.normal(size=(160, 8)),  # large enough not to be stored in float32
        "b4": draw.normal(size=160),
        "w5": draw.normal(size=(2, 160)),
        "b5": draw.normal(size=2),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["one"], "one"),
        helper.make_node("Relu", ["one"], ["relu"], "relu"),
        helper.make_node("MaxPool", ["relu"], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pool", "w2", "b2"], ["two"], "two"),
        helper.make_node("Relu", ["two"], ["relu2"], "relu2"),
        helper.make_node("Conv", ["relu2", "w3"], ["three"], "three"),
        helper.make_node("Add", ["relu2", "three"], ["sum"], "sum"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["hidden"], "hidden", transB=1),
        helper.make_node("Relu", ["hidden"], ["relu3"], "relu3"),
        helper.make_node("Gemm", ["relu3", "w5", "b5"], ["logits"], "logits", transB=1),
    ]
    if normal:
        stored |= {"gamma": draw.normal(size=8) + 2, "beta": draw.normal(size=8) * 9}
        at = next(index for index, node in enumerate(nodes) if node.name == "flat")
        nodes[at].input[0] = "back"
        nodes[at:at] = [
            helper.make_node("Transpose", ["mean"], ["last"], "last", perm=[0, 2, 3, 1]),
            helper.make_node("LayerNormalization", ["last", "gamma", "beta"], ["normal"], "normal"),
            helper.make_node("Transpose", ["normal"], ["back"], "back", perm=[0, 3, 1, 2]),
        ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 1, 12, 12])
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 2])
    arrays = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "drawn", [image], [logits], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(rounding="nearest", shifted=False),
        Recipe(equalized=1.0, float_first=1),
        Recipe(equalized=1.0, float_first=2),
        Recipe(equalized=0.5, float_sums=True),
        Recipe(rounding="searched"),
    ],
    ids=str,
)
def test_a_file_of_every_recipe_is_equivalent(tmp_path, recipe):
    drawn_network(tmp_path / "model.onnx")
    films = np.random.default_rng(9).integers(0, 256, (24, 12, 12, 1)).astype(np.float32)
    made = Quantizer(simplify(to_plain(read_graph(tmp_path / "model.onnx"))), films).make(recipe)
    (tmp_path / "int8.tflite").write_bytes(made.data)
    found = verdict_on(tmp_path / "model.onnx", tmp_path / "int8.tflite")
    assert found["verdict"] == EQUIVALENT, found["reason"]
    assert found["figures"]["integer_activations"]
    assert bool(made.moved) is (found["figures"].get("equalized", 0) > 0)


@pytest.mark.parametrize("told", [True, False])
def test_a_shifted_bias_before_folded_weights_is_what_it_is_declared_to_be(tmp_path, told):
    drawn_network(tmp_path / "model.onnx", normal=True)
    films = np.random.default_rng(9).integers(0, 256, (24, 12, 12, 1)).astype(np.float32)
    plain = simplify(to_plain(read_graph(tmp_path / "model.onnx")))
    made = Quantizer(plain, films).make(Recipe(keep_float=("none",), rounding="nearest", shifted=False))
    [name] = [one for one in made.scheme.steps if one.startswith("normal")]
    shifted = replace(made.scheme, shifts={name: np.full(8, 40, np.int32)})
    data = write_tflite(made.plain, "int8", shifted)
    declared = (shifted if told else made.scheme).declaration(made.plain, None)
    (tmp_path / "int8.tflite").write_bytes(put_buffer(data, DECLARED.decode(), declared))
    found = verdict_on(tmp_path / "model.onnx", tmp_path / "int8.tflite")
    assert (found["verdict"] == EQUIVALENT) is told, found["reason"]


@pytest.mark.parametrize("by", [1, -1])
def test_one_step_of_a_weight_that_a_search_rounded_is_found(tmp_path, by):
    drawn_network(tmp_path / "model.onnx")
    films = np.random.default_rng(9).integers(0, 256, (24, 12, 12, 1)).astype(np.float32)
    plain = simplify(to_plain(read_graph(tmp_path / "model.onnx")))
    (tmp_path / "int8.tflite").write_bytes(Quantizer(plain, films).make(Recipe(rounding="searched")).data)

    def spoil(model):
        names = json.loads(find_buffer((tmp_path / "int8.tflite").read_bytes(), DECLARED.decode()))["weights"]
        tensor = next(one for one in model.subgraphs[0].tensors if one.name.decode() in names)
        stored = np.array(model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        place = int(np.abs(np.abs(stored.astype(int)) - 60).argmin())  # no channel's largest, which tells its scale
        stored[place] += by
        model.buffers[tensor.buffer].data = stored.view(np.uint8)

    repacked(tmp_path / "int8.tflite", tmp_path / "spoiled.tflite", spoil)
    found = verdict_on(tmp_path / "model.onnx", tmp_path / "spoiled.tflite")
    assert found["verdict"] == DIFFERENT, found["reason"]


def test_one_step_of_a_weight_of_the_float_head_is_found(tmp_path):
    drawn_network(tmp_path / "model.onnx")
    films = np.random.default_rng(9).integers(0, 256, (24, 12, 12, 1)).astype(np.float32)
    plain = simplify(to_plain(read_graph(tmp_path / "model.onnx")))
    (tmp_path / "int8.tflite").write_bytes(Quantizer(plain, films).make(Recipe(rounding="nearest")).data)

    def spoil(model):
        [tensor] = [one for one in model.subgraphs[0].tensors if one.name == b"hidden.weight/int8"]
        stored = np.array(model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        assert stored.size == 1280
        stored[17] += 1 if stored[17] < 127 else -1
        model.buffers[tensor.buffer].data = stored.view(np.uint8)

    repacked(tmp_path / "int8.tflite", tmp_path / "spoiled.tflite", spoil)
    verdicts = [verdict_on(tmp_path / "model.onnx", tmp_path / f"{one}.tflite") for one in ("int8", "spoiled")]
    assert [one["verdict"] for one in verdicts] == [EQUIVALENT, DIFFERENT]
    assert "hidden" in verdicts[1]["reason"]
