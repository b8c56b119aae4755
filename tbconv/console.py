"""What a terminal shows: progress bars there, plain lines in a pipe, errors in three parts.

Names of files, bundles and labels are other people's, so nothing that is printed here may move a cursor, forge a line
or be read as a style: every way out of this module makes text printable.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tbconv.contract.errors import TbconvError, printable, printable_lines

T = TypeVar("T")
CANNOT_SAY = 3  # exit code: too little evidence for a verdict; 1 is an error or a failed verdict, 2 wrong usage
PIPE_WIDTH = 140  # characters, where no terminal says how wide it is
WIDE = 120  # characters that tables with all their columns take
PLAIN_EVERY_S = 10.0  # seconds between two progress lines in a pipe
# A quiet command keeps a line that speaks of something lacking, left out or not as expected, and where it serves.
KEPT = re.compile(
    r"\b(note|warning|error|left out|no|not|none|cannot|never|nothing|only|lost|stopped|removed|baseline|synthetic"
    r"|medical|https?)\b",
    re.IGNORECASE,
)


class Volume(Enum):
    """How much a command says beside its result: `-q`, as it is, `-v`."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


_STARTED = time.monotonic()
_now = {"volume": Volume.NORMAL}


def set_volume(volume: Volume) -> None:
    """Let every reporter of this process that is made from now on be this loud."""
    _now["volume"] = volume


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

    def __init__(self, volume: Volume | None = None) -> None:
        self._console = PlainConsole(stderr=True)
        self._volume = volume or _now["volume"]

    def __reduce__(self) -> tuple[type[TerminalReporter], tuple[Volume]]:
        """Be a new one in another process: training on several GPUs hands it to its main process."""
        return TerminalReporter, (self._volume,)

    def say(self, line: str) -> None:
        """Print one line, or several; a quiet one only what must not be missed."""
        if self._volume is Volume.QUIET and not KEPT.search(line):
            return
        since = f"[{time.monotonic() - _STARTED:7.1f} s] " if self._volume is Volume.VERBOSE else ""
        for one in line.split("\n"):
            self._console.print(f"{since}{one}", soft_wrap=True)

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items under a bar (terminal) or with a line now and then (pipe)."""
        if self._volume is Volume.QUIET:
            yield from items
            return
        if not self._console.is_terminal:
            yield from self._plain(items, title, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _RateColumn(),
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
                self.say(f"{title}: {done}/{total}, {now - start:.0f} s, {_pace(done, total, now - start)}")
                last = now


class _RateColumn(ProgressColumn):
    """How many are done in a second, once that can be said."""

    def render(self, task: Task) -> Text:
        """Return the rate of a task."""
        return Text(f"{task.speed:,.1f}/s" if task.speed else "", style="dim")


def _pace(done: int, total: int, seconds: float) -> str:
    """Return how many are done in a second, and how long the rest takes at that rate."""
    left = (total - done) * seconds / done
    said = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min" if left < 7200 else f"{left / 3600:.1f} h"
    return f"{done / seconds:,.3g} a second, {said} left"


# Of the verdicts of files, proofs and commands. Rich shows none where NO_COLOR is set, or in a pipe.
COLOURS = {
    "CERTIFIED": "bold green",
    "EQUIVALENT": "bold green",
    "PASS": "bold green",
    "BOUNDED": "bold cyan",
    "CANNOT SAY": "bold yellow",
    "UNVERIFIED": "bold yellow",
    "SUSPECT": "bold red",
    "FAILED": "bold red",
    "NOT EQUIVALENT": "bold red",
    "WORSE THAN ITS CERTIFICATE": "bold red",
}
_VERDICT = re.compile("|".join(rf"\b{word}\b" for word in sorted(COLOURS, key=len, reverse=True)))


def coloured(line: str) -> Text:
    """Return one printable line with its verdicts in colour."""
    text = Text(printable(line))
    for found in _VERDICT.finditer(text.plain):
        text.stylize(COLOURS[found[0]], *found.span())
    return text


def print_said(line: str) -> None:
    """Print one line of a result on stdout, its verdicts in colour on a terminal."""
    table_console().print(coloured(line), soft_wrap=True)


def print_opening(*lines: str, report: Path, details: bool, called: str = "report") -> None:
    """Open a result with the lines that say what matters; the last of the five names where its tables stand.

    Args:
        lines: four, as a rule.
        report: the page or folder with the tables.
        details: whether they follow on the terminal, too.
        called: what the report is.
    """
    console = table_console()
    for line in lines:  # folded between words on a terminal; in a pipe a line stays one
        console.print(coloured(line), soft_wrap=not console.is_terminal)
    print_said(f"{called}: {report}" + ("" if details else " (--details prints its tables)"))


def is_narrow(console: Console) -> bool:
    """Whether a table has to do with the columns that decide: the rest is in a report, or `--json`."""
    return console.width < WIDE


def table_console() -> PlainConsole:
    """Return the console that tables are printed on: as wide as the terminal, or wide enough in a pipe."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=PIPE_WIDTH)


def print_out(line: str = "") -> None:
    """Print a result on stdout; JSON stays the same JSON."""
    sys.stdout.write(f"{printable_lines(line)}\n")


def print_error(error: TbconvError) -> None:
    """Print the three parts on stderr; with `-v` where it arose, before them."""
    if _now["volume"] is Volume.VERBOSE:
        sys.stderr.write(printable_lines("".join(traceback.format_exception(error))))
    sys.stderr.write(f"error: {error}\n")
