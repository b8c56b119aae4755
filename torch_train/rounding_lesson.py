"""One pupil that learns to be rounded, epoch by epoch: the steps of quantise_aware's recipe and their numbers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tbconv.contract.errors import ConfigError
from tbconv.contract.reporter import Reporter
from tbconv.contract.threshold import OperatingPoint
from torch_train.amp import exact_float32
from torch_train.augment import Augmentation, augment
from torch_train.device import FilmStore
from torch_train.distillation import Answers, Closeness, Distillation, closeness
from torch_train.epoch import AUGMENT, ORDER, stream
from torch_train.evaluate import BATCH
from torch_train.fake_quant import FakeQuantised
from torch_train.network import XrayNetwork
from torch_train.run_folder import RUN

# Half of what training uses: the network knows these films, and only its rounding is to change.
LIGHT = Augmentation(rotation=5.0, shift=0.025, zoom=0.05, brightness=0.05, contrast=0.05, flip=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantiseAwareConfig:
    """Every number of the recipe."""

    run: Path  # a finished run with a trained network
    data: Path | None = None  # its films; not needed for 0 epochs
    out: Path | None = None  # run folder to write; not needed for 0 epochs
    epochs: int = 3  # 0 only measures
    batch: int = 64
    learning_rate: float = 1e-6  # of Adam at the start; falls to 0 along a cosine; 1e-5 drowned 73 films of delhi
    near_weight: float = 4.0  # how much more a film at the operating point counts than one far from it
    near_width: float = 0.25  # in standard deviations of the teacher's margin: how far "near" reaches
    feature_weight: float = 0.1  # of the last feature map's relative error, so that the evidence stays, too
    recalibrate_every: int = 10  # steps between two measurements of the ranges
    joined_ranges: bool = True  # as TensorFlow 2.21 calibrates; see FakeQuantised
    patient: str | None = None  # None: as the run was trained
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs > 0 and (self.data is None or self.out is None):
            fix = "give both, or --epochs 0 to measure only"
            raise ConfigError("--data or --out is missing", why="training needs films and a place to write", fix=fix)
        if min(self.batch, self.recalibrate_every) < 1 or self.epochs < 0 or not 0 < self.learning_rate < 1:
            why = "batch and steps count from 1, epochs from 0, and the rate lies between 0 and 1"
            raise ConfigError("a number is out of range", why=why, fix="see --help")
        if self.out is not None and (self.out / RUN).exists():
            why = "training there would overwrite it"
            raise ConfigError(f"{self.out} holds a run already ({RUN})", why=why, fix="another --out")

    def stored(self) -> dict[str, Any]:
        """Return what is kept: every number, no path."""
        return {key: value for key, value in asdict(self).items() if key not in ("run", "data", "out")}


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """One epoch; epoch 0 is the network as it came."""

    epoch: int
    loss: float | None  # distillation loss, mean over the epoch's films; None before the first
    int8: Closeness  # simulated, head in float
    float32: Closeness  # the same weights without rounding
    seconds: float

    def lines(self) -> list[str]:
        """Return the lines that are printed."""
        loss = "" if self.loss is None else f", loss {self.loss:.3g}, {self.seconds:.0f} s"
        rows = (("int8, simulated", self.int8), ("float32", self.float32))
        return [f"epoch {self.epoch}{loss}", *(f"  {name}: {closeness.line()}" for name, closeness in rows)]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Teacher, pupil and what both are fed."""

    teacher: XrayNetwork
    pupil: FakeQuantised
    calibration: Tensor  # uint8 [N, 1, 224, 224], on the device: the films that the converter will be shown
    heldout: Tensor  # uint8 [N, 1, 224, 224], on the device: never learnt from, never chosen by
    point: OperatingPoint
    distillation: Distillation

    @property
    def device(self) -> torch.device:
        """Where all of it is."""
        return self.calibration.device

    def calibrate(self) -> None:
        """Measure the pupil's ranges as the converter will."""
        self.pupil.calibrate(self.calibration, batch=BATCH[self.device.type])


def train(
    lesson: Lesson, store: FilmStore, config: QuantiseAwareConfig, history: list[EpochFigures], reporter: Reporter
) -> None:
    """Train for all epochs; append each one's figures to `history`."""
    parameters = learning_parameters(lesson.pupil.network)
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)  # no decay: the weights are where they belong
    steps = config.epochs * -(-len(store.films) // config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(1, config.epochs + 1):
        start = time.perf_counter()
        loss = train_epoch(lesson, store, config, optimiser, schedule, epoch=epoch, reporter=reporter)
        if not np.isfinite(loss):
            why, fix = "the learning rate is too high", "a tenth of the --lr"
            raise ConfigError(f"the loss is {loss} in epoch {epoch}", why=why, fix=fix)
        history.append(measure(lesson, epoch=epoch, loss=loss, seconds=time.perf_counter() - start))
        say(history[-1], reporter)


def learning_parameters(network: XrayNetwork) -> list[nn.Parameter]:
    """Let the body's convolutions and BatchNorm gains and offsets learn, and nothing else."""
    network.requires_grad_(False)
    network.body.requires_grad_(True)
    return list(network.body.parameters())


def train_epoch(
    lesson: Lesson,
    store: FilmStore,
    config: QuantiseAwareConfig,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    epoch: int,
    reporter: Reporter,
) -> float:
    """Show every film once, changed a little; return the mean loss over films."""
    order = torch.randperm(len(store.films), generator=torch.Generator().manual_seed(stream(config.seed, epoch, ORDER)))
    batches = torch.split(order.to(store.device), config.batch)
    generator = torch.Generator(store.device).manual_seed(stream(config.seed, epoch, AUGMENT))
    total = torch.zeros((), device=store.device)
    for step, rows in enumerate(reporter.track(batches, title=f"epoch {epoch}/{config.epochs}", total=len(batches))):
        if step % config.recalibrate_every == 0:
            lesson.calibrate()
        images = augment(store.batch(rows)[0], LIGHT, generator).round()  # the shipped file takes whole grey levels
        total += train_step(lesson, images.contiguous(memory_format=torch.channels_last), optimiser) * len(rows)
        schedule.step()
    return float(total) / len(store.films)  # the only wait for the GPU


def train_step(lesson: Lesson, images: Tensor, optimiser: torch.optim.Optimizer) -> Tensor:
    """Pull the pupil towards its teacher once; return the loss, detached."""
    with torch.no_grad():
        features = lesson.teacher.body(lesson.teacher.normalise(images))
        teacher = Answers(lesson.teacher.head(features.mean((2, 3))), features)
    optimiser.zero_grad(set_to_none=True)
    loss = lesson.distillation.loss(Answers(*lesson.pupil(images)), teacher)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach()


def measure(lesson: Lesson, *, epoch: int, loss: float | None, seconds: float) -> EpochFigures:
    """Compare the pupil, rounded and not, with its teacher on the held-out films, in float32 without TF32."""
    with exact_float32():
        lesson.calibrate()
        truth = answer(lesson.teacher, lesson.heldout)
        rounded, plain = answer(lesson.pupil, lesson.heldout), answer(lesson.pupil.network, lesson.heldout)
    int8, float32 = (closeness(truth, other, lesson.point) for other in (rounded, plain))
    return EpochFigures(epoch, loss, int8, float32, seconds)


def answer(network: nn.Module, films: Tensor) -> NDArray[np.float64]:
    """Return the logits of films uint8 [N, 1, 224, 224], float64 [N, 2]."""
    parts = []
    with torch.inference_mode():
        for some in torch.split(films, BATCH[films.device.type]):
            said = network(some.float().contiguous(memory_format=torch.channels_last))
            parts.append(said[0] if isinstance(said, tuple) else said)
    return torch.cat(parts).cpu().numpy().astype(np.float64)


def say(figures: EpochFigures, reporter: Reporter) -> None:
    """Print one epoch's figures."""
    for line in figures.lines():
        reporter.say(line)
