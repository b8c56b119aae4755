"""One film, sent as the clients that people have send it: real ones, and bodies as they write them."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import draw_dicom
from tbconv.contract.xray import UNKNOWN, what_it_is

SCREEN = "/api/v1/screen"
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.fixture
def margin(client, film):
    """The margin of the film, sent in the plainest way."""
    return client.post(SCREEN, content=film, headers={"content-type": "image/png"}).json()["margin"]


def part(data, disposition='Content-Disposition: form-data; name="file"; filename="a"', more=""):
    return f"--x\r\n{disposition}\r\n{more}\r\n".encode() + data + b"\r\n--x--\r\n"


def margin_of(answer):
    assert (answer.status_code, answer.json().get("status")) == (200, "ok"), answer.text
    return answer.json()["margin"]


def clients(url, path):
    """Command lines of programs, each of which prints the answer."""
    requests = "import requests, sys; print(requests.post(sys.argv[1], {}, timeout=30).text)"
    opened = 'files={"file": open(sys.argv[2], "rb")}'
    return {
        "curl -F": ["curl", "-sS", "-F", f"file=@{path}", url],
        "curl -F, another type": ["curl", "-sS", "-F", f"file=@{path};type=image/jpg", url],
        "curl --data-binary": ["curl", "-sS", "--data-binary", f"@{path}", url],
        "curl -T": ["curl", "-sS", "-X", "POST", "-T", path, url],
        "curl, no type": ["curl", "-sS", "-H", "Content-Type:", "--data-binary", f"@{path}", url],
        "wget": ["wget", "-q", "-O", "-", f"--post-file={path}", url],
        "requests, file": [sys.executable, "-c", requests.replace("{}", opened), url, path],
        "requests, body": [sys.executable, "-c", requests.replace("{}", 'data=open(sys.argv[2], "rb")'), url, path],
    }


@pytest.mark.parametrize("suffix", [".png", ".jpg", ""])
def test_the_clients_that_people_have_get_the_answer_that_the_plainest_request_gets(
    client, film, margin, tmp_path, suffix
):
    path = tmp_path / f"film{suffix}"
    path.write_bytes(film)
    tried = clients(f"{client.base_url}{SCREEN}", str(path))
    found = {}
    for name, command in tried.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (name, done.stderr)
            found[name] = json.loads(done.stdout).get("margin")
    with path.open("rb") as opened:
        found["httpx"] = margin_of(httpx.post(f"{client.base_url}{SCREEN}", files={"file": opened}))
    assert len(found) >= 3
    assert set(found.values()) == {margin}, found


def test_no_content_type_and_no_wrong_one_changes_the_answer(client, ask, film, margin):
    kinds = ["", "image/jpg", "image/x-png", "text/plain", "application/json", "application/x-www-form-urlencoded"]
    kinds += ["multipart/form-data", "multipart/form-data; boundary=absent", "nonsense", "application/pdf"]
    for kind in kinds:
        assert margin_of(client.post(SCREEN, content=film, headers={"content-type": kind})) == margin, kind
        assert margin_of(ask(client, film, kind or None)) == margin, kind


def test_a_form_is_known_by_its_boundary_though_the_header_names_another_type_or_none(client, film, margin):
    body = part(film)
    for kind in ("multipart/form-data", "application/octet-stream", "image/png", "", FORM["content-type"]):
        assert margin_of(client.post(SCREEN, content=body, headers={"content-type": kind})) == margin, kind


def test_a_form_may_have_a_preamble_an_epilogue_and_parts_without_a_file_name(client, film, margin):
    note = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nPA\r\n'
    bodies = [
        b"This is a multi-part message in MIME format.\r\n" + part(film),
        b"\r\n" + part(film),
        part(film) + b"\r\nan epilogue\r\n--x--\r\n",
        note + part(film),
        part(film, 'Content-Disposition: form-data; name="file"'),
        part(film, "Content-Type: application/dicom"),
        part(film, "content-disposition: form-data; name=file; filename*=UTF-8''film.png"),
    ]
    for body in bodies:
        assert margin_of(client.post(SCREEN, content=body, headers=FORM)) == margin, body[:80]


def test_base64_is_read_however_it_was_written_as_the_body_in_a_form_and_in_both_tensor_protocols(client, film, margin):
    plain, safe = base64.b64encode(film), base64.urlsafe_b64encode(film)
    url = b"data:image/png;base64,"
    lines = base64.encodebytes(film)
    ways = [plain, safe, safe.rstrip(b"="), lines, lines.replace(b"\n", b"\r\n"), url + plain, url + lines]
    ways += [b"\xef\xbb\xbf" + plain + b"\r\n", b'"' + plain + b'"', url + plain.replace(b"+", b"%2B")]
    for way in ways:
        found = [
            margin_of(client.post(SCREEN, content=way)),
            margin_of(client.post(SCREEN, files={"file": ("film.txt", way)})),
            margin_of(client.post(SCREEN, data={"file": way.decode("utf-8")}, files={"note": b"PA"})),
        ]
        text = way.decode("utf-8")
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
        answer = client.post("/v2/models/tiny/infer", json={"inputs": [tensor], "outputs": [{"name": "logits"}]})
        assert answer.status_code == 200, answer.text
        negative, positive = answer.json()["outputs"][0]["data"]
        [row] = client.post("/v1/models/tiny:predict", json={"instances": [{"b64": text}]}).json()["predictions"]
        found += [positive - negative, row["logits"][1] - row["logits"][0]]
        np.testing.assert_allclose(found, margin, rtol=0, atol=1e-5, err_msg=str(way[:40]))


def test_a_long_base64_is_decoded_as_a_short_one_is(client, as_png, draw_film):
    noise = np.random.default_rng(0).integers(0, 16, (1500, 1300), dtype=np.uint8)
    film = as_png(draw_film(height=1500, width=1300) // 2 + noise)
    assert len(film) > 1_000_000
    direct = margin_of(client.post(SCREEN, content=film))
    assert margin_of(client.post(SCREEN, content=base64.encodebytes(film))) == direct


def test_dicom_without_its_usual_first_bytes_is_read_with_and_without_the_type(client, draw_film):
    dicom = draw_dicom(draw_film().astype(np.uint16), bits=8)
    bare = dicom[132:]
    margins = [
        margin_of(client.post(SCREEN, content=data, headers={"content-type": kind}))
        for data in (dicom, bare)
        for kind in ("application/dicom", "image/png", "")
    ]
    assert len(set(margins)) == 1


def test_an_uncompressed_film_of_a_large_detector_fits_into_a_body(client, draw_film):
    pixels = draw_film(height=4460, width=4400).astype(np.uint16) * 16
    dicom = draw_dicom(pixels, bits=12)
    assert len(dicom) > 37 * 2**20
    whole = margin_of(client.post(SCREEN, content=dicom))
    assert margin_of(client.post(SCREEN, files={"file": dicom})) == whole
    small = client.post(SCREEN, content=draw_dicom(pixels[::4, ::4].copy(), bits=12))
    np.testing.assert_allclose(margin_of(small), whole, rtol=0, atol=1)


NO_FILMS = {
    b"%PDF-1.7 x": "a PDF",
    b"<!DOCTYPE html><html>": "a web page",
    b"\n<html><body>login": "a web page",
    b"<svg xmlns='x'/>": "an SVG",
    b'<?xml version="1.0"?><x/>': "an XML file",
    b'{"image": "x"}': "JSON",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "a Git LFS pointer",
    b"\0\0\0\x18ftypheic\0\0\0\0": "a HEIC photograph",
    b"\0\0\0\x18ftypavif\0\0\0\0": "an AVIF picture",
    b"\0\0\0\x18ftypisom\0\0\0\0": "a video",
    b"GIF89a": "a GIF",
    b"II*\0\x08": "a TIFF",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"\x93NUMPY\x01\0": "a NumPy array",
    bytes(500): "zeros alone",
    bytes(257) + b"ustar\0" + bytes(90): "a tar archive",
    b"name,finding\nA,1\n": "text",
    "Röntgenbild fehlt".encode(): "text",
    b"\x89PNG\x1a\0\0\0\rIHDR": "sent as text",
    b"\x89PNG\n\x1a\n\0\0\0\rIHDR": "sent as text",
    "\ufffdPNG\r\n\x1a\n".encode(): "sent as text",
    b"\x80\x02\x93\xff": UNKNOWN,
}


def test_what_is_no_film_is_a_415_that_says_what_it_is_and_quotes_nothing(client):
    for data, kind in NO_FILMS.items():
        assert kind in what_it_is(data)
        for answer in (
            client.post(SCREEN, content=data, headers={"content-type": "image/png"}),
            client.post(SCREEN, content=data, headers={"content-type": "application/dicom"}),
            client.post(SCREEN, files={"file": ("secret-name.png", data, "image/png")}),
            client.post("/api/v1/picture", content=data),
        ):
            if kind == UNKNOWN and answer.request.headers.get("content-type") == "application/dicom":
                assert answer.status_code == 400  # whoever says DICOM hears what is wrong with it as DICOM
                continue
            assert (answer.status_code, kind in answer.json()["error"]) == (415, True), (data, answer.text)
            assert "secret-name" not in answer.text


def test_base64_of_what_is_no_film_says_what_it_is(client):
    answer = client.post(SCREEN, content=base64.b64encode(b"%PDF-1.7 and more"))
    assert (answer.status_code, "a PDF" in answer.json()["error"]) == (415, True)


def test_one_request_is_one_film(client, film):
    two = [("file", ("a.png", film, "image/png")), ("file", ("b.png", film, "image/png"))]
    many = [(f"f{number}", (f"{number}.txt", b"x")) for number in range(12)]
    for files in (two, many, [("other", ("a.png", film))]):
        assert client.post(SCREEN, files=files).status_code == 400


def test_head_is_get_without_the_body_on_every_address_that_has_a_get(client):
    for path in ("/", "/model", "/static/page.js", "/api/v1/model", "/v2/health/live", "/v2/health/ready", "/metrics"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"") == (200, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/v2/models/lungs").status_code == 404
    assert client.head(SCREEN).status_code == 405
