"""The extra `tflite` in an environment of its own: ONNX to every TFLite file without TensorFlow, and a GB smaller."""

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SMALLER = 1_000_000_000  # bytes, than the extra `convert`
HEAVY = ("tensorflow", "keras", "torch", "torchvision", "onnx2tf")
MADE = ("model.onnx", "model_float32.tflite", "model_float16.tflite", "model_dynamic.tflite", "model_int8.tflite")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A fresh environment with `tbconv[tflite]` of this folder, and nothing else."""
    folder = tmp_path_factory.mktemp("tflite")
    place, source = folder / "environment", folder / "source"
    for name in ("tbconv", "torch_train", "convert", "tf_serve"):
        shutil.copytree(REPOSITORY / name, source / name)  # a wheel is built there, and leaves nothing here
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source / name)
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(place)], check=True)
    install = [uv, "pip", "install", "-q", "-p", str(place), "-c", "lock/dev.txt", f"{source}[tflite]"]
    done = subprocess.run(install, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=900)
    if "error sending request" in done.stderr or "Could not connect" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    return place


def installed_bytes(names):
    """Return the bytes of installed packages."""
    files = [one for name in names for one in metadata.distribution(name).files or []]
    return sum(path.stat().st_size for path in map(Path, map(str, (one.locate() for one in files))) if path.is_file())


@pytest.mark.slow
def test_it_converts_and_measures_without_tensorflow(environment, phantom_folder, tmp_path):
    onnx, films = tmp_path / "plain.onnx", phantom_folder
    draw = [sys.executable, str(Path(__file__).with_name("draw_foreign.py")), str(tmp_path)]
    subprocess.run(draw, check=True, capture_output=True)
    words = ["convert", str(onnx), "--calibration", str(films), "--out", "out", "--json"]
    command = [str(environment / "bin" / "tbconv"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {one["path"]: one for one in json.loads(done.stdout)["rows"]}
    assert [path for path in MADE if rows[path]["verdict"] == "NOT MADE"] == []
    assert rows["model_float32.tflite"]["verdict"] == rows["model.onnx"]["verdict"] == "CERTIFIED"
    assert rows["saved_model"]["verdict"] == "NOT MADE"
    assert "pip install 'tbconv[convert]'" in rows["saved_model"]["reason"]


@pytest.mark.slow
def test_it_is_a_gigabyte_smaller_than_the_extra_that_makes_every_format(environment):
    packages = {path.name.split("-")[0].lower() for path in environment.glob("lib/*/site-packages/*.dist-info")}
    assert not packages & set(HEAVY)
    size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file())
    assert installed_bytes(HEAVY) - size > SMALLER
