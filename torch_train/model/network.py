"""The network as the world sees it: one grey film in, logits, probability and evidence out.

Body and head are trained by `XrayNetwork`; `DeployedNetwork` wraps the same modules with the
calibration and the evidence map, in operations that ONNX, Keras, TFLite and onnx2tf all keep:
no Unsqueeze, no Gather, dense layers as 2-D products (../shared/layout.md says what they break).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from tbconv.contract.manifest import EVIDENCE_SIDE

Arch = Literal["resnet50", "resnet10"]
HIDDEN = (512, 256)
DROPOUT = (0.5, 0.3)
# ImageNet's channel means 0.485, 0.456, 0.406 and deviations 0.229, 0.224, 0.225, averaged and times 255.
PIXEL_MEAN, PIXEL_STD = 114.5, 57.6


class Head(nn.Module):
    """BatchNorm + Dense(512) + ReLU + Dropout(0.5), BatchNorm + Dense(256) + ReLU + Dropout(0.3), Dense(2)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm1d(features)
        self.dense1 = nn.Linear(features, HIDDEN[0])
        self.drop1 = nn.Dropout(DROPOUT[0])
        self.bn2 = nn.BatchNorm1d(HIDDEN[0])
        self.dense2 = nn.Linear(HIDDEN[0], HIDDEN[1])
        self.drop2 = nn.Dropout(DROPOUT[1])
        self.dense3 = nn.Linear(HIDDEN[1], 2)

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn pooled features [N, C] into logits [N, 2]."""
        hidden = self.drop1(torch.relu(self.dense1(self.bn1(pooled))))
        hidden = self.drop2(torch.relu(self.dense2(self.bn2(hidden))))
        logits: Tensor = self.dense3(hidden)
        return logits


class Body(nn.Module):
    """torchvision's ResNet with a one-channel stem, up to the last feature map.

    Module names are torchvision's own, so that its weights load by name. The stem's pooling
    pads with zeros and pools without padding: exact after a ReLU, and no -3.4e38 constant
    reaches a quantizer.
    """

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        net = _torchvision(arch)
        self.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = net.bn1
        self.pad = nn.ZeroPad2d(1)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.features: int = net.fc.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised films [N, 1, 224, 224] into features [N, C, 7, 7]."""
        x = self.maxpool(self.pad(torch.relu(self.bn1(self.conv1(x)))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


def _torchvision(arch: Arch) -> resnet.ResNet:
    if arch == "resnet50":
        return resnet.resnet50(weights=None)
    if arch == "resnet10":  # one basic block a stage: for unit tests, where seconds count
        return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1])
    raise ValueError(f"arch must be resnet50 or resnet10, got {arch!r}")


class XrayNetwork(nn.Module):
    """What is trained: grey levels in, logits out."""

    mean: Tensor
    std: Tensor

    def __init__(self, arch: Arch = "resnet50", *, mean: float = PIXEL_MEAN, std: float = PIXEL_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.body = Body(arch)
        self.head = Head(self.body.features)

    def normalise(self, image: Tensor) -> Tensor:
        """Turn grey levels 0..255 into what the body was trained on."""
        return (image - self.mean) / self.std

    def forward(self, image: Tensor) -> Tensor:
        """Turn films float [N, 1, 224, 224], values 0..255, into logits [N, 2]."""
        logits: Tensor = self.head(self.body(self.normalise(image)).mean((2, 3)))
        return logits


class DeployedNetwork(nn.Module):
    """What is shipped: `image` -> `logits`, `probability`, `evidence`, in eval mode.

    evidence[y, x] is the margin of the head with its ReLUs locked as they are on this film,
    applied to the features at (y, x) alone. The locked head is affine, so the mean of the
    map is the margin, exactly but for rounding.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, network: XrayNetwork, *, slope: float, offset: float) -> None:
        super().__init__()
        self.network = network
        self.margin = nn.Linear(HIDDEN[1], 1)
        with torch.no_grad():
            last = network.head.dense3
            self.margin.weight.copy_(last.weight[1:2] - last.weight[0:1])
            self.margin.bias.copy_(last.bias[1:2] - last.bias[0:1])
        self.register_buffer("slope", torch.tensor(slope))
        self.register_buffer("offset", torch.tensor(offset))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn films float [N, 1, 224, 224] into [N, 2], [N, 1] and [N, 7, 7]."""
        network, head = self.network, self.network.head
        places = rows_of_places(network.body(network.normalise(image)))
        before1 = head.dense1(head.bn1(places.mean(1)))
        before2 = head.dense2(head.bn2(torch.relu(before1)))
        hidden = torch.relu(before2)
        logits = head.dense3(hidden)
        probability = torch.sigmoid(self.margin(hidden) * self.slope + self.offset)
        return logits, probability, self._evidence(places, before1, before2)

    def _evidence(self, places: Tensor, before1: Tensor, before2: Tensor) -> Tensor:
        head, count = self.network.head, places.shape[1]
        rows = places.reshape(-1, self.network.body.features)
        rows = _lock(head.dense1(head.bn1(rows)), before1, count)
        rows = _lock(head.dense2(head.bn2(rows)), before2, count)
        evidence: Tensor = self.margin(rows)
        return evidence.reshape(-1, EVIDENCE_SIDE, EVIDENCE_SIDE)


def rows_of_places(features: Tensor) -> Tensor:
    """Turn features [N, C, 7, 7] into [N, 49, C]: one row a place.

    Pooling reads these rows too: two readers of the feature map itself, one through a
    transpose, leave onnx2tf 2.6.9 with an unbound tensor.
    """
    return features.permute(0, 2, 3, 1).contiguous().view(-1, EVIDENCE_SIDE**2, features.shape[1])


def _lock(rows: Tensor, before: Tensor, places: int) -> Tensor:
    """Pass rows [N * places, D] where the film's own pre-activation [N, D] is positive."""
    width = before.shape[1]
    open_ = (before > 0).to(rows.dtype).reshape(-1, 1, width)
    return (rows.reshape(-1, places, width) * open_).reshape(-1, width)


def weighted_layers(network: XrayNetwork) -> list[tuple[str, nn.Module, nn.Module | None]]:
    """List the convolutions and dense layers from the output inwards.

    Returns:
        (name, layer, the BatchNorm that goes with it): behind a convolution, before a dense layer.
    """
    head = network.head
    rows: list[tuple[str, nn.Module, nn.Module | None]] = [
        ("head.dense3", head.dense3, None),
        ("head.dense2", head.dense2, head.bn2),
        ("head.dense1", head.dense1, head.bn1),
    ]
    modules = dict(network.body.named_modules())
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    rows += [(f"body.{name}", modules[name], modules[_batch_norm_of(name)]) for name in reversed(convolutions)]
    return rows


def _batch_norm_of(convolution: str) -> str:
    if convolution.endswith("downsample.0"):
        return convolution.removesuffix("0") + "1"
    return convolution.replace("conv", "bn")
