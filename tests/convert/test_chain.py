"""The small network through the whole conversion: what comes out, and who can use it."""

import json
import re
import shutil

import numpy as np
import pytest

from tbconv.contract.bundle import open_bundle
from tbconv.contract.certificate import Verdict
from tbconv.contract.golden import read_golden
from tf_serve.runtime.tflite import TFLiteModel
from torch_train.run_folder import HELDOUT_FILMS, read_films

FLOAT32 = {"model.onnx", "saved_model", "model.h5", "model.keras", "model_float32.tflite", "baseline.tflite"}
REDUCED = {"model_float16.tflite", "model_dynamic.tflite", "model_int8.tflite"}


def verdicts(certificate):
    return {path: found.verdict for path, found in certificate.artefacts.items()}


def test_every_float32_artefact_is_certified_and_reduced_ones_are_measured(converted):
    found = verdicts(converted[0].certificate)
    assert {path for path, verdict in found.items() if verdict is Verdict.CERTIFIED} == FLOAT32
    assert found.keys() - FLOAT32 == REDUCED
    assert all(found[path] in (Verdict.CANNOT_SAY, Verdict.FAILED) for path in REDUCED)  # twenty films are too few


def test_the_bundle_opens_and_its_certificate_is_about_its_files(bundle):
    opened = open_bundle(bundle)
    assert opened.manifest.kind == "trained"
    for artefact in opened.manifest.artefacts:
        assert opened.verdict(artefact.path).sha256 == opened.digest(artefact.path)


def test_the_certificate_holds_every_tolerance_that_a_verdict_rests_on(bundle):
    for network in ("trained", "baseline"):
        tolerances = open_bundle(bundle).certificate().tolerances[network]
        for numbers in (tolerances, tolerances["golden"]):
            assert numbers["logits"] == 10 * max(numbers["noise"], numbers["rounding_step"])
            assert "float64" in numbers["logits_origin"]


def test_every_tflite_file_is_timed_and_one_is_proposed_while_each_of_the_others_is_told_why(converted):
    certificate = converted[0].certificate
    files = {path for path in certificate.artefacts if path.startswith("model_") and path.endswith(".tflite")}
    assert len(files) == 4
    for path in files:
        assert certificate.artefacts[path].figures["latency_ms"]["median"] > 0
    deploy = certificate.deploy
    assert {deploy["artefact"], *deploy["others"]} == files
    assert all([deploy["reason"], *deploy["others"].values()])


def test_reduced_files_have_a_band_that_rests_on_the_films_and_float32_files_have_none(converted):
    for path, found in converted[0].certificate.artefacts.items():
        band = found.figures["abstention_band"]
        assert (band is not None) == (path in REDUCED)
        if band is not None:
            assert 0 <= band["half_width"] <= 3 * found.figures["max_abs_margin"]  # few films bound no tail
            assert band["rests_on"] <= band["samples"]
            assert band["inside"] <= band["samples"] == found.figures["samples"]


def test_two_routes_that_share_no_code_agree(converted):
    rows = {row["name"]: row for row in converted[0].report["rows"]}
    tolerances = converted[0].report["tolerances"]["trained"]
    allowed = {"films": tolerances["logits"], "golden": tolerances["golden"]["logits"]}
    for name in ("onnx2tf TFLite", "onnx2tf SavedModel"):
        for part in ("films", "golden"):
            assert rows[name][part]["problem"] is None
            assert rows[name][part]["max_abs_logits"] <= allowed[part]
        assert rows[name]["films"]["flips"] == 0


def test_the_reference_and_the_float64_oracle_are_in_the_table_too(converted):
    names = {row["name"] for row in converted[0].report["rows"]}
    for network in ("trained", "baseline"):
        assert {f"PyTorch float32 ({network})", f"PyTorch float64 ({network})"} <= names


def test_the_evidence_adds_up_in_every_float32_format_that_has_a_map(converted):
    for row in converted[0].report["rows"]:
        if row["precision"] == "float32" and row["name"] != "model.h5":
            assert row["films"]["identity"] <= 1e-4, row["name"]
            assert row["golden"]["identity"] <= 1e-4, row["name"]


def test_golden_answers_of_every_format_are_kept(bundle):
    golden = read_golden(bundle / "golden.npz")
    assert golden.answers.keys() >= FLOAT32 | REDUCED | {"PyTorch float32 (trained)", "PyTorch float64 (trained)"}
    assert all(len(answer.logits) == len(golden.names) for answer in golden.answers.values())
    assert golden.answers["model.h5"].evidence is None
    assert golden.answers["PyTorch float64 (trained)"].logits.dtype == np.float64


def test_no_film_of_the_run_is_in_the_bundle(bundle, run):
    films = read_films(run / HELDOUT_FILMS).model_inputs
    golden = read_golden(bundle / "golden.npz").model_inputs
    assert not [index for index, film in enumerate(films) if (golden == film).all((1, 2)).any()]
    assert not [path.name for path in bundle.rglob("*") if "heldout" in path.name or "calibration" in path.name]


def test_json_and_card_name_no_place_of_this_machine(bundle, run):
    texts = [path for path in bundle.rglob("*") if path.suffix in (".json", ".md", ".jsonl")]
    assert len(texts) >= 4
    for path in texts:
        text = path.read_text()
        assert not [place for place in ("/work", "/tmp", "/root", "/home", str(run)) if place in text], path.name


def test_the_model_card_says_synthetic_and_what_it_is_not(bundle):
    card = (bundle / "model_card.md").read_text()
    assert "SYNTHETIC phantoms" in card
    assert "not a medical device" in card
    assert all(f"`{path}`" in card for path in FLOAT32 | REDUCED)


def test_the_manifest_says_who_made_and_who_reads_each_file(bundle):
    manifest = open_bundle(bundle).manifest
    assert all(artefact.converter and artefact.reader for artefact in manifest.artefacts)
    assert "not tf_keras" in manifest.artefact("model.h5").reader
    assert "onnx_to_tflite" in manifest.artefact("model_float32.tflite").converter
    assert manifest.artefact("model_int8.tflite").converter.startswith("tbconv 0.1.0 int8: ")
    assert [spec.name for spec in manifest.artefact("model.h5").outputs] == ["logits", "probability"]


def test_a_line_is_said_for_every_step(converted):
    steps = ("onnx", "keras", "tflite", "int8", "TensorFlow TFLite", "onnx2tf", "baseline")
    assert not [step for step in steps if not any(line.startswith(f"  {step}: ") for line in converted[1])]


@pytest.fixture(scope="module")
def h5(bundle, child, tmp_path_factory):
    """What a stranger finds in the H5, copied to another folder, and its answers to the golden inputs."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(bundle / "model.h5", folder / "mine.h5")
    shutil.copy(bundle / "golden.npz", folder / "inputs.npz")
    facts = child("check_h5.py", "mine.h5", "inputs.npz", "answers.npz", cwd=folder)
    return facts, dict(np.load(folder / "answers.npz"))


def test_the_h5_loads_elsewhere_and_answers_as_recorded(bundle, converted, h5):
    golden = read_golden(bundle / "golden.npz")
    tolerance = converted[0].report["tolerances"]["trained"]["golden"]["logits"]
    assert np.abs(h5[1]["logits"] - golden.answers["model.h5"].logits).max() <= tolerance
    assert np.abs(h5[1]["logits"] - golden.answers["PyTorch float32 (trained)"].logits).max() <= tolerance
    assert np.abs(h5[1]["probability"] - golden.answers["model.h5"].probability).max() <= 1e-5


def test_the_h5_can_be_trained_one_step(h5):
    facts, _ = h5
    assert np.isfinite(facts["loss"])
    assert facts["loss"] > 0
    assert facts["finite"]
    # the probability's own dense layer is not reached by a loss on the logits
    assert facts["weights"] - 2 <= facts["moved"] <= facts["weights"]


def test_the_h5_has_real_layers_and_pytorchs_epsilon(h5):
    kinds = h5[0]["kinds"]
    assert (kinds["Conv2D"], kinds["BatchNormalization"], kinds["Dense"]) == (12, 14, 4)
    assert not [kind for kind in kinds if "Lambda" in kind or "TFOp" in kind or "SlicingOp" in kind]
    assert h5[0]["epsilons"] == pytest.approx([1e-5])
    assert h5[0]["outputs"] == ["logits", "probability"]


@pytest.fixture(scope="module")
def onnx_facts(bundle, child):
    """What model.onnx holds."""
    return child("check_onnx.py", bundle / "model.onnx")


def test_batch_norms_are_nodes_of_the_onnx(onnx_facts):
    assert onnx_facts["operators"]["BatchNormalization"] >= 14
    assert onnx_facts["operators"]["Conv"] == 12
    assert not {"Unsqueeze", "Gather", "Slice"} & onnx_facts["operators"].keys()


def test_the_onnx_names_tensors_and_modules_but_no_place_of_this_machine(bundle, onnx_facts):
    assert (onnx_facts["metadata"], onnx_facts["docs"]) == (["tbconv"], [])
    assert not [
        name for name in onnx_facts["tensors"] if re.match(r"(val|getitem|relu|linear|view|mul|add)(_|$)", name)
    ]
    assert {"body.conv1", "body.bn1", "body.conv1.bias", "head.bn1", "graph.Mul"} <= set(onnx_facts["tensors"])
    assert onnx_facts["inputs"]["image"][1:] == [1, 224, 224]
    assert isinstance(onnx_facts["inputs"]["image"][0], str)
    assert list(onnx_facts["outputs"]) == ["logits", "probability", "evidence"]
    assert "body.layer4.0.conv1" in onnx_facts["names"]
    assert len(set(onnx_facts["names"])) == len(onnx_facts["names"])
    data = (bundle / "model.onnx").read_bytes()
    assert not [place for place in (b"/work", b"/tmp", b"/root", b"site-packages", b".py") if place in data]


def test_no_constant_poisons_a_quantizer(onnx_facts):
    assert onnx_facts["lowest"] >= -1e6


def test_onnx2tf_did_not_change_the_onnx(bundle, memory):
    exported = [
        kept / "out"
        for module, request, kept in memory.kept
        if module == "convert.formats.torch_to_onnx.of_run:torch_to_onnx" and request["network"] == "trained"
    ]
    assert (bundle / "model.onnx").read_bytes().startswith(exported[0].read_bytes())  # what it states follows


def test_int8_takes_grey_levels_as_they_are(bundle):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(bundle / "model_int8.tflite"))
    [details] = interpreter.get_input_details()
    assert details["dtype"] is np.uint8
    assert details["quantization"] == (1.0, 0)
    assert {str(np.dtype(output["dtype"])) for output in interpreter.get_output_details()} == {"float32"}


def test_tensors_of_the_tflite_files_are_those_of_the_manifest(bundle):
    manifest = open_bundle(bundle).manifest
    for artefact in manifest.artefacts:
        if artefact.format == "tflite":
            model = TFLiteModel(bundle / artefact.path)
            assert [(spec.name, spec.dtype) for spec in model.inputs] == [
                (spec.name, spec.dtype) for spec in artefact.inputs
            ]
            assert {spec.name for spec in model.outputs} == {spec.name for spec in artefact.outputs}


def test_a_film_alone_is_answered_as_among_others(bundle):
    golden = read_golden(bundle / "golden.npz")
    model = TFLiteModel(bundle / "model_float32.tflite")
    alone = model.predict(golden.model_inputs[5:6, :, :, None].astype(np.float32))
    assert np.array_equal(alone.logits[0], golden.answers["model_float32.tflite"].logits[5])


def test_route_onnx2tf_ships_its_two_files_and_passes(converted_by_onnx2tf, bundle):
    done, lines = converted_by_onnx2tf
    opened = open_bundle(done.bundle)
    for path in ("saved_model", "model_float32.tflite"):
        assert opened.manifest.artefact(path).converter.startswith("onnx2tf")
        assert opened.verdict(path).verdict is Verdict.CERTIFIED
        assert opened.digest(path) != open_bundle(bundle).digest(path)
    assert "one film a call" in opened.manifest.artefact("saved_model").reader
    assert opened.digest("model.onnx") == open_bundle(bundle).digest("model.onnx")
    assert any("route onnx2tf" in line for line in lines)
    names = {row["name"] for row in done.report["rows"]}
    assert {"tbconv TFLite", "tbconv SavedModel", "TensorFlow TFLite"} <= names


def test_a_run_without_a_trained_checkpoint_gives_a_baseline_bundle_that_says_so(converted_baseline):
    done, lines = converted_baseline
    manifest = open_bundle(done.bundle).manifest
    assert manifest.kind == "baseline"
    assert [artefact.path for artefact in manifest.artefacts] == ["baseline.tflite"]
    assert verdicts(done.certificate) == {"baseline.tflite": Verdict.CERTIFIED}
    # one product after the other in a sum of 784 stood 10 dB further from float64 than PyTorch; the map's cells do not
    assert done.report["rows"][0]["float64_distance"]["db"] < 3
    assert any("no trained checkpoint" in line for line in lines)
    assert "The baseline alone" in (done.bundle / "model_card.md").read_text()
    assert not list(done.bundle.glob("model_*.tflite"))
    assert json.loads((done.bundle / "manifest.json").read_text())["provenance"]["arch"] is None
