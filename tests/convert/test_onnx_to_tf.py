"""What onnx2tf leaves behind is what it is judged by; nothing of it runs here."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from convert.from_run import ConvertConfig, RunReference
from convert.pipeline import ConversionContext, _by_onnx2tf
from tbconv.contract.errors import ConversionError, SetupError

DEPTHWISE = "ValueError: `input.shape.rank` must be at least 5"


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Return a function that runs the step on a file of which onnx2tf leaves some files, and its answer."""
    from convert.formats import onnx_to_onnx2tf as module

    def call(*left, said=DEPTHWISE):
        def run(copy, output, limit):
            output.mkdir(parents=True)
            for name in left:
                (output / name).write_bytes(b"made")
            return f"converting\n    {said}"

        monkeypatch.setattr(module, "_write_static_copy", lambda source, copy: None)
        monkeypatch.setattr(module, "_run", run)
        request = {"onnx": "x", "tflite": str(tmp_path / "o.tflite"), "saved_model": str(tmp_path / "saved")}
        return module.onnx_to_tf(request), {path.name for path in tmp_path.rglob("*") if path.is_file()}

    return call


@pytest.fixture
def step(monkeypatch, tmp_path):
    """Return a function that makes the reference conversion of a run of which onnx2tf writes no SavedModel."""

    def call(route):
        def run_step(function, request, *, say=None):
            Path(request["tflite"]).write_bytes(b"made")
            return {"converter": "onnx2tf", "lacks": DEPTHWISE}

        monkeypatch.setattr("convert.pipeline.run_step", run_step)
        lines = []
        context = ConversionContext(tmp_path, tmp_path, SimpleNamespace(say=lines.append))
        config = ConvertConfig(run=Path("run"), out=Path("out"), route=route)
        reference = RunReference(config, SimpleNamespace(arch="a"))
        _by_onnx2tf(context, reference)
        return [one.name for one in reference.further_runtimes(context)], lines

    return call


def test_both_files_are_kept(made):
    response, kept = made("converted_float32.tflite", "saved_model.pb")
    assert (response["lacks"], kept) == (None, {"o.tflite", "saved_model.pb"})


def test_a_missing_saved_model_is_stated_with_the_last_line_that_onnx2tf_said(made):
    response, kept = made("converted_float32.tflite")
    assert (response["lacks"], kept) == (DEPTHWISE, {"o.tflite"})


def test_without_a_tflite_file_onnx2tf_has_failed(made):
    with pytest.raises(ConversionError, match="left no converted_float32"):
        made("saved_model.pb")


def test_without_a_saved_model_the_tflite_file_is_compared_alone_and_the_reason_is_said(step):
    names, lines = step("own")
    assert DEPTHWISE in lines[-1]
    assert names == ["onnx2tf TFLite", "baseline.onnx"]


def test_a_route_that_would_ship_the_missing_saved_model_is_refused(step):
    with pytest.raises(ConversionError, match="no SavedModel of this network") as caught:
        step("onnx2tf")
    assert caught.value.why == DEPTHWISE


def test_only_a_full_disk_at_the_end_of_what_it_said_ends_the_conversion(made):
    """It warns of much on its way: of a cache that it may not write, of a program that it cannot start."""
    full = "OSError: [Errno 28] No space left on device"
    stray = "PermissionError: [Errno 13] Permission denied: '/root/.cache'"
    for said in (f"{stray}\n{DEPTHWISE}", "\n".join([full, *["later"] * 12, DEPTHWISE]), stray):
        answer, _ = made("converted_float32.tflite", said=said)
        assert answer["lacks"] == said.splitlines()[-1]
    with pytest.raises(SetupError, match="no space left"):
        made("converted_float32.tflite", said=full)
