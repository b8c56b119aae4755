"""Training from the first epoch, or from a checkpoint, to the weights that are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tbconv.contract.errors import ConfigError, Reporter
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.report_kit.words import digits_for
from torch_train.config import UNKNOWN, TrainConfig
from torch_train.data.dataset import TrainingFilms
from torch_train.engine.amp import LossFunction, Precision, choose_precision
from torch_train.engine.augment import draw_table
from torch_train.engine.distributed import average_statistics, rank_info
from torch_train.engine.inference import FilmStore, logits_of, place_films, unseen_margins
from torch_train.engine.state import (
    BackgroundWriter,
    EpochRecord,
    FineTuning,
    Identity,
    Progress,
    Trained,
    TrainState,
    choose_layers,
    load_checkpoint,
    make_train_state,
    save_checkpoint,
    selected_epoch,
    should_continue,
    take_state,
    write_history,
)
from torch_train.engine.step import Step, choose_step, set_determinism
from torch_train.metrics import auroc, mean_auroc
from torch_train.model.network import XrayNetwork
from torch_train.model.pretrained import build_network
from torch_train.run_folder import CHECKPOINT, HISTORY, LABELS, RUN


@dataclass(frozen=True, slots=True)
class Start:
    """A network that is ready to train, its device and its precision."""

    tuning: FineTuning
    precision: Precision

    @property
    def bytes_of_state(self) -> int:
        """Of the network."""
        return sum(value.nbytes for value in self.tuning.network.state_dict().values())

    def bytes_of_checkpoints(self, written: Sequence[Path]) -> int:
        """Return how much more room checkpoints take at most while they are written.

        Of each there are two, the old one until the new one is whole, with the network, its best epoch and two moments
        of the optimiser.

        Args:
            written: where each of them lies; what is there already takes no more room.
        """
        one = 2 * self.bytes_of_state + 2 * sum(parameter.nbytes for parameter in self.tuning.parameters())
        return sum(2 * one - min(one, place.stat().st_size if place.is_file() else 0) for place in written)

    def bytes_of_run(self, config: TrainConfig) -> int:
        """Return how much more room a run takes at most: checkpoints, weights, and the films that conversion needs."""
        films = (config.calibration_films + config.heldout_films) * PreprocessSpec().size ** 2
        return self.bytes_of_checkpoints([config.out / CHECKPOINT]) + self.bytes_of_state + films


def start_network(config: TrainConfig, reporter: Reporter) -> Start:
    """Load the weights and choose layers and device: what can fail before a film is read.

    Raises:
        SetupError: the weights or the device are not available.
        ConfigError: the layers or the precision do not fit.
    """
    precision = choose_precision(config.device, config.precision)
    network = build_network(config.arch, config.weights, seed=config.seed, outputs=config.outputs)
    tuning = choose_layers(network, config.fine_tune)
    _report_start(tuning, config, precision, reporter)
    return Start(tuning, precision)


OnHistory = Callable[[tuple[EpochRecord, ...]], None]


def _nothing(history: tuple[EpochRecord, ...]) -> None:
    """Log no history."""


def fit_network(
    start: Start,
    films: TrainingFilms,
    config: TrainConfig,
    reporter: Reporter,
    *,
    resume: bool,
    stored: bool = True,
    on_history: OnHistory = _nothing,
) -> Trained:
    """Train all epochs, or until a plateau schedule stops early, and return the selected epoch.

    After every epoch a checkpoint from which `resume` continues exactly is written in the background. Without
    `stored` only the history is, for fits that are faster to repeat than to write. `on_history` gets all epochs so
    far: those of before where a run is resumed, and then each time one is stored.

    Raises:
        ConfigError: the loss became NaN or infinite, or the checkpoint belongs to another run.
    """
    precision = start.precision
    _require_enough(len(films.parts["train"]))
    if precision.device.index is not None:
        torch.cuda.set_device(precision.device)  # streams and graphs are made on the current one
    set_determinism(config, precision.device)
    truth = films.truth(one_of_n=config.task == "one-of-n")
    loss = class_loss(truth[films.parts["train"]], config, precision.device)
    train_state = make_train_state(start.tuning, precision, loss, config)
    store = place_films(films.model_inputs, truth, precision.device, reporter)
    identity = _identity(films, config, precision)
    progress = load_checkpoint(config.out / CHECKPOINT, train_state, identity) if resume else Progress((), {})
    if resume and rank_info().is_main:
        write_history(config.out / HISTORY, progress.history)  # a kill between the two files left it an epoch behind
        on_history(progress.history)
    step = choose_step(train_state, config, films=len(films.parts["train"]), reporter=reporter)
    digits = digits_for(len(films.parts["validation"]))
    with BackgroundWriter() as writer:
        while should_continue(progress.history, config):
            for finished in (RUN, LABELS):
                (config.out / finished).unlink(missing_ok=True)  # a finished run that is continued is not finished
            progress = _one_more_epoch(
                train_state, step, store, films, config, progress, stored=stored, reporter=reporter
            )
            if not rank_info().is_main:
                continue  # all ranks hold the same state; one writes it
            line = progress.history[-1].line(config.epochs, digits=digits, mean=films.targets is not None)
            state = take_state(train_state, progress, identity) if stored else None
            writer.submit(partial(_store_epoch, config.out, state, progress.history, line, reporter, on_history))
    return _select(train_state, store, films, progress, config, reporter=reporter)


def _require_enough(films: int) -> None:
    if films < 2 * rank_info().size:
        raise ConfigError(
            f"{films} training films for {rank_info().size} processes",
            why="each process needs at least two films a step: BatchNorm cannot train on one",
            fix="fewer --gpus, or more films",
        )


def _store_epoch(
    out: Path,
    state: dict[str, Any] | None,
    history: tuple[EpochRecord, ...],
    line: str,
    reporter: Reporter,
    on_history: OnHistory,
) -> None:
    """Write an epoch, then report it: a reported epoch is stored."""
    if state is not None:
        save_checkpoint(out / CHECKPOINT, state)
    write_history(out / HISTORY, history)
    reporter.say(line)
    on_history(history)


def _report_start(tuning: FineTuning, config: TrainConfig, precision: Precision, reporter: Reporter) -> None:
    reporter.say(f"device: {precision.device}, {precision.name}")
    reporter.say(tuning.describe())
    if config.weights == "none" and len(tuning.layers) < tuning.of:
        reporter.say(
            f"warning: {tuning.of - len(tuning.layers)} frozen layers hold random weights and will never be trained; "
            "--fine-tune all, or start from --weights imagenet or a file"
        )


def _identity(films: TrainingFilms, config: TrainConfig, precision: Precision) -> Identity:
    setup = {"precision": precision.name, "device": precision.device.type, "processes": rank_info().size}
    return Identity({**config.stored(), **setup}, films.data_digest, films.split_digest)


def _one_more_epoch(
    train_state: TrainState,
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
    rate = train_state.rate
    train_loss = train_epoch(train_state, step, store, films.parts["train"], config, epoch=epoch, reporter=reporter)
    trained = time.perf_counter()
    validation_loss, validation_auroc = _validate(train_state, store, films, config)
    if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
        raise _diverged(epoch, config.out if stored else None, train_loss, validation_loss)
    train_state.end_epoch(validation_loss)
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
    best = (
        _copy_state(train_state.tuning.network) if selected_epoch(history, config.schedule) is record else progress.best
    )
    return Progress(history, best)


def _validate(
    train_state: TrainState, store: FilmStore, films: TrainingFilms, config: TrainConfig
) -> tuple[float, float]:
    """Return loss and AUROC, of several labels their mean."""
    rows = films.parts["validation"]
    logits = logits_of(train_state.tuning.network, store, rows, train_state.precision)
    loss = float(train_state.loss_function(logits, store.labels[torch.from_numpy(rows).to(store.device)]))
    if films.targets is not None:
        found = np.nan_to_num(logits.cpu().numpy())
        return loss, mean_auroc(found, films.targets[rows], one_of_n=config.task == "one-of-n")
    margins = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return loss, auroc(np.nan_to_num(margins), films.labels[rows])


def _copy_state(network: XrayNetwork) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _diverged(epoch: int, stored_in: Path | None, train_loss: float, validation_loss: float) -> ConfigError:
    kept = "" if stored_in is None or epoch == 1 else f"; {stored_in / CHECKPOINT} keeps the epochs before"
    return ConfigError(
        f"the loss became NaN or infinite in epoch {epoch}: training {train_loss}, validation {validation_loss}",
        why=f"the learning rate is too high, or the precision too low for it{kept}",
        fix="try a tenth of the --learning-rate, or --precision float32, in another --out",
    )


def _select(
    train_state: TrainState,
    store: FilmStore,
    films: TrainingFilms,
    progress: Progress,
    config: TrainConfig,
    *,
    reporter: Reporter,
) -> Trained:
    network, selected = train_state.tuning.network, selected_epoch(progress.history, config.schedule)
    word = "last" if config.schedule == "cosine" else "best"
    reporter.say(f"selected: epoch {selected.epoch} of {len(progress.history)}, the {word} one")
    network.load_state_dict(progress.best)
    margins = unseen_margins(network, store, films, reporter)
    return Trained(network.cpu(), margins, progress.history, train_state.precision.name)


# --- epoch ---
# One pass over the training films; its randomness depends on (seed, epoch) alone.

ORDER, AUGMENT, DROPOUT = range(3)  # three independent streams of randomness


def stream(seed: int, epoch: int, purpose: int, rank: int = 0) -> int:
    """Return the seed of one stream of one epoch: independent of all others, repeatable on resume."""
    own = np.random.SeedSequence([seed, epoch, purpose], spawn_key=(rank,) if rank else ())
    return int(own.generate_state(1, np.uint64)[0] >> 1)


def train_epoch(
    train_state: TrainState,
    step: Step,
    store: FilmStore,
    rows: NDArray[np.int64],
    config: TrainConfig,
    *,
    epoch: int,
    reporter: Reporter,
) -> float:
    """Train on every training film once, augmented; each of several ranks takes its share.

    Returns:
        The mean loss over films.
    """
    ranks = rank_info()
    train_state.tuning.train_mode()
    torch.manual_seed(stream(config.seed, epoch, DROPOUT, ranks.rank))
    batches = draw_batches(store.labels, rows, config, epoch)
    draws = [ranks.share(drawn) for drawn in draw_augmentations(batches, len(store.labels), config, epoch)]
    total = torch.zeros((), device=store.device)
    shown = zip(store.batches([ranks.share(batch) for batch in batches]), draws, strict=True)
    title = f"epoch {epoch}/{config.epochs}"
    for (films, labels), drawn in reporter.track(shown, title=title, total=len(batches)):
        total += step(films, labels, drawn) * len(labels)
    average_statistics(train_state.tuning.network)
    return float(ranks.total(total)) / sum(len(batch) for batch in batches)  # the only synchronisation with the GPU


def draw_batches(labels: Tensor, rows: NDArray[np.int64], config: TrainConfig, epoch: int) -> list[Tensor]:
    """Draw an epoch's order, the same on every rank.

    Returns:
        Indices int64 [batch x ranks] on the labels' device, all ranks' films of a step. The last batch is cut to a
        multiple of the ranks, and dropped if each would get a single film, on which BatchNorm cannot train.
    """
    size = rank_info().size
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


def draw_augmentations(batches: Sequence[Tensor], films: int, config: TrainConfig, epoch: int) -> tuple[Tensor, ...]:
    """Draw augmentations by (seed, epoch, film, repetition), independent of order and batches.

    Args:
        batches: as `draw_batches` draws them.
        films: how many there are in the whole set.
        config: the recipe.
        epoch: from 1.

    Returns:
        float32 [n, DRAWS] a batch, on the batches' device.
    """
    order = torch.cat(list(batches)).cpu()
    repetition = count_earlier(order)
    table = draw_table(films, int(repetition.max()) + 1, stream(config.seed, epoch, AUGMENT))
    return torch.split(table[repetition, order].to(batches[0].device), [len(batch) for batch in batches])


def count_earlier(order: Tensor) -> Tensor:
    """Return how often each entry occurred earlier in `order`, int64: 0 at its first occurrence."""
    by_film = torch.argsort(order, stable=True)
    _, counts = torch.unique_consecutive(order[by_film], return_counts=True)
    first = torch.repeat_interleave(torch.cumsum(counts, 0) - counts, counts)
    before = torch.empty_like(order)
    before[by_film] = torch.arange(len(order)) - first
    return before


def class_loss(labels: NDArray[np.int64], config: TrainConfig, device: torch.device) -> LossFunction:
    """Return the cross-entropy; with balance "loss" all classes, or both sides of each label, weigh the same in all.

    Args:
        labels: int64 [n] of classes, or [n, L] of labels of which a film may have several; of the training part.
        config: the recipe.
        device: of the logits.
    """
    if labels.ndim > 1:
        return label_loss(labels, config, device)
    classes = config.outputs
    counts = np.bincount(labels, minlength=classes)
    weight = None
    if config.balance == "loss":
        weight = torch.tensor(len(labels) / (classes * counts), dtype=torch.float32, device=device)

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        if config.label_smoothing:
            return smoothed_cross_entropy(logits, truth, weight, config.label_smoothing)
        return F.cross_entropy(logits, truth, weight=weight)

    return loss


def smoothed_cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    """Return `F.cross_entropy` with label smoothing, without its host synchronisation, which no CUDA graph can hold.

    Args:
        logits: float [n, K].
        truth: int64 [n].
        weight: float [K] of the classes, or None.
        smoothing: share of each target that is divided between all classes.
    """
    classes = logits.shape[1]
    if classes == 2:  # as it was before there were more, to the last bit
        positive = truth * (1 - smoothing) + smoothing / 2
        targets = torch.stack((1 - positive, positive), dim=1)
    else:
        own = truth[:, None] == torch.arange(classes, device=truth.device)
        targets = own * (1 - smoothing) + smoothing / classes
    weights = torch.ones_like(logits[0]) if weight is None else weight
    losses = -targets * F.log_softmax(logits, dim=1) * weights
    return losses.sum() / weights[truth].sum()


def label_loss(labels: NDArray[np.int64], config: TrainConfig, device: torch.device) -> LossFunction:
    """Return the binary cross-entropy of several labels, each on the films of which it is known.

    Weights are such that over the training films both sides of a label, and all labels, weigh the same. It is divided
    by the number of films and labels, known or not, so that what is unknown of one label moves no other.

    Args:
        labels: int64 [n, L] of the training part: 1, 0, UNKNOWN; each label has films of both sides.
        config: the recipe.
        device: of the logits.
    """
    sides = [(labels == side).sum(0) for side in (0, 1)]
    negative, positive = (
        torch.tensor(len(labels) / (2 * counts), dtype=torch.float32, device=device) for counts in sides
    )

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        has = truth == 1
        weights = torch.where(has, positive, negative) * (truth != UNKNOWN)
        targets = has * (1 - config.label_smoothing) + config.label_smoothing / 2
        return (F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weights).mean()

    return loss
