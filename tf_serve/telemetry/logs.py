"""The server's own log on stderr, as text or as JSON: what models do, and one line a request.

A traceback is written without the words of its error where a request led to it: they could quote what was sent.
Whatever is said goes through `printable` here, so that no call can forget it: names of bundles, files and models are
other people's, and none of them may begin a line of its own or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from tbconv.contract.errors import printable
from tf_serve.settings import LogFormat, LogLevel
from tf_serve.telemetry.trace import Trace

OWN = "tf_serve"
SERVERS = (
    "uvicorn",
    "asyncio",
    "grpc",
    "opentelemetry",
)  # their loggers report errors of the program while it answered a request


def write_log(form: LogFormat, level: LogLevel) -> None:
    """Write what the server says to stderr; called again, only the form and the level change."""
    formatter = JsonLines() if form is LogFormat.JSON else TextLines()
    for name in (OWN, *SERVERS):
        log = logging.getLogger(name)
        if not log.handlers:
            log.addHandler(logging.StreamHandler())
        for handler in log.handlers:
            handler.setFormatter(formatter)
    logging.getLogger(OWN).setLevel(level.upper())


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        row: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower()}
        said = getattr(record, FIELD, None)
        row |= {"event": "request", **said} if said else {"event": "server", "message": _message(record)}
        if record.exc_info and record.exc_info[1] is not None:
            row["traceback"] = _places(record)
        line = json.dumps(row, ensure_ascii=False)
        return printable(line, most=len(line))  # JSON leaves U+2028 and the like as they are, which end lines to some


class TextLines(logging.Formatter):
    """Words for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback in lines of its own."""
        words = [_time(record), record.levelname, _message(record), *_request_words(getattr(record, FIELD, None))]
        return "\n".join([printable(" ".join(words)), *(f"  {place}" for place in _places(record))])


def _message(record: logging.LogRecord) -> str:
    return printable(record.getMessage())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _request_words(said: dict[str, Any] | None) -> list[str]:
    if said is None:
        return []
    named = [str(said[key]) for key in ("model", "version", "kind", "error", "result_id") if key in said]
    return [*named, *(f"{stage}={value}ms" for stage, value in said["ms"].items())]


def _places(record: logging.LogRecord) -> list[str]:
    """Return where an error came from: kind and places, and its words only where no request led to it."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return []
    frames = traceback.extract_tb(error.__traceback__)
    description = type(error).__name__ if record.name.startswith(SERVERS) else f"{type(error).__name__}: {error}"
    return [*(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames), printable(description)]


# --- request log ---
# One line of the log for a request, with nothing in it that belongs to a patient or to a client.

FIELD = "request"  # of the log record; tf_serve.telemetry.logs writes it
_log = logging.getLogger("tf_serve.requests")


def write_line(trace: Trace, *, method: str, route: str, status: int) -> None:
    """Write it: answers at INFO, and what probes, boards and browsers fetch at DEBUG."""
    level = logging.INFO if method == "POST" or status >= 500 else logging.DEBUG
    if _log.isEnabledFor(level):
        row = describe(trace, method=method, route=route, status=status)
        _log.log(level, "%s %s %d", method, route, status, extra={FIELD: row})


def describe(trace: Trace, *, method: str, route: str, status: int) -> dict[str, Any]:
    """Return what is said of a request."""
    row: dict[str, Any] = {"method": method, "route": route, "status": status}
    if trace.loaded is not None:
        row |= {"model": trace.loaded.name, "version": trace.loaded.version, "kind": trace.loaded.active.kind}
    if trace.result_id is not None:
        row["result_id"] = trace.result_id
    if trace.error is not None:
        row["error"] = trace.error
    return row | {"ms": {stage: round(1000 * seconds, 2) for stage, seconds in trace.seconds.items()}}
