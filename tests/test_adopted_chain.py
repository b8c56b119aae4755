"""Other architectures from films to a certified bundle: another team's checkpoint, and one trained here and served."""

import csv
import json
import os
import subprocess
import sys

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torchvision.models import mobilenet_v2

pytestmark = pytest.mark.slow


def tbconv(*words, cwd):
    """Run the command in a process of its own and return what it prints."""
    command = [sys.executable, "-m", "tbconv", *map(str, words)]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{words[0]}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def as_input(film):
    """Return a film as `adopt` gives it to the network by default: [1, 3, 224, 224], normalised as for ImageNet."""
    grey = torch.from_numpy(np.asarray(Image.open(film).convert("L").resize((224, 224)), np.float32)) / 255
    mean, deviation = (torch.tensor(one)[:, None, None] for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((grey.expand(3, -1, -1) - mean) / deviation)[None]


def draw_checkpoint(place, films):
    """Write random weights whose BatchNorms know what smooth pictures give at every depth; the head knows the films."""
    torch.manual_seed(3)
    net = mobilenet_v2(weights=None, num_classes=2)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(functional.interpolate(torch.rand(16, 1, 9, 9), (224, 224), mode="bilinear").expand(-1, 3, -1, -1))
        net.eval()
        rows = list(csv.DictReader((films / "MetaData.csv").read_text(encoding="utf-8").splitlines()))
        found = [net.features(as_input(films / "image" / f"{row['id']}.png")).mean((0, 2, 3)) for row in rows]
        positive = torch.tensor([row["ptb"] == "1" for row in rows])
        towards = torch.stack(found)[positive].mean(0) - torch.stack(found)[~positive].mean(0)
        net.classifier[1].weight.copy_(torch.stack([-towards, towards]) / towards.norm())
    torch.save(net.state_dict(), place)


def test_an_adopted_mobilenet_is_certified_verified_and_traced(tmp_path):
    tbconv("data", "phantom", "films", "--n", "40", cwd=tmp_path)
    draw_checkpoint(tmp_path / "team.pt", tmp_path / "films")
    tbconv("adopt", "team.pt", "--arch", "mobilenet_v2", "--data", "films", "--out", "run", cwd=tmp_path)
    converted = json.loads(tbconv("convert", "run", "--out", "bundle", "--json", cwd=tmp_path))
    certified = {row["name"] for row in converted["rows"] if row["verdict"] == "CERTIFIED"}
    assert certified >= {"model.onnx", "saved_model", "model.h5", "model.keras", "model_float32.tflite"}
    assert all(row["films"]["flips"] == 0 for row in converted["rows"] if row["name"] in certified)
    verified = json.loads(tbconv("verify", "bundle", "--json", cwd=tmp_path))
    assert {row["name"] for row in verified["rows"] if row["verdict"] == "CERTIFIED"} == certified
    traced = json.loads(tbconv("verify", "bundle", "--trace", "--json", cwd=tmp_path))
    assert traced["found"] == []
    assert min(traced["noise_db"].values()) < 106 < max(traced["noise_db"].values())  # random, and so it amplifies


def screen(bundle, film, *, cwd):
    """Serve the float32 file on a free port, screen one film, and stop."""
    command = [sys.executable, "-m", "tbconv", "serve", bundle, "--port", "0", "--artefact", "model_float32.tflite"]
    with subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stderr.readline, "")
            url = next(line.split(" on ")[1].strip() for line in lines if " on http://127.0.0.1:" in line)
            files = {"file": ("a.png", film.read_bytes(), "image/png")}
            return httpx.post(f"{url}/api/v1/screen", files=files, timeout=60).json()
        finally:
            server.terminate()


def test_a_trained_densenet_is_certified_verified_and_served_with_a_map_whose_mean_is_the_margin(tmp_path):
    tbconv("data", "phantom", "films", "--n", "24", cwd=tmp_path)
    recipe = ("--arch", "densenet121", "--weights", "none", "--epochs", "1", "--batch", "8", "--device", "cpu")
    tbconv("train", "--data", "films", "--out", "run", *recipe, "--calibration-films", "8", cwd=tmp_path)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["arch"] == "densenet121"
    converted = json.loads(tbconv("convert", "run", "--out", "bundle", "--json", cwd=tmp_path))
    certified = {row["name"] for row in converted["rows"] if row["verdict"] == "CERTIFIED"}
    assert certified >= {"model.onnx", "saved_model", "model.h5", "model.keras", "model_float32.tflite"}
    verified = json.loads(tbconv("verify", "bundle", "--json", cwd=tmp_path))
    assert {row["name"] for row in verified["rows"] if row["verdict"] == "CERTIFIED"} == certified
    film = sorted((tmp_path / "films" / "image").iterdir())[0]
    served = screen("bundle", film, cwd=tmp_path)
    evidence = np.array(served["evidence"]["map"])
    assert (served["status"], evidence.shape) == ("ok", (7, 7))
    assert evidence.mean() == pytest.approx(served["margin"], abs=1e-4)
    assert evidence.std() > 0
