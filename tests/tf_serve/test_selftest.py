"""The quick check over tiny networks: it passes where answers repeat and nowhere else."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, read_json, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import ArtefactError, BundleError, SetupError
from tbconv.contract.files import write_json
from tbconv.contract.golden import (
    GOLDEN,
    GOLDEN_FILMS,
    NOT_RECORDED,
    Golden,
    GoldenFilm,
    opener,
    read_golden,
    write_golden,
    write_golden_films,
)
from tbconv.contract.preprocess import PreprocessSpec, as_model_input
from tbconv.contract.statistics import Prediction
from tf_serve.fallback import choose_model
from tf_serve.runtime.selftest import SelfTest, check_preprocessing, self_test
from tf_serve.runtime.tflite import TFLiteModel

ROOT = Path(__file__).parents[2]
FILES = ("model_float32.tflite", "model_int8.tflite", "baseline.tflite")
CERTIFIED_AS = {"model_float32.tflite": Verdict.CERTIFIED, "baseline.tflite": Verdict.CERTIFIED}


def moved(answer, by):
    """The answer with one logit of the first input moved."""
    logits = answer.logits.copy()
    logits[0, 1] += by
    return Prediction(logits, answer.probability, answer.evidence)


@pytest.fixture
def golden_bundle(make_bundle, film):
    """Return a function that makes a bundle with golden answers and a golden film, changed as the test wants."""

    def make(change=lambda answers: answers, *, verdicts=None, bound=None, off=0):
        root = make_bundle(verdicts=verdicts or CERTIFIED_AS | {"model_int8.tflite": Verdict.BOUNDED})
        model_inputs = np.random.default_rng(1).integers(0, 256, (3, 224, 224)).astype(np.uint8)
        answers = {name: TFLiteModel(root / name).predict(as_model_input(model_inputs)) for name in FILES}
        answers["PyTorch float32 (trained)"] = answers["model_float32.tflite"]
        answers["PyTorch float32 (baseline)"] = answers["baseline.tflite"]
        write_golden(root / GOLDEN, Golden(("one", "two", "three"), model_inputs, change(answers)))
        write_json(root / CERTIFICATE, read_json(root / CERTIFICATE) | {"scope": bound or {}})
        if off is not None:
            model_input = opener(PreprocessSpec())(film).copy()
            model_input[100, 100] -= off
            write_golden_films(root / GOLDEN_FILMS, [GoldenFilm("drawn", film, model_input, 0)])
        manifest = read_bundle(root).manifest
        (root / MANIFEST).unlink()
        seal(root, replace(manifest, files={}))
        return read_bundle(root)

    return make


def test_files_that_repeat_their_golden_answers_pass(golden_bundle):
    found = self_test(golden_bundle())
    assert {row.path for row in found.rows} == set(FILES)
    assert found.passed
    assert {row.moved for row in found.rows} == {0.0}
    assert {row.inputs for row in found.rows} == {3}
    json.dumps(found.to_json(), allow_nan=False)


def test_a_float32_file_that_moved_beyond_its_tolerance_fails_and_says_by_how_much(golden_bundle):
    name = "model_float32.tflite"
    found = self_test(golden_bundle(lambda answers: answers | {name: moved(answers[name], 0.01)}))
    [bad] = [row for row in found.rows if not row.passed]
    assert (bad.path, bad.problem) == (name, "logits moved by 1.0e-02, allowed are 1.0e-04")
    assert not found.passed


def test_a_reduced_file_may_not_move_by_what_one_odd_input_strays_from_pytorch(golden_bundle):
    """The first input is 9 logits from PyTorch; ten times the median distance is all that is allowed."""

    def change(answers):
        reference = moved(answers["model_int8.tflite"], 9.0)
        reference.logits[1:] += 0.002
        return answers | {
            "PyTorch float32 (trained)": reference,
            "model_int8.tflite": moved(answers["model_int8.tflite"], 0.5),
        }

    [row] = self_test(golden_bundle(change), artefacts=["model_int8.tflite"]).rows
    assert row.problem == "logits moved by 5.0e-01, allowed are 2.0e-02"


def test_a_decision_that_changes_within_the_tolerance_is_counted_and_passes(golden_bundle):
    name = "model_float32.tflite"
    bundle = golden_bundle(lambda answers: answers | {name: moved(answers[name], 5e-5)})
    recorded = float(read_golden(bundle.path(GOLDEN)).answers[name].margin[0])
    decision_rule = bundle.manifest.decision_rules["trained"]
    point = replace(decision_rule.operating_point, margin=recorded - 2e-5)  # between the answer then and the answer now
    manifest = replace(bundle.manifest, decision_rules={"trained": replace(decision_rule, operating_point=point)})
    [row] = self_test(replace(bundle, manifest=manifest), artefacts=[name]).rows
    assert (row.passed, row.decisions_changed) == (True, 1)


def test_a_probability_that_moves_while_the_logits_hold_fails(golden_bundle):
    def change(answers):
        was = answers["baseline.tflite"]
        return answers | {"baseline.tflite": Prediction(was.logits, was.probability + 0.05, was.evidence)}

    [row] = self_test(golden_bundle(change), artefacts=["baseline.tflite"]).rows
    assert "probability moved by 5.0e-02" in row.problem


def test_an_answer_that_was_nan_and_is_none_now_fails(golden_bundle):
    name = "baseline.tflite"
    [row] = self_test(
        golden_bundle(lambda answers: answers | {name: moved(answers[name], np.nan)}), artefacts=[name]
    ).rows
    assert row.problem == "logits is NaN or infinite where it was not, or the reverse"


def test_a_failed_file_is_repeated_too_and_shown_as_failed(golden_bundle):
    found = self_test(golden_bundle(verdicts=CERTIFIED_AS | {"model_int8.tflite": Verdict.FAILED}))
    assert {row.path: row.verdict for row in found.rows}["model_int8.tflite"] == "FAILED"
    assert found.passed


def test_a_file_without_recorded_answers_fails(golden_bundle):
    def forget(answers):
        return {name: answer for name, answer in answers.items() if name != "model_int8.tflite"}

    found = self_test(golden_bundle(forget))
    assert {row.path for row in found.rows if not row.passed} == {"model_int8.tflite"}


def test_an_altered_file_is_a_row_with_a_problem_and_an_altered_golden_file_an_error(golden_bundle):
    bundle = golden_bundle()
    with (bundle.root / "model_int8.tflite").open("ab") as file:
        file.write(b"x")
    assert {row.path for row in self_test(bundle).rows if not row.passed} == {"model_int8.tflite"}
    with (bundle.root / GOLDEN).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtefactError):
        self_test(bundle)


def test_no_file_asked_is_no_pass_and_an_unknown_file_an_error(golden_bundle):
    bundle = golden_bundle()
    assert not SelfTest(()).passed
    assert not self_test(bundle, artefacts=[]).passed
    with pytest.raises(BundleError):
        self_test(bundle, artefacts=["other.tflite"])


def test_another_processor_is_a_note_and_no_failure(golden_bundle):
    other = {"processor": {"model": "Drawn", "kernel_flags": ["avx9"], "flags_sha256": "0"}}
    found = self_test(golden_bundle(bound=other))
    assert found.passed
    assert "lacks avx9" in found.notes[0]
    assert self_test(golden_bundle()).notes == ()


def test_a_film_that_this_machine_opens_otherwise_fails_the_check(golden_bundle):
    found = self_test(golden_bundle(off=1))
    assert not found.passed
    assert all(row.passed for row in found.rows)
    assert found.problems.keys() == {GOLDEN_FILMS}
    assert found.problems[GOLDEN_FILMS].startswith("drawn: 1 of 50,176 pixels differ, by up to 1 grey levels")


def test_a_bundle_without_golden_films_passes_and_says_that_they_were_not_checked(golden_bundle):
    found = self_test(golden_bundle(off=None))
    assert (found.passed, found.notes) == (True, (NOT_RECORDED,))


def test_a_recorded_probability_of_another_calibration_fails_the_check(golden_bundle):
    def change(answers):
        was = answers["baseline.tflite"]
        probability = 1 / (1 + np.exp(-(1.2 * was.margin)))  # the offset of -0.3 is lost
        return answers | {"baseline.tflite": Prediction(was.logits, probability[:, None], was.evidence)}

    found = self_test(golden_bundle(change))
    assert found.problems.keys() == {"baseline.tflite"}
    assert "slope 1.2 and offset -0.3 make it " in found.problems["baseline.tflite"]
    assert self_test(golden_bundle(change), artefacts=["model_float32.tflite"]).passed


def test_nothing_answers_where_films_are_opened_otherwise_not_even_the_baseline(golden_bundle):
    bundle = golden_bundle(off=1)
    for artefact in (None, "baseline.tflite", "model_float32.tflite"):
        with pytest.raises(SetupError, match="decodes images differently") as caught:
            choose_model(bundle, artefact=artefact)
        assert "drawn: 1 of 50,176" in caught.value.why


def test_the_fix_names_the_pillow_of_the_conversion_where_it_is_known(golden_bundle):
    bundle = golden_bundle(off=1)
    told = {"conversion": {"packages": {"pillow": "12.3.0"}}}
    for provenance, words in ((told, "pip install pillow==12.3.0"), ({}, "pip install pillow")):
        with pytest.raises(SetupError) as caught:
            check_preprocessing(replace(bundle, manifest=replace(bundle.manifest, provenance=provenance)))
        assert caught.value.fix.endswith(words)


def test_films_that_open_as_ever_and_bundles_without_any_are_answered(golden_bundle):
    for off in (0, None):
        assert choose_model(golden_bundle(off=off), artefact="model_float32.tflite").kind == "trained"


def test_altered_golden_films_are_an_error_and_no_silent_pass(golden_bundle):
    bundle = golden_bundle()
    with (bundle.root / GOLDEN_FILMS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtefactError, match=GOLDEN_FILMS):
        choose_model(bundle)


def test_a_server_whose_machine_opens_films_otherwise_is_live_and_never_ready(golden_bundle, serve):
    with serve(golden_bundle(off=1).root, wait=False) as client:
        while "loaded" in (error := client.get("/v2/health/ready").json()["error"]):
            time.sleep(0.02)
        assert "this machine decodes images differently" in error
        assert client.get("/v2/health/live").status_code == 200


QUICK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "onnx", "onnxruntime", "onnx2tf", "tensorflow", "keras",
                                  "sklearn", "scipy", "matplotlib", "torch_train", "convert"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from pathlib import Path
from tbconv.commands.conversion.verify import check_quickly
sys.exit(0 if check_quickly(Path(sys.argv[1]), as_json="--json" in sys.argv) else 1)
"""


def quick(root, *words):
    command = [sys.executable, "-c", QUICK, root, *words]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)


def test_the_quick_check_needs_no_framework_and_prints_json(golden_bundle):
    done = quick(golden_bundle().root, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["passed"]
    assert {row["path"] for row in found["rows"]} == set(FILES)


def test_the_quick_check_prints_what_strays_and_ends_with_1(golden_bundle):
    name = "model_float32.tflite"
    done = quick(golden_bundle(lambda answers: answers | {name: moved(answers[name], 0.01)}).root)
    assert done.returncode == 1, done.stderr[-2000:]
    assert f"WORSE THAN ITS CERTIFICATE {name}: logits moved by 1.0e-02" in done.stdout
    assert "verdict: FAILED" in done.stdout


def test_the_quick_check_prints_films_that_come_out_otherwise(golden_bundle):
    done = quick(golden_bundle(off=1).root)
    assert done.returncode == 1, done.stderr[-2000:]
    assert f"WORSE THAN ITS CERTIFICATE {GOLDEN_FILMS}: drawn: 1 of 50,176 pixels differ" in done.stdout
    assert "verdict: FAILED" in done.stdout


def test_the_quick_check_checks_digests_first(golden_bundle):
    bundle = golden_bundle()
    with (bundle.root / CERTIFICATE).open("ab") as file:
        file.write(b" ")
    done = quick(bundle.root)
    assert done.returncode == 1
    assert f"{CERTIFICATE} has digest" in done.stderr
