"""Who means harm: paths that climb, headers that split, JSON without end, bundles that unpack, pickles that run."""

import io
import json
import os
import pickle
import socket
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, seal
from tbconv.contract.errors import BundleError
from tbconv.contract.files import sha256_file
from tbconv.contract.golden import GOLDEN
from tf_serve.models.loader import BundleLoader

UPWARDS = ["../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/app.py", "..%5c..%5capp.py", "/etc/passwd"]
MB = 2**20


def say(client, raw, *, hang_up=False):
    """Send bytes as they are and return all that comes back until the server closes."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection:
        connection.sendall(raw)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", "connection: close", *lines, "", ""]).encode()


def test_no_path_leads_out_of_the_pages_folder_or_to_a_file_of_a_bundle(client):
    for root in ("/static/", "/v2/models/", "/v2/models/tiny/versions/", "/v1/models/", "/"):
        for path in UPWARDS:
            told = say(client, head("GET", root + path))
            assert told.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), (root, path, told[:200])
            assert b"root:" not in told
            assert b"import" not in told


def test_no_model_is_loaded_from_outside_of_the_folder(make_bundle, serve, tmp_path):
    make_bundle("outside")
    make_bundle("models/tiny")
    with serve(tmp_path / "models", admin_token="let-me") as client:
        for name in ("../outside", "/etc", "..", "tiny/../../outside", "%2e%2e%2foutside", "outside"):
            address = f"/v2/repository/models/{name}/load"
            told = say(client, head("POST", address, "authorization: Bearer let-me", "content-length: 0"))
            assert told.startswith((b"HTTP/1.1 404", b"HTTP/1.1 405", b"HTTP/1.1 400")), (name, told[:200])
            assert client.engine.registry.names() == ("tiny",)


@pytest.mark.parametrize("name", ["../outside/model_float32.tflite", "/etc/hostname"])
def test_a_manifest_that_names_a_file_outside_of_its_bundle_is_refused(make_bundle, name):
    make_bundle("outside")
    root = make_bundle()
    manifest = (root / MANIFEST).read_text()
    (root / MANIFEST).write_text(manifest.replace("model_float32.tflite", name))
    with pytest.raises(BundleError):
        BundleLoader().open(root)


def test_what_a_client_sends_never_becomes_a_header_of_the_answer(client):
    evil, split = "x\r\nset-cookie: a=b\r\n\r\n<script>", "x%0d%0aset-cookie:%20a=b"
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 224, 224, 1], "data": [*range(256)] * 196}
    named = client.post("/v2/models/tiny/infer", json={"id": evil, "inputs": [tensor]})
    assert named.json()["id"] == evil  # as a string in JSON, where it is harmless
    answers = [named, *(client.get(f"/v2/models/{place}{split}") for place in ("", "tiny/versions/"))]
    headers = ("content-type", "inference-header-content-length", "origin", "x-request-id", "traceparent")
    answers += [client.post("/v2/models/tiny/infer", content=b"{}", headers={header: split}) for header in headers]
    for answer in answers:
        assert "set-cookie" not in answer.headers
        assert not any("x%0d" in value for value in answer.headers.values())
        assert answer.headers["x-content-type-options"] == "nosniff"


MALFORMED = {
    "folded": b"GET / HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
    "two lengths": b"POST /api/v1/screen HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative": b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "long length": b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
    "long path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "zeros": b"\x00" * 4096,
}


def test_malformed_http_is_refused_or_hung_up_on_and_the_next_is_answered(client):
    for name, raw in MALFORMED.items():
        try:
            told = say(client, raw, hang_up=True)
        except ConnectionError:
            told = b""
        assert b"HTTP/1.1 5" not in told, (name, told[:300])
        assert client.get("/v2/health/ready").status_code == 200, name


OVERSIZED = {
    "deep": b'{"a":' + b"[" * 1_000_000,
    "wide": b'{"inputs":[' + b"[]," * 5_000_000 + b"[]]}",
    "long number": b'{"instances":' + b"1" * 10_000_000 + b"}",
    "long string": b'{"inputs":"' + b"a" * (31 * MB) + b'"}',
    "too large": b'{"inputs":' + b" " * (33 * MB) + b"1}",
}


def test_oversized_json_is_refused_in_a_moment_and_in_little_memory(client):
    tracemalloc.start()
    try:
        for address in ("/v2/models/tiny/infer", "/v1/models/tiny:predict"):
            for name, body in OVERSIZED.items():
                tracemalloc.reset_peak()
                answer = client.post(address, content=body, headers={"content-type": "application/json"})
                assert answer.status_code in {400, 413}, (name, answer.text[:200])
                assert len(answer.content) < 2000, name  # an error quotes no megabytes
                assert answer.elapsed.total_seconds() < 5, name
                # a few copies of the body on its way through, and no object for each of its values
                assert tracemalloc.get_traced_memory()[1] < sum(map(len, OVERSIZED.values())) + 4 * 32 * MB, name
    finally:
        tracemalloc.stop()


def bomb(megabytes, **arrays):
    """An .npz file with small arrays, and with model inputs that unpack to so much."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("model_inputs.npy", "w") as member:
        shape = {"descr": "|u1", "fortran_order": False, "shape": (megabytes, 1024, 1024)}
        np.lib.format.write_array_header_1_0(member, shape)
        for _ in range(megabytes):
            member.write(bytes(MB))
    return out.getvalue()


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def pickled(mark):
    out = io.BytesIO()
    np.savez(out, names=np.array(["one"]), model_inputs=np.array([Runs(mark)], object))
    return out.getvalue()


@pytest.fixture
def spoil(make_bundle, add_golden):
    """Return a function that puts other bytes into a bundle, which then vouches for them by manifest and verdict."""

    def put(name, change):
        root = add_golden(make_bundle())
        manifest = read_bundle(root).manifest
        (root / name).write_bytes(change((root / name).read_bytes()))
        if name != CERTIFICATE:
            certificate = json.loads((root / CERTIFICATE).read_text())
            if name in certificate["artefacts"]:
                certificate["artefacts"][name]["sha256"] = sha256_file(root / name)
            (root / CERTIFICATE).write_text(json.dumps(certificate))
            seal(root, replace(manifest, files={}))
            return root
        value = json.loads((root / MANIFEST).read_text())
        value["files"][name] = {"sha256": sha256_file(root / name), "bytes": (root / name).stat().st_size}
        (root / MANIFEST).write_text(json.dumps(value))
        return root

    return put


def without_squares(golden):
    with np.load(io.BytesIO(golden), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "model_inputs"}


def test_golden_inputs_that_unpack_to_gigabytes_are_not_unpacked(spoil):
    root = spoil(GOLDEN, lambda golden: bomb(1024, **without_squares(golden)))
    assert (root / GOLDEN).stat().st_size < 2 * MB
    tracemalloc.start()
    try:
        with pytest.raises(BundleError):
            BundleLoader().open(root)
        assert tracemalloc.get_traced_memory()[1] < 64 * MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [GOLDEN, "model_float32.tflite", CERTIFICATE, "baseline.tflite"])
def test_a_pickle_in_a_bundle_is_never_loaded(spoil, tmp_path, name):
    mark = tmp_path / "it-ran"
    root = spoil(name, lambda _: pickled(mark) if name == GOLDEN else pickle.dumps(Runs(mark)))
    try:
        answers = BundleLoader(artefact="model_float32.tflite").open(root).active.artefact
    except BundleError:
        answers = None
    assert not mark.exists()
    assert answers != name


def test_a_pickle_that_is_sent_as_a_film_is_never_loaded(client, tmp_path):
    mark = tmp_path / "it-ran"
    for kind in ("image/png", "application/dicom", "application/octet-stream"):
        answer = client.post("/api/v1/screen", content=pickle.dumps(Runs(mark)), headers={"content-type": kind})
        assert answer.status_code == (400 if kind == "application/dicom" else 415)
        assert not mark.exists()


def test_a_zip_or_a_gzipped_body_is_not_unpacked(client):
    assert client.post("/api/v1/screen", content=bomb(64), headers={"content-type": "image/png"}).status_code == 415
    packed = client.post(
        "/v2/models/tiny/infer", content=b"\x1f\x8b" + bytes(100), headers={"content-encoding": "gzip"}
    )
    assert packed.status_code == 415


def test_other_websites_may_not_ask_for_their_visitors(client):
    answer = client.options("/api/v1/screen", headers={"origin": "http://x", "access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_form_cannot_choose_a_codec_that_takes_minutes(client, film):
    text = b"a" * 50_000 + b"-" + b"b" * 50_000
    body = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + text + b"\r\n--x--\r\n"
    for charset in ("punycode", "idna", "utf-16"):  # punycode's decoder takes quadratic time: the test would not end
        kind = f"multipart/form-data; boundary=x; charset={charset}"
        answer = client.post("/api/v1/screen", content=body, headers={"content-type": kind})
        assert (answer.status_code, "no file field" in answer.json()["error"]) == (400, True)


def test_a_tensor_of_a_hundred_thousand_empty_films_is_counted_before_any_is_read(client):
    name = client.get("/api/v1/model").json()["name"]
    tensor = bytes(400_000)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "image",
                    "shape": [100_000],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": len(tensor)},
                }
            ]
        }
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = client.post(f"/v2/models/{name}/infer", content=head + tensor, headers=headers)
    assert answer.status_code == 413
