"""A torchvision classifier as the world sees this project's networks: one grey film in, three outputs out.

torchvision's own modules under their own names, but for three things that change no number: a
1 x 1 convolution in front that turns grey 0..255 into the normalised channels which the network
learnt from, pooling that pads with zeros (exact behind a ReLU; torch_train.model.network says why), and
the last dense layer, whose map needs no locks: the pooling before it is linear.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from tbconv.contract.errors import ConfigError
from tbconv.contract.manifest import EVIDENCE_SIDE
from torch_train.model.network import XrayNetwork, rows_of_places
from torch_train.model.pretrained import as_float32, misfits, read_safetensors, why_unreadable

WHITE = 255.0
# What torchvision's own weights were trained with, of channels in 0..1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a network was fed in training: (grey / 255 - mean) / std, channel by channel."""

    mean: tuple[float, ...]  # one value for all channels, or one each
    std: tuple[float, ...]

    def factors(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return scale and shift for grey levels 0..255, float32 [channels]."""
        mean, std = (torch.tensor(values, dtype=torch.float64).expand(channels) for values in (self.mean, self.std))
        return (1 / (WHITE * std)).float(), (-mean / std).float()


class AdoptedNetwork(nn.Module):
    """What a team trained, behind its own normalisation: grey levels in, logits out."""

    def __init__(self, arch: str, *, channels: int) -> None:
        """Build it with random weights.

        Args:
            arch: a key of `LAYOUTS`.
            channels: of the stem, 1 or 3.
        """
        super().__init__()
        self.normalise = nn.Conv2d(1, channels, kernel_size=1)
        self.body, self.features = _body(arch, channels)
        self.head = nn.Sequential(OrderedDict(dense=nn.Linear(self.features, 2)))

    def set_normalisation(self, normalisation: Normalisation) -> None:
        """Write scale and shift into the convolution in front."""
        scale, shift = normalisation.factors(self.normalise.out_channels)
        with torch.no_grad():
            self.normalise.weight.copy_(scale.reshape(-1, 1, 1, 1))
            self.normalise.bias.copy_(shift)  # type: ignore[union-attr]

    def forward(self, image: Tensor) -> Tensor:
        """Turn films float [N, 1, 224, 224], values 0..255, into logits [N, 2]."""
        logits: Tensor = self.head(self.body(self.normalise(image)).mean((2, 3)))
        return logits


class DeployedAdopted(nn.Module):
    """What is shipped: `image` -> `logits`, `probability`, `evidence`, in eval mode.

    evidence[y, x] is the margin of the dense layer at the features of that place alone.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, network: AdoptedNetwork, *, slope: float, offset: float) -> None:
        super().__init__()
        self.network = network
        self.margin = nn.Linear(network.features, 1)
        last = network.head.get_submodule("dense")
        with torch.no_grad():
            for name, own in self.margin.named_parameters():
                both = last.get_parameter(name)
                own.copy_(both[1:2] - both[0:1])
        self.register_buffer("slope", torch.tensor(slope))
        self.register_buffer("offset", torch.tensor(offset))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn films float [N, 1, 224, 224] into [N, 2], [N, 1] and [N, 7, 7]."""
        network = self.network
        places = rows_of_places(network.body(network.normalise(image)))
        pooled = places.mean(1)
        probability = torch.sigmoid(self.margin(pooled) * self.slope + self.offset)
        evidence: Tensor = self.margin(places.reshape(-1, network.features))
        return network.head(pooled), probability, evidence.reshape(-1, EVIDENCE_SIDE, EVIDENCE_SIDE)


def channels_of(state: dict[str, Tensor]) -> int:
    """Return the channels of an adopted network's stem from its stored state; KeyError if it is none."""
    return len(state["normalise.weight"])


def _body(arch: str, channels: int) -> tuple[nn.Sequential, int]:
    """Return all up to the last feature map [N, C, 7, 7], under torchvision's names, and C."""
    net, layout = get_model(arch, weights=None), LAYOUTS[arch]
    last = next(module for module in net.get_submodule(layout.classifier).modules() if isinstance(module, nn.Linear))
    children = [(name, child) for name, child in net.named_children() if name not in ("avgpool", layout.classifier)]
    body = nn.Sequential(OrderedDict(children))
    if arch.startswith("densenet"):  # torchvision applies it as a function
        body.add_module("relu", nn.ReLU())
    _take_channels(body, layout.stem, channels)
    _pad_with_zeros(body)
    return body, last.in_features


def _take_channels(body: nn.Module, stem: str, channels: int) -> None:
    old: Any = body.get_submodule(stem)
    if old.in_channels != channels:  # torchvision's have three, and none of them a bias
        new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
        body.set_submodule(stem, new)


def _pad_with_zeros(body: nn.Module) -> None:
    """Write padded pooling as zero padding and pooling: each of these stands behind a ReLU."""
    pools = [(name, one) for name, one in body.named_modules() if isinstance(one, nn.MaxPool2d) and one.padding]
    for name, pool in pools:
        pad = nn.ZeroPad2d(pool.padding)  # type: ignore[arg-type]  # torchvision gives one number for all sides
        parts = OrderedDict(pad=pad, pool=nn.MaxPool2d(pool.kernel_size, pool.stride))
        body.set_submodule(name, nn.Sequential(parts))


# --- adopt archs ---
# The classifiers that can be adopted, and why the others cannot: the one table that the option and the errors read.


@dataclass(frozen=True, slots=True)
class Layout:
    """Where torchvision keeps the two ends of a network."""

    classifier: str  # what stands behind the pooling: one dense layer there makes the map exact
    stem: str  # the first convolution


_RESNET = Layout("fc", "conv1")
_MOBILE = Layout("classifier", "features.0.0")
LAYOUTS = {
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "resnet101": _RESNET,
    "resnext50_32x4d": _RESNET,
    "wide_resnet50_2": _RESNET,
    "densenet121": Layout("classifier", "features.conv0"),
    "mobilenet_v2": _MOBILE,
    "efficientnet_b0": _MOBILE,
    "regnet_y_400mf": Layout("fc", "stem.0"),
}
NO_MAP = {
    "mobilenet_v3_large": "its head has two dense layers with a Hardswish between them",
    "vgg16_bn": "its head flattens the feature map before its dense layers instead of pooling it",
}
OWN = {"xray-resnet50": "resnet50", "xray-resnet10": "resnet10"}  # weights.safetensors of `tbconv train`
PREFIX = "torchvision-"  # in run.json: resnet50 alone is this project's own network
OTHER_ROAD = "export it to ONNX: tbconv convert MODEL.onnx --calibration DIR takes any classifier, without a threshold"


def stored_arch(arch: str) -> str:
    """Return what run.json calls a network: torchvision-resnet18, or resnet50 for this project's own."""
    return OWN.get(arch) or f"{PREFIX}{arch}"


def require_known(arch: str) -> None:
    """Refuse a network that is not in the table.

    Raises:
        ConfigError: it is unknown, or its head has no exact map.
    """
    if arch in NO_MAP:
        raise no_exact_map(f"--arch {arch}", NO_MAP[arch])
    if arch not in LAYOUTS and arch not in OWN:
        why = f"known are {', '.join([*LAYOUTS, *OWN])}"
        raise ConfigError(f"--arch is {arch!r}", why=why, fix=f"one of these, or {OTHER_ROAD}")


def no_exact_map(what: str, why: str) -> ConfigError:
    """Return the error for a head from which margin = mean(evidence) cannot be read."""
    why = f"{why}; an exact evidence map takes one dense layer with 1 or 2 outputs on the pooled features"
    return ConfigError(f"{what} cannot be adopted", why=why, fix=OTHER_ROAD)


# --- adopt checkpoint ---
# Others' checkpoint -> a network that gives their logits, or an error that says what does not fit.
#
# Nothing is guessed: every key of the file has to have its place in torchvision's network, and
# every parameter of that network its key.

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
