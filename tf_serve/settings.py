"""How a server is to run: the one frozen record that the command fills and every worker process gets."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from tf_serve.gate import GateLevel

QUEUE = 16  # requests that wait; with two workers and int8 on two cores the last waits some 0.2 s
DEADLINE_S = 10.0  # seconds in the queue; who waited as long has gone away
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of use and of the period, or "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What serves, and how much of it at a time."""

    root: Path  # a bundle, or a folder of bundles
    artefact: str | None = None  # None: the file that each certificate proposes
    threads: int = 1  # films answered side by side in one process, each by an interpreter of its own
    queue: int = QUEUE  # requests that wait for one
    deadline_s: float = DEADLINE_S
    workers: int = 1  # processes
    versions: int = 2  # of a model, held in memory
    default: str | None = None  # model that answers who names none
    shared: Path | None = None  # folder of all workers of this server
    gate: GateLevel = GateLevel.STRICT  # how much the input gate may judge; no request chooses it
    admin_token: str | None = None  # whoever sends it may change models; None: nobody may

    def __post_init__(self) -> None:
        for name in ("threads", "workers", "versions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.queue < 0:
            raise ValueError(f"queue must be 0 or more, got {self.queue}")
        if not (math.isfinite(self.deadline_s) and self.deadline_s > 0):
            raise ValueError(f"deadline_s must be seconds, got {self.deadline_s!r}")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Return how many cores this process may use: those it is bound to, or a container's share, rounded up."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        used, period = quota.read_text(encoding="ascii").split()
        return max(1, min(bound, math.ceil(int(used) / int(period))))
    except (OSError, ValueError):  # no container, or "max"
        return bound
