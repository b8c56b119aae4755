"""Random, seeded weights of a library's network, with running statistics of real films, as a file of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from convert.formats.normalise import Normalise, prepare
from convert.formats.torch_to_onnx.of_library import SEED, build

FRAMEWORK = "torch"
HEAD_STD = 0.02  # of a classifier that its library begins with zeros, as timm draws those that it does not
AUX = "AuxLogits"  # of torchvision's inception_v3
CENTRED = 3  # times: a network that answers with the mean of two heads moves half as far as one of them


def warm(request: dict[str, Any]) -> dict[str, Any]:
    """Write the weights; request: what `build` reads, images (.npy, uint8 [N, S, S]), weights_out, two_classes.

    With `two_classes` a classifier of two outputs takes the place of the library's, and its bias is set so that each
    class is the answer to half of the films, where it has one and it is the last to act.

    Returns:
        parameters, and norms: how many layers took statistics of the films.
    """
    built = build(request | {"weights": "random"})
    network, given = built.network, built.preprocessing
    if not isinstance(network, torch.nn.Module) or given is None:
        raise ValueError("an ExportedProgram has weights of its own")
    if given.mean is None or given.std is None:
        raise ValueError(f"{given.origin} states no mean and deviation for the network's channels")
    last = _two_outputs(network) if request.get("two_classes") else None
    head = _layers(network)[-1][1].weight
    if not head.any():  # some begin with zeros, and answer every film alike
        torch.nn.init.normal_(head, std=HEAD_STD)
    norms = [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over what it sees
    films = torch.from_numpy(prepare(np.load(request["images"]), Normalise("given", given.mean, given.std)))
    films = torch.nn.functional.interpolate(films, (built.size, built.size), mode="bilinear", antialias=True)
    if norms:
        aux = getattr(network, AUX, None)
        if aux is not None:  # of training alone, and too large a window for small images
            setattr(network, AUX, None)
        with torch.no_grad():
            network.train()(films)
        if aux is not None:
            setattr(network, AUX, aux)
    if last is not None and last.bias is not None:
        with torch.no_grad():
            for _ in range(CENTRED):
                last.bias[1] -= network.eval()(films).diff(dim=1).median()
    state = {key: value.detach().clone().contiguous() for key, value in network.eval().state_dict().items()}
    save_file(state, Path(request["weights_out"]))
    return {"parameters": sum(one.numel() for one in network.parameters()), "norms": len(norms)}


def _two_outputs(network: torch.nn.Module) -> torch.nn.Linear | torch.nn.Conv2d:
    """Give a network two classes instead of its library's, and return its last layer."""
    torch.manual_seed(SEED)
    if hasattr(network, "reset_classifier"):  # timm's
        reset: Any = network.reset_classifier
        reset(2)
        return _layers(network)[-1][1]
    name, last = _layers(network)[-1]
    if isinstance(last, torch.nn.Linear):
        new: torch.nn.Linear | torch.nn.Conv2d = torch.nn.Linear(last.in_features, 2, bias=last.bias is not None)
    else:
        new = torch.nn.Conv2d(last.in_channels, 2, 1, bias=last.bias is not None)
    network.set_submodule(name, new)
    return new


def _layers(network: torch.nn.Module) -> list[tuple[str, torch.nn.Linear | torch.nn.Conv2d]]:
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return [(name, one) for name, one in network.named_modules() if isinstance(one, kinds)]
