"""Blends near the threshold: close to it, made of whole grey levels, none where no film lies on the other side."""

import numpy as np
import pytest

from convert.runners.pytorch import CLOSE, PAIRS, blend_to_threshold


def model_inputs(n, *, seed=0):
    """Films of which the later ones are brighter."""
    noise = np.random.default_rng(seed).integers(0, 60, (n, 32, 32))
    return (noise + np.linspace(0, 190, n).astype(int)[:, None, None]).astype(np.uint8)


def margins(films):
    return (films.mean((1, 2)) - 128).astype(np.float32) / 10


@pytest.mark.parametrize("threshold", [0.0, -2.5])
def test_blends_lie_within_a_thousandth_of_the_threshold(threshold):
    found = blend_to_threshold(model_inputs(12), margins, threshold=threshold)
    assert (found.dtype, found.shape) == (np.uint8, (PAIRS, 32, 32))
    assert np.abs(margins(found) - threshold).max() < CLOSE
    assert len(np.unique(found.reshape(PAIRS, -1), axis=0)) == PAIRS


def test_two_films_give_one_blend():
    assert len(blend_to_threshold(model_inputs(2), margins, threshold=0.0)) == 1


def test_films_on_one_side_only_give_none():
    assert len(blend_to_threshold(model_inputs(6), margins, threshold=99.0)) == 0


def test_a_margin_that_jumps_over_the_threshold_still_ends():
    asked = []

    def steep(films):
        asked.append(len(films))
        return np.sign(margins(films))

    assert len(blend_to_threshold(model_inputs(6), steep, threshold=0.5)) > 0
    assert len(asked) <= 25
