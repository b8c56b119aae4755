"""Spread film by film: quantiles that a pooled maximum hides, ranks, and float steps counted one by one."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from convert.parity.statistics import UNKNOWN, ReluPatterns, error_distribution, histogram_of_steps, per_film, spearman
from convert.runners.base import Answer


def answer(logits):
    logits = np.asarray(logits, np.float32)
    return Answer(logits, np.full((len(logits), 1), 0.5, np.float32), None)


def spread_of(reference, other):
    return error_distribution(
        answer(reference), answer(other), ReluPatterns(np.zeros(len(reference), np.bool_), UNKNOWN)
    )


def test_one_straying_film_moves_the_maximum_and_not_the_median():
    reference = np.random.default_rng(0).normal(size=(101, 2))
    strayed = reference.copy()
    strayed[7, 1] += 3
    found = spread_of(reference, strayed)["abs_logits"]
    assert (found["p50"], round(found["max"], 3)) == (0, 3)


def test_neighbouring_floats_are_one_step_apart_through_zero_as_well():
    tiny = np.float32(1e-45)  # the smallest positive float32
    reference = np.float32([1.0, -1.0, 0.0, 1.0])
    other = np.float32([np.nextafter(np.float32(1), np.float32(2)), -1.0, -tiny, 2.0])
    found = histogram_of_steps(reference, other)
    assert (found["0"], found["1"], found["> 256"]) == (1, 2, 1)
    assert sum(found.values()) == 4


def test_each_bin_of_the_histogram_counts_only_what_its_name_says():
    steps = [0, 1, 2, 4, 5, 16, 17, 64, 65, 256, 257, 9000]
    reference = np.ones(len(steps), np.float32)
    found = histogram_of_steps(reference, (reference.view(np.int32) + np.int32(steps)).view(np.float32))
    assert found == {"0": 1, "1": 1, "2 to 4": 2, "5 to 16": 2, "17 to 64": 2, "65 to 256": 2, "> 256": 2}


def test_spearman_agrees_with_scipy_where_values_tie():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 9, 60).astype(np.float32), rng.integers(0, 9, 60).astype(np.float32)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_a_constant_margin_has_no_rank_correlation():
    assert spearman(np.zeros(5, np.float32), np.arange(5, dtype=np.float32)) is None


def test_a_shift_of_every_margin_leaves_the_centred_signal_alone():
    reference = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
    shifted = reference + np.float32([0, 0.5])
    found = spread_of(reference, shifted)
    assert found["centred_margin_sqnr_db"] is None or found["centred_margin_sqnr_db"] > 120
    assert found["spearman"] == pytest.approx(1.0)


def test_the_identity_is_measured_film_by_film():
    logits = np.float32([[0, 1], [0, 2], [0, 3]])
    maps = np.stack([np.full((7, 7), value, np.float32) for value in (1.0, 2.5, 3.0)])
    found = per_film(answer(logits), Answer(logits, np.full((3, 1), 0.5, np.float32), maps))
    assert found["identity"].tolist() == [0, 0.5, 0]
    assert "abs_evidence" not in found  # the reference has no map here
