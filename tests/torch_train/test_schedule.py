import math
from dataclasses import replace

import pytest
import torch

from tbconv.contract.errors import ConfigError, Silence
from torch_train.engine.amp import choose_precision
from torch_train.engine.state import EpochRecord, choose_layers, make_train_state, selected_epoch, should_continue
from torch_train.model.network import XrayNetwork
from torch_train.train import train

HISTORY = tuple(
    EpochRecord(epoch, 0.0, loss, auroc, 1e-3, 1.0, 1.0)
    for epoch, auroc, loss in ((1, 0.9, 0.5), (2, 0.95, 0.4), (3, 0.8, 0.6), (4, 0.8, 0.7))
)


def _rates(config, losses):
    tuning = choose_layers(XrayNetwork("resnet10"), "all")
    train_state = make_train_state(tuning, choose_precision("cpu", "auto"), torch.nn.functional.cross_entropy, config)
    rates = []
    for loss in losses:
        rates.append(train_state.rate)
        train_state.optimiser.step()
        train_state.end_epoch(loss)
    return rates


def test_a_cosine_falls_from_the_whole_rate_to_zero_over_its_epochs(recipe):
    rates = _rates(recipe(epochs=4, learning_rate=0.1), [1.0] * 5)
    assert rates == pytest.approx([0.1 * (1 + math.cos(math.pi * done / 4)) / 2 for done in range(5)])
    assert rates[0] == 0.1


def test_a_plateau_halves_the_rate_where_the_loss_stands_still(recipe):
    config = recipe(epochs=9, learning_rate=0.1, schedule="plateau", plateau_patience=1)
    assert _rates(config, [3.0, 2.0, 2.0, 2.0, 2.0, 2.0]) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


def test_a_cosine_keeps_its_last_epoch_and_a_plateau_its_best(recipe):
    assert (selected_epoch(HISTORY, "cosine").epoch, selected_epoch(HISTORY, "plateau").epoch) == (4, 2)


def test_a_plateau_stops_early_and_a_cosine_goes_to_its_end(recipe):
    assert not should_continue(HISTORY, recipe(epochs=9, schedule="plateau", patience=2))
    assert should_continue(HISTORY, recipe(epochs=9, schedule="plateau", patience=3))
    assert should_continue(HISTORY, recipe(epochs=9, schedule="cosine", patience=2))
    assert not should_continue(HISTORY, recipe(epochs=4, schedule="cosine"))


def test_an_unknown_schedule_is_refused_by_its_name(recipe):
    with pytest.raises(ConfigError, match="--schedule is 'linear'"):
        recipe(schedule="linear")


def test_a_finished_cosine_cannot_be_made_longer_and_a_plateau_can(recipe, tmp_path):
    for schedule in ("cosine", "plateau"):
        out = tmp_path / schedule
        short = recipe(out=out, epochs=1, schedule=schedule, fine_tune="3")
        train(short, Silence())
        longer = replace(short, epochs=2)
        if schedule == "plateau":
            assert len((train(longer, Silence(), resume=True) / "history.jsonl").read_text().splitlines()) == 2
        else:
            with pytest.raises(ConfigError, match="epochs is 2, the checkpoint was made with 1"):
                train(longer, Silence(), resume=True)
