import html
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tbconv.cli import app as tbconv
from tbconv.commands.training.audit import _show
from tbconv.commands.training.audit import audit as command
from tbconv.contract.errors import DISCLAIMER, ConfigError, DataError, Silence
from torch_train.data.index import read_index
from torch_train.data.loading import load_films
from torch_train.data.phantom import write_phantoms
from torch_train.evaluation.audit.findings import AuditConfig
from torch_train.evaluation.audit.image_probes import film_findings
from torch_train.evaluation.audit.samples import all_films, draw, read_sources
from torch_train.train import train

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.audit import KERMANY, plant_tag

SHARED = Path(__file__).parents[2].resolve().parent / "shared/data"
needs_films = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path_factory):
    monkeypatch.setattr("torch_train.metrics.RESAMPLES", 200)
    monkeypatch.setenv("TBCONV_CACHE", str(tmp_path_factory.getbasetemp() / "films"))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "phantoms"
    write_phantoms(folder, n=80, seed=3, reporter=Silence())
    return folder


@pytest.fixture
def run_audit(tmp_path):
    app = typer.Typer()
    app.command()(command)

    def run(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "audit")])

    return run


def test_phantoms_as_they_are_pass_on_a_page_that_stands_alone_and_says_what_it_is(run_audit, phantoms, tmp_path):
    answer = run_audit("--data", phantoms)
    assert answer.exit_code == 0
    for text in (DISCLAIMER, "synthetic", "PASS: no shortcut found by"):
        assert text in answer.stdout
    page = html.unescape((tmp_path / "audit/audit.html").read_text())
    for text in (DISCLAIMER, "Synthetic films", "SUSPECT where the lower 95 % bound of the AUROC is above 0.75"):
        assert text in page
    assert not re.search(r"<script|<link|<img|@import|https?://| on\w+=", page)
    assert page.count("<svg") == 3
    record = json.loads((tmp_path / "audit/audit.json").read_text())
    assert (record["verdict"], record["suspect"]) == ("PASS", [])
    assert {found["probe"] for found in record["findings"]} >= {"greys", "border", "corner tags", "file facts"}
    assert record["sources"].keys() == {"Synthetic-A", "Synthetic-B"}


def test_on_80_columns_five_lines_say_what_matters_and_the_table_holds(phantoms, tmp_path, on_80_columns):
    tagged = plant_tag(read_index(phantoms), tmp_path / "planted")
    done, lines = on_80_columns(tbconv, "audit", "--data", tagged, "--out", tmp_path / "a", "-q")
    said = " ".join(" ".join(lines).split())
    assert done.exit_code == 1, done.output
    assert lines[0].startswith("verdict: SUSPECT: 2 of ")
    starts = [said.index(word) for word in ("verdict: ", "A network can reach", "films: 40 ", "probes: 2 SUSPECT, ")]
    assert starts == sorted(starts)
    assert f"report: {tmp_path / 'a/audit.html'} (--details prints its tables)" in said
    assert "SUSPECT corner tags: AUROC " in said
    assert "─" not in said
    record = json.loads((tmp_path / "a/audit.json").read_text())
    app = typer.Typer()
    app.command()(lambda: _show(record, tmp_path / "audit.html", details=True))
    done, lines = on_80_columns(app)
    start = next(at for at, line in enumerate(lines) if line.lstrip().startswith("probe "))
    table = lines[start : lines.index("", start) if "" in lines[start:] else -1]
    assert len(table) >= 2 + len(record["findings"])
    assert max(map(len, table)) <= 80
    assert all(column in table[0] for column in ("probe", "verdict", "figure", "95 % interval", "level"))


def test_a_tag_planted_in_one_class_of_phantoms_makes_the_tag_probes_speak_and_no_other(run_audit, phantoms, tmp_path):
    answer = run_audit("--data", plant_tag(read_index(phantoms), tmp_path / "planted"), "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["suspect"]) == (1, ["corner tags", "tag at one place"])


def test_two_folders_of_one_class_each_are_two_sources_and_suspect(run_audit, phantoms, tmp_path):
    index = read_index(phantoms)
    for film in index.films:
        place = tmp_path / ("sick" if film.label else "well") / film.path.name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(film.path, place)
    answer = run_audit(
        "--positive-films", tmp_path / "sick", "--negative-films", tmp_path / "well", "--json"
    )  # fmt: skip
    assert answer.exit_code == 1
    record = json.loads(answer.stdout)
    assert record["suspect"] == ["label tied to source"] + ["source seen in the film"] * (len(record["suspect"]) - 1)
    assert sorted(sum(counts.values()) for counts in record["sources"].values()) == [40, 40]


def test_several_sets_are_several_sources_and_their_patients_are_not_mixed_up(phantoms, films, tmp_path):
    config = AuditConfig(out=tmp_path, data=(phantoms, films), patient=r"(?:patient|synthetic-)(\d+)")
    index = read_sources(config)
    assert {film.site for film in index.films} == {f"{phantoms}: Synthetic-{letter}" for letter in "AB"} | {str(films)}
    assert len({film.patient for film in index.films}) == 80 + 14
    assert index.synthetic
    assert any("classes are called" in note for note in index.notes)


def test_a_run_is_questioned_on_films_that_it_did_not_train_on(run_audit, phantoms, recipe):
    config = recipe(data=phantoms, patient=None, epochs=1, batch=16)
    train(config, Silence())
    answer = run_audit("--data", phantoms, "--run", config.out, "--boxes", phantoms / "opacities.csv", "--json")
    record = json.loads(answer.stdout)
    found = {finding["probe"]: finding for finding in record["findings"]}
    assert found["copies across the split"]["reason"] == "0 of 24 held-out films"
    assert found["near duplicates across the split"]["verdict"] == "PASS"
    assert {found[name]["estimate"]["n"] for name in ("energy in lung masks", "energy in experts' boxes")} == {12}
    assert found["lungs blacked out"]["verdict"] in ("PASS", "SUSPECT", "NOT MEASURED")
    assert record["run"] == "synthetic-resnet10-synthetic-opacity-against-synthetic-normal"


def test_what_cannot_be_audited_is_a_stated_error(run_audit, films, phantoms, tmp_path):
    assert isinstance(run_audit("--data", phantoms, "--positive-films", phantoms).exception, ConfigError)
    assert isinstance(run_audit("--data", tmp_path / "nowhere").exception, DataError)
    nowhere = run_audit("--positive-films", tmp_path / "nowhere", "--negative-films", phantoms).exception
    assert (type(nowhere), nowhere.why) == (DataError, "there is no such folder")
    few = run_audit("--data", films, "--patient", r"patient(\d+)_").exception
    assert (type(few), "7 patients of the rarer class, and it takes 10" in few.why) == (DataError, True)


@pytest.mark.slow
@needs_films
def test_tuberculosis_of_one_source_against_normals_of_another_is_suspect(run_audit):
    folders = ("--positive-films", SHARED / "tbx11k/Tuberculosis", "--negative-films", SHARED / "rahman/Normal")
    answer = run_audit(*folders, "--most", 300, "--json")
    suspect = json.loads(answer.stdout)["suspect"]
    assert answer.exit_code == 1
    assert {"label tied to source", "source seen in the film", "greys"} <= set(suspect)


@pytest.mark.slow
@needs_films
def test_kermany_is_not_suspect_by_file_border_and_tag_until_a_tag_is_planted(tmp_path):
    index = read_index(SHARED / "kermany", patient=KERMANY)
    some = replace(index, films=index.films[::13])
    spoke = _suspect(some)
    assert not {"file facts", "border", "corner tags", "tag at one place"} & spoke
    planted = plant_tag(some, tmp_path / "planted")
    assert _suspect(read_index(planted, patient=KERMANY)) - spoke == {"corner tags", "tag at one place"}


def _suspect(index):
    loaded = load_films(index, Silence())
    films = all_films(loaded, [])
    findings = film_findings(films, draw(films, 400, 0), index.labels, seed=0, reporter=Silence())
    return {finding.probe for finding in findings if finding.verdict == "SUSPECT"}
