"""What a terminal shows: progress bars there, plain lines in a pipe, errors in three parts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tbconv.contract.errors import TbconvError

T = TypeVar("T")
PIPE_WIDTH = 140  # characters, where no terminal says how wide it is
PLAIN_EVERY_S = 10.0  # seconds between two progress lines in a pipe


class TerminalReporter:
    """Progress on stderr, so that stdout stays what a program may read."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def __reduce__(self) -> tuple[type[TerminalReporter], tuple[()]]:
        """Be a new one in another process: training on several GPUs hands it to its main process."""
        return TerminalReporter, ()

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(line, markup=False, soft_wrap=True)

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items under a bar (terminal) or with a line now and then (pipe)."""
        if not self._console.is_terminal:
            yield from self._plain(items, title, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield from progress.track(items, description=title, total=total)

    def _plain(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        start = last = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - last >= PLAIN_EVERY_S:
                self.say(f"{title}: {done}/{total}, {now - start:.0f} s")
                last = now


def table_console() -> Console:
    """Return the console that tables are printed on: as wide as the terminal, or wide enough in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=PIPE_WIDTH, highlight=False)


def print_out(line: str = "") -> None:
    """Print a result on stdout, as it is."""
    sys.stdout.write(f"{line}\n")


def print_error(error: TbconvError) -> None:
    """Print the three parts on stderr."""
    sys.stderr.write(f"error: {error}\n")
