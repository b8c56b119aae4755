"""Paired losses: the AUROC by ranks, decisions by class, and intervals that know what the two answers share."""

import time

import numpy as np
import pytest

from convert.parity.statistics import paired_losses
from torch_train.metrics import auroc


def draw(n, *, noise, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 > 0).astype(np.int64)
    reference = (rng.normal(size=n) + 1.5 * labels).astype(np.float32)
    return reference, (reference + noise * rng.normal(size=n)).astype(np.float32), labels


def test_the_losses_are_those_of_the_figures_themselves():
    reference, other, labels = draw(301, noise=0.7)
    other[:40] = np.round(other[:40], 0)  # ties
    first, second = (margins.astype(np.float64) for margins in (reference, other))  # float32 ranks add up roughly
    expected = auroc(first, labels) - auroc(second, labels)
    found = paired_losses(reference, other, labels, threshold=0.4)
    assert found["auroc_loss"]["value"] == pytest.approx(expected, abs=1e-9)
    sick = labels == 1
    sensitivity = (reference[sick] >= 0.4).mean() - (other[sick] >= 0.4).mean()
    specificity = (reference[~sick] < 0.4).mean() - (other[~sick] < 0.4).mean()
    assert found["sensitivity_loss"]["value"] == pytest.approx(sensitivity)
    assert found["specificity_loss"]["value"] == pytest.approx(specificity)
    assert (found["n"], found["positives"], found["negatives"]) == (301, int(sick.sum()), int((~sick).sum()))


def test_a_resample_is_what_sorting_the_drawn_films_again_would_give():
    reference, other, labels = draw(60, noise=0.7)
    found = paired_losses(reference, other, labels, threshold=0.4)
    rng, losses = np.random.default_rng(5), []
    strata = [np.flatnonzero(labels == one) for one in (0, 1)]
    for _ in range(2000):
        rows = np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])
        losses.append(auroc(reference[rows], labels[rows]) - auroc(other[rows], labels[rows]))
    low, high = np.quantile(losses, [0.025, 0.975])
    width = high - low
    assert found["auroc_loss"]["low"] == pytest.approx(low, abs=0.1 * width)
    assert found["auroc_loss"]["high"] == pytest.approx(high, abs=0.1 * width)


def test_an_interval_of_the_difference_is_narrower_than_that_of_a_figure():
    reference, other, labels = draw(400, noise=0.05)
    found = paired_losses(reference, other, labels, threshold=0.4)["auroc_loss"]
    assert found["low"] <= found["value"] <= found["high"]
    assert found["value"] <= found["upper95"] <= found["high"]
    assert found["high"] - found["low"] < 0.01  # the AUROC's own is some 0.08 wide at 400 films


def test_no_lost_film_of_a_class_still_bounds_its_share_by_three_over_n():
    reference, _, labels = draw(300, noise=0)
    found = paired_losses(reference, reference, labels, threshold=0.4)
    assert found["auroc_loss"] == {"value": 0, "low": 0, "high": 0, "upper95": 0}
    assert found["sensitivity_loss"]["lost"] == 0
    assert found["sensitivity_loss"]["at_most"] == pytest.approx(3 / 200, rel=0.02)


def test_lost_and_gained_films_are_counted_apart():
    labels = np.array([1, 1, 1, 0, 0, 0])
    reference = np.float32([1, 1, -1, -1, -1, 1])
    other = np.float32([1, -1, 1, 1, 1, 1])
    found = paired_losses(reference, other, labels, threshold=0.0)
    assert (found["sensitivity_loss"]["lost"], found["sensitivity_loss"]["gained"]) == (1, 1)
    assert (found["specificity_loss"]["lost"], found["specificity_loss"]["gained"]) == (2, 0)
    assert found["specificity_loss"]["value"] == pytest.approx(2 / 3)


def test_the_same_seed_gives_the_same_interval():
    films = draw(100, noise=0.5)
    assert paired_losses(*films, threshold=0.0) == paired_losses(*films, threshold=0.0)
    assert paired_losses(*films, threshold=0.0, seed=1) != paired_losses(*films, threshold=0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_margin_that_is_not_finite_is_refused(value):
    reference, other, labels = draw(30, noise=0.5)
    other[3] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        paired_losses(reference, other, labels, threshold=0.0)


def test_one_class_alone_is_refused():
    reference, other, labels = draw(30, noise=0.5)
    with pytest.raises(ValueError, match="both classes"):
        paired_losses(reference, other, np.ones_like(labels), threshold=0.0)


def test_a_thousand_films_take_less_than_two_seconds_of_the_processor():
    films = draw(1024, noise=0.5)
    start = time.process_time()
    paired_losses(*films, threshold=0.0)
    assert time.process_time() - start < 4  # measured 0.4 on two cores; process time counts both
