"""How the log is written and how much of it: apart, so that the command line knows it without a server."""

from __future__ import annotations

from enum import StrEnum


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"  # for people
    JSON = "json"  # for a collector: one object a line


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"  # also what probes, Prometheus and browsers fetch
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
