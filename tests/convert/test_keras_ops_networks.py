"""Small cousins of torchvision's classifiers, from both exporters of PyTorch, become layers that answer alike."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # PyTorch's exporters, ONNX Runtime and TensorFlow in turn: half a minute

COUSINS = ("densenet", "efficientnet", "mobilenet_v2", "mobilenet_v3", "regnet", "resnet", "resnext", "vgg")
RELATIVE = 2e-5  # of the largest answer; random weights carry rounding on as they carry the film on


@pytest.fixture(scope="module")
def cousins(child, tmp_path_factory):
    """What walking each cousin gave."""
    folder = tmp_path_factory.mktemp("cousins")
    assert child("draw_cousins.py", folder) == list(COUSINS)
    script = str(Path(__file__).with_name("check_networks.py"))
    subprocess.run([sys.executable, script, "answer", str(folder)], check=True, timeout=120)
    return child("check_networks.py", "walk", folder)


@pytest.mark.parametrize("name", COUSINS)
def test_a_torchvision_classifier_becomes_layers_that_answer_as_onnx_runtime_does(name, cousins):
    row = cousins[name]
    assert "error" not in row, row
    assert row["spread"] > 1e-3, "the answers do not depend on the film, so nothing is shown"
    assert (row["relative"] <= RELATIVE, row["flips"]) == (True, 0), row


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3", "efficientnet"])
def test_a_convolution_of_each_channel_alone_becomes_a_depthwise_layer(name, cousins):
    assert cousins[name]["kinds"]["DepthwiseConv2D"] >= 2


def test_a_graph_that_was_not_optimised_keeps_its_batch_norms_as_layers(cousins):
    assert cousins["resnext"]["kinds"]["BatchNormalization"] > 10
