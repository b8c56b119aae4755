"""One line of the log for a request, with nothing in it that belongs to a patient or to a client."""

from __future__ import annotations

import logging
from typing import Any

from tf_serve.trace import Trace

FIELD = "request"  # of the log record; tf_serve.logs writes it
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
        row |= {"model": trace.loaded.name, "version": trace.loaded.version, "kind": trace.loaded.served.kind}
    if trace.result_id is not None:
        row["result_id"] = trace.result_id
    if trace.error is not None:
        row["error"] = trace.error
    return row | {"ms": {stage: round(1000 * seconds, 2) for stage, seconds in trace.seconds.items()}}
