"""The small network that faults are seeded in: drawn phantoms, random weights, and the run folder of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.environment import provenance
from tbconv.contract.manifest import Calibration, DecisionRule, Labels, OperatingPoint
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.data.phantom import draw_phantom
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    HELDOUT_FILMS,
    WEIGHTS,
    Films,
    RunFacts,
    write_films,
    write_run,
)

N_CALIBRATION, N_HELDOUT, FIRST_CALIBRATION, FIRST_HELDOUT = 8, 20, 500, 700
CALIBRATION = Calibration(1.2, -0.3, 10, 10)


def draw_squares(n: int, *, first_seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw phantoms, every other one positive: uint8 [n, 224, 224] and labels int64 [n]."""
    labels = np.arange(n) % 2
    spec = PreprocessSpec()
    phantoms = [draw_phantom(first_seed + index, positive=bool(label)) for index, label in enumerate(labels)]
    return np.stack([spec.model_input(phantom.pixels) for phantom in phantoms]), labels.astype(np.int64)


def draw_network(model_inputs: NDArray[np.uint8], *, seed: int, arch: Any = "resnet10") -> Any:
    """Return a network of random weights whose BatchNorm statistics are those of the phantoms; loads torch."""
    import torch

    from torch_train.model.network import XrayNetwork

    torch.manual_seed(seed)
    network = XrayNetwork(arch)
    images = torch.from_numpy(model_inputs)[:, None].float()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0.0, 0.2)
                module.momentum = 0.5
        for _ in range(4):
            network.train()(images)
    return network.eval()


def readout_of(margins: NDArray[np.floating]) -> DecisionRule:
    """Return a decision_rule whose threshold is in the middle of the widest gap: no decision hangs on rounding."""
    inner = np.sort(margins)[len(margins) // 4 : -(len(margins) // 4)]
    widest = int(np.diff(inner).argmax())
    threshold = float(inner[widest : widest + 2].mean())
    return DecisionRule(CALIBRATION, OperatingPoint(threshold, 0.9, 0.9, 0.5, 10, 10, "5" * 64))


def write_drawn_run(run: Path, *, seed: int, arch: str = "resnet10") -> Path:
    """Write a finished run folder as `tbconv train` leaves it, and return it; loads torch."""
    import torch

    from torch_train.model.baseline import baseline_margins, fit_baseline
    from torch_train.results import write_baseline, write_weights

    calibration, calibration_labels = draw_squares(N_CALIBRATION, first_seed=FIRST_CALIBRATION)
    heldout, labels = draw_squares(N_HELDOUT, first_seed=FIRST_HELDOUT)
    run.mkdir(parents=True)
    baseline = fit_baseline(calibration, calibration_labels, seed=0)
    write_baseline(run / BASELINE, baseline)
    network = draw_network(calibration, seed=seed, arch=arch)
    write_weights(run / WEIGHTS, network)
    with torch.inference_mode():
        logits = network(torch.from_numpy(heldout)[:, None].float()).numpy()
    margins = {"baseline": baseline_margins(baseline, heldout), "trained": logits[:, 1] - logits[:, 0]}
    part = np.array(["test"] * 8 + ["validation"] * (N_HELDOUT - 8))
    write_films(run / CALIBRATION_FILMS, Films(calibration, calibration_labels, np.full(N_CALIBRATION, "train")))
    write_films(run / HELDOUT_FILMS, Films(heldout, labels, part))
    origin = {**provenance(), "gpu": None, "data_digest": "d" * 64, "split_digest": "5" * 64}
    decision_rules = {name: readout_of(found) for name, found in margins.items()}
    write_run(run, RunFacts("drawn", arch, Labels("Normal", "Tuberculosis"), decision_rules, True, origin))
    return run


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Write one drawn run, as a step of a conversion is asked; request: run, seed, arch (default resnet10)."""
    write_drawn_run(Path(request["run"]), seed=request["seed"], arch=request.get("arch", "resnet10"))
    return {}
