"""Rows and verdicts from made-up answers: samples, probes, NaN, and what goes into the report and the film table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.parity.compare import NOT_FINITE
from convert.parity.inputs import SAMPLE, FilmSet, evenly, part_of
from convert.parity.measure import measure
from convert.parity.report import parity_report, write_film_table
from convert.parity.runtimes import ROUNDED, Runtime
from convert.runners.base import Answer
from tbconv.commands.conversion.parity_table import print_parity
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import Silence
from tbconv.contract.manifest import Artefact, Calibration, DecisionRule, OperatingPoint, output_specs

N, GOLDEN, PROBES = 80, 3, 4
NOISE = 1e-6
FLOAT32, FLOAT16 = "model_float32.tflite", "model_float16.tflite"
BUILT_IN = Runtime("float32 built-in", "trained", "", sampled=True)
HALF = Runtime(ROUNDED, "trained", "", precision="float16")


def answer(margins, *, noise=0.0, seed=0, dtype=np.float32):
    margins = np.asarray(margins, np.float64) + noise * np.random.default_rng(seed).normal(size=len(margins))
    tilt = np.linspace(-1, 1, 49).reshape(7, 7)
    logits = np.stack([-margins / 2, margins / 2], axis=1).astype(dtype)
    maps = (margins[:, None, None] + tilt - tilt.mean()).astype(dtype)
    return Answer(logits, (1 / (1 + np.exp(-margins)))[:, None].astype(dtype), maps)


def artefact(path, precision):
    return Artefact(path, "tflite", precision, "trained", (), output_specs(), "made up", "LiteRT")


@pytest.fixture
def setup(monkeypatch):
    """Return a function that measures made-up answers; `change` spoils them by runtime."""
    rng = np.random.default_rng(0)
    labels = (np.arange(N) % 2).astype(np.int64)
    truth = np.concatenate(
        [2 * labels - 1 + 0.4 * rng.normal(size=N), rng.normal(size=GOLDEN), [1e-4, -1e-4, 2e-3, 3e-3]]
    )
    drawn = rng.integers(0, 256, (N + GOLDEN + PROBES, 224, 224), dtype=np.uint8)
    filmset = FilmSet("made-up films", drawn[:N], labels, drawn[N : N + GOLDEN], ("a", "b", "c"), drawn[N + GOLDEN :])
    sampled = truth[filmset.sample]
    given = {
        FLOAT32: answer(truth, noise=NOISE, seed=1),
        FLOAT16: answer(truth, noise=1e-3, seed=2),
        BUILT_IN.name: answer(sampled, noise=NOISE, seed=3),
        HALF.name: answer(truth, noise=1e-3, seed=4),
        "PyTorch float32 (trained)": answer(truth, noise=NOISE, seed=5),
        "PyTorch float64 (trained)": answer(truth, dtype=np.float64),
    }

    def call(*, extra=(BUILT_IN, HALF), **change):
        answers = given | change
        monkeypatch.setattr("convert.parity.statistics.RESAMPLES", 250)
        monkeypatch.setattr("convert.parity.measure.run_all", lambda *_, **__: answers)
        artefacts = [artefact(FLOAT32, "float32"), artefact(FLOAT16, "float16")]
        point = OperatingPoint(0.0, 0.9, 0.9, 0.5, 10, 10, "5" * 64)
        decision_rules = {"trained": DecisionRule(Calibration(1.0, 0.0, 10, 10), point)}
        measurement = measure(
            Path("bundle"),
            artefacts,
            filmset,
            arch="resnet10",
            decision_rules=decision_rules,
            extra=extra,
            reporter=Silence(),
        )
        return measurement, {one.path: measurement.judge(one, "0" * 64) for one in artefacts}

    call.truth = truth
    return call


def test_a_sampled_witness_is_compared_with_its_own_films(setup):
    row = setup()[0].row(BUILT_IN.name)
    assert row.films.samples == SAMPLE
    assert row.films.max_abs_margin < 10 * NOISE
    assert row.decisions["n"] == SAMPLE
    assert row.golden.samples == GOLDEN


def test_every_row_with_labels_has_its_paired_losses_and_its_distance_from_float64(setup):
    measurement, _ = setup()
    for row in measurement.rows:
        assert row.decisions["auroc_loss"]["low"] <= row.decisions["auroc_loss"]["high"]
        assert row.float64_distance["db"] < 6 or row.precision == "float16"
    assert measurement.row(FLOAT16).float64_distance["db"] > 50


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize(("output", "film"), [("logits", 0), ("probability", N), ("evidence", N + GOLDEN)])
@pytest.mark.parametrize("name", [FLOAT32, FLOAT16])
def test_nan_and_infinity_fail_a_file_wherever_they_stand(setup, value, output, film, name):
    spoilt = answer(setup.truth, noise=NOISE)
    getattr(spoilt, output)[film] = value
    measurement, verdicts = setup(**{name: spoilt})
    assert verdicts[name].verdict is Verdict.FAILED
    assert "NaN or infinite" in verdicts[name].reason
    json.dumps(parity_report(measurement, verdicts), allow_nan=False)


@pytest.mark.parametrize("film", [0, N, N + GOLDEN])
@pytest.mark.parametrize("name", ["PyTorch float32 (trained)", "PyTorch float64 (trained)"])
def test_where_pytorch_itself_answers_nan_no_float32_file_passes_and_the_report_is_still_written(setup, film, name):
    spoilt = answer(setup.truth, noise=NOISE, seed=5)
    spoilt.logits[film] = np.nan
    measurement, verdicts = setup(**{name: spoilt})
    assert verdicts[FLOAT32].verdict is Verdict.FAILED
    assert "NaN or infinite" in measurement.row(name).problem
    if "float32" in name:
        assert (verdicts[FLOAT16].verdict, NOT_FINITE in verdicts[FLOAT16].reason) == (Verdict.FAILED, True)
    json.dumps(parity_report(measurement, verdicts), allow_nan=False)


def test_without_a_tolerance_the_table_is_printed_all_the_same(setup, capsys):
    spoilt = answer(setup.truth)
    spoilt.logits[:] = np.nan
    measurement, verdicts = setup(**{"PyTorch float32 (trained)": spoilt})
    assert measurement.tolerances_json() == {}
    print_parity(parity_report(measurement, verdicts))
    assert NOT_FINITE[:20] in capsys.readouterr().out


@pytest.mark.parametrize("name", [FLOAT32, FLOAT16])
def test_a_file_that_promises_an_evidence_map_and_gives_none_fails(setup, name):
    whole = answer(setup.truth, noise=NOISE, seed=1)
    _, verdicts = setup(**{name: Answer(whole.logits, whole.probability, None)})
    assert (verdicts[name].verdict, verdicts[name].reason) == (Verdict.FAILED, "it gives no evidence map")


def test_each_file_has_its_own_sensitivity_and_specificity_with_exact_intervals(setup):
    margins = setup.truth.copy()
    margins[1] = -1e-3  # a positive film of 40 is called negative
    measurement, verdicts = setup(**{FLOAT16: answer(margins)})
    found = verdicts[FLOAT16].figures["operating"]
    reference = measurement.row("PyTorch float32 (trained)").operating
    assert (found["sensitivity"]["n"], found["specificity"]["n"]) == (N // 2, N // 2)
    assert found["sensitivity"]["value"] == pytest.approx(reference["sensitivity"]["value"] - 1 / 40)
    assert found["sensitivity"]["low"] < found["sensitivity"]["value"] < found["sensitivity"]["high"]
    assert found["sensitivity"]["method"] == "Clopper-Pearson"


def test_one_answer_to_all_probes_is_no_problem_for_a_file_of_coarse_steps(setup):
    margins = setup.truth.copy()
    margins[N + GOLDEN :] = 1e-3
    measurement, verdicts = setup(**{FLOAT16: answer(margins)})
    assert measurement.row(FLOAT16).probes["flips"] == 1
    assert verdicts[FLOAT16].verdict is Verdict.BOUNDED


def test_flips_at_the_threshold_are_reported_and_not_counted_among_films(setup):
    margins = setup.truth.copy()
    margins[N + GOLDEN :] *= -1
    measurement, verdicts = setup(**{FLOAT16: answer(margins)})
    row = measurement.row(FLOAT16)
    assert (row.films.flips, row.probes["flips"]) == (0, PROBES)
    assert verdicts[FLOAT16].verdict is Verdict.BOUNDED


def test_a_float32_flip_further_from_the_threshold_than_rounding_goes_fails(setup):
    margins = setup.truth.copy()
    margins[-1] = -1e-5  # PyTorch says 3e-3
    measurement, verdicts = setup(**{FLOAT32: answer(margins)})
    assert measurement.row(FLOAT32).films.flips == 0
    assert verdicts[FLOAT32].verdict is Verdict.FAILED
    assert "3.0e-03 logits from the threshold" in verdicts[FLOAT32].reason


def test_a_float32_flip_inside_its_tolerance_is_nothing(setup):
    margins = setup.truth.copy()
    margins[N + GOLDEN] = NOISE
    reference = answer(margins)
    margins[N + GOLDEN] = -NOISE
    _, verdicts = setup(**{FLOAT32: answer(margins), "PyTorch float32 (trained)": reference})
    assert verdicts[FLOAT32].verdict is Verdict.CERTIFIED


def test_the_report_holds_every_measure_and_float16_beside_its_yardstick(setup):
    measurement, verdicts = setup()
    report = json.loads(json.dumps(parity_report(measurement, verdicts), allow_nan=False))
    assert {row["group"] for row in report["rows"]} == {"float32", "reduced", "compared", "reference"}
    [gap] = report["float16"]
    assert gap["name"] == FLOAT16
    assert abs(gap["db"]) < gap["allowed"]
    [row] = [row for row in report["rows"] if row["name"] == FLOAT16]
    assert row["error_distribution"].keys() >= {
        "abs_logits",
        "abs_probability",
        "abs_evidence",
        "identity",
        "float32_steps",
        "relu_patterns",
    }
    assert row["flips_at_most"] == pytest.approx(3 / N, rel=0.05)


def test_the_table_groups_rows_and_never_says_identical(setup, capsys):
    print_parity(parity_report(*setup()))
    said = capsys.readouterr().out
    for word in ("float32 files", "reduced files", "others", "PyTorch itself", "0 of 32"):
        assert word in said
    assert "0 flips in 80 films: at most 3.7 %" in said
    assert "identical" not in said


def test_the_film_table_has_one_number_a_film(setup, tmp_path):
    write_film_table(tmp_path / "films.npz", setup()[0])
    with np.load(tmp_path / "films.npz") as table:
        assert table[f"{FLOAT16}|abs_evidence"].shape == (N,)
        assert table[f"{BUILT_IN.name}|film"].shape == (SAMPLE,)
        assert table[f"{BUILT_IN.name}|abs_margin"].max() < 10 * NOISE


def test_a_witness_that_answers_fewer_films_than_fed_is_a_problem(setup):
    short = part_of(answer(setup.truth), 0, N - 1)
    measurement, verdicts = setup(**{FLOAT32: short})
    assert "logits: shape" in measurement.row(FLOAT32).films.problem
    assert verdicts[FLOAT32].verdict is Verdict.FAILED


def test_evenly_takes_every_nth_row_and_all_where_they_fit():
    assert evenly(np.arange(10), 5).tolist() == [0, 2, 4, 6, 8]
    assert evenly(np.arange(3), 5).tolist() == [0, 1, 2]
    assert replace(
        FilmSet("x", np.zeros((3, 1, 1), np.uint8), None, np.zeros((0, 1, 1), np.uint8)),
        probes=np.zeros((0, 1, 1), np.uint8),
    ).sample.tolist() == [0, 1, 2]


@pytest.mark.parametrize("turn", [lambda maps: maps.transpose(0, 2, 1), lambda maps: maps[:, :, ::-1]])
def test_maps_that_are_turned_or_mirrored_on_most_films_fail_though_they_add_up(setup, turn):
    right = answer(setup.truth, noise=NOISE, seed=1)
    _, verdicts = setup(**{FLOAT32: Answer(right.logits, right.probability, turn(right.evidence))})
    assert verdicts[FLOAT32].verdict is Verdict.FAILED
    assert f"the maps of {N} of {N} films differ from PyTorch's" in verdicts[FLOAT32].reason


def test_a_few_maps_that_jump_are_flipped_locks(setup):
    right = answer(setup.truth, noise=NOISE, seed=1)
    maps = right.evidence.copy()
    maps[: N // 4] = maps[: N // 4, ::-1]
    _, verdicts = setup(**{FLOAT32: Answer(right.logits, right.probability, maps)})
    assert verdicts[FLOAT32].verdict is Verdict.CERTIFIED
