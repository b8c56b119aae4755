"""How a stage reports its progress, other people's text made safe to show, and the disclaimer beside every result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

# --- reporter ---
# How a stage reports progress, independent of whether a terminal, a pipe or a test reads it.

T = TypeVar("T")


class Reporter(Protocol):
    """Where progress goes; `tbconv.console` draws it."""

    def say(self, line: str) -> None:
        """Print one line."""
        ...

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""
        ...


class Silence:
    """The reporter of tests and programs."""

    def say(self, line: str) -> None:
        """Print nothing."""

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:  # noqa: ARG002
        """Yield the items."""
        return iter(items)


# --- printable text ---
# Names of bundles, files, labels and columns are other people's, and so are the words of many errors: a line break in
# one forges a line of a log, an escape sequence rewrites a terminal, a bidirectional override turns a name around.

LONGEST_TEXT = 4_000  # characters of one line; the longest honest reason is some 1,000
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: object, *, most: int = LONGEST_TEXT) -> str:
    r"""Return text as one line that a terminal, a log or a table shows as it is.

    What is not printable (control characters, line ends, bidirectional overrides, lone surrogates) is written as JSON
    writes it, `\n` or `\u202e`, so that text which is JSON stays JSON.

    Args:
        text: anything with a `str`.
        most: characters; what is longer is cut, and says so.
    """
    line = str(text)
    more = len(line) - most
    if more > 0:
        line = line[:most]
    if not line.isprintable():
        line = "".join(one if one.isprintable() else _escaped(one) for one in line)
    return f"{line}... ({more:,} more characters)" if more > 0 else line


def printable_lines(text: str) -> str:
    """Return text of several lines, each made printable and none cut; line feeds and tabs stay."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _escaped(one) for one in text)


def _escaped(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return _ESCAPES.get(sign) or "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


# --- disclaimer ---
# Shown beside every result.

DISCLAIMER = (
    "Research tool, not a medical device: a flag calls for a bacteriological test, its absence rules nothing out."
)
LIMITS = (
    DISCLAIMER,
    "Trained and measured on the films that the model card names; other hospitals, devices and ages may differ.",
    "The map shows which regions moved this model's margin, not where disease is.",
)
