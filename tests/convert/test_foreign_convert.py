"""`tbconv convert MODEL.onnx`, with the slow converters replaced by files whose answers are known; once for real."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import typer

from convert.onnx_import.reference import OnnxConfig
from convert.pipeline import compared_name
from convert.pipeline import convert as run_conversion
from tbconv.commands.conversion.convert import convert
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import BundleError, ConfigError, ConversionError, ParityError, Silence
from tbconv.contract.files import sha256_file

FLOAT32 = ("model.onnx", "model.keras", "model.h5", "saved_model", "model_float32.tflite")
REDUCED = ("model_float16.tflite", "model_dynamic.tflite", "model_int8.tflite")


@pytest.fixture(scope="module")
def theirs(child, tmp_path_factory):
    """A drawn ONNX file, its only digest, and a folder of films."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("theirs")
    child("draw_foreign.py", folder)
    films = tmp_path_factory.mktemp("films")
    for index in range(24):
        pixels = np.random.default_rng(index).integers(0, 40 + 9 * index, (32, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(films / f"patient-{index:02d}.png")
    return folder, films


class Drawn:
    """`run_step` whose converters write a word, and whose files answer as model.onnx does, or spoilt."""

    def __init__(self, memory, spoil=None, fail=()):
        self.memory, self.spoil, self.fail = memory, spoil or {}, fail
        self.lock = threading.Lock()  # two files that answer alike are one step of the memory

    def __call__(self, module, request, *, threads=None, say=None):
        if module in self.fail:
            raise ConversionError("it fails", why="first line\nError: the last line", fix="none")
        if module == "convert.formats.onnx_wrap.wrap:wrap":
            self.model = Path(request["out"])
            return self.memory.run_step(module, request)
        if not module.startswith("convert.runners."):
            return self._write(request)
        with self.lock:
            return self._answer(module, request)

    def _answer(self, module, request):
        path, step = Path(request["artefact"]), "convert.runners.onnxruntime:run"
        aside = path.suffix == ".tflite" and path.parts[-4].startswith("tbconv-aside-")
        name = compared_name(path.parts[-2]) if aside else path.name
        asked = request if module == step else request | {"artefact": str(self.model)}
        response = self.memory.run_step(step, asked)
        if name in self.spoil:
            with np.load(request["out"]) as arrays:
                answers = {output: self.spoil[name](array) for output, array in arrays.items()}
            np.savez(request["out"], **answers)
        return response

    def _write(self, request):
        places = ("h5", "keras", "float32", "float16", "dynamic", "tflite", "out")
        for place in (Path(request[name]) for name in places if request.get(name)):
            place.write_text(place.name)
        if "saved_model" in request and not Path(request["saved_model"]).exists():
            Path(request["saved_model"]).mkdir()
            (Path(request["saved_model"]) / "saved_model.pb").write_text("drawn")
        return {"converter": "drawn", "search": None}


@pytest.fixture
def run(memory, theirs, tmp_path, monkeypatch):
    """Return a function that converts a drawn file."""

    def call(name="plain", *, spoil=None, fail=(), out=None, **options):
        drawn = Drawn(memory, spoil, fail)
        monkeypatch.setattr("convert.pipeline.run_step", drawn)
        monkeypatch.setattr("convert.onnx_import.reference.prove_files", lambda *_: {})
        monkeypatch.setattr("convert.onnx_import.reference.find_needs", lambda *_: {})  # of files that are a word
        monkeypatch.setattr("convert.parity.runtimes.run_step", drawn)
        place = out or tmp_path / "out"
        config = OnnxConfig(onnx=theirs[0] / f"{name}.onnx", out=place, calibration=theirs[1], **options)
        return run_conversion(config, Silence())

    return call


def test_every_file_is_judged_and_listed_with_its_digest(run, theirs):
    before = sha256_file(theirs[0] / "plain.onnx")
    done = run()
    verdicts = {row["path"]: row["verdict"] for row in done.report["rows"]}
    assert verdicts == dict.fromkeys(FLOAT32, "CERTIFIED") | dict.fromkeys(REDUCED, "CANNOT SAY")  # of twelve films
    [few] = {row["reason"] for row in done.report["rows"] if row["path"] in REDUCED}
    assert "30 needed" in few
    assert {path.name for path in (done.folder / "not_offered").iterdir()} == set(REDUCED)
    assert done.conversion["source"] == {"name": "plain.onnx", "sha256": {"plain.onnx": before}}
    assert sha256_file(theirs[0] / "plain.onnx") == before
    listed = {path: record["sha256"] for path, record in done.conversion["files"].items()}
    there = [path for path in done.folder.rglob("*") if path.is_file() and path.name != "conversion.json"]
    assert listed == {path.relative_to(done.folder).as_posix(): sha256_file(path) for path in there}
    assert json.loads((done.folder / "parity.json").read_text()) == done.report


def test_the_report_says_what_it_cannot_say_and_names_no_film(run):
    done = run()
    said = (done.folder / "report.md").read_text()
    for words in (
        "no operating point",
        "sensitivity",
        "ONNX Runtime",
        "no evidence map",
        "assumed",
        "not a medical device",
    ):
        assert words in said
    assert "12 films of a folder of 24, none of them seen in calibration" in said
    assert "at most 22.1%" in said
    for path in ("parity.json", "conversion.json", "report.md"):
        assert "patient-" not in (done.folder / path).read_text()


def test_a_float32_file_that_differs_leaves_nothing_but_a_report_beside(run, tmp_path):
    with pytest.raises(ParityError, match=r"model\.h5: not what ONNX Runtime computes") as caught:
        run(spoil={"model.h5": lambda array: array + 1e-2})
    assert "allowed" in caught.value.why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.failed-parity.json"]
    run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]  # what it said is of no file any more


def test_a_node_that_the_file_has_not_is_refused_before_a_format_is_made(run, tmp_path):
    with pytest.raises(ConfigError, match="--keep-float typo fits no node") as caught:
        run(keep_float=("typo",), fail=("convert.formats.onnx_to_keras:onnx_to_keras",))
    assert "the nearest are" in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_front_is_found_though_all_formats_agree_with_it(run, monkeypatch):
    import convert.onnx_import.reference as asking

    prepare = asking.prepare
    monkeypatch.setattr(asking, "prepare", lambda model_inputs, normalise: prepare(model_inputs[:, ::-1], normalise))
    monkeypatch.setattr(
        asking, "round_early", lambda model_inputs, normalise: prepare(model_inputs[:, ::-1], normalise)
    )
    with pytest.raises(ParityError, match=r"model\.onnx"):
        run()


def test_a_reduced_file_that_gives_nan_is_not_offered(run):
    done = run(spoil={"model_int8.tflite": lambda array: array * np.nan})
    assert (done.folder / "not_offered" / "model_int8.tflite").is_file()
    assert not (done.folder / "model_int8.tflite").exists()
    assert done.conversion["verdicts"]["model_int8.tflite"] == "FAILED"
    assert "NaN" in (done.folder / "report.md").read_text()


def test_what_int8_or_onnx2tf_cannot_do_is_a_line_in_the_report(run):
    done = run(fail=("convert.quantization.search:search", "convert.formats.onnx_to_onnx2tf:onnx_to_tf"))
    assert done.conversion["verdicts"]["model_int8.tflite"] == "NOT MADE"
    [tensorflow, onnx2tf] = done.report["compared"]
    assert (tensorflow["path"], tensorflow["agreement"][:6]) == ("TensorFlow TFLite", "agrees")
    assert (onnx2tf["path"], onnx2tf["agreement"]) == ("onnx2tf TFLite", "does not convert")
    assert "it fails (Error: the last line)" in onnx2tf["reason"]


def test_a_reference_converter_that_differs_fails_nothing(run):
    done = run(spoil={"onnx2tf TFLite": lambda array: array + 1})
    found = {one["path"]: one for one in done.report["compared"]}
    assert found["onnx2tf TFLite"]["agreement"].startswith("differs")
    assert {path: one["verdict"] for path, one in found.items()} == {
        "TensorFlow TFLite": "AGREES",
        "onnx2tf TFLite": "DIFFERS",
    }
    assert done.conversion["verdicts"]["model.onnx"] == "CERTIFIED"


def test_a_renamed_output_is_stated(run):
    done = run("odd_names")
    assert "Output `my/out:0` is called `my_out_0` here." in (done.folder / "report.md").read_text()
    assert done.report["rows"][0]["outputs"][0]["output"] == "my_out_0"


def test_a_file_in_other_numbers_is_held_to_its_network_in_float32_and_how_far_it_lies_from_that_is_said(run):
    for name, what in (("half", "float16 (4 stored tensors) cast to float32"), ("quantized", "int8: its float graph")):
        done = run(name)
        said = done.report["float32"]
        assert said.startswith(what)
        assert "; compared with the file itself, output logits differs by at most " in said
        assert "of 12 decisions" in said
        assert done.report["reference"].endswith(
            "the given file's network in float32, fed with films that numpy normalised"
        )
        assert f"The files are in float32: {said}." in done.report["limits"]
        assert said in (done.folder / "report.md").read_text()
        assert done.conversion["verdicts"]["model.onnx"] == "CERTIFIED"
    assert run("plain").report["float32"] == ""


def test_a_size_that_the_network_cannot_take_is_an_expected_error_that_names_the_option(run):
    with pytest.raises(
        ConversionError, match=r"cannot run one_size_alone\.onnx on an image \[\d+, 3, 16, 16\]"
    ) as caught:
        run("one_size_alone", size=(16, 16))
    assert "MatMul" in caught.value.why
    assert "--size" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dynamic_size", {"size": (24, 40)}, "are open and were set to 24 x 40 by --size"),
        ("not_square", {}, "three channels: each gets the same grey levels"),
        ("channels_last", {}, "of which many scale inside (--normalise none)"),
        ("takes_uint8", {}, "is uint8: it gets grey levels 0..255 as they are"),
        ("two_inputs", {"inputs": {"age": (55.0,)}}, "Its input age is fixed at 55: all files answer for that alone."),
        ("scales_itself", {}, "It begins with Div of stored numbers"),
    ],
)
def test_how_films_come_into_the_network_is_said_where_it_could_be_wrong(run, name, options, words):
    done = run(name, **options)
    assert done.conversion["verdicts"]["model.onnx"] == "CERTIFIED"
    assert words in " ".join(done.report["limits"])
    assert words in (done.folder / "report.md").read_text()
    stated = run(name, **options, normalise="none")
    assert ("normalised twice" in " ".join(done.report["limits"])) == (name == "scales_itself")
    assert "normalised twice" not in " ".join(stated.report["limits"])


def test_of_several_labels_each_decision_counts_and_its_threshold_is_said(run, tmp_path):
    (tmp_path / "thresholds.csv").write_text("label,threshold\nb,0.25\n")
    done = run("labels", labels=("a", "b", "c", "d"), thresholds=tmp_path / "thresholds.csv")
    found = done.conversion["decisions"]["labels"]
    assert (found["task"], found["thresholds"]) == ("multi-label", [0.5, 0.25, 0.5, 0.5])
    assert {row["outputs"][0]["decisions"] for row in done.report["rows"]} == {4 * 12}
    said = (done.folder / "report.md").read_text()
    assert "multi-label, 4 labels, each from 0.25 to 0.5 up" in said
    assert "3 of 4 at 0.5 since none is given" in said
    assert "0 of 48 label decisions differ, on 0 of 12 films" in said


def test_the_task_is_taken_from_the_command_line_and_one_that_fits_no_output_is_refused(run):
    assert run("labels").conversion["decisions"]["labels"]["task"] == "multi-label"
    assert run("labels", task="one-of-n").conversion["decisions"]["labels"]["task"] == "one-of-n"
    with pytest.raises(ConfigError, match="--task binary fits no output"):
        run("labels", task="binary")


def test_a_network_that_rounding_moves_is_not_certified_and_none_of_its_files_is_offered(run):
    done = run("chaotic")
    rows = {row["path"]: row for row in done.report["rows"]}
    assert {row["verdict"] for row in rows.values()} == {"CANNOT SAY"}
    assert "proves nothing" in rows["model.onnx"]["reason"]
    assert not [path for path in rows if (done.folder / path).exists()]
    assert {path.name for path in (done.folder / "not_offered").iterdir()} == set(rows)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([("float32", "CANNOT SAY"), ("float32", "CERTIFIED")], None),
        ([("float32", "CANNOT SAY"), ("float32", "CANNOT SAY")], 3),
        ([("float32", "CANNOT SAY"), ("int8", "MEASURED")], 3),
        ([("int8", "MEASURED")], None),  # no float32 file was asked for
        ([("int8", "CANNOT SAY")], 3),
        ([], 3),
    ],
)
def test_the_command_ends_with_three_unless_a_float32_file_is_certified(verdicts, code):
    from tbconv.commands.conversion.convert import _end

    if code is None:
        _end(verdicts)
        return
    with pytest.raises(typer.Exit) as ended:
        _end(verdicts)
    assert ended.value.exit_code == code


def test_only_a_conversion_is_replaced(run, tmp_path):
    run()
    run()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match="neither a conversion nor a bundle"):
        run(out=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_a_conversion_is_not_taken_for_a_bundle(run):
    with pytest.raises(BundleError, match="a conversion of a third-party ONNX model, not a bundle") as caught:
        read_bundle(run().folder)
    assert "threshold" in caught.value.why


def test_labels_must_be_as_many_as_the_classes(run):
    with pytest.raises(ConfigError, match="--labels names 2 classes") as caught:
        run(labels=("normal", "tb"))
    assert "logits has 4" in caught.value.why
    assert run(labels=("a", "b", "c", "d")).conversion["labels"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("plain.onnx", {"calibration": Path("films"), "route": "other"}, "--route other is unknown"),
        ("plain.onnx", {}, "plain.onnx without --calibration"),
        ("plain.onnx", {"calibration": Path("films"), "mean": "0.5,x", "std": "1"}, "--mean is '0.5,x'"),
        ("plain.onnx", {"calibration": Path("films"), "films": 0}, "--films 0"),
        ("plain.onnx", {"calibration": Path("films"), "labels": "a,a"}, "--labels a,a"),
        ("plain.onnx", {"calibration": Path("films"), "task": "ranking"}, "--task ranking is unknown"),
        (
            "plain.onnx",
            {"calibration": Path("films"), "thresholds": Path("gone.json")},
            "--thresholds gone.json cannot",
        ),
        ("plain.onnx", {"calibration": Path("films"), "size": "224,"}, "--size is '224,'"),
        ("plain.onnx", {"calibration": Path("films"), "size": "0"}, "--size 0,0"),
        ("plain.onnx", {"calibration": Path("films"), "size": "1,2,3"}, "--size is '1,2,3'"),
        ("plain.onnx", {"calibration": Path("films"), "inputs": ["age"]}, "--input is 'age'"),
        ("plain.onnx", {"calibration": Path("films"), "inputs": ["age=old"]}, "--input age= is 'old'"),
        ("plain.onnx", {"calibration": Path("films"), "inputs": ["age=1", "age=2"]}, "--input is 'age=2'"),
        (".", {"size": "224", "inputs": ["age=1"]}, "--size and --input for a run"),
        (".", {"task": "binary"}, "--task for a run"),
        ("gone.onnx", {"calibration": Path("films")}, "gone.onnx does not exist"),
        (".", {"calibration": Path("films"), "labels": "a,b"}, "--calibration and --labels for a run"),
    ],
)
def test_options_that_do_not_belong_to_the_way_are_refused(theirs, tmp_path, name, options, words):
    with pytest.raises(ConfigError) as refused:
        convert(theirs[0] / name, tmp_path / "out", **options)
    assert words in refused.value.what
    assert refused.value.fix


def test_the_folder_must_not_hold_what_is_converted(theirs):
    with pytest.raises(ConfigError, match="holds what is converted"):
        OnnxConfig(onnx=theirs[0] / "plain.onnx", out=theirs[0], calibration=theirs[1])


@pytest.mark.slow
def test_a_torchvision_network_goes_through_the_command_to_every_format(child, phantom_folder, tmp_path):
    child("export_foreign.py", tmp_path / "resnet18.onnx")
    words = ["convert", "resnet18.onnx", "--out", "out", "--calibration", str(phantom_folder), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tbconv", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    verdicts = {row["path"]: row["verdict"] for row in report["rows"]}
    assert {path: verdicts[path] for path in FLOAT32} == dict.fromkeys(FLOAT32, "CERTIFIED")
    # random weights put the classes close together: a reduced file may flip too many, but all of them are made
    assert not [path for path in REDUCED if verdicts[path] == "NOT MADE"]
    assert [one["agreement"][:6] for one in report["compared"]] == ["agrees", "agrees"]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {*FLOAT32, "report.md", "conversion.json"}
