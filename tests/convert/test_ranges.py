"""Histograms whose limit grows, and the ends that they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from convert.quantization.calibration import BINS, Histogram
from tbconv.contract.errors import ConversionError


def counted(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(np.float32(part))
    return histogram


def test_every_value_is_counted_though_the_limit_doubles_on_the_way():
    draw = np.random.default_rng(0)
    parts = [draw.normal(0, scale, 1000) for scale in (0.1, 3, 50)]
    histogram = counted(*parts)
    assert histogram.counts.sum() == 3000
    everything = np.concatenate(parts)
    assert histogram.range(0.0) == (
        pytest.approx(everything.min(), rel=1e-6),
        pytest.approx(everything.max(), rel=1e-6),
    )


def test_one_value_in_a_hundred_thousand_does_not_set_the_range():
    values = np.concatenate([np.random.default_rng(1).uniform(0, 1, 200_000), [40.0]])
    _, high = counted(values).range(1e-5)
    assert 0.98 < high < 1.05
    assert counted(values).range(0.0)[1] == 40.0


def test_the_range_never_reaches_beyond_what_was_seen_and_always_holds_zero():
    low, high = counted(np.full(100, 0.75)).range(1e-5)
    assert (low, high) == (0.0, pytest.approx(0.75, abs=2 / BINS))
    low, high = counted(np.full(100, -0.75)).range(0.0)
    assert (low, high) == (-0.75, 0.0)


def test_the_share_left_out_is_counted_at_each_end():
    values = np.linspace(-1, 1, 100_000)
    low, high = counted(values).range(0.01)
    assert low == pytest.approx(-0.98, abs=0.002)
    assert high == pytest.approx(0.98, abs=0.002)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_no_range_can_hold_is_a_stated_error_and_no_endless_doubling(value):
    with pytest.raises(ConversionError, match="NaN or infinite"):
        counted([0.5, value, 1.0])
