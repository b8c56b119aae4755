"""The operating point: the highest threshold that still finds the wished share of validation positives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.threshold import OperatingPoint
from torch_train.metrics import confusion


def choose_operating_point(
    margins: NDArray[np.floating], labels: NDArray[np.int64], *, wished_sensitivity: float, chosen_on: str
) -> OperatingPoint:
    """Choose the margin from which a film counts as positive.

    Args:
        margins: [N], of validation films.
        labels: int64 [N], 1 positive; both classes occur.
        wished_sensitivity: share of positives to find, in (0, 1].
        chosen_on: SHA-256 of the split.

    Returns:
        The point with what it achieves on these films. The threshold lies midway between two
        margins, so that a last digit (another format, another machine) flips no film.
    """
    exact = np.asarray(margins, np.float64)
    found = np.sort(exact[labels == 1])[::-1]
    needed = math.ceil(wished_sensitivity * len(found) - 1e-9)  # 0.7 * 10 is 7.000000000000001 in binary
    threshold = _midway_below(float(found[needed - 1]), exact)
    count = confusion(exact >= threshold, labels)
    return OperatingPoint(
        margin=threshold,
        wished_sensitivity=wished_sensitivity,
        sensitivity=count.true_positives / len(found),
        specificity=count.true_negatives / (len(labels) - len(found)),
        positives=len(found),
        negatives=len(labels) - len(found),
        chosen_on=chosen_on,
    )


def _midway_below(margin: float, margins: NDArray[np.float64]) -> float:
    """Return the middle between a margin and the next lower one; half a logit below where none is lower."""
    below = margins[margins < margin]
    return (margin + float(below.max())) / 2 if len(below) else margin - 0.5
