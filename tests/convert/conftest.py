"""One drawn run of the small network, converted once; frameworks but torch stay in child processes.

A conversion starts some 25 processes, and most of their seconds are imports. So each step runs
once a session for the same content: `Memory` keeps what it left behind by the digests of what it
read. The first conversion and the first verification are real throughout.
"""

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from convert.isolate import run_step
from convert.pipeline import ConvertConfig, convert
from convert.verify import VerifyConfig, verify
from tbconv.contract.calibration import Calibration
from tbconv.contract.files import sha256_bytes, sha256_file
from tbconv.contract.labels import Labels
from tbconv.contract.manifest import Readout
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.provenance import provenance
from tbconv.contract.reporter import Silence
from tbconv.contract.threshold import OperatingPoint
from torch_train.data.phantom import draw_phantom
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    HELDOUT_FILMS,
    WEIGHTS,
    Films,
    RunFacts,
    read_run,
    write_films,
    write_run,
)

N_CALIBRATION, N_HELDOUT, FIRST_HELDOUT = 8, 20, 700
READ = {"onnx", "saved_model", "films", "artefact", "images"}  # what steps read, but for those that write it
WRITTEN = {
    "convert.torch_to_onnx": ("out",),
    "convert.onnx_to_keras": ("h5", "keras", "saved_model"),
    "convert.onnx_to_tf": ("tflite", "saved_model"),
    "convert.quantize": ("float32", "float16", "dynamic"),
}


class Listener(Silence):
    """Keeps what was said."""

    def __init__(self):
        self.lines = []
        self._lock = threading.Lock()

    def say(self, line):
        with self._lock:
            self.lines.append(line)


class Memory:
    """`run_step`, and what each step left behind, by the content that it read."""

    def __init__(self, folder):
        self._folder = folder
        self.kept = []  # module, request, folder

    def run_step(self, module, request, *, threads=None):
        written = [name for name in WRITTEN.get(module, ("out",)) if request.get(name)]
        kept = self._folder / self._key(module, request, written)
        if not (kept / "response.json").is_file():
            response = run_step(module, request, threads=threads)
            for name in written:
                copy(Path(request[name]), kept / name)
            (kept / "response.json").write_text(json.dumps(response))
            self.kept.append((module, request, kept))
            return response
        for name in written:
            copy(kept / name, Path(request[name]))
        return json.loads((kept / "response.json").read_text())

    def _key(self, module, request, written):
        said = {key: value for key, value in request.items() if key not in written}
        if said.get("network") == "baseline":
            said.pop("arch")  # not read there
        for name in READ & said.keys():
            said[name] = digest(Path(said[name]))
        if "folder" in said:
            said["folder"] = digest(Path(said["folder"]) / (BASELINE if said["network"] == "baseline" else WEIGHTS))
        return sha256_bytes(json.dumps([module, written, said], sort_keys=True).encode())


def digest(path):
    """Return the digest of a file or of a folder's files."""
    if path.is_file():
        return sha256_file(path)
    return {str(file.relative_to(path)): sha256_file(file) for file in sorted(path.rglob("*")) if file.is_file()}


def copy(source, place):
    """Copy a file or a folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, place)


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """What the steps of this session left behind."""
    return Memory(tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="session")
def convert_run(memory):
    """Return a function that converts a run, and says what it said."""

    def call(run, out, *, step=memory.run_step, **options):
        listener = Listener()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("convert.steps.run_step", step)
            patch.setattr("convert.witnesses.run_step", step)
            return convert(ConvertConfig(run=run, out=out, **options), listener), listener.lines

    return call


@pytest.fixture(scope="session")
def verify_bundle(memory):
    """Return a function that verifies a bundle, and says what it said."""

    def call(bundle, out, **options):
        listener = Listener()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("convert.witnesses.run_step", memory.run_step)
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


def draw_squares(n, *, first_seed):
    """Draw phantoms, every other one positive: uint8 [N, 224, 224] and labels int64 [N]."""
    labels = np.arange(n) % 2
    spec = PreprocessSpec()
    phantoms = [draw_phantom(first_seed + index, positive=bool(label)) for index, label in enumerate(labels)]
    return np.stack([spec.square(phantom.pixels) for phantom in phantoms]), labels.astype(np.int64)


def draw_network(squares, *, seed):
    """Return the small network: random weights, BatchNorm statistics of phantoms."""
    import torch

    from torch_train.network import XrayNetwork

    torch.manual_seed(seed)
    network = XrayNetwork("resnet10")
    images = torch.from_numpy(squares)[:, None].float()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0.0, 0.2)
                module.momentum = 0.5
        for _ in range(4):
            network.train()(images)
    return network.eval()


def margins_of(network, squares):
    """Return the margins of films, float [N]."""
    import torch

    with torch.inference_mode():
        logits = network(torch.from_numpy(squares)[:, None].float()).numpy()
    return logits[:, 1] - logits[:, 0]


def threshold_of(margins):
    """Return the middle of the widest gap among the inner margins: no decision hangs on rounding."""
    inner = np.sort(margins)[len(margins) // 4 : -(len(margins) // 4)]
    widest = int(np.diff(inner).argmax())
    return float(inner[widest : widest + 2].mean())


def readout_of(margins):
    """Return a readout with the threshold in the widest gap."""
    point = OperatingPoint(threshold_of(margins), 0.9, 0.9, 0.5, 10, 10, "5" * 64)
    return Readout(Calibration(1.2, -0.3, 10, 10), point)


@pytest.fixture(scope="session")
def draw_run(tmp_path_factory):
    """Return a function that writes a finished run folder, as `tbconv train` leaves it."""
    from torch_train.baseline import baseline_margins, fit_baseline
    from torch_train.results import write_baseline, write_weights

    calibration, calibration_labels = draw_squares(N_CALIBRATION, first_seed=500)
    heldout, labels = draw_squares(N_HELDOUT, first_seed=FIRST_HELDOUT)

    def draw(*, seed=0, trained=True):
        run = tmp_path_factory.mktemp("drawn") / "run"
        run.mkdir()
        baseline = fit_baseline(calibration, calibration_labels, seed=0)
        write_baseline(run / BASELINE, baseline)
        readouts = {"baseline": readout_of(baseline_margins(baseline, heldout))}
        if trained:
            network = draw_network(calibration, seed=seed)
            write_weights(run / WEIGHTS, network)
            readouts["trained"] = readout_of(margins_of(network, heldout))
        part = np.array(["test"] * 8 + ["validation"] * (N_HELDOUT - 8))
        write_films(run / CALIBRATION_FILMS, Films(calibration, calibration_labels, np.full(N_CALIBRATION, "train")))
        write_films(run / HELDOUT_FILMS, Films(heldout, labels, part))
        origin = {**provenance(), "gpu": None, "data_digest": "d" * 64, "split_digest": "5" * 64}
        arch = "resnet10" if trained else None
        write_run(run, RunFacts("drawn", arch, Labels("Normal", "Tuberculosis"), readouts, True, origin))
        return run

    return draw


@pytest.fixture(scope="session")
def run(draw_run):
    """A run of the small network."""
    return draw_run()


@pytest.fixture(scope="session")
def baseline_run(draw_run):
    """A run without a trained checkpoint."""
    return draw_run(trained=False)


@pytest.fixture(scope="session")
def quantised(memory, run, tmp_path_factory):
    """Folder of what the int8 file is made from, and of the file itself, step by step as `convert` makes them."""
    folder = tmp_path_factory.mktemp("quantised")
    facts, films = read_run(run), str(run / CALIBRATION_FILMS)

    def step(module, **request):
        memory.run_step(module, request)
        return folder

    def place(name):
        return str(folder / name)

    network = {"network": "trained", "arch": facts.arch, "calibration": asdict(facts.readouts["trained"].calibration)}
    step("convert.torch_to_onnx", folder=str(run), **network, out=place("model.onnx"))
    files = {"h5": place("model.h5"), "keras": place("model.keras"), "saved_model": place("saved_model")}
    step("convert.onnx_to_keras", onnx=place("model.onnx"), **files)
    step("convert.equalise", onnx=place("model.onnx"), films=films, out=place("equalised.onnx"))
    step("convert.onnx_to_keras", onnx=place("equalised.onnx"), saved_model=place("equalised"))
    given = {"saved_model": place("equalised"), "films": films, "keep_float": ["head"]}
    return step("convert.int8", **given, out=place("model_int8.tflite"))


@pytest.fixture(scope="session")
def recipes(child, quantised, run, tmp_path_factory):
    """Folder of int8 files of the small network, by recipe, and of TensorFlow's default."""
    folder = tmp_path_factory.mktemp("recipes")
    saved = quantised / "equalised", quantised / "saved_model"
    child("recipe_small.py", *saved, run / CALIBRATION_FILMS, folder)
    return folder


@pytest.fixture(scope="session")
def converted(convert_run, run, tmp_path_factory):
    """What `convert` returned for the run, and the lines that it said."""
    return convert_run(run, tmp_path_factory.mktemp("converted") / "bundle")


@pytest.fixture(scope="session")
def bundle(converted):
    """The bundle of the run; nobody writes into it."""
    return converted[0].bundle


@pytest.fixture
def own_bundle(bundle, tmp_path):
    """A copy of the bundle that a test may spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def converted_by_onnx2tf(convert_run, run, converted, tmp_path_factory):
    """The same with `--route onnx2tf`."""
    return convert_run(run, tmp_path_factory.mktemp("foreign") / "bundle", route="onnx2tf")


@pytest.fixture(scope="session")
def converted_baseline(convert_run, baseline_run, converted, tmp_path_factory):
    """The same of a run without a trained checkpoint."""
    return convert_run(baseline_run, tmp_path_factory.mktemp("alone") / "bundle")


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory):
    """The held-out phantoms as a mere folder of films, in the order of the run."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("phantoms")
    for index in range(N_HELDOUT):
        phantom = draw_phantom(FIRST_HELDOUT + index, positive=bool(index % 2))
        Image.fromarray(phantom.pixels).save(folder / f"{index:02d}.png")
    return folder
