"""Checks of a bundle as a CI server shows them: JUnit XML for its list of tests, Markdown for the page of a run.

Every word in a check may be somebody else's (a path, a label, a sentence of a converter), so the XML holds no character
that XML 1.0 forbids, and the Markdown no link, no HTML and no cell that ends its row.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from tbconv.contract.errors import NO_REFERRAL, Referral, printable
from tbconv.contract.files import write_atomic

Outcome = Literal["passed", "failed", "cannot say", "may not serve", "not run"]
# How JUnit says it: CANNOT SAY ends with exit code 3, so it is red like a failure, but another kind of red. What may
# not serve by its certificate, and what was not run because something before it failed, is neither green nor red.
JUNIT: dict[Outcome, str | None] = {
    "passed": None,
    "failed": "failure",
    "cannot say": "error",
    "may not serve": "skipped",
    "not run": "skipped",
}
MARKS: dict[Outcome, str] = {
    "failed": "\N{CROSS MARK}",
    "cannot say": "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}",
    "not run": "\N{HEAVY MINUS SIGN}",
    "may not serve": "\N{HEAVY MINUS SIGN}",
    "passed": "\N{WHITE HEAVY CHECK MARK}",
}
NEXT = (
    "meant? convert the run again: tbconv convert RUN --out BUNDLE. Not meant? Restore the file. "
    "tbconv verify BUNDLE --trace names the first node that a file gets wrong."
)
WORST: tuple[Outcome, ...] = ("failed", "cannot say", "not run", "may not serve", "passed")
MOST_SUMMARY = 1 << 20  # bytes that GitHub shows of a step's summary (docs.github.com, "Adding a job summary")
_MARKDOWN = re.compile(r"([\\`*_\[\]#|~@])")  # an @ would call a person, a # link an issue


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str  # a path of the bundle, or what was looked at
    outcome: Outcome
    message: str = ""  # what is worse and how far, in a sentence
    verdict: str = ""  # of a file: CERTIFIED, BOUNDED ...
    moved: float | None = None  # largest difference of a logit
    changed: str = ""  # decisions that changed, as in "0 of 512"


@dataclass(frozen=True, slots=True)
class Checks:
    """All checks of one bundle, and what stands above and below them."""

    bundle: str  # its name, or its path where the name could not be read
    rows: tuple[Check, ...]
    facts: tuple[str, ...] = ()  # what was fed, the threshold, the labels ...: a line each
    notes: tuple[str, ...] = ()  # worth saying, and no failure
    seconds: float = 0.0
    words: Referral = NO_REFERRAL  # of the bundle

    @property
    def worst(self) -> Outcome:
        """The outcome that decides; nothing checked is a failure."""
        found = {row.outcome for row in self.rows}
        return next((one for one in WORST[:2] if one in found), "passed") if found else "failed"

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        bad = [row.name for row in self.rows if row.outcome == self.worst]
        named = ", ".join(bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
        if self.worst == "failed":
            return f"FAILED: {named or 'nothing was checked'}"
        if self.worst == "cannot say":
            return f"CANNOT SAY: these inputs show too little of {named}"
        return "every file does as well as its certificate says"

    @property
    def in_order(self) -> list[Check]:
        """The rows, worst first."""
        return sorted(self.rows, key=lambda row: WORST.index(row.outcome))

    def write(self, *, junit: Path | None, summary: Path | None) -> None:
        """Write what was asked for, each file whole or not at all."""
        for place, content in ((junit, self.to_junit), (summary, self.to_markdown)):
            if place is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(place, content())

    # --- JUnit ---

    def to_junit(self) -> bytes:
        """Return the checks as JUnit XML, UTF-8: one test suite, a test case a check.

        FAILED is a `failure`, CANNOT SAY an `error`; a file that may not serve by its certificate is `skipped`, and
        so is what was not run because something before it failed.
        """
        kinds = [JUNIT[row.outcome] for row in self.rows]
        counts = {"tests": len(kinds), "failures": kinds.count("failure"), "errors": kinds.count("error")}
        counts["skipped"] = kinds.count("skipped")
        numbers = {name: str(count) for name, count in counts.items()} | {"time": f"{self.seconds:.3f}"}
        root = ElementTree.Element("testsuites", {"name": "tbconv verify", **numbers})
        suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(f"tbconv verify {self.bundle}"), **numbers})
        for row in self.rows:
            where = {"classname": _xml(f"tbconv.{self.bundle}"), "name": _xml(row.name), "time": "0"}
            case = ElementTree.SubElement(suite, "testcase", where)
            if (kind := JUNIT[row.outcome]) is not None:
                said = {"message": _xml(row.message or row.outcome), "type": row.outcome.upper()}
                ElementTree.SubElement(case, kind, said).text = _xml(row.message)
        said_below = "\n".join((*self.facts, *(f"note: {one}" for one in self.notes), self.words.disclaimer))
        ElementTree.SubElement(suite, "system-out").text = _xml(said_below)
        ElementTree.indent(root)
        data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        return data + b"\n"

    # --- Markdown ---

    def to_markdown(self) -> str:
        """Return the checks as Markdown that GitHub and GitLab show: five lines that matter, the table, the notes."""
        text = "\n".join(self._lines()) + "\n"
        data = text.encode()
        cut = data[: MOST_SUMMARY - 64].decode(errors="ignore")
        return text if len(data) <= MOST_SUMMARY else f"{cut}\n\ncut: longer than a summary may be\n"

    def _lines(self) -> Iterator[str]:
        counts = {one: sum(row.outcome == one for row in self.rows) for one in WORST}
        yield f"## {MARKS[self.worst]} {_markdown(self.bundle)}: {_markdown(self.verdict)}"
        yield ""
        yield f"- {', '.join(f'{count} {name}' for name, count in counts.items() if count) or 'nothing'}"
        yield from (f"- {_markdown(fact)}" for fact in self.facts)
        if self.worst == "failed":
            yield f"- {_markdown(NEXT)}"
        yield ""
        yield "| | checked | verdict | max difference of logits | decisions changed | |"
        yield "|---|---|---|---:|---:|---|"
        yield from (_row(row) for row in self.in_order)
        if self.notes:
            yield from ("", f"<details><summary>{len(self.notes)} notes</summary>", "")
            yield from (f"- {_markdown(note)}" for note in self.notes)
            yield from ("", "</details>")
        yield from ("", _markdown(self.words.disclaimer))


def _row(row: Check) -> str:
    moved = "" if row.moved is None else f"{row.moved:.1e}"
    cells: Sequence[str] = (row.name, row.verdict, moved, row.changed, row.message)
    return f"| {MARKS[row.outcome]} | {' | '.join(map(_markdown, cells))} |"


def _markdown(text: str) -> str:
    """Return text that no Markdown renderer reads as anything else: one line, no link, no HTML, no mention."""
    return _MARKDOWN.sub(r"\\\1", html.escape(printable(text), quote=False)).replace("://", ":\u200b//")


def _xml(text: str) -> str:
    """Return text without the characters that XML 1.0 cannot hold; lines stay lines."""
    return "\n".join(printable(line) for line in text.splitlines())
