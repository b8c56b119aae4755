"""`verify --trace` on the small network: clean files are clean, and a fault is named at its node."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from inject_fault import ADD, EPSILON, FILTER, KERNEL, STRIDE, WEIGHT
from typer.testing import CliRunner

from convert.layerwise.trace import TraceReport, make_reference, trace_bundle, trace_lines
from convert.layerwise.walk import WalkConfig
from convert.proof.prove import prove
from convert.worker import run_step
from tbconv.contract.bundle import read_bundle, seal
from tbconv.contract.errors import BundleError, ConfigError, Silence
from tbconv.contract.golden import GOLDEN, read_golden

FILMS = 2
FILES = (
    "saved_model",
    "model.h5",
    "model.keras",
    *(f"model_{k}.tflite" for k in ("float32", "float16", "dynamic", "int8")),
)


@pytest.fixture(scope="session")
def reference(bundle, tmp_path_factory):
    """What every node of the small network should give."""
    model_inputs = read_golden(bundle / GOLDEN).model_inputs[-FILMS:]
    return make_reference(bundle, model_inputs, tmp_path_factory.mktemp("trace") / "reference")


@pytest.fixture(scope="session")
def look(reference):
    """Return a function that traces some files of a bundle, and gives the report."""

    def call(bundle, *artefacts, out=None):
        config = WalkConfig(bundle=bundle, out=out, artefacts=artefacts or None)
        return trace_bundle(config, Silence(), reference=reference)

    return call


@pytest.fixture(scope="session")
def clean(bundle, look, tmp_path_factory):
    """The report on the whole bundle, and its folder."""
    out = tmp_path_factory.mktemp("traced") / "out"
    return look(bundle, out=out), out


@pytest.fixture
def faulty(own_bundle, child):
    """Return a function that puts a fault into a file of an own bundle."""

    def call(fault, name="model.onnx"):
        child("inject_fault.py", own_bundle, fault, name)
        return own_bundle

    return call


def test_clean_files_have_no_bad_node_and_the_reference_is_proven(clean):
    report, out = clean
    assert (report.found, report.passed) == ((), True)
    assert set(report.clean) == {"model.onnx", *FILES}
    assert min(report.proof_db.values()) > 80
    assert set(report.proof_db) == {"logits", "probability", "evidence"}
    written = json.loads((out / "trace.json").read_text())
    assert (written["passed"], written["found"], written["films"]) == (True, [], FILMS)


def test_nearly_every_node_is_seen_where_layers_are_nodes(clean):
    files = {one.path: one for one in clean[0].files}
    assert files["model.onnx"].seen == files["model.onnx"].nodes
    assert set(files["model.onnx"].levels.values()) == {math.inf}  # the same weights through the same kernels
    for path in ("model.keras", "saved_model"):
        assert files[path].seen >= 0.9 * files[path].nodes, path
    for path in FILES[3:]:
        assert files[path].seen >= 25, path  # of 63: the others are fused


@pytest.mark.parametrize(
    ("fault", "node", "words"),
    [
        ("one_weight", WEIGHT, "1 of 128 channels hold the error (channel 3)"),
        ("dropped_add", ADD, f"{ADD} in the file: no counterpart (Add)"),
        ("keras_epsilon", EPSILON, "attribute epsilon 0.001"),
        ("moved_padding", STRIDE, "attribute pads [0, 0, 1, 1] for [1, 1, 1, 1]"),
    ],
)
def test_a_fault_in_the_onnx_file_is_named_at_its_node(faulty, look, fault, node, words):
    [bad] = look(faulty(fault), "model.onnx").found
    assert (bad.path, bad.node) == ("model.onnx", node)
    assert node in bad.one_of
    assert words in bad.reason
    assert bad.before_db == math.inf  # what it reads is right
    assert bad.error_db < 80


def test_a_transposed_kernel_of_a_keras_file_is_named_and_the_file_beside_it_is_clean(faulty, look):
    report = look(faulty("transposed_kernel", "model.keras"), "model.keras", "model.h5")
    [bad] = report.found
    assert (bad.path, bad.node, bad.one_of, report.clean) == ("model.keras", KERNEL, (KERNEL,), ("model.h5",))


def test_a_layer_that_was_built_wrong_is_named_in_the_saved_model(faulty, look, bundle):
    own = faulty("keras_epsilon")
    run_step(
        "convert.formats.onnx_to_keras:onnx_to_keras",
        {"onnx": str(own / "model.onnx"), "saved_model": str(own / "saved_model")},
    )
    seal(own, read_bundle(own).manifest)
    [bad] = look(own, "saved_model").found
    assert (bad.node, bad.op) == (EPSILON, "BatchNormalization")
    assert "factor" in bad.reason


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_one_wrong_filter_of_a_tflite_file_is_named_with_what_is_fused(faulty, look, kind):
    [bad] = look(faulty("tflite_filter", f"model_{kind}.tflite"), f"model_{kind}.tflite").found
    assert bad.node == FILTER
    assert set(bad.one_of) >= {"body.layer3.0.conv1", "body.layer3.0.bn1", FILTER}
    assert "channel 7" in bad.reason


def test_a_file_that_cannot_be_run_is_a_finding_and_not_the_end(own_bundle, look):
    path = own_bundle / "model_float16.tflite"
    path.write_bytes(path.read_bytes()[:5000])
    seal(own_bundle, read_bundle(own_bundle).manifest)
    report = look(own_bundle, "model_float16.tflite", "model_float32.tflite")
    [bad] = report.found
    assert (bad.path, bad.node, report.clean) == ("model_float16.tflite", "", ("model_float32.tflite",))
    assert "cannot be run" in bad.reason
    assert any("BAD: it cannot be run" in line for line in trace_lines(report))


def test_the_terminal_gets_one_line_a_clean_file_and_the_place_of_a_bad_one(clean):
    report, _ = clean
    lines = trace_lines(report)
    assert sum("  clean: " in line for line in lines) == len(report.files)
    assert any(line.startswith("model.onnx") and "none differs" in line for line in lines)


def test_the_command_exits_by_what_was_found(bundle, tmp_path, monkeypatch, clean):
    from tbconv.cli import app

    for report, code in ((clean[0], 0), (replace(clean[0], files=()), 1)):
        monkeypatch.setattr("convert.layerwise.trace.trace_bundle", lambda config, reporter, report=report: report)
        done = CliRunner().invoke(app, ["verify", str(bundle), "--trace", "--json", "--out", str(tmp_path)])
        assert done.exit_code == code, done.output
        assert json.loads(done.stdout)["passed"] is (code == 0)


@pytest.mark.parametrize("option", ["--matrix", "--layers", "--positive=a"])
def test_options_that_trace_would_drop_are_refused(bundle, option):
    from tbconv.cli import app

    done = CliRunner().invoke(app, ["verify", str(bundle), "--trace", option])
    assert done.exit_code == 1 or isinstance(done.exception, ConfigError)
    assert "with --trace" in f"{done.output}{done.exception}"


def test_a_bundle_without_a_trained_network_cannot_be_traced(converted_baseline):
    config = WalkConfig(bundle=converted_baseline[0].bundle, out=None)
    with pytest.raises(BundleError, match="no trained network to compare"):
        trace_bundle(config, Silence())


def test_a_bundle_without_a_trained_network_is_measured_and_not_proven(converted_baseline):
    with pytest.raises(BundleError, match=r"has no model\.onnx") as refused:
        prove(converted_baseline[0].bundle)
    assert "holds the baseline alone, which is measured" in refused.value.why
    assert refused.value.fix == "tbconv verify BUNDLE"


def test_a_file_that_the_bundle_has_not_is_refused_by_name(bundle, look):
    with pytest.raises(BundleError, match=r"no model\.pt to compare"):
        look(bundle, "model.pt")


def test_no_films_at_all_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--most 0"):
        WalkConfig(bundle=tmp_path, out=None, most=0)


def test_a_file_of_which_nothing_could_be_compared_is_not_clean(monkeypatch, bundle, look):
    answer = {"first": None, "levels": {}, "seen": 0, "drop": None, "note": "(other names)"}
    monkeypatch.setattr("convert.layerwise.walk.run_step", lambda step, request, threads: answer)
    [found] = look(bundle, "model.onnx").files
    assert found.first is not None
    assert (found.first.node, found.first.reason) == ("", "no tensor of it could be matched with a node (other names)")


def test_a_report_on_nothing_does_not_pass():
    assert not TraceReport((), 0, "", {}, {}, 0.0).passed
    assert np.isfinite(TraceReport((), 0, "", {}, {}, 0.0).seconds)


def test_rounding_moves_every_node_and_most_deep_in_the_network(reference):
    noise, graph = reference.noise_db, reference.graph
    assert {one.key for one in graph.compute if one.skipped is None} - set(noise) <= {"graph.Mul", "graph.Mul_1"} | {
        one.key for one in graph.operations if one.op in ("Greater", "Cast")
    }
    assert 120 < noise["body.conv1"] < 150  # 2**-24 is 144 dB
    assert 90 < noise["head.dense2"] < noise["body.conv1"]


def test_a_network_that_amplifies_rounding_is_reported_with_what_may_pass(clean):
    noisy = replace(clean[0], noise_db={"a": 120.0, "b": 96.0})
    text = "\n".join(trace_lines(noisy))
    assert "other last bits alone bring b to 96 dB" in text
    assert "float32 14, float16 10, dynamic 10, int8 10; a dead channel may pass there in dynamic and int8" in text
    assert "last bits" not in "\n".join(trace_lines(replace(noisy, noise_db={"a": 120.0})))
