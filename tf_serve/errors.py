"""The errors of a running server that become an HTTP status: who raises one need not know HTTP, one handler answers.

ServingError
├── BadRequest       400  a request that cannot be answered
├── NotAllowed       401, 403  an address that needs a token
├── UnknownModel     404  no such model or version
├── TooSlow          408  a body that did not arrive in time
├── TooLarge         413  more bytes, films or pixels than one request may have
├── WrongType        415  a body of another kind
├── NotReady         503  nothing answers yet, or no more
├── Busy             503  the queue is full; raised before the body is read
├── DeadlineExceeded 503  the deadline passed before a worker was free
└── NoValidOutput    503  the network returned an invalid output, and there is no baseline for it
"""

# ruff: noqa: N818  (they are what a client did or met; "BusyError" says no more than "Busy")
from __future__ import annotations

from tbconv.contract.errors import TbconvError

RETRY_AFTER_S = 1  # seconds; for a client that came while all workers were busy: some fifty films later


class ServingError(TbconvError):
    """An expected error with the status that a client sees."""

    status: int = 500
    retry_after: int | None = None  # seconds
    label: str | None = None  # in metrics and logs; None takes the class's name


class BadRequest(ServingError):
    """A request that cannot be answered."""

    status = 400


class NotAllowed(ServingError):
    """An address that needs a token: 401 without one, 403 with another."""

    status = 403


class UnknownModel(ServingError):
    """No such model, or no such version of it."""

    status = 404


class TooSlow(ServingError):
    """A body that did not arrive in time; it would keep a place from others."""

    status = 408


class TooLarge(ServingError):
    """More bytes, films or pixels than one request may have."""

    status = 413


class WrongType(ServingError):
    """A body of another kind."""

    status = 415


class NotReady(ServingError):
    """Nothing answers yet, or no more."""

    status = 503
    retry_after = RETRY_AFTER_S


class Busy(ServingError):
    """The queue is full; raised before the body is read."""

    status = 503
    retry_after = RETRY_AFTER_S


class DeadlineExceeded(ServingError):
    """The deadline passed before a worker was free."""

    label = "TooLate"  # dashboards know it by this name
    status = 503
    retry_after = RETRY_AFTER_S


class NoValidOutput(ServingError):
    """The network returned an invalid output, and there is no baseline for it."""

    label = "Untrusted"  # dashboards know it by this name
    status = 503
