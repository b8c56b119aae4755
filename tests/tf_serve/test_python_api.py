"""`tbconv.load(...).predict(...)`: a path, bytes and an array give the bits that the command prints."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import tbconv
from tbconv.cli import app


@pytest.fixture
def place(make_bundle):
    return make_bundle()


def test_a_path_bytes_and_an_array_are_answered_alike_and_as_the_command_answers(place, film, tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(film)
    model = tbconv.load(place)
    answers = [model.predict(one) for one in (path, str(path), film, np.asarray(Image.open(path)))]
    said = json.loads(CliRunner().invoke(app, ["predict", str(place), str(path), "--json"]).stdout)["films"][0]
    for answer in answers:
        assert (answer.status, answer.margin, answer.threshold) == ("ok", said["margin"], said["threshold"])
        assert answer.decision == said["decision"]
        assert np.array_equal(answer.evidence, np.array(said["evidence"]["map"], np.float32))
        assert answer.model["sha256"] == said["model"]["sha256"]
        assert list(answer.limits) == said["limits"]


def test_the_margin_is_the_mean_of_the_evidence_and_decides(place, film):
    model = tbconv.load(place, artefact="model_float32.tflite")
    answer = model.predict(film)
    assert answer.margin == pytest.approx(answer.evidence.mean(), abs=1e-4)
    flagged = answer.margin >= model.threshold
    assert answer.decision in (("refer" if flagged else "not_flagged"), "indeterminate")


def test_a_blank_film_is_rejected_with_a_reason_and_no_figures(place):
    answer = tbconv.load(place).predict(np.resize(np.arange(90, 98, dtype=np.uint8), (300, 300)))
    assert (answer.status, answer.margin, answer.evidence) == ("rejected", None, None)
    assert answer.reason
    assert answer.explanation


def test_a_file_that_is_no_film_is_an_error_in_three_parts(place, tmp_path):
    path = tmp_path / "notes.png"
    path.write_bytes(b"no picture")
    with pytest.raises(tbconv.TbconvError) as caught:
        tbconv.load(place).predict(path)
    assert "notes.png" in caught.value.what
    assert caught.value.fix
