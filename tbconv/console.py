"""What a terminal shows: progress bars there, plain lines in a pipe, errors in three parts.

Names of files, bundles and labels are other people's, so nothing that is printed here may move a cursor, forge a line
or be read as a style: every way out of this module makes text printable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from tbconv.contract.errors import TbconvError, printable, printable_lines

T = TypeVar("T")
CANNOT_SAY = 3  # exit code: too little evidence for a verdict; 1 is an error or a failed verdict, 2 wrong usage
PIPE_WIDTH = 140  # characters, where no terminal says how wide it is
PLAIN_EVERY_S = 10.0  # seconds between two progress lines in a pipe


class PlainConsole(Console):
    """A console to which a string is text: one printable line, without markup, emoji or highlights.

    Tables too hand their cells, headers and titles to it; what shall have a style is a `Text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text."""
        return super().render_str(printable(text), **options)


class TerminalReporter:
    """Progress on stderr, so that stdout stays what a program may read."""

    def __init__(self) -> None:
        self._console = PlainConsole(stderr=True)

    def __reduce__(self) -> tuple[type[TerminalReporter], tuple[()]]:
        """Be a new one in another process: training on several GPUs hands it to its main process."""
        return TerminalReporter, ()

    def say(self, line: str) -> None:
        """Print one line, or several."""
        for one in line.split("\n"):
            self._console.print(one, soft_wrap=True)

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
            yield from progress.track(items, description=escape(printable(title)), total=total)

    def _plain(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        start = last = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - last >= PLAIN_EVERY_S:
                self.say(f"{title}: {done}/{total}, {now - start:.0f} s")
                last = now


def table_console() -> PlainConsole:
    """Return the console that tables are printed on: as wide as the terminal, or wide enough in a pipe."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=PIPE_WIDTH)


def print_out(line: str = "") -> None:
    """Print a result on stdout; JSON stays the same JSON."""
    sys.stdout.write(f"{printable_lines(line)}\n")


def print_error(error: TbconvError) -> None:
    """Print the three parts on stderr."""
    sys.stderr.write(f"error: {error}\n")
