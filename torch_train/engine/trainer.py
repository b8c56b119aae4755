"""Fine-tuning from the first epoch, or from a checkpoint, to the weights that are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tbconv.contract.errors import ConfigError
from tbconv.contract.reporting import Reporter
from tbconv.report_kit.words import digits_for
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms
from torch_train.engine.amp import LossFunction, Precision, choose_precision
from torch_train.engine.augment import draw_table
from torch_train.engine.checkpoint import (
    BesideTraining,
    Identity,
    Progress,
    load_checkpoint,
    save_checkpoint,
    take_state,
)
from torch_train.engine.distributed import average_statistics, here
from torch_train.engine.inference import FilmStore, exact_margins, logits_of, place_films
from torch_train.engine.state import (
    EpochRecord,
    FineTuning,
    Learner,
    choose_layers,
    goes_on,
    kept_epoch,
    make_learner,
    write_history,
)
from torch_train.engine.step import Step, choose_step, set_determinism
from torch_train.metrics import auroc
from torch_train.model.network import XrayNetwork
from torch_train.model.pretrained import build_network
from torch_train.run_folder import CHECKPOINT, HISTORY, RUN


@dataclass(frozen=True, slots=True)
class Trained:
    """The kept epoch's network and its margins on the films that it did not learn from."""

    network: XrayNetwork  # on the CPU, eval mode
    history: tuple[EpochRecord, ...]
    margins: NDArray[np.float32]  # [N], float32 without TF32; NaN for training films
    precision: str  # of training, as it ran: float32, bfloat16 or float16


@dataclass(frozen=True, slots=True)
class Start:
    """A network that is ready to learn, and how its numbers are held."""

    tuning: FineTuning
    precision: Precision


def start_network(config: TrainConfig, reporter: Reporter) -> Start:
    """Load the weights and choose the layers and the device: what can be wrong before a film is read.

    Raises:
        SetupError: the weights or the device cannot be had.
        ConfigError: the layers or the precision do not fit.
    """
    precision = choose_precision(config.device, config.precision)
    tuning = choose_layers(build_network(config.arch, config.weights, seed=config.seed), config.fine_tune)
    _say_start(tuning, config, precision, reporter)
    return Start(tuning, precision)


def fit_network(
    start: Start, films: TrainingFilms, config: TrainConfig, reporter: Reporter, *, resume: bool, stored: bool = True
) -> Trained:
    """Train until the epochs are done, or with a plateau schedule nothing gets better, and return the kept epoch.

    After every epoch a checkpoint is written from which `resume` goes on exactly, while the next one trains; only
    the history where `stored` is off, for fits that are sooner done again than written.

    Raises:
        ConfigError: the loss is no longer a number, or `resume` meets another run.
    """
    precision = start.precision
    _require_enough(len(films.parts["train"]))
    if precision.device.index is not None:
        torch.cuda.set_device(precision.device)  # streams and graphs are made on the current one
    set_determinism(config, precision.device)
    loss = class_loss(films.labels_of("train"), config, precision.device)
    learner = make_learner(start.tuning, precision, loss, config)
    store = place_films(films.model_inputs, films.labels, precision.device, reporter)
    identity = _identity(films, config, precision)
    progress = load_checkpoint(config.out / CHECKPOINT, learner, identity) if resume else Progress((), {})
    if resume and here().leads:
        write_history(config.out / HISTORY, progress.history)  # a kill between the two files left it an epoch behind
    step = choose_step(learner, config, films=len(films.parts["train"]), reporter=reporter)
    digits = digits_for(len(films.parts["validation"]))
    with BesideTraining() as beside:
        while goes_on(progress.history, config):
            (config.out / RUN).unlink(missing_ok=True)  # a finished run that goes on is not finished
            progress = _one_more_epoch(learner, step, store, films, config, progress, stored=stored, reporter=reporter)
            if not here().leads:
                continue  # all ranks hold the same; one writes it
            line = progress.history[-1].line(config.epochs, digits=digits)
            state = take_state(learner, progress, identity) if stored else None
            beside.begin(partial(_store_epoch, config.out, state, progress.history, line, reporter))
    return _judge(learner, store, films, progress, config, reporter=reporter)


def _require_enough(films: int) -> None:
    if films < 2 * here().size:
        raise ConfigError(
            f"{films} training films for {here().size} processes",
            why="each takes two a step at the least: a BatchNorm cannot learn from one",
            fix="fewer --gpus, or more films",
        )


def _store_epoch(
    out: Path, state: dict[str, Any] | None, history: tuple[EpochRecord, ...], line: str, reporter: Reporter
) -> None:
    """Write an epoch, then say that it is over: what was said is safe."""
    if state is not None:
        save_checkpoint(out / CHECKPOINT, state)
    write_history(out / HISTORY, history)
    reporter.say(line)


def _say_start(tuning: FineTuning, config: TrainConfig, precision: Precision, reporter: Reporter) -> None:
    reporter.say(f"device: {precision.device}, {precision.name}")
    reporter.say(tuning.describe())
    if config.weights == "none" and len(tuning.layers) < tuning.of:
        reporter.say(
            f"warning: {tuning.of - len(tuning.layers)} frozen layers hold random weights and will never learn; "
            "--fine-tune all, or start from --weights imagenet or a file"
        )


def _identity(films: TrainingFilms, config: TrainConfig, precision: Precision) -> Identity:
    ways = {"precision": precision.name, "device": precision.device.type, "processes": here().size}
    terms = {**config.stored(), **ways}
    return Identity(terms, films.data_digest, films.split_digest)


def _one_more_epoch(
    learner: Learner,
    step: Step,
    store: FilmStore,
    films: TrainingFilms,
    config: TrainConfig,
    progress: Progress,
    *,
    stored: bool,
    reporter: Reporter,
) -> Progress:
    epoch, start = len(progress.history) + 1, time.perf_counter()
    rate = learner.rate
    train_loss = train_epoch(learner, step, store, films.parts["train"], config, epoch=epoch, reporter=reporter)
    trained = time.perf_counter()
    validation_loss, validation_auroc = _validate(learner, store, films)
    if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
        raise _lost(epoch, config.out if stored else None, train_loss, validation_loss)
    learner.end_epoch(validation_loss)
    record = EpochRecord(
        epoch=epoch,
        train_loss=train_loss,
        validation_loss=validation_loss,
        validation_auroc=validation_auroc,
        learning_rate=rate,
        seconds=time.perf_counter() - start,
        films_per_second=len(films.parts["train"]) / (trained - start),
    )
    history = (*progress.history, record)
    best = _copy_state(learner.tuning.network) if kept_epoch(history, config.schedule) is record else progress.best
    return Progress(history, best)


def _validate(learner: Learner, store: FilmStore, films: TrainingFilms) -> tuple[float, float]:
    rows = films.parts["validation"]
    logits = logits_of(learner.tuning.network, store, rows, learner.precision)
    loss = float(learner.loss_function(logits, store.labels[torch.from_numpy(rows).to(store.device)]))
    margins = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return loss, auroc(np.nan_to_num(margins), films.labels[rows])


def _copy_state(network: XrayNetwork) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _lost(epoch: int, stored_in: Path | None, train_loss: float, validation_loss: float) -> ConfigError:
    kept = "" if stored_in is None or epoch == 1 else f"; {stored_in / CHECKPOINT} keeps the epochs before"
    return ConfigError(
        f"the loss is no number in epoch {epoch}: training {train_loss}, validation {validation_loss}",
        why=f"the learning rate is too high, or the precision too low for it{kept}",
        fix="a tenth of the --learning-rate, or --precision float32, in another --out",
    )


def _judge(
    learner: Learner,
    store: FilmStore,
    films: TrainingFilms,
    progress: Progress,
    config: TrainConfig,
    *,
    reporter: Reporter,
) -> Trained:
    network, kept = learner.tuning.network, kept_epoch(progress.history, config.schedule)
    word = "last" if config.schedule == "cosine" else "best"
    reporter.say(f"kept: epoch {kept.epoch} of {len(progress.history)}, the {word} one")
    network.load_state_dict(progress.best)
    judged = np.concatenate([films.parts["validation"], films.parts["test"]])
    margins = np.full(len(films.labels), np.nan, np.float32)
    margins[judged] = exact_margins(network, store, judged)
    return Trained(network.cpu(), progress.history, margins, learner.precision.name)


# --- epoch ---
# One pass over the training films; all that is random in it depends on (seed, epoch) alone.

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
