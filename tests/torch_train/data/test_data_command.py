import json

import pytest
from typer.testing import CliRunner

from tbconv.commands.training.data import app
from tbconv.contract.errors import DataError


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_check_shows_the_report_and_says_where_the_figure_is(run, class_folders, tmp_path):
    answer = run("check", class_folders)
    assert answer.exit_code == 0
    for part in ("Tuberculosis (positive)", "10 readable, 0 not", "patients are not known", "figure: set-check.png"):
        assert part in answer.stdout
    assert (tmp_path / "here/set-check.png").is_file()


def test_check_json_is_json_alone_and_writes_no_figure_unasked(run, class_folders, tmp_path):
    answer = run("check", class_folders, "--json", "--positive", "Normal")
    value = json.loads(answer.stdout)
    assert (value["labels"]["positive"], value["figure"]) == ("Normal", None)
    assert list((tmp_path / "here").iterdir()) == []


def test_check_writes_the_figure_where_it_is_told(run, class_folders, tmp_path):
    value = json.loads(run("check", class_folders, "--json", "--figure", tmp_path / "f.png").stdout)
    assert value["figure"] == str(tmp_path / "f.png")
    assert (tmp_path / "f.png").is_file()


def test_the_figure_is_a_png_whatever_its_name_ends_in(run, class_folders, tmp_path):
    assert run("check", class_folders, "--figure", tmp_path / "figure.txt").exit_code == 0
    assert (tmp_path / "figure.txt").read_bytes().startswith(b"\x89PNG")


def test_check_leaves_a_stated_error_to_the_command_line(run, tmp_path):
    assert isinstance(run("check", tmp_path / "nowhere").exception, DataError)


def test_phantom_draws_a_set_that_check_reads(run, tmp_path):
    answer = run("phantom", tmp_path / "drawn", "--n", 24, "--seed", 5)
    assert "24 synthetic phantoms" in answer.stdout
    value = json.loads(run("check", tmp_path / "drawn", "--json").stdout)
    assert (value["synthetic"], value["films"]) == (True, 24)
    assert any("synthetic phantoms" in note for note in value["notes"])
    assert value["masks"]["kind"] == "lung fields: no labels"
