"""The drawing of reliability: of films called p, how many are positive; with exact intervals, before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.page.axes import Scale, bottom_axis, left_axis, line, svg, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 350, 48, 16, 34, 292
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Films whose probability lies in one tenth."""

    called: float  # their mean probability
    observed: float  # share of positives
    low: float  # of the share's Clopper-Pearson interval, 95 %
    high: float
    n: int


def reliability(probability: NDArray[np.floating], labels: NDArray[np.int64]) -> list[Bin]:
    """Return the tenths that hold films.

    Args:
        probability: [N] or [N, 1], finite, 0..1.
        labels: int64 [N], 1 positive.
    """
    from torch_train.intervals import proportion

    flat = probability.reshape(-1).astype(np.float64)
    which = np.clip((flat * BINS).astype(np.int64), 0, BINS - 1)
    found = []
    for index in np.unique(which):
        rows = which == index
        share = proportion(int(labels[rows].sum()), int(rows.sum()))
        assert share.value is not None and share.low is not None and share.high is not None  # noqa: S101, PT018 - rows exist
        found.append(Bin(float(flat[rows].mean()), share.value, share.low, share.high, share.n))
    return found


def draw_reliability(bins: list[Bin]) -> str:
    """Return one panel; a dot on the diagonal says that the probabilities mean what they say."""
    x, y = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, BOTTOM, TOP)
    axes = bottom_axis(x, TOP, BOTTOM, "probability of the positive class") + left_axis(
        y, LEFT, WIDTH - RIGHT, "share that is positive (n at the dot)"
    )
    marks = [_mark(one, x, y) for one in bins]
    return svg(WIDTH, HEIGHT, [axes, line(x(0), y(0), x(1), y(1), "edge"), *marks], says="reliability diagram")


def _mark(one: Bin, x: Scale, y: Scale) -> str:
    at = x(one.called)
    side = ("end", -9) if at > (LEFT + WIDTH) / 2 else ("start", 9)
    whisker = line(at, y(one.low), at, y(one.high), "whisker")
    dot = f'<circle class="share" cx="{at:.1f}" cy="{y(one.observed):.1f}" r="5"/>'
    return whisker + dot + text(at + side[1], y(one.observed) + 4, str(one.n), side[0])
