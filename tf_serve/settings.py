"""How a server is to run: what it serves, which clients it answers, and how it writes its log."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tbconv.contract.errors import ConfigError
from tbconv.contract.signature import SignatureRule
from tf_serve.gate.rules import GateLevel

QUEUE = 16  # requests that wait; with two workers and int8 on two cores the last waits some 0.2 s
DEADLINE_S = 10.0  # seconds in the queue; a client that waited as long has given up
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of use and of the period, or "max"
MB = 1024 * 1024
# Plain DICOM of the largest published films (Shenzhen, Montgomery: 4,892 x 4,892 of 16 bits) has 46 MB, of a CR of
# 35 x 43 cm at 10 pixels a millimetre 29 MB; 64 MB leaves room and bounds what one upload holds.
MAX_BODY = 64 * MB


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server runs: the one record that the command fills and every worker process gets."""

    root: Path  # a bundle, or a folder of bundles
    one_bundle: bool | None = None  # which of the two, decided once for all processes; None: decided where it is opened
    artefact: str | None = None  # None: the file that each certificate proposes
    threads: int = 1  # films answered side by side in one process, each by an interpreter of its own
    queue: int = QUEUE  # requests that wait for one
    deadline_s: float = DEADLINE_S
    workers: int = 1  # processes
    versions: int = 2  # of a model, held in memory
    default: str | None = None  # model that answers who names none
    shared: Path | None = None  # folder of all workers of this server
    signature: SignatureRule | None = None  # whose signature every bundle needs; None requires none
    gate: GateLevel = GateLevel.STRICT  # how much the input gate may judge; no request chooses it
    admin_token: str | None = None  # its bearer may change models; None: models cannot be changed
    token: str | None = field(default=None, repr=False)  # only its bearer is answered; None: every client is
    cors_origins: tuple[str, ...] = ()  # pages of other sites that may call it
    hosts: tuple[str, ...] = ()  # names by which it may be called; none: any
    max_body: int = MAX_BODY  # bytes
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel | None = None  # None leaves the log as the process has it

    def __post_init__(self) -> None:
        for name in ("threads", "workers", "versions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.queue < 0:
            raise ValueError(f"queue must be 0 or more, got {self.queue}")
        if not (math.isfinite(self.deadline_s) and self.deadline_s > 0):
            raise ValueError(f"deadline_s must be seconds, got {self.deadline_s!r}")
        if not 0 < self.max_body <= MAX_BODY:
            raise ValueError(f"max_body must lie in 1..{MAX_BODY}, got {self.max_body}")
        _check_token(self.token)
        for origin in self.cors_origins:
            _check_origin(origin)


def usable_cores(quota: Path = _QUOTA) -> int:
    """Return how many cores this process may use: those it is bound to, or a container's share, rounded up."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        used, period = quota.read_text(encoding="ascii").split()
        return max(1, min(bound, math.ceil(int(used) / int(period))))
    except (OSError, ValueError):  # no container, or "max"
        return bound


def _check_token(token: str | None) -> None:
    # an empty variable, as a missing secret leaves it, must not open what was meant to be closed
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        why = "it has to be printable ASCII without spaces, and not empty: it travels in a header"
        raise ConfigError("the token cannot be used", why=why, fix="TBCONV_TOKEN=$(openssl rand -hex 32), or unset it")


def _check_origin(origin: str) -> None:
    scheme, _, rest = origin.partition("://")
    if origin != "*" and (scheme not in ("http", "https") or not rest or "/" in rest):
        why = "an origin is a scheme and a host, without a path"
        raise ConfigError(f"--cors-origin is {origin!r}", why=why, fix="--cors-origin https://viewer.example.org")
