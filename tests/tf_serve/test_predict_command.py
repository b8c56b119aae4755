"""Run `tbconv predict` as a user does: rows, JSON, pictures, and exit codes."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tbconv.commands.serving.predict import _limits, predict
from tbconv.contract.bundle import read_bundle
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, ArtefactError, BundleError, ConfigError, DataError, Referral
from tf_serve.fallback import choose_model

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis
VERDICTS = {
    "model_int8.tflite": Verdict.FAILED,
    "model_float32.tflite": Verdict.CERTIFIED,
    "baseline.tflite": Verdict.CERTIFIED,
}


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(predict)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def films(tmp_path, draw_film, as_png):
    folder = tmp_path / "films"
    (folder / "inside").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.PNG", "inside/a.png")):
        (folder / name).write_bytes(as_png(draw_film(seed)))
    (folder / "notes.txt").write_text("no film")
    return folder


def test_a_folder_is_answered_film_by_film(run, make_bundle, films):
    done = run(make_bundle(), films)
    assert done.exit_code == 0
    assert all(str(films / name) in done.stdout for name in ("a.png", "b.PNG", "inside/a.png"))
    assert "notes.txt" not in done.stdout
    assert "answered by model_int8.tflite (trained, BOUNDED" in done.stdout
    assert DISCLAIMER in done.stdout


def test_the_json_margin_is_the_one_that_the_network_gives(run, make_bundle, films):
    root = make_bundle()
    done = run(root, films / "a.png", "--json", "--artefact", "model_float32.tflite")
    [row] = json.loads(done.stdout)["films"]
    bundle = read_bundle(root)
    pixels = bundle.manifest.preprocessing.from_file(films / "a.png")
    active = choose_model(bundle, artefact="model_float32.tflite")
    [margin] = active.classifier.predict(pixels[None, ..., None].astype(np.float32)).margin
    assert row["margin"] == pytest.approx(margin, rel=0, abs=1e-5)
    assert row["margin"] == pytest.approx(np.mean(row["evidence"]["map"]), rel=0, abs=1e-4)


def test_an_unreadable_film_has_its_error_in_its_row_and_the_others_are_answered(run, make_bundle, films, tmp_path):
    (films / "b.PNG").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty").mkdir()
    done = run(make_bundle(), films, tmp_path / "empty", tmp_path / "gone.png", "--json")
    assert done.exit_code == 1
    rows = json.loads(done.stdout)["films"]
    assert [row["status"] for row in rows] == ["ok", "error", "ok", "error", "error"]
    assert set(rows[1]["error"]) == {"what", "why", "fix"}
    assert "gone.png" in rows[4]["error"]["what"]


def test_the_table_shows_errors_and_refusals_too(run, make_bundle, films, as_png, monkeypatch):
    monkeypatch.setattr("tbconv.commands.serving.predict.PIPE_WIDTH", 400)  # long names of folders break words
    (films / "b.PNG").write_bytes(as_png(np.zeros((200, 200), np.uint8)))
    (films / "inside" / "a.png").write_bytes(b"")
    done = run(make_bundle(), films)
    assert done.exit_code == 1
    assert "rejected: The picture is nearly of one grey" in done.stdout
    assert "the file is empty" in done.stdout


def test_each_film_gets_a_picture_of_its_own_with_the_caption_below(run, make_bundle, films, tmp_path):
    pictures = tmp_path / "pictures"
    done = run(make_bundle(), films, "--overlay", pictures)
    assert done.exit_code == 0
    assert sorted(path.name for path in pictures.iterdir()) == ["a-2.overlay.png", "a.overlay.png", "b.overlay.png"]
    with Image.open(pictures / "a.overlay.png") as picture:
        assert (picture.mode, picture.width) == ("RGB", 784)  # 280 x 320 drawn at 896
        assert picture.height > 896


def test_a_picture_says_so_when_the_baseline_answered(run, make_bundle, films, tmp_path):
    root = make_bundle()
    run(root, films / "a.png", "--overlay", tmp_path / "trained")
    (root / "model_int8.tflite").unlink()
    run(root, films / "a.png", "--overlay", tmp_path / "baseline")
    with (
        Image.open(tmp_path / "trained/a.overlay.png") as trained,
        Image.open(tmp_path / "baseline/a.overlay.png") as baseline,
    ):
        assert baseline.height > trained.height  # lines more below the film


def test_the_reason_of_the_baseline_stands_first_below_the_table_and_in_the_json(run, make_bundle, films):
    root = make_bundle()
    (root / "model_int8.tflite").unlink()
    assert "the baseline answers: model_int8.tflite is missing" in run(root, films / "a.png").stdout
    [row] = json.loads(run(root, films / "a.png", "--json").stdout)["films"]
    assert (row["model"]["kind"], "missing" in row["model"]["fallback_reason"]) == ("baseline", True)


def test_a_folder_that_is_no_bundle_is_a_stated_error(run, films, tmp_path):
    assert isinstance(run(tmp_path, films).exception, BundleError)


def test_a_mixed_folder_never_ends_with_0_and_silence(run, make_bundle, films, draw_film, as_png):
    (films / "no_suffix").write_bytes(as_png(draw_film(7)))
    (films / "report.pdf").write_bytes(b"%PDF-1.4")
    (films / "._a.png").write_bytes(b"\0\5\x16\7")
    done = run(make_bundle(), films)
    assert done.exit_code == 0
    assert str(films / "no_suffix") in done.stdout
    assert "3 files are no films and left out" in done.stderr
    assert all(name in done.stderr for name in ("report.pdf", "._a.png", "notes.txt"))
    found = json.loads(run(make_bundle(), films, "--json").stdout)
    assert {row["kind"] for row in found["left_out"]} == {"a PDF", "text", "a hidden file of the operating system"}
    refused = run(make_bundle(), films, "--strict")
    assert isinstance(refused.exception, DataError)


def test_a_zip_archive_is_answered_film_by_film(run, make_bundle, films, tmp_path):
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.write(films / "a.png", "Normal/a.png")
    done = run(make_bundle(), tmp_path / "films.zip", "--json")
    [row] = json.loads(done.stdout)["films"]
    assert (row["status"], row["film"]) == ("ok", str(tmp_path / "films.zip/Normal/a.png"))


# --- many films, for programs and for people ---


def test_csv_has_a_row_a_film_and_nothing_else_on_stdout(run, make_bundle, films):
    (films / "=cmd.png").write_bytes(b"no film")
    done = run(make_bundle(), films, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (done.exit_code, len(rows)) == (1, 4)
    by_film = {row["film"]: row for row in rows}
    answered, broken = by_film[str(films / "a.png")], by_film[str(films / "=cmd.png")]
    assert (answered["status"], answered["decision"] in ("refer", "indeterminate", "not_flagged")) == ("ok", True)
    flagged = float(answered["margin"]) >= float(answered["threshold"])
    assert flagged == (float(answered["score"]) >= float(answered["threshold_score"]))
    assert (answered["artefact"], answered["verdict"]) == ("model_int8.tflite", "BOUNDED")
    assert (broken["status"], broken["margin"], broken["error"] != "") == ("error", "", True)
    assert "not a medical device" in done.stderr


def test_no_name_of_a_film_is_a_formula_of_a_spreadsheet(run, make_bundle, films, monkeypatch):
    monkeypatch.chdir(films)
    for name in ("=1+1.png", "+a.png", "-a.png", "@a.png"):
        (films / name).write_bytes((films / "a.png").read_bytes())
    done = run(make_bundle(), ".", "--csv")
    names = [row["film"] for row in csv.DictReader(io.StringIO(done.stdout))]
    assert {"./=1+1.png", "./+a.png", "./-a.png", "./@a.png"} <= set(names)
    assert all((films / name).is_file() for name in names)


def test_jsonl_has_the_rows_of_json_one_a_line(run, make_bundle, films):
    root = make_bundle()
    lines = [json.loads(line) for line in run(root, films, "--jsonl").stdout.splitlines()]
    rows = json.loads(run(root, films, "--json").stdout)["films"]
    assert [line | {"result_id": ""} for line in lines] == [row | {"result_id": ""} for row in rows]


def test_two_forms_at_once_are_refused(run, make_bundle, films):
    assert isinstance(run(make_bundle(), films, "--csv", "--json").exception, ConfigError)


def test_after_many_films_the_answers_are_counted_and_after_one_they_are_not(run, make_bundle, films, as_png):
    (films / "b.PNG").write_bytes(as_png(np.zeros((200, 200), np.uint8)))
    (films / "c.png").write_bytes(b"")
    root = make_bundle()
    said = run(root, films).stdout
    [line] = [line for line in said.splitlines() if line.startswith("4 films: ")]
    assert ("1 rejected" in line, "1 unreadable" in line) == (True, True)
    assert sum(int(part.split()[0]) for part in line.removeprefix("4 films: ").split(", ")) == 4
    assert " films: " not in run(root, films / "a.png").stdout


def test_what_is_said_of_some_films_names_them_and_what_of_all_stands_once():
    def row(name, *limits):
        return SimpleNamespace(film=Path(name), error=None, result=SimpleNamespace(limits=("of all", *limits)))

    answers = SimpleNamespace(rows=(row("a.png", "tinted"), row("b.png"), row("c.png", "tinted", "unlike")))
    assert _limits(answers) == (["of all"], {"tinted": ["a.png", "c.png"], "unlike": ["c.png"]})


def test_a_file_that_is_named_and_may_not_serve_is_an_error_and_never_the_baseline(run, make_bundle, films):
    root = make_bundle(verdicts=VERDICTS)
    found = run(root, films / "a.png", "--artefact", "model_int8.tflite").exception
    assert isinstance(found, ArtefactError)
    assert "model_int8.tflite was named and may not answer" in found.what
    (root / "model_float32.tflite").unlink()
    assert isinstance(run(root, films / "a.png", "--artefact", "model_float32.tflite").exception, ArtefactError)
    named = run(root, films / "a.png", "--artefact", "baseline.tflite")
    assert (named.exit_code, "the baseline was requested by name" in named.stdout) == (0, True)


def test_bundles_and_runs_are_no_films(run, make_bundle, films, tmp_path):
    root = make_bundle()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "curves.png").write_bytes((films / "a.png").read_bytes())
    for given in (root, tmp_path / "run", tmp_path / "run" / "curves.png"):
        assert isinstance(run(root, films / "a.png", given).exception, DataError)


def test_litert_greets_nobody_on_stderr(make_bundle, films):
    command = [sys.executable, "-m", "tbconv", "predict", make_bundle(), films / "a.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "INFO" in done.stderr, "XNNPACK" in done.stderr) == (0, False, False)
