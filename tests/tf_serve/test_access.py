"""Who is answered, from where, and how much one request may bring: a real server with everything switched on."""

import re
import subprocess
import sys
import time

import httpx
import pytest

from tbconv.contract.errors import ConfigError
from tf_serve.server.middleware import needs_token
from tf_serve.settings import MB, Settings

TOKEN, ADMIN, SITE = "0123abc", "admin-abc", "https://viewer.example.org"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A client of `tbconv serve` over an empty folder: who may ask is decided before any model is."""
    folder = tmp_path_factory.mktemp("guarded")
    words = ["--port", "0", "--max-body", "1", "--cors-origin", SITE, "--allowed-host", "127.0.0.1"]
    words += ["--log-format", "json", "--watch"]
    (folder / "models").mkdir()
    command = [sys.executable, "-m", "tbconv", "serve", str(folder / "models"), *words]
    environment = {"TBCONV_TOKEN": TOKEN, "TBCONV_ADMIN_TOKEN": ADMIN, "PATH": ""}
    with (folder / "log").open("w") as file:
        server = subprocess.Popen(command, stderr=file, env=environment)
    end = time.monotonic() + 40
    while not (said := re.search(r" on (http://[^\s\"]+)", (folder / "log").read_text())):
        assert time.monotonic() < end, (folder / "log").read_text()
        time.sleep(0.05)
    with httpx.Client(base_url=said[1], timeout=30) as client:
        client.log = folder / "log"
        while not is_live(client):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield client
    server.terminate()
    assert server.wait(timeout=30) == 0


def is_live(client):
    try:
        return client.get("/v2/health/live").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer other"}, {"authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize("path", ["/api/v1/screen", "/v2/models/tiny/infer", "/v1/models/tiny:predict"])
def test_without_the_token_nothing_is_answered(guarded, path, sent):
    answer = guarded.post(path, content=b"film", headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert "token" in answer.json()["error"]
    assert TOKEN not in answer.text


def test_the_bearer_passes_and_learns_that_no_model_is_there(guarded):
    answer = guarded.post("/api/v1/screen", content=b"film", headers=BEARER | {"content-type": "image/png"})
    assert answer.status_code == 503
    assert guarded.get("/metrics", headers=BEARER).status_code == 200


@pytest.mark.parametrize("path", ["/", "/model", "/docs", "/static/page.js", "/v2/health/live"])
def test_the_page_and_what_probes_ask_need_no_token(guarded, path):
    assert guarded.get(path).status_code == 200


def test_the_repository_keeps_its_own_token(guarded):
    assert guarded.post("/v2/repository/index", headers=BEARER).status_code == 401
    assert guarded.post("/v2/repository/index", headers={"authorization": f"Bearer {ADMIN}"}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_in_the_protocols_words(guarded, chunked):
    body = bytes(MB + 1)
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if chunked else body
    answer = guarded.post("/v2/repository/index", content=content, headers={"authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == 413
    assert str(MB) in answer.json()["error"]


def test_one_other_site_may_ask_and_no_second_one(guarded):
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    allowed = guarded.options("/api/v1/screen", headers=asked | {"origin": SITE})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SITE)
    other = guarded.options("/api/v1/screen", headers=asked | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_another_name_of_the_host_is_refused(guarded):
    assert guarded.get("/v2/health/live", headers={"host": "evil.example"}).status_code == 400


def test_neither_token_is_ever_in_the_log(guarded):
    guarded.post("/api/v1/screen", headers=BEARER)
    end = time.monotonic() + 10
    while '"route": "/api/v1/screen"' not in (said := guarded.log.read_text()):  # written a moment after the answer
        assert time.monotonic() < end
        time.sleep(0.01)
    assert TOKEN not in said
    assert ADMIN not in said


def test_by_default_other_sites_may_not_ask_and_everybody_else_may(client, ask, film):
    answer = client.get("/v2/health/live", headers={"origin": SITE})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert ask(client, film).status_code == 200


def test_every_address_that_answers_a_film_is_closed():
    assert all(
        map(needs_token, ("/api/v1/screen", "/api/v1/picture", "/v1/models/m:predict", "/v2/models/m/infer", "/v2"))
    )
    assert not any(map(needs_token, ("/", "/model", "/static/page.js", "/v2/health/ready", "/v2/repository/index")))


@pytest.mark.parametrize("token", ["", "two words", "gehe\u00edm", "line\nbreak"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(tmp_path, token):
    with pytest.raises(ConfigError) as met:
        Settings(root=tmp_path, token=token)
    assert not token or token not in str(met.value)


def test_a_token_is_not_in_what_a_traceback_would_show_of_the_settings(tmp_path):
    assert TOKEN not in repr(Settings(root=tmp_path, token=TOKEN))


@pytest.mark.parametrize("origin", ["viewer.example.org", "https://viewer.example.org/page", "ftp://viewer"])
def test_an_origin_that_no_browser_sends_is_refused(tmp_path, origin):
    with pytest.raises(ConfigError, match="origin"):
        Settings(root=tmp_path, cors_origins=(origin,))


def test_a_limit_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="max_body"):
        Settings(root=tmp_path, max_body=0)


def test_settings_that_say_nothing_of_a_network_are_open_to_this_machine(tmp_path):
    plain = Settings(root=tmp_path)
    assert (plain.token, plain.cors_origins, plain.hosts) == (None, (), ())
