import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tbconv.contract.manifest import LOWEST_SLOPE
from torch_train.metrics import auroc, auroc_difference, choose_operating_point, figures, fit_calibration


def _drawn(n=200, gap=1.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.3).astype(np.int64)
    return (generator.normal(size=n) + gap * labels).astype(np.float32), labels


def _point(margins, labels, wished, choice="highest"):
    return choose_operating_point(margins, labels, target_sensitivity=wished, chosen_on="split", choice=choice)


def test_auroc_counts_ties_half_as_scikit_learn_does():
    margins, labels = _drawn()
    rounded = margins.round(1)
    assert auroc(rounded, labels) == pytest.approx(roc_auc_score(labels, rounded))


@pytest.mark.parametrize("wished", [0.5, 0.7, 0.9, 0.95, 1.0])
def test_the_operating_point_reaches_the_target_sensitivity_and_no_higher_one_does(wished):
    margins, labels = _drawn()
    point = _point(margins, labels, wished)
    assert point.sensitivity == (margins[labels == 1] >= point.margin).mean() >= wished
    next_film = margins[margins > point.margin].min()
    assert (margins[labels == 1] > next_film).mean() < wished
    assert point.specificity == (margins[labels == 0] < point.margin).mean()


def test_the_threshold_lies_midway_between_two_films():
    point = _point(np.float32([0, 1, 2, 3]), np.array([0, 0, 1, 1]), 0.9)
    assert (point.margin, point.sensitivity, point.specificity) == (1.5, 1.0, 1.0)


def test_a_threshold_below_all_films_does_not_sit_on_the_lowest():
    point = _point(np.float32([0, 1, 2]), np.array([1, 0, 1]), 1.0)
    assert (point.margin, point.specificity) == (-0.5, 0.0)


def test_seven_of_ten_are_enough_for_a_wish_of_0_7():
    point = _point(np.arange(20, dtype=np.float32), np.repeat([0, 1], 10), 0.7)
    assert point.sensitivity == 0.7


@pytest.mark.parametrize("wished", [0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_point_has_the_largest_sum_of_all_thresholds_that_reach_the_target(wished, seed):
    margins, labels = _drawn(60, seed=seed)
    margins = margins.round(1)  # films of one margin fall on one side together
    point, highest = _point(margins, labels, wished, "best"), _point(margins, labels, wished)
    sums = {}
    for threshold in np.unique(margins) - 0.05:
        sensitivity, specificity = (margins[labels == 1] >= threshold).mean(), (margins[labels == 0] < threshold).mean()
        if sensitivity >= wished - 1e-12:
            sums[threshold] = sensitivity + specificity
    best = max(sums.values())
    assert point.sensitivity + point.specificity == pytest.approx(best)
    assert point.margin <= highest.margin
    highest_of_the_best = max(threshold for threshold, one in sums.items() if one > best - 1e-12)
    assert (margins >= point.margin).tolist() == (margins >= highest_of_the_best).tolist()


def test_the_best_point_takes_positives_that_cost_no_specificity():
    margins, labels = np.float32([0, 1, 2, 3, 4, 5]), np.array([0, 1, 1, 1, 0, 1])
    highest, best = _point(margins, labels, 0.5), _point(margins, labels, 0.5, "best")
    assert (highest.margin, highest.sensitivity, highest.specificity) == (2.5, 0.5, 0.5)
    assert (best.margin, best.sensitivity, best.specificity) == (0.5, 1.0, 0.5)


def test_of_equal_sums_the_highest_threshold_is_taken():
    margins, labels = np.float32([0, 1, 2, 3]), np.array([1, 0, 1, 0])
    assert _point(margins, labels, 0.5, "best").margin == _point(margins, labels, 0.5).margin == 1.5


def test_best_is_the_default_and_another_word_is_refused():
    margins, labels = np.float32([0, 1, 2, 3, 4, 5]), np.array([0, 1, 1, 1, 0, 1])
    assert choose_operating_point(margins, labels, target_sensitivity=0.5, chosen_on="split").margin == 0.5
    with pytest.raises(ValueError, match="got 'lowest'"):
        _point(margins, labels, 0.5, "lowest")


def test_platt_stays_finite_on_films_that_are_perfectly_apart():
    calibration = fit_calibration(np.float32([-9, -8, 8, 9]), np.array([0, 0, 1, 1]))
    assert 0 < calibration.slope < 10
    assert math.isfinite(calibration.offset)


def test_platt_restores_the_natural_prior():
    margins, labels = _drawn(2000, gap=2.0)
    calibration = fit_calibration(margins, labels)
    assert calibration.probability(margins).mean() == pytest.approx(labels.mean(), abs=0.002)
    assert (calibration.positives, calibration.negatives) == (labels.sum(), (1 - labels).sum())


def test_platt_recovers_the_slope_that_the_labels_were_drawn_with():
    generator = np.random.default_rng(1)
    margins = generator.normal(size=20000) * 30
    labels = (generator.random(20000) < 1 / (1 + np.exp(-(0.1 * margins - 1)))).astype(np.int64)
    calibration = fit_calibration(margins, labels)
    assert (calibration.slope, calibration.offset) == (pytest.approx(0.1, rel=0.05), pytest.approx(-1, rel=0.06))


def test_margins_in_the_wrong_order_do_not_turn_probabilities_over():
    calibration = fit_calibration(np.float32([9, 8, 7, -7, -8, -9]), np.array([0, 0, 0, 0, 1, 1]))
    assert calibration.slope == LOWEST_SLOPE
    assert calibration.probability(np.zeros(1)) == pytest.approx(2 / 6, abs=0.06)


def test_figures_are_counted_at_the_operating_point():
    margins, labels = np.float32([0, 1, 2, 3, 4]), np.array([0, 0, 1, 0, 1])
    found = figures(margins, labels, _point(margins, labels, 1.0))
    values = {name: estimate.value for name, estimate in found.items()}
    expected = {
        "accuracy": 0.8,
        "sensitivity": 1.0,
        "specificity": 2 / 3,
        "precision": 2 / 3,
        "f1": 0.8,
        "auroc": 5 / 6,
    }
    assert values == pytest.approx(expected)


def test_a_network_does_not_differ_from_itself():
    margins, labels = _drawn()
    gain = auroc_difference(margins, margins, labels, np.arange(len(labels)), seed=0)
    assert (gain.value, gain.low, gain.high) == (0.0, 0.0, 0.0)
