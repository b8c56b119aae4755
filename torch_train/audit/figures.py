"""The three pictures of an audit: probes against their levels, the mean film of each class, the mean border."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from torch_train.audit.looks import BORDER, film_area
from torch_train.audit.sample import Sample
from torch_train.data.figure import COLOURS

MARKS = {"PASS": ("#228833", "o"), "SUSPECT": ("#aa3377", "D"), "NOTED": ("#888888", "s")}  # Tol's bright scheme
STEPS = 100  # places along each side of a film


def draw_probes(findings: list[dict[str, Any]]) -> str:
    """Return every figure with its interval and its level, as an SVG-free data address of a PNG."""
    shown = [finding for finding in findings if finding["estimate"] is not None]
    figure, axes = _canvas(8.6, 0.42 * len(shown) + 0.9)
    for row, finding in enumerate(reversed(shown)):
        colour, sign = MARKS[finding["verdict"]]
        estimate, level = finding["estimate"], finding["level"]
        axes.plot([estimate["low"], estimate["high"]], [row, row], color=colour, linewidth=2.5)
        axes.plot(estimate["value"], row, sign, color=colour, markersize=7)
        if level is not None:
            axes.plot([level, level], [row - 0.35, row + 0.35], color="black", linewidth=1.6)
    axes.set_yticks(range(len(shown)), [_title(finding) for finding in reversed(shown)])
    axes.set(xlim=(min(-0.02, *(f["estimate"]["low"] for f in shown)) - 0.02, 1.02), ylim=(-0.6, len(shown) - 0.4))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("value and 95 % interval; the black line is the rule's level")
    return _address(figure)


def _title(finding: dict[str, Any]) -> str:
    return f"{finding['probe']} ({finding['measure']})  {finding['verdict']}"


def draw_means(films: Sample, names: tuple[str, str]) -> str:
    """Return the mean film of each class and their difference, as a data address of a PNG."""
    means = [films.squares[films.labels == label].mean(0) for label in (0, 1)]
    difference = means[1] - means[0]
    widest = max(10.0, float(np.abs(difference).max()))
    figure = Figure(figsize=(8.6, 3.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for label, axes in enumerate(panels[:2]):
        axes.imshow(means[label], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{names[label]}, mean of {int((films.labels == label).sum())}", fontsize=10)
    picture = panels[2].imshow(difference, cmap="RdBu_r", vmin=-widest, vmax=widest)
    panels[2].set_title("positive minus negative", fontsize=10)
    figure.colorbar(picture, ax=panels[2], label="grey levels", shrink=0.85)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    return _address(figure)


def draw_borders(films: Sample, names: tuple[str, str]) -> str:
    """Return the mean grey level around the film, class by class with its spread, as a data address of a PNG."""
    pairs = zip(films.squares, films.facts, strict=True)
    rims = np.stack([_rim(film_area(square, fact)) for square, fact in pairs])
    figure, axes = _canvas(8.6, 2.7)
    for label, name in enumerate(names):
        own = rims[films.labels == label]
        low, middle, high = np.percentile(own, (25, 50, 75), axis=0)
        axes.fill_between(np.arange(len(middle)), low, high, color=COLOURS[label], alpha=0.2, linewidth=0)
        axes.plot(middle, color=COLOURS[label], label=name)
    for side in range(1, 4):
        axes.axvline(side * STEPS, color="0.8", linewidth=1)
    axes.set_xticks([STEPS * (side + 0.5) for side in range(4)], ["top", "right", "bottom", "left"])
    axes.set(xlim=(0, 4 * STEPS), ylim=(0, 255), ylabel="grey level")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return _address(figure)


def _rim(film: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean over the border's depth, clockwise from the upper left corner, float64 [4 * STEPS]."""
    deep, wide = (max(1, round(BORDER * side)) for side in film.shape)
    sides = (film[:deep].mean(0), film[:, -wide:].mean(1), film[-deep:].mean(0)[::-1], film[:, :wide].mean(1)[::-1])
    places = np.linspace(0, 1, STEPS)
    return np.concatenate([np.interp(places, np.linspace(0, 1, len(side)), side) for side in sides])


def _canvas(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _address(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
