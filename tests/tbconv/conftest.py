"""Drawn films and bundles of a few bytes: the contract asks for digests, not for networks."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tbconv.cli import main
from tbconv.contract.bundle import CERTIFICATE, seal, write_bundle
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import DISCLAIMER
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.manifest import (
    Artefact,
    Calibration,
    DecisionRule,
    Labels,
    Manifest,
    OperatingPoint,
    image_spec,
    output_specs,
)
from tbconv.contract.preprocess import PreprocessSpec

ROOT = Path(__file__).parents[2]
# One of each kind that a bundle holds: a file, a file in a folder, weights, JSON, arrays, text.
CONTENTS = {
    "baseline.tflite": b"\x20\x00\x00\x00TFL3 drawn",
    "model.onnx": b"\x08\x08 drawn",
    "model.h5": b"\x89HDF drawn",
    "saved_model/saved_model.pb": b"\x08\x01 drawn",
    "saved_model/variables/variables.index": b"index",
    "weights.safetensors": b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ",
    "metrics.json": b'{"auroc": 0.5}\n',
    "golden.npz": b"PK drawn",
    "model_card.md": b"# drawn\n",
}


def as_file(image, kind="PNG", **options):
    """Return a picture as the bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def pack():
    """The function that packs a Pillow picture into a file's bytes."""
    return as_file


@pytest.fixture
def grey():
    """A small film that no flip, turn or transpose maps to itself, uint8 [24, 16], 0 and 255 in it."""
    pixels = np.random.default_rng(7).integers(0, 256, (24, 16)).astype(np.uint8)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    return pixels


@pytest.fixture
def manifest():
    """A manifest with an artefact in a file and one in a folder."""
    point = OperatingPoint(0.25, 0.9, 0.91, 0.85, 40, 60, "0" * 64)
    image = (image_spec(channels_first=False),)
    return Manifest(
        name="drawn",
        kind="trained",
        labels=Labels("Normal", "Tuberculosis"),
        preprocessing=PreprocessSpec(),
        decision_rules={
            network: DecisionRule(Calibration(1.2, -0.3, 40, 60), point) for network in ("trained", "baseline")
        },
        artefacts=(
            Artefact("saved_model", "saved_model", "float32", "trained", image, output_specs(), "drawn", "nobody"),
            Artefact("baseline.tflite", "tflite", "float32", "baseline", image, output_specs(), "drawn", "nobody"),
        ),
        provenance={"training": {"git_commit": None, "gpu": None}, "conversion": {}, "arch": "resnet10"},
        synthetic=True,
    )


@pytest.fixture
def fill(manifest):
    """Return a function that fills a folder with a bundle's files, certificate and manifest."""

    def write(folder, *, name="drawn", contents=CONTENTS):
        for path, data in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        digest = sha256_file(folder / "baseline.tflite")
        rows = {"baseline.tflite": ArtefactVerdict(Verdict.CERTIFIED, digest, "measured in a test", {"flips": 0})}
        write_json(folder / CERTIFICATE, asdict(Certificate(rows, disclaimer=DISCLAIMER)))
        return seal(folder, replace(manifest, name=name))

    return write


@pytest.fixture
def bundle(fill, tmp_path):
    """The place of a whole bundle."""
    place = tmp_path / "bundle"
    with write_bundle(place) as folder:
        fill(folder)
    return place


def run_here(*words):
    """Run the command in this process; its exit code and what it wrote."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tbconv", *map(str, words)])
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", "120")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture
def tbconv():
    """Return a function that runs the command without colours and without a terminal.

    It runs here, where frameworks are loaded once; with `code` in a process of its own, which runs that code instead.
    """

    def call(*words, code=None):
        if code is None:
            return run_here(*words)
        command = [sys.executable, "-c", code, *map(str, words)]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    return call


@pytest.fixture
def draw_picture():
    """The function that makes a Pillow picture of an array."""
    return Image.fromarray
