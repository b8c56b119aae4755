"""The band around the threshold: wide enough that no measured film flipped outside it, no wider than that needs."""

from __future__ import annotations

import numpy as np
import pytest

from convert.parity.decisions import NEAREST
from convert.parity.statistics import abstention_band


@pytest.mark.parametrize("seed", range(20))
def test_no_film_outside_the_band_changed_its_decision(seed):
    draw = np.random.default_rng(seed)
    truth = draw.normal(0, 3, 400)
    other = truth + draw.normal(0, 0.02 + 0.2 * np.abs(truth))
    found = abstention_band(truth, other, threshold=0.3)
    flipped = (truth >= 0.3) != (other >= 0.3)
    assert flipped.any()
    assert (np.abs(other - 0.3)[flipped] <= found["half_width"]).all()


def test_films_that_move_far_from_the_threshold_do_not_widen_it():
    truth = np.linspace(-20, 20, 401)
    other = truth + np.where(np.abs(truth) > 5, 0.8, 0.01)
    found = abstention_band(truth, other, threshold=0.0)
    assert found["half_width"] == pytest.approx(0.01)
    assert found["rests_on"] >= NEAREST
    assert found["inside"] == int((np.abs(other) <= found["half_width"]).sum())


def test_few_films_near_the_threshold_are_not_trusted_alone():
    truth = np.concatenate([[0.0], np.linspace(5, 20, 40)])
    other = truth + np.concatenate([[1e-6], np.full(40, 0.5)])
    assert abstention_band(truth, other, threshold=0.0)["half_width"] == pytest.approx(0.5)


def test_a_set_smaller_than_that_rests_on_all_its_films():
    found = abstention_band(np.array([0.0, 4.0]), np.array([0.1, 4.3]), threshold=1.0)
    assert (found["half_width"], found["samples"], found["rests_on"]) == (pytest.approx(0.3), 2, 2)


def test_an_exact_copy_has_a_band_of_no_width():
    margins = np.linspace(-1, 1, 50)
    assert abstention_band(margins, margins, threshold=0.01)["half_width"] == 0.0
