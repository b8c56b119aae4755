"""The server's own log on stderr, as text or as JSON: what models do, and one line a request.

A traceback is written without the words of its error where a request led to it: they could quote what was sent.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from tf_serve.log_choice import LogFormat, LogLevel
from tf_serve.request_log import FIELD

OWN = "tf_serve"
SERVER = "uvicorn"  # its logger reports errors of the program while it answered a request


def write_log(form: LogFormat, level: LogLevel) -> None:
    """Write what the server says to stderr; asked again, only the form and the level change."""
    formatter = JsonLines() if form is LogFormat.JSON else TextLines()
    for name in (OWN, SERVER):
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
        row |= {"event": "request", **said} if said else {"event": "server", "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            row["traceback"] = _places(record)
        return json.dumps(row, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Words for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback in lines of its own."""
        words = [_time(record), record.levelname, record.getMessage(), *_request_words(getattr(record, FIELD, None))]
        return "\n".join([" ".join(words), *(f"  {place}" for place in _places(record))])


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
    words = type(error).__name__ if record.name.startswith(SERVER) else f"{type(error).__name__}: {error}"
    return [*(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames), words]
