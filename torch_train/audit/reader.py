"""The network that is questioned: one pass over films gives margin, evidence and features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tbconv.contract.bundle import read_json
from tbconv.contract.errors import ConfigError
from tbconv.contract.reporter import Reporter
from torch_train.deploy import load_deployed
from torch_train.evaluate import BATCH
from torch_train.judgement import TRAINED
from torch_train.network import XrayNetwork
from torch_train.run_folder import SPLIT, read_run
from torch_train.weights import build_network

Squares = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network said of films."""

    margins: NDArray[np.float32]  # [N], logit of positive minus logit of negative
    evidence: NDArray[np.float32]  # [N, 7, 7], its mean is the margin


@dataclass(frozen=True, slots=True)
class Reader:
    """A trained run, and which films it learnt from."""

    network: Any  # DeployedNetwork or DeployedAdopted, in eval mode on `device`
    device: torch.device
    learnt_from: frozenset[str]  # SHA-256 of the files of its training part
    kept: frozenset[str]  # of validation and test
    name: str

    def answer(self, squares: Squares, reporter: Reporter, *, title: str) -> Answers:
        """Read films uint8 [N, 224, 224]."""
        parts = [
            (logits[:, 1] - logits[:, 0], evidence)
            for logits, _, evidence in _outputs(self.network, squares, self.device, reporter, title)
        ]
        return Answers(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))

    def embed(self, squares: Squares, reporter: Reporter) -> NDArray[np.float32]:
        """Return the pooled features of films uint8 [N, 224, 224] as unit vectors, float32 [N, C]."""
        return embed(self.network.network, squares, self.device, reporter)


def read_reader(run: Path) -> Reader:
    """Read a run folder.

    Raises:
        BundleError: the folder is no finished run, or its weights cannot be loaded.
        ConfigError: only the baseline was fitted there.
    """
    facts = read_run(run)
    if facts.arch is None:
        raise ConfigError(
            f"{run} holds no trained network",
            why="it was made with --baseline-only",
            fix="leave --run away, or train: tbconv train --data DIR --out RUN",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_deployed(run, TRAINED, arch=facts.arch, calibration=facts.readouts[TRAINED].calibration)
    split = read_json(run / SPLIT)
    kept = frozenset(split["validation"]) | frozenset(split["test"])
    return Reader(network.to(device), device, frozenset(split["train"]), kept, facts.name)


def embed_with_weights(weights: str, squares: Squares, device: torch.device, reporter: Reporter) -> NDArray[np.float32]:
    """Return what `Reader.embed` returns, of a ResNet50 with these weights: imagenet or a file.

    Raises:
        ConfigError: the file does not fit.
        SetupError: the weights cannot be downloaded.
    """
    network: XrayNetwork = build_network("resnet50", weights, seed=0).to(device)
    return embed(network.eval(), squares, device, reporter)


def embed(network: Any, squares: Squares, device: torch.device, reporter: Reporter) -> NDArray[np.float32]:
    """Return pooled features as unit vectors, float32 [N, C]; `network` has `normalise` and `body`."""

    def pooled(image: torch.Tensor) -> tuple[torch.Tensor]:
        return (network.body(network.normalise(image)).mean((2, 3)),)

    rows = torch.cat([row for (row,) in _outputs(pooled, squares, device, reporter, "features")]).cpu()
    return np.asarray(torch.nn.functional.normalize(rows, dim=1).numpy())


def _outputs(network: Any, squares: Squares, device: torch.device, reporter: Reporter, title: str) -> list[Any]:
    size = BATCH[device.type]
    films = torch.from_numpy(squares)[:, None]
    batches = range(0, len(films), size)
    with torch.inference_mode():
        return [
            network(films[start : start + size].to(device).float())
            for start in reporter.track(batches, title=title, total=len(batches))
        ]
