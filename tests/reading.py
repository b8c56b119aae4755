"""What the documentation holds that a machine can check: links, headings, commands. For tests alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAPERS = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
HISTORY = ("docs/log.md", "CHANGELOG.md")  # what commands were called then; links of them hold all the same
SHELLS = ("sh", "bash", "console", "")
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[a-z]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    (?! *[-*\d]).+\n)+", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_ENDS = {";", "&&", "||", "|", "&", ">", ">>", "<", "(", ")"}


def pages() -> list[Path]:
    """Every Markdown file that a reader meets."""
    return [*(ROOT / name for name in PAPERS), *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """The name of a page from the root of the checkout."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    kind: str  # the word behind the fence, often empty
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks, their indent taken off."""
    found = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(one["kind"], "".join(line.removeprefix(one["indent"]) for line in one["text"].splitlines(keepends=True)))
        for one in found
    ]


def prose(page: Path) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets of links and pictures, as written."""
    return _LINK.findall(_SPAN.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """What `#...` may name: headings as code hosts and the site make anchors of them."""
    slugs: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
        count = 0
        while (name := f"{slug}-{count}" if count else slug) in slugs:
            count += 1
        slugs.add(name)
    return slugs


def shell_lines(page: Path) -> list[str]:
    """Lines of shell blocks and of indented blocks, continued ones joined."""
    text = prose(page)
    taken = [block.text for block in blocks(page) if block.kind in SHELLS]
    taken += [found[0].replace("\n" + " " * 8, " ") for found in _INDENTED.finditer(text)]
    return [line.strip() for one in taken for line in one.replace("\\\n", " ").splitlines() if line.strip()]


def spans(page: Path) -> list[str]:
    """Code in running text."""
    return _SPAN.findall(re.sub(r"\n(?=\S)", " ", prose(page)))


def commands(line: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell line; of a line that is no shell none."""
    if "tbconv" not in line:
        return
    reader = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
    reader.whitespace_split, reader.commenters = True, "#"
    words: list[str] = []
    for word in [*reader, ";"]:
        if word in _ENDS or set(word) <= set(";&|<>()"):
            if words:
                yield words
            words = []
        elif words or not re.fullmatch(r"\w+=.*", word):  # a variable before the command
            words.append(word)


def usage(span: str) -> list[str]:
    """The words of a usage line: what may be left out is taken, of alternatives the first."""
    plain = re.sub(r"\.\.\.|[\[\]]", " ", span)
    return [word.split("|")[0] for word in shlex.split(plain) if word not in ("|", "/")]
