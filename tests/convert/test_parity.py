import numpy as np
import pytest

from convert.parity.compare import NOT_FINITE, compare, find_problem
from tbconv.contract.statistics import Prediction


def answer(margins, *, evidence=True, shift=0.0):
    """Make a prediction of margins; each map adds up to its margin."""
    margins = np.asarray(margins, np.float32)
    logits = np.stack([-margins / 2, margins / 2], axis=1)
    probability = (1 / (1 + np.exp(-margins)))[:, None].astype(np.float32)
    tilt = np.linspace(-1, 1, 49, dtype=np.float32).reshape(7, 7)
    maps = margins[:, None, None] + tilt - tilt.mean() + np.float32(shift)
    return Prediction(logits, probability, maps if evidence else None)


MARGINS = [-2.0, -0.5, 0.75, 3.0]


def test_equal_answers_differ_by_nothing():
    found = compare(answer(MARGINS), answer(MARGINS), threshold=0.0)
    assert (found.max_abs_logits, found.max_abs_probability, found.max_abs_evidence, found.flips) == (0, 0, 0, 0)
    assert found.sqnr_db == np.inf
    assert found.within(0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("output", ["logits", "probability", "evidence"])
def test_nan_and_infinity_fail_in_every_output_even_against_themselves(output, value):
    spoilt = answer(MARGINS)
    getattr(spoilt, output)[2, 0] = value
    found = compare(spoilt, spoilt, threshold=0.0)
    assert output in found.problem
    assert "NaN or infinite" in found.problem
    assert not found.within(np.inf)


def test_a_reference_that_is_nan_passes_nobody():
    reference = answer(MARGINS)
    reference.logits[0, 0] = np.nan
    found = compare(reference, answer(MARGINS), threshold=0.0)
    assert not found.within(1e9)
    assert found.problem == NOT_FINITE


@pytest.mark.parametrize("output", ["logits", "probability", "evidence"])
def test_a_reference_that_is_infinite_in_any_output_is_named_as_the_problem(output):
    reference = answer(MARGINS)
    getattr(reference, output)[0, 0] = np.inf
    assert compare(reference, answer(MARGINS), threshold=0.0).problem == NOT_FINITE


def test_nothing_compared_never_passes():
    found = compare(answer([]), answer([]), threshold=0.0)
    assert (found.samples, found.problem) == (0, "no film was compared")
    assert not found.within(np.inf)


def test_a_decision_that_flips_though_the_logits_are_close_is_counted():
    found = compare(answer([-0.001, 2.0]), answer([0.001, 2.0]), threshold=0.0)
    assert found.max_abs_logits == pytest.approx(0.001)
    assert (found.flips, found.within(0.01)) == (1, False)


def test_missed_and_added_films_are_counted_apart():
    found = compare(answer([1.0, 1.1, 1.2, -1.0]), answer([-1.0, -1.1, 1.3, 1.0]), threshold=0.0)
    assert (found.missed, found.added, found.flips) == (2, 1, 3)


def test_a_film_at_the_threshold_counts_as_referred():
    assert compare(answer([0.5, 2.0]), answer([0.49, 2.0]), threshold=0.5).missed == 1
    assert compare(answer([0.49, 2.0]), answer([0.5, 2.0]), threshold=0.5).added == 1


def test_decisions_hang_on_the_margin_and_not_on_the_logits_alone():
    shifted = answer(MARGINS)
    both = Prediction(shifted.logits + 5, shifted.probability, shifted.evidence)
    found = compare(answer(MARGINS), both, threshold=0.0)
    assert (found.max_abs_logits, found.flips) == (5.0, 0)


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        ("logits", (4, 1)),
        ("logits", (4, 2, 1)),
        ("logits", (3, 2)),
        ("probability", (4,)),
        ("probability", (4, 2)),
        ("evidence", (4, 49)),
        ("evidence", (4, 7, 7, 1)),
    ],
)
def test_a_wrong_shape_is_a_problem_that_names_it(output, shape):
    right = answer(MARGINS)
    arrays = {name: getattr(right, name) for name in ("logits", "probability", "evidence")}
    arrays[output] = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    problem = find_problem(Prediction(**arrays), 4)
    assert problem is not None
    assert problem.startswith(f"{output}: shape {list(shape)}")


def test_a_missing_map_is_no_problem_and_is_not_compared():
    found = compare(answer(MARGINS), answer(MARGINS, evidence=False), threshold=0.0)
    assert (found.problem, found.identity, found.max_abs_evidence) == (None, None, None)
    assert found.within(0.0)


def test_a_constant_answer_is_a_problem():
    found = compare(answer(MARGINS), answer([1.0] * 4), threshold=0.0)
    assert found.problem == "logits are the same for every film"
    assert not found.within(np.inf)


def test_films_that_are_meant_to_be_alike_may_have_one_answer():
    found = compare(answer(MARGINS), answer([1.0] * 4), threshold=0.0, alike=True)
    assert (found.problem, found.flips) == (None, 2)


def test_one_film_alone_cannot_be_constant():
    assert find_problem(answer([1.0]), 1) is None


def test_a_transposed_map_is_seen_though_it_adds_up():
    one = answer(MARGINS)
    turned = Prediction(one.logits, one.probability, one.evidence.transpose(0, 2, 1))
    found = compare(one, turned, threshold=0.0)
    assert found.identity == pytest.approx(0, abs=1e-6)
    assert found.max_abs_evidence > 0.5


def test_answers_in_another_order_of_films_are_seen():
    found = compare(answer(MARGINS), answer(MARGINS[::-1]), threshold=0.0)
    assert found.max_abs_logits == pytest.approx(2.5)
    assert found.flips == 4


def test_the_worst_film_decides_and_not_the_mean():
    many = np.linspace(-3, 3, 1000)
    moved = many.copy()
    moved[500] += 0.2
    assert compare(answer(many), answer(moved), threshold=9.0).max_abs_logits == pytest.approx(0.1, abs=1e-6)
