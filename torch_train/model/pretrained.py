"""Weights to start from: torchvision's own, or a file with torchvision's key names."""

from __future__ import annotations

import pickle
import re
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torchvision.models import ResNet50_Weights

from tbconv.contract.errors import ConfigError, SetupError
from torch_train.model.network import Arch, XrayNetwork

SUFFIXES = (".safetensors", ".pt", ".pth")
OFFLINE = "--weights FILE (.safetensors or .pt with torchvision's key names), or --weights none"
# How a weight file may say what it was trained on, e.g. "(pixel0..255 - 115.3)/66.8".
INPUT = re.compile(r"- *(\d+(?:\.\d+)?)\) */ *(\d+(?:\.\d+)?)")


def build_network(arch: Arch, weights: str, *, seed: int) -> XrayNetwork:
    """Build the network with a random head and a body from `weights`.

    Args:
        arch: resnet50, or resnet10 for tests.
        weights: imagenet, none or a path.
        seed: of everything that is drawn.

    Raises:
        SetupError: ImageNet weights cannot be downloaded.
        ConfigError: the file is missing, unreadable or of another network.
    """
    torch.manual_seed(seed)
    network = XrayNetwork(arch)
    if weights == "none":
        return network
    state, metadata = (_imagenet(arch), {}) if weights == "imagenet" else _read_file(Path(weights))
    _load_body(network, state, source=weights)
    if found := INPUT.search(metadata.get("input", "")):
        network.mean.fill_(float(found[1]))
        network.std.fill_(float(found[2]))
    return network


def _imagenet(arch: Arch) -> dict[str, Tensor]:
    if arch != "resnet50":
        raise ConfigError(
            f"torchvision has no weights for {arch}", why="it is a network for tests", fix="--weights none"
        )
    try:
        state: dict[str, Tensor] = ResNet50_Weights.IMAGENET1K_V2.get_state_dict(progress=True)
    except (OSError, RuntimeError, HTTPException) as error:  # no network, no room; a download cut off or altered
        what = "torchvision's ImageNet weights cannot be downloaded"
        raise SetupError(what, why=str(error), fix=OFFLINE) from error
    return state


def _read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file() or path.suffix not in SUFFIXES:
        why = f"it is no {', '.join(SUFFIXES)} file" if path.is_file() else "there is no such file"
        raise ConfigError(f"--weights is {str(path)!r}", why=why, fix="imagenet, none or a weight file")
    try:
        return read_safetensors(path) if path.suffix == ".safetensors" else (_read_pt(path), {})
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        what, fix = f"{path} cannot be read as weights", "save a plain state_dict of tensors"
        raise ConfigError(what, why=why_unreadable(error), fix=fix) from error


def why_unreadable(error: Exception) -> str:
    """Say why, but never pass on PyTorch's advice to load the file without `weights_only`."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is no file of tensors, or holds other objects too, and those are not loaded"
    return (str(error).splitlines() or [""])[0] or f"it is cut off ({type(error).__name__})"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file; ValueError if it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_pt(path: Path) -> dict[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("it holds something else than a dictionary of tensors")
    return state


def _load_body(network: XrayNetwork, state: dict[str, Tensor], *, source: str) -> None:
    own = network.body.state_dict()
    given = {key: as_float32(value) for key, value in state.items() if not key.startswith("fc.")}
    stem = given.get("conv1.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        given["conv1.weight"] = stem.sum(1, keepdim=True)  # a grey film shows the same in all three channels
    if why := misfits(own, given):
        raise ConfigError(f"{source} does not fit the network", why=why, fix="weights of torchvision's resnet50")
    network.body.load_state_dict({**own, **given})


def misfits(own: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """Return what keeps a state from being loaded: the first missing, unexpected and misshapen keys; "" if nothing.

    Args:
        own: the network's state; BatchNorms' counters may be missing from the other.
        given: the state that is to be loaded.
    """
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    faults = {
        "missing": sorted(needed - given.keys()),
        "unexpected": sorted(given.keys() - own.keys()),
        "shape": sorted(key for key in given.keys() & own.keys() if given[key].shape != own[key].shape),
    }
    return "; ".join(f"{kind}: {_some(keys)}" for kind, keys in faults.items() if keys)


def as_float32(value: Tensor) -> Tensor:
    """Widen what is floating point: the smallest BatchNorm variances are subnormal in float16."""
    return value.float() if value.is_floating_point() else value


def _some(keys: list[str], most: int = 4) -> str:
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + rest
