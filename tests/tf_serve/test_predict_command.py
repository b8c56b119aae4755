"""Run `tbconv predict` as a user does: rows, JSON, pictures, and exit codes."""

import json
import zipfile

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tbconv.commands.predict import predict
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import DISCLAIMER, BundleError, DataError
from tf_serve.fallback import choose_model


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


def test_the_table_shows_errors_and_refusals_too(run, make_bundle, films, as_png):
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
