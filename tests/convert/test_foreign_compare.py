import json
from types import SimpleNamespace

import numpy as np
import pytest

from convert.formats.normalise import Normalise, check_choice, choose_normalise, prepare
from convert.onnx_import.reference import check_reference
from convert.parity.compare import compare_outputs
from convert.parity.decisions import Decisions
from convert.parity.verdicts import (
    CANNOT_SAY,
    CERTIFIED,
    FAILED,
    MEASURED,
    Ceiling,
    OutputTolerance,
    judge_outputs,
)
from tbconv.contract.errors import ConfigError, ConversionError

ONE_OF_N = Decisions("one-of-n")
TOLERANCES = {"logits": OutputTolerance(1e-6, 2e-6, 1e-7, Ceiling(1.0, 1.0, 0, 50))}


def draw(films=50, classes=3):
    return np.random.default_rng(0).normal(size=(films, classes)).astype(np.float32)


def moved(answer, by):
    return {"logits": answer + np.float32(by)}


def verdict(answer, other, precision="float32", tolerances=TOLERANCES, decisions=ONE_OF_N):
    found = compare_outputs({"logits": answer}, other, {"logits": decisions})
    judged, reason = judge_outputs(found, tolerances, exact=precision == "float32")
    [one] = found
    return SimpleNamespace(verdict=judged, reason=reason, flips=one.flips, worst=one.max_abs, to_json=one.to_json)


def test_the_tolerance_is_ten_times_the_largest_noise_and_never_below_its_floor():
    assert TOLERANCES["logits"].tolerance == pytest.approx(2e-5)
    assert OutputTolerance(0.0, 0.0, 0.0, Ceiling(8.0, None, 0, 0)).tolerance == pytest.approx(8e-6)


def test_the_tolerance_is_how_far_the_reference_moves_by_itself():
    answer = draw()
    found = OutputTolerance.derive(answer, answer + np.float32(0.25), answer + np.float32(0.5), ONE_OF_N)
    assert (round(found.optimised, 2), round(found.preprocessing, 2)) == (0.25, 0.5)
    assert found.step == pytest.approx(1.19e-7 * np.abs(answer).max(), rel=1e-2)


def test_a_file_within_the_tolerance_is_certified_with_the_bound_on_its_flips():
    found = verdict(draw(), moved(draw(), 1e-5))
    assert found.verdict == CERTIFIED
    assert "0 of 50 decisions differ (at most 5.8%, 95 %)" in found.reason


def test_an_answer_of_nothing_but_zero_has_no_tolerance_and_needs_none():
    nothing = {"logits": np.zeros((1, 2), np.float32)}
    tolerances = {"logits": OutputTolerance(0.0, 0.0, 0.0, Ceiling(0.0, None, 0, 1))}
    assert tolerances["logits"].tolerance == 0
    assert verdict(nothing["logits"], nothing, tolerances=tolerances).verdict == CERTIFIED


def test_a_file_beyond_the_tolerance_fails_though_no_decision_changes():
    found = verdict(draw(), moved(draw(), 1e-3))
    assert (found.verdict, found.flips) == (FAILED, 0)
    assert "allowed 2e-05" in found.reason


def test_a_decision_that_changes_within_the_tolerance_fails_a_float32_file():
    answer = np.float32([[1.0, 1.00001], [3.0, 0.0]])
    found = verdict(answer, {"logits": answer[:, ::-1].copy() * [[1, 1], [0, 0]] + answer * [[0, 0], [1, 1]]})
    assert (found.verdict, found.flips) == (FAILED, 1)
    assert found.worst < 2e-5


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "the output is missing"),
        ({"logits": draw()[:, :2]}, "shape [50, 2], not [50, 3]"),
        ({"logits": draw() * np.float32(np.nan)}, "150 values are NaN or infinite"),
        ({"logits": np.repeat(draw()[:1], 50, axis=0)}, "the same for every film"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_unusable_answer_fails_at_every_precision(other, said, precision):
    found = verdict(draw(), other, precision)
    assert found.verdict == FAILED
    assert said in found.reason
    assert "NaN" not in json.dumps(found.to_json(), allow_nan=False).replace("are NaN", "")


def test_nothing_passes_on_no_film():
    assert verdict(draw(0), {"logits": draw(0)}).verdict == FAILED


def test_a_reduced_file_is_measured_and_not_offered_beyond_one_flip_in_a_hundred():
    answer = draw(200)
    other = answer.copy()
    other[:2] = other[:2, ::-1]
    flips = int((answer.argmax(1) != other.argmax(1)).sum())
    assert flips == 2
    assert verdict(answer, {"logits": other}, "int8").verdict == MEASURED
    other[2:8] = other[2:8, ::-1]
    found = verdict(answer, {"logits": other}, "int8")
    assert found.verdict == FAILED
    assert "not offered" in found.reason


def test_a_chaotic_reference_certifies_nothing_though_no_class_changes():
    """A scale of 8.5e3 whose own noise is 830: ten times that allowed 5 % of every logit to pass."""
    rng = np.random.default_rng(0)
    answer = np.stack([8.5e3 + rng.normal(0, 50, 64), -8.4e3 + rng.normal(0, 50, 64)], 1).astype(np.float32)
    ceiling = Ceiling.of(answer, answer, ONE_OF_N, 8300.0)
    found = verdict(
        answer,
        {"logits": answer * np.float32(0.05)},
        tolerances={"logits": OutputTolerance(830.0, 360.0, 1e-3, ceiling)},
    )
    assert found.verdict == CANNOT_SAY
    assert "a tolerance of 8.3e+03 proves nothing, at most 4.2 is needed (2^-11 of the largest output" in found.reason


def test_a_reduced_answer_of_three_decibels_on_films_of_one_class_is_not_measured():
    answer = draw(16, 2) + np.float32([9.0, 0.0])
    other = {"logits": answer * np.float32(0.3)}
    found = verdict(answer, other, "int8")
    assert (found.verdict, found.flips) == (CANNOT_SAY, 0)
    assert "3.1 dB below their distance from a decision, 10 needed" in found.reason
    assert "0 films of another class than class 0, 30 needed" in found.reason


def test_label_decisions_are_counted_one_by_one():
    rng = np.random.default_rng(1)
    answer = rng.uniform(0.1, 0.9, (80, 3)).astype(np.float32)
    answer[:, 0] = 0.99  # one label that always wins the argmax
    other = answer.copy()
    other[:3, 1] = 1 - other[:3, 1]
    labels = Decisions("multi-label", (0.5, 0.5, 0.5), ("none", "mass", "nodule"))
    found = verdict(answer, {"logits": other}, "int8", decisions=labels)
    assert (found.verdict, found.flips) == (FAILED, 3)
    assert "3 of 240 label decisions differ, on 3 of 80 films" in found.reason
    assert "most on mass (3)" in found.reason
    assert verdict(answer, {"logits": other}, "int8").flips == 0  # by argmax nothing would have changed


def test_a_label_that_no_film_shows_is_named_with_what_is_needed():
    answer = np.random.default_rng(1).uniform(0.1, 0.9, (100, 2)).astype(np.float32)
    answer[:, 1] *= 0.5
    labels = Decisions("multi-label", (0.5, 0.5), ("mass", "hernia"))
    found = verdict(answer, {"logits": answer}, "int8", decisions=labels)
    assert found.verdict == CANNOT_SAY
    assert found.reason.startswith("logits: 0 films on the positive side of hernia, 30 needed; logits: ")


def test_a_score_counts_no_decision_and_states_its_relative_error():
    answer = np.linspace(20, 80, 40, dtype=np.float32)[:, None]
    found = verdict(answer, {"logits": answer + np.float32(0.8)}, "int8", decisions=Decisions("score"))
    assert (found.verdict, found.flips) == (MEASURED, 0)
    assert "a score: its largest error is 1.0e-02 of the largest output" in found.reason
    few = verdict(answer[:9], {"logits": answer[:9]}, "int8", decisions=Decisions("score"))
    assert (few.verdict, "9 films, 30 needed" in few.reason) == (CANNOT_SAY, True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(np.float32([[np.nan], [1]]), "NaN"), (np.ones((3, 2), np.float32), "same for every film")],
)
def test_a_reference_that_is_nan_or_constant_is_no_reference(answer, words):
    with pytest.raises(ConversionError, match=words):
        check_reference({"logits": answer}, ())
    check_reference({"logits": draw()}, ())


def test_films_are_prepared_as_torchvision_does():
    model_input = np.uint8([[[0, 255], [51, 102]]])
    found = prepare(model_input, choose_normalise(3))
    assert found.shape == (1, 3, 2, 2)
    expected = (np.float64([0, 1, 0.2, 0.4]) - 0.456) / 0.224
    assert found[0, 1].ravel() == pytest.approx(expected, abs=1e-6)


def test_grey_levels_can_be_left_as_they_are():
    found = prepare(np.uint8([[[7]]]), choose_normalise(1, name="none"))
    assert found.item() == 7
    assert choose_normalise(1, name="none").changes_nothing
    assert not choose_normalise(1).changes_nothing


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("zscore", None, None), "--normalise zscore is unknown"),
        ((None, (0.5,), None), "--mean without --std"),
        ((None, None, (0.5,)), "--std without --mean"),
        (("unit", (0.5,), (0.5,)), "--normalise unit with --mean and --std"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        check_choice(*options)


def test_numbers_that_do_not_fit_the_channels_are_refused():
    with pytest.raises(ConfigError, match="--mean has 2 numbers, the network 3 channels"):
        choose_normalise(3, mean=(0.1, 0.2), std=(0.1,))
    with pytest.raises(ConfigError, match="imagenet for a network of 1 channel"):
        choose_normalise(1, name="imagenet")
    with pytest.raises(ConfigError, match="std"):
        Normalise("given", (0.5,), (0.0,))
    assert choose_normalise(3, mean=(0.5,), std=(0.25,)).std == (0.25, 0.25, 0.25)
