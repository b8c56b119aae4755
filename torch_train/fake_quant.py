"""The network as TFLite's int8 file computes it, simulated in float: the one place that knows that scheme in PyTorch.

Weights: int8, symmetric, one scale an output channel, of the convolution with its BatchNorm folded in.
Activations: int8, asymmetric, one scale a tensor, at the normalised film, behind every convolution
(with its ReLU) and behind every residual sum (with its ReLU). Pads and the pool keep their input's
scale, and the head stays float. Gradients pass rounding unchanged and stop where a value is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet

from torch_train.network import XrayNetwork

# TFLite's quantisation specification: weights -127..127 so that they are symmetric, activations -128..127.
WEIGHT_LEVELS, LOW, HIGH = 127, -128, 127
SMALLEST_SCALE = 1e-12  # of a channel or tensor that is zero throughout; anything above 0 will do


def fake_quantise_weight(weight: Tensor) -> Tensor:
    """Round a weight float [O, ...] to the 255 levels of its output channel."""
    scale = (weight.detach().abs().amax(tuple(range(1, weight.ndim))) / WEIGHT_LEVELS).clamp(min=SMALLEST_SCALE)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS)


def fake_quantise_activation(values: Tensor, reach: Tensor) -> Tensor:
    """Round activations of any shape to 256 levels, one of which is zero.

    Args:
        values: float.
        reach: float [2], the lowest (at most 0) and the highest (at least 0) value that the levels span.
    """
    scale = ((reach[1] - reach[0]) / (HIGH - LOW)).clamp(min=SMALLEST_SCALE)
    zero = (LOW - reach[0] / scale).round().clamp(LOW, HIGH).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, LOW, HIGH)


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weight [O, I, H, W] and bias [O] of a convolution with the BatchNorm behind it, statistics as stored.

    Raises:
        ValueError: the BatchNorm keeps no statistics or learns nothing.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a BatchNorm without statistics cannot be folded")
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return conv.weight * gain.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * gain


class FakeQuantised(nn.Module):
    """A network whose body is computed as int8 would; it shares the weights of the network it is made of.

    The converter of TensorFlow 2.21 gives the last convolution of a block the range of its own output
    joined with that of the block's sum (all 16 scales of a ResNet50 agree to 6e-7): the sum is computed
    in place, so the calibrator sees both in one buffer. `joined_ranges` does the same.
    """

    def __init__(self, network: XrayNetwork, *, joined_ranges: bool = True) -> None:
        super().__init__()
        self.joined_ranges = joined_ranges
        self.network = network.eval()  # statistics stay what they are, and the head drops nothing
        self.reach: dict[str, Tensor] = {}  # by place: lowest and highest value seen, float [2]
        self._watching = False

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Turn films float [N, 1, 224, 224], values 0..255, into logits [N, 2] and features [N, C, 7, 7].

        Raises:
            KeyError: the ranges were never measured.
        """
        features = self._body(self._place("image", self.network.normalise(image)))
        logits: Tensor = self.network.head(features.mean((2, 3)))
        return logits, features

    def calibrate(self, films: Tensor, *, batch: int) -> None:
        """Measure every range anew as TFLite's converter does: lowest and highest value over all films, in float.

        Args:
            films: uint8 [N, 1, 224, 224], at least one.
            batch: films at once.
        """
        self.reach = {}
        with torch.no_grad(), self._watch():
            for some in torch.split(films, batch):
                self(some.float())
        self.reach["image"] = self._grey_levels()
        if self.joined_ranges:
            self._join_ranges()

    def _join_ranges(self) -> None:
        for name in [place for place in self.reach if place.endswith(".sum")]:
            last = max(place for place in self.reach if place.startswith(name.removesuffix("sum") + "conv"))
            self.reach[last] = _joined(self.reach[last], self.reach[name])

    def _grey_levels(self) -> Tensor:
        """Return where black and white land: the converter is shown both, whatever the films hold."""
        ends = torch.tensor([0.0, 255.0], device=self.network.mean.device)
        normalised: Tensor = self.network.normalise(ends)
        return normalised

    @contextmanager
    def _watch(self) -> Iterator[None]:
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _body(self, x: Tensor) -> Tensor:
        body = self.network.body
        x = body.maxpool(body.pad(self._convolve("conv1", body.conv1, body.bn1, x, relu=True)))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            for number, block in enumerate(getattr(body, stage)):
                x = self._block(f"{stage}.{number}", block, x)
        return x

    def _block(self, name: str, block: Any, x: Tensor) -> Tensor:
        pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
        if isinstance(block, resnet.Bottleneck):
            pairs.append((block.conv3, block.bn3))
        y = x
        for number, (conv, norm) in enumerate(pairs, start=1):
            y = self._convolve(f"{name}.conv{number}", conv, norm, y, relu=number < len(pairs))
        if block.downsample is not None:
            x = self._convolve(f"{name}.downsample", block.downsample[0], block.downsample[1], x, relu=False)
        return self._place(f"{name}.sum", torch.relu(x + y))

    def _convolve(self, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, *, relu: bool) -> Tensor:
        weight, bias = fold(conv, norm)
        weight = weight if self._watching else fake_quantise_weight(weight)
        y = F.conv2d(x, weight, bias, conv.stride, conv.padding)
        return self._place(name, torch.relu(y) if relu else y)

    def _place(self, name: str, values: Tensor) -> Tensor:
        """Note the range of the values at one place while watching; round them there otherwise."""
        if not self._watching:
            return fake_quantise_activation(values, self.reach[name])
        low, high = values.amin().clamp(max=0), values.amax().clamp(min=0)  # zero must be a level: padding is zero
        seen = torch.stack([low, high])
        self.reach[name] = _joined(self.reach.get(name, seen), seen)
        return values


def _joined(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack([torch.minimum(first[0], second[0]), torch.maximum(first[1], second[1])])
