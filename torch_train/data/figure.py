"""The one picture of a set of films: how many, how large, how old, how bright, and a look at some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from torch_train.data.report import DataReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLOURS = ("#4477aa", "#ee6677")  # negative, positive: Paul Tol's bright scheme, apart for the colour-blind
SHOWN = 10  # films a class on the contact sheet
MOST_SITES = 8


def draw_report(report: DataReport, path: Path) -> None:
    """Write the figure as a PNG of 1,800 x 1,000 pixels.

    Args:
        report: from `check_data`.
        path: where to; its folder is made if need be.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 10), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(report), fontsize=15, x=0.01, ha="left")
    rows = figure.add_gridspec(2, 1, height_ratios=(1.2, 1), hspace=0.06)
    first, second, third, fourth = figure.add_subfigure(rows[0]).subplots(1, 4)
    _draw_counts(first, report)
    _draw_sizes(second, report)
    _draw_ages(third, report)
    _draw_brightness(fourth, report)
    _draw_sheet(figure.add_subfigure(rows[1]), report)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")  # whatever the name ends in


def _title(report: DataReport) -> str:
    copies = len(report.duplicates.exact) + len(report.duplicates.near)
    what = "SYNTHETIC PHANTOMS, no patients · " if report.synthetic else ""
    return (
        f"{what}{Path(report.root).resolve().name}: {report.films:,} films ({report.layout}), "
        f"{report.patients.patients:,} patients{'' if report.patients.known else ' (one a film)'}, "
        f"{copies} groups of copies, {len(report.unreadable)} unreadable"
    )


def _by_class(report: DataReport) -> list[tuple[int, str, str]]:
    return [(label, name, COLOURS[label]) for label, name in enumerate(report.labels.names)]


def _of_class(report: DataReport, label: int) -> list[int]:
    return [number for number, film in enumerate(report.loaded.index.films) if film.label == label]


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontweight("bold")


def _draw_counts(axes: Axes, report: DataReport) -> None:
    groups = {"all": report.classes} if len(report.sites) < 2 else report.sites
    groups = dict(sorted(groups.items(), key=lambda item: -sum(item[1].values()))[:MOST_SITES])
    for label, name, colour in _by_class(report):
        places = np.arange(len(groups)) + (label - 0.5) * 0.4
        bars = axes.bar(places, [counts[name] for counts in groups.values()], 0.38, color=colour, label=name)
        axes.bar_label(bars, padding=2)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.margins(y=0.22)  # room for the legend above the bars
    axes.legend(frameon=False, loc="upper right")
    _finish(axes, "Films a class" + (" and site" if len(groups) > 1 else ""), "", "films")


def _draw_sizes(axes: Axes, report: DataReport) -> None:
    for label, name, colour in _by_class(report):
        facts = [report.loaded.facts[film] for film in _of_class(report, label)]
        places, counts = np.unique([(fact.width, fact.height) for fact in facts], axis=0, return_counts=True)
        # the area of a circle grows with the films of that size: most sets have a few sizes only
        areas = 20 + 400 * counts / len(facts)
        axes.scatter(
            places[:, 0], places[:, 1], areas, edgecolors=colour, facecolors="none", linewidths=1.6, label=name
        )
    largest = 1.15 * max(max(fact.width, fact.height) for fact in report.loaded.facts)
    axes.plot([0, largest], [0, largest], color="0.8", linewidth=1, zorder=0)
    axes.set(xlim=(0, largest), ylim=(0, largest), aspect="equal")
    title = "All one size" if len(report.sizes) == 1 else f"{len(report.sizes)} sizes"
    _finish(axes, title, "width, pixels", "height, pixels")


def _draw_ages(axes: Axes, report: DataReport) -> None:
    ages = [
        [film.age for film in report.loaded.index.films if film.label == label and film.age is not None]
        for label in (0, 1)
    ]
    if not any(ages):
        axes.text(0.5, 0.5, "not known", ha="center", va="center", transform=axes.transAxes, color="0.5", fontsize=13)
        axes.set(xticks=[], yticks=[])
        _finish(axes, "Age", "", "")
        return
    bins = list(range(0, int(max(map(max, filter(None, ages)))) + 6, 5))
    for label, name, colour in _by_class(report):
        axes.hist(ages[label], bins=bins, color=colour, alpha=0.5, label=name)
    known = sum(map(len, ages))
    _finish(axes, f"Age, known of {known:,} films", "years", "films")


def _draw_brightness(axes: Axes, report: DataReport) -> None:
    brightness = report.loaded.squares.mean(axis=(1, 2))
    steps = int(np.clip(np.sqrt(len(brightness)), 8, 40))
    bins = np.linspace(brightness.min(), brightness.max() + 1e-3, steps + 1).tolist()
    for label, name, colour in _by_class(report):
        own = brightness[_of_class(report, label)]
        axes.hist(own, bins=bins, weights=np.full(len(own), 1 / len(own)), color=colour, alpha=0.5, label=name)
    alone = f", alone AUROC {report.alone['brightness']:.2f}" if "brightness" in report.alone else ""
    _finish(axes, f"Brightness{alone}", "mean grey level, 0..255", "share of the class")


def _draw_sheet(sheet: SubFigure, report: DataReport) -> None:
    grid = sheet.subplots(2, SHOWN, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.axis("off")
    for label, name, colour in _by_class(report):
        own = _of_class(report, label)
        chosen = np.unique(np.linspace(0, len(own) - 1, SHOWN).astype(int))  # evenly over the set, not its start
        for axes, place in zip(grid[label], chosen, strict=False):
            axes.imshow(report.loaded.squares[own[place]], cmap="gray", vmin=0, vmax=255)
        grid[label][0].set_title(name, color=colour, fontweight="bold", loc="left")
