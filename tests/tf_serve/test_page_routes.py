"""What the pages ask for: the bundle's own papers, the models, and a film as a picture."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral
from tbconv.contract.statistics import proportion

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis


@pytest.fixture
def metrics(tmp_path):
    place = tmp_path / "some-metrics.json"
    place.write_text(json.dumps({"films": {"test": {"n": 7}}}))
    return {"metrics.json": place}


def post_picture(client, data, kind="image/png"):
    return client.post("/api/v1/picture", files={"file": ("secret-name.png", data, kind)})


def sixteen_bit(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint16) * 16).save(out, "PNG")  # 12 bits in use
    return out.getvalue()


def test_the_bundles_papers_come_as_one_answer(make_bundle, serve, metrics):
    with serve(make_bundle(sources=metrics)) as client:
        papers = client.get("/api/v1/certificate").json()
    assert papers["metrics"] == {"films": {"test": {"n": 7}}}
    assert papers["certificate"]["artefacts"]["model_int8.tflite"]["verdict"] == "BOUNDED"
    assert papers["missing"] == {"model_card.md": papers["missing"]["model_card.md"]}
    assert papers["manifest"]["labels"] == {"negative": "Normal", "positive": "Tuberculosis"}
    assert {row["path"] for row in papers["manifest"]["artefacts"]} == set(papers["certificate"]["artefacts"])
    assert all(row["bytes"] > 0 for row in papers["manifest"]["artefacts"])
    assert DISCLAIMER in papers["limits"]


def test_a_paper_that_was_altered_is_left_out_with_the_reason(make_bundle, serve, metrics):
    root = make_bundle(sources=metrics)
    (root / "metrics.json").write_text('{"films": "better ones"}')
    with serve(root) as client:
        papers = client.get("/api/v1/certificate")
    assert papers.json()["metrics"] is None
    assert "has digest" in papers.json()["missing"]["metrics.json"]
    assert "better ones" not in papers.text


def test_without_counts_of_the_served_file_the_validation_films_stand_in_with_exact_intervals(make_bundle, serve):
    with serve(make_bundle()) as client:
        operating = client.get("/api/v1/certificate").json()["operating"]
    # the tests' operating point: 0.91 of 40 positives is 36 films, 0.85 of 60 negatives is 51
    for name, expected in {"sensitivity": proportion(36, 40), "specificity": proportion(51, 60)}.items():
        found = operating[name]
        assert (found["value"], found["n"], found["method"]) == (expected.value, expected.n, expected.method)
        assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), rel=0, abs=1e-10)
    assert "flatters" in operating["of"]


def test_the_models_are_named_and_one_that_is_not_there_is_404(make_bundle, serve):
    with serve(make_bundle()) as client:
        named = client.get("/api/v1/models").json()
        assert [row["name"] for row in named["models"]] == [named["default"]] == ["tiny"]
        assert client.get("/api/v1/certificate", params={"model": "lungs"}).status_code == 404


def test_a_picture_is_the_film_as_the_network_sees_it_and_nothing_else(client, draw_film):
    film = draw_film()
    answer = post_picture(client, sixteen_bit(film))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.mode, picture.info) == ("L", {})
    np.testing.assert_allclose(np.asarray(picture, int), film.astype(int), rtol=0, atol=16)


def test_a_large_film_is_drawn_at_1024_pixels(client, draw_film, as_png):
    picture = Image.open(io.BytesIO(post_picture(client, as_png(draw_film(height=2100, width=1400))).content))
    assert picture.size == (683, 1024)


@pytest.mark.parametrize(
    ("data", "kind", "status"), [(b"no film", "image/png", 415), (b"%PDF", "application/pdf", 415)]
)
def test_what_is_no_film_has_no_picture(client, data, kind, status):
    answer = post_picture(client, data, kind)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert "secret-name" not in answer.text


def test_the_pages_are_there_before_any_model_is(make_bundle, serve):
    root = make_bundle()
    (root / "baseline.tflite").unlink()
    (root / "model_int8.tflite").unlink()
    (root / "model_float32.tflite").unlink()
    with serve(root, wait=False) as client:
        assert [client.get(path).status_code for path in ("/", "/model", "/docs", "/static/page.js")] == [200] * 4
        for path in ("/api/v1/models", "/api/v1/certificate"):
            assert client.get(path).status_code == 503
