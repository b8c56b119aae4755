"""A torchvision classifier as the world sees this project's networks: one grey film in, three outputs out.

torchvision's own modules under their own names, but for three things that change no number: a
1 x 1 convolution in front that turns grey 0..255 into the normalised channels which the network
learnt from, pooling that pads with zeros (exact behind a ReLU; torch_train.network says why), and
the last dense layer, whose map needs no locks: the pooling before it is linear.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from tbconv.contract.tensor import EVIDENCE_SIDE
from torch_train.adopt_archs import LAYOUTS
from torch_train.network import rows_of_places

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
