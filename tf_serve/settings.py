"""How a server is to run: what it serves, which clients it answers, and how it writes its log."""

from __future__ import annotations

import math
import os
import re
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
# The largest uncompressed films: 4,892 x 4,892 of 16 bits (Shenzhen, Montgomery) are 46 MB, a CR of 4,400 x 4,460 is
# 37.5 MB; 64 MB holds them with their headers.
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
    site: Path | None = None  # site.json: the site's own figures of the one bundle that is served
    grpc_address: str | None = None  # HOST:PORT of the Open Inference Protocol over gRPC; None: it is not spoken
    root_path: str = ""  # path below which a proxy shows the server, "/xray"
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
        _check_root_path(self.root_path)
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


# Paths of the server's own: with one of them as a prefix nobody could say what /v2/v2 means.
_OWN_PATHS = frozenset({"api", "v1", "v2", "static", "model", "docs", "metrics", "openapi.json"})
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def is_prefix(path: str) -> bool:
    """Whether a path may stand before all addresses of the server: plain segments, the first none of its own."""
    return bool(_PREFIX.fullmatch(path)) and len(path) <= 255 and path.split("/")[1] not in _OWN_PATHS


def _check_root_path(path: str) -> None:
    if path and not is_prefix(path):
        why = f"it has to be a path such as /xray, and not begin with one of {', '.join(sorted(_OWN_PATHS))}"
        raise ConfigError(f"--root-path is {path!r}", why=why, fix="--root-path /xray")


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
