"""From stored weights back to the networks that are shipped."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import Calibration
from torch_train.model.baseline import BaselineWeights, DeployedBaseline
from torch_train.model.network import DeployedNetwork, XrayNetwork
from torch_train.model.torchvision_network import PREFIX, AdoptedNetwork, DeployedAdopted, channels_of
from torch_train.run_folder import BASELINE, WEIGHTS


def load_deployed(folder: Path, network: str, *, arch: str | None, calibration: Calibration) -> torch.nn.Module:
    """Return the trained network or the baseline of a run or bundle, in eval mode, float32.

    Args:
        folder: holds weights.safetensors or baseline.safetensors.
        network: "trained" or "baseline".
        arch: of the trained network, as run.json has it.
        calibration: becomes constants of the graph.

    Raises:
        BundleError: the weights are missing, damaged, not finite or of another network.
    """
    place = folder / (BASELINE if network == "baseline" else WEIGHTS)
    try:
        state = load_file(place)
        _refuse_infinite(state)
        if network == "baseline":
            weights = BaselineWeights(state["weight"].numpy(), float(state["bias"]))
            return DeployedBaseline(weights, slope=calibration.slope, offset=calibration.offset)
        return _deployed(state, arch or "resnet50", calibration)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        fix = "train again: tbconv train --data DIR --out RUN"
        raise BundleError(f"{place} cannot be loaded", why=str(error)[:400], fix=fix) from error


def _deployed(state: dict[str, torch.Tensor], arch: str, calibration: Calibration) -> torch.nn.Module:
    """Build this project's own network, or one that was adopted; ValueError or RuntimeError if the state is none."""
    if not arch.startswith(PREFIX):
        trained = XrayNetwork(arch)  # type: ignore[arg-type]  # it refuses other words
        trained.load_state_dict(state)
        return DeployedNetwork(trained, slope=calibration.slope, offset=calibration.offset)
    adopted = AdoptedNetwork(arch.removeprefix(PREFIX), channels=channels_of(state))
    adopted.load_state_dict(state)
    return DeployedAdopted(adopted, slope=calibration.slope, offset=calibration.offset)


def _refuse_infinite(state: dict[str, torch.Tensor]) -> None:
    spoilt = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if spoilt:
        raise ValueError(f"NaN or infinite values in {', '.join(spoilt[:3])}")
