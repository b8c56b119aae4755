import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from tbconv.contract.statistics import (
    IDENTITY,
    TIMES_TYPICAL,
    Prediction,
    allowed_move,
    decibels,
    exact_interval,
    identity_error,
    identity_errors,
    is_positive,
    proportion,
    sqnr_db,
    upper_bound,
)

counts = st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LEVELS = st.sampled_from([0.5, 0.9, 0.95, 0.99])


def prediction(logits, evidence=None):
    logits = np.asarray(logits, np.float32)
    return Prediction(logits, np.full((len(logits), 1), 0.5, np.float32), evidence)


def with_map(margins):
    evidence = np.repeat(np.float32(margins)[:, None, None], 7, axis=1).repeat(7, axis=2)
    return prediction(np.stack([np.zeros_like(margins), margins], axis=1), evidence)


@given(counts, LEVELS)
def test_an_interval_of_counts_is_scipys_clopper_pearson(count, level):
    expected = binomtest(*count).proportion_ci(level, method="exact")
    assert exact_interval(*count, level) == pytest.approx((expected.low, expected.high), rel=0, abs=1e-11)


@given(st.floats(0.01, 2000), st.floats(0, 1))
def test_an_interval_at_an_effective_number_of_films_is_the_beta_quantile(n, share):
    low, high = exact_interval(share * n, n)
    if share * n > 1e-9:
        assert low == pytest.approx(beta.ppf(0.025, share * n, n - share * n + 1), rel=0, abs=1e-11)
    if n - share * n > 1e-9:
        assert high == pytest.approx(beta.ppf(0.975, share * n + 1, n - share * n), rel=0, abs=1e-11)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


@given(counts, LEVELS)
def test_the_bound_of_events_is_the_one_sided_quantile(count, level):
    events, n = count
    expected = 1.0 if events == n else beta.ppf(level, events + 1, n - events)
    assert upper_bound(events, n, level) == pytest.approx(expected, rel=0, abs=1e-11)


@pytest.mark.parametrize("n", [1, 20, 104, 299, 512])
def test_no_flip_of_n_bounds_the_share_at_1_minus_the_nth_root_of_5_percent(n):
    assert upper_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-9)


def test_299_films_without_a_flip_are_what_one_percent_takes():
    assert upper_bound(0, 298) > 0.01 >= upper_bound(0, 299)


def test_the_bound_grows_with_flips_and_ends_at_1():
    bounds = [upper_bound(flips, 20) for flips in range(21)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == 1.0


def test_a_million_trials_are_bounded_too():
    expected = beta.ppf(0.025, 999_000, 1_001), beta.ppf(0.975, 999_001, 1_000)
    assert exact_interval(999_000, 1_000_000) == pytest.approx(expected, rel=0, abs=1e-11)


@pytest.mark.parametrize(("successes", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (2, 5, 0.0), (2, 5, 1.0)])
def test_an_interval_of_nonsense_is_refused(successes, n, level):
    with pytest.raises(ValueError, match=f"{successes} of {n}"):
        exact_interval(successes, n, level)


def test_a_proportion_of_nothing_has_no_value():
    assert (proportion(0, 0).value, proportion(0, 0).low, proportion(0, 0).n) == (None, None, 0)


@given(st.lists(st.floats(width=32), min_size=1), st.floats(allow_nan=False))
def test_a_film_at_the_threshold_is_positive_and_nan_never_is(margins, threshold):
    values = np.array(margins)
    decided = is_positive(values, threshold)
    assert decided.tolist() == [value >= threshold for value in margins]
    assert not decided[np.isnan(values)].any()
    assert is_positive(np.array([threshold]), threshold).all()


def test_many_thresholds_broadcast_and_one_margin_is_one_decision():
    assert is_positive(np.array([[0.0], [1.0]]), np.array([0.5, 1.0])).tolist() == [[False, False], [True, True]]
    assert bool(is_positive(0.5, 0.5))


def test_sqnr_is_in_decibels_of_power():
    reference = np.full((10, 2), 10.0)
    assert sqnr_db(reference, reference + 1.0) == pytest.approx(20.0)
    assert sqnr_db(reference, reference + 0.1) == pytest.approx(40.0)
    assert sqnr_db(reference, reference) == np.inf


@pytest.mark.parametrize("pair", [(np.nan, 1.0), (1.0, np.inf), (np.inf, 1.0)])
def test_a_power_that_is_not_finite_has_no_decibels(pair):
    assert np.isnan(decibels(*pair))


def test_the_identity_error_is_that_of_the_worst_film():
    one = with_map([-2.0, -1.0, 0.5, 3.0])
    assert identity_error(one) == pytest.approx(0, abs=1e-6)
    one.evidence[1] += 0.25
    one.evidence[3] -= 0.5
    assert identity_error(one) == pytest.approx(0.5, abs=1e-6)
    assert identity_errors(one) == pytest.approx([0, 0.25, 0, 0.5], abs=1e-6)
    one.evidence[0] = np.nan
    assert np.isnan(identity_error(one))
    assert identity_error(prediction([[0, 1]])) is None


@pytest.mark.parametrize("outlier", [0.01, 9.0])
def test_one_input_far_from_pytorch_does_not_excuse_a_move(outlier):
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(16, 2)).astype(np.float32)
    recorded = reference + rng.normal(scale=0.01, size=(16, 2)).astype(np.float32)
    recorded[0] += np.float32(outlier)
    distance = np.abs(recorded.astype(np.float64) - reference).max(axis=1)
    allowed = allowed_move(prediction(recorded), prediction(reference))
    assert allowed == min(distance.max(), TIMES_TYPICAL * np.median(distance))
    assert allowed < 0.2


def test_a_file_that_is_as_pytorch_may_move_by_the_identity_and_nan_counts_for_nothing():
    one = prediction([[0.0, 1.0], [2.0, 3.0]])
    assert allowed_move(one, one) == IDENTITY
    assert allowed_move(prediction([[np.nan, 1.0]]), prediction([[0.0, 1.0]])) == IDENTITY
