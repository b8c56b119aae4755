"""Files tried elsewhere: what is identical, what is rounding, what fails, and which targets there are."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.fault_injection.faults.runtime_faults import faulty_target
from convert.certificate.portability import portability_section, verdict
from convert.from_run import ConvertConfig
from convert.parity.portability import (
    PORTABILITY,
    PortabilityVerdict,
    Task,
    WhereConfig,
    float32_steps,
    judge_elsewhere,
    try_elsewhere,
)
from convert.runners.base import Answer
from convert.runners.elsewhere import environments, targets
from convert.runners.elsewhere.browser import Ran
from convert.runners.elsewhere.run_litert import run_films
from convert.runners.elsewhere.targets import TARGETS, Target, parse_targets, run_script
from tbconv.cli import app
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import BundleError, ConfigError, ConversionError, SetupError, Silence
from tbconv.contract.files import sha256_file

_spec = importlib.util.spec_from_file_location("serving_fixtures", Path(__file__).parents[1] / "tf_serve/conftest.py")
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)
networks, make_bundle, add_golden = serving.networks, serving.make_bundle, serving.add_golden

FLOAT = "model_float32.tflite"


def target_of(run, name="avx2", *, slow=False):
    return Target(name, "drawn", lambda: None, run, slow=slow)


def here(n=16, seed=1):
    draw = np.random.default_rng(seed)
    evidence = draw.normal(size=(n, 7, 7)).astype(np.float32)
    margin = evidence.mean((1, 2))
    logits = np.stack([-margin / 2, margin / 2], 1).astype(np.float32)
    return Answer(logits, (1 / (1 + np.exp(-margin)))[:, None].astype(np.float32), evidence)


def task_of(answer, *, threshold=100.0, allowed=1e-5):
    return Task(
        artefact=replace(serving.artefact(FLOAT)),
        place=Path(FLOAT),
        sha256="0" * 64,
        here=answer,
        threshold=threshold,
        slope=1.0,
        allowed=allowed,
    )


def judged(answer, outputs, *, whole=True, **options):
    ran = Ran(outputs, "drawn 1.0", whole)
    return judge_elsewhere(task_of(answer, **options), target_of(None), ran, of=len(answer.logits))


def outputs_of(answer):
    return {name: getattr(answer, name).copy() for name in ("logits", "probability", "evidence")}


# --- judging ---


def test_outputs_that_are_the_same_to_the_bit_are_identical_and_bound_the_share_of_flips():
    answer = here()
    row = judged(answer, outputs_of(answer))
    assert (row.verdict, row.identical, row.films, row.of) == (PortabilityVerdict.IDENTICAL, 16, 16, 16)
    assert (row.max_abs_logits, row.float32_steps, row.flips["count"]) == (0.0, 0.0, 0)
    assert row.flips["high"] == pytest.approx(1 - 0.025 ** (1 / 16))


def test_minus_zero_is_not_zero_to_the_bit():
    answer = here()
    answer.evidence[3] = 0.0
    there = outputs_of(answer)
    there["evidence"][3] = -0.0
    row = judged(answer, there, allowed=10.0)
    assert (row.identical, row.verdict is PortabilityVerdict.IDENTICAL) == (15, False)


def test_a_step_is_the_spacing_of_float32_at_the_larger_logit_of_the_film():
    logits = np.float32([[0.5, -3.0], [1e-3, 0.0]])
    assert float32_steps(logits).tolist() == [2.0**-22, float(np.spacing(np.float32(1e-3)))]


def test_a_difference_of_one_step_is_within_rounding_and_said_in_steps():
    answer = here()
    there = outputs_of(answer)
    there["logits"][5, 1] += float32_steps(answer.logits)[5].astype(np.float32)
    row = judged(answer, there)
    assert row.verdict is PortabilityVerdict.WITHIN
    assert row.float32_steps == pytest.approx(1.0)
    assert (row.identical, row.identical_outputs) == (15, {"logits": 15, "probability": 16, "evidence": 16})
    assert "logits 15, probability 16, evidence 16" in row.line()


def test_a_logit_further_away_than_its_certificate_allows_fails_without_a_flip():
    answer = here()
    there = outputs_of(answer)
    there["logits"][5] += 1e-3
    row = judged(answer, there)
    assert (row.verdict, row.flips["count"]) == (PortabilityVerdict.FAILED, 0)
    assert "logits moved by 1.0e-03" in row.reason


def test_one_decision_that_changes_fails_however_close_the_logits_are():
    answer = here()
    threshold = float(answer.margin[4])
    there = outputs_of(answer)
    there["logits"][4, 1] -= np.float32(1e-6)
    row = judged(answer, there, threshold=threshold)
    assert (row.verdict, row.flips["count"]) == (PortabilityVerdict.FAILED, 1)
    assert row.flips["low"] > 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_fail_and_the_report_stays_json(wrong):
    answer = here()
    there = outputs_of(answer)
    there["evidence"][2, 0, 0] = wrong
    row = judged(answer, there)
    assert row.verdict is PortabilityVerdict.FAILED
    assert row.max_abs_evidence is None


def test_a_missing_output_another_shape_and_no_film_fail():
    answer = here()
    there = outputs_of(answer)
    assert "no evidence" in judged(answer, {name: there[name] for name in ("logits", "probability")}).reason
    assert judged(answer, there | {"evidence": there["evidence"][:, :6]}).verdict is PortabilityVerdict.FAILED
    assert judged(answer, {name: value[:0] for name, value in there.items()}).verdict is PortabilityVerdict.FAILED


def test_what_ran_there_in_part_only_says_nothing_unless_it_is_wrong():
    answer = here()
    assert judged(answer, outputs_of(answer), whole=False).verdict is PortabilityVerdict.CANNOT_SAY
    there = outputs_of(answer)
    there["logits"] += 1.0
    assert judged(answer, there, whole=False).verdict is PortabilityVerdict.FAILED


# --- targets ---


def test_targets_are_named_once_in_their_order_and_all_is_every_one():
    assert [one.name for one in parse_targets("wasm, avx2,wasm")] == ["wasm", "avx2"]
    assert [one.name for one in parse_targets("all")] == list(TARGETS)
    assert len(TARGETS) == 7


@pytest.mark.parametrize("words", ["", ",", "vax", "wasm,vax"])
def test_an_unknown_target_is_refused_with_those_that_there_are(words):
    with pytest.raises(ConfigError) as caught:
        parse_targets(words)
    assert "cortex-a53" in caught.value.why


def test_a_program_that_is_missing_is_an_error_that_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SetupError) as caught:
        parse_targets("cortex-a53")[0].prepare()
    assert "apt-get install qemu-user" in caught.value.fix
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(SetupError) as caught:
        environments.chromium()
    assert "apt-get install chromium" in caught.value.fix


def test_packages_that_cannot_be_had_are_an_error_and_leave_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("TBCONV_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_NO_INDEX", "PIP_DISABLE_PIP_VERSION_CHECK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SetupError) as caught:
        environments.python_packages("a-package-that-is-nowhere==1")
    assert "pip download" in caught.value.fix
    assert "a-package-that-is-nowhere" in caught.value.what
    assert [path.name for path in (tmp_path / "where").iterdir() if not path.name.startswith(".")] == []


def test_an_environment_is_made_once(monkeypatch, tmp_path):
    monkeypatch.setenv("TBCONV_CACHE", str(tmp_path))
    made = []
    monkeypatch.setattr(environments, "_pip", lambda folder, *_: made.append((folder / "numpy").mkdir()))
    first, second = environments.python_packages("numpy==1"), environments.python_packages("numpy==1")
    assert (first, len(made), (first / "numpy").is_dir()) == (second, 1, True)
    assert environments.python_packages("numpy==2") != first


def test_time_that_is_over_ends_with_the_film_that_was_begun():
    films = np.zeros((5, 4, 4), np.uint8)
    rows = run_films(lambda film: {"y": film.sum((1, 2))}, films, 0.0)
    assert len(rows["y"]) == 1
    assert len(run_films(lambda film: {"y": film.sum((1, 2))}, films, None)["y"]) == 5


# --- whole ---


@pytest.fixture
def tried(make_bundle, add_golden):
    """A tiny bundle with the golden answers from which follows how far a logit may move."""
    return add_golden(make_bundle())


def this_python(api="interpreter", name="avx2"):
    command = ([sys.executable, "-P"], {})
    return target_of(
        lambda file, films, seconds: run_script(name, command, file, films, api=api, seconds=seconds), name
    )


def test_the_runtime_that_serves_is_identical_to_itself_in_another_process(tried):
    found = try_elsewhere(WhereConfig(bundle=tried, where="avx2", most=4), Silence(), targets=[this_python()])
    assert [(row.path, row.verdict, row.films) for row in found.rows] == [
        (FLOAT, PortabilityVerdict.IDENTICAL, 4),
        ("model_int8.tflite", PortabilityVerdict.IDENTICAL, 4),
    ]
    assert found.passed
    assert "2 of 2 identical" in verdict(found)


def test_rows_are_bound_to_the_files_and_the_manifest(tried):
    bundle = tried
    found = try_elsewhere(WhereConfig(bundle=bundle, where="avx2", most=2), Silence(), targets=[this_python()])
    assert {row.path: row.sha256 for row in found.rows} == {
        path: sha256_file(bundle / path) for path in (FLOAT, "model_int8.tflite")
    }
    assert found.manifest_sha256 == sha256_file(bundle / "manifest.json")


@pytest.mark.parametrize("fault", ["second_call", "stale_buffer", "zeros", "neighbours"])
def test_a_fault_of_the_runtime_fails(tried, fault):
    config = WhereConfig(bundle=tried, where="avx2", most=12, artefacts=(FLOAT,))
    found = try_elsewhere(config, Silence(), targets=[faulty_target(fault)])
    assert [row.verdict for row in found.rows] == [PortabilityVerdict.FAILED]
    assert not found.passed


def test_a_file_that_is_not_in_the_bundle_is_refused(tried):
    config = WhereConfig(bundle=tried, where="avx2", artefacts=("model.tflite",))
    with pytest.raises(BundleError, match=r"no model\.tflite"):
        try_elsewhere(config, Silence(), targets=[this_python()])


def test_what_cannot_run_there_is_a_row_with_the_reason(tried):
    def fail(*_):
        raise ConversionError("it cannot run", why="the batch is open", fix="convert again")

    config = WhereConfig(bundle=tried, where="avx2", most=2, artefacts=(FLOAT,))
    [row] = try_elsewhere(config, Silence(), targets=[target_of(fail)]).rows
    assert (row.verdict, row.films, row.of) == (PortabilityVerdict.FAILED, 0, 2)
    assert "the batch is open" in row.reason
    assert "the batch is open" in row.line()


def test_a_difference_is_traced_to_the_first_operation_that_differs(tried):
    """The target is LiteRT with one bit more in whatever the pooling gives, and in all that follows from it."""

    def run(file, films, seconds):
        found = this_python().run(file, films, seconds)
        names = sorted(name for name in found.outputs if name.startswith("operation_"))
        for name in [*names[2:], *outputs]:
            found.outputs[name] = np.nextafter(found.outputs[name], np.float32(np.inf))
        return found

    outputs = ("logits", "probability", "evidence")
    config = WhereConfig(bundle=tried, where="avx2", most=3, artefacts=(FLOAT,))
    [row] = try_elsewhere(config, Silence(), targets=[target_of(run)]).rows
    assert row.identical == 0
    assert row.starts_at is not None
    assert "POOL" in row.starts_at or "CONV" in row.starts_at or "MUL" in row.starts_at


def test_the_command_writes_the_report_and_ends_with_1_where_a_target_fails(tried, tmp_path, monkeypatch):
    bundle, out = tried, tmp_path / "report"
    monkeypatch.setitem(TARGETS, "avx2", this_python())
    words = ["verify", str(bundle), "--where", "avx2", "--most", "3", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    kept = json.loads((out / PORTABILITY).read_text())
    assert [row["verdict"] for row in kept["rows"]] == ["IDENTICAL", "IDENTICAL"]
    assert kept["films"]["n"] == 3
    page = (out / "portability.html").read_text()
    assert "IDENTICAL" in page
    assert kept["disclaimer"] in page

    monkeypatch.setitem(TARGETS, "avx2", faulty_target("zeros"))
    assert CliRunner().invoke(app, words).exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--where", "vax"],
        ["--where", "avx2", "--matrix"],
        ["--where", "avx2", "--trace"],
        ["--where", "avx2", "--patient", "Patient"],
        ["--where", "avx2", "--minutes", "0"],
        ["--minutes", "1"],
    ],
)
def test_options_that_would_be_ignored_are_refused(tried, words):
    done = CliRunner().invoke(app, ["verify", str(tried), *words])
    assert isinstance(done.exception, ConfigError), done.output


def test_a_section_without_a_table_is_empty():
    assert portability_section(None).is_empty


def test_convert_puts_the_table_into_the_certificate_and_on_its_page(
    converted, convert_run, run, tmp_path, monkeypatch
):
    monkeypatch.setitem(TARGETS, "avx2", this_python())
    done, lines = convert_run(run, tmp_path / "bundle", where="avx2")
    table = read_bundle(done.bundle).certificate().scope["portability"]
    assert {row["path"] for row in table["rows"]} >= {FLOAT, "model_int8.tflite"}
    assert {row["verdict"] for row in table["rows"]} == {"IDENTICAL"}
    digests = {row["path"]: row["sha256"] for row in table["rows"]}
    assert digests[FLOAT] == sha256_file(done.bundle / FLOAT)
    assert "portability" in (done.bundle / "certificate.html").read_text()
    assert any(line.startswith(f"{FLOAT} on avx2: IDENTICAL") for line in lines)


def test_convert_refuses_an_unknown_target_before_it_begins(run, tmp_path):
    with pytest.raises(ConfigError, match="vax"):
        ConvertConfig(run=run, out=tmp_path / "bundle", where="vax")


# --- the real ones ---


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_a_float32_file_is_the_same_or_within_rounding_on_every_target(name, bundle, monkeypatch):
    monkeypatch.delenv("TBCONV_CACHE")  # environments are kept between sessions
    config = WhereConfig(bundle=bundle, where=name, most=12, minutes=1, artefacts=(FLOAT,))
    try:
        [row] = try_elsewhere(config, Silence()).rows
    except SetupError as error:
        pytest.skip(error.one_line)
    assert row.verdict in {PortabilityVerdict.IDENTICAL, PortabilityVerdict.WITHIN}, row.line()
    assert targets.TARGETS[name].slow or row.films == 12
