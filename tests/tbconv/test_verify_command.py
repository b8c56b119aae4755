"""`tbconv verify` and `convert` as commands: what they refuse, and what a program reads of their answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from convert.from_run import Converted
from convert.verify import Verified, VerifyConfig
from convert.verify import verify as measure
from tbconv.commands.conversion.convert import convert
from tbconv.commands.conversion.parity_table import decisions
from tbconv.commands.conversion.verify import verify
from tbconv.contract.bundle import MANIFEST
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import BundleError, ConfigError, Silence

FILMS = Path("films")
FED = {"inputs": {"description": "64 films of a folder"}, "rows": []}
DEPLOY = {"artefact": "model_int8.tflite", "reason": "the fastest", "others": {}}


def test_convert_ends_with_three_where_no_float32_file_of_the_network_is_certified(converted, tmp_path):
    rows = converted.certificate.artefacts
    rows["saved_model"] = ArtefactVerdict(Verdict.CANNOT_SAY, "0" * 64, "drawn")
    rows["baseline.tflite"] = ArtefactVerdict(Verdict.CERTIFIED, "0" * 64, "of another network")
    with pytest.raises(typer.Exit) as ended:
        convert(tmp_path, tmp_path / "out")
    assert ended.value.exit_code == 3


def certificate():
    figures = {"abstention_band": {"half_width": 0.25}}
    rows = {"model_int8.tflite": ArtefactVerdict(Verdict.BOUNDED, "0" * 64, "drawn", figures)}
    rows["saved_model"] = ArtefactVerdict(Verdict.CERTIFIED, "0" * 64, "drawn")
    return Certificate(rows, deploy=DEPLOY)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quick": True, "films": FILMS}, "--films with --quick"),
        ({"quick": True, "matrix": True}, "--matrix with --quick"),
        ({"quick": True, "layers": True}, "--layers with --quick"),
        ({"quick": True, "details": True}, "--details with --quick"),
        ({"trace": True, "details": True}, "--details with --trace"),
        ({"quick": True, "most": 0}, "--most with --quick"),
        ({"quick": True, "out": FILMS}, "--out with --quick"),
        ({"layers": True, "matrix": True}, "--matrix with --layers"),
        ({"layers": True, "films": FILMS, "patient": "id", "positive": "TB"}, "--patient and --positive with --layers"),
        ({"most": 3}, "--most without --films"),
        ({"matrix": True, "positive": "TB"}, "--positive without --films"),
    ],
)
def test_options_that_would_be_dropped_are_refused_by_name(bundle, options, words):
    with pytest.raises(ConfigError) as refused:
        verify(bundle, **options)
    assert refused.value.what == words
    assert refused.value.fix.startswith("omit --")


@pytest.mark.parametrize("inside", ["", "report", "saved_model/report", "../bundle/report"])
def test_a_report_inside_the_bundle_is_refused_before_anything_is_written(bundle, inside):
    before = sorted(bundle.rglob("*"))
    with pytest.raises(ConfigError, match="lies inside the bundle") as refused:
        verify(bundle, out=bundle / inside)
    assert f"{bundle}.verify" in refused.value.fix
    assert sorted(bundle.rglob("*")) == before


@pytest.mark.parametrize("options", [{}, {"quick": True}, {"layers": True}, {"trace": True}, {"matrix": True}])
def test_a_manifest_that_was_not_certified_is_refused_before_a_file_is_run(bundle, options, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *words, **_: pytest.fail(f"{words} was started"))
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace('"margin": 0.25', '"margin": 50'))
    for verifies in (
        lambda: verify(bundle, **options),
        lambda: measure(VerifyConfig(bundle=bundle, out=FILMS), Silence()),
    ):
        with pytest.raises(BundleError, match="is not the one that was certified") as refused:
            verifies()
        assert "thresholds" in refused.value.why


@pytest.fixture
def asked(monkeypatch):
    """Return a function that runs the command without measuring, and the configuration that it asked for."""

    def call(bundle, *, regressions=(), notes=(), undecided=(), **options):
        configs = []
        found = Verified(certificate(), FED, dict(regressions), notes, undecided)
        monkeypatch.setattr("convert.verify.verify", lambda config, _: configs.append(config) or found)
        monkeypatch.setattr("tbconv.commands.conversion.parity_table.print_parity", lambda _: None)
        with pytest.raises(typer.Exit) as ended:
            verify(bundle, **options)
        return ended.value.exit_code, configs[0]

    return call


@pytest.mark.parametrize("way", ["plain", "dot", "link"])
def test_the_report_lies_beside_the_bundle_however_it_was_named(asked, bundle, tmp_path, monkeypatch, way):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(bundle)
    monkeypatch.chdir(bundle / "saved_model")
    named = {"plain": bundle, "dot": Path(".."), "link": tmp_path / "elsewhere" / "link"}[way]
    assert asked(named)[1].out == tmp_path / "bundle.verify"


def test_most_is_for_films_and_for_the_phantoms_of_a_matrix(asked, bundle):
    assert asked(bundle, matrix=True, most=3)[1].most == 3
    assert asked(bundle, films=FILMS, most=3)[1].most == 3


def test_json_says_whether_it_passed_what_strays_and_what_is_worth_noting(asked, bundle, capsys):
    assert asked(bundle, regressions={"a": "worse"}, notes=("far",), as_json=True)[0] == 1
    assert json.loads(capsys.readouterr().out) == FED | {
        "passed": False,
        "regressions": {"a": "worse"},
        "notes": ["far"],
        "undecided": [],
    }
    assert asked(bundle, as_json=True)[0] == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_the_terminal_has_a_line_for_every_note_and_a_note_is_no_failure(asked, bundle, capsys):
    assert asked(bundle, notes=("one flips outside", "another"))[0] == 0
    said = capsys.readouterr().out.splitlines()
    assert {"note: one flips outside", "note: another"} <= set(said)


def test_films_that_take_a_certified_verdict_away_end_with_three_and_a_regression_with_one(asked, bundle, capsys):
    assert asked(bundle, undecided=("model.onnx",))[0] == 3
    assert "verdict: CANNOT SAY, these inputs show too little: model.onnx" in capsys.readouterr().out
    assert asked(bundle, undecided=("model.onnx",), regressions={"a": "worse"})[0] == 1


@pytest.fixture
def converted(monkeypatch, bundle, manifest):
    """Make `tbconv convert` end at once with a drawn certificate."""
    served = next(one for one in manifest.artefacts if one.is_served)
    shipped = replace(served, path="model_int8.tflite", precision="int8", network="trained")
    whole = replace(manifest, artefacts=(*manifest.artefacts, shipped))
    done = Converted(bundle, whole, certificate(), FED, 1.0, 2.0)
    monkeypatch.setattr("convert.pipeline.convert", lambda *_: done)
    monkeypatch.setattr("tbconv.commands.conversion.parity_table.print_parity", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return done


def test_convert_gives_programs_the_report_and_the_file_to_deploy(converted, tmp_path, capsys):
    convert(tmp_path, tmp_path / "out", as_json=True)
    assert json.loads(capsys.readouterr().out) == FED | {"deploy": DEPLOY}


def test_convert_tells_people_the_file_to_deploy_and_where_it_decides_nothing(converted, tmp_path, capsys):
    convert(tmp_path, tmp_path / "out")
    said = capsys.readouterr().out
    assert "deploy: model_int8.tflite; the fastest; within 0.25 logits of the threshold it decides nothing" in said


def test_convert_does_not_send_people_to_serve_what_holds_the_baseline_alone(
    converted, manifest, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("convert.pipeline.convert", lambda *_: replace(converted, manifest=manifest))
    convert(tmp_path, tmp_path / "out")
    last = "no file of the trained network can be served: add a TFLite format to --formats"
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_verify_opens_with_five_lines_and_then_says_what_is_worse(asked, bundle, capsys):
    asked(bundle, regressions={"model.onnx": "logits differ"}, notes=("a note",))
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:5]] == [
        "verdict",
        "2 files",
        "decisions, on 64 films of a folder",
        "deploy",
        "report",
    ]
    assert said[5:7] == ["WORSE THAN ITS CERTIFICATE model.onnx: logits differ", "note: a note"]
    assert said[0] == "verdict: FAILED"
    assert said[1] == "2 files: 1 BOUNDED, 1 CERTIFIED"


def test_convert_opens_with_five_lines_and_says_why_a_file_may_not_serve(converted, tmp_path, capsys):
    rows = converted.certificate.artefacts
    rows["model_dynamic.tflite"] = ArtefactVerdict(Verdict.FAILED, "0" * 64, "9 of 64 decisions flip")
    rows["saved_model"] = ArtefactVerdict(Verdict.CANNOT_SAY, "0" * 64, "48 films, 100 needed")
    with pytest.raises(typer.Exit):  # no float32 file is certified
        convert(tmp_path, tmp_path / "out")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"bundle: {converted.bundle}, converted in 1 s, measured in 2 s")
    assert said[1].startswith("3 files: ")
    assert "may not serve: saved_model CANNOT SAY, model_dynamic.tflite FAILED" in said[1]
    assert said[4] == f"certificate: {converted.bundle / 'certificate.html'} (--details prints its tables)"
    assert "  model_dynamic.tflite: FAILED; 9 of 64 decisions flip" in said
    assert said[-1] == f"next: tbconv serve {converted.bundle}"


@pytest.mark.parametrize("details", [False, True])
def test_tables_follow_with_details_alone(asked, bundle, monkeypatch, details):
    printed = []
    asked(bundle)
    monkeypatch.setattr("tbconv.commands.conversion.parity_table.print_parity", printed.append)
    with pytest.raises(typer.Exit):
        verify(bundle, details=details)
    assert printed == ([FED] if details else [])


def test_of_the_decisions_those_that_changed_are_counted_by_file():
    def row(name, flips, *, problem=None, verdict="BOUNDED"):
        return {"name": name, "verdict": verdict, "films": {"problem": problem, "flips": flips, "samples": 64}}

    rows = [row("a.tflite", 0), row("b.tflite", 3), row("c.tflite", 1, problem="NaN"), row("PyTorch", 2, verdict=None)]
    assert decisions(FED | {"rows": rows}).endswith(": changed by b.tflite 3 of 64")
    assert decisions(FED | {"rows": rows[:1]}).endswith(": no file changes any")
