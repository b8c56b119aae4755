"""`tbconv score`: every listed film has one row, and it says what `tbconv predict` says."""

import csv
import hashlib
import json

import pyarrow.parquet as pq
import pytest

import tbconv
from tf_serve.score.rows import Row, head_of, shards


def test_every_film_has_one_row_with_what_the_python_api_answers(score, make_bundle, films, rows_of, tmp_path):
    place, out = make_bundle(), tmp_path / "results"
    done = score(place, films, out, "--shard-films", "10")
    assert done.returncode == 0, done.stderr
    rows = rows_of(out)
    names = sorted(path.relative_to(films).as_posix() for path in films.rglob("*.*g"))
    assert [row.film for row in rows] == names
    assert [pq.read_metadata(path).num_rows for path in shards(out)] == [10, 10, 4]
    model = tbconv.load(place)
    for row in rows:
        path = films / row.film
        said = model.predict(path)
        assert (row.status, row.decision) == ("answered", said.decision)
        assert (row.margin, row.probability, row.score) == (said.margin, said.probability, said.score)
        assert (row.evidence_side, row.evidence_zone) == (said.side, said.zone)
        assert tuple(row.limits) == said.limits
        assert row.film_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row.model_sha256 == said.model["sha256"]
        assert row.certificate_sha256 == hashlib.sha256((place / "certificate.json").read_bytes()).hexdigest()
        assert 0 < row.grey_mean < 255


def test_the_head_of_every_shard_says_what_answered_and_that_it_is_no_medical_device(
    score, make_bundle, films, tmp_path
):
    place, out = make_bundle(referral="a chest CT"), tmp_path / "results"
    assert score(place, films, out, "--shard-films", "9").returncode == 0
    for shard in shards(out):
        found = pq.read_schema(shard)
        assert found.names == list(Row._fields)
        assert found.metadata[b"tbconv.schema"] == b"1"
        assert b"not a medical device: a flag calls for a chest CT" in found.metadata[b"tbconv.disclaimer"]
    model = head_of(out)["model"]
    assert model["model"]["artefact"] == tbconv.load(place).artefact
    assert (model["threshold"], model["gate"]) == (0.0, "strict")
    assert model["decision_words"]["refer"] == "refer for a chest CT"


def test_json_is_the_summary_and_csv_a_table_of_the_same_rows(score, make_bundle, films, rows_of, tmp_path):
    (films / "=cmd.png").write_bytes((films / "ward-0/patient-00.png").read_bytes())
    out = tmp_path / "results"
    done = score(make_bundle(), films, out, "--json", "--csv")
    said = json.loads(done.stdout)
    assert said == json.loads((out / "summary.json").read_text())
    assert (said["films"], said["scored"], said["statuses"]["answered"]) == (25, 25, 25)
    assert sum(said["decisions"].values()) == 25
    assert said["films_a_second"] > 0
    with (out / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    rows = rows_of(out)
    assert [float(one["margin"]) for one in table] == [row.margin for row in rows]
    assert {one["film"] for one in table} == {row.film for row in rows} - {"=cmd.png"} | {"./=cmd.png"}


def test_the_same_command_again_scores_nothing_and_says_the_same(score, make_bundle, films, bytes_of, tmp_path):
    place, out = make_bundle(), tmp_path / "results"
    assert score(place, films, out).returncode == 0
    before = bytes_of(out)
    again = score(place, films, out, "--json")
    assert (again.returncode, json.loads(again.stdout)["scored"]) == (0, 0)
    assert bytes_of(out) == before
    assert "24 of 24 films have their rows already" in again.stderr


def test_one_worker_and_three_give_the_same_bytes(score, make_bundle, films, bytes_of, tmp_path):
    place = make_bundle()
    for workers in ("1", "3"):
        done = score(place, films, tmp_path / workers, "--workers", workers, "--shard-films", "7")
        assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "3")


def test_what_the_gate_rejects_has_its_reason_and_no_figures(score, make_bundle, films, as_png, rows_of, tmp_path):
    import numpy as np

    (films / "page.png").write_bytes(as_png(np.full((300, 300), 90, np.uint8)))
    out = tmp_path / "results"
    assert score(make_bundle(), films, out).returncode == 0
    [row] = [row for row in rows_of(out) if row.status == "rejected"]
    assert (row.film, row.gate_reason) == ("page.png", "blank")
    assert (row.margin, row.decision, row.score, row.grey_mean) == (None, None, None, None)
    assert row.limits


def test_without_the_gate_the_same_page_is_answered(score, make_bundle, films, as_png, rows_of, tmp_path):
    import numpy as np

    (films / "page.png").write_bytes(as_png(np.full((300, 300), 90, np.uint8)))
    out = tmp_path / "results"
    assert score(make_bundle(), films, out, "--gate", "off").returncode == 0
    assert {row.status for row in rows_of(out)} == {"answered"}


@pytest.mark.parametrize("engine", ["spark", ""])
def test_an_engine_that_is_none_is_refused(score, make_bundle, films, tmp_path, engine):
    done = score(make_bundle(), films, tmp_path / "results", "--engine", engine)
    assert (done.returncode, "there is no engine" in done.stderr) == (1, True)
