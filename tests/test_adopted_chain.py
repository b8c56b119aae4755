"""Another team's checkpoint - another architecture, random weights - on the road from films to a certified bundle."""

import json
import os
import subprocess
import sys

import pytest
import torch
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


def draw_checkpoint(place):
    """Write random weights whose BatchNorms know what smooth pictures give at every depth."""
    torch.manual_seed(3)
    net = mobilenet_v2(weights=None, num_classes=2)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(functional.interpolate(torch.rand(16, 1, 9, 9), (224, 224), mode="bilinear").expand(-1, 3, -1, -1))
    torch.save(net.state_dict(), place)


def test_an_adopted_mobilenet_is_certified_verified_and_traced(tmp_path):
    draw_checkpoint(tmp_path / "team.pt")
    tbconv("data", "phantom", "films", "--n", "40", cwd=tmp_path)
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
