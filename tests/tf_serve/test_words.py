"""What a reader is told of a flag, wherever an answer is shown: three bundles, each in its own words."""

import base64
import json
from urllib.parse import unquote

import pytest
import typer
from PIL import ImageDraw
from typer.testing import CliRunner

from tbconv.api import load
from tbconv.commands.serving.predict import predict

BUNDLES = {
    "tuberculosis": ({"labels": ("Normal", "Tuberculosis")}, "refer for a bacteriological test"),
    "pneumonia": (
        {"labels": ("NORMAL", "PNEUMONIA"), "referral": "un avis pédiatrique"},
        "refer for un avis pédiatrique",
    ),
    "neutral": ({"labels": ("A", "B")}, "flagged: have a clinician read it"),
    "tuberculosis, nothing named": (
        {"labels": ("Normal", "TB"), "referral": ""},
        "flagged: have a clinician read it",
    ),
}
FLAGS_ALL, FLAGS_NONE = -1000.0, 1000.0  # margins


@pytest.fixture(params=BUNDLES)
def told(request, make_bundle):
    """Return a bundle that flags every film, and what a flag of it calls for."""
    options, flagged = BUNDLES[request.param]
    return make_bundle(threshold=FLAGS_ALL, **options), flagged


def only_its_own(text, flagged):
    """Whether nothing of tuberculosis is said but by the bundle that looks for it."""
    text = text.lower()
    return flagged in BUNDLES["tuberculosis"] or not any(word in text for word in ("bacteriolog", "tubercul"))


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(predict)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_and_its_pictures_say_it(told, run, film, tmp_path, monkeypatch):
    root, flagged = told
    (tmp_path / "film.png").write_bytes(film)
    drawn, draw = [], ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, at, text, **how: drawn.append(text) or draw(self, at, text, **how)
    )
    done = run(root, tmp_path / "film.png", "--overlay", tmp_path / "pictures")
    assert done.exit_code == 0, done.output
    caption = " ".join(drawn)
    for said in (done.stdout, caption):
        assert flagged.lower() in said.lower()
        assert only_its_own(said, flagged)
    assert (flagged[0].upper() + flagged[1:] + ".") in caption


def test_python_and_json_say_it(told, run, film, tmp_path):
    root, flagged = told
    model = load(root)
    found = model.predict(film)
    assert (found.decision, found.decision_words) == ("refer", flagged)
    assert found.score >= found.threshold_score
    phrase = flagged.removeprefix("refer for ") if flagged.startswith("refer") else None
    assert (model.referral, found.model["referral"]) == (phrase, phrase)
    assert found.model["disclaimer"] == found.limits[0]
    assert (phrase or "a clinician's reading") in found.limits[0]
    (tmp_path / "film.png").write_bytes(film)
    [row] = json.loads(run(root, tmp_path / "film.png", "--json").stdout)["films"]
    assert (row["decision_words"], row["model"]["referral"]) == (flagged, phrase)


def test_the_server_says_it_in_every_protocol(told, serve, ask, film):
    root, flagged = told
    with serve(root) as client:
        answer, model = ask(client, film).json(), client.get("/api/v1/model").json()
        papers = client.get("/api/v1/certificate").json()
        address, encoded = f"/v1/models/{papers['url_name']}:predict", base64.b64encode(film).decode()
        rows = client.post(address, json={"instances": [{"b64": encoded}]})
    assert answer["decision_words"] == model["decisions"]["refer"] == flagged
    assert answer["model"]["disclaimer"] == model["disclaimer"] == answer["limits"][0]
    assert papers["model"]["referral"] == answer["model"]["referral"]
    assert unquote(rows.headers["x-disclaimer"]) == model["disclaimer"]
    for said in (json.dumps(answer), json.dumps({**model, "labels": None}), rows.headers["x-disclaimer"]):
        assert only_its_own(said, flagged)


def test_a_score_below_its_cutoff_is_never_flagged(make_bundle, film):
    found = load(make_bundle(threshold=FLAGS_NONE)).predict(film)
    assert (found.decision, found.decision_words) == ("not_flagged", "not flagged")
    assert found.score < found.threshold_score
