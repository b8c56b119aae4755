"""Distance from the float64 reference: root mean square, in dB beside eager PyTorch's own, never beside nothing."""

import numpy as np
import pytest

from convert.parity.compare import float64_distance, gap_db
from tbconv.contract.statistics import Prediction


def answer(margins, *, dtype=np.float64, evidence=1.0):
    margins = np.asarray(margins, dtype)
    logits = np.stack([np.zeros_like(margins), margins], axis=1)
    maps = np.full((len(margins), 7, 7), evidence, dtype)
    return Prediction(logits, np.full((len(margins), 1), 0.5), maps)


FLOAT64 = np.linspace(-3, 3, 40)


def test_twice_as_far_is_six_decibels():
    found = float64_distance(answer(FLOAT64 + 2e-4), answer(FLOAT64 - 1e-4), answer(FLOAT64))
    assert found["db"] == pytest.approx(6.02, abs=0.01)
    assert (found["rms"], found["eager_rms"]) == (pytest.approx(2e-4), pytest.approx(1e-4))


def test_a_lucky_pytorch_counts_as_one_rounding_step_of_the_evidence():
    step = 100 * np.finfo(np.float32).eps
    found = float64_distance(answer(FLOAT64 + step), answer(FLOAT64), answer(FLOAT64, evidence=100.0))
    assert found["eager_rms"] == 0
    assert found["floor_rms"] == pytest.approx(step)
    assert found["db"] == pytest.approx(0, abs=1e-6)


def test_an_answer_that_is_the_oracles_stays_a_number():
    found = float64_distance(answer(FLOAT64), answer(FLOAT64), answer(FLOAT64))
    assert np.isfinite(list(found.values())).all()
    assert found["db"] < -100
    assert gap_db(found, found) is None


def test_one_straying_film_counts_by_its_square():
    strayed = FLOAT64.copy()
    strayed[7] += 1
    found = float64_distance(answer(strayed), answer(FLOAT64 + 1e-3), answer(FLOAT64))
    assert found["rms"] == pytest.approx(np.sqrt(1 / 40))


def test_a_file_is_held_against_its_yardstick_in_decibels():
    assert gap_db({"rms": 2.0}, {"rms": 1.0}) == pytest.approx(6.02, abs=0.01)
