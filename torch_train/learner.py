"""All of a run that changes while it trains, and the rule by which it does; what a checkpoint holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from torch_train.amp import LossFunction, Precision
from torch_train.config import TrainConfig
from torch_train.finetune import FineTuning
from torch_train.ranks import copy_from_leader


@dataclass(frozen=True, slots=True)
class Learner:
    """A network, its optimiser and schedule, and its loss."""

    tuning: FineTuning
    optimiser: torch.optim.Optimizer
    scheduler: ReduceLROnPlateau | LambdaLR
    scaler: GradScaler
    precision: Precision
    loss_function: LossFunction

    @property
    def rate(self) -> float:
        """The learning rate in use; of a float32 tensor the shortest number that it can be written as."""
        rate: float | Tensor = self.optimiser.param_groups[0]["lr"]
        return float(str(np.float32(rate.item()))) if isinstance(rate, Tensor) else float(rate)

    def end_epoch(self, validation_loss: float) -> None:
        """Set the learning rate of the next epoch."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(validation_loss)
        else:
            self.scheduler.step()


def make_learner(tuning: FineTuning, precision: Precision, loss_function: LossFunction, config: TrainConfig) -> Learner:
    """Put the network on its device and give it an optimiser.

    On CUDA AdamW is fused and its rate a tensor, one a group: what a graph has captured reads both from
    memory, and a shared tensor would be lowered once for each group that holds it.
    """
    tuning.network.to(precision.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    copy_from_leader(tuning.network.state_dict().values())  # equal from the start, whatever each rank has read
    cuda = precision.device.type == "cuda"
    groups: list[dict[str, Any]] = tuning.parameter_groups(config.weight_decay)
    if cuda:
        groups = [{**group, "lr": torch.tensor(config.rate, device=precision.device)} for group in groups]
    optimiser = torch.optim.AdamW(groups, lr=config.rate, fused=cuda or None, capturable=cuda)
    return Learner(tuning, optimiser, _schedule(optimiser, config), precision.scaler(), precision, loss_function)


def _schedule(optimiser: torch.optim.Optimizer, config: TrainConfig) -> ReduceLROnPlateau | LambdaLR:
    """Return how the rate falls: half a cosine over all epochs, or a step wherever the validation loss stands still."""
    if config.schedule == "plateau":
        return ReduceLROnPlateau(optimiser, factor=config.plateau_factor, patience=config.plateau_patience)
    epochs = config.epochs
    return LambdaLR(optimiser, lambda done: (1 + math.cos(math.pi * min(done, epochs) / epochs)) / 2)
