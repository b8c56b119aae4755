"""What is shipped of every network: `image` -> `logits`, `probability`, `evidence`, in eval mode.

Margin, calibration and evidence are defined here and nowhere else, in operations that ONNX, Keras, TFLite
and onnx2tf all keep: no Unsqueeze, no Gather, dense layers as 2-D products (../shared/layout.md says what they break).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import EVIDENCE_SIDE, Calibration
from torch_train.model.backbones import ADOPTED
from torch_train.model.baseline import CELL, THUMBNAIL, BaselineWeights
from torch_train.model.network import AdoptedNetwork, GreyClassifier, XrayNetwork
from torch_train.run_folder import BASELINE, WEIGHTS


class Deployed(nn.Module):
    """The margin as a layer of its own, and the calibrated probability: what every shipped network shares."""

    slope: Tensor
    offset: Tensor

    def __init__(self, last: nn.Linear, *, slope: float, offset: float) -> None:
        """Take the layer that gives the logits (negative, positive); the margin is the difference of its rows."""
        super().__init__()
        self.margin = nn.Linear(last.in_features, 1)
        with torch.no_grad():
            self.margin.weight.copy_(last.weight[1:2] - last.weight[0:1])
            self.margin.bias.copy_(last.bias[1:2] - last.bias[0:1])
        self.register_buffer("slope", torch.tensor(slope))
        self.register_buffer("offset", torch.tensor(offset))

    def probability(self, hidden: Tensor) -> Tensor:
        """Return sigmoid(slope * margin + offset), [N, 1], of what the last layer reads [N, D]."""
        return torch.sigmoid(self.margin(hidden) * self.slope + self.offset)


class DeployedNetwork(Deployed):
    """A trained or adopted network.

    evidence[y, x] is the margin of the head with its ReLUs locked as they are on this film,
    applied to the features at (y, x) alone. The locked head is affine, so the mean of the
    map is the margin, exactly but for rounding. A head of one dense layer has no ReLU to lock.
    """

    def __init__(self, network: GreyClassifier, *, slope: float, offset: float) -> None:
        super().__init__(network.head.last, slope=slope, offset=offset)
        self.network = network
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn films float [N, 1, 224, 224] into [N, 2], [N, 1] and [N, h, w], the places of the last feature map."""
        network = self.network
        features = network.body(network.normalise(image))
        height, width = features.shape[2:]
        # One row a place. Pooling reads these rows too: two readers of the feature map itself, one through a
        # transpose, leave onnx2tf 2.6.9 with an unbound tensor.
        places = features.permute(0, 2, 3, 1).contiguous().view(-1, height * width, network.features)
        hidden, before = places.mean(1), []
        for norm, dense in network.head.hidden:
            before.append(dense(norm(hidden)))
            hidden = torch.relu(before[-1])
        logits, probability = network.head.last(hidden), self.probability(hidden)
        return logits, probability, self._evidence(places, *before).reshape(-1, height, width)

    def _evidence(self, places: Tensor, *before: Tensor) -> Tensor:
        """Return the margin at each place [N * places, 1], ReLUs locked as the film's pre-activations [N, D] are."""
        count = places.shape[1]
        rows = places.reshape(-1, self.network.features)
        for (norm, dense), film in zip(self.network.head.hidden, before, strict=True):
            rows, width = dense(norm(rows)), film.shape[1]
            locked = (film > 0).to(rows.dtype).reshape(-1, 1, width)
            rows = (rows.reshape(-1, count, width) * locked).reshape(-1, width)
        margins: Tensor = self.margin(rows)
        return margins


class DeployedBaseline(Deployed):
    """The baseline in the shape of the network; its weights differ from place to place, so its map is a masked sum.

    The logits are summed from the map, 16 pixels a cell and then 49 cells: runtimes add the 784 products of one dense
    layer one after the other, and that alone was 10 dB further from float64 than PyTorch's blocks (docs/log.md).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weights: BaselineWeights, *, slope: float, offset: float) -> None:
        cells = EVIDENCE_SIDE**2
        logits = nn.Linear(cells, 2)
        with torch.no_grad():
            logits.weight.copy_(torch.tensor([[-0.5 / cells], [0.5 / cells]]).expand(2, cells))
            logits.bias.zero_()
        super().__init__(logits, slope=slope, offset=offset)
        self.thumbnail = nn.AvgPool2d(CELL)
        self.cells = nn.AvgPool2d(THUMBNAIL // EVIDENCE_SIDE)
        self.logits = logits
        weight = torch.from_numpy(weights.weight).reshape(1, 1, THUMBNAIL, THUMBNAIL)
        self.register_buffer("weight", weight * THUMBNAIL**2)
        self.register_buffer("bias", torch.tensor(weights.bias))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn films float [N, 1, 224, 224] into [N, 2], [N, 1] and [N, 7, 7]."""
        evidence = self.cells(self.thumbnail(image) / 255.0 * self.weight) + self.bias
        rows = evidence.reshape(-1, EVIDENCE_SIDE**2)
        return self.logits(rows), self.probability(rows), evidence.reshape(-1, EVIDENCE_SIDE, EVIDENCE_SIDE)


def load_deployed(folder: Path, network: str, *, arch: str | None, calibration: Calibration) -> Deployed:
    """Return the trained network or the baseline of a run or bundle, in eval mode, float32.

    Args:
        folder: holds weights.safetensors or baseline.safetensors.
        network: "trained" or "baseline".
        arch: of the trained network, as run.json has it; `torchvision-NAME` for an adopted one.
        calibration: becomes constants of the graph.

    Raises:
        BundleError: the weights are missing, damaged, not finite or of another network.
    """
    path = folder / (BASELINE if network == "baseline" else WEIGHTS)
    slope, offset = calibration.slope, calibration.offset
    try:
        state = _load_finite(path)
        if network == "baseline":
            weights = BaselineWeights(state["weight"].numpy(), float(state["bias"]))
            return DeployedBaseline(weights, slope=slope, offset=offset)
        arch = arch or "resnet50"
        if arch.startswith(ADOPTED):
            channels = len(state["normalise.weight"])
            trained: GreyClassifier = AdoptedNetwork(arch.removeprefix(ADOPTED), channels=channels)
        else:
            trained = XrayNetwork(arch)
        trained.load_state_dict(state)
        return DeployedNetwork(trained, slope=slope, offset=offset)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        fix = "train again: tbconv train --data DIR --out RUN"
        raise BundleError(f"{path} cannot be loaded", why=str(error)[:400], fix=fix) from error


class DeployedLabels(nn.Module):
    """A network of several labels, or of one of N classes, as it is shipped: `image` -> `logits` alone.

    No map and no probability: a map of one label would say nothing of the others, and nothing was calibrated.
    """

    def __init__(self, network: GreyClassifier) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Turn films float [N, 1, 224, 224], values 0..255, into logits [N, L]."""
        network = self.network
        hidden = network.body(network.normalise(image)).mean((2, 3))
        for norm, dense in network.head.hidden:
            hidden = torch.relu(dense(norm(hidden)))
        logits: Tensor = network.head.last(hidden)
        return logits


def load_labels(folder: Path, *, arch: str, outputs: int) -> DeployedLabels:
    """Return the network of a run of several labels, trained here or adopted, in eval mode, float32.

    Raises:
        BundleError: the weights are missing, damaged, not finite or of another network.
    """
    path = folder / WEIGHTS
    try:
        state = _load_finite(path)
        if arch.startswith(ADOPTED):
            channels = len(state["normalise.weight"])
            network: GreyClassifier = AdoptedNetwork(arch.removeprefix(ADOPTED), channels=channels, outputs=outputs)
        else:
            network = XrayNetwork(arch, outputs=outputs)
        network.load_state_dict(state)
        return DeployedLabels(network)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        fix = "train or adopt it again: tbconv train, or tbconv adopt CHECKPOINT, with --task ... --out RUN"
        raise BundleError(f"{path} cannot be loaded", why=str(error)[:400], fix=fix) from error


def _load_finite(path: Path) -> dict[str, Tensor]:
    state = load_file(path)
    if broken := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        raise ValueError(f"NaN or infinite values in {', '.join(broken[:3])}")
    return state
