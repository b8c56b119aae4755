"""One pass over the training films; all that is random in it depends on (seed, epoch) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F

from tbconv.contract.reporter import Reporter
from torch_train.amp import LossFunction, Precision, amp_step
from torch_train.augment import Augmentation, augment
from torch_train.config import TrainConfig
from torch_train.device import FilmStore
from torch_train.finetune import FineTuning

ORDER, AUGMENT, DROPOUT = range(3)  # three independent streams of randomness


@dataclass(frozen=True, slots=True)
class Learner:
    """All that changes while training, and the rule by which it does."""

    tuning: FineTuning
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau
    scaler: GradScaler
    precision: Precision
    loss_function: LossFunction


def stream(seed: int, epoch: int, purpose: int) -> int:
    """Return the seed of one stream of one epoch: independent of all others, repeatable on resume."""
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0] >> 1)


def train_epoch(
    learner: Learner, store: FilmStore, rows: NDArray[np.int64], config: TrainConfig, *, epoch: int, reporter: Reporter
) -> float:
    """Show the network every training film once, changed a little.

    Returns:
        The mean loss over films.
    """
    learner.tuning.train_mode()
    torch.manual_seed(stream(config.seed, epoch, DROPOUT))
    generator = torch.Generator(store.device).manual_seed(stream(config.seed, epoch, AUGMENT))
    numbers, parameters = Augmentation.of(config), learner.tuning.parameters()
    batches = draw_batches(store.labels, rows, config, epoch)
    total = torch.zeros((), device=store.device)
    for batch in reporter.track(batches, title=f"epoch {epoch}/{config.epochs}", total=len(batches)):
        films, labels = store.batch(batch)
        images = augment(films, numbers, generator).contiguous(memory_format=torch.channels_last)
        loss = amp_step(
            learner.tuning.network,
            images,
            labels,
            loss_function=learner.loss_function,
            optimiser=learner.optimiser,
            scaler=learner.scaler,
            precision=learner.precision,
            parameters=parameters,
            clip_norm=config.clip_norm,
        )
        total += loss * len(labels)
    return float(total) / sum(len(batch) for batch in batches)  # the only wait for the GPU


def draw_batches(labels: Tensor, rows: NDArray[np.int64], config: TrainConfig, epoch: int) -> list[Tensor]:
    """Draw an epoch's order.

    Returns:
        Indices int64 [batch] on the labels' device. A last batch of one film is left out: a
        BatchNorm cannot learn from it, and the next epoch has another order.
    """
    generator = torch.Generator().manual_seed(stream(config.seed, epoch, ORDER))
    if config.balance == "sampler":
        own = labels.cpu()[torch.from_numpy(rows)]
        chances = 1.0 / torch.bincount(own, minlength=2).clamp(min=1)[own]
        order = torch.multinomial(chances, len(rows), replacement=True, generator=generator)
    else:
        order = torch.randperm(len(rows), generator=generator)
    drawn = torch.from_numpy(rows)[order].to(labels.device)
    batches = torch.split(drawn, config.batch)
    return [batch for batch in batches if len(batch) > 1]


def class_loss(labels: NDArray[np.int64], config: TrainConfig, device: torch.device) -> LossFunction:
    """Return the cross-entropy; with balance "loss" both classes weigh the same in the sum.

    Args:
        labels: int64 [n], of the training part.
        config: the recipe.
        device: of the logits.
    """
    counts = np.bincount(labels, minlength=2)
    weight = None
    if config.balance == "loss":
        weight = torch.tensor(len(labels) / (2 * counts), dtype=torch.float32, device=device)

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        return F.cross_entropy(logits, truth, weight=weight, label_smoothing=config.label_smoothing)

    return loss
