"""Ask the screening API in every way that a film can be sent, and in those in which it cannot."""

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import draw_dicom
from tbconv.contract.certificate import Verdict

SCREEN = "/api/v1/screen"


def send(client, data, kind, **query):
    return client.post(SCREEN, content=data, headers={"content-type": kind}, params=query)


@pytest.fixture
def jpeg(film):
    """The drawn film as the bytes of a JPEG."""
    out = io.BytesIO()
    Image.open(io.BytesIO(film)).save(out, "JPEG", quality=95)
    return out.getvalue()


def test_a_film_as_the_body_itself_gets_the_answer_that_it_gets_in_a_form(client, ask, film, jpeg):
    for data, kind in ((film, "image/png"), (jpeg, "image/jpeg")):
        form, body = ask(client, data, kind).json(), send(client, data, f"{kind}; name=x").json()
        assert form.pop("result_id") != body.pop("result_id")
        assert body == form
        assert body["status"] == "ok"


def test_a_dicom_film_is_answered_as_its_pixels_are_by_every_protocol(client, ask, draw_film, as_png):
    film = draw_film()
    dicom = draw_dicom(film.astype(np.uint16), bits=8)
    expected = ask(client, as_png(film)).json()["margin"]
    forms = [send(client, dicom, "application/dicom"), ask(client, dicom, "application/dicom")]
    forms += [send(client, dicom, "application/octet-stream"), ask(client, dicom, "application/octet-stream")]
    margins = [answer.json()["margin"] for answer in forms]
    rows = {"instances": [{"b64": base64.b64encode(dicom).decode()}]}
    [row] = client.post("/v1/models/tiny:predict", json=rows).json()["predictions"]
    margins.append(row["logits"][1] - row["logits"][0])
    np.testing.assert_allclose(margins, expected, rtol=0, atol=1e-5)


def test_a_lateral_view_is_rejected_by_the_screen_and_refused_as_a_tensor(client, draw_film):
    dicom = draw_dicom(draw_film().astype(np.uint16), bits=8, ViewPosition="LL")
    found = send(client, dicom, "application/dicom").json()
    assert (found["status"], found["reason"]) == ("rejected", "lateral_view")
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(dicom).decode()]}
    answer = client.post("/v2/models/tiny/infer", json={"inputs": [tensor]})
    assert (answer.status_code, "film 0 is rejected: lateral_view" in answer.json()["error"]) == (400, True)


def test_a_client_that_does_not_name_the_type_leaves_it_to_the_first_bytes(client, ask, film):
    for answer in (send(client, film, "application/octet-stream"), ask(client, film, "application/octet-stream")):
        assert answer.json()["status"] == "ok"


def test_model_and_version_are_chosen_by_name_and_unknown_ones_are_not_found(client, film):
    model = client.get("/api/v1/model").json()
    for query in ({"model": "tiny"}, {"version": model["version"]}, {"model": "tiny", "version": model["version"]}):
        assert send(client, film, "image/png", **query).json()["model"]["sha256"] == model["sha256"]
        assert client.get("/api/v1/model", params=query).json() == model
    for query in ({"model": "lungs"}, {"version": "0"}, {"model": "tiny", "version": "\r\nx: y"}):
        for answer in (send(client, film, "image/png", **query), client.get("/api/v1/model", params=query)):
            assert (answer.status_code, list(answer.json())) == (404, ["error"])


NO_FILMS = [
    (b"", "image/png", 400),
    (b"no film", "image/jpeg", 415),
    (b"no film", "application/octet-stream", 415),
    (b"%PDF-1.7", "application/pdf", 415),
    (b"<svg/>", "image/svg+xml", 415),
    (b"{}", "application/json", 415),
    (b"x", "", 415),
    (b"x", "multipart/form-data", 400),
    (b"x", "multipart/form-data; boundary=", 400),
    (b"--x--", "multipart/form-data; boundary=x", 400),
    (b"--x\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x", 400),
]


def test_a_body_that_is_no_film_is_refused_with_a_status_and_a_sentence(client):
    for data, kind, status in NO_FILMS:
        answer = send(client, data, kind)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), (data, kind)


def test_a_form_that_holds_no_film_is_refused(client, film):
    svg = client.post(SCREEN, files={"file": ("secret-name.svg", b"<svg/>", "image/svg+xml")})
    assert (svg.status_code, "secret-name" in svg.text) == (415, False)
    text = client.post(SCREEN, data={"file": "text"}, files={"other": ("a.png", film, "image/png")})
    assert text.status_code == 415
    two = client.post(SCREEN, files=[("file", ("a.png", film, "image/png")), ("file", ("b.png", film, "image/png"))])
    assert two.status_code == 400


def test_a_packed_body_is_refused_before_it_is_unpacked(client, film):
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    assert client.post(SCREEN, content=film, headers=headers).status_code == 415


def test_a_film_that_is_none_is_rejected_with_a_reason_and_nulls(client, as_png, draw_film):
    answer = send(client, as_png(draw_film()[:60, :60]), "image/png")
    found = answer.json()
    assert (answer.status_code, found["status"], found["reason"]) == (200, "rejected", "too_small")
    assert all(found[name] is None for name in ("probability", "margin", "score", "decision", "evidence"))
    assert found["limits"]


def test_a_server_without_a_model_says_so_before_it_reads_the_film(make_bundle, serve):
    root = make_bundle(verdicts={"baseline.tflite": Verdict.FAILED})

    def unread():
        yield b"\x89PNG"

    with serve(root, wait=False) as client:
        answer = client.post(SCREEN, content=unread(), headers={"content-type": "image/png"})
        assert (answer.status_code, list(answer.json())) == (503, ["error"])
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/api/v1/model").status_code == 503
