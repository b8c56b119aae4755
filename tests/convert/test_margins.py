"""Margins given beforehand: intervals that known tables print, verdicts on either side, how many films would tell."""

import numpy as np
import pytest

from convert.parity.margins import (
    BROKEN,
    CANNOT_SAY,
    HOLDS,
    Z,
    judge_loss,
    judge_share,
    paired_interval,
    worst,
)


def likeliest_score(gained, lost, n, difference):
    """Tango's statistic from the largest likelihood on a fine grid of the one rate that is left."""
    rates = np.linspace(0, 1, 2_000_001)[1:-1]
    other, same = rates + difference, 1 - 2 * rates - difference
    inside = (other > 0) & (same > 0)
    rates, other, same = rates[inside], other[inside], same[inside]
    rate = rates[(gained * np.log(other) + lost * np.log(rates) + (n - gained - lost) * np.log(same)).argmax()]
    return (gained - lost - n * difference) / np.sqrt(n * (2 * rate + difference * (1 - difference)))


@pytest.mark.parametrize(("gained", "lost", "n"), [(14, 2, 100), (5, 5, 50), (1, 9, 30)])
def test_each_bound_is_where_the_score_of_the_likeliest_rates_is_one_and_96_hundredths(gained, lost, n):
    low, high = paired_interval(gained, lost, n)
    assert likeliest_score(gained, lost, n, low) == pytest.approx(Z, abs=1e-3)
    assert likeliest_score(gained, lost, n, high) == pytest.approx(-Z, abs=1e-3)


def test_pairs_that_never_differ_still_leave_room():
    for n in (44, 188, 10_000):
        reach = Z**2 / (n + Z**2)  # what the score comes to where nothing differs
        assert paired_interval(0, 0, n) == (pytest.approx(-reach), pytest.approx(reach))
    assert paired_interval(0, 1, 44) == (pytest.approx(-0.11808, abs=1e-5), pytest.approx(0.05939, abs=1e-5))


def test_nine_in_ten_intervals_and_more_hold_the_true_difference():
    generator = np.random.default_rng(0)
    for gain, loss, n in ((0.02, 0.05, 60), (0.1, 0.1, 30), (0.0, 0.03, 100)):
        drawn = generator.multinomial(n, (gain, loss, 1 - gain - loss), size=2000)
        held = 0
        for gained, lost, _ in drawn.tolist():
            low, high = paired_interval(gained, lost, n)
            held += low <= gain - loss <= high
        assert held / 2000 > 0.93


def test_pairs_that_there_are_not_are_a_mistake():
    for pairs in ((1, 1, 0), (3, 3, 5), (-1, 0, 5)):
        with pytest.raises(ValueError, match="no interval of"):
            paired_interval(*pairs)


def test_one_of_48_cannot_break_a_margin_of_one_percent_and_what_is_needed_is_said():
    found = judge_loss(0, 1, 48, patients=48, margin=0.01)
    assert (found.verdict, found.needed) == (CANNOT_SAY, 359)
    scale = found.needed / 48
    assert paired_interval(0, scale, found.needed)[1] < -0.01 <= paired_interval(0, 358 / 48, 358)[1]


@pytest.mark.parametrize(
    ("gained", "lost", "n", "margin", "verdict", "needed"),
    [
        (0, 0, 188, 0.02, CANNOT_SAY, 189),
        (0, 0, 189, 0.02, HOLDS, None),
        (0, 20, 48, 0.02, BROKEN, None),
        (3, 3, 2000, 0.02, HOLDS, None),
        (0, 0, 48, 0.0, CANNOT_SAY, None),  # no number of films shows that nothing at all is lost
        (0, 1, 48, None, None, None),
    ],
)
def test_a_margin_holds_or_is_broken_only_where_the_whole_interval_lies_on_one_side(
    gained, lost, n, margin, verdict, needed
):
    found = judge_loss(gained, lost, n, patients=n, margin=margin)
    assert (found.verdict, found.needed) == (verdict, needed)
    assert found.value == (gained - lost) / n
    assert found.low <= found.value <= found.high


def test_films_of_the_same_patients_tell_no_more_than_the_patients():
    alone, shared = judge_loss(2, 6, 200, patients=200, margin=0.05), judge_loss(2, 6, 200, patients=50, margin=0.05)
    assert (shared.low, shared.high) == paired_interval(0.5, 1.5, 50)
    assert shared.low < alone.low < alone.high < shared.high
    assert "of 50 patients" in shared.method


@pytest.mark.parametrize(
    ("events", "n", "most", "verdict"),
    [
        (1, 48, 0.01, CANNOT_SAY),
        (0, 400, 0.01, HOLDS),
        (20, 400, 0.01, BROKEN),
        (0, 3, 0.0, HOLDS),
        (1, 3000, 0.0, BROKEN),
        (1, 48, None, None),
    ],
)
def test_a_share_of_films_is_judged_by_its_exact_interval(events, n, most, verdict):
    found = judge_share(events, n, patients=n, most=most)
    assert (found.verdict, found.value) == (verdict, events / n)
    if verdict == CANNOT_SAY:
        assert judge_share(events * 10, n * 10, patients=n * 10, most=most).verdict != CANNOT_SAY
        assert found.needed == 477


def test_the_worst_verdict_speaks_for_all():
    assert worst([HOLDS, CANNOT_SAY, BROKEN]) == BROKEN
    assert worst([HOLDS, CANNOT_SAY]) == CANNOT_SAY
    assert worst([HOLDS]) == HOLDS
    assert worst([]) is None
