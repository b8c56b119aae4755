"""docs/replace-your-mock.md: its function, as printed, in a browser: against a real server, and against each status."""

import base64
import json
import re
from pathlib import Path

import pytest

from tf_serve.server.app import create_app
from tf_serve.settings import Settings

pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra")

PAGE = (Path(__file__).parents[2] / "docs/replace-your-mock.md").read_text(encoding="utf-8")
[SNIPPET] = re.findall(r"^```js\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ANSWER = {"kind": "trained", "fallback_reason": None}
OF_THE_CONNECTION = {"405", "429", "431"}  # of the router, of proxies, and of the connection before there is a route
# What the page's table says may be sent again comes as busy; everything else has one kind a status.
KINDS = {400: "mistake", 401: "locked", 403: "locked", 404: "mistake", 405: "mistake", 408: "busy", 413: "mistake"} | {
    415: "mistake",
    429: "busy",
    431: "mistake",
    500: "broken",
    502: "broken",
    503: "busy",
    504: "broken",
}


def run(page, data, **options):
    """Run the snippet with the bytes of a film, as a page would that serves it as its own module."""
    code = SNIPPET.replace("export async function", "async function")
    return page.evaluate(
        f"""async ([data, options]) => {{
          {code}
          return screen(Uint8Array.from(atob(data), (one) => one.charCodeAt(0)), options);
        }}""",
        [base64.b64encode(data).decode(), options],
    )


@pytest.fixture
def real(make_bundle, serve, visit):
    """A page on a running server."""
    with serve(make_bundle()) as client:
        yield visit(client, may_fail=True)


@pytest.fixture
def answering(visit, make_bundle, serve):
    """Return a function that runs the snippet where the server answers as the test says."""
    with serve(make_bundle()) as client:
        page = visit(client, may_fail=True)

        def go(status, body, headers=None, **options):
            def answer(route):
                if status is None:  # nobody answers at all
                    route.abort()
                    return
                route.fulfill(status=status, body=body, headers=headers or {}, content_type="application/json")

            page.route("**/api/v1/screen", answer)
            return run(page, b"film", **{"tries": 1} | options)

        yield go


def test_a_film_is_answered_and_a_picture_of_something_else_rejected(real, film, draw_film, as_png):
    answered = run(real, film)
    assert answered["kind"] == "answered"
    assert answered["decision"] in {"refer", "not_flagged", "indeterminate"}
    assert len(answered["evidence"]) == 7
    assert answered["model"]["kind"] == "trained"
    assert answered["limits"]
    rejected = run(real, as_png(draw_film(height=60, width=60)))
    assert (rejected["kind"], rejected["reason"]) == ("rejected", "too_small")
    assert rejected["why"]


def test_what_is_no_film_is_a_mistake_with_the_servers_words(real):
    refused = run(real, b"<!doctype html><title>no film</title>")
    assert (refused["kind"], refused["status"]) == ("mistake", 415)
    assert "web page" in refused["why"]


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
def test_every_status_has_its_outcome(answering, status, kind):
    outcome = answering(status, json.dumps({"error": "what (why)"}), {"retry-after": "7"})
    assert (outcome["kind"], outcome["status"], outcome["why"]) == (kind, status, "what (why)")
    assert outcome.get("retryAfter") == (7 if kind == "busy" else None)


def test_a_proxy_that_answers_html_and_a_server_that_is_away_are_outcomes_and_no_exceptions(answering):
    assert answering(502, "<html>")["why"] == "the server answered 502"
    gone = answering(None, "")
    assert (gone["kind"], gone["status"]) == ("broken", 0)


def test_a_busy_server_is_asked_again(answering):
    outcome = answering(503, json.dumps({"error": "the queue is full"}), {"retry-after": "0.01"}, tries=3)
    assert outcome["kind"] == "busy"


def test_every_status_that_the_server_describes_is_named_in_function_and_table(tmp_path):
    operation = create_app(Settings(root=tmp_path)).openapi()["paths"]["/api/v1/screen"]["post"]
    described = set(operation["responses"])
    table = {
        number for row in re.findall(r"^\| (\d[^|]*)\|", PAGE, re.MULTILINE) for number in re.findall(r"\d{3}", row)
    }
    cases = set(re.findall(r"case (\d+):", SNIPPET)) | {"500"}  # 500 is the default's
    assert described <= cases
    assert described <= table
    assert cases - described <= OF_THE_CONNECTION | {"403"}
