from dataclasses import asdict

import onnx
import pytest
import torch

from convert.worker import run_step
from tbconv.contract.manifest import Calibration
from torch_train.model.network import IMAGENET, AdoptedNetwork, Normalisation
from torch_train.results import write_weights


@pytest.mark.slow  # PyTorch's exporter on a whole MobileNet: half a minute
def test_an_adopted_network_is_exported_in_plain_operations_that_are_named_after_its_modules(tmp_path):
    torch.manual_seed(0)
    network = AdoptedNetwork("mobilenet_v2", channels=3).eval()
    network.set_normalisation(Normalisation(*IMAGENET))
    write_weights(tmp_path / "weights.safetensors", network)
    request = {"folder": str(tmp_path), "network": "trained", "arch": "torchvision-mobilenet_v2"}
    calibration, out = asdict(Calibration(1.0, 0.0, 5, 5)), tmp_path / "model.onnx"
    run_step(
        "convert.formats.torch_to_onnx.of_run:torch_to_onnx", request | {"calibration": calibration, "out": str(out)}
    )
    nodes = {node.name: node.op_type for node in onnx.load(str(out)).graph.node}
    assert (nodes["normalise"], nodes["body.features.0.2.Clip"], nodes["head.dense"]) == ("Conv", "Clip", "Gemm")
    plain = {
        "Add",
        "BatchNormalization",
        "Clip",
        "Conv",
        "Gemm",
        "Mul",
        "ReduceMean",
        "Reshape",
        "Sigmoid",
        "Transpose",
    }
    assert set(nodes.values()) - plain == set()  # no function is left, such as aten_hardtanh
