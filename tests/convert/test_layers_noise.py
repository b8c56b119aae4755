"""The noise of one tensor, and when it is a rescaling of its channels."""

import math

import numpy as np
import pytest

from convert.layerwise.noise import Sums, judge_noise

RANDOM = np.random.default_rng(7)
REFERENCE = RANDOM.normal(size=(400, 16))


def noise_of(tensor, reference=REFERENCE):
    return judge_noise(Sums.none(reference.shape[1]).add(reference, tensor))


def test_the_sqnr_is_that_of_the_noise_that_was_added():
    found = noise_of(REFERENCE + 0.1 * RANDOM.normal(size=REFERENCE.shape))
    assert found.sqnr_db == pytest.approx(20, abs=0.3)
    assert (found.rescaled, found.as_is_db) == (False, found.sqnr_db)


def test_equal_tensors_are_exact_and_nan_is_no_number():
    assert noise_of(REFERENCE).sqnr_db == math.inf
    assert math.isnan(noise_of(np.where(REFERENCE > 2, np.nan, REFERENCE)).sqnr_db)


def test_channels_that_an_equalization_scaled_are_brought_back_and_said_to_be():
    scale = RANDOM.uniform(1.5, 4, 16)
    found = noise_of(scale * (REFERENCE + 0.01 * RANDOM.normal(size=REFERENCE.shape)))
    assert found.rescaled
    assert found.sqnr_db == pytest.approx(40, abs=0.5)
    assert found.as_is_db < 0
    assert found.scales == pytest.approx(np.quantile(1 / scale, (0.1, 0.9)).tolist(), rel=0.01)


@pytest.mark.parametrize("level", [0.3, 1.0, 3.0])
def test_loud_noise_is_no_rescaling(level):
    assert not noise_of(REFERENCE + level * RANDOM.normal(size=REFERENCE.shape)).rescaled


def test_one_filter_that_is_off_by_a_factor_is_a_fault_not_a_rescaling():
    broken = REFERENCE.copy()
    broken[:, 3] *= 2
    found = noise_of(broken)
    assert not found.rescaled
    assert found.sqnr_db == pytest.approx(12, abs=0.5)  # a sixteenth of the power is off by all of itself


def test_films_in_parts_give_the_sums_of_all_of_them():
    tensor = REFERENCE + 0.1
    halves = [Sums.none(16).add(REFERENCE[rows], tensor[rows]) for rows in (slice(200), slice(200, None))]
    whole = Sums.none(16).add(REFERENCE, tensor)
    np.testing.assert_allclose(halves[0].plus(halves[1]).stacked(), whole.stacked(), rtol=1e-12)


def test_a_constant_that_moved_into_the_later_bias_is_no_noise_before_the_bias():
    moved = REFERENCE + RANDOM.normal(size=16) + 0.01 * RANDOM.normal(size=REFERENCE.shape)
    sums = Sums.none(16).add(REFERENCE, moved)
    assert judge_noise(sums).sqnr_db < 10
    assert judge_noise(sums, before_bias=True).sqnr_db == pytest.approx(40, abs=0.3)


def test_a_silent_channel_divides_by_nothing():
    tensor = REFERENCE.copy()
    tensor[:, 0] = 0
    assert math.isfinite(noise_of(tensor).sqnr_db)


def test_tensors_of_other_shapes_are_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="shapes differ"):
        noise_of(REFERENCE[:10])
