"""The CI recipe, `tbconv verify --junit --summary`, names ten planted changes: honest mistakes, and plain ones."""

import io
from contextlib import redirect_stdout
from xml.etree import ElementTree

import pytest
import typer

from tbconv.commands.conversion.verify import verify
from tbconv.contract.errors import TbconvError

# An honest mistake writes every digest anew, as a conversion does, so it is found by what it changed.
HONEST = {
    "weights": ("model_float32.tflite", "weights changed: "),
    "threshold": ("model_float32.tflite", "threshold and calibration: operating_point.json operating_point margin is"),
    "resize": ("everything else", "the recorded film looks resized with bicubic"),
    "labels": ("model_int8.tflite", "labels.txt names ['Normal', 'Tuberculosis'], expected ['Normal', 'Pneumonia']"),
    "order": ("model.onnx", "its logits look like PyTorch's, with its classes in the order [1, 0]"),
    "normalisation": ("model.onnx", "the normalisation changed: std is "),
    "opset": ("model.onnx", "its opset is 19, the manifest says 18"),
    "dtype": ("model_int8.tflite", "the dtype of its input image is uint8, the manifest says float32"),
    "stale_file": ("model_float32.tflite", "its metadata: version is '000000000000"),
    "altered_certificate": ("model_int8.tflite", "verdict is 'BOUNDED', expected 'CANNOT SAY'"),
}
# Nothing else is written: digests find it before anything is run, and name the file or the part of the manifest.
PLAIN = {
    "weights": "model_float32.tflite has digest ",
    "threshold": "what it says of thresholds and calibration changed",
    "resize": "golden_films.npz has digest ",
    "labels": "what it says of labels changed",
    "order": "model.onnx has digest ",
    "normalisation": "model.onnx has digest ",
    "opset": "model.onnx has digest ",
    "dtype": "what it says of artefacts (their paths, precisions, tensors and converters) changed",
    "stale_file": "model_float32.tflite has digest ",
    "altered_certificate": "certificate.json has digest ",
}


@pytest.fixture
def recipe(memory, tmp_path, monkeypatch):
    """Return a function that runs the recipe: its exit code, its failed checks by name, its summary."""
    monkeypatch.setattr("convert.parity.runtimes.run_step", memory.run_step)
    monkeypatch.setattr("convert.proof.prove.run_step", memory.run_step)

    def run(bundle, **options):
        files = {"junit": tmp_path / "junit.xml", "summary": tmp_path / "summary.md"}
        try:
            with redirect_stdout(io.StringIO()), pytest.raises(typer.Exit) as ended:
                verify(bundle, out=None if options.get("quick") else tmp_path / "report", **files, **options)
            code = ended.value.exit_code
        except TbconvError:
            code = 1
        cases = ElementTree.parse(files["junit"]).iter("testcase")
        failed = {
            one.get("name"): one.find("failure").get("message") for one in cases if one.find("failure") is not None
        }
        return code, failed, files["summary"].read_text()

    return run


def test_a_bundle_as_it_was_converted_passes(bundle, recipe):
    code, failed, summary = recipe(bundle)
    assert (code, failed) == (0, {})
    assert "every file does as well as its certificate says" in summary.splitlines()[0]


def test_ten_changes_are_planted():
    assert len(HONEST) == len(PLAIN) == 10
    assert HONEST.keys() == PLAIN.keys()


@pytest.mark.parametrize("change", HONEST)
def test_an_honest_mistake_is_caught_and_named(own_bundle, recipe, child, change):
    child("plant_change.py", own_bundle, change, "honest")
    code, failed, summary = recipe(own_bundle)
    name, words = HONEST[change]
    assert code == 1
    assert words in failed[name]
    assert summary.startswith("## \N{CROSS MARK} drawn: FAILED")


@pytest.mark.parametrize("change", PLAIN)
def test_a_plain_change_is_caught_and_named_before_anything_is_run(own_bundle, recipe, child, change, monkeypatch):
    child("plant_change.py", own_bundle, change)
    monkeypatch.setattr("convert.worker.run_step", lambda *_, **__: pytest.fail("a step was run"))
    code, failed, summary = recipe(own_bundle)
    assert code == 1
    assert PLAIN[change] in failed["digests and certificate"]
    assert "not run" in summary


QUICK = ("threshold", "labels", "resize", "weights", "stale_file")  # what files say, and what TFLite files answer


@pytest.mark.parametrize("change", QUICK)
def test_the_quick_recipe_catches_what_serving_can_see(own_bundle, recipe, child, change):
    child("plant_change.py", own_bundle, change, "honest")
    code, failed, _ = recipe(own_bundle, quick=True)
    assert (code, bool(failed)) == (1, True)
