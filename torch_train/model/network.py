"""The networks as they are trained: grey levels in, logits out.

`XrayNetwork` is what `tbconv train` makes of a backbone, `AdoptedNetwork` what `tbconv adopt` takes over
from another team. Both share the body; `torch_train.model.deployed` adds what is shipped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model, resnet

from torch_train.model.backbones import backbone

HIDDEN = (512, 256)
DROPOUT = (0.5, 0.3)
# ImageNet's channel means 0.485, 0.456, 0.406 and deviations 0.229, 0.224, 0.225, averaged and times 255.
PIXEL_MEAN, PIXEL_STD = 114.5, 57.6
WHITE = 255.0
# What torchvision's own weights were trained with, of channels in 0..1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def build_body(arch: str, *, channels: int) -> nn.Sequential:
    """Return a backbone up to its last feature map [N, C, h, w], randomly initialised, under torchvision's names.

    Padded pooling is written as zero padding and unpadded pooling: exact behind a ReLU, and no -3.4e38
    constant reaches a quantizer.

    Args:
        arch: a key of `BACKBONES`.
        channels: of the stem, 1 or 3.
    """
    row = backbone(arch)
    net = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1]) if arch == "resnet10" else get_model(arch, weights=None)
    children = [(name, child) for name, child in net.named_children() if name not in ("avgpool", row.classifier)]
    body = nn.Sequential(OrderedDict(children))
    if not row.ends_in_relu:
        body.add_module("relu", nn.ReLU())
    stem: Any = body.get_submodule(row.stem)
    if stem.in_channels != channels:
        body.set_submodule(row.stem, _stem(stem, channels))
    pools = [(name, one) for name, one in body.named_modules() if isinstance(one, nn.MaxPool2d) and one.padding]
    for name, pool in pools:
        pad = nn.ZeroPad2d(pool.padding)  # type: ignore[arg-type]  # torchvision gives one number for all sides
        parts = OrderedDict(pad=pad, pool=nn.MaxPool2d(pool.kernel_size, pool.stride))
        body.set_submodule(name, nn.Sequential(parts))
    return body


def _stem(old: nn.Conv2d, channels: int) -> nn.Conv2d:
    bias = old.bias is not None
    stem = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=bias)  # type: ignore[arg-type]
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    if stem.bias is not None:
        nn.init.zeros_(stem.bias)
    return stem


class GreyClassifier(nn.Module):
    """Normalisation, body, mean over places, head: what all networks have in common."""

    normalise: Callable[[Tensor], Tensor]
    body: nn.Sequential
    head: Head | DenseHead
    features: int  # channels of the last feature map

    def forward(self, image: Tensor) -> Tensor:
        """Turn films float [N, 1, 224, 224], values 0..255, into logits [N, 2], or one a label."""
        logits: Tensor = self.head(self.body(self.normalise(image)).mean((2, 3)))
        return logits


# --- trained ---


class Head(nn.Module):
    """BatchNorm + Dense(512) + ReLU + Dropout(0.5), BatchNorm + Dense(256) + ReLU + Dropout(0.3), Dense(outputs)."""

    def __init__(self, features: int, outputs: int = 2) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm1d(features)
        self.dense1 = nn.Linear(features, HIDDEN[0])
        self.drop1 = nn.Dropout(DROPOUT[0])
        self.bn2 = nn.BatchNorm1d(HIDDEN[0])
        self.dense2 = nn.Linear(HIDDEN[0], HIDDEN[1])
        self.drop2 = nn.Dropout(DROPOUT[1])
        self.dense3 = nn.Linear(HIDDEN[1], outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn pooled features [N, C] into logits [N, 2], or one a label."""
        hidden = self.drop1(torch.relu(self.dense1(self.bn1(pooled))))
        hidden = self.drop2(torch.relu(self.dense2(self.bn2(hidden))))
        logits: Tensor = self.dense3(hidden)
        return logits

    @property
    def hidden(self) -> tuple[tuple[nn.BatchNorm1d, nn.Linear], ...]:
        """The layers that a ReLU follows, each behind its BatchNorm."""
        return (self.bn1, self.dense1), (self.bn2, self.dense2)

    @property
    def last(self) -> nn.Linear:
        """The layer that gives the logits."""
        return self.dense3


class XrayNetwork(GreyClassifier):
    """What `tbconv train` trains: a backbone with a stem of one channel, and this project's head."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, arch: str = "resnet50", *, mean: float = PIXEL_MEAN, std: float = PIXEL_STD, outputs: int = 2
    ) -> None:
        """Build it with random weights; `outputs` is 2 (negative, positive), or one a label."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.body = build_body(arch, channels=1)
        self.features = backbone(arch).features
        self.head: Head = Head(self.features, outputs)

    def normalise(self, image: Tensor) -> Tensor:
        """Turn grey levels 0..255 into what the body was trained on."""
        return (image - self.mean) / self.std


def weighted_layers(network: XrayNetwork) -> list[tuple[str, nn.Module, tuple[nn.Module, ...]]]:
    """List the convolutions and dense layers from the output inwards: what `--fine-tune N` counts.

    Returns:
        (name, layer, the BatchNorms that learn with it): those that follow a convolution, that before a dense layer.
    """
    head = network.head
    body: list[tuple[str, nn.Module, tuple[nn.Module, ...]]] = []
    for name, module in network.body.named_modules():
        if isinstance(module, nn.Conv2d):
            body.append((f"body.{name}", module, ()))
        elif isinstance(module, nn.BatchNorm2d):
            layer, convolution, norms = body.pop()
            body.append((layer, convolution, (*norms, module)))
    return [
        ("head.dense3", head.dense3, ()),
        ("head.dense2", head.dense2, (head.bn2,)),
        ("head.dense1", head.dense1, (head.bn1,)),
        *reversed(body),
    ]


# --- adopted ---


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a network was fed in training: (grey / 255 - mean) / std, channel by channel."""

    mean: tuple[float, ...]  # one value for all channels, or one each
    std: tuple[float, ...]

    def factors(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return scale and shift for grey levels 0..255, float32 [channels]."""
        mean, std = (torch.tensor(values, dtype=torch.float64).expand(channels) for values in (self.mean, self.std))
        return (1 / (WHITE * std)).float(), (-mean / std).float()


class DenseHead(nn.Module):
    """One dense layer on the pooled features."""

    hidden: tuple[tuple[nn.BatchNorm1d, nn.Linear], ...] = ()

    def __init__(self, features: int, outputs: int = 2) -> None:
        super().__init__()
        self.dense = nn.Linear(features, outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn pooled features [N, C] into logits [N, 2], or one a label."""
        logits: Tensor = self.dense(pooled)
        return logits

    @property
    def last(self) -> nn.Linear:
        """The layer that gives the logits."""
        return self.dense


class AdoptedNetwork(GreyClassifier):
    """What another team trained, behind its own normalisation, written as a 1 x 1 convolution of the grey film."""

    normalise: nn.Conv2d

    def __init__(self, arch: str, *, channels: int, outputs: int = 2) -> None:
        """Build it with random weights.

        Args:
            arch: a key of `BACKBONES`.
            channels: of the stem, 1 or 3.
            outputs: 2 (negative, positive), or one a label.
        """
        super().__init__()
        self.normalise = nn.Conv2d(1, channels, kernel_size=1)
        self.body = build_body(arch, channels=channels)
        self.features = backbone(arch).features
        self.head: DenseHead = DenseHead(self.features, outputs)

    def set_normalisation(self, normalisation: Normalisation) -> None:
        """Write scale and shift into the convolution in front."""
        scale, shift = normalisation.factors(self.normalise.out_channels)
        with torch.no_grad():
            self.normalise.weight.copy_(scale.reshape(-1, 1, 1, 1))
            self.normalise.bias.copy_(shift)  # type: ignore[union-attr]
