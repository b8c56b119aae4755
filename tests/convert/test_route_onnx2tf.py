"""`--route onnx2tf` of an ONNX file that no rule of ours knows: measured by the same gate, and said to be so."""

import numpy as np
import pytest

from convert import pipeline
from convert.onnx_import.reference import OnnxConfig
from convert.pipeline import convert
from tbconv.contract.errors import ConversionError, NoRuleError, ParityError, Silence

SHIPPED = {"model.onnx", "saved_model", "model_float32.tflite"}
UNMADE = {"model.h5", "model.keras", "model_float16.tflite", "model_dynamic.tflite", "model_int8.tflite"}


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """Networks without rules, and a folder of films."""
    from PIL import Image

    folder, films = tmp_path_factory.mktemp("drawn"), tmp_path_factory.mktemp("films")
    child("draw_ruleless.py", folder)
    for index in range(24):
        pixels = np.random.default_rng(index).integers(0, 40 + 9 * index, (32, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(films / f"{index:02d}.png")
    return folder, films


def config(drawn, name, out, **options):
    """Return the configuration of one of them."""
    return OnnxConfig(onnx=drawn[0] / f"{name}.onnx", out=out, calibration=drawn[1], int8_budget=0.0, **options)


@pytest.fixture(scope="module")
def shipped(drawn, tmp_path_factory):
    """The network that the server would run, by onnx2tf."""
    return convert(config(drawn, "served", tmp_path_factory.mktemp("out") / "out", route="onnx2tf"), Silence())


@pytest.fixture(scope="module")
def unserved(drawn, tmp_path_factory):
    """The network that it would not run: its TFLite file alone."""
    out = tmp_path_factory.mktemp("unserved") / "out"
    return convert(config(drawn, "unserved", out, route="onnx2tf", formats=("tflite-float32", "onnx")), Silence())


def test_a_refusal_names_the_route_and_the_route_exists(drawn, tmp_path):
    with pytest.raises(NoRuleError, match="ReduceLogSumExp") as refused:
        convert(config(drawn, "served", tmp_path / "out", formats=("tflite-float32",)), Silence())
    assert "--route onnx2tf" in refused.value.fix
    assert "certified by measurement alone" in refused.value.fix
    with pytest.raises(NoRuleError) as refused:  # not a line of a report that holds nothing else
        convert(config(drawn, "served", tmp_path / "out", formats=("tflite-int8",)), Silence())
    assert "--route onnx2tf" in refused.value.fix
    assert not (tmp_path / "out").exists()


def test_the_reference_converters_files_pass_the_same_gate_and_say_who_made_them(shipped):
    rows = {row["path"]: row for row in shipped.report["rows"]}
    assert {path for path, row in rows.items() if row["verdict"] == "CERTIFIED"} == SHIPPED
    assert {path for path, row in rows.items() if row["verdict"] == "NOT MADE"} == UNMADE
    for path in SHIPPED - {"model.onnx"}:
        assert rows[path]["made_by"].startswith("onnx2tf 2")
        assert rows[path]["proven"] is False
        assert "no rule of ours proves it; measured on 12 films" in rows[path]["reason"]
        assert max(one["max_abs"] for one in rows[path]["outputs"]) < 1e-5  # and it is right
        assert shipped.report["proofs"][path]["verdict"] == "CANNOT SAY"
    assert "one film a call" in rows["saved_model"]["reason"]
    assert "made_by" not in rows["model.onnx"]
    assert all("ReduceLogSumExp" in rows[path]["reason"] for path in UNMADE)
    assert {path for path in SHIPPED | UNMADE if (shipped.folder / path).exists()} == SHIPPED
    assert shipped.report["formats"]["not_made"].keys() == UNMADE


def test_what_rests_on_films_alone_stands_among_the_limits_that_the_terminal_prints(shipped, unserved):
    said = shipped.report["limits"][-1]
    assert said.startswith("saved_model, model_float32.tflite: made by onnx2tf")
    assert "no rule of ours proves it; measured on 12 films, of other films nothing is known" in said
    assert "would refuse" not in said
    assert said in (shipped.folder / "report.md").read_text()
    assert (
        "The server's reader would refuse model_float32.tflite (it has the operation 8" in unserved.report["limits"][-1]
    )
    [row] = [row for row in unserved.report["rows"] if row["path"] == "model_float32.tflite"]
    assert row["verdict"] == "CERTIFIED"
    assert "the server would refuse it: it has the operation 8" in row["reason"]


def test_what_no_rule_of_ours_made_is_compared_with_nothing_of_ours(shipped):
    assert [(one["path"], one["agreement"]) for one in shipped.report["compared"]] == [
        ("tbconv TFLite", "does not convert"),
        ("TensorFlow TFLite", "does not convert"),
    ]


def test_of_a_network_whose_rules_we_have_its_file_is_proven_all_the_same(drawn, tmp_path):
    done = convert(config(drawn, "known", tmp_path / "out", route="onnx2tf", formats=("tflite-float32",)), Silence())
    [row] = done.report["rows"]
    assert (row["verdict"], row["proven"], row["served"]) == ("CERTIFIED", True, None)
    assert "proven against model.onnx all the same" in row["reason"]
    assert "no rule of ours" not in " ".join(done.report["limits"])
    assert [one["agreement"][:6] for one in done.report["compared"]] == ["agrees", "agrees"]  # the graph, and ours


def test_a_file_of_the_reference_converter_that_is_wrong_is_not_written(drawn, tmp_path, monkeypatch):
    def spoilt(function, request, **options):
        onnx = drawn[0] / "known.onnx"
        if function.endswith(":onnx_to_tf"):  # it converts another network
            request = request | {"onnx": str(tmp_path / "other.onnx")}
            kept("convert.formats.onnx_wrap.wrap:wrap", wrapped | {"onnx": str(onnx), "out": request["onnx"]})
        elif function.endswith(":wrap"):
            wrapped.update(request)
        return kept(function, request, **options)

    kept, wrapped = pipeline.run_step, {}
    monkeypatch.setattr(pipeline, "run_step", spoilt)
    asked = config(drawn, "served", tmp_path / "out", route="onnx2tf", formats=("tflite-float32",))
    with pytest.raises(ParityError, match=r"model_float32\.tflite"):
        convert(asked, Silence())
    assert not (tmp_path / "out").exists()


def test_a_route_whose_converter_fails_ships_nothing_else_in_its_place(drawn, tmp_path, monkeypatch):
    def failing(function, request, **options):
        if function.endswith(":onnx_to_tf"):
            raise ConversionError("onnx2tf left no file", why="it fell", fix="none")
        return kept(function, request, **options)

    kept = pipeline.run_step
    monkeypatch.setattr(pipeline, "run_step", failing)
    asked = config(drawn, "known", tmp_path / "out", route="onnx2tf", formats=("tflite-float32",))
    with pytest.raises(ConversionError, match="onnx2tf left no file"):
        convert(asked, Silence())
