"""PyTorch eager: the reference in float32, the oracle in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convert.runners.child import runner_main
from tbconv.contract.calibration import Calibration
from tbconv.contract.classifier import Prediction
from torch_train.deploy import load_deployed


class TorchEager:
    """A deployed network on the CPU."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        self._network = network.to(dtype)
        self._dtype = dtype

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1], in the network's own precision."""
        films = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._dtype)
        with torch.inference_mode():
            logits, probability, evidence = self._network(films)
        return Prediction(logits.numpy(), probability.numpy(), evidence.numpy())


def load(request: dict[str, Any]) -> TorchEager:
    """Load from a folder with weights; request: folder, network, arch, calibration, dtype."""
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["folder"]), request["network"], arch=request["arch"], calibration=calibration)
    return TorchEager(network, getattr(torch, request["dtype"]))


if __name__ == "__main__":
    runner_main(load)
