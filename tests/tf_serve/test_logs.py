"""What the log says of a request, and what it never says."""

import io
import json
import logging
import sys
import time

import pytest

from tf_serve.settings import LogFormat, LogLevel
from tf_serve.telemetry.logs import JsonLines, TextLines, write_log

ALLOWED = {
    "time",
    "level",
    "event",
    "method",
    "route",
    "status",
    "ms",
    "model",
    "version",
    "kind",
    "result_id",
    "error",
}


@pytest.fixture
def lines():
    """A function that gives what the server wrote since, as JSON; and the log as it was, afterwards."""
    out, log = io.StringIO(), logging.getLogger("tf_serve")
    handler, level = logging.StreamHandler(out), log.level
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    log.removeHandler(handler)
    log.setLevel(level)


def requests_of(rows):
    return [row for row in rows if row["event"] == "request"]


def the_line(lines):
    """Return the one line of a request; it is written a moment after the answer is sent."""
    end = time.monotonic() + 10
    while not (found := requests_of(lines())):
        assert time.monotonic() < end
        time.sleep(0.01)
    [row] = found
    return row


def test_a_request_is_one_line_and_nothing_in_it_is_the_clients(client, film, lines):
    answer = client.post(
        "/api/v1/screen?note=Jane-Doe",
        files={"file": ("Jane-Doe.png", film, "image/png")},
        headers={"user-agent": "Jane-Doe", "x-forwarded-for": "203.0.113.7", "cookie": "Jane-Doe"},
    )
    assert answer.status_code == 200
    row = the_line(lines)
    assert set(row) <= ALLOWED
    assert (row["method"], row["route"], row["status"]) == ("POST", "/api/v1/screen", 200)
    assert row["model"] == "tiny"
    assert row["result_id"] == answer.json()["result_id"]
    assert {"read", "queue", "invoke", "encode", "total"} <= set(row["ms"])
    said = json.dumps(lines())
    assert not any(secret in said for secret in ("Jane", "203.0.113.7", "127.0.0.1", ".png", "note"))


def test_an_address_that_no_route_has_is_not_quoted(client, lines):
    client.post("/patients/Jane-Doe")
    row = the_line(lines)
    assert (row["route"], row["status"]) == ("unmatched", 404)
    assert "Jane" not in json.dumps(row)


def test_a_model_is_named_by_its_template_alone_where_there_is_none(client, lines):
    client.post("/v2/models/Jane-Doe/infer", content=b"{}")
    row = the_line(lines)
    assert (row["route"], row["error"]) == ("/v2/models/{name}/infer", "UnknownModel")
    assert "Jane" not in json.dumps(row)


def test_probes_and_boards_write_nothing_at_info(client, lines):
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics", "/"):
        client.get(path)
    assert requests_of(lines()) == []


def failed(words):
    try:
        int(words)
    except ValueError:
        return sys.exc_info()
    return None


def record(name, words):
    return logging.LogRecord(name, logging.ERROR, __file__, 1, "it failed", None, failed(words))


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_an_error_while_a_request_was_answered_shows_places_and_not_its_words(formatter):
    line = formatter.format(record("uvicorn.error", "PatientName Jane"))
    assert "ValueError" in line
    assert "test_logs.py" in line
    assert "Jane" not in line


def test_an_error_of_the_servers_own_keeps_its_words():
    row = json.loads(JsonLines().format(record("tf_serve", "the volume is away")))
    assert row["traceback"][-1] == "ValueError: invalid literal for int() with base 10: 'the volume is away'"


def test_text_has_the_same_numbers_for_people():
    one = logging.LogRecord("tf_serve.requests", logging.INFO, __file__, 1, "POST /x 200", None, None)
    one.request = {"model": "tiny", "version": "abc", "result_id": "f00", "ms": {"total": 12.5}}
    assert TextLines().format(one).endswith("INFO POST /x 200 tiny abc f00 total=12.5ms")


def test_the_level_and_the_form_can_be_chosen():
    log = logging.getLogger("tf_serve")
    before, level = list(log.handlers), log.level
    try:
        write_log(LogFormat.JSON, LogLevel.WARNING)
        assert log.level == logging.WARNING
        assert all(isinstance(handler.formatter, JsonLines) for handler in log.handlers)
    finally:
        log.handlers[:], log.level = before, level
        log.setLevel(level)
        logging.getLogger("uvicorn").handlers.clear()


@pytest.mark.parametrize("form", [TextLines, JsonLines])
@pytest.mark.parametrize(
    "text", ["aaa\n2026 ERROR forged", "\x1b[2J\x1b]0;owned\x07", "a\u2028b\u202ec\x85d", "\ud800", "x" * 10**6]
)
def test_what_others_are_called_begins_no_line_and_moves_no_cursor(form, text):
    out, log = io.StringIO(), logging.getLogger("tf_serve.others")
    handler = logging.StreamHandler(out)
    handler.setFormatter(form())
    log.addHandler(handler)
    log.propagate = False
    try:
        log.error("%s: not loaded", text)
        log.error("failed", exc_info=ValueError(text))
    finally:
        log.removeHandler(handler)
    lines = out.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(out.getvalue()) < 20_000
    assert len([line for line in lines if line and not line.startswith("  ")]) == 2
    if form is JsonLines:
        assert [json.loads(line)["level"] for line in lines if line] == ["error", "error"]
