"""PyTorch eager: the reference in float32, the oracle in float64, both with the locks of their head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convert.runners.base import Answer, runner_main
from tbconv.contract.manifest import Calibration
from torch_train.model.deployed import DeployedNetwork, load_deployed


class TorchEager:
    """A deployed network on the CPU."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        self._network = network.to(dtype)
        self._dtype = dtype
        self._before: list[torch.Tensor] = []  # what the head's dense layers gave since the last film went in
        if isinstance(network, DeployedNetwork):
            for _, layer in network.network.head.hidden:
                layer.register_forward_hook(self._keep)

    def predict(self, images: NDArray[np.float32]) -> Answer:
        """Answer films, float32 [N, 224, 224, 1], in the network's own precision."""
        films = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._dtype)
        self._before.clear()
        with torch.inference_mode():
            logits, probability, evidence = self._network(films)
        return Answer(logits.numpy(), probability.numpy(), evidence.numpy(), self._locks(len(images)))

    def _keep(self, _: torch.nn.Module, __: Any, output: torch.Tensor) -> None:
        self._before.append(output)

    def _locks(self, films: int) -> NDArray[np.bool_] | None:
        """Return which ReLUs are open; the dense layers answer the films first, then their 49 places each."""
        of_films = [output > 0 for output in self._before if len(output) == films]
        return torch.cat(of_films, dim=1).numpy() if of_films else None


def load(request: dict[str, Any]) -> TorchEager:
    """Load from a folder with weights; request: folder, network, arch, calibration, dtype."""
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["folder"]), request["network"], arch=request["arch"], calibration=calibration)
    return TorchEager(network, getattr(torch, request["dtype"]))


if __name__ == "__main__":
    runner_main(load)
