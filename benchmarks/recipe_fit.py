"""One fit of a recipe that may have more to it than `tbconv train` offers: what is tried before it is built in."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.recipe_ways import Way
from tbconv.contract.errors import Silence
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms
from torch_train.engine.amp import choose_precision
from torch_train.engine.augment import DRAWS, Augmentation, augment_films
from torch_train.engine.inference import FilmStore, exact_margins, logits_of, place_films
from torch_train.engine.state import (
    EpochRecord,
    TrainState,
    choose_layers,
    make_train_state,
    selected_epoch,
    should_continue,
)
from torch_train.engine.step import Step, choose_step, set_determinism
from torch_train.engine.trainer import class_loss, start_network, train_epoch
from torch_train.metrics import auroc
from torch_train.model.network import XrayNetwork

HEAD = "3"  # the head's weighted layers
EMA_WARM_UP = 10  # steps until a moving average forgets its random start; timm's rule (1 + t) / (10 + t)


@dataclass(slots=True)
class MovingAverage:
    """A copy of the network that follows it slowly; BatchNorms' statistics too."""

    network: XrayNetwork
    copy: XrayNetwork
    decay: float
    steps: int = 0

    def follow(self) -> None:
        """Take one step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (EMA_WARM_UP + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(_numbers(self.copy), _numbers(self.network), 1 - decay)


def _numbers(network: XrayNetwork) -> list[Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def fit_way(way: Way, films: TrainingFilms, config: TrainConfig) -> dict[str, NDArray[np.float64]]:
    """Fit one fold.

    Args:
        way: what is beyond the config.
        films: with the fold's parts, at the way's side.
        config: the recipe, the way's options in it.

    Returns:
        Margins float64 [N] by the way's name, NaN for training films; with views, a second one beside it.
    """
    config = replace(config, schedule="cosine" if way.cosine else "plateau")
    start = start_network(config, Silence())
    store = place_films(films.model_inputs, films.labels, start.precision.device, Silence())
    network = start.tuning.network
    if way.head_first:
        _train(way, network, replace(config, fine_tune=HEAD, epochs=way.head_first, learning_rate=1e-3), films, store)
    judged = _train(way, network, config, films, store)
    rows = np.concatenate([films.parts["validation"], films.parts["test"]])
    answers = [exact_margins(judged, store, rows)]
    if way.views:
        answers.append(_margins_of_views(way.views, judged, store, rows, config))
    return {name: _spread(one, rows, len(films.labels)) for name, one in zip(way.readers, answers, strict=True)}


def _train(way: Way, network: XrayNetwork, config: TrainConfig, films: TrainingFilms, store: FilmStore) -> XrayNetwork:
    """Return the network that is judged: the best epoch's, the last one's, or their moving average."""
    precision = choose_precision(config.device, config.precision)
    set_determinism(config, precision.device)
    loss = class_loss(films.labels_of("train"), config, precision.device)
    train_state = make_train_state(choose_layers(network, config.fine_tune), precision, loss, config)
    step = choose_step(train_state, config, films=len(films.parts["train"]), reporter=Silence())
    judged = network
    if way.ema:
        average = MovingAverage(network, copy.deepcopy(network), way.ema)
        judged, step = average.copy, _followed(step, average)
    history: list[EpochRecord] = []
    best: dict[str, Tensor] = {}
    while should_continue(history, config):
        record = _epoch(train_state, step, judged, store, films, config, len(history) + 1)
        history.append(record)
        if selected_epoch(history, config.schedule) is record:
            best = {key: value.detach().clone() for key, value in judged.state_dict().items()}
    judged.load_state_dict(best)
    return judged


def _followed(step: Step, average: MovingAverage) -> Step:
    def both(films: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        loss = step(films, labels, draws)
        average.follow()
        return loss

    return both


def _epoch(
    train_state: TrainState,
    step: Step,
    judged: XrayNetwork,
    store: FilmStore,
    films: TrainingFilms,
    config: TrainConfig,
    epoch: int,
) -> EpochRecord:
    start, rate = time.perf_counter(), train_state.rate
    train_loss = train_epoch(train_state, step, store, films.parts["train"], config, epoch=epoch, reporter=Silence())
    rows = films.parts["validation"]
    logits = logits_of(judged, store, rows, train_state.precision)
    loss = float(train_state.loss_function(logits, store.labels[torch.from_numpy(rows).to(store.device)]))
    area = auroc((logits[:, 1] - logits[:, 0]).cpu().numpy(), films.labels[rows])
    train_state.end_epoch(loss)
    seconds = time.perf_counter() - start
    return EpochRecord(epoch, train_loss, loss, area, rate, seconds, len(films.parts["train"]) / seconds)


def _margins_of_views(
    views: int, network: XrayNetwork, store: FilmStore, rows: NDArray[np.int64], config: TrainConfig
) -> NDArray[np.float32]:
    """Return the mean margin of each film's changed copies, float32 [n]."""
    generator = torch.Generator(device=store.device).manual_seed(config.seed)
    numbers, seen = Augmentation.of(config), []
    for _ in range(views):
        margins = []
        with torch.inference_mode():
            for some in torch.split(torch.from_numpy(rows).to(store.device), 256):
                draws = torch.rand(len(some), DRAWS, generator=generator, device=store.device) * 2 - 1
                logits = network(augment_films(store.batch(some)[0], draws, numbers))
                margins.append((logits[:, 1] - logits[:, 0]).float().cpu())
        seen.append(torch.cat(margins).numpy())
    return np.asarray(np.mean(seen, axis=0), np.float32)


def _spread(margins: NDArray[np.float32], rows: NDArray[np.int64], films: int) -> NDArray[np.float64]:
    found = np.full(films, np.nan)
    found[rows] = margins
    return found
