"""Prove that serving needs no framework: with an import blocker, and in a clean environment."""

import ast
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tf_serve.server.process import take_port

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ["torch", "torchvision", "onnx", "onnxruntime", "onnx2tf", "tensorflow", "keras", "tf_keras"]
FRAMEWORKS += ["sklearn", "scipy", "matplotlib"]
BLOCKED = f"""
import importlib, pkgutil, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {FRAMEWORKS!r}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Blocker())
import tbconv.contract, tf_serve
for package in (tbconv.contract, tf_serve):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
ANSWER = """
from pathlib import Path
from tf_serve.batch import PredictConfig, predict
from tbconv.contract.errors import Silence
answers = predict(PredictConfig(bundle=Path(sys.argv[1]), films=(Path(sys.argv[2]),)), reporter=Silence())
assert answers.rows[0].result.finding is not None
assert answers.active.kind == "trained"
"""


def test_every_module_of_the_server_and_an_answer_come_without_any_framework(make_bundle, film, tmp_path):
    (tmp_path / "film.png").write_bytes(film)
    command = [sys.executable, "-c", BLOCKED + ANSWER, make_bundle(), tmp_path / "film.png"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def find_python(version):
    """Return a Python of this version, of this installation, of pyenv or of the path; None where there is none."""
    roots = (Path(sys.base_prefix), *sorted(Path(sys.base_prefix).parent.glob(f"{version}.*")))
    found = (shutil.which(f"python{version}", path=str(root / "bin")) for root in roots)
    return next((one for one in found if one), None) or shutil.which(f"python{version}")


@pytest.mark.parametrize("package", ["tbconv", "tf_serve"])
def test_what_serves_is_written_for_every_python_that_it_is_said_to_run_on(package):
    for path in (ROOT / package).rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 11))


@pytest.fixture(scope="module", params=["3.11", "3.12", "3.13"])
def clean_python(request, tmp_path_factory):
    """The Python of a new environment with the serve extra and nothing else."""
    python = find_python(request.param)
    if python is None:
        pytest.skip(f"python{request.param} is not on this machine")
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True, timeout=120)
    parts = ("pyproject.toml", "README.md", "LICENSE")
    source = folder / "source"  # a copy: building writes beside the sources
    for package in ("tbconv", "torch_train", "convert", "tf_serve"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for part in parts:
        shutil.copy(ROOT / part, source / part)
    install = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", f"{source}[serve]"]
    done = subprocess.run(install, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "venv/bin/python"


@pytest.mark.slow
def test_the_serve_extra_installs_no_framework_and_answers_over_http(clean_python, make_bundle, ask, film, tmp_path):
    listing = subprocess.run(
        [clean_python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True, timeout=120
    )
    installed = {row["name"].lower().replace("-", "_") for row in json.loads(listing.stdout)}
    assert installed.isdisjoint({*FRAMEWORKS, "scikit_learn", "tensorflow_cpu"})
    with take_port("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [clean_python.with_name("tbconv"), "serve", make_bundle(), "--port", str(port)]
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            wait_until_ready(client)
            assert ask(client, film).json()["status"] == "ok"
            assert "Chest film screening" in client.get("/").text
            assert client.get("/static/page.js").status_code == 200
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_until_ready(client, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.get("/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")
