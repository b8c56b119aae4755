"""Spans of requests for OpenTelemetry, where its standard variables name a collector; nothing is imported elsewhere.

What a span says is what the log says of a request: method, route, status, model, and how long each stage took. No
address of a client, no decision, nothing of a film.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from tbconv.contract import __version__
from tf_serve.telemetry.trace import Trace

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PARENT = ("traceparent", "tracestate")  # headers of the W3C's Trace Context
SERVER_ERROR = 500
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
_log = logging.getLogger("tf_serve")


class Spans:
    """Sends spans in the background; a collector that is slow or gone costs spans, never an answer."""

    def __init__(self, exporter: Any) -> None:
        """Begin to send by one of OpenTelemetry's exporters; sampling and names are those of its variables."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {"service.version": __version__} | ({} if _is_named(os.environ) else {"service.name": "tbconv"})
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tf_serve", __version__)
        self._propagator, self._within = TraceContextTextMapPropagator(), set_span_in_context
        self._kind, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def record(self, trace: Trace, headers: Mapping[str, str], *, method: str, route: str, status: int) -> None:
        """Send one request that is over: a span of it, and one of each stage.

        Args:
            trace: its notes; the stages are those that `keep_stages` had it keep.
            headers: of the request, of which those that name the caller's span are read.
            method: HTTP's.
            route: the template of the address.
            status: HTTP's.
        """
        offset = time.time_ns() - round(time.perf_counter() * 1e9)  # from the notes' clock to the calendar's
        end = offset + round(time.perf_counter() * 1e9)
        carried = {name: headers[name] for name in PARENT if name in headers}
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._propagator.extract(carried),
            kind=self._kind,
            start_time=offset + round(trace.begun * 1e9),
            attributes=_attributes(trace, method=method, route=route, status=status),
        )
        if span.is_recording():
            if status >= SERVER_ERROR:
                span.set_status(self._failed)
            inside = self._within(span)
            for stage, begun, ended in trace.stages or ():
                child = self._tracer.start_span(stage, context=inside, start_time=offset + round(begun * 1e9))
                child.end(offset + round(ended * 1e9))
        span.end(end)

    def close(self) -> None:
        """Send what is left; this may take as long as the exporter waits for its collector."""
        self._provider.shutdown()


def _is_named(environment: Mapping[str, str]) -> bool:
    attributes = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return bool(environment.get("OTEL_SERVICE_NAME")) or "service.name=" in attributes


def _attributes(trace: Trace, *, method: str, route: str, status: int) -> dict[str, str | int]:
    named: dict[str, str | int | None] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "error.type": trace.error,
        "tbconv.result_id": trace.result_id,
    }
    if trace.loaded is not None:
        named |= {
            "tbconv.model.name": trace.loaded.name,
            "tbconv.model.version": trace.loaded.version,
            "tbconv.model.kind": trace.loaded.active.kind,
        }
    return {key: value for key, value in named.items() if value is not None}


def open_spans(environment: Mapping[str, str] = os.environ) -> Spans | None:
    """Return what sends spans, by OpenTelemetry's variables; None where they ask for none.

    What is missing for it is said once in the log: films are answered all the same.
    """
    exporters = environment.get("OTEL_TRACES_EXPORTER", "")
    stated = any(environment.get(name) for name in ENDPOINTS) or "otlp" in exporters
    if not stated or environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporters not in ("", "otlp"):
        return None
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol not in _EXPORTERS:
        _log.warning("no traces are sent: the protocol %s is none of %s", protocol, ", ".join(_EXPORTERS))
        return None
    try:
        return Spans(importlib.import_module(_EXPORTERS[protocol]).OTLPSpanExporter())
    except ModuleNotFoundError as error:
        _log.warning("no traces are sent: %s is not installed; fix: pip install 'tbconv[otel]'", error.name)
    except Exception as error:  # noqa: BLE001  (a variable that its library cannot read: films are answered)
        _log.warning("no traces are sent: %s: %s", type(error).__name__, error)
    return None
