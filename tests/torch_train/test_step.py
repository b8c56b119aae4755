from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from tbconv.contract.errors import Silence
from torch_train.config import TrainConfig
from torch_train.engine.amp import Precision, choose_precision
from torch_train.engine.augment import DRAWS, Augmentation, augment_films
from torch_train.engine.inference import FilmStore
from torch_train.engine.state import choose_layers, make_train_state
from torch_train.engine.step import (
    CompiledWherePossible,
    EagerStep,
    choose_step,
    choose_step_mode,
    compiled_step,
    eager_step,
    set_determinism,
)
from torch_train.engine.trainer import count_earlier, draw_augmentations, draw_batches
from torch_train.model.network import XrayNetwork
from torch_train.train import start_training

LABELS = torch.tensor([0] * 30 + [1] * 10)
ROWS = np.arange(40)


class Listener(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def _changes_by_film(config):
    batches = draw_batches(LABELS, ROWS, config, 1)
    draws = draw_augmentations(batches, 40, config, 1)
    return dict(zip(torch.cat(batches).tolist(), torch.cat(draws), strict=True))


def test_a_films_change_depends_on_seed_epoch_and_film_and_not_on_the_batch_it_is_in(recipe):
    small, large = _changes_by_film(recipe(batch=8)), _changes_by_film(recipe(batch=20))
    assert all(torch.equal(small[film], large[film]) for film in range(40))
    assert len({tuple(draws.tolist()) for draws in small.values()}) == 40
    backwards = draw_augmentations([torch.arange(39, -1, -1)], 40, recipe(), 1)[0]
    assert all(torch.equal(backwards[39 - film], small[film]) for film in range(40))
    assert not torch.equal(draw_augmentations([torch.arange(40)], 40, recipe(), 2)[0][3], small[3])


def test_a_film_that_is_shown_twice_in_an_epoch_gets_two_changes(recipe):
    first, second = draw_augmentations([torch.tensor([5, 5])], 40, recipe(balance="sampler"), 1)[0]
    assert not torch.equal(first, second)


def test_showings_of_a_film_are_counted_in_the_order_of_the_epoch():
    assert count_earlier(torch.tensor([7, 2, 7, 7, 2, 9])).tolist() == [0, 0, 1, 2, 1, 0]


def test_films_in_main_memory_come_in_the_same_batches_as_resident_ones(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # needs CUDA
    monkeypatch.setattr(FilmStore, "resident", property(lambda store: store.films.shape[0] == 0))
    films = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    rows = list(torch.split(torch.randperm(40), 6))
    streamed = list(FilmStore(films, LABELS, torch.device("cpu")).batches(rows))
    assert len(streamed) == 7
    for (some, labels), own in zip(streamed, rows, strict=True):
        assert torch.equal(some, films[own])
        assert torch.equal(labels, LABELS[own])


def _no(*_):
    raise TorchDynamoException("no compiler here\nand a trace")


def test_a_step_that_cannot_be_compiled_is_taken_plainly_and_said_once():
    listener, taken = Listener(), []
    step = CompiledWherePossible(lambda *batch: taken.append(len(batch[0])), _no, batch=4, reporter=listener)
    for size in (4, 3, 4):
        step(*[torch.zeros(size)] * 3)
    assert taken == [4, 3, 4]
    [line] = listener.lines
    assert line.startswith("the step cannot be compiled")
    assert line.endswith(": no compiler here")


def test_another_error_within_the_compiled_step_is_not_swallowed():
    def broken(*_):
        raise ValueError("a label beyond the classes")

    with pytest.raises(ValueError, match="a label beyond"):
        CompiledWherePossible(_no, broken, batch=4, reporter=Listener())(*[torch.zeros(4)] * 3)


@pytest.fixture
def train_state(recipe):
    torch.manual_seed(0)
    tuning = choose_layers(XrayNetwork("resnet10"), "5")
    tuning.train_mode()
    return make_train_state(tuning, choose_precision("cpu", "auto"), torch.nn.functional.cross_entropy, recipe())


def test_a_cpu_takes_eager_steps_whatever_is_asked_for_and_says_so(train_state, recipe):
    listener = Listener()
    step = choose_step(train_state, recipe(step="compiled"), films=10**9, reporter=listener)
    assert isinstance(step, EagerStep)
    assert "eager" in listener.lines[0]


def test_a_program_that_trains_keeps_its_own_settings_of_pytorch(monkeypatch, tmp_path):
    def settings():
        cudnn = torch.backends.cudnn
        return cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()

    def fail(config, *_, **__):
        set_determinism(config, torch.device("cpu"))
        during.append(settings())
        raise KeyboardInterrupt

    before, during = settings(), []
    monkeypatch.setattr("torch_train.train.train", fail)
    config = TrainConfig(data=tmp_path, out=tmp_path / "run", deterministic=True)
    with pytest.raises(KeyboardInterrupt):
        start_training(config, Silence(), processes=1, resume=False)
    assert during == [(False, True, True)]
    assert settings() == before != during[0]


@pytest.mark.parametrize("disturb", [0.0, 0.3])
def test_network_and_augmentation_are_traced_whole(train_state, monkeypatch, disturb):
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: compile_(function, backend="eager", **how))
    plain = eager_step(train_state, Augmentation(10, 0.05, 0.1, 0.1, 0.1, flip=True, disturb=disturb), 1.0)
    fused = compiled_step(plain)
    films, draws = torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8), torch.rand(4, DRAWS) * 2 - 1
    changed = (augment(films, draws, plain.numbers, plain.bank) for augment in (fused.augment, augment_films))
    assert torch.equal(*changed)
    assert torch.isfinite(fused(films, torch.tensor([0, 1, 0, 1]), draws))


@pytest.mark.parametrize(
    ("change", "films", "scaled", "way"),
    [
        ({}, 100, False, "graph"),
        ({}, 10**6, False, "compiled"),
        ({"deterministic": True}, 10**6, False, "graph"),
        ({"step": "eager"}, 10**6, False, "eager"),
        ({"step": "compiled", "deterministic": True}, 100, False, "compiled"),
        ({"step": "compiled"}, 10**6, True, "eager"),
    ],
)
def test_a_gpu_compiles_where_it_pays_and_never_behind_a_loss_scaler(recipe, change, films, scaled, way):
    train_state = SimpleNamespace(
        precision=Precision(torch.device("cuda"), torch.bfloat16), scaler=SimpleNamespace(is_enabled=lambda: scaled)
    )
    assert choose_step_mode(train_state, recipe(**change), films) == way
