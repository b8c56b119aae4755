import dataclasses
import sys

import numpy as np
import onnx
import pytest

from benchmarks.fault_injection.checks import (
    AGREE,
    CANNOT_SAY,
    CHECKS,
    DECISIONS,
    DIGESTS,
    FILMS,
    MADE,
    PARITY,
    USABLE,
    WHERE,
)
from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS, LEVELS, Fault
from benchmarks.fault_injection.levels import try_files, try_films, try_runtimes, try_serving, try_verdicts
from benchmarks.fault_injection.run import MutantsConfig, faults
from benchmarks.fault_injection.score import Clean, Result, Score, Trial
from benchmarks.fault_injection.setting import setting_of_golden
from benchmarks.fault_injection.table import times, write_table
from convert.runners.base import Answer
from convert.runners.elsewhere.targets import Target, run_script
from tbconv.contract.errors import ConfigError

# a handful, one a level and more where they are cheap, for `make test-all`; all of them are `make mutants`
WEIGHTS = ("nan weight", "layer scaled")
ONNX = ("residual dropped", "SAME padding", "BatchNorm's momentum")
TFLITE = ("float32: truncated", "float32: outputs swapped", "int8: PADV2 poison")
SERVING = ("labels swapped", "stale file")
RUNTIME = ("second call", "stale output buffer, int8", "zeros")
SLOW_TO_LOAD = {"PyTorch": "sigmoid twice", "Keras": "Keras: flatten order"}


@pytest.fixture(scope="module")
def setting(bundle, tmp_path_factory):
    return setting_of_golden(bundle, tmp_path_factory.mktemp("mutants"))


def chosen(*names):
    return [one for one in faults() if one.name in names]


def found(results):
    return {one.fault.name: one for one in results}


def this_runtime():
    """LiteRT of this Python, in another process, without a fault."""
    command = [sys.executable, "-P"], {}

    def run(file, films, seconds):
        return run_script("this", command, file, films, api="interpreter", seconds=seconds)

    return Target("this", "no fault", lambda: None, run, slow=False)


def fault_of(level="ONNX", **fields):
    return Fault("drawn", level, "nothing", lambda *_: None, **fields)


def test_there_are_fifty_faults_and_more_at_nine_levels_with_names_of_their_own():
    known = faults()
    assert len({one.name for one in known}) == len(known) >= 50
    assert {one.level for one in known} == set(LEVELS)


def test_every_fault_of_a_graph_that_is_no_file_fault_says_where_it_should_be_found():
    nowhere = [one.name for one in faults() if one.level in GRAPH_LEVELS and not one.nodes and not one.equivalent]
    assert nowhere == ["float32: truncated", "float32: outputs swapped", "int8: input scale"]


def test_every_node_that_a_fault_is_looked_for_at_is_in_the_graph(bundle):
    graph = onnx.load(bundle / "model.onnx", load_external_data=False).graph
    names = {node.name for node in graph.node} | {name for node in graph.node for name in node.output}
    assert {name for one in faults() for name in one.nodes} - names == set()


def test_a_word_that_names_no_fault_is_an_error_that_lists_those_there_are():
    with pytest.raises(ConfigError, match="residual dropped"):
        faults("coffee")


def test_a_bundle_without_its_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="give both"):
        MutantsConfig(bundle=tmp_path)


def test_an_empty_certificate_is_caught_at_every_size():
    results = found(try_verdicts([one for one in faults() if one.level == "verdict"]))
    assert len(results) == 7
    assert all(trial.live and trial.caught for one in results.values() for trial in one.trials)
    by = {name: [set(trial.caught) for trial in one.trials] for name, one in results.items()}
    undecided = ("vacuous tolerance", "tolerance of all films", "decisions within the tolerance", "3 dB on one class")
    assert all(trial == {CANNOT_SAY} for name in (*undecided, "no positives left") for trial in by[name])
    assert by["label decisions flipped"] == [{DECISIONS}] * 2
    assert by["one label lost"] == [{DECISIONS}, {CANNOT_SAY}]  # 40 films have it; or 3, which show nothing


@pytest.mark.slow
def test_faulty_weights_are_live_and_caught_down_to_the_least_size_that_is_live(setting):
    results = found(try_files(setting, "weights", chosen(*WEIGHTS))[0])
    assert list(results["nan weight"].mutant.caught) == [USABLE]
    scaled = results["layer scaled"]
    assert PARITY in scaled.mutant.caught
    assert scaled.smallest(caught=False) == scaled.smallest(caught=True) <= 1e-4


@pytest.mark.slow
def test_a_changed_graph_is_caught_and_one_that_only_looks_changed_is_not(setting):
    results = found(try_files(setting, "ONNX", chosen(*ONNX))[0])
    assert all(PARITY in results[name].mutant.caught for name in ONNX[:2])
    momentum = results["BatchNorm's momentum"].mutant
    assert (momentum.live, momentum.caught) == (False, {})


@pytest.mark.slow
def test_faulty_tflite_files_are_refused_or_unusable(setting):
    results = found(try_files(setting, "TFLite", chosen(*TFLITE))[0])
    assert MADE in results["float32: truncated"].mutant.caught
    assert all(one.mutant.live and one.mutant.caught for one in results.values())


def test_films_opened_wrongly_are_live_and_caught_by_the_golden_films(setting):
    results = found(try_films(setting, chosen("stretched", "high byte", "BGR")))
    assert results["stretched"].mutant.live
    assert FILMS in results["high byte"].mutant.caught
    assert results["BGR"].mutant == Trial(1.0, 0.0)


def test_a_bundle_of_two_versions_is_caught_before_it_serves(setting):
    clean = dataclasses.replace(fault_of("serving"), path="model_float32.tflite")
    results = found(try_serving(setting, [*chosen(*SERVING), clean]))
    assert DIGESTS in results["stale file"].mutant.caught
    assert AGREE in results["labels swapped"].mutant.caught
    assert results["labels swapped"].mutant.times == np.inf
    assert results[clean.name].mutant == Trial(1.0, 0.0)


def test_a_runtime_that_answers_with_other_films_is_live_and_caught_and_a_right_one_is_not(setting):
    right = dataclasses.replace(fault_of("runtime"), path="model_float32.tflite", inject=lambda *_: this_runtime())
    results = found(try_runtimes(setting, [*chosen(*RUNTIME), right]))
    assert all(results[name].mutant.live and WHERE in results[name].mutant.caught for name in RUNTIME)
    assert results[right.name].mutant == Trial(1.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("level", SLOW_TO_LOAD)
def test_a_fault_of_what_is_exported_or_built_is_live_and_caught(setting, level):
    [result] = try_files(setting, level, chosen(SLOW_TO_LOAD[level]))[0]
    assert result.mutant.live
    assert set(result.mutant.caught) & {PARITY, AGREE}


def test_noise_is_in_each_outputs_own_unit_and_a_number_that_is_none_is_infinitely_far(setting):
    answer = setting.clean("model.onnx")
    assert setting.noise.times(answer, answer) == 0
    moved = Answer(answer.logits, answer.probability + 20 * setting.noise.probability, answer.evidence)
    assert setting.noise.times(moved, answer) == pytest.approx(20, rel=0.1)
    assert setting.noise.times(Answer(answer.logits * np.nan, answer.probability, answer.evidence), answer) == np.inf
    assert setting.noise.times(Answer(answer.logits[1:], answer.probability, answer.evidence), answer) == np.inf


def score_of(*trials, equivalent=""):
    results = [Result(fault_of(nodes=("a",), equivalent=equivalent), (trial,)) for trial in trials]
    return Score(tuple(results), {"logits": 1e-6})


def test_one_live_mutant_that_nobody_catches_fails_the_score_and_is_named():
    score = score_of(Trial(1, 100.0, {PARITY: "far"}, "a", True), Trial(1, 100.0))
    assert not score.passed
    assert "1 of 2 live mutants caught" in write_table(score)
    assert "Missed: **drawn** (ONNX)" in write_table(score)


def test_a_mutant_that_moves_nothing_is_not_counted_and_fails_the_score():
    score = score_of(Trial(1, 100.0, {PARITY: "far"}), Trial(1, 1.0))
    assert (len(score.counted), len(score.dead), score.passed) == (1, 1, False)


def test_an_equivalent_that_a_check_catches_fails_the_score():
    assert len(score_of(Trial(1, 0.0, {PARITY: "far"}), equivalent="it is the same").wrong_equivalents) == 1


def test_nothing_seeded_is_no_pass():
    assert not Score((), {}).passed


def test_clean_files_that_cost_too_many_decisions_are_told_but_are_no_alarm():
    caught = score_of(Trial(1, 100.0, {PARITY: "far"}, "a", True))
    priced = dataclasses.replace(caught, clean=Clean(20, 0, (), ("seed 9, decisions: model_int8.tflite: 1 of 20",)))
    assert priced.passed
    assert "1 of 60 clean reduced files flip" in write_table(priced)


def test_an_alarm_without_a_fault_fails_the_score():
    caught = score_of(Trial(1, 100.0, {PARITY: "far"}, "a", True))
    assert caught.passed
    assert not dataclasses.replace(caught, clean=Clean(20, 3, ("seed 3, parity: far",))).passed


def test_a_node_that_is_not_the_spoilt_one_stands_in_brackets_and_does_not_count_as_placed():
    score = score_of(Trial(1, 100.0, {PARITY: "far"}, "b", False))
    assert (len(score.traced), len(score.mislocated)) == (1, 1)
    assert "(b)" in write_table(score)


def test_every_check_of_the_table_says_where_it_lives():
    assert all("`" in what for what in CHECKS.values())


@pytest.mark.parametrize(("value", "words"), [(np.inf, "none"), (12345.6, "12,000"), (0.0, "0"), (1.3, "1.3")])
def test_times_the_noise_have_two_digits(value, words):
    assert times(value) == words
