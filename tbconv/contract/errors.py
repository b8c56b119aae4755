"""The errors that a user can meet, each in three parts: what, why, fix.

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

from tbconv.contract.reporting import printable, printable_lines

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
