"""Random, seeded weights of a library's network, with running statistics of real films, as a file of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from convert.formats.normalise import Normalise, prepare
from convert.formats.torch_to_onnx.of_library import build

FRAMEWORK = "torch"


def warm(request: dict[str, Any]) -> dict[str, Any]:
    """Write the weights; request: what `build` reads, images (.npy, uint8 [N, S, S]), weights_out.

    Returns:
        parameters, and norms: how many layers took statistics of the films.
    """
    built = build(request | {"weights": "random"})
    network, given = built.network, built.preprocessing
    if not isinstance(network, torch.nn.Module) or given is None:
        raise ValueError("an ExportedProgram has weights of its own")
    if given.mean is None or given.std is None:
        raise ValueError(f"{given.origin} states no mean and deviation for the network's channels")
    norms = [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over what it sees
    if norms:
        films = prepare(np.load(request["images"]), Normalise("given", given.mean, given.std))
        with torch.no_grad():
            network.eval()  # heads that are there in training alone may need larger films
            for norm in norms:
                norm.train()
            network(torch.from_numpy(films))
    state = {key: value.detach().clone().contiguous() for key, value in network.eval().state_dict().items()}
    save_file(state, Path(request["weights_out"]))
    return {"parameters": sum(one.numel() for one in network.parameters()), "norms": len(norms)}
