"""The pytest plugin in a stranger's project: it costs nothing, loads no framework, and failures are to the point."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "PIL", "torch", "tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "convert", "tf_serve")


def run(folder, *words):
    """Run pytest in a folder as a project does that has nothing but this plugin."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "tbconv.pytest_plugin", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_project_declares_it():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points == {"pytest11": {"tbconv": "tbconv.pytest_plugin"}}


def test_it_imports_nothing_that_takes_time(tmp_path):
    (tmp_path / "test_own.py").write_text(
        f"import sys\n\ndef test_own():\n    assert not [name for name in {HEAVY!r} if name in sys.modules]\n"
    )
    done = run(tmp_path, "-q", "-W", "error", "--strict-markers", "--strict-config")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_project_without_a_bundle_collects_what_it_always_did(tmp_path):
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    assert run(tmp_path, "-q", "--collect-only").stdout.splitlines()[0] == "test_own.py::test_own"
    assert "--tbconv-bundle=BUNDLE" in run(tmp_path, "--help").stdout


PROJECT = """
import sys
import numpy as np

IMAGES = np.random.default_rng(0).random((6, 4, 4, 1))

def network(images):
    flat = images.reshape(len(images), -1)
    return np.stack([flat[:, 0], flat[:, 1]], axis=1)

def test_the_same(assert_parity):
    assert assert_parity(network, network, IMAGES).decisions == 6
    assert not {"torch", "tensorflow", "onnxruntime", "ai_edge_litert"} & set(sys.modules)

def test_another(assert_parity):
    assert_parity(network, lambda images: network(images)[:, ::-1], IMAGES)
"""


def test_the_fixture_passes_and_fails_with_what_differs_and_no_line_of_the_plugin(tmp_path):
    (tmp_path / "test_project.py").write_text(PROJECT)
    done = run(tmp_path, "-q", "-W", "error")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    for words in ("model_b against model_a, 6 images", "on image ", "decisions flip", "classes in the order [1, 0]"):
        assert words in done.stdout
    assert "pair.py" not in done.stdout


def test_what_is_no_bundle_fails_with_the_reason(tmp_path):
    done = run(tmp_path, "-q", "--tbconv-bundle", "lost")
    assert done.returncode == 1
    assert "lost is not a bundle" in done.stdout
    assert "there is no such folder" in done.stdout


@pytest.mark.parametrize("words", [("-k", "no_such"), ("--deselect", "lost::digests and certificate")])
def test_its_tests_are_chosen_as_any_others(tmp_path, words):
    done = run(tmp_path, "-q", "--tbconv-bundle", "lost", *words)
    assert done.returncode == 5
    assert "1 deselected" in done.stdout
