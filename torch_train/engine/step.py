"""One step of training, from uint8 films to changed weights; every way to run it faster runs this one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from tbconv.contract.environment import hide_working_folder
from tbconv.contract.reporting import Reporter
from torch_train.config import TrainConfig
from torch_train.engine.amp import amp_step, find_gradients, follow_gradients
from torch_train.engine.augment import Augmentation, change_films
from torch_train.engine.distributed import here
from torch_train.engine.state import Learner


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
    hide_working_folder()  # the compiler has processes of its own
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


# --- captured step ---
# Steps replayed as CUDA graphs, one a batch size: the host launches one thing a step instead of a thousand.
#
# The first steps of each batch size are taken one by one; they choose kernels and fill the optimiser's
# state, and count like all others, so nothing is undone and a run can be resumed at any epoch. The graph
# holds the whole step, from augmentation to AdamW. Dropout stays random: a graph reads the generator's state anew.

WARM_UP = 3  # steps before a capture, as PyTorch's notes on CUDA graphs advise


@dataclass(frozen=True, slots=True)
class Recording:
    """A captured step: films, labels and draws are copied to where it reads them."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    loss: Tensor

    def replay(self, *batch: Tensor) -> Tensor:
        """Take the step on another batch of the same size."""
        for place, value in zip(self.inputs, batch, strict=True):
            place.copy_(value, non_blocking=True)
        self.graph.replay()
        return self.loss


class CapturedStep:
    """Takes steps, or halves of steps, and captures those that come again."""

    def __init__(self, step: Callable[..., Tensor], reporter: Reporter) -> None:
        """Begin with nothing captured; `reporter` hears if that stays so."""
        self.step, self.reporter, self.capture = step, reporter, True
        self.taken: Counter[int] = Counter()
        self.recordings: dict[int, Recording] = {}
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, *batch: Tensor) -> Tensor:
        """Take one step on films, labels and draws, or the half that needs none of them."""
        size = _size_of(batch)
        if size not in self.recordings and self.capture and self.taken[size] >= WARM_UP:
            self._record(*batch)
        if size in self.recordings:
            return self.recordings[size].replay(*batch)
        self.taken[size] += 1
        return self._aside(*batch)

    def _record(self, *batch: Tensor) -> None:
        inputs, graph = tuple(tensor.clone() for tensor in batch), torch.cuda.CUDAGraph()
        try:
            # thread_local: another thread may pin memory for the next batch meanwhile
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                loss = self.step(*inputs)
        except RuntimeError as error:  # CUDA's own word for an operation that cannot be captured, or no memory for it
            self.capture = False
            _free_generator()
            self.reporter.say(f"the step cannot be captured, so it is launched piece by piece: {first_line(error)}")
            return
        self.recordings[_size_of(batch)] = Recording(graph, inputs, loss)

    def _aside(self, *batch: Tensor) -> Tensor:
        """Run on the stream that captures: gradients remember the stream that they were first summed on."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.step(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss


def _free_generator() -> None:
    """Let dropout draw again: a capture that fails leaves the generator believing that it goes on.

    PyTorch 2.11 resets that only in the part of `capture_end` that a failed capture does not reach; a copy of the
    state is not in any capture.
    """
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(generator.clone_state())


def _size_of(batch: tuple[Tensor, ...]) -> int:
    return len(batch[0]) if batch else 0


# --- averaged step ---
# A step that several ranks take together: each on films of its own, with the mean of all their gradients.
#
# This is what DistributedDataParallel does, in one message instead of many. DDP sends gradients while the rest is
# still being computed, from hooks that neither a compiled backward pass (it hands out all gradients at its end) nor a
# captured one (it runs no Python) would call. So the step is two halves that may each be a CUDA graph, with the
# message between them: no collective is captured. A ResNet50's gradients are 102 MB.

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


# --- choose step ---
# Which way to run the step: compiled and captured, captured, or eager; the one place that decides and says it.

# Films shown in a whole run, all epochs. On an H100 compiling a ResNet50's step took 20 to 70 s and saved 0.05 to
# 0.09 ms a film against the graph alone (benchmarks/results/train.csv): it pays from 420,000 films (layer4 and
# head learn) or 790,000 (all of it).
COMPILE_PAYS = 600_000


def choose_step(learner: Learner, config: TrainConfig, *, films: int, reporter: Reporter) -> Step:
    """Make the step of a run.

    Args:
        learner: with its checkpoint loaded, if there is one: a graph remembers where tensors are.
        config: the recipe; `step` is auto, compiled, graph or eager.
        films: how many an epoch shows.
        reporter: hears what was chosen.
    """
    plain = eager_step(learner, Augmentation.of(config), config.clip_norm)
    way = choose_way(learner, config, films)
    reporter.say(f"step: {_WORDS[way]}")
    if here().size > 1:
        return averaged(plain, way, batch=config.batch, reporter=reporter)
    return hasten(plain, lambda own: own, way, batch=config.batch, reporter=reporter)


def averaged(plain: EagerStep, way: str, *, batch: int, reporter: Reporter) -> AveragedStep:
    """Return the step of one rank among several, both its halves run in the way that was chosen."""
    gradients = SharedGradients(plain.parameters)
    find = hasten(plain, lambda own: OwnGradients(own, gradients), way, batch=batch, reporter=reporter)
    update = CommonUpdate(plain, gradients)
    return AveragedStep(find, gradients, update if way == "eager" else CapturedStep(update, reporter))


def hasten(plain: EagerStep, part: Callable[[EagerStep], Step], way: str, *, batch: int, reporter: Reporter) -> Step:
    """Return a part of the step, or all of it, compiled and captured as `way` says."""
    if way == "eager":
        return part(plain)
    step = part(plain)
    if way == "compiled":
        step = CompiledWherePossible(step, part(compiled_step(plain)), batch=batch, reporter=reporter)
    return CapturedStep(step, reporter)


_WORDS = {
    "eager": "eager, one kernel after the other",
    "graph": "replayed as a CUDA graph",
    "compiled": "compiled (a minute, once) and replayed as a CUDA graph",
}


def choose_way(learner: Learner, config: TrainConfig, films: int) -> str:
    """Return compiled, graph or eager; `films` is how many an epoch shows."""
    if learner.precision.device.type != "cuda" or learner.scaler.is_enabled():
        return "eager"  # a loss scaler decides on the host whether to step
    if config.step != "auto":
        return config.step
    if config.deterministic:
        return "graph"  # a compiler that times its kernels may choose others tomorrow
    return "compiled" if films * config.epochs >= COMPILE_PAYS else "graph"


def set_determinism(config: TrainConfig, device: torch.device) -> None:
    """Make PyTorch repeat itself to the bit, or choose the fastest convolutions by timing them.

    Raises:
        RuntimeError: later, from an operation that has no deterministic kernel.
    """
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it first starts
    torch.backends.cudnn.benchmark = device.type == "cuda" and not config.deterministic  # the shapes never change
    torch.backends.cudnn.deterministic = config.deterministic
    torch.use_deterministic_algorithms(config.deterministic)
