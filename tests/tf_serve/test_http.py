"""Ask a real server over HTTP: health, films, refusals, limits, headers, and many at once."""

import concurrent.futures
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.bundle import read_bundle
from tbconv.contract.certificate import Certificate, Verdict
from tbconv.contract.environment import processor, tried_as
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral
from tbconv.contract.xray.reference import NO_REFERENCE_LIMIT
from tf_serve.fallback import choose_model
from tf_serve.models import loader
from tf_serve.predict import SYNTHETIC_LIMIT, screen
from tf_serve.runtime import selftest
from tf_serve.score import scorer
from tf_serve.server.routes.screening import PAGE_FOLDER as FOLDER
from tf_serve.settings import MAX_BODY

WORDS = Referral(BACTERIOLOGICAL_TEST)  # what the labels of the drawn bundle are known to call for


def test_readiness_says_what_is_known_of_the_file_on_this_processor(make_bundle, serve):
    here = processor()
    with serve(make_bundle()) as client:
        told = client.get("/v2/health/ready").json()["processor"]
    assert (told["kernel_flags"], told["tried_as"]) == (here["kernel_flags"], tried_as(here["kernel_flags"]))
    assert "not known" in told["note"]  # the drawn certificate names no processor


def certified_on(flags, *rows):
    scope = {"processor": {"model": "Drawn", "kernel_flags": flags}, "portability": {"rows": list(rows)}}
    return Certificate({}, scope=scope)


def test_another_processor_is_looked_up_in_the_certificates_table(monkeypatch):
    arm = {"model": "Cortex-A76", "kernel_flags": ["asimd", "asimddp"], "flags_sha256": None}
    monkeypatch.setattr(selftest, "processor", lambda: arm)
    row = {"path": "model_int8.tflite", "target": "cortex-a76", "verdict": "WITHIN ROUNDING", "films": 32}
    tried = selftest.describe_processor(certified_on(["avx2", "fma"], row), "model_int8.tflite")
    assert tried["note"].endswith("tried as cortex-a76: WITHIN ROUNDING on 32 films")
    other = selftest.describe_processor(certified_on(["avx2", "fma"], row), "model_float32.tflite")
    assert other["note"].endswith("not tried on such a processor: tbconv verify BUNDLE --where cortex-a76")
    same = selftest.describe_processor(certified_on(["asimd", "asimddp"]), "model_int8.tflite")
    assert same["note"] == "the instructions that it was certified on"


def test_liveness_answers_while_the_model_loads_and_readiness_waits_for_it(make_bundle, serve, ask, film, monkeypatch):
    go_on = threading.Event()
    real = loader.choose_file
    monkeypatch.setattr(loader, "choose_file", lambda *args, **kwargs: go_on.wait(20) and real(*args, **kwargs))
    with serve(make_bundle(), wait=False) as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        ready = client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"error": "the model is being loaded"})
        busy = ask(client, film)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        go_on.set()
        while client.get("/v2/health/ready").status_code != 200:
            time.sleep(0.02)
        assert client.get("/v2/health/ready").json()["model"]["kind"] == "trained"
        assert ask(client, film).status_code == 200


def test_a_bundle_that_cannot_answer_is_live_and_never_ready(make_bundle, serve):
    root = make_bundle(verdicts=dict.fromkeys(("model_int8.tflite", "baseline.tflite"), Verdict.FAILED))
    with serve(root, wait=False) as client:
        while "loaded" in (error := client.get("/v2/health/ready").json()["error"]):
            time.sleep(0.02)
        assert "baseline.tflite may not serve" in error
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/").status_code == 200


def test_an_answer_has_every_field_of_the_screening_api(client, ask, film):
    answer = ask(client, film).json()
    assert answer["status"] == "ok"
    assert answer["decision"] == ("refer" if answer["margin"] >= answer["threshold"] else "not_flagged")
    assert answer["margin"] == pytest.approx(np.mean(answer["evidence"]["map"]), rel=0, abs=0.05)  # an int8 file
    assert 0 <= answer["probability"] <= 1
    assert answer["score"] == pytest.approx(100 * answer["probability"], abs=0.06)
    assert set(answer["evidence"]) == {"map", "side", "zone", "href"}
    assert answer["calibration"]["slope"] == 1.2
    assert answer["model"]["artefact"] == "model_int8.tflite"
    assert (answer["model"]["kind"], answer["model"]["verdict"]) == ("trained", "BOUNDED")
    assert answer["model"]["fallback_reason"] is None
    assert answer["limits"] == [*WORDS.limits, NO_REFERENCE_LIMIT]
    assert len(answer["result_id"]) == 32


def test_a_network_trained_on_phantoms_says_so_in_every_answer(make_bundle, serve, ask, film):
    with serve(make_bundle(synthetic=True)) as client:
        assert SYNTHETIC_LIMIT in ask(client, film).json()["limits"]
        assert client.get("/v2/health/ready").json()["model"]["synthetic"] is True


@pytest.mark.parametrize("artefact", ["model_float32.tflite", "model_int8.tflite"])
def test_the_same_pixels_give_the_same_margin_through_the_file_the_command_and_http(
    make_bundle, serve, ask, draw_film, artefact
):
    jpeg = io.BytesIO()
    Image.fromarray(draw_film()).save(jpeg, "JPEG", quality=90)
    png = io.BytesIO()
    Image.open(io.BytesIO(jpeg.getvalue())).save(png, "PNG")
    decoded = png.getvalue()
    root = make_bundle()
    bundle = read_bundle(root)
    active = choose_model(bundle, artefact=artefact)
    direct = active.classifier.predict(bundle.manifest.preprocessing.from_bytes(decoded)).margin[0]
    with serve(root, artefact=artefact) as client:
        margins = [
            screen(decoded, active, bundle.manifest).finding.margin,
            screen(jpeg.getvalue(), active, bundle.manifest).finding.margin,
            ask(client, decoded).json()["margin"],
            ask(client, jpeg.getvalue(), "image/jpeg").json()["margin"],
        ]
    np.testing.assert_allclose(margins, direct, rtol=0, atol=1e-5)


def test_sixteen_threads_get_the_answers_that_one_gets(client, ask, draw_film, as_png):
    films = [as_png(draw_film(seed)) for seed in range(8)] * 4
    margins = [ask(client, film).json()["margin"] for film in films]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda film: ask(client, film).json()["margin"], films))
    assert together == margins
    assert len(set(margins)) > 1


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"", "image/png", 400),
        (b"no picture at all", "image/png", 415),
        (b"\x89PNG\r\n\x1a\n truncated", "image/png", 400),
        (b"%PDF-1.7", "application/pdf", 415),
        (bytes(128) + b"DICM", "application/dicom", 400),
        (b"GIF89a", "image/gif", 415),
        (bytes(MAX_BODY + 1), "image/png", 413),
    ],
    ids=["empty", "text", "truncated PNG", "PDF", "DICOM", "GIF", "too large"],
)
def test_what_is_no_film_is_refused_with_a_sentence(client, ask, data, kind, status):
    answer = ask(client, data, kind)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert "secret-name" not in answer.text


def test_a_body_without_a_declared_length_is_bounded_while_it_arrives(client):
    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: image/png\r\n\r\n'
        for _ in range(MAX_BODY // 2**20 + 1):
            yield bytes(2**20)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/api/v1/screen", content=body(), headers=headers).status_code == 413


def test_a_request_without_the_film_is_told_what_is_missing(client, ask, film):
    wrong_field = ask(client, film, field="image")
    assert (wrong_field.status_code, "no file field named 'file'" in wrong_field.json()["error"]) == (400, True)
    torn = client.post("/api/v1/screen", content=b"x", headers={"content-type": "multipart/form-data"})
    assert torn.status_code == 400


def test_a_photograph_a_blank_page_and_a_stamp_are_rejected_with_a_reason_code(client, ask, as_png, draw_film):
    colours = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    photograph = np.asarray(Image.fromarray(colours).resize((300, 300), Image.Resampling.BICUBIC))
    pictures = {
        "colour_photograph": photograph,
        "blank": np.full((300, 300), 128, np.uint8),
        "too_small": draw_film()[:99, :120],
    }
    for reason, pixels in pictures.items():
        answer = ask(client, as_png(pixels))
        assert (answer.status_code, answer.json()["status"], answer.json()["reason"]) == (200, "rejected", reason)
        assert answer.json()["probability"] is None
        assert answer.json()["explanation"]


@pytest.mark.parametrize("damage", ["missing", "altered", "without a verdict"])
def test_the_baselines_reason_is_in_the_answer_in_readiness_and_in_what_the_page_shows(
    make_bundle, serve, ask, film, damage
):
    lost = {"model_float32.tflite": Verdict.FAILED, "model_int8.tflite": None, "baseline.tflite": Verdict.CERTIFIED}
    root = make_bundle(verdicts=lost) if damage == "without a verdict" else make_bundle()
    if damage == "missing":
        (root / "model_int8.tflite").unlink()
    if damage == "altered":
        (root / "model_int8.tflite").write_bytes(b"x")
    with serve(root) as client:
        found = [
            ask(client, film).json()["model"],
            client.get("/v2/health/ready").json()["model"],
            client.get("/api/v1/model").json(),
        ]
    words = {"missing": "is missing", "altered": "has digest", "without a verdict": "no trained file may serve"}
    assert [model["kind"] for model in found] == ["baseline"] * 3
    assert all(words[damage] in model["fallback_reason"] for model in found)
    assert any("fallback_reason" in script.read_text() for script in FOLDER.rglob("*.js"))


def test_an_error_of_the_program_is_a_500_that_quotes_nothing(make_bundle, serve, ask, film, monkeypatch):
    def stumble(*args):
        raise RuntimeError("patient name")

    monkeypatch.setattr(scorer, "screen", stumble)
    with serve(make_bundle()) as client:
        answer = ask(client, film)
    assert (answer.status_code, answer.json()) == (500, {"error": "internal server error"})
    assert answer.headers["cache-control"] == "no-store"


def test_the_model_endpoint_says_what_it_is_and_what_it_is_not(client):
    model = client.get("/api/v1/model").json()
    assert (model["kind"], model["verdict"]) == ("trained", "BOUNDED")
    assert model["labels"] == {"negative": "Normal", "positive": "Tuberculosis"}
    assert model["certificate"] == {"reason": "measured in a test", "figures": {"flips": 0}}
    assert WORDS.disclaimer in model["limits"]


def test_every_answer_forbids_storing_and_foreign_sources(client, ask, film):
    answers = [client.get(path) for path in ("/", "/static/page.js", "/v2/health/live", "/nowhere")]
    for answer in [*answers, ask(client, film), ask(client, b"")]:
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_unknown_addresses_are_json_errors(client):
    assert client.get("/nowhere").json() == {"error": "Not Found"}
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
    assert client.get("/api/v1/screen").status_code == 405
