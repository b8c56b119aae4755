"""Ask a real server in the Open Inference Protocol v2: metadata, versions, inference in every form, refusals."""

import base64
import concurrent.futures
import json
import struct

import numpy as np
import pytest

from tbconv.contract import __version__
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral
from tf_serve.fallback import choose_model

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis

LENGTH = "inference-header-content-length"
SHAPES = {"logits": [1, 2], "probability": [1, 1], "evidence": [1, 7, 7]}


@pytest.fixture
def asked(make_bundle, serve, film):
    """A client, the film as model input, and what the network answers to it without any server."""
    root = make_bundle()
    bundle = read_bundle(root)
    image = bundle.manifest.preprocessing.from_bytes(film)
    with serve(root) as client:
        yield client, image, choose_model(bundle).classifier.predict(image)


def as_input(image, datatype="FP32", **more):
    return {"name": "image", "shape": list(image.shape), "datatype": datatype, "data": image.ravel().tolist()} | more


def infer(client, message, binary=b"", model="tiny"):
    head = json.dumps(message).encode()
    headers = {LENGTH: str(len(head))} if binary else {}
    return client.post(f"/v2/models/{model}/infer", content=head + binary, headers=headers)


def arrays(answer):
    """Return the outputs by name, out of JSON or of the bytes behind it."""
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    tail, found = answer.content[length:], {}
    for row in json.loads(answer.content[:length])["outputs"]:
        size = row.get("parameters", {}).get("binary_data_size")
        data = row["data"] if size is None else np.frombuffer(tail[:size], "<f4")
        found[row["name"]] = np.float32(data).reshape(row["shape"])
        tail = tail[size or 0 :]
    assert not tail
    return found


def test_the_server_says_who_it_is_with_and_without_a_slash(client):
    for path in ("/v2", "/v2/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["version"]) == (200, __version__)
        assert "binary_tensor_data" in answer.json()["extensions"]


def test_a_models_metadata_names_its_tensors_and_versions(client):
    found = client.get("/v2/models/tiny").json()
    assert (found["name"], found["platform"], len(found["versions"])) == ("tiny", "litert_tflite", 1)
    assert found["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 224, 224, 1]}]
    assert {row["name"]: row["shape"][1:] for row in found["outputs"]} == {k: v[1:] for k, v in SHAPES.items()}
    [version] = found["versions"]
    assert client.get(f"/v2/models/tiny/versions/{version}").json() == found
    for path in ("/v2/models/tiny/ready", f"/v2/models/tiny/versions/{version}/ready"):
        assert client.get(path).json() == {"name": "tiny", "ready": True}


def forms(image, film):
    """Yield the same film in every form: what it is called, the JSON, the bytes behind it."""
    text, grey = base64.b64encode(film).decode(), image.astype("u1")
    yield "flat", {"inputs": [as_input(image)]}, b""
    yield "nested", {"inputs": [as_input(image, data=image.tolist())]}, b""
    yield "UINT8", {"inputs": [as_input(grey, "UINT8")]}, b""
    yield "base64", {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}, b""
    binaries = (
        ("FP32", image.shape, image.astype("<f4").tobytes()),
        ("UINT8", image.shape, grey.tobytes()),
        ("BYTES", (1,), struct.pack("<I", len(film)) + film),
    )
    for datatype, shape, data in binaries:
        tensor = {"name": "image", "shape": list(shape), "datatype": datatype}
        yield f"binary {datatype}", {"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]}, data


def test_every_form_of_the_same_film_gets_the_answer_of_the_network_itself(asked, film):
    client, image, direct = asked
    answers = {form: infer(client, message, binary) for form, message, binary in forms(image, film)}
    raw = image.astype("u1").tobytes()  # no JSON: the datatype is that of the metadata
    answers["raw"] = client.post("/v2/models/tiny/infer", content=raw, headers={LENGTH: "0"})
    for form, answer in answers.items():
        assert answer.status_code == 200, (form, answer.text)
        found = arrays(answer)
        for name, shape in SHAPES.items():
            assert list(found[name].shape) == shape
            np.testing.assert_allclose(found[name], getattr(direct, name), rtol=0, atol=1e-5, err_msg=form)


def test_an_answer_names_the_model_the_request_and_what_it_is_not(asked):
    client, image, _ = asked
    answer = infer(client, {"id": "film-7", "inputs": [as_input(image)]}).json()
    assert (answer["id"], answer["model_name"]) == ("film-7", "tiny")
    assert answer["model_version"] == client.get("/v2/models/tiny").json()["versions"][0]
    said = {"kind": "trained", "verdict": "BOUNDED", "disclaimer": DISCLAIMER}
    assert answer["parameters"] == said
    assert "id" not in infer(client, {"inputs": [as_input(image)]}).json()


def test_the_outputs_that_are_asked_for_come_in_the_form_that_is_asked_for(asked):
    client, image, direct = asked
    outputs = [{"name": "evidence", "parameters": {"binary_data": True}}, {"name": "logits"}]
    answer = infer(client, {"inputs": [as_input(image)], "outputs": outputs})
    rows = json.loads(answer.content[: int(answer.headers[LENGTH])])["outputs"]
    assert [(row["name"], "data" in row) for row in rows] == [("evidence", False), ("logits", True)]
    assert rows[0]["parameters"] == {"binary_data_size": 4 * 49}
    np.testing.assert_allclose(arrays(answer)["evidence"], direct.evidence, rtol=0, atol=1e-5)
    every = infer(client, {"inputs": [as_input(image)], "parameters": {"binary_data_output": True}})
    assert every.headers["content-type"] == "application/octet-stream"
    assert set(arrays(every)) == set(SHAPES)


def test_a_batch_gets_what_its_films_get_alone(asked, draw_film):
    client, image, _ = asked
    batch = np.concatenate([image, image[:, ::-1], image[:, :, ::-1]])
    together = arrays(infer(client, {"inputs": [as_input(batch)]}))
    for row, one in enumerate(batch):
        alone = arrays(infer(client, {"inputs": [as_input(one[None])]}))
        for name in SHAPES:
            np.testing.assert_array_equal(together[name][row], alone[name][0])


def test_many_clients_with_whole_films_and_long_json_get_what_one_gets(asked, draw_film, as_png):
    client, image, _ = asked
    texts = [base64.b64encode(as_png(draw_film(seed))).decode() for seed in range(3)]
    tensors = [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]} for text in texts]
    messages = [{"inputs": [tensor]} for tensor in (*tensors, as_input(image))] * 3
    alone = [infer(client, message).json()["outputs"] for message in messages]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda message: infer(client, message).json()["outputs"], messages))
    assert together == alone


def test_a_version_answers_by_its_name_and_an_unknown_one_is_not_found(asked):
    client, image, _ = asked
    [version] = client.get("/v2/models/tiny").json()["versions"]
    assert infer(client, {"inputs": [as_input(image)]}, model=f"tiny/versions/{version}").status_code == 200
    for place in ("lungs", "tiny/versions/0", "tiny%2F..%2F..", "tiny/versions/%0d%0aset-cookie:x"):
        for answer in (
            infer(client, {"inputs": []}, model=place),
            client.get(f"/v2/models/{place}"),
            client.get(f"/v2/models/{place}/ready"),
        ):
            assert (answer.status_code, list(answer.json())) == (404, ["error"])
            assert "set-cookie" not in answer.headers


def test_a_picture_that_the_gate_rejects_gets_no_tensor(client, as_png):
    blank = base64.b64encode(as_png(np.full((300, 300), 128, np.uint8))).decode()
    torn = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    for text, words in ((blank, "film 0 is rejected: blank"), (torn, "film 0")):
        answer = infer(client, {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]})
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
        assert words in answer.json()["error"]


def test_garbage_is_a_400_and_never_a_500(client):
    bodies = [b"", b"{}", b"[1]", b"\0" * 99, b"[" * 10**5, b'{"inputs":[{"name":"image"}]}', b'{"inputs":{"a":NaN}}']
    for body in bodies:
        answer = client.post("/v2/models/tiny/infer", content=body)
        assert (answer.status_code, list(answer.json())) == (400, ["error"]), body[:20]
    for length in ("-1", "1e3", "99999", "x" * 99):
        answer = client.post("/v2/models/tiny/infer", content=b"{}", headers={LENGTH: length})
        assert answer.status_code == 400


def test_what_is_too_much_is_a_413_and_what_is_packed_a_415(client):
    def endless():
        for _ in range(70):
            yield bytes(2**20)

    assert client.post("/v2/models/tiny/infer", content=endless()).status_code == 413
    many = client.post("/v2/models/tiny/infer", content=b'{"inputs":[' + b"[]," * 2**19 + b"[]]}")
    assert (many.status_code, "values" in many.json()["error"]) == (413, True)
    packed = client.post("/v2/models/tiny/infer", content=b"x", headers={"content-encoding": "gzip"})
    assert packed.status_code == 415


def test_the_baseline_says_so_in_every_answer(make_bundle, serve, film):
    root = make_bundle()
    (root / "model_int8.tflite").unlink()
    text = base64.b64encode(film).decode()
    with serve(root) as client:
        answer = infer(client, {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]})
        assert answer.json()["parameters"]["kind"] == "baseline"
        assert "is missing" in answer.json()["parameters"]["fallback_reason"]
        assert client.get("/v2/models/tiny").json()["inputs"][0]["datatype"] == "FP32"


def test_models_answer_503_while_nothing_is_loaded(make_bundle, serve):
    root = make_bundle(verdicts={})
    with serve(root, wait=False) as client:
        answer = infer(client, {"inputs": []})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/v2/models/tiny/ready").status_code == 503


def test_the_configuration_is_what_tritons_clients_read(client):
    version = client.get("/v2/models/tiny").json()["versions"][0]
    found = client.get("/v2/models/tiny/config").json()
    assert found == client.get(f"/v2/models/tiny/versions/{version}/config").json()
    assert (found["name"], found["max_batch_size"]) == ("tiny", 32)
    assert found["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": [224, 224, 1]}]
    dims = {one["name"]: one["dims"] for one in found["output"]}
    assert dims == {"logits": [2], "probability": [1], "evidence": [7, 7]}
    for place in ("/v2/models/lungs/config", "/v2/models/tiny/versions/0/config", "/v2/models/lungs/stats"):
        assert client.get(place).status_code == 404


def test_the_statistics_count_requests_films_and_time_by_version(asked):
    client, image, _ = asked
    [before] = client.get("/v2/models/tiny/stats").json()["model_stats"]
    assert (before["inference_count"], before["last_inference"]) == (0, 0)
    infer(client, {"inputs": [as_input(np.concatenate([image, image]))]})
    infer(client, {"inputs": [as_input(image)]})
    infer(client, {"inputs": [as_input(image[:, :100])]})  # a 400 is none
    [row] = client.get("/v2/models/tiny/stats").json()["model_stats"]
    assert (row["inference_count"], row["execution_count"]) == (3, 2)
    assert row["inference_stats"]["success"]["count"] == 2
    stages = {name: row["inference_stats"][name]["ns"] for name in ("success", "queue", "compute_infer")}
    assert stages["success"] > stages["compute_infer"] > 0
    assert row["last_inference"] > before["last_inference"]
    for place in ("/v2/models/stats", f"/v2/models/tiny/versions/{row['version']}/stats"):
        assert client.get(place).json() == {"model_stats": [row]}
