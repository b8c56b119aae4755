"""What people are told: errors in three parts, progress, other people's text made safe to show, and the disclaimer.

The errors that a user can meet, each with what, why and fix:

TbconvError
├── FilmError            a film cannot be read as a grey X-ray
├── DataError            a folder, table or label set cannot be trained on
├── ConfigError          options that contradict each other or the data
├── SetupError           a package, weight file, port or disk that the machine lacks
├── BundleError          a bundle or run folder that is not one, or not whole
│   └── ArtefactError    one file of a bundle is missing, altered or without a verdict
├── ConversionError      a converter failed, or left an invalid file
└── ParityError          the outputs of a converted file differ from PyTorch

`ValueError` and `TypeError` stay what they are: a mistake in the program, not in the world.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

# --- errors ---

_CONTINUED = re.compile(r"\n(?! {4})")  # a line that would stand as far left as one of the three parts


class TbconvError(Exception):
    """An expected error: what happened, why it matters or came about, and what to do next."""

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        """Return the three parts as a terminal shows them; no line of one can pass for another."""
        what, why, fix = (_CONTINUED.sub("\n    ", printable_lines(part)) for part in (self.what, self.why, self.fix))
        return f"{what}\n  why: {why}\n  fix: {fix}"

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the three parts when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.what, self.why, self.fix))

    @property
    def one_line(self) -> str:
        """The error as one sentence, for responses and logs."""
        return printable(" ".join(f"{self.what} ({self.why})".split()))


def _rebuild(kind: type[TbconvError], what: str, why: str, fix: str) -> TbconvError:
    return kind(what, why=why, fix=fix)


class FilmError(TbconvError):
    """A film cannot be read as a grey X-ray."""


class DataError(TbconvError):
    """A folder, table or label set cannot be trained on."""


class ConfigError(TbconvError):
    """Options that contradict each other or the data."""


class SetupError(TbconvError):
    """A package, weight file, port or disk that the machine lacks."""


class BundleError(TbconvError):
    """A bundle or run folder that is not one, or not whole."""


class ArtefactError(BundleError):
    """One file of a bundle is missing, altered or without a verdict: the one way to the baseline."""


class ConversionError(TbconvError):
    """A converter failed, or left an invalid file."""


class ParityError(TbconvError):
    """The outputs of a converted file differ from PyTorch."""


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

LONGEST_NAME = 255  # characters of one of several names, what file systems take
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


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first names of a list, printable, and how many more there are.

    Args:
        names: of files, operations or columns; what is longer than a file's name may be is cut.
        most: that are spelt out.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(printable(one, most=LONGEST_NAME) for one in names[:most])}{more}"


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
