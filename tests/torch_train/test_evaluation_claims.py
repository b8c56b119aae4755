"""What n could prove, what a threshold does to a thousand people, and when WHO's target is met."""

import numpy as np
import pytest
from evaluation_drawn import draw_predictions
from scipy.stats import binomtest

from tbconv.contract.statistics import Estimate, proportion
from torch_train.evaluation.bootstrap import (
    assess_sample_size,
    draw_patients,
    power,
    smallest_n_at_rate,
    smallest_n_if_all_found,
)
from torch_train.evaluation.predictions import TRAINED
from torch_train.evaluation.statistics import (
    MET,
    MISSED,
    NOT_SHOWN,
    Field,
    judge_target,
    per_thousand,
    pool_folds,
    sweep_thresholds,
)

FIELD = Field(0.01, 2.0, 10.0)


def test_ninety_percent_takes_29_of_29_one_sided_and_36_of_36_two_sided():
    assert (smallest_n_if_all_found(0.9, tail=0.05), smallest_n_if_all_found(0.9, tail=0.025)) == (29, 36)
    assert proportion(36, 36).low >= 0.9 > proportion(35, 35).low
    assert binomtest(29, 29, 0.9, "greater").pvalue <= 0.05 < binomtest(28, 28, 0.9, "greater").pvalue


@pytest.mark.parametrize("rate", [0.93, 0.95, 1.0])
def test_from_the_number_needed_at_the_observed_rate_on_the_claim_always_holds(rate):
    needed = smallest_n_at_rate(rate, 0.9)
    for n in range(needed, needed + 60):
        assert proportion(int(rate * n + 1e-9), n).low >= 0.9
    assert proportion(int(rate * (needed - 1) + 1e-9), needed - 1).low < 0.9


def test_no_number_shows_a_rate_that_was_not_seen():
    assert (smallest_n_at_rate(0.9, 0.9), smallest_n_at_rate(0.6, 0.9)) == (None, None)


def test_52_positives_could_show_it_and_20_could_not():
    many, few = (assess_sample_size(n, target=0.9, observed=0.95) for n in (52, 20))
    assert (many.could_show, few.could_show) == (True, False)
    assert (round(many.best_lower_bound, 4), round(few.best_lower_bound, 4)) == (0.9315, 0.8316)
    assert few.power == {"0.95": 0.0, "0.98": 0.0}
    assert assess_sample_size(0, target=0.9, observed=None).best_lower_bound == 0


def test_the_chance_to_show_is_that_of_the_drawn_sets():
    drawn = np.random.default_rng(0).binomial(52, 0.98, 4000)
    shown = {k: proportion(int(k), 52).low >= 0.9 for k in np.unique(drawn)}
    assert power(52, 0.9, 0.98) == pytest.approx(np.mean([shown[k] for k in drawn]), abs=0.025)


def test_a_thousand_screened_are_counted_as_bayes_would():
    found = per_thousand(proportion(90, 100), proportion(70, 100), FIELD)
    values = {name: one.value for name, one in found.items()}
    # 10 ill: 9 found, 1 missed; 990 well: 297 called in vain
    assert values == {
        "ppv": pytest.approx(9 / 306),
        "npv": pytest.approx(693 / 694),
        "found": pytest.approx(9),
        "missed": pytest.approx(1),
        "referred": pytest.approx(306),
        "cost_per_case": pytest.approx((2 * 1000 + 10 * 306) / 9),
    }
    assert all(one.low < one.value < one.high for one in found.values())
    assert found["found"].low == pytest.approx(10 * proportion(90, 100).low)


def test_carried_bounds_hold_the_truth_in_at_least_90_of_100_drawn_sets():
    generator, truth = np.random.default_rng(5), (0.85, 0.75)
    ideal = per_thousand(*(Estimate(value, value, value, 1, "true") for value in truth), FIELD)
    held = dict.fromkeys(ideal, 0)
    for _ in range(200):
        found = per_thousand(*(proportion(int(generator.binomial(60, p)), 60) for p in truth), FIELD)
        for name, one in found.items():
            held[name] += one.low <= ideal[name].value <= one.high
    assert min(held.values()) / 200 >= 0.90


def test_a_reader_that_refers_no_one_finds_no_case_and_has_no_price():
    found = per_thousand(proportion(0, 50), proportion(50, 50), FIELD)
    assert (found["cost_per_case"].value, found["cost_per_case"].high) == (None, None)
    assert (found["ppv"].value, found["found"].value) == (None, 0)
    assert found["ppv"] == Estimate(None, None, None, 0, "no film is called so")
    every = per_thousand(proportion(50, 50), proportion(0, 50), FIELD)
    assert (every["npv"].value, every["npv"].low, every["referred"].value) == (None, None, 1000)
    assert "cost_per_case" not in per_thousand(proportion(1, 2), proportion(1, 2), Field(0.01, None, None))


@pytest.mark.parametrize(
    ("found", "spared", "verdict"), [(99, 95, MET), (93, 95, NOT_SHOWN), (70, 95, MISSED), (99, 40, MISSED)]
)
def test_the_target_is_judged_by_bounds(found, spared, verdict):
    assert judge_target(proportion(found, 100), proportion(spared, 100)) == verdict


def test_nothing_to_count_shows_nothing():
    assert judge_target(proportion(0, 0), proportion(9, 10)) == NOT_SHOWN


@pytest.fixture(scope="module")
def sweep():
    predictions = draw_predictions(patients=200, repeats=2)
    source = draw_patients(predictions.labels, predictions.patients, np.arange(200), seed=0, resamples=300)
    return sweep_thresholds(pool_folds(predictions, TRAINED), source, FIELD)


def test_the_sweep_runs_from_all_referred_to_none_and_never_turns_back(sweep):
    sensitivity = np.array([row["sensitivity"]["value"] for row in sweep["rows"]])
    specificity = np.array([row["specificity"]["value"] for row in sweep["rows"]])
    assert (sensitivity[0], specificity[0], sensitivity[-1], specificity[-1]) == (1, 0, 0, 1)
    assert (np.diff(sensitivity) <= 1e-12).all()
    assert (np.diff(specificity) >= -1e-12).all()
    assert sweep["scale"] == "calibrated logit"


def test_a_row_of_the_sweep_counts_the_films_at_or_above_its_threshold(sweep):
    predictions = draw_predictions(patients=200, repeats=2)
    repeats = pool_folds(predictions, TRAINED)
    for row in sweep["rows"][10::20]:
        found = np.mean([(one.calibrated[one.labels == 1] >= row["threshold"]).mean() for one in repeats])
        assert row["sensitivity"]["value"] == pytest.approx(found, abs=1e-6)


def test_the_printed_rows_are_the_highest_thresholds_that_still_reach_each_sensitivity(sweep):
    values = [row["sensitivity"]["value"] for row in sweep["rows"]]
    for index in sweep["printed"]:
        assert values[index] >= 0.5
    assert any(values[i] >= 0.9 > values[i + 1] for i in sweep["printed"])


def test_one_fold_is_swept_on_its_own_margins():
    predictions = draw_predictions(patients=60, repeats=1, folds=1)
    source = draw_patients(predictions.labels, predictions.patients, np.arange(60), seed=0, resamples=50)
    found = sweep_thresholds(pool_folds(predictions, TRAINED), source, FIELD)
    assert (found["scale"], found["rows"][0]["probability"]) == ("margin", None)
