"""Work that goes on beside training, one piece at a time: a checkpoint takes as long to write as half an epoch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class BesideTraining:
    """Does what it is given in the order in which it came; leaving the block waits for the last piece.

    So does an interruption: an epoch that is over is stored before the program ends.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Start a piece of work once the one before is done; what that one raised is raised here."""
        self.wait()
        self._last = self._pool.submit(work)

    def wait(self) -> None:
        """Wait for what was begun."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> BesideTraining:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._pool.shutdown()
