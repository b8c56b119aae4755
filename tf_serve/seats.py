"""Places in the queue, taken before a body is read: who finds none is told so at once, at the cost of no parsing.

A place is held from the first byte of a request to the last of its answer. A client that sends
slowly keeps nobody waiting: after a moment it is counted apart, and its place goes to another.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from tf_serve.refusals import RETRY_AFTER_S, Busy, TooLate, TooSlow

GRACE_S = 0.25  # seconds; a film of 12 MB crosses a local network in less. Whoever needs longer is slow
READ_S = 60.0  # seconds for a whole body: 32 MB at 4.5 Mbit/s, a mobile uplink
SLOW_AT_ONCE = 64  # slow senders; what they hold in memory is what they have sent


class Seat:
    """One request's place; leave the `with` block to free it."""

    __slots__ = ("_seats", "_task", "_timer", "_too_slow", "reading", "since")

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._too_slow = False
        self.reading = True  # its body is still on the way
        self.since = time.monotonic()

    def __enter__(self) -> Seat:
        """Begin to read; who is not done in time is stopped."""
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(READ_S, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the place; TooSlow instead of the cancellation that stopped the reading."""
        self.arrived()
        self._seats.free(self)
        if self._too_slow and kind is asyncio.CancelledError and self._task is not None:
            self._task.uncancel()
            raise TooSlow("the body came too slowly", why=f"it had {READ_S:.0f} s", fix="send it again") from error

    def arrived(self) -> None:
        """Say that the body is there; from now on the place is one in the queue."""
        self.reading = False
        if self._timer is not None:
            self._timer.cancel()

    def _stop(self) -> None:
        if self.reading and self._task is not None:
            self._too_slow = True
            self._task.cancel()


class Seats:
    """How many may be inside at a time."""

    def __init__(self, places: int) -> None:
        """Make the places.

        Args:
            places: requests that are read, wait or are answered at a time.
        """
        if places < 1:
            raise ValueError(f"there must be a place, got {places}")
        self.places = places
        self._taken: set[Seat] = set()

    def __len__(self) -> int:
        """How many are inside."""
        return len(self._taken)

    def admit(self) -> Seat:
        """Take a place; Busy where none is free."""
        if len(self._taken) >= self.places and not self._slow_ones_make_room():
            raise Busy(
                "all places are taken",
                why=f"{self.places} requests are being answered or wait",
                fix=f"ask again after {RETRY_AFTER_S} s",
            )
        seat = Seat(self)
        self._taken.add(seat)
        return seat

    def free(self, seat: Seat) -> None:
        """Give a place back."""
        self._taken.discard(seat)

    def _slow_ones_make_room(self) -> bool:
        before = time.monotonic() - GRACE_S
        slow = sum(seat.reading and seat.since < before for seat in self._taken)
        return len(self._taken) - slow < self.places and slow < SLOW_AT_ONCE


def too_late(deadline_s: float) -> TooLate:
    """Return what a request is told that waited longer than its deadline."""
    return TooLate("the answer would come too late", why=f"it waited {deadline_s:g} s", fix="ask again, or less often")
