"""What `verify` calls a stray, and what it only notes: from made-up answers to 300 labelled films."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.certificate.deployment import missed_criteria
from convert.parity.inputs import FilmSet
from convert.parity.measure import measure
from convert.parity.report import parity_report
from convert.parity.runtimes import ROUNDED, Runtime
from convert.runners.base import Answer
from convert.verify import band_notes, find_regressions, undecided_notes
from tbconv.contract.certificate import ArtefactVerdict, Verdict
from tbconv.contract.errors import Silence
from tbconv.contract.manifest import Artefact, Calibration, DecisionRule, OperatingPoint

N, GOLDEN = 300, 4
HALF, INT8 = "model_float16.tflite", "model_int8.tflite"
THREADS = Runtime(f"{HALF} XNNPACK x2", "trained", "", precision="float16", threads=2)
YARDSTICK = Runtime(ROUNDED, "trained", "", precision="float16")
TRUTH = np.concatenate([np.where(np.arange(N) % 2, 3.0, -3.0), [1.0, -1.0, 2.0, -2.0]])
TRUTH = TRUTH + 0.3 * np.random.default_rng(0).normal(size=len(TRUTH))
TRUTH[:4] = [-0.02, 0.02, -0.3, 0.3]  # the only films that a small step can flip


def answer(margins, *, seed=0, noise=1e-3):
    margins = margins + noise * np.random.default_rng(seed).normal(size=len(margins))
    logits = np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)
    return Answer(logits, (1 / (1 + np.exp(-margins)))[:, None].astype(np.float32), None)


@pytest.fixture
def regressions_of(monkeypatch):
    """Return a function that measures made-up answers and compares them with a certificate in which all was well."""
    monkeypatch.setattr("convert.parity.statistics.RESAMPLES", 250)
    artefacts = [Artefact(path, "tflite", path[6:-7], "trained", (), (), "made up", "LiteRT") for path in (HALF, INT8)]
    model_inputs = np.zeros((N + GOLDEN, 1, 1), np.uint8)
    point = OperatingPoint(0.0, 0.9, 0.9, 0.5, 10, 10, "5" * 64)
    decision_rules = {"trained": DecisionRule(Calibration(1.0, 0.0, 10, 10), point)}
    given = {
        name: answer(TRUTH, seed=seed) for seed, name in enumerate((HALF, INT8, THREADS.name, YARDSTICK.name), start=1)
    }
    given |= {f"PyTorch {kind} (trained)": answer(TRUTH, noise=0) for kind in ("float32", "float64")}

    def call(change, *, films=N, deployed=INT8, half_width=0.1):
        fed = [*range(films), *range(N, N + GOLDEN)]
        answers = {name: Answer(one.logits[fed], one.probability[fed], None) for name, one in (given | change).items()}
        monkeypatch.setattr("convert.parity.measure.run_all", lambda *_, **__: answers)
        labels = (np.arange(films) % 2).astype(np.int64)
        filmset = FilmSet("made up", model_inputs[:films], labels, model_inputs[N:], tuple("abcd"), model_inputs[:0])
        measurement = measure(
            Path("bundle"),
            artefacts,
            filmset,
            arch="resnet10",
            decision_rules=decision_rules,
            extra=(THREADS, YARDSTICK),
            reporter=Silence(),
        )
        verdicts = {one.path: measurement.judge(one, "0" * 64) for one in artefacts}
        claimed = {
            path: replace(found, verdict=Verdict.BOUNDED, figures={"abstention_band": {"half_width": half_width}})
            for path, found in verdicts.items()
        }
        report = parity_report(measurement, verdicts)
        regressions = find_regressions(claimed, verdicts, measurement, report, deployed=deployed)
        return regressions, band_notes(claimed, measurement, deployed=deployed)

    return call


def flipped(*films):
    """Answers in which some films lie as far on the other side of the threshold."""
    margins = TRUTH.copy()
    margins[list(films)] *= -1
    return answer(margins, seed=9)


def test_files_that_answer_as_they_did_neither_regress_nor_are_noted(regressions_of):
    assert regressions_of({}) == ({}, ())


def test_a_flip_outside_the_claimed_band_is_noted_and_is_no_regression(regressions_of):
    regressions, [note] = regressions_of({INT8: flipped(0, 2)})
    assert "1 of 300 films flip outside the band of 0.1 logits" in note
    assert "the furthest 0.3 logits" in note
    assert regressions == {}


def test_a_flip_inside_the_claimed_band_is_what_the_band_is_for(regressions_of):
    assert regressions_of({INT8: flipped(0)})[1] == ()


def test_of_a_file_that_is_not_proposed_no_band_is_noted(regressions_of):
    assert regressions_of({INT8: flipped(2)}, deployed=HALF)[1] == ()
    assert regressions_of({INT8: flipped(2)}, deployed=None)[1] == ()


def test_the_proposed_file_is_a_regression_where_it_fails_a_criterion_on_these_films(regressions_of):
    regressions, _ = regressions_of({INT8: flipped(1, 3, 5)})
    assert set(regressions) == {INT8}
    assert regressions[INT8].startswith("proposed, but fails the deployment criteria on these films: ")
    assert "loses 3 of 150 positives (2 %), allowed 0.5 %" in regressions[INT8]


def test_one_lost_film_of_so_few_that_it_alone_breaks_the_limit_is_no_regression(regressions_of):
    assert regressions_of({INT8: flipped(1)})[0] == {}


def test_a_file_that_is_not_proposed_may_fail_the_criteria(regressions_of):
    assert regressions_of({INT8: flipped(1)}, deployed=HALF)[0] == {}


def test_fewer_labelled_films_than_the_criteria_need_do_not_judge_the_proposed_file(regressions_of):
    assert regressions_of({INT8: flipped(1)}, films=255)[0] == {}


def test_a_file_that_flips_too_many_is_a_regression_by_its_verdict(regressions_of):
    regressions, _ = regressions_of({INT8: flipped(0, 1, 2, 3)})
    assert regressions[INT8].startswith("FAILED now, BOUNDED in the certificate: 4 of 300 decisions flip")


@pytest.mark.parametrize("name", [HALF, THREADS.name])
def test_a_float16_file_further_away_than_float16_itself_is_a_regression_under_any_kernel(regressions_of, name):
    regressions, _ = regressions_of({name: answer(TRUTH, noise=3e-3)})
    assert set(regressions) == {name}
    assert "dB from float64 beside ONNX Runtime, float16 weights, allowed +3 dB" in regressions[name]


@pytest.mark.parametrize("name", [THREADS.name, YARDSTICK.name, "PyTorch float64 (trained)"])
@pytest.mark.parametrize("film", [0, N])
def test_a_runtime_or_reference_that_returns_nan_is_a_regression(regressions_of, name, film):
    spoilt = answer(TRUTH)
    spoilt.logits[film] = np.nan
    regressions, _ = regressions_of({name: spoilt})
    assert set(regressions) == {name}
    assert "cannot be compared: logits: 2 values are NaN or infinite" in regressions[name]


def test_quality_criteria_are_judged_from_figures_alone():
    loss = {"value": 0.0, "upper95": 0.0}
    figures = {"decisions": {"auroc_loss": loss, "sensitivity_loss": loss, "n": 400, "positives": 200}}
    assert missed_criteria(figures | {"flips": 4, "samples": 400}) == []
    assert missed_criteria(figures | {"flips": 5, "samples": 400}) == ["5 of 400 decisions change (1.2 %), allowed 1 %"]


def test_films_that_show_too_little_are_a_note_and_no_regression(regressions_of):
    regressions, _ = regressions_of({}, films=50)  # 25 on each side, 30 needed
    assert regressions == {}


def test_a_verdict_that_films_take_away_is_said_with_what_they_lack():
    claimed = {path: ArtefactVerdict(Verdict.BOUNDED, "0" * 64, "measured") for path in (HALF, INT8)}
    found = claimed | {INT8: ArtefactVerdict(Verdict.CANNOT_SAY, "0" * 64, "3 films, 30 needed")}
    notes = undecided_notes(claimed, found)
    assert notes == {INT8: f"{INT8}: CANNOT SAY on these inputs, BOUNDED in the certificate; 3 films, 30 needed"}
    assert undecided_notes(claimed | {INT8: found[INT8]}, found) == {}  # it was not known before either
