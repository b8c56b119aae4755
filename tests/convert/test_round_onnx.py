"""Rounded weights: folding changes nothing but rounding, every constant is a float16 number, the source stays."""

import pytest


@pytest.fixture(scope="module")
def facts(child, tmp_path_factory):
    return child("round_small.py", tmp_path_factory.mktemp("rounded"))


def test_folding_alone_changes_nothing_but_the_rounding(facts):
    assert facts["folding"] < 1e-5


def test_batch_norms_are_folded_but_for_the_one_that_tflite_keeps_in_the_evidence_path(facts):
    assert facts["operators"].count("BatchNormalization") == 1
    assert facts["operators"].count("Div") == 0
    assert facts["operators"].count("Add") == 0  # slope and offset are in the dense layer
    assert facts["operators"].count("Gemm") == 2


def test_every_constant_is_a_float16_number_and_that_shows(facts):
    assert facts["through_float16"]
    assert 1e-5 < facts["rounding"] < 0.05


def test_the_given_file_is_not_touched(facts):
    assert facts["untouched"]
