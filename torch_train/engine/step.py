"""One step of training, from uint8 films to updated weights: eager, compiled or captured, on one or several GPUs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from tbconv.contract.environment import working_folder_hidden
from tbconv.contract.errors import Reporter
from torch_train.config import TrainConfig
from torch_train.engine.amp import amp_step, apply_gradients, compute_gradients
from torch_train.engine.augment import Augmentation, Bank, augment_films, make_bank
from torch_train.engine.distributed import rank_info
from torch_train.engine.state import TrainState


class Step(Protocol):
    """Takes a step on films uint8 [N, 1, S, S], labels int64 [N] or [N, L], draws float32 [N, DRAWS], on the device."""

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor, /) -> Tensor:
        """Return the loss, on the device; it may be overwritten by the next step."""


@dataclass(frozen=True, slots=True)
class EagerStep:
    """Augment, forward, backward, clip, optimise, kernel by kernel."""

    train_state: TrainState
    numbers: Augmentation
    clip_norm: float
    parameters: tuple[nn.Parameter, ...]
    network: Callable[[Tensor], Tensor]  # the train_state's, perhaps compiled
    augment: Callable[[Tensor, Tensor, Augmentation, Bank | None], Tensor]  # augment_films, perhaps compiled
    bank: Bank | None = None  # of disturbances, where the recipe has any

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take one step."""
        images = self.augment(films, draws, self.numbers, self.bank)
        return self.learn(images, labels)

    def compute_gradients(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take the first half of a step, up to the backward pass."""
        return compute_gradients(
            self.network,
            self.augment(films, draws, self.numbers, self.bank).contiguous(memory_format=torch.channels_last),
            labels,
            loss_function=self.train_state.loss_function,
            optimiser=self.train_state.optimiser,
            scaler=self.train_state.scaler,
            precision=self.train_state.precision,
        )

    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one step on images float32 [N, 1, S, S] that need no augmentation."""
        return amp_step(
            self.network,
            images.contiguous(memory_format=torch.channels_last),
            labels,
            loss_function=self.train_state.loss_function,
            optimiser=self.train_state.optimiser,
            scaler=self.train_state.scaler,
            precision=self.train_state.precision,
            parameters=self.parameters,
            clip_norm=self.clip_norm,
        )


def eager_step(train_state: TrainState, numbers: Augmentation, clip_norm: float) -> EagerStep:
    """Return the step as PyTorch runs it without compiling."""
    network = train_state.tuning.network
    parameters = tuple(train_state.tuning.parameters())
    bank = make_bank(train_state.precision.device) if numbers.disturb else None
    return EagerStep(train_state, numbers, clip_norm, parameters, network, augment_films, bank)


def compiled_step(plain: EagerStep) -> EagerStep:
    """Return the same step with network and augmentation fused by TorchInductor, at its first call; one batch size.

    A graph break is an error (`fullgraph`): a step that is compiled in parts would be slow unnoticed.
    """
    with working_folder_hidden():  # the compiler has processes of its own
        network = torch.compile(plain.train_state.tuning.network, fullgraph=True, dynamic=False)
        return replace(plain, network=network, augment=torch.compile(augment_films, fullgraph=True, dynamic=False))


class CompiledWherePossible:
    """The compiled step for full batches, the eager one for the rest, or for all once compiling has failed."""

    def __init__(self, plain: Step, compiled: Step, *, batch: int, reporter: Reporter) -> None:
        """Take both; `batch` is the size that is compiled, and a failure goes to `reporter`."""
        self.plain, self.compiled, self.batch, self.reporter = plain, compiled, batch, reporter

    def __call__(self, films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Take one step."""
        if len(films) != self.batch:
            return self.plain(films, labels, draws)
        try:
            with working_folder_hidden():  # it compiles at the first call
                return self.compiled(films, labels, draws)
        except TorchDynamoException as error:  # the root of all errors of PyTorch's compiler
            self.compiled = self.plain
            self.reporter.say(f"the step cannot be compiled, so it runs eagerly, more slowly: {first_line(error)}")
            return self.plain(films, labels, draws)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# --- captured step ---
# Steps replayed as CUDA graphs, one a batch size: one launch a step instead of a thousand.
#
# The first steps of each batch size run eagerly; they choose kernels and create the optimiser's state, and
# are ordinary training steps, so a run can be resumed at any epoch. The graph holds the whole step, from
# augmentation to AdamW. Dropout stays random: a graph reads the generator's state at each replay.

WARM_UP = 3  # steps before a capture, as PyTorch's notes on CUDA graphs advise


@dataclass(frozen=True, slots=True)
class Recording:
    """A captured step: each batch is copied into its input tensors."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    loss: Tensor

    def replay(self, *batch: Tensor) -> Tensor:
        """Take the step on another batch of the same size."""
        for tensor, value in zip(self.inputs, batch, strict=True):
            tensor.copy_(value, non_blocking=True)
        self.graph.replay()
        return self.loss


class CapturedStep:
    """Runs a step, or half of one, and captures it for each batch size that recurs."""

    def __init__(self, step: Callable[..., Tensor], reporter: Reporter) -> None:
        """Begin with nothing captured; a failure to capture goes to `reporter`."""
        self.step, self.reporter, self.capture = step, reporter, True
        self.taken: Counter[int] = Counter()
        self.recordings: dict[int, Recording] = {}
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, *batch: Tensor) -> Tensor:
        """Run the step on films, labels and draws, or the half that has no inputs."""
        size = _size_of(batch)
        if size not in self.recordings and self.capture and self.taken[size] >= WARM_UP:
            self._record(*batch)
        if size in self.recordings:
            return self.recordings[size].replay(*batch)
        self.taken[size] += 1
        return self._run_on_stream(*batch)

    def _record(self, *batch: Tensor) -> None:
        inputs, graph = tuple(tensor.clone() for tensor in batch), torch.cuda.CUDAGraph()
        try:
            # thread_local: another thread may pin memory for the next batch meanwhile
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                loss = self.step(*inputs)
        except RuntimeError as error:  # an operation that cannot be captured, or no memory for it
            self.capture = False
            _reset_generator()
            self.reporter.say(
                f"the step cannot be captured, so its kernels are launched one by one: {first_line(error)}"
            )
            return
        self.recordings[_size_of(batch)] = Recording(graph, inputs, loss)

    def _run_on_stream(self, *batch: Tensor) -> Tensor:
        """Run on the capturing stream: gradients stay bound to the stream on which they were first accumulated."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.step(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss


def _reset_generator() -> None:
    """Make dropout usable again: after a failed capture the generator's state is still marked as capturing.

    PyTorch 2.11 clears the mark only in a part of `capture_end` that a failed capture does not reach; a clone of
    the state carries no mark.
    """
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(generator.clone_state())


def _size_of(batch: tuple[Tensor, ...]) -> int:
    return len(batch[0]) if batch else 0


# --- averaged step ---
# A step of several ranks, each on its own films, with the mean of all their gradients.
#
# This is what DistributedDataParallel does, in one all-reduce instead of many. DDP overlaps its all-reduces with the
# backward pass by hooks that neither a compiled backward pass (all gradients appear at its end) nor a captured one
# (it runs no Python) would call. So the step is two halves that may each be a CUDA graph, with one all-reduce
# between them: no collective is captured. A ResNet50's gradients are 102 MB.

ALIGNMENT = 4  # float32 numbers: the optimiser's kernels read 16 bytes at once


class SharedGradients:
    """All gradients in one contiguous buffer, for one all-reduce."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Allocate zeros on the parameters' device."""
        self.parameters = tuple(parameters)
        sizes = [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in self.parameters]
        self.flat = torch.zeros(sum(sizes), device=self.parameters[0].device)
        self.views = [
            part[: parameter.numel()].as_strided(parameter.shape, parameter.stride(), part.storage_offset())
            for parameter, part in zip(self.parameters, torch.split(self.flat, sizes), strict=True)
        ]

    def collect(self) -> None:
        """Copy this rank's gradients in, divided by the number of ranks, so that the sum is the mean."""
        torch._foreach_copy_(self.views, [_gradient(parameter) for parameter in self.parameters])
        self.flat.div_(rank_info().size)

    def average(self) -> None:
        """All-reduce: afterwards every rank holds the same mean, to the bit."""
        dist.all_reduce(self.flat)

    def assign(self) -> None:
        """Make the mean the parameters' gradients."""
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.grad = view


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a trainable parameter was not reached by the backward pass")
    return parameter.grad


def averaged(plain: EagerStep, mode: str, *, batch: int, reporter: Reporter) -> Step:
    """Return the step of one rank among several, each of its halves run in the mode that was chosen."""
    gradients, train_state = SharedGradients(plain.parameters), plain.train_state

    def first_half(step: EagerStep) -> Step:
        def compute(films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
            loss = step.compute_gradients(films, labels, draws)
            gradients.collect()
            return loss

        return compute

    def second_half() -> Tensor:
        gradients.assign()
        apply_gradients(train_state.optimiser, train_state.scaler, plain.parameters, plain.clip_norm)
        return gradients.flat

    compute = accelerate(plain, first_half, mode, batch=batch, reporter=reporter)
    update = second_half if mode == "eager" else CapturedStep(second_half, reporter)

    def step(films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        loss = compute(films, labels, draws)
        gradients.average()
        update()
        return loss

    return step


# --- choose step ---
# How to run the step: compiled and captured, captured, or eager.

# Films x epochs of a whole run. On an H100 compiling a ResNet50's step took 20 to 70 s and saved 0.05 to
# 0.09 ms a film against the graph alone (benchmarks/results/train.csv): it pays from 420,000 films (layer4 and
# head trained) or 790,000 (all layers).
COMPILE_PAYS = 600_000


def choose_step(train_state: TrainState, config: TrainConfig, *, films: int, reporter: Reporter) -> Step:
    """Make the step of a run.

    Args:
        train_state: with its checkpoint loaded, if there is one: a graph holds the addresses of tensors.
        config: the recipe; `step` is auto, compiled, graph or eager.
        films: in an epoch.
        reporter: the choice is reported there.
    """
    plain = eager_step(train_state, Augmentation.of(config), config.clip_norm)
    mode = choose_step_mode(train_state, config, films)
    reporter.say(f"step: {MODES[mode]}")
    if rank_info().size > 1:
        return averaged(plain, mode, batch=config.batch, reporter=reporter)
    return accelerate(plain, lambda step: step, mode, batch=config.batch, reporter=reporter)


def accelerate(
    plain: EagerStep, part: Callable[[EagerStep], Step], mode: str, *, batch: int, reporter: Reporter
) -> Step:
    """Return a part of the step, or all of it, compiled and captured as `mode` says."""
    if mode == "eager":
        return part(plain)
    step = part(plain)
    if mode == "compiled":
        step = CompiledWherePossible(step, part(compiled_step(plain)), batch=batch, reporter=reporter)
    return CapturedStep(step, reporter)


MODES = {
    "eager": "eager, kernel by kernel",
    "graph": "replayed as a CUDA graph",
    "compiled": "compiled (a minute, once) and replayed as a CUDA graph",
}


def choose_step_mode(train_state: TrainState, config: TrainConfig, films: int) -> str:
    """Return compiled, graph or eager; `films` is their number in an epoch."""
    if train_state.precision.device.type != "cuda" or train_state.scaler.is_enabled():
        return "eager"  # a loss scaler decides on the host whether to step
    if config.step != "auto":
        return config.step
    if config.deterministic:
        return "graph"  # a compiler that chooses kernels by timing may choose others next time
    return "compiled" if films * config.epochs >= COMPILE_PAYS else "graph"


@contextmanager
def torch_settings_restored() -> Iterator[None]:
    """Give a program that trains by the Python API its own settings of PyTorch back, however training ends."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])


def set_determinism(config: TrainConfig, device: torch.device) -> None:
    """Make PyTorch deterministic to the bit, or choose the fastest convolutions by timing them.

    Raises:
        RuntimeError: later, from an operation that has no deterministic kernel.
    """
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it first starts
    torch.backends.cudnn.benchmark = device.type == "cuda" and not config.deterministic  # the shapes never change
    torch.backends.cudnn.deterministic = config.deterministic
    torch.use_deterministic_algorithms(config.deterministic)
