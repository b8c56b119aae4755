"""A step that several ranks take together: each on films of its own, with the mean of all their gradients.

This is what DistributedDataParallel does, in one message instead of many. DDP sends gradients while the rest is
still being computed, from hooks that neither a compiled backward pass (it hands out all gradients at its end) nor a
captured one (it runs no Python) would call. So the step is two halves that may each be a CUDA graph, with the
message between them: no collective is captured. A ResNet50's gradients are 102 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from torch_train.amp import follow_gradients
from torch_train.ranks import here
from torch_train.step import EagerStep, Step

ALIGNED = 4  # float32 numbers: the optimiser's kernels read 16 bytes at once


class SharedGradients:
    """All gradients in one row of memory, which is what travels."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make room, zeros, on the parameters' device."""
        self.parameters = tuple(parameters)
        rooms = [-(-parameter.numel() // ALIGNED) * ALIGNED for parameter in self.parameters]
        self.flat = torch.zeros(sum(rooms), device=self.parameters[0].device)
        self.views = [
            part[: parameter.numel()].as_strided(parameter.shape, parameter.stride(), part.storage_offset())
            for parameter, part in zip(self.parameters, torch.split(self.flat, rooms), strict=True)
        ]

    def collect(self) -> None:
        """Copy this rank's gradients in, divided by how many ranks there are, so that the sum is the mean."""
        torch._foreach_copy_(self.views, [_gradient(parameter) for parameter in self.parameters])
        self.flat.div_(here().size)

    def average(self) -> None:
        """Exchange: afterwards every rank holds the same mean, to the bit."""
        dist.all_reduce(self.flat)

    def hand_out(self) -> None:
        """Make the mean the parameters' gradients."""
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.grad = view


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a parameter that learns was not reached by the backward pass")
    return parameter.grad


@dataclass(frozen=True, slots=True)
class OwnGradients:
    """The first half: gradients of this rank's films."""

    step: EagerStep
    gradients: SharedGradients

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Collect gradients; return the loss."""
        loss = self.step.find_gradients(films, labels, draws)
        self.gradients.collect()
        return loss


@dataclass(frozen=True, slots=True)
class CommonUpdate:
    """The second half: clip and optimise with all ranks' mean."""

    step: EagerStep
    gradients: SharedGradients

    def __call__(self) -> Tensor:
        """Change the weights; return the gradients in use."""
        self.gradients.hand_out()
        learner = self.step.learner
        follow_gradients(learner.optimiser, learner.scaler, self.step.parameters, self.step.clip_norm)
        return self.gradients.flat


@dataclass(frozen=True, slots=True)
class AveragedStep:
    """Both halves, each perhaps captured, and the exchange between them."""

    find: Step
    gradients: SharedGradients
    follow: Callable[[], Tensor]

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take one step on this rank's films; return their loss."""
        loss = self.find(films, labels, draws)
        self.gradients.average()
        self.follow()
        return loss
