"""One pass over the training films; all that is random in it depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tbconv.contract.reporter import Reporter
from torch_train.amp import LossFunction
from torch_train.augment import draw_table
from torch_train.config import TrainConfig
from torch_train.device import FilmStore
from torch_train.learner import Learner
from torch_train.ranks import average_statistics, here
from torch_train.step import Step

ORDER, AUGMENT, DROPOUT = range(3)  # three independent streams of randomness


def stream(seed: int, epoch: int, purpose: int, rank: int = 0) -> int:
    """Return the seed of one stream of one epoch: independent of all others, repeatable on resume."""
    own = np.random.SeedSequence([seed, epoch, purpose], spawn_key=(rank,) if rank else ())
    return int(own.generate_state(1, np.uint64)[0] >> 1)


def train_epoch(
    learner: Learner,
    step: Step,
    store: FilmStore,
    rows: NDArray[np.int64],
    config: TrainConfig,
    *,
    epoch: int,
    reporter: Reporter,
) -> float:
    """Show the network every training film once, changed a little; of several ranks each shows its share.

    Returns:
        The mean loss over films.
    """
    ranks = here()
    learner.tuning.train_mode()
    torch.manual_seed(stream(config.seed, epoch, DROPOUT, ranks.rank))
    batches = draw_batches(store.labels, rows, config, epoch)
    draws = [ranks.share(changes) for changes in draw_changes(batches, len(store.labels), config, epoch)]
    total = torch.zeros((), device=store.device)
    shown = zip(store.batches([ranks.share(batch) for batch in batches]), draws, strict=True)
    title = f"epoch {epoch}/{config.epochs}"
    for (films, labels), changes in reporter.track(shown, title=title, total=len(batches)):
        total += step(films, labels, changes) * len(labels)
    average_statistics(learner.tuning.network)
    return float(ranks.total(total)) / sum(len(batch) for batch in batches)  # the only wait for the GPU


def draw_batches(labels: Tensor, rows: NDArray[np.int64], config: TrainConfig, epoch: int) -> list[Tensor]:
    """Draw an epoch's order, the same on every rank.

    Returns:
        Indices int64 [batch x ranks] on the labels' device, all ranks' films of a step. Of the last batch those are
        left out that would give one rank more films than another, and all where each would get but one: a
        BatchNorm cannot learn from it. The next epoch has another order.
    """
    size = here().size
    generator = torch.Generator().manual_seed(stream(config.seed, epoch, ORDER))
    if config.balance == "sampler":
        own = labels.cpu()[torch.from_numpy(rows)]
        chances = 1.0 / torch.bincount(own, minlength=2).clamp(min=1)[own]
        order = torch.multinomial(chances, len(rows), replacement=True, generator=generator)
    else:
        order = torch.randperm(len(rows), generator=generator)
    drawn = torch.from_numpy(rows)[order].to(labels.device)
    batches = torch.split(drawn[: len(drawn) // size * size], config.batch * size)
    return [batch for batch in batches if len(batch) > size]


def draw_changes(batches: Sequence[Tensor], films: int, config: TrainConfig, epoch: int) -> tuple[Tensor, ...]:
    """Draw what augmentation does: by (seed, epoch, film, showing), whatever the order and the batches.

    Args:
        batches: as `draw_batches` draws them.
        films: how many there are in the whole set.
        config: the recipe.
        epoch: from 1.

    Returns:
        float32 [n, DRAWS] a batch, on the batches' device.
    """
    order = torch.cat(list(batches)).cpu()
    showing = count_before(order)
    table = draw_table(films, int(showing.max()) + 1, stream(config.seed, epoch, AUGMENT))
    return torch.split(table[showing, order].to(batches[0].device), [len(batch) for batch in batches])


def count_before(order: Tensor) -> Tensor:
    """Return how often each entry stood in `order` before, int64: 0 where a film is shown for the first time."""
    by_film = torch.argsort(order, stable=True)
    _, counts = torch.unique_consecutive(order[by_film], return_counts=True)
    first = torch.repeat_interleave(torch.cumsum(counts, 0) - counts, counts)
    before = torch.empty_like(order)
    before[by_film] = torch.arange(len(order)) - first
    return before


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
        if config.label_smoothing:
            return smoothed_cross_entropy(logits, truth, weight, config.label_smoothing)
        return F.cross_entropy(logits, truth, weight=weight)

    return loss


def smoothed_cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    """Return what `F.cross_entropy` does with label smoothing, without its wait for the GPU, which no graph can hold.

    Args:
        logits: float [n, 2].
        truth: int64 [n].
        weight: float [2] of the classes, or None.
        smoothing: share of each target that both classes divide.
    """
    positive = truth * (1 - smoothing) + smoothing / 2
    weights = torch.ones_like(logits[0]) if weight is None else weight
    surprise = -torch.stack((1 - positive, positive), dim=1) * F.log_softmax(logits, dim=1) * weights
    return surprise.sum() / weights[truth].sum()
