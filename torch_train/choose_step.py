"""Which way to run the step: compiled and captured, captured, or eager; the one place that decides and says it."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from tbconv.contract.reporter import Reporter
from torch_train.augment import Augmentation
from torch_train.averaged_step import AveragedStep, CommonUpdate, OwnGradients, SharedGradients
from torch_train.captured_step import CapturedStep
from torch_train.config import TrainConfig
from torch_train.learner import Learner
from torch_train.ranks import here
from torch_train.step import CompiledWherePossible, EagerStep, Step, compiled_step, eager_step

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
