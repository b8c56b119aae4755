"""The two pictures of a run: its curves and its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tbconv.contract.labels import Labels
from torch_train.history import EpochRecord
from torch_train.metrics import Confusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0b6fa4", "#c4570c", "#6b7280"  # told apart by colour-blind readers too
DPI = 120


def draw_curves(path: Path, history: Sequence[EpochRecord], *, kept: int, title: str) -> None:
    """Draw losses, validation AUROC and learning rate over epochs, and a line at the epoch whose weights were kept."""
    from matplotlib.ticker import MaxNLocator

    figure = _new_figure(7, 7.5)
    losses, area, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
    epochs = [record.epoch for record in history]
    losses.plot(
        epochs, [record.train_loss for record in history], ".-", color=BLUE, label="training (augmented, dropout)"
    )
    losses.plot(epochs, [record.validation_loss for record in history], ".-", color=ORANGE, label="validation")
    losses.set(ylabel="loss", title=title)
    area.plot(epochs, [record.validation_auroc for record in history], ".-", color=ORANGE, label="validation")
    area.set(ylabel="AUROC")
    rate.step(epochs, [record.learning_rate for record in history], where="mid", color=GREY)
    rate.set(ylabel="learning rate", xlabel="epoch", yscale="log")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (losses, area, rate):
        axes.axvline(kept, color=GREY, linestyle=":", label="kept epoch")
        axes.grid(alpha=0.25)
    losses.legend(frameon=False)
    area.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=DPI)


def draw_confusion(path: Path, counts: Confusion, names: Labels, *, title: str) -> None:
    """Draw the four counts at the operating point, truth downwards and decision across."""
    rows = (
        (counts.true_negatives, counts.false_positives),
        (counts.false_negatives, counts.true_positives),
    )
    shares = [[count / max(1, sum(row)) for count in row] for row in rows]
    figure = _new_figure(5, 4.6)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            colour = "white" if shares[y][x] > 0.5 else "black"
            axes.text(x, y, f"{count}\nof {sum(row)}", ha="center", va="center", color=colour, fontsize=14)
    axes.set_xticks([0, 1], [f"called {name}" for name in names.names])
    axes.set_yticks([0, 1], names.names, rotation=90, va="center")
    axes.set(ylabel="truth", title=title)
    figure.savefig(path, dpi=DPI)


def _new_figure(width: float, height: float) -> Figure:
    """Return a figure of so many inches that draws with Agg and never asks for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
