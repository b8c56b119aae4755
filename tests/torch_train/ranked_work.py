"""What two ranks do in the tests of ranks: functions of a module, because other processes have to find them."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from tbconv.contract.errors import Silence
from torch_train.data.dataset import prepare_films
from torch_train.engine import inference
from torch_train.engine.amp import choose_precision
from torch_train.engine.augment import Augmentation
from torch_train.engine.distributed import main_process_first, rank_info
from torch_train.engine.inference import FilmStore, exact_logits, exact_margins
from torch_train.engine.state import choose_layers, make_train_state
from torch_train.engine.step import averaged, eager_step
from torch_train.engine.trainer import DROPOUT, draw_batches, fit_network, start_network, stream
from torch_train.model.network import XrayNetwork

STILL = Augmentation(0, 0, 0, 0, 0, flip=False)
STEPS = 2


def drawn_store(count=27, side=64):
    generator = torch.Generator().manual_seed(3)
    films = torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=generator)
    return FilmStore(films, torch.arange(count) % 2, torch.device("cpu"))


def drawn_network(seed=0):
    torch.manual_seed(seed)
    network = XrayNetwork("resnet10")
    for drop in (network.head.drop1, network.head.drop2):
        drop.p = 0.0  # DDP's peer draws other numbers
    return network


def margins(rows):
    """Margins of films `rows`, 4 a batch."""
    network = drawn_network().to(memory_format=torch.channels_last)
    with patch.dict(inference.BATCH, cpu=4):
        return exact_margins(network, drawn_store(), np.asarray(rows))


def label_logits(rows):
    """Logits of three labels of films `rows`, 4 a batch."""
    torch.manual_seed(0)
    network = XrayNetwork("resnet10", outputs=3).to(memory_format=torch.channels_last)
    with patch.dict(inference.BATCH, cpu=4):
        return exact_logits(network, drawn_store(), np.asarray(rows))


def train_state_of(recipe, seed=0):
    tuning = choose_layers(drawn_network(seed), "all")
    train_state = make_train_state(tuning, choose_precision("cpu", "auto"), nn.functional.cross_entropy, recipe)
    tuning.train_mode()
    return train_state


def own_steps(recipe):
    """Take the averaged step a few times, from weights that only the leader has; return the weights."""
    train_state, store, ranks = train_state_of(recipe, seed=rank_info().rank), drawn_store(), rank_info()
    step = averaged(eager_step(train_state, STILL, 1.0), "eager", batch=4, reporter=Silence())
    for number in range(STEPS):
        step(*store.batch(ranks.share(torch.arange(8) + 8 * number)), torch.zeros(4, 7))
    return dict(train_state.tuning.network.named_parameters())


def peer_steps(recipe):
    """Take the same steps with PyTorch's DistributedDataParallel."""
    train_state, store, ranks = train_state_of(recipe), drawn_store(), rank_info()
    network = nn.parallel.DistributedDataParallel(train_state.tuning.network, broadcast_buffers=False)
    for number in range(STEPS):
        films, labels = store.batch(ranks.share(torch.arange(8) + 8 * number))
        images = films.float().contiguous(memory_format=torch.channels_last)
        train_state.optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        train_state.optimiser.step()
    return dict(train_state.tuning.network.named_parameters())


def fit(recipe, *, resume=False):
    """Train as `tbconv train` does; return the weights after the last epoch and the best epoch's margins."""
    with main_process_first("films"):
        films = prepare_films(recipe, Silence())
    recipe.out.mkdir(exist_ok=True)
    trained = fit_network(start_network(recipe, Silence()), films, recipe, Silence(), resume=resume)
    return {**trained.network.state_dict(), "margins": torch.from_numpy(trained.margins)}


def all_together(ranks, recipe, answers):
    """Do all that the tests look at, once: starting processes is what takes time."""
    stopped = replace(recipe, out=recipe.out / "stopped", epochs=1)
    found = {
        "rows": [batch.tolist() for batch in draw_batches(torch.zeros(27), np.arange(27), recipe, 1)],
        "shares": [ranks.share(batch).tolist() for batch in draw_batches(torch.zeros(27), np.arange(27), recipe, 1)],
        "dropout": stream(0, 1, DROPOUT, ranks.rank),
        "margins": [margins(range(27)), margins(range(3))],
        "labels": label_logits(range(3)),
        "own": own_steps(recipe),
        "peer": peer_steps(recipe),
        "whole": fit(recipe),
        "stopped": fit(stopped),
        "resumed": fit(replace(stopped, epochs=recipe.epochs), resume=True),
    }
    torch.save(found, answers / f"{ranks.rank}.pt")
