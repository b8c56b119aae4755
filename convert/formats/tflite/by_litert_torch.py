"""PyTorch -> TFLite by litert-torch, in an environment of its own: it never sees our ONNX, so it is compared with.

`TBCONV_LITERT_TORCH` names the Python of that environment (`pip install litert-torch` there, with the same torch: its
dependencies do not go with ours). Without it nothing is made.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import torch

from tbconv.contract.errors import ConversionError
from tbconv.contract.files import temporary_folder
from tbconv.contract.manifest import Calibration
from torch_train.model.deployed import load_deployed

FRAMEWORK = "torch"

OUTPUTS = ("logits", "probability", "evidence")
SIZE = 224  # pixels of a side
LAST_LINES = 5
CONVERTER = f"""
import importlib.metadata, sys
import litert_torch, torch
program = torch.export.load(sys.argv[1]).module()
film = {{"image": torch.zeros(1, {SIZE}, {SIZE}, 1)}}
litert_torch.signature("serving_default", program, sample_kwargs=film).convert().export(sys.argv[2])
print(importlib.metadata.version("litert-torch"))
"""


class _ChannelsLast(torch.nn.Module):
    """The network with the input and the named outputs of a bundle's TFLite."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(OUTPUTS, self.network(image.permute(0, 3, 1, 2)), strict=True))


def torch_to_tflite(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one network of a run.

    Args:
        request: python (of that environment), folder, network, arch, calibration, out.

    Raises:
        ConversionError: litert-torch left no file.
    """
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["folder"]), request["network"], arch=request["arch"], calibration=calibration)
    film = {"image": torch.zeros(1, SIZE, SIZE, 1)}
    with temporary_folder("litert-torch") as folder:
        torch.export.save(torch.export.export(_ChannelsLast(network).eval(), (), film), folder / "network.pt2")
        command = [request["python"], "-I", "-c", CONVERTER, str(folder / "network.pt2"), request["out"]]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=1800
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refusal(request["python"], str(error)) from error
    if done.returncode != 0 or not Path(request["out"]).is_file():
        raise _refusal(request["python"], "\n    ".join(done.stderr.strip().splitlines()[-LAST_LINES:]))
    return {"converter": f"litert-torch {done.stdout.split()[-1]}"}


def _refusal(python: str, why: str) -> ConversionError:
    fix = "unset TBCONV_LITERT_TORCH to convert without it"
    return ConversionError(f"litert-torch of {python} wrote no TFLite file", why=why, fix=fix)
