"""Spans of requests, sent by OpenTelemetry's own exporter to a collector that keeps them."""

import importlib.util
import logging
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tf_serve.telemetry import spans
from tf_serve.telemetry.spans import open_spans

NEEDS_PACKAGE = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None
    or importlib.util.find_spec("opentelemetry.sdk") is None
    or importlib.util.find_spec("opentelemetry.exporter") is None,
    reason="the extra 'otel' is not installed",
)
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch):
    """What a collector was sent, as OTLP's own messages; the variables name it."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    came, paths = [], set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            paths.add(self.path)
            came.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")  # whose spans would hold the address and its query
    yield came
    server.shutdown()
    server.server_close()
    assert paths == {"/v1/traces"}


def sent(came):
    """Return resource attributes and spans of all that came."""
    resources = {
        one.key: one.value.string_value for row in came for r in row.resource_spans for one in r.resource.attributes
    }
    found = [one for row in came for r in row.resource_spans for scope in r.scope_spans for one in scope.spans]
    return resources, found


def values(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@NEEDS_PACKAGE
def test_a_request_is_a_span_with_its_stages_below_the_callers(make_bundle, serve, ask, film, collector):
    before = time.time_ns()
    with serve(make_bundle()) as client:
        client.headers["traceparent"] = PARENT
        answer = ask(client, film).json()
        assert client.get("/v2/models/lungs?note=Jane-Doe").status_code == 404
        del client.headers["traceparent"]
    resources, found = sent(collector)  # the server has ended: all is sent
    assert resources["service.name"] == "tbconv"
    [screen] = [span for span in found if span.name == "POST /api/v1/screen"]
    assert (screen.trace_id.hex(), screen.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    expected = {"http.request.method": "POST", "http.route": "/api/v1/screen", "http.response.status_code": 200}
    model = answer["model"]
    expected |= {"tbconv.model.name": "tiny", "tbconv.model.version": model["version"], "tbconv.model.kind": "trained"}
    assert values(screen) == expected | {"tbconv.result_id": answer["result_id"]}
    stages = [span for span in found if span.parent_span_id == screen.span_id]
    assert [span.name for span in sorted(stages, key=lambda one: one.end_time_unix_nano)] == [
        "read",
        "queue",
        "decode",
        "gate",
        "prepare",
        "invoke",
        "encode",
    ]
    slack = 50_000_000  # nanoseconds between two readings of two clocks
    assert before - slack < screen.start_time_unix_nano < screen.end_time_unix_nano < time.time_ns() + slack
    for span in stages:
        assert screen.start_time_unix_nano - slack <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= screen.end_time_unix_nano + slack
    [missing] = [span for span in found if span.name == "GET /v2/models/{name}"]
    assert values(missing)["error.type"] == "UnknownModel"
    assert [word for word in ("secret-name", "lungs", "Jane-Doe", "127.0.0.1") if word in str(collector)] == []
    assert answer["decision"] not in str(collector)


@NEEDS_PACKAGE
def test_a_collector_that_is_not_there_costs_no_answer_and_no_end(make_bundle, serve, ask, film, monkeypatch):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    with serve(make_bundle()) as client:
        assert ask(client, film).json()["status"] == "ok"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: "http://x", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "none"},
        {ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_SERVICE_NAME": "x"},
    ],
)
def test_nothing_is_loaded_where_nothing_is_wished(variables, monkeypatch):
    monkeypatch.setattr(spans.importlib, "import_module", lambda name: pytest.fail(f"{name} was loaded"))
    assert open_spans(variables) is None


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_a_missing_library_is_named_once_and_nothing_ends(name, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with caplog.at_level(logging.WARNING, "tf_serve"):
        assert open_spans({name: "http://127.0.0.1:9"}) is None
    [record] = caplog.records
    assert "pip install 'tbconv[otel]'" in record.getMessage()


def test_an_unknown_protocol_is_named(caplog):
    with caplog.at_level(logging.WARNING, "tf_serve"):
        assert open_spans({ENDPOINT: "http://x", PROTOCOL: "carrier-pigeon"}) is None
    assert "carrier-pigeon is none of http/protobuf, grpc" in caplog.text


PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
