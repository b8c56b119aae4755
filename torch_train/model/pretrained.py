"""Weights to start from or to take over: torchvision's own, a file with torchvision's key names, another team's.

Nothing is guessed: every key of a file has to have its place in the network, and every parameter of the
network its key. No code that a file may hold is run.
"""

from __future__ import annotations

import pickle
import re
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torchvision.models import get_model_weights

from tbconv.contract.errors import ConfigError, SetupError, some
from tbconv.contract.files import advice_on
from tbconv.contract.manifest import EVIDENCE_SIDE
from torch_train.model.backbones import OF_RUNS, SEVERAL, VIA_ONNX, backbone, no_exact_evidence
from torch_train.model.network import AdoptedNetwork, XrayNetwork

State = dict[str, Tensor]
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".tar")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the state beside the rest
PLAIN = "save the tensors alone: torch.save(model.state_dict(), PATH)"
OFFLINE = "--weights FILE (.safetensors or .pt with torchvision's key names), or --weights none"
# How a weight file may say what it was trained on, e.g. "(pixel0..255 - 115.3)/66.8".
INPUT = re.compile(r"- *(\d+(?:\.\d+)?)\) */ *(\d+(?:\.\d+)?)")
# torchvision's published densenet121 still has the names of before 2017: norm.1 for norm1.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def build_network(arch: str, weights: str, *, seed: int, outputs: int = 2) -> XrayNetwork:
    """Build the network to train, with a random head and a body from `weights`.

    Args:
        arch: a key of `BACKBONES`.
        weights: imagenet, none or a path.
        seed: of everything that is drawn.
        outputs: 2 (negative, positive), or one a label.

    Raises:
        SetupError: ImageNet weights cannot be downloaded.
        ConfigError: the file is missing, unreadable or of another network.
    """
    torch.manual_seed(seed)
    network = XrayNetwork(arch, outputs=outputs)
    if weights == "none":
        return network
    state, metadata = (_imagenet(arch), {}) if weights == "imagenet" else read_weights(Path(weights))
    row = backbone(arch)
    stem = f"{row.stem}.weight"
    state = {key: value for key, value in _bare(state, stem).items() if not key.startswith(f"{row.classifier}.")}
    if stem in state and state[stem].ndim == 4 and state[stem].shape[1] == 3:
        state[stem] = state[stem].sum(1, keepdim=True)  # a grey film shows the same in all three channels
    if why := _load(network.body, state):
        raise ConfigError(f"{weights} does not fit the network", why=why, fix=f"weights of torchvision's {arch}")
    if found := INPUT.search(metadata.get("input", "")):
        network.mean.fill_(float(found[1]))
        network.std.fill_(float(found[2]))
    return network


def _imagenet(arch: str) -> State:
    name = backbone(arch).weights
    if name is None:
        why = "it is a network for quick tests"
        raise ConfigError(f"torchvision has no weights for {arch}", why=why, fix="--weights none")
    try:
        state: State = get_model_weights(arch)[name].get_state_dict(progress=True)
    except (OSError, RuntimeError, HTTPException) as error:  # no network, no room; a download cut off or altered
        what = f"torchvision's ImageNet weights of {arch} cannot be downloaded"
        raise SetupError(what, why=str(error), fix=OFFLINE) from error
    return state


def read_weights(path: Path) -> tuple[State, dict[str, str]]:
    """Read a state_dict, bare or wrapped.

    Returns:
        The tensors by the file's own names, floats as float32, and a safetensors file's metadata.

    Raises:
        ConfigError: the file is missing, holds other objects, or values that are not finite.
    """
    if not path.is_file() or path.suffix not in SUFFIXES:
        why = f"it is not a {', '.join(SUFFIXES)} file" if path.is_file() else "there is no such file"
        advice, fix = advice_on(path), "the file that holds the trained weights"
        if advice is not None and advice.kind != "empty":
            why, fix = advice.why, advice.fix
        raise ConfigError(f"{str(path)!r} is not a weight file", why=why, fix=fix)
    metadata: dict[str, str] = {}
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                metadata = file.metadata() or {}
        else:
            state = _unwrap(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, LookupError) as error:  # PyTorch's text would advise to run what the file holds
        why = "it is not a file of tensors, or holds other objects too, and those are not loaded"
        raise ConfigError(f"{path} cannot be read as weights", why=why, fix=PLAIN) from error
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        why = (str(error).splitlines() or [""])[0] or f"it is cut off ({type(error).__name__})"
        raise ConfigError(f"{path} cannot be read as weights", why=why, fix=PLAIN) from error
    if broken := [key for key, value in state.items() if not torch.isfinite(value).all()]:
        why = f"NaN or infinite values in {', '.join(broken[:3])}"
        raise ConfigError(f"{path} holds no usable network", why=why, fix="an earlier checkpoint")
    # The smallest BatchNorm variances are subnormal in float16.
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, metadata


def _unwrap(value: Any) -> State:
    """Return the state inside of what a training script saved; ValueError if there is none."""
    if isinstance(value, dict):
        inner = next((value[name] for name in WRAPPERS if isinstance(value.get(name), dict)), None)
        if inner is not None:
            return _unwrap(inner)
        if value and all(isinstance(one, Tensor) for one in value.values()):
            return {str(key): one for key, one in value.items()}
    raise ValueError(f"it holds no dictionary of tensors, neither bare nor under {', '.join(WRAPPERS)}")


def _bare(state: State, stem: str) -> State:
    """Drop the prefix that all keys share in front of torchvision's names (DataParallel's `module.`, a wrapper's)."""
    ends = [key.removesuffix(stem) for key in state if key == stem or key.endswith(f".{stem}")]
    prefix = min(ends, key=len, default="")
    if not all(key.startswith(prefix) for key in state):
        prefix = ""
    return {OLD_DENSENET.sub(r"\1\2", key.removeprefix(prefix)): value for key, value in state.items()}


def _load(module: nn.Module, state: State) -> str:
    """Load a state, or return what does not fit: the first missing, unexpected and misshapen keys.

    BatchNorms' counters may be missing.
    """
    own = module.state_dict()
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    faults = {
        "missing": sorted(needed - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "shape": sorted(key for key in state.keys() & own.keys() if state[key].shape != own[key].shape),
    }
    if not any(faults.values()):
        module.load_state_dict({**own, **state})
    return "; ".join(f"{kind}: {some(keys, 4)}" for kind, keys in faults.items() if keys)


# --- adopted checkpoints ---


def build_xray(state: State, arch: str) -> XrayNetwork:
    """Return this project's own network with the weights of a run, in eval mode.

    Raises:
        ConfigError: the state is of another network.
    """
    network = XrayNetwork(OF_RUNS[arch])
    if why := _load(network, state):
        fix = "weights.safetensors of a run, or another --arch"
        raise ConfigError(f"the checkpoint is not a {arch}", why=why, fix=fix)
    return network.eval()


def build_adopted(state: State, arch: str, *, positive_output: int = 1, labels: int | None = None) -> AdoptedNetwork:
    """Return torchvision's network with the checkpoint's weights, in eval mode, its normalisation still to be set.

    Args:
        state: of torchvision's names, perhaps all behind one prefix such as `module.`.
        arch: one of `ADOPTABLE`.
        positive_output: 1, or 0 where the checkpoint's first output (or its only one, negated) is the positive class.
        labels: how many outputs it has, in their own order; None: those of two classes.

    Raises:
        ConfigError: keys or shapes do not fit, or the head has no exact map.
    """
    row = backbone(arch)
    stem = f"{row.stem}.weight"
    state = _bare(state, stem)
    head = {key: value for key, value in state.items() if key.startswith(f"{row.classifier}.")}
    body = {key: value for key, value in state.items() if key not in head}
    grey = stem in state and state[stem].ndim == 4 and state[stem].shape[1] == 1
    network = AdoptedNetwork(arch, channels=1 if grey else 3, outputs=labels or 2)
    if why := _load(network.body, body):
        own = network.body.state_dict()
        shown = f"{stem} {list(own[stem].shape)} to {list(own)[-1]}"
        fix = f"a state_dict of torchvision's {arch}: {len(own)} tensors from {shown}, and its {row.classifier}"
        raise ConfigError(f"the checkpoint is not a {arch}", why=why, fix=fix)
    weight, bias = _dense(head, arch, network.features, labels)
    order = list(range(labels)) if labels else [0, 1] if positive_output == 1 else [1, 0]
    network.head.load_state_dict({"dense.weight": weight[order], "dense.bias": bias[order]})
    with torch.inference_mode():
        shape = tuple(network.eval().body(network.normalise(torch.zeros(1, 1, 224, 224))).shape)
    if shape != (1, network.features, EVIDENCE_SIDE, EVIDENCE_SIDE):
        raise no_exact_evidence(f"this {arch}", f"its last feature map is {list(shape)} at 224 x 224, not 7 x 7")
    return network


def _dense(head: State, arch: str, features: int, labels: int | None) -> tuple[Tensor, Tensor]:
    """Return weight [2, C] and bias [2]; a single output z becomes the logits (0, z). Of several labels one each."""
    weights = [key for key, value in head.items() if value.ndim == 2 and key.endswith(".weight")]
    biases = [key.removesuffix("weight") + "bias" for key in weights]
    if len(weights) != 1 or set(head) - {*weights, *biases}:
        why = f"its head holds {', '.join(sorted(head)) or 'nothing'} under {backbone(arch).classifier}"
        raise no_exact_evidence(f"this {arch}", why)
    weight = head[weights[0]]
    bias = head.get(biases[0], torch.zeros(len(weight)))
    if labels is not None and len(weight) != labels:
        what, why = f"--names has {labels} labels", f"{weights[0]} has {len(weight)} outputs"
        raise ConfigError(what, why=why, fix="name each output once, in the network's order")
    if labels is None and len(weight) not in (1, 2):
        why = f"it has {len(weight)} outputs ({weights[0]})"
        raise no_exact_evidence(f"this {arch}", why, f"{SEVERAL}; or {VIA_ONNX}")
    if tuple(weight.shape[1:]) != (features,) or tuple(bias.shape) != (len(weight),):
        why = f"shape: {weights[0]} is {list(weight.shape)}, expected is [{len(weight)}, {features}]"
        raise ConfigError(f"the checkpoint is not a {arch}", why=why, fix="another --arch")
    if labels is None and len(weight) == 1:
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    return weight, bias
