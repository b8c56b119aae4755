import numpy as np
import pytest

from tbconv.contract.statistics import proportion
from tbconv.report_kit.words import digits_for
from torch_train.metrics import Z, auroc_estimate, bootstrap_by_patient, f1_score


def test_seventy_of_seventy_leave_room_down_to_94_9_percent():
    estimate = proportion(70, 70)
    assert (round(estimate.low, 3), estimate.high, estimate.n) == (0.949, 1.0, 70)


def test_a_proportion_matches_the_textbook():
    estimate = proportion(8, 10)  # Clopper-Pearson of 8/10: 0.4439 to 0.9748
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (0.4439, 0.9748)


def test_no_film_gives_no_figure():
    assert proportion(0, 0).value is None
    assert f1_score(0, 0, 0).low is None


def test_f1_keeps_its_value_and_the_bounds_of_its_jaccard_index():
    estimate, jaccard = f1_score(8, 1, 3), proportion(8, 12)
    assert estimate.value == pytest.approx(2 * 8 / (2 * 8 + 1 + 3))
    assert estimate.low == pytest.approx(2 * jaccard.low / (1 + jaccard.low))
    assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize(("positives", "negatives"), [(5, 5), (131, 391)])
def test_a_perfect_auroc_keeps_an_interval(positives, negatives):
    estimate = auroc_estimate(1.0, positives=positives, negatives=negatives)
    assert estimate.high == 1.0
    assert 0.5 < estimate.low < 0.999


def test_auroc_bounds_solve_newcombes_equation():
    m, n, hat = 12, 30, 0.8
    estimate = auroc_estimate(hat, positives=m, negatives=n)
    for theta in (estimate.low, estimate.high):
        spare = (m + n) / 2 - 1
        variance = theta * (1 - theta) * (1 + spare * (1 - theta) / (2 - theta) + spare * theta / (1 + theta)) / (m * n)
        assert abs(theta - hat) == pytest.approx(Z * variance**0.5, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5])
def test_auroc_intervals_mirror_when_the_order_is_turned_round(value):
    one = auroc_estimate(value, positives=9, negatives=20)
    other = auroc_estimate(1 - value, positives=9, negatives=20)
    assert (one.low, one.high) == (pytest.approx(1 - other.high), pytest.approx(1 - other.low))


def test_films_of_one_patient_widen_the_bootstrap():
    values = np.random.default_rng(0).normal(size=40)
    labels = np.repeat([0, 1], 40).astype(np.int64)
    films = np.repeat(values, 2)

    def mean(rows):
        return float(films[rows].mean())

    alone = bootstrap_by_patient(mean, labels=labels, patients=np.arange(80), seed=0)
    paired = bootstrap_by_patient(mean, labels=labels, patients=np.arange(80) // 2, seed=0)
    assert paired.high - paired.low > 1.2 * (alone.high - alone.low)
    assert paired.value == alone.value == mean(np.arange(80))


@pytest.mark.parametrize(("n", "digits"), [(1, 1), (10, 1), (21, 2), (100, 2), (522, 3), (1000, 3)])
def test_digits_tell_one_film_and_no_less(n, digits):
    assert digits_for(n) == digits
