"""One step of training, from uint8 films to changed weights; every way to run it faster runs this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from tbconv.contract.reporter import Reporter
from torch_train.amp import amp_step, find_gradients
from torch_train.augment import Augmentation, change_films
from torch_train.learner import Learner


class Step(Protocol):
    """Takes one step on films uint8 [N, 1, S, S], labels int64 [N] and draws float32 [N, DRAWS], all on the device."""

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor, /) -> Tensor:
        """Return the loss, on the device; it may be overwritten by the next step."""


@dataclass(frozen=True, slots=True)
class EagerStep:
    """Augment, forward, backward, clip, optimise, one kernel after the other."""

    learner: Learner
    numbers: Augmentation
    clip_norm: float
    parameters: tuple[nn.Parameter, ...]
    network: Callable[[Tensor], Tensor]  # the learner's, perhaps compiled
    change: Callable[[Tensor, Tensor, Augmentation], Tensor]  # change_films, perhaps compiled

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take one step."""
        images = self.change(films, draws, self.numbers)
        return self.learn(images, labels)

    def find_gradients(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take the first half of a step, up to the backward pass."""
        return find_gradients(
            self.network,
            self.change(films, draws, self.numbers).contiguous(memory_format=torch.channels_last),
            labels,
            loss_function=self.learner.loss_function,
            optimiser=self.learner.optimiser,
            scaler=self.learner.scaler,
            precision=self.learner.precision,
        )

    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one step on images float32 [N, 1, S, S] that need no augmentation."""
        return amp_step(
            self.network,
            images.contiguous(memory_format=torch.channels_last),
            labels,
            loss_function=self.learner.loss_function,
            optimiser=self.learner.optimiser,
            scaler=self.learner.scaler,
            precision=self.learner.precision,
            parameters=self.parameters,
            clip_norm=self.clip_norm,
        )


def eager_step(learner: Learner, numbers: Augmentation, clip_norm: float) -> EagerStep:
    """Return the step as PyTorch runs it by itself."""
    network = learner.tuning.network
    return EagerStep(learner, numbers, clip_norm, tuple(learner.tuning.parameters()), network, change_films)


def compiled_step(plain: EagerStep) -> EagerStep:
    """Return the same step with network and augmentation fused by TorchInductor, at its first call; one batch size.

    Neither may break into parts (`fullgraph`): a step that is compiled by halves would be slow unnoticed.
    """
    network = torch.compile(plain.learner.tuning.network, fullgraph=True, dynamic=False)
    return replace(plain, network=network, change=torch.compile(change_films, fullgraph=True, dynamic=False))


class CompiledWherePossible:
    """The compiled step for whole batches, the plain one for the rest; for all, once compiling has failed."""

    def __init__(self, plain: Step, compiled: Step, *, batch: int, reporter: Reporter) -> None:
        """Take both; `batch` is the size that is compiled, and `reporter` hears of a failure."""
        self.plain, self.compiled, self.batch, self.reporter = plain, compiled, batch, reporter

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take one step."""
        if len(films) != self.batch:
            return self.plain(films, labels, draws)
        try:
            return self.compiled(films, labels, draws)
        except TorchDynamoException as error:  # the root of all that PyTorch's compiler says when it cannot
            self.compiled = self.plain
            self.reporter.say(f"the step cannot be compiled, so it runs as it is, slower: {first_line(error)}")
            return self.plain(films, labels, draws)


def first_line(error: Exception) -> str:
    """Return what an error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
