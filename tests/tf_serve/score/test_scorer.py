"""`tbconv.Scorer`: the same answers as the server and the command, one interpreter, and it travels as a recipe."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import tbconv
from tbconv.contract.errors import BundleError, FilmError
from tf_serve.score.scorer import Scorer


def test_the_server_the_command_and_the_scorer_answer_alike(make_bundle, serve, ask, film, tmp_path):
    place = make_bundle()
    said = tbconv.Scorer(place).score(film).to_json()
    (tmp_path / "a.png").write_bytes(film)
    words = ["predict", place, tmp_path / "a.png", "--json"]
    program = "from tbconv.cli import main; main()"
    done = subprocess.run([sys.executable, "-P", "-c", program, *words], capture_output=True, text=True, check=True)
    with serve(place) as client:
        served = ask(client, film).json()
    commanded = json.loads(done.stdout)["films"][0]
    for name in ("margin", "probability", "score", "decision", "limits", "calibration"):
        assert said[name] == commanded[name] == served[name], name
    assert said["evidence"]["map"] == tuple(map(tuple, served["evidence"]["map"]))


def test_the_server_answers_through_it(make_bundle, serve, ask, film, monkeypatch):
    real, scored = Scorer.score, []

    def watched(self, data, **options):
        scored.append(len(data))
        return real(self, data, **options)

    monkeypatch.setattr(Scorer, "score", watched)
    with serve(make_bundle()) as client:
        assert ask(client, film).status_code == 200
    assert len(film) in scored  # the server's own trials of its model go through the scorer as well, at their own time


def test_a_scorer_that_travelled_answers_alike(make_bundle, add_golden, film):
    scorer = tbconv.Scorer(add_golden(make_bundle()), artefact="model_float32.tflite", gate="basic")
    again = pickle.loads(pickle.dumps(scorer))
    assert again.row("a", film) == scorer.row("a", film)
    assert (again.gate, again.active.artefact) == ("basic", "model_float32.tflite")
    assert again.describe() == scorer.describe()


def test_a_recipe_that_finds_another_bundle_refuses(make_bundle, networks, film):
    place = make_bundle()
    packed = pickle.dumps(tbconv.Scorer(place))
    before = (place / "manifest.json").read_text()
    (place / "manifest.json").write_text(before + "\n")
    with pytest.raises(BundleError, match="is not the bundle that it was"):
        pickle.loads(packed)
    (place / "manifest.json").write_text(before)
    assert pickle.loads(packed).row("a", film).status == "answered"


def test_where_the_network_is_gone_a_recipe_does_not_let_the_baseline_answer(make_bundle, film):
    place = make_bundle()
    packed = pickle.dumps(tbconv.Scorer(place))
    (place / tbconv.load(place).artefact).unlink()
    assert tbconv.Scorer(place).active.kind == "baseline"  # a run that begins now says so in every row
    with pytest.raises(BundleError, match="is not the bundle that it was") as caught:
        pickle.loads(packed)
    assert "baseline.tflite" in caught.value.why


def test_a_bundle_that_does_not_answer_its_golden_inputs_is_answered_by_its_baseline_with_the_reason(
    make_bundle, add_golden, networks, film
):
    import shutil

    place = add_golden(make_bundle())
    shutil.copy(networks / "other_float32.tflite", place / "model_float32.tflite")
    row = tbconv.Scorer(place, artefact=None).row("a", film)
    assert row.status == "answered"
    with pytest.raises(BundleError):
        tbconv.Scorer(place, artefact="model_float32.tflite")


def test_a_film_is_a_row_whatever_it_is(make_bundle, film, as_png):
    scorer = tbconv.Scorer(make_bundle())
    assert scorer.row("a", film).status == "answered"
    rejected = scorer.row("b", as_png(np.full((300, 300), 90, np.uint8)))
    assert (rejected.status, rejected.gate_reason, rejected.margin) == ("rejected", "blank", None)
    cut = scorer.row("c", film[:200])
    assert (cut.status, cut.limits) == ("quarantined", ())
    assert cut.reason
    assert scorer.row("d", b"%PDF", called_film=False).status == "left_out"
    with pytest.raises(FilmError):
        scorer.score(film[:200])


def test_an_error_of_the_program_is_recorded_with_its_film_and_without_its_words(make_bundle, film, monkeypatch):
    from tf_serve.score import scorer as module

    def broken(*_, **__):
        raise ZeroDivisionError("patient Doe")

    monkeypatch.setattr(module, "screen", broken)
    row = tbconv.Scorer(make_bundle()).row("a", film)
    assert row.status == "quarantined"
    assert row.reason.startswith("an unexpected error: ZeroDivisionError in test_scorer.py")
    assert "Doe" not in row.reason


def test_scoring_from_python_is_the_command(make_bundle, films, rows_of, tmp_path):
    summary = tbconv.score(make_bundle(), films, tmp_path / "results", workers=1, csv=True)
    assert (summary.films, summary.scored, summary.quarantined) == (24, 24, 0)
    assert len(rows_of(tmp_path / "results")) == 24
    assert (tmp_path / "results/results.csv").exists()
