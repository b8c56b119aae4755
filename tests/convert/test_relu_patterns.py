"""Films whose map may jump are known from PyTorch, inferred for other float32 files, and reported apart."""

import numpy as np
import pytest

from convert.parity.statistics import COUNTED, INFERRED, UNKNOWN, error_distribution, find_pattern_changes, map_noise
from convert.runners.base import Answer


def draw(n=6, *, noise=0.0, jump=(), patterns=True, dtype=np.float32, seed=0):
    """Answers of which some films' maps jump by 1, as if a ReLU had flipped."""
    rng = np.random.default_rng(0)
    logits, maps = rng.normal(size=(n, 2)), rng.normal(size=(n, 7, 7))
    maps = maps + noise * np.random.default_rng(seed).uniform(-1, 1, maps.shape)
    open_ = rng.random((n, 12)) > 0.5
    for film in jump:
        maps[film, 3, 3] += 1
        open_[film, 5] ^= True
    logits, probability, maps = logits.astype(dtype), np.full((n, 1), 0.5, dtype), maps.astype(dtype)
    return Answer(logits, probability, maps, open_ if patterns else None)


def test_the_noise_of_maps_is_that_of_films_with_equal_locks():
    reference, float64 = draw(noise=1e-4), draw(jump=[2], dtype=np.float64)
    assert 5e-5 < map_noise(reference, float64) <= 1.001e-4


def test_pytorchs_own_locks_are_counted_film_by_film():
    found = find_pattern_changes(draw(), draw(jump=[1, 4]), noise=1e-4, float32=True)
    assert (found.how, found.flipped.nonzero()[0].tolist()) == (COUNTED, [1, 4])


def test_a_float32_map_beyond_ten_times_the_noise_is_taken_for_a_flipped_lock():
    other = draw(noise=5e-4, jump=[3], patterns=False, seed=1)
    found = find_pattern_changes(draw(), other, noise=1e-4, float32=True)
    assert (found.how, found.flipped.nonzero()[0].tolist()) == (INFERRED, [3])


def test_of_a_reduced_file_nothing_is_inferred():
    found = find_pattern_changes(draw(), draw(noise=0.5, patterns=False), noise=1e-4, float32=False)
    assert (found.how, found.flipped.any()) == (UNKNOWN, False)


def test_maps_that_jumped_are_reported_apart_from_the_rest():
    reference, other = draw(), draw(noise=5e-4, jump=[3], patterns=False, seed=1)
    found = error_distribution(reference, other, find_pattern_changes(reference, other, noise=1e-4, float32=True))
    assert found["abs_evidence"]["max"] < 6e-4
    assert found["relu_patterns"]["films"] == [3]
    assert found["relu_patterns"]["max_abs_evidence"] == pytest.approx(1, abs=1e-3)


def test_a_file_without_a_map_has_no_locks_to_tell():
    other = Answer(draw().logits, draw().probability, None)
    found = error_distribution(draw(), other, find_pattern_changes(draw(), other, noise=1e-4, float32=True))
    assert (found["abs_evidence"], found["relu_patterns"]) == (None, None)
    assert "identity" not in found
