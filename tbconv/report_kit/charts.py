"""Figures of every report: one matplotlib style, SVG whose colours follow the page, and the charts that reports share.

matplotlib is imported when something is drawn. The same figures give the same bytes: no date, fixed ids.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tbconv.contract.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# --- style ---

BLUE, ORANGE, PURPLE, AMBER = "#0b6fa4", "#c4570c", "#5b3fa0", "#e0a63a"  # told apart by colour-blind readers too
INK, GREY, LINE = "#16202b", "#586474", "#dce1e7"
CLASSES = (BLUE, ORANGE)  # negative, positive
_PROPERTIES = dict(
    zip(
        (BLUE, ORANGE, PURPLE, AMBER, INK, GREY, LINE),
        ("blue", "orange", "purple", "amber", "ink", "quiet", "line"),
        strict=True,
    )
)  # of style.css
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and scaled
    "svg.hashsalt": "tbconv",
    "text.parse_math": False,  # a class may be called $x$
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.titleweight": "bold",
    "axes.titlesize": "medium",
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
}
DPI = 120  # of PNG files


@contextmanager
def drawing(
    width: float = 5.0, height: float = 4.0, *, rows: int = 1, columns: int = 1, **grid: Any
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure of so many inches in the reports' style, and its axes as `Figure.subplots` returns them.

    With `rows=0` the figure is empty and the axes are None.
    Save it inside the block, with `figure_to_svg` or `save_png`. Nothing opens a display.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        # names come from outside: of any script, and of any length
        warnings.filterwarnings("ignore", "(Glyph .* missing from font|constrained_layout not applied)", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, **grid) if rows else None


def figure_to_svg(figure: Figure, *, key: str, title: str, description: str = "") -> str:
    """Return the figure as an SVG element to put into a page.

    Args:
        figure: drawn inside `drawing`; the colours of this module follow the page, light or dark.
        key: that sets its ids apart from other figures' on the page.
        title: what a screen reader reads first.
        description: what it reads then.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", text, count=3).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", text)
    text = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)  # 1/100 point
    text = re.sub(r"M (\S+) (\S+) ?\n(?=M)", r"M\1 \2h0", text)  # dots: matplotlib leaves out lines of no length
    for colour, name in _PROPERTIES.items():
        text = text.replace(colour, f"var(--{name})")
    names = f"{key}-title {key}-desc" if description else f"{key}-title"
    labels = f'<title id="{key}-title">{escape(title)}</title>'
    labels += f'<desc id="{key}-desc">{escape(description)}</desc>' if description else ""
    return re.sub(r"<svg([^>]*)>", rf'<svg role="img" aria-labelledby="{names}"\1>', text, count=1).replace(
        ">", f">{labels}", 1
    )


def save_png(figure: Figure, path: Path, *, dpi: int = DPI, option: str = "--out") -> None:
    """Write a figure as a PNG on white, whatever the file's name ends in; `option` chooses another place."""
    with atomic_file(path, option=option) as file:
        figure.savefig(file, format="png", dpi=dpi, facecolor="white")


# --- charts ---


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of a strip chart."""

    name: str
    values: ArrayLike | None  # [N]; None: nothing to draw
    colour: str
    limit: float | None = None  # a dashed line
    remark: str = ""  # at the right end


def strip_chart(rows: Sequence[Strip], axes: Axes, *, log: bool = False) -> None:
    """Draw a row of dots for each set of values, a bar at its median and a dashed line at its limit.

    On a log scale, values of zero lie at the left end, below every other.
    """
    known = np.concatenate([np.ravel(np.asarray(row.values, np.float64)) for row in rows if row.values is not None])
    least = 0.0
    if log:
        above = known[known > 0]
        low, high = (above.min(), above.max()) if len(above) else (1e-6, 1e-5)
        least = 10.0 ** np.floor(np.log10(low) - 0.05)
        axes.set(xscale="log", xlim=(least * 0.8, 10.0 ** np.ceil(np.log10(max(high, 10 * low)) + 0.05)))
        label_powers(axes.xaxis)
    for place, row in enumerate(reversed(rows)):
        if row.values is None:
            axes.annotate(
                "nothing to draw: NaN, infinite or of the wrong shape",
                (0.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                color=ORANGE,
            )
            continue
        values = np.maximum(np.ravel(np.asarray(row.values, np.float64)), least)
        spread = (np.arange(len(values)) * 0.618) % 1 - 0.5  # golden ratio: neighbours do not overlap
        draw_dots(axes, values, place + 0.5 * spread, row.colour)
        axes.plot([np.median(values)] * 2, [place - 0.34, place + 0.34], color=INK, linewidth=2)
        if row.limit is not None:
            axes.plot([row.limit] * 2, [place - 0.4, place + 0.4], color=INK, linestyle="--", linewidth=1.2)
        axes.annotate(row.remark, (1.01, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of a forest chart."""

    name: str
    value: float
    low: float
    high: float
    colour: str
    marker: str = "o"
    limit: float | None = None


def forest_chart(rows: Sequence[Interval], axes: Axes) -> None:
    """Draw a value with its interval in each row, and a black line at its limit."""
    for place, row in enumerate(reversed(rows)):
        axes.plot([row.low, row.high], [place, place], color=row.colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(row.value, place, row.marker, color=row.colour, markersize=7)
        if row.limit is not None:
            axes.plot([row.limit] * 2, [place - 0.35, place + 0.35], color=INK, linewidth=1.6)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")


def reliability_chart(bins: Sequence[Mapping[str, Any]], *, key: str, across: str) -> str:
    """Return the share that is positive over the probability, as SVG.

    Args:
        bins: `probability` (the mean of its films) and `observed` (the share as an estimate in JSON).
        key: of the figure on its page.
        across: name of the horizontal axis.
    """
    with drawing() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
        for one in bins:
            at, found = one["probability"], one["observed"]
            axes.plot([at, at], [found["low"], found["high"]], color=BLUE, linewidth=1.8)
            axes.plot(at, found["value"], "o", color=BLUE, markersize=6)
            side, anchor = (-6, "right") if at > 0.5 else (6, "left")
            axes.annotate(
                f"{found['n']:,}",
                (at, found["value"]),
                (side, 0),
                textcoords="offset points",
                ha=anchor,
                va="center",
                fontsize=9,
                color=GREY,
            )
        axes.set(xlabel=across, ylabel="share that is positive (n at the dot)")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        return figure_to_svg(figure, key=key, title="reliability diagram", description=f"{len(bins)} groups of films")


def bar_chart(values: Mapping[str, float], words: Callable[[float], str], *, key: str, title: str) -> str:
    """Return horizontal bars from zero in the order given, as SVG; `words` writes the number beside a bar."""
    with drawing(5.0, 0.34 * len(values) + 0.2) as (figure, axes):
        bars = axes.barh(list(values), list(values.values()), 0.55, color=BLUE)
        axes.bar_label(bars, [words(value) for value in values.values()], padding=5)
        axes.invert_yaxis()
        axes.margins(x=0.18, y=0.02)
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)
        axes.set_xticks([])
        return figure_to_svg(figure, key=key, title=title)


def label_powers(axis: Any) -> None:
    """Label a log axis 10⁻², 10⁻¹, ... as plain text: `STYLE` reads no mathematical notation."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter(lambda value, _: "10" + f"{round(np.log10(value))}".translate(_SUPERSCRIPTS))
    axis.set_minor_formatter(LogFormatter())  # between two powers, where an axis spans less than one or two


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw_dots(axes: Axes, x: ArrayLike, y: ArrayLike, colour: str) -> None:
    """Draw many dots as one path, which keeps thousands of films small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    ends = np.repeat(np.stack([np.ravel(x), np.ravel(y)], axis=1), 2, axis=0)
    if not len(ends):
        return
    path = Outline(ends, [Outline.MOVETO, Outline.LINETO] * (len(ends) // 2))  # lines of no length with round ends
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=colour, linewidth=4.5, capstyle="round", alpha=0.55))
    axes.update_datalim(ends)
    axes.autoscale_view()


def draw_histograms(axes: Axes, groups: Mapping[str, ArrayLike], bins: Sequence[float], *, shares: bool) -> None:
    """Draw the distributions of two classes over each other, negative first; as shares of a class or counts."""
    for (name, values), colour in zip(groups.items(), CLASSES, strict=True):
        own = np.ravel(np.asarray(values, np.float64))
        weights = np.full(len(own), 1 / len(own)) if shares and len(own) else None
        axes.hist(own, bins=list(bins), weights=weights, color=colour, alpha=0.5, label=name)
