"""What people are told: errors in three parts, progress, others' text made safe to show, and what a flag calls for.

The errors that a user can meet, each with what, why and fix:

TbconvError
├── FilmError            a film cannot be read as a grey X-ray
├── DataError            a folder, table or label set cannot be trained on
├── ConfigError          options that contradict each other or the data
├── SetupError           a package, weight file, port or disk that the machine lacks
├── BundleError          a bundle or run folder that is not one, or not whole
│   └── ArtefactError    one file of a bundle is missing, altered or without a verdict
├── ReceiptError         a receipt, or the results that it is of, was altered
├── ConversionError      a converter failed, or left an invalid file
│   └── NoRuleError      the network has an operation, or a use of one, that no rule of ours knows
└── ParityError          the outputs of a converted file differ from PyTorch

`ValueError` and `TypeError` stay what they are: a mistake in the program, not in the world.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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


class ReceiptError(TbconvError):
    """A receipt, or the results that it is of, was altered, or it is about something else."""


class ConversionError(TbconvError):
    """A converter failed, or left an invalid file."""


class NoRuleError(ConversionError):
    """The network has an operation, or a use of one, that no rule of ours knows: the one way to another's converter."""


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


def no_formula(name: str) -> str:
    """Return a path or id that no spreadsheet takes for a formula; of a path that is still the same path."""
    return f"./{name}" if name.startswith(("=", "+", "-", "@")) else name


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


# --- referral ---
# What a flag calls for, and the sentences that stand beside every result. The words belong to the bundle (its
# manifest's `referral`); what speaks of no bundle, such as the command's own help, says what holds of any.

MEASURED_ELSEWHERE = (
    "Trained and measured on the films that the model card names; other hospitals, devices and ages may differ."
)
BACTERIOLOGICAL_TEST = "a bacteriological test"  # WHO's word for what follows a film that is read as tuberculosis
LONGEST_REFERRAL = 100  # characters: a title on a telephone takes three lines of it


@dataclass(frozen=True, slots=True)
class Referral:
    """What a flag calls for, and every sentence that is made of it.

    Attributes:
        phrase: completes "refer for ...", such as "a bacteriological test"; empty where nothing is named.
    """

    phrase: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.phrase, str) or len(self.phrase) > LONGEST_REFERRAL or not self._is_one_line:
            raise ValueError(f"the referral {str(self.phrase)[:80]!r} is too long, or no line of words")

    @property
    def _is_one_line(self) -> bool:
        joiners = "\u200c\u200d"  # of Persian and Indian scripts
        return self.phrase == self.phrase.strip() and all(one.isprintable() or one in joiners for one in self.phrase)

    @property
    def flagged(self) -> str:
        """What is said of a film that is flagged, in lower case."""
        return f"refer for {self.phrase}" if self.phrase else "flagged: have a clinician read it"

    @property
    def decisions(self) -> dict[str, str]:
        """Each decision in words, in lower case, by its code."""
        return {
            "refer": self.flagged,
            "indeterminate": "indeterminate: too close to the threshold to call",
            "not_flagged": "not flagged",
        }

    @property
    def disclaimer(self) -> str:
        """The sentence that stands beside every result."""
        return f"Research tool, not a medical device: a flag calls for {self.calls_for}, its absence rules nothing out."

    @property
    def calls_for(self) -> str:
        """What a flag calls for, in the middle of a sentence."""
        return self.phrase or "a clinician's reading"

    @property
    def limits(self) -> tuple[str, str, str]:
        """What no answer says: the disclaimer, whose films it was measured on, what the map does not show."""
        return (
            self.disclaimer,
            MEASURED_ELSEWHERE,
            "The map shows which regions moved this model's margin, not where disease is.",
        )


NO_REFERRAL = Referral()
DISCLAIMER = NO_REFERRAL.disclaimer  # beside results of no bundle, and of many


def referral_of_option(text: str) -> str:
    """Return the phrase that `--referral` gives: one line, without what the sentences add themselves; may be empty.

    Raises:
        ConfigError: it is no phrase that could follow "refer for".
    """
    phrase = " ".join(text.split()).rstrip(".").rstrip()
    begins = phrase.casefold()
    why = 'it completes the sentence "Refer for ...", and an empty one names nothing'
    if begins in ("none", "no", "nothing", "null", "-"):
        raise ConfigError(f"--referral {text!r}", why=why, fix='--referral ""')
    if match := re.match(r"(refer(ral)?|flagged)\b[: ]*((for|to)\b)? *", begins):
        raise ConfigError(f"--referral {text!r}", why=why, fix=f'--referral "{phrase[match.end() :] or "a chest CT"}"')
    if re.match(r"(a|an|the) ", begins):
        phrase = begins[0] + phrase[1:]  # in the middle of a sentence
    try:
        return Referral(phrase).phrase
    except ValueError as error:
        most = f"{LONGEST_REFERRAL} letters are the most, without control characters"
        raise ConfigError("--referral is no phrase", why=f"{error}; {most}", fix='--referral "a chest CT"') from error


def sentence(words: str) -> str:
    """Return words with a capital at their beginning, and everything else as it was: "CT" stays."""
    return words[:1].upper() + words[1:]
