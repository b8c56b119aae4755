import math

import numpy as np
import pytest

from tbconv.contract.manifest import Calibration, Labels, OperatingPoint


def point(margin):
    return OperatingPoint(margin, 0.9, 0.91, 0.85, 40, 60, "0" * 64)


@pytest.mark.parametrize("margin", [math.nan, math.inf, -math.inf])
def test_an_operating_point_refuses_a_margin_that_is_no_number(margin):
    with pytest.raises(ValueError, match=f"finite, got {margin}"):
        point(margin)


@pytest.mark.parametrize(("slope", "offset"), [(math.nan, 0.0), (1.0, math.nan), (math.inf, 0.0), (1.0, -math.inf)])
def test_a_calibration_refuses_what_is_no_number(slope, offset):
    with pytest.raises(ValueError, match=f"got {slope}, {offset}"):
        Calibration(slope, offset, 10, 10)


def test_a_film_at_the_threshold_is_referred_and_nan_never_is():
    margins = np.array([0.25, np.nextafter(0.25, 0), 0.3, np.nan, np.inf, -np.inf])
    assert point(0.25).is_positive(margins).tolist() == [True, False, True, False, True, False]


def test_probability_is_the_sigmoid_of_the_calibrated_margin():
    margins = np.array([-2.0, 0.0, 0.7])
    expected = [1 / (1 + math.exp(-(1.5 * margin - 0.4))) for margin in margins]
    assert Calibration(1.5, -0.4, 30, 70).probability(margins) == pytest.approx(expected, rel=1e-12)


def test_far_margins_neither_overflow_nor_leave_0_to_1():
    probability = Calibration(1.0, 0.0, 1, 1).probability(np.array([-1e6, 1e6]))
    assert probability.tolist() == pytest.approx([0.0, 1.0], abs=1e-300)


def test_the_prior_is_that_of_the_films_it_was_fitted_on():
    assert (Calibration(1.0, 0.0, 30, 70).prior, Calibration(1.0, 0.0, 0, 0).prior) == (0.3, 0.0)


@pytest.mark.parametrize("names", [("", "TB"), ("TB", ""), ("TB", "TB")])
def test_labels_are_two_different_names(names):
    with pytest.raises(ValueError, match="two different names"):
        Labels(*names)
