"""Weighted figures and resamples by patient, against scikit-learn, the plain bootstrap and known truth."""

import numpy as np
import pytest
from evaluation_drawn import binormal_auroc
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from torch_train.evaluation.bootstrap import (
    Bootstrapped,
    auroc_interval,
    difference_interval,
    draw_patients,
    effective_films,
    percentile_interval,
    share_interval,
    weighted_auroc,
    weighted_line,
    weighted_share,
)
from torch_train.metrics import RESAMPLES, auroc, bootstrap_by_patient


@pytest.fixture
def films():
    generator = np.random.default_rng(7)
    labels = (np.arange(60) % 3 == 0).astype(np.int64)
    margins = np.round(labels + generator.standard_normal(60), 1)  # one decimal: ties
    return margins, labels


def test_weighted_auroc_is_scikit_learns_with_sample_weights_ties_and_all(films):
    margins, labels = films
    weights = np.random.default_rng(1).integers(0, 4, (5, 60)).astype(np.float32)
    expected = [roc_auc_score(labels, margins, sample_weight=row) for row in weights]
    assert weighted_auroc(weights, margins, labels) == pytest.approx(expected, abs=1e-12)
    assert len(np.unique(margins)) < len(margins)


def test_weighted_auroc_of_a_resample_is_the_auroc_of_the_repeated_films(films):
    margins, labels = films
    rows = np.random.default_rng(2).integers(0, 60, 60)
    weights = np.bincount(rows, minlength=60)[None].astype(np.float32)
    assert weighted_auroc(weights, margins, labels)[0] == pytest.approx(auroc(margins[rows], labels[rows]), abs=1e-12)


def test_a_resample_without_a_class_has_no_auroc(films):
    margins, labels = films
    assert np.isnan(weighted_auroc((labels == 0)[None].astype(np.float32), margins, labels)[0])


def test_the_bootstrap_agrees_with_the_one_that_resamples_rows():
    generator = np.random.default_rng(3)
    patients = np.repeat(np.arange(40), 2)
    labels = (patients % 2).astype(np.int64)
    margins = labels + generator.standard_normal(40)[patients] + 0.3 * generator.standard_normal(80)
    plain = bootstrap_by_patient(
        lambda rows: auroc(margins[rows], labels[rows]), labels=labels, patients=patients, seed=0
    )
    rows = np.arange(80)
    source = draw_patients(labels, patients, rows, seed=1)
    draws = source.each(rows, lambda weights: weighted_auroc(weights, margins, labels))
    found = percentile_interval(Bootstrapped(auroc(margins, labels), draws, 80, 40, source.method))
    assert found.method == plain.method == f"bootstrap of 40 patients, {RESAMPLES} resamples"
    assert (found.low, found.high) == (pytest.approx(plain.low, abs=0.015), pytest.approx(plain.high, abs=0.015))


def test_patients_are_drawn_whole_each_class_apart_and_untested_ones_never():
    patients = np.array([5, 5, 9, 9, 2, 7, 7])
    labels = np.array([0, 1, 0, 0, 0, 1, 1])
    source = draw_patients(labels, patients, np.array([0, 1, 2, 3, 4]), seed=0, resamples=50)
    assert source.patient.tolist() == [1, 1, 2, 2, 0, -1, -1]
    assert (source.counts[:, 1] == 1).all()  # the only patient with a positive film
    assert (source.counts[:, [0, 2]].sum(axis=1) == 2).all()


def test_resamples_are_the_same_for_the_same_seed_however_many_films_fit_at_once(monkeypatch, films):
    margins, labels = films
    rows = np.arange(60)
    source = draw_patients(labels, rows, rows, seed=4, resamples=30)
    once = source.each(rows, lambda weights: weighted_auroc(weights, margins, labels))
    monkeypatch.setattr("torch_train.evaluation.bootstrap.FILMS_AT_ONCE", 7)
    again = draw_patients(labels, rows, rows, seed=4, resamples=30)
    assert (again.each(rows, lambda weights: weighted_auroc(weights, margins, labels)) == once).all()


def firths_line(margins, labels):
    """Maximise log likelihood + log det(information) / 2, Firth's own definition, without its derivatives."""
    columns = np.stack([margins, np.ones_like(margins)], axis=1)

    def loss(line):
        logits = columns @ line
        bend = expit(logits) * expit(-logits)
        likelihood = (labels * logits - np.logaddexp(0, logits)).sum()
        return -likelihood - 0.5 * np.linalg.slogdet(columns.T @ (bend[:, None] * columns))[1]

    return minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x


def test_the_weighted_line_maximises_firths_likelihood(films):
    margins, labels = films
    found = weighted_line(np.ones((1, 60), np.float32), margins, labels)[0]
    assert found == pytest.approx(firths_line(margins, labels), abs=1e-5)


def test_a_weight_of_two_is_two_films_and_where_it_starts_does_not_matter(films):
    margins, labels = films
    rows = np.concatenate([np.arange(60), np.arange(20)])
    weights = np.bincount(rows)[None].astype(np.float32)
    expected = firths_line(margins[rows], labels[rows])
    for start in ((0.0, 0.0), (3.0, -2.0)):
        found = weighted_line(weights, margins, labels, start=start)[0]
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("apart", [(-2.0, -1.0, 1.0, 2.0), (-40.0, -30.0, 30.0, 50.0)])
def test_films_that_are_perfectly_apart_keep_a_finite_slope(apart):
    margins, labels = np.array(apart), np.array([0, 0, 1, 1])
    found = weighted_line(np.ones((1, 4), np.float32), margins, labels)[0]
    assert found == pytest.approx(firths_line(margins, labels), abs=1e-4)


def test_a_film_alone_at_its_margin_gives_the_slope_that_counting_gives():
    found = weighted_line(np.ones((1, 4), np.float32), np.array([0.0, 0.0, 0.0, 1.0]), np.array([0, 0, 1, 1]))[0]
    low, high = logit((1 + 0.5) / (3 + 1)), logit((1 + 0.5) / (1 + 1))  # Firth adds half a film to either class
    assert found == pytest.approx([high - low, low], abs=1e-6)


def test_a_resample_without_a_class_has_no_line(films):
    margins, labels = films
    assert np.isnan(weighted_line((labels == 0)[None].astype(np.float32), margins, labels)).all()


def test_calibrated_logits_of_104_films_have_a_slope_of_1_on_average():
    generator, distance = np.random.default_rng(13), 2.326  # AUROC 0.95
    labels, every, slopes = np.arange(104) % 2, np.ones((1, 104), np.float32), []
    for _ in range(150):
        logits = distance**2 * (labels - 0.5) + distance * generator.standard_normal(104)
        slopes.append(weighted_line(every, logits, labels)[0, 0])
    assert np.mean(slopes) == pytest.approx(1, abs=0.05)  # some 0.86 with the soft targets that training fits


def share_of(successes, n, *, films=1, seed=0):
    """Return the share of n patients, each with so many films that agree."""
    patients = np.repeat(np.arange(n), films)
    right = np.repeat(np.arange(n) < successes, films)
    rows, among = np.arange(n * films), np.ones(n * films, np.bool_)
    source = draw_patients(np.ones(n * films, np.int64), patients, rows, seed=seed)
    draws = source.each(rows, lambda weights: weighted_share(weights, right, among))
    return Bootstrapped(successes / n, draws, n * films, n, source.method)


def test_one_film_a_patient_gives_clopper_and_pearsons_interval():
    exact = binomtest(47, 52).proportion_ci(method="exact")
    found = share_interval(share_of(47, 52))
    assert (found.low, found.high) == (pytest.approx(exact.low, abs=0.006), pytest.approx(exact.high, abs=0.006))
    assert found.n == 52


def test_all_found_leaves_room_below_where_a_percentile_would_leave_none():
    drawn = share_of(52, 52)
    assert (percentile_interval(drawn).low, percentile_interval(drawn).high) == (1.0, 1.0)
    assert (share_interval(drawn).low, share_interval(drawn).high) == (pytest.approx(0.025 ** (1 / 52)), 1.0)


def test_three_films_that_always_agree_are_worth_one():
    assert effective_films(share_of(30, 40, films=3)) == pytest.approx(40, rel=0.1)
    assert effective_films(share_of(40, 40, films=3)) == 40


def test_a_perfect_auroc_keeps_a_lower_bound_below_one():
    found = auroc_interval(Bootstrapped(1.0, np.ones(50), 104, 104, "drawn"), positives=52, negatives=52)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.9 < found.low < 0.99


def test_two_readers_that_no_film_tells_apart_may_still_differ():
    found = difference_interval(Bootstrapped(0.0, np.zeros(50), 52, 52, "drawn"))
    assert (found.low, found.high) == (pytest.approx(-0.0685, abs=1e-4), pytest.approx(0.0685, abs=1e-4))


def test_a_difference_that_all_resamples_agree_on_stays_within_one_and_is_not_called_none():
    found = difference_interval(Bootstrapped(1.0, np.ones(50), 52, 52, "drawn"))
    assert (found.value, found.high, found.method) == (1.0, 1.0, "all resamples agree")
    assert found.low == pytest.approx(0.9315, abs=1e-4)
    assert "exact" in difference_interval(Bootstrapped(0.0, np.zeros(50), 52, 52, "drawn")).method


@pytest.mark.parametrize("distance", [1.2, 3.0])  # AUROC 0.80 and 0.98
def test_the_interval_holds_the_true_auroc_in_about_95_of_100_drawn_sets(distance):
    generator, rows, sets = np.random.default_rng(11), np.arange(100), 200
    labels = (rows % 2).astype(np.int64)
    source = draw_patients(labels, rows, rows, seed=0, resamples=1000)
    held, too_high = 0, [0, 0]
    for _ in range(sets):
        margins = distance * labels + generator.standard_normal(100)
        draws = source.each(rows, lambda weights, margins=margins: weighted_auroc(weights, margins, labels))
        drawn = Bootstrapped(auroc(margins, labels), draws, 100, 100, source.method)
        found = auroc_interval(drawn, positives=50, negatives=50)
        held += found.low <= binormal_auroc(distance) <= found.high
        too_high[0] += found.low > binormal_auroc(distance)
        too_high[1] += percentile_interval(drawn).low > binormal_auroc(distance)
    assert too_high[0] <= too_high[1]
    assert too_high[0] / sets < 0.07  # 2.5 % + 3 standard errors, and a little
    assert 0.90 <= held / sets <= 0.985  # 95 % +- 3 standard errors of 200 sets, and a little for n = 100


def test_the_interval_of_a_share_near_one_holds_it_where_percentiles_do_not():
    generator, rows, sets, truth = np.random.default_rng(12), np.arange(50), 200, 0.98
    every, labels = np.ones(50, np.bool_), np.ones(50, np.int64)
    source = draw_patients(labels, rows, rows, seed=0, resamples=500)
    held = {share_interval: 0, percentile_interval: 0}
    for _ in range(sets):
        right = generator.random(50) < truth
        draws = source.each(rows, lambda weights, right=right: weighted_share(weights, right, every))
        drawn = Bootstrapped(float(right.mean()), draws, 50, 50, source.method)
        for interval in held:
            found = interval(drawn)
            held[interval] += found.low <= truth <= found.high
    assert held[share_interval] / sets >= 0.93
    assert held[percentile_interval] / sets < 0.90
