"""Others' checkpoint -> a network that gives their logits, or an error that says what does not fit.

Nothing is guessed: every key of the file has to have its place in torchvision's network, and
every parameter of that network its key.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tbconv.contract.errors import ConfigError
from tbconv.contract.tensor import EVIDENCE_SIDE
from torch_train.adopt_archs import LAYOUTS, OWN, no_exact_map
from torch_train.adopted_network import AdoptedNetwork
from torch_train.network import XrayNetwork
from torch_train.weights import as_float32, misfits, read_safetensors, why_unreadable

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".tar")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the state beside the rest
PLAIN = "save the tensors alone: torch.save(model.state_dict(), PATH)"
# torchvision's published densenet121 still has the names of before 2017: norm.1 for norm1.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
State = dict[str, Tensor]


def read_checkpoint(path: Path) -> State:
    """Read a state_dict, bare or wrapped, without running any code that the file may hold.

    Returns:
        The tensors by the file's own names, floats as float32.

    Raises:
        ConfigError: it is missing, no such file, holds other objects, or values that are not finite.
    """
    if not path.is_file() or path.suffix not in SUFFIXES:
        why = f"it is no {', '.join(SUFFIXES)} file" if path.is_file() else "there is no such file"
        raise ConfigError(f"the checkpoint is {str(path)!r}", why=why, fix="the file that holds the trained weights")
    try:
        state = read_safetensors(path)[0] if path.suffix == ".safetensors" else _read_pickle(path)
    except LookupError as error:  # how torch's reader trips over a file that is no pickle
        raise ConfigError(f"{path} cannot be read as weights", why="it is no file of tensors", fix=PLAIN) from error
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"{path} cannot be read as weights", why=why_unreadable(error), fix=PLAIN) from error
    spoilt = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if spoilt:
        why = f"NaN or infinite values in {', '.join(spoilt[:3])}"
        raise ConfigError(f"{path} holds a network that answers nothing", why=why, fix="an earlier checkpoint")
    return {key: as_float32(value) for key, value in state.items()}


def build_xray(state: State, arch: str) -> XrayNetwork:
    """Return this project's own network with the weights of a run, in eval mode.

    Raises:
        ConfigError: the state is of another network.
    """
    network = XrayNetwork(OWN[arch])  # type: ignore[arg-type]  # the table holds no others
    if why := misfits(network.state_dict(), state):
        raise ConfigError(
            f"the checkpoint is no {arch}", why=why, fix="weights.safetensors of a run, or another --arch"
        )
    network.load_state_dict({**network.state_dict(), **state})
    return network.eval()


def build_adopted(state: State, arch: str, *, positive_output: int) -> AdoptedNetwork:
    """Return torchvision's network with the checkpoint's weights, in eval mode, its normalisation still to be set.

    Args:
        state: of torchvision's names, perhaps all behind one prefix such as `module.`.
        arch: a key of `LAYOUTS`.
        positive_output: 1, or 0 where the checkpoint's first output (or its only one, turned round) is the positive.

    Raises:
        ConfigError: keys or shapes do not fit, or the head has no exact map.
    """
    stem, classifier = f"{LAYOUTS[arch].stem}.weight", LAYOUTS[arch].classifier
    state = _bare(state, stem)
    head = {key: value for key, value in state.items() if key.startswith(f"{classifier}.")}
    body = {key: value for key, value in state.items() if key not in head}
    network = AdoptedNetwork(arch, channels=_channels(state.get(stem)))
    own = network.body.state_dict()
    if why := misfits(own, body):
        shown = f"{stem} {list(own[stem].shape)} to {list(own)[-1]}"
        fix = f"a state_dict of torchvision's {arch}: {len(own)} tensors from {shown}, and its {classifier}"
        raise ConfigError(f"the checkpoint is no {arch}", why=why, fix=fix)
    network.body.load_state_dict({**own, **body})
    weight, bias = _dense(head, arch, network.features)
    order = [0, 1] if positive_output == 1 else [1, 0]
    network.head.load_state_dict({"dense.weight": weight[order], "dense.bias": bias[order]})
    _require_map(network.eval(), arch)
    return network


def _read_pickle(path: Path) -> State:
    return _unwrap(torch.load(path, map_location="cpu", weights_only=True))


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


def _channels(stem: Tensor | None) -> int:
    """Return 1 for a grey stem, else 3: any other number is then named as a shape that does not fit."""
    return 1 if stem is not None and stem.ndim == 4 and stem.shape[1] == 1 else 3


def _dense(head: State, arch: str, features: int) -> tuple[Tensor, Tensor]:
    """Return weight [2, C] and bias [2]; a single output z becomes the logits (0, z)."""
    weights = [key for key, value in head.items() if value.ndim == 2 and key.endswith(".weight")]
    if len(weights) != 1 or set(head) - {weights[0], _bias_of(weights[0])}:
        why = f"its head holds {', '.join(sorted(head)) or 'nothing'} under {LAYOUTS[arch].classifier}"
        raise no_exact_map(f"this {arch}", why)
    weight = head[weights[0]]
    bias = head.get(_bias_of(weights[0]), torch.zeros(len(weight)))
    if len(weight) not in (1, 2):
        raise no_exact_map(f"this {arch}", f"it has {len(weight)} outputs ({weights[0]})")
    if tuple(weight.shape[1:]) != (features,) or tuple(bias.shape) != (len(weight),):
        why = f"shape: {weights[0]} is {list(weight.shape)}, expected is [{len(weight)}, {features}]"
        raise ConfigError(f"the checkpoint is no {arch}", why=why, fix="another --arch")
    if len(weight) == 1:
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    return weight, bias


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _require_map(network: AdoptedNetwork, arch: str) -> None:
    with torch.inference_mode():
        shape = tuple(network.body(network.normalise(torch.zeros(1, 1, 224, 224))).shape)
    if shape != (1, network.features, EVIDENCE_SIDE, EVIDENCE_SIDE):
        raise no_exact_map(f"this {arch}", f"its last feature map is {list(shape)} at 224 x 224, not 7 x 7")
