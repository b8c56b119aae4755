import numpy as np
import pytest
import torch

from torch_train.engine.state import EpochRecord, best_epoch, epochs_without_gain
from torch_train.engine.trainer import class_loss, draw_batches, stream

CPU = torch.device("cpu")
LABELS = torch.tensor([0] * 30 + [1] * 10)
ROWS = np.arange(40)


def _record(epoch, auroc, loss):
    return EpochRecord(epoch, 0.0, loss, auroc, 1e-3, 1.0, 1.0)


def test_an_epoch_shows_every_film_once_in_an_order_of_its_own(recipe):
    first, again, other = (torch.cat(draw_batches(LABELS, ROWS, recipe(), epoch)) for epoch in (1, 1, 2))
    assert sorted(first.tolist()) == list(range(40))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_last_batch_of_one_film_is_left_out(recipe):
    assert [len(batch) for batch in draw_batches(LABELS, ROWS, recipe(batch=13), 1)] == [13, 13, 13]


def test_the_sampler_shows_both_classes_equally_often(recipe):
    rows = np.tile(ROWS, 50)
    shown = torch.cat(draw_batches(LABELS, rows, recipe(balance="sampler"), 1))
    assert LABELS[shown].float().mean() == pytest.approx(0.5, abs=0.05)


def test_a_balanced_loss_weighs_both_classes_the_same(recipe):
    logits = torch.zeros(40, 2)
    logits[:, 1] = 1.0  # wrong on negatives
    loss = class_loss(LABELS.numpy(), recipe(), CPU)(logits, LABELS)
    each = [float(torch.nn.functional.cross_entropy(logits[k == LABELS], LABELS[k == LABELS])) for k in (0, 1)]
    assert float(loss) == pytest.approx(sum(each) / 2)
    plain = class_loss(LABELS.numpy(), recipe(balance="sampler"), CPU)(logits, LABELS)
    assert float(plain) == pytest.approx(0.75 * each[0] + 0.25 * each[1])


@pytest.mark.parametrize("balance", ["loss", "sampler"])
def test_smoothed_labels_cost_what_pytorch_says(recipe, balance):
    config, generator = recipe(balance=balance, label_smoothing=0.1), torch.Generator().manual_seed(0)
    logits = torch.randn(40, 2, generator=generator)
    weight = torch.tensor([40 / 60, 40 / 20]) if balance == "loss" else None
    expected = torch.nn.functional.cross_entropy(logits, LABELS, weight=weight, label_smoothing=0.1)
    assert float(class_loss(LABELS.numpy(), config, CPU)(logits, LABELS)) == pytest.approx(float(expected), rel=1e-6)


def test_streams_of_randomness_are_distinct_and_repeatable():
    seeds = [stream(seed, epoch, purpose) for seed in (0, 1) for epoch in (1, 2) for purpose in range(3)]
    assert len(set(seeds)) == 12
    assert stream(0, 1, 0) == seeds[0]


def test_the_best_epoch_has_the_highest_auroc_and_of_equals_the_lower_loss():
    history = [_record(1, 0.9, 0.5), _record(2, 0.95, 0.6), _record(3, 0.95, 0.4), _record(4, 0.8, 0.1)]
    assert best_epoch(history).epoch == 3


def test_a_lower_loss_is_a_gain_though_the_best_auroc_lies_behind():
    history = [_record(1, 0.99, 0.9), _record(2, 0.9, 0.5), _record(3, 0.9, 0.6), _record(4, 0.9, 0.7)]
    assert epochs_without_gain(history) == 2
    assert epochs_without_gain([]) == 0
