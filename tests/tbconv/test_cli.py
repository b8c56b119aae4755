import json

import pytest

from tbconv.contract.bundle import CERTIFICATE, read_bundle, read_json, seal
from tbconv.contract.consistency import UNBOUND
from tbconv.contract.files import write_json

FRAMEWORKS = ["torch", "torchvision", "tensorflow", "keras", "onnx", "onnxruntime", "onnx2tf"]
SLOW = [*FRAMEWORKS, "numpy", "scipy", "sklearn", "matplotlib", "fastapi"]
COMMANDS = ("data", "train", "adopt", "convert", "verify", "prove", "predict", "serve", "page", "show", "doctor")
HELP = f"""
import contextlib, io, json, sys
from tbconv.cli import main
answers = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["tbconv", *filter(None, [command]), "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    answers.append([command, code, "Usage:" in said.getvalue(), sorted(set({SLOW!r}) & set(sys.modules))])
print(json.dumps(answers))
"""
RAISES = """
import sys
from tbconv import cli
def broken():
    {raising}
cli.app.command("broken")(broken)
sys.argv = ["tbconv", "broken"]
cli.main()
"""


def test_help_loads_no_framework(tbconv):
    words = ["", *COMMANDS]
    done = tbconv(json.dumps(words), code=HELP)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[word, 0, True, []] for word in words]


def test_help_names_every_command_and_what_it_is_not(tbconv):
    done = tbconv("--help")
    assert done.returncode == 0
    assert [command for command in COMMANDS if f" {command} " not in done.stdout] == []
    assert "not a medical device" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "words", [("nonsense",), ("convert",), ("convert", "run", "--films", "many"), ("show", "a", "b"), ("train",)]
)
def test_wrong_usage_ends_with_2(tbconv, words):
    done = tbconv(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_stated_error_ends_with_1_and_says_what_why_and_fix(tbconv, tmp_path, command):
    done = tbconv(command, tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    what, why, fix = done.stderr.strip().splitlines()
    assert what == f"error: {tmp_path / 'nowhere'} is not a bundle"
    assert why == "  why: there is no such folder"
    assert fix.startswith("  fix: make one: tbconv convert")


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--route", "magic"), "--route magic is unknown"), (("--films", "0"), "--films 0")],
)
def test_options_that_make_no_sense_are_stated_errors(tbconv, tmp_path, options, words):
    done = tbconv("convert", tmp_path, "--out", tmp_path / "bundle", *options)
    assert (done.returncode, done.stderr.startswith(f"error: {words}")) == (1, True), done.stderr


def test_converting_what_is_no_run_says_how_to_make_one(tbconv, tmp_path):
    done = tbconv("convert", tmp_path, "--out", tmp_path / "bundle")
    assert done.returncode == 1
    assert f"{tmp_path} holds no finished run" in done.stderr
    assert "tbconv train" in done.stderr
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("package", "extra"), [("torch", "train"), ("tensorflow", "convert"), ("ai_edge_litert", "serve")]
)
def test_a_missing_package_names_the_extra_that_has_it(tbconv, package, extra):
    raising = f"raise ModuleNotFoundError('No module', name='{package}.nn')"
    done = tbconv(code=RAISES.format(raising=raising))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"error: the package {package} is not installed" in done.stderr
    assert f"pip install 'tbconv[{extra}]'" in done.stderr


def test_a_missing_module_of_our_own_is_a_bug_and_not_hidden(tbconv):
    done = tbconv(code=RAISES.format(raising="import tbconv.nothing"))
    assert "ModuleNotFoundError: No module named 'tbconv.nothing'" in done.stderr
    assert done.returncode == 1


def test_a_full_disk_is_an_error_in_three_parts(tbconv):
    raising = "import errno; raise OSError(errno.ENOSPC, 'No space left on device', 'bundle/model.h5')"
    done = tbconv(code=RAISES.format(raising=raising))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    what, why, fix = done.stderr.strip().splitlines()
    assert what == "error: cannot write bundle/model.h5"
    assert why.startswith("  why: no space left: ")
    assert why.endswith(" are free there")
    assert "--out" in fix


def test_other_errors_of_the_system_are_not_hidden(tbconv):
    done = tbconv(code=RAISES.format(raising="raise OSError(5, 'Input/output error')"))
    assert "Traceback" in done.stderr
    assert "Input/output error" in done.stderr


def test_doctor_reports_python_extras_and_versions_as_json(tbconv):
    done = tbconv("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["python"].startswith("3.12")
    integrations = {"grpc", "otel", "tensorboard", "mlflow", "hub", "hospital"}
    assert set(found["extras"]) == {"convert", "dicom", "serve", "tflite", "train"} | integrations
    assert all(len(pair) == 2 for pair in found["versions"].values())
    assert "gpu" in found


def test_doctor_says_what_is_missing_and_how_to_get_it(tbconv):
    code = """
from importlib import metadata
known = metadata.version
def without(name):
    if name == "onnx2tf":
        raise metadata.PackageNotFoundError(name)
    return known(name)
metadata.version = without
from tbconv.cli import main
main()
"""
    done = tbconv("doctor", code=code)
    assert done.returncode == 0, done.stderr
    assert "missing onnx2tf; pip install 'tbconv[convert]'" in done.stdout


def test_show_says_what_a_bundle_is(tbconv, bundle):
    done = tbconv("show", bundle, code="import runpy; runpy.run_module('tbconv', run_name='__main__', alter_sys=True)")
    assert done.returncode == 0, done.stderr
    for words in ("drawn: trained network, from SYNTHETIC phantoms", "Tuberculosis (positive)", "CERTIFIED", "0.250"):
        assert words in done.stdout
    assert "not a medical device" in done.stdout


def test_show_prints_manifest_and_certificate_as_json(tbconv, bundle):
    done = tbconv("show", bundle, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["manifest"]["labels"] == {"negative": "Normal", "positive": "Tuberculosis"}
    assert shown["certificate"]["artefacts"]["baseline.tflite"]["verdict"] == "CERTIFIED"


def test_show_of_a_manifest_that_was_not_certified_says_so_first_and_exits_with_1(tbconv, bundle):
    text = (bundle / "manifest.json").read_text()
    assert '"margin": 0.25' in text
    (bundle / "manifest.json").write_text(text.replace('"margin": 0.25', '"margin": 50'))
    done = tbconv("show", bundle)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "NOT BOUND: manifest.json is not the one that was certified (what it says of thresholds and calibration changed"
    )
    done = tbconv("show", bundle, "--json")
    assert (done.returncode, json.loads(done.stdout)["binding"]) == (1, None)


def test_show_of_a_bundle_of_schema_1_says_that_nothing_binds_it(tbconv, bundle, as_schema_1):
    done = tbconv("show", as_schema_1(bundle))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, UNBOUND)


def test_show_names_the_file_to_deploy_and_where_it_decides_nothing(tbconv, bundle):
    certificate = read_json(bundle / CERTIFICATE)
    certificate["artefacts"]["baseline.tflite"]["figures"] = {"abstention_band": {"half_width": 0.153}}
    certificate["deploy"] = {"artefact": "baseline.tflite", "reason": "drawn to be", "others": {}}
    write_json(bundle / CERTIFICATE, certificate)
    seal(bundle, read_bundle(bundle).manifest)
    said = tbconv("show", bundle).stdout
    assert "deploy: baseline.tflite; drawn to be; within 0.15 logits of the threshold it decides nothing" in said


def test_show_of_a_bundle_with_an_altered_certificate_is_a_stated_error(tbconv, bundle):
    (bundle / "certificate.json").write_text("{}")
    done = tbconv("show", bundle)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "error: certificate.json has digest" in done.stderr
