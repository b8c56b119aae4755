"""From a matplotlib figure to an SVG inside a page, whose colours follow the page: light, dark or paper."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from torch_train.curves import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, LINE, NEAR = "#16202b", "#dce1e7", "#5b3fa0"
COLOURS = {BLUE: "exact", ORANGE: "reduced", GREY: "quiet", INK: "ink", LINE: "line", NEAR: "near"}  # names of the CSS
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and scaled
    "svg.hashsalt": "tbconv",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def one_panel(width: float = 5.0, height: float = 4.0) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of so many inches and its only axes, in the page's style."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def to_svg(figure: Figure, *, key: str, says: str) -> str:
    """Return the figure as an SVG element.

    Args:
        figure: drawn in the colours of COLOURS.
        key: that sets its ids apart from other drawings' on the page.
        says: what a screen reader reads.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=NO_METADATA)
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", text, count=3).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", text)
    for colour, name in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(says)}"', 1)
