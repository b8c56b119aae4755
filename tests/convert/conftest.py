"""One drawn run of the small network, converted once; frameworks but torch stay in child processes.

A conversion starts some 25 processes, and most of their seconds are imports. So each step runs
once a session for the same content: `Memory` keeps what it left behind by the digests of what it
read. The first conversion and the first verification are real throughout.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from draw_run import FIRST_HELDOUT, N_HELDOUT, write_drawn_run
from memory import Memory

from convert.from_run import ConvertConfig
from convert.pipeline import convert
from convert.verify import VerifyConfig, verify
from convert.worker import run_step, workers
from tbconv.contract.errors import Silence
from torch_train.data.phantom import draw_phantom
from torch_train.run_folder import CALIBRATION_FILMS, read_run


class Listener(Silence):
    """Keeps what was said."""

    def __init__(self):
        self.lines = []
        self._lock = threading.Lock()

    def say(self, line):
        with self._lock:
            self.lines.append(line)


@pytest.fixture(scope="session", autouse=True)
def one_worker_a_framework():
    """Steps of all tests share the processes of their frameworks, so that a session imports each once."""
    with pytest.MonkeyPatch.context() as patch, workers():
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # `keras_script`
        yield


@pytest.fixture(scope="session")
def memory(build_once):
    """What the steps of this session left behind, in all its workers."""
    return Memory(build_once("memory", lambda folder: None))


@pytest.fixture(scope="session")
def kept_once(build_once):
    """Return a function that calls `make(folder)` once for all workers, and returns to each what it returned."""

    def keep(name, make):
        place = build_once(name, lambda folder: (folder / "returned.pickle").write_bytes(pickle.dumps(make(folder))))
        return pickle.loads((place / "returned.pickle").read_bytes())

    return keep


@pytest.fixture(scope="session")
def convert_run(memory):
    """Return a function that converts a run, and says what it said."""

    def call(run, out, *, step=memory.run_step, **options):
        listener = Listener()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("convert.pipeline.run_step", step)
            patch.setattr("convert.parity.runtimes.run_step", step)
            return convert(ConvertConfig(run=run, out=out, **options), listener), listener.lines

    return call


@pytest.fixture(scope="session")
def verify_bundle(memory):
    """Return a function that verifies a bundle, and says what it said."""

    def call(bundle, out, **options):
        listener = Listener()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("convert.parity.runtimes.run_step", memory.run_step)
            return verify(VerifyConfig(bundle=bundle, out=out, **options), listener), listener.lines

    return call


@pytest.fixture(scope="session")
def child():
    """Return a function that runs a script of this folder in a process of its own; it answers in JSON."""

    def call(script, *words, cwd=None):
        command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, words)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return call


@pytest.fixture(scope="session")
def keras_child():
    """Return a function that runs a script as `child` does, in the worker of TensorFlow that others have warmed up."""

    def call(script, *words):
        return run_step("keras_script:run", {"script": script, "words": [str(word) for word in words]})["said"]

    return call


@pytest.fixture(scope="session")
def draw_run(tmp_path_factory):
    """Return a function that writes a finished run folder, as `tbconv train` leaves it."""

    def draw(**options):
        return write_drawn_run(tmp_path_factory.mktemp("drawn") / "run", **options)

    return draw


@pytest.fixture(scope="session")
def run(build_once):
    """A run of the small network."""
    return build_once("run", lambda folder: write_drawn_run(folder / "run")) / "run"


@pytest.fixture(scope="session")
def baseline_run(build_once):
    """A run without a trained checkpoint."""
    return build_once("baseline_run", lambda folder: write_drawn_run(folder / "run", trained=False)) / "run"


@pytest.fixture(scope="session")
def quantized(build_once, memory, run):
    """Folder of what the int8 file is made from, and of the file itself, step by step as `convert` makes them."""
    return build_once("quantized", lambda folder: quantize(folder, memory, run))


def quantize(folder, memory, run):
    """Make an int8 file of a run, step by step."""
    facts, films = read_run(run), str(run / CALIBRATION_FILMS)

    def step(module, **request):
        memory.run_step(module, request)
        return folder

    def place(name):
        return str(folder / name)

    network = {
        "network": "trained",
        "arch": facts.arch,
        "calibration": asdict(facts.decision_rules["trained"].calibration),
    }
    step("convert.formats.torch_to_onnx:torch_to_onnx", folder=str(run), **network, out=place("model.onnx"))
    files = {"h5": place("model.h5"), "keras": place("model.keras"), "saved_model": place("saved_model")}
    step("convert.formats.onnx_to_keras:onnx_to_keras", onnx=place("model.onnx"), **files)
    given = {"onnx": place("model.onnx"), "films": films, "keep_float": ["head"], "budget": 0}
    given["decisions"] = {"threshold": facts.decision_rules["trained"].operating_point.margin}
    return step("convert.quantization.search:search", **given, out=place("model_int8.tflite"))


@pytest.fixture(scope="session")
def converted(kept_once, convert_run, run):
    """What `convert` returned for the run, and the lines that it said."""
    return kept_once("converted", lambda folder: convert_run(run, folder / "bundle"))


@pytest.fixture(scope="session")
def bundle(converted):
    """The bundle of the run; nobody writes into it."""
    return converted[0].bundle


@pytest.fixture
def own_bundle(bundle, tmp_path):
    """A copy of the bundle that a test may spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def converted_by_onnx2tf(kept_once, convert_run, run, converted):
    """The same with `--route onnx2tf`."""
    return kept_once("by_onnx2tf", lambda folder: convert_run(run, folder / "bundle", route="onnx2tf"))


@pytest.fixture(scope="session")
def converted_baseline(kept_once, convert_run, baseline_run, converted):
    """The same of a run without a trained checkpoint."""
    return kept_once("alone", lambda folder: convert_run(baseline_run, folder / "bundle"))


@pytest.fixture(scope="session")
def phantom_folder(build_once):
    """The held-out phantoms as a mere folder of films, in the order of the run."""
    from PIL import Image

    def draw(folder):
        for index in range(N_HELDOUT):
            phantom = draw_phantom(FIRST_HELDOUT + index, positive=bool(index % 2))
            Image.fromarray(phantom.pixels).save(folder / f"{index:02d}.png")

    return build_once("phantoms", draw)
