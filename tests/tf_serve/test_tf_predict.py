"""Ask a real server in TensorFlow Serving's REST API: status, metadata, rows and columns, refusals."""

import base64
import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral
from tf_serve.fallback import choose_model

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis

MODEL = "/v1/models/tiny"


@pytest.fixture
def asked(make_bundle, serve, film):
    """A client, the film as model input, and what the network answers to it without any server."""
    root = make_bundle()
    bundle = read_bundle(root)
    image = bundle.manifest.preprocessing.from_bytes(film)
    with serve(root) as client:
        yield client, image, choose_model(bundle).classifier.predict(image)


def predict(client, message, place=MODEL):
    return client.post(f"{place}:predict", content=json.dumps(message).encode())


def forms(image, film):
    rows, packed = image.tolist(), {"b64": base64.b64encode(film).decode()}
    yield "instances", rows
    yield "instances", [{"image": rows[0]}]
    yield "instances", [packed]
    yield "instances", [{"image": packed}]
    yield "inputs", rows
    yield "inputs", {"image": rows}
    yield "inputs", {"image": [packed]}
    yield "inputs", {"image": packed}
    yield "inputs", packed


def test_rows_are_answered_with_rows_and_columns_with_columns(asked, film):
    client, image, direct = asked
    for key, value in forms(image, film):
        answer = predict(client, {key: value, "signature_name": "serving_default"})
        assert answer.status_code == 200, answer.text
        [found] = answer.json().values()
        if key == "instances":
            assert list(answer.json()) == ["predictions"]
            found = {name: [row[name] for row in found] for name in found[0]}
        else:
            assert list(answer.json()) == ["outputs"]
        for name in ("logits", "probability", "evidence"):
            expected = getattr(direct, name)
            assert np.shape(found[name]) == expected.shape
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-5)


def test_a_plain_json_client_that_knows_nothing_of_this_server_reads_its_answer(asked, film):
    client, _, direct = asked
    body = json.dumps({"instances": [{"b64": base64.b64encode(film).decode()}] * 2}).encode()
    request = urllib.request.Request(f"{client.base_url}{MODEL}:predict", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        rows = json.load(answer)["predictions"]
        said = {name: answer.headers[f"x-{name}"] for name in ("model-kind", "model-verdict", "disclaimer")}
    assert said == {"model-kind": "trained", "model-verdict": "BOUNDED", "disclaimer": DISCLAIMER}
    margins = [row["logits"][1] - row["logits"][0] for row in rows]
    np.testing.assert_allclose(margins, [direct.margin[0]] * 2, rtol=0, atol=1e-5)
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(f"{client.base_url}/v1/models/lungs"):
        pass
    assert (caught.value.code, "lungs" in json.load(caught.value)["error"]) == (404, True)
    caught.value.close()


def test_a_version_and_the_label_stable_lead_to_the_model_that_answers(asked, film):
    client, image, _ = asked
    [status] = client.get(MODEL).json()["model_version_status"]
    assert status == {
        "version": status["version"],
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for place in (f"{MODEL}/versions/{status['version']}", f"{MODEL}/labels/stable"):
        assert client.get(place).json() == {"model_version_status": [status]}
        assert predict(client, {"instances": image.tolist()}, place).status_code == 200
    for place in (f"{MODEL}/versions/1", f"{MODEL}/labels/canary", "/v1/models/lungs"):
        for answer in (client.get(place), client.get(f"{place}/metadata"), predict(client, {}, place)):
            assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_the_metadata_is_the_signature_as_a_saved_models_is_printed(client):
    found = client.get(f"{MODEL}/metadata").json()
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert found["model_spec"]["name"] == "tiny"
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["image"]["dtype"] == "DT_UINT8"
    sizes = [side["size"] for side in signature["inputs"]["image"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "224", "224", "1"]
    assert set(signature["outputs"]) == {"logits", "probability", "evidence"}


BLACK = np.zeros((1, 224, 224, 1), int).tolist()
WRONG = {
    "both": {"instances": BLACK, "inputs": BLACK},
    "neither": {},
    "another signature": {"instances": BLACK, "signature_name": "classify"},
    "no rows": {"instances": []},
    "no array": {"instances": 7},
    "null": {"inputs": None},
    "a text": {"inputs": "black"},
    "another input": {"inputs": {"film": BLACK}},
    "two inputs": {"inputs": {"image": BLACK, "mask": BLACK}},
    "flat": {"instances": [0] * 50176},
    "half a film": {"instances": [BLACK[0][:112]]},
    "colours": {"instances": np.zeros((1, 224, 224, 3), int).tolist()},
    "too bright": {"instances": [[[[999]] * 224] * 224]},
    "a film among numbers": {"instances": [BLACK[0], {"b64": "AAAA"}]},
    "numbers among films": {"instances": [{"b64": "AAAA"}, BLACK[0]]},
    "no base64": {"instances": [{"b64": "%"}]},
    "base64 of a number": {"instances": [{"b64": 7}]},
    "more than base64": {"instances": [{"b64": "AAAA", "name": "x"}]},
    "no film": {"instances": [{"b64": "AAAA"}]},
}


def test_what_does_not_follow_the_api_is_a_400_with_a_sentence(client):
    for what, message in WRONG.items():
        answer = predict(client, message)
        assert (answer.status_code, list(answer.json())) == (400, ["error"]), what
        assert len(answer.text) < 400


def test_an_oversized_body_is_a_413_while_it_arrives(client):
    def endless():
        yield b'{"instances": ['
        for _ in range(40):
            yield b"0," * 2**19

    answer = client.post(f"{MODEL}:predict", content=endless())
    assert (answer.status_code, list(answer.json())) == (413, ["error"])
    assert client.get("/v2/health/live").status_code == 200
