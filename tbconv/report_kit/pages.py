"""Report pages and model cards: sections as data, put into Jinja2 templates that escape everything.

A report says what it found as `Section`s; its template (`NAME.html.j2` beside the module) adds its own first screen.
Two environments, one for HTML and one for Markdown, escape whatever a template prints. The one thing that passes
unescaped into HTML is the SVG of a `Chart`, which `charts.figure_to_svg` made; into Markdown, `Markdown`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbconv.contract.errors import printable_lines

if TYPE_CHECKING:
    from jinja2 import Environment

KIT = Path(__file__).parent
Cell = str | Mapping[str, Any]  # plain text, or any of: code, chip (a verdict), text, mark, small (a line below)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows of as many cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its caption."""

    title: str
    svg: str  # of `charts.figure_to_svg`; empty where there is only the caption to show
    caption: str = ""
    wide: bool = False  # as wide as the page; scrolls sideways on a phone


@dataclass(frozen=True, slots=True)
class Section:
    """One question and its answer: text, charts, tables, named values, points, then a note in small print."""

    key: str  # id on the page
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[str] = ()
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing would stand below the heading."""
        return not (self.text or self.tables or self.charts or self.facts or self.points)


class Markdown(str):
    """Text that is Markdown already and passes into a model card as it is."""

    __slots__ = ()


def render_page(template: Path, **context: Any) -> str:
    """Return a page that fetches nothing and runs no script, HTML with everything inside.

    Args:
        template: a `.html.j2` file that extends the kit's `page.html.j2`.
        context: what it prints; every value is escaped.
    """
    style = (KIT / "style.css").read_text(encoding="utf-8")
    return _environment(template.parent, markdown=False).get_template(template.name).render(style=style, **context)


def render_card(template: Path, **context: Any) -> str:
    """Return a model card as Markdown.

    Args:
        template: a `.md.j2` file.
        context: what it prints; every value but `Markdown` is escaped.
    """
    text = _environment(template.parent, markdown=True).get_template(template.name).render(**context)
    return f"{text.rstrip()}\n"


def data_address(content: bytes, kind: str) -> str:
    """Return an image as an address that holds it: `kind` is png or jpeg."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _environment(folder: Path, *, markdown: bool) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, KIT]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_as_markdown if markdown else _as_html,
    )
    if markdown:
        environment.filters["code"] = _as_code
    return environment


def escape_markdown(text: str) -> str:
    """Escape what Markdown or HTML would read as its own, names of sites and classes above all."""
    for sign, plain in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        text = text.replace(sign, plain)
    return printable_lines(" ".join(text.replace("*", "\\*").replace("_", "\\_").split()))


def _as_markdown(value: Any) -> Any:
    from markupsafe import Markup

    if isinstance(value, Markup):  # a macro's, whose own values went through here
        return value
    return Markup(value if isinstance(value, Markdown) else escape_markdown(str(value)))  # noqa: S704 - escaped


def _as_html(value: Any) -> Any:
    """Pass a value on to be escaped, without characters that nobody sees: an override turns a name around."""
    return printable_lines(value) if type(value) is str else value


def _as_code(text: str) -> Markdown:
    return Markdown(f"`{text}`" if re.fullmatch(r"[\w./-]+", text) else escape_markdown(text))
