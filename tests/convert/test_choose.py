"""Which file is proposed, and why the others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convert.certificate.deployment import Deployable, select_artefact
from tbconv.contract.certificate import ArtefactVerdict, Verdict


def losses(auroc=0.0, sensitivity=0.0):
    return {
        "auroc_loss": {"value": 0.0, "upper95": auroc},
        "sensitivity_loss": {"value": sensitivity},
        "n": 400,
        "positives": 200,
    }


def candidate(precision, *, verdict=Verdict.BOUNDED, size=29, latency=21.0, flips=2, decisions=None):
    figures = {"flips": flips, "samples": 400, "decisions": decisions or losses()}
    path = f"model_{precision}.tflite"
    return Deployable(path, precision, ArtefactVerdict(verdict, "0" * 64, "measured", figures), size, latency)


FLOAT32 = candidate("float32", verdict=Verdict.CERTIFIED, size=100, latency=70.0)
INT8 = candidate("int8")


def test_the_fastest_file_that_passes_every_limit_is_proposed_with_reasons_against_the_others():
    found = select_artefact([FLOAT32, candidate("dynamic", latency=22.0), INT8])
    assert found["artefact"] == "model_int8.tflite"
    assert "0.30 x float32" in found["reason"]
    assert set(found["others"]) == {"model_float32.tflite", "model_dynamic.tflite"}
    assert "slower" in found["others"]["model_dynamic.tflite"]


@pytest.mark.parametrize(
    ("worse", "word"),
    [
        (candidate("int8", verdict=Verdict.FAILED), "FAILED"),
        (candidate("int8", decisions=losses(auroc=0.0021)), "AUROC"),
        (candidate("int8", decisions=losses(sensitivity=0.0051)), "positives (0.51 %), allowed 0.5 %"),
        (candidate("int8", flips=5), "5 of 400 decisions change"),
        (candidate("int8", size=31), "size"),
        (candidate("int8", latency=28.1), "latency"),
        (candidate("int8", decisions=losses(auroc=float("nan"))), "AUROC"),
    ],
)
def test_a_file_that_fails_one_criterion_is_not_proposed_and_the_reason_names_it(worse, word):
    found = select_artefact([FLOAT32, worse])
    assert found["artefact"] == "model_float32.tflite"
    assert word in found["others"]["model_int8.tflite"]


@pytest.mark.parametrize(
    "files", [[FLOAT32, INT8], [replace(FLOAT32, verdict=replace(FLOAT32.verdict, verdict=Verdict.FAILED))]]
)
def test_the_criteria_are_recorded_with_the_choice(files):
    criteria = {"auroc_loss": 0.002, "sensitivity_loss": 0.005, "flips_share": 0.01, "films": 256}
    assert select_artefact(files)["criteria"] == criteria | {"size": 0.30, "latency": 0.40}


def test_a_file_just_inside_every_limit_is_proposed():
    edge = candidate("int8", size=30, latency=28.0, flips=4, decisions=losses(0.002, 0.005))
    assert select_artefact([FLOAT32, edge])["artefact"] == "model_int8.tflite"


def test_on_few_films_nothing_but_float32_is_proposed_though_nothing_flips():
    few = candidate("int8", flips=0, decisions=losses() | {"n": 255})
    found = select_artefact([FLOAT32, few])
    assert found["artefact"] == "model_float32.tflite"
    assert "255 labelled films cannot show" in found["others"]["model_int8.tflite"]


def test_without_labels_the_cost_of_a_reduced_file_is_unknown_so_float32_is_proposed():
    figures = {**INT8.verdict.figures, "decisions": None}
    unknown = replace(INT8, verdict=replace(INT8.verdict, figures=figures))
    found = select_artefact([FLOAT32, unknown])
    assert found["artefact"] == "model_float32.tflite"
    assert "unknown" in found["others"]["model_int8.tflite"]


def test_where_float32_failed_and_int8_fails_a_criterion_nothing_is_proposed():
    failed = replace(FLOAT32, verdict=replace(FLOAT32.verdict, verdict=Verdict.FAILED))
    found = select_artefact([failed, candidate("int8", size=40)])
    assert found["artefact"] is None
    assert set(found["others"]) == {"model_float32.tflite", "model_int8.tflite"}


def test_a_bundle_without_a_trained_network_proposes_nothing_and_says_nothing():
    assert select_artefact([]) == {}


def test_where_no_float32_file_was_asked_for_what_int8_loses_is_judged_and_what_it_saves_is_said_not_to_be():
    found = select_artefact([INT8])
    assert found["artefact"] == "model_int8.tflite"
    assert "no float32 TFLite file was asked for" in found["reason"]
    worse = replace(INT8, verdict=replace(INT8.verdict, verdict=Verdict.FAILED))
    assert select_artefact([worse])["artefact"] is None
