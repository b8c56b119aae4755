"""The npm package as its users have it: packed, installed, typed, reproducible, and talking to a real server."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from draw_engine_films import draw_phantom_film, rejects, save

ROOT = Path(__file__).parents[4]
CLIENT, SHIPPED = ROOT / "client", ROOT / "tf_serve/server/page/engine"
INSTALLED = Path("node_modules/@tbconv/client")
BUILT = ("index.js", "litert.wasm", "jpeg.wasm", "NOTICES.txt")


def test_the_package_holds_what_the_page_ships_byte_for_byte(built_client):
    dist = built_client / INSTALLED / "dist"
    assert [name for name in BUILT if (dist / name).read_bytes() != (SHIPPED / name).read_bytes()] == []
    assert sorted(path.name for path in SHIPPED.iterdir()) == sorted(BUILT)


def test_the_package_needs_no_other_package_and_names_the_licences_of_all_it_holds(built_client):
    stated = json.loads((built_client / INSTALLED / "package.json").read_text())
    assert "dependencies" not in stated
    assert sorted(path.name for path in (built_client / "node_modules").iterdir() if path.name[0] != ".") == ["@tbconv"]
    notices = (built_client / INSTALLED / "dist" / "NOTICES.txt").read_text()
    for name, version in stated["devDependencies"].items():
        assert (f"{name} {version}" in notices) == (name not in {"esbuild", "typescript"}), name


def test_the_engine_reaches_no_foreign_host_and_makes_no_code_of_text():
    text = (SHIPPED / "index.js").read_text()
    assert re.findall(r"\bnew Function\(|\beval\(", text) == []
    code = re.sub(r"/\*.*?\*/|^\s*(//|\*).*$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"""["'`]https?://(?!ns\.adobe\.com)[^"'`]*""", code) == []


TYPED = """import { load, screenRemote, EngineError } from "@tbconv/client";
import type { Answer } from "@tbconv/client";
const progress = (text: string, done: number, total: number) => console.log(text, done, total);
const model = await load("./model/", { progress });
const answer: Answer = await model.screen(new Uint8Array());
const margin: number | null = answer.margin;
const signal = AbortSignal.timeout(1000);
const remote: Answer = await screenRemote("https://example.org/", new Blob(), { token: "t", signal });
try { await model.close(); } catch (error) {
  if (error instanceof EngineError) console.log(error.kind, error.retryAfter, margin, remote);
}
// @ts-expect-error  a film is no text
await model.screen("film.png");
"""


def test_its_types_are_those_of_its_functions(built_client):
    (built_client / "use.ts").write_text(TYPED)
    tsc = built_client.parent / "client" / "node_modules" / ".bin" / "tsc"
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    done = subprocess.run([tsc, *options, "use.ts"], cwd=built_client, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_uses_in_the_readme_have_ten_lines_and_are_in_its_types(built_client):
    uses = re.findall(r"```js\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    assert len(uses) == 2
    for number, use in enumerate(uses):
        assert len(use.splitlines()) <= 10
        (built_client / f"readme{number}.mjs").write_text(use)
        done = subprocess.run(
            ["node", "--check", f"readme{number}.mjs"], cwd=built_client, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_installed_package_answers_in_a_page_as_python_does(
    built_client, engine_bundle, write_site, open_engine, scorer
):
    bundle = engine_bundle()
    site = write_site(bundle, engine=f"./{INSTALLED}/dist/index.js")
    shutil.rmtree(site / "static")  # nothing of the page's own engine
    shutil.copytree(built_client / "node_modules", site / "node_modules")
    engine, film = open_engine(site), save(draw_phantom_film(3))
    assert "value" in engine.start()
    asked, expected = engine.screen(film)["value"], scorer(bundle).score(film).to_json()
    assert (asked["margin"], asked["score"], asked["limits"]) == tuple(
        expected[one] for one in ("margin", "score", "limits")
    )


# --- screenRemote ---


@pytest.fixture
def free_engine(engine_bundle, write_site, open_engine):
    """A page whose policy lets it ask other hosts, with the engine loaded and not started."""
    site = write_site(engine_bundle())
    page = (site / "engine-test.html").read_text()
    (site / "engine-test.html").write_text(page.replace("connect-src 'self'", "connect-src *"))
    return open_engine(site, may_fail=True, foreign=True)


def answering(page, status, body, **headers):
    """Let every request to the server be answered so."""
    headers = {"access-control-allow-origin": "*", "access-control-allow-headers": "*"} | headers
    headers |= {"access-control-expose-headers": "retry-after"}
    page.unroute("https://screen.test/**")
    page.route("https://screen.test/**", lambda route: route.fulfill(status=status, body=body, headers=headers))


STATUSES = {
    400: "request",
    401: "access",
    403: "access",
    404: "request",
    408: "network",
    413: "request",
    415: "request",
    422: "request",
    429: "busy",
    500: "server",
    502: "server",
    503: "busy",
}


def test_every_status_is_an_error_in_three_parts_with_the_servers_own_reason(free_engine):
    for status, kind in STATUSES.items():
        answering(free_engine.page, status, json.dumps({"error": "a reason (of its own)"}), **{"retry-after": "7"})
        error = free_engine.remote("https://screen.test/x/", b"film")["error"]
        assert (error["kind"], error["status"], error["why"]) == (kind, status, "a reason (of its own)")
        assert (error["what"] != "", error["fix"] != "") == (True, True)
        assert error["retryAfter"] == (7 if kind == "busy" else None)


def test_a_rejection_is_an_answer_and_what_is_no_answer_is_an_error(free_engine):
    rejected = {"status": "rejected", "reason": "blank", "limits": [], "model": {"name": "tiny"}}
    for status in (200, 422):
        answering(free_engine.page, status, json.dumps(rejected))
        assert free_engine.remote("https://screen.test", b"film")["value"]["reason"] == "blank"
    for body in ("<html>a proxy</html>", "{}", "null", '{"status": "ok", "limits": [], "model": {}}'):
        answering(free_engine.page, 200, body)
        error = free_engine.remote("https://screen.test/", b"film")["error"]
        assert (error["kind"], error["what"]) == ("server", "the server's answer cannot be understood")


def test_a_server_that_is_not_there_and_a_signal_are_said(free_engine):
    free_engine.page.unroute("https://screen.test/**")
    free_engine.page.route("https://screen.test/**", lambda route: route.abort())
    assert free_engine.remote("https://screen.test/", b"film")["error"]["kind"] == "network"
    stopped = """async () => {
      const { screenRemote } = await import("./static/engine/index.js"), stop = new AbortController();
      const work = screenRemote("https://screen.test/", new Blob(["film"]), { signal: stop.signal });
      stop.abort();
      return work.then(() => "answered", (error) => error.kind);
    }"""
    assert free_engine.page.evaluate(stopped) == "aborted"


def test_a_real_server_answers_a_page_of_another_origin(free_engine, engine_bundle, serve, scorer):
    bundle, film = engine_bundle("served"), save(draw_phantom_film(3))
    home = free_engine.page.evaluate("location.origin")
    with serve(bundle, token="a-token-of-this-test", cors_origins=(home,)) as client:
        url = str(client.base_url)
        answer = free_engine.remote(url, film, token="a-token-of-this-test")["value"]
        assert answer["margin"] == scorer(bundle).score(film).to_json()["margin"]
        assert free_engine.remote(url, rejects()["blank"], token="a-token-of-this-test")["value"]["reason"] == "blank"
        assert free_engine.remote(url, b"no film", token="a-token-of-this-test")["error"]["status"] == 415
        error = free_engine.remote(url, film)["error"]
        assert (error["kind"], error["status"]) == ("access", 401)
