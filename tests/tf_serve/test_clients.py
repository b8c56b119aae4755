"""Foreign programs, each in an environment of its own: Triton's and KServe's clients, and a validator of OpenAPI."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from tbconv.contract.bundle import read_bundle
from tf_serve.fallback import choose_model
from tf_serve.predict import screen

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".peers"  # git knows nothing of it; built once, kept
CLIENTS = Path(__file__).with_name("clients")
TOKEN = "a-token-of-a-test"
pytestmark = pytest.mark.slow


def environment(name, requirement):
    """Return the Python of an environment that has a package; skip where it cannot be had."""
    folder = PEERS / name
    ready = folder / "ready"  # written last: half an environment is none
    if not ready.exists():
        python = shutil.which("python3.12", path=str(Path(sys.base_prefix) / "bin")) or sys.executable
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True, timeout=300)
        install = [folder / "bin/python", "-m", "pip", "install", "--quiet", requirement]
        done = subprocess.run(install, check=False, capture_output=True, text=True, timeout=900)
        if done.returncode:
            pytest.skip(f"{requirement} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
        ready.touch()
    return folder / "bin/python"


@pytest.fixture
def running(started):
    """Address of a `tbconv serve` process, and the margin that its network gives to the film without it."""
    with started() as (address, _, margin):
        yield address, margin


@pytest.fixture
def started(make_bundle, film, tmp_path):
    """Return a context: a `tbconv serve` process with more options; its address, gRPC's, and the film's margin."""
    return partial(start, make_bundle, film, tmp_path)


@contextlib.contextmanager
def start(make_bundle, film, tmp_path, *words, **variables):
    root = make_bundle()
    bundle = read_bundle(root)
    (tmp_path / "film.png").write_bytes(film)
    np.save(tmp_path / "image.npy", bundle.manifest.preprocessing.from_bytes(film))
    margin = screen(film, choose_model(bundle), bundle.manifest).finding.margin
    command = [sys.executable, "-m", "tbconv", "serve", root, "--port", "0", *words]
    environ = os.environ | {"TBCONV_ADMIN_TOKEN": TOKEN} | variables
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as server:
        try:
            [address] = re.findall(r"http://([\d.:]+)", next(line for line in server.stderr if " on http://" in line))
            grpc = None
            if "--grpc-port" in words:
                [grpc] = re.findall(r"gRPC on ([\d.:]+)", next(line for line in server.stderr if "gRPC on" in line))
            wait_until_ready(f"http://{address}")
            yield address, grpc, margin
        finally:
            server.terminate()
            server.stderr.read()


def wait_until_ready(url):
    deadline = time.monotonic() + 120
    while httpx.get(f"{url}/v2/health/ready", timeout=30).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(python, script, address, tmp_path, *words):
    command = [python, CLIENTS / script, address, "tiny", tmp_path / "image.npy", tmp_path / "film.png", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def assert_margins(found, margin):
    for form, margins in found.items():
        np.testing.assert_allclose(margins, margin, rtol=0, atol=1e-5, err_msg=form)


def test_tritons_client_gets_the_margins_that_the_command_gets(running, tmp_path):
    address, margin = running
    python = environment("tritonclient", "tritonclient[http]==2.73.0")
    found = ask(python, "ask_with_triton.py", address, tmp_path, TOKEN)
    assert_margins(found["margins"], margin)
    assert len(found["margins"]["two films"]) == 2
    assert (found["live"], found["ready"], found["model_ready"], found["no_model_ready"]) == (True, True, True, False)
    assert "binary_tensor_data" in found["extensions"]
    assert found["metadata"]["platform"] == "litert_tflite"
    assert [status for status, _ in found["errors"]] == ["404", "400"]
    assert found["index"][0]["state"] == "READY"
    assert found["denied"] == "401"
    config = found["config"]
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (32, [224, 224, 1])
    assert found["config of the version"] == config
    [row] = found["statistics"]["model_stats"]
    assert (row["name"], row["inference_count"], row["execution_count"]) == ("tiny", 9, 8)
    assert row["inference_stats"]["success"]["count"] == 8
    assert found["statistics of the version"] == found["statistics of all"] == found["statistics"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tritons_grpc_client_gets_the_margins_that_the_command_gets(started, tmp_path, workers):
    python = environment("tritongrpc", "tritonclient[grpc]==2.73.0")
    with started("--grpc-port", "0", "--workers", workers, TBCONV_TOKEN=TOKEN) as (_, address, margin):
        found = ask(python, "ask_with_triton_grpc.py", address, tmp_path, TOKEN)
    assert_margins(found["margins"], margin)
    assert len(found["margins"]["two films"]) == 2
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert (found["server"]["name"], found["metadata"]["platform"]) == ("tbconv", "litert_tflite")
    assert found["metadata"]["inputs"][0]["shape"] == ["-1", "224", "224", "1"]
    statuses = [status for status, _ in found["errors"]]
    assert statuses == [f"StatusCode.{name}" for name in ("NOT_FOUND", "INVALID_ARGUMENT", "UNAUTHENTICATED")]


def test_kserves_client_gets_the_margins_that_the_command_gets(running, tmp_path):
    address, margin = running
    python = environment("kserve", "kserve==0.21.0")
    found = ask(python, "ask_with_kserve.py", f"http://{address}", tmp_path)
    assert_margins(found["margins"], margin)
    assert (found["live"], found["ready"], found["model_ready"], found["no_model_ready"]) == (True, True, True, False)
    assert found["error"][0] == 404
    assert "there is no model 'lungs'" in found["error"][1]


def test_the_openapi_description_is_valid_and_its_examples_are_what_it_says(running):
    address, _ = running
    python = environment("openapi", "openapi-spec-validator==0.9.0")
    description = httpx.get(f"http://{address}/openapi.json", timeout=30).text
    command = [python, CLIENTS / "check_openapi.py"]
    done = subprocess.run(command, check=False, input=description, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
