"""Figures of drawn predictions whose truth is known: pooled, paired, calibrated and by group."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_drawn import DISTANCES, binormal_auroc, draw_predictions
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tbconv.contract.statistics import proportion
from torch_train.evaluation.bootstrap import draw_patients
from torch_train.evaluation.predictions import BASELINE, PRIOR, TRAINED
from torch_train.evaluation.statistics import (
    AUROC,
    FOLDS_AUROC,
    age_band,
    describe_subgroups,
    differences,
    expected_calibration_error,
    pool_folds,
    reliability_bins,
    resample,
    slope_and_offset,
)
from torch_train.metrics import fit_calibration


def source_of(predictions, resamples=2000):
    tested = np.unique(np.concatenate([fold.rows for fold in predictions.folds]))
    return draw_patients(predictions.labels, predictions.patients, tested, seed=0, resamples=resamples)


def figures_of(predictions, reader=TRAINED, resamples=2000):
    return resample(pool_folds(predictions, reader), source_of(predictions, resamples))


@pytest.fixture(scope="module")
def drawn():
    return draw_predictions(patients=400, repeats=2)


def test_pooled_figures_are_those_of_scikit_learn_averaged_over_repeats(drawn):
    found, repeats = figures_of(drawn), pool_folds(drawn, TRAINED)
    labels = [one.labels for one in repeats]
    probabilities = [expit(one.calibrated) for one in repeats]
    pairs = list(zip(labels, probabilities, strict=True))
    expected = {
        AUROC: np.mean([roc_auc_score(one.labels, one.margins) for one in repeats]),
        "sensitivity": np.mean([(one.margins[one.labels == 1] >= 0).mean() for one in repeats]),
        "specificity": np.mean([(one.margins[one.labels == 0] < 0).mean() for one in repeats]),
        "brier": np.mean([brier_score_loss(y, p) for y, p in pairs]),
        "log_loss": np.mean([log_loss(y, p) for y, p in pairs]),
    }
    for name, value in expected.items():
        assert found.estimate(name).value == pytest.approx(value, abs=1e-6), name
    assert [found.estimate(name).n for name in (AUROC, "sensitivity", "specificity")] == [400, 200, 200]


def test_the_interval_holds_the_closed_form_of_every_reader(drawn):
    for reader, distance in DISTANCES.items():
        found = figures_of(drawn, reader).estimate(AUROC)
        assert found.low < binormal_auroc(distance) < found.high


def test_more_repeats_do_not_make_the_films_more():
    one, many = (draw_predictions(patients=100, repeats=repeats, seed=3) for repeats in (1, 8))
    same = replace(many, folds=tuple(replace(fold, repeat=r) for r in range(8) for fold in one.folds))
    widths = [found.high - found.low for found in (figures_of(p).estimate(AUROC) for p in (one, same))]
    assert widths[1] == pytest.approx(widths[0], rel=1e-6)  # the same answers eight times over


def test_films_of_one_patient_that_agree_do_not_narrow_an_interval():
    alone = draw_predictions(patients=80, repeats=1, seed=5)
    twice = draw_predictions(patients=80, films=2, repeats=1, seed=5)
    folds = [
        replace(fold, rows=np.sort(np.concatenate([2 * fold.rows, 2 * fold.rows + 1])), margins=double)
        for fold in alone.folds
        for double in [{name: np.repeat(margins, 2) for name, margins in fold.margins.items()}]
    ]
    both = [figures_of(p) for p in (alone, replace(twice, folds=tuple(folds)))]
    for name in (AUROC, "sensitivity"):
        narrow, wide = (found.estimate(name) for found in both)
        assert wide.n == 2 * narrow.n
        assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low, rel=0.1), name


def test_a_repeat_that_tested_none_of_a_class_leaves_the_figure_to_the_others():
    predictions = draw_predictions(patients=80, repeats=2, folds=1)
    full, other = pool_folds(predictions, TRAINED)
    found = resample((full, other.only(other.labels == 0)), source_of(predictions, 200))
    alone = resample((full,), source_of(predictions, 200))
    for name in (AUROC, FOLDS_AUROC, "sensitivity"):
        assert found.estimate(name) == alone.estimate(name), name
    specificity = [(one.margins[one.labels == 0] < 0).mean() for one in (full, other)]
    assert found.estimate("specificity").value == pytest.approx(np.mean(specificity))
    assert found.estimate("brier").value is None


def test_a_network_whose_margins_are_shifted_spoils_the_pooled_auroc_and_not_the_mean_of_folds():
    predictions = draw_predictions(patients=400, repeats=1, seed=6)
    shifted = tuple(
        replace(fold, margins=fold.margins | {TRAINED: fold.margins[TRAINED] + 4.0 * number})
        for number, fold in enumerate(predictions.folds)
    )
    plain, moved = figures_of(predictions), figures_of(replace(predictions, folds=shifted))
    assert moved.estimate(AUROC).value < plain.estimate(AUROC).value - 0.1
    assert moved.estimate(FOLDS_AUROC).value == pytest.approx(plain.estimate(FOLDS_AUROC).value, abs=1e-12)


def test_the_class_prior_orders_nothing_though_folds_differ():
    predictions = draw_predictions(patients=101, repeats=1, folds=7, seed=1)
    pooled = pool_folds(predictions, PRIOR)[0]
    assert roc_auc_score(pooled.labels, pooled.margins) < 0.5  # what pooling would make of it
    assert figures_of(predictions, PRIOR).estimate(AUROC).value == 0.5


def test_priors_that_differ_by_a_film_get_no_slope_of_their_own():
    predictions = draw_predictions(patients=1001, repeats=1, folds=5)
    found = figures_of(predictions, PRIOR, 100)
    assert found.estimate("log_loss").value == pytest.approx(np.log(2), abs=0.002)
    assert found.estimate("brier").value == pytest.approx(0.25, abs=0.001)


def test_the_difference_is_paired(drawn):
    trained, baseline = figures_of(drawn), figures_of(drawn, BASELINE)
    gain = differences(trained, baseline)[AUROC]
    truth = binormal_auroc(DISTANCES[TRAINED]) - binormal_auroc(DISTANCES[BASELINE])
    assert gain.value == pytest.approx(trained.estimate(AUROC).value - baseline.estimate(AUROC).value)
    assert gain.low < truth < gain.high
    itself = differences(trained, trained)[AUROC]
    assert itself.value == 0
    assert itself.high < 0.05


def test_the_calibration_of_a_fold_never_sees_it():
    predictions = draw_predictions(patients=200, repeats=1)
    before = pool_folds(predictions, TRAINED)[0]
    first = predictions.folds[0]
    wild = replace(first, margins=first.margins | {TRAINED: -10 * first.margins[TRAINED]})
    after = pool_folds(replace(predictions, folds=(wild, *predictions.folds[1:])), TRAINED)[0]
    others = before.folds != 0
    expected = fit_calibration(before.margins[others], before.labels[others])
    logits = expected.slope * wild.margins[TRAINED] + expected.offset
    assert after.calibrated[~others] == pytest.approx(logits)
    assert not np.allclose(after.calibrated[others], before.calibrated[others])


def test_one_fold_has_no_probabilities_and_says_so():
    found = figures_of(draw_predictions(repeats=1, folds=1))
    assert found.estimate("brier").value is None
    assert "no other fold" in found.estimate("brier").method
    assert found.estimate(AUROC).value is not None


def test_a_film_tested_twice_in_a_repeat_or_a_nan_is_refused():
    predictions = draw_predictions()
    first, second, *rest = predictions.folds
    with pytest.raises(ValueError, match="more than one fold"):
        pool_folds(
            replace(predictions, folds=(first, replace(second, rows=first.rows[: len(second.rows)]), *rest)), TRAINED
        )
    broken = first.margins[TRAINED].copy()
    broken[0] = np.nan
    spoilt = replace(first, margins=first.margins | {TRAINED: broken})
    with pytest.raises(ValueError, match="not finite"):
        pool_folds(replace(predictions, folds=(spoilt, second, *rest)), TRAINED)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_slope_and_offset_find_how_overconfident_margins_are(scale):
    predictions = draw_predictions(patients=2000, repeats=1, scale=scale)
    repeats, source = pool_folds(predictions, TRAINED), source_of(predictions)
    raw = slope_and_offset(repeats, source, calibrated=False)
    after = slope_and_offset(repeats, source, calibrated=True)
    assert raw["slope"].low < 1 / scale < raw["slope"].high
    assert raw["slope"].high - raw["slope"].low < 0.3
    assert raw["offset"].low < 0 < raw["offset"].high
    assert after["slope"].low < 1 < after["slope"].high
    assert "500 resamples" in raw["slope"].method


def test_the_bins_hold_all_answers_equally_many_and_most_intervals_hold_the_probability():
    predictions = draw_predictions(patients=1000, repeats=2)
    bins = reliability_bins(pool_folds(predictions, TRAINED), source_of(predictions, 500))
    counts = [one["answers"] for one in bins]
    assert (len(bins), sum(counts)) == (10, 2000)
    assert max(counts) - min(counts) <= 2
    held = [one["observed"]["low"] <= one["probability"] <= one["observed"]["high"] for one in bins]
    assert sum(held) >= 9


def test_a_bin_of_one_film_a_patient_has_clopper_and_pearsons_interval():
    predictions = draw_predictions(patients=200, repeats=1)
    first = reliability_bins(pool_folds(predictions, TRAINED), source_of(predictions))[3]
    found = first["observed"]
    exact = proportion(round(found["value"] * found["n"]), found["n"])
    assert (found["low"], found["high"]) == (pytest.approx(exact.low, abs=0.02), pytest.approx(exact.high, abs=0.02))


def test_there_is_no_ece_below_500_films_and_an_interval_that_starts_at_nought_above():
    few, many = draw_predictions(patients=498), draw_predictions(patients=1000, repeats=1)
    none = expected_calibration_error(pool_folds(few, TRAINED), source_of(few, 100))
    found = expected_calibration_error(pool_folds(many, TRAINED), source_of(many, 500))
    assert (none.value, "498 is below 500" in none.method) == (None, True)
    assert found.low <= found.value <= found.high < 0.06
    assert found.low < 0.01


def test_ages_fall_into_their_bands():
    ages = (None, 0, 14.9, 15, 34, 35, 54.99, 55, 120)
    assert [age_band(age) for age in ages] == [
        *("not known", "0-14", "0-14", "15-34", "15-34", "35-54", "35-54", "55 and over", "55 and over"),
    ]


def test_a_group_with_too_few_of_a_class_has_a_reason_instead_of_a_number():
    predictions = draw_predictions(patients=100, repeats=1)
    sites = tuple("Delhi" if i < 70 else "Kochi" if i < 82 else None for i in range(100))
    groups = describe_subgroups(
        replace(predictions, sites=sites), pool_folds(predictions, TRAINED), source_of(predictions, 200)
    )
    assert set(groups) == {"site"}  # neither sex nor age is known
    delhi, kochi, unknown = groups["site"]
    assert [row["group"] for row in groups["site"]] == ["Delhi", "Kochi", "not known"]
    assert (delhi["n"], delhi["positives"], delhi["auroc"]["n"]) == (70, 35, 70)
    assert (kochi["n"], kochi["positives"], kochi["sensitivity"], kochi["auroc"]) == (12, 6, None, None)
    assert unknown["positives"] == 9
