"""How far a file is from the float64 oracle, against how far float32 PyTorch itself is: one number in dB.

numpy only. A file compared with float32 PyTorch pays for PyTorch's rounding as well; here it pays for its own.
Against PyTorch's own distance, or against one float32 rounding step of what the margin is summed from, where that
is larger.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.classifier import Prediction

ALLOWED_DB = 6.0  # a float32 file may be twice as far from the oracle as eager PyTorch (or the step), root mean square
OR_STEP = "or than one float32 rounding step of what the margin is summed from, where that is larger"
ALLOWED_GAP_DB = 3.0  # a float16 file beside another runtime with the same rounded weights


def oracle_distance(answer: Prediction, reference: Prediction, oracle: Prediction) -> dict[str, float]:
    """Return the root mean square distances of the margins from the oracle's, and their ratio in dB.

    Eager PyTorch can be lucky, so its own distance counts as at least one float32 rounding step of what the margin
    is summed from: epsilon x mean |evidence| of each film, root mean square.

    Args:
        answer: one file's answers for N films, finite.
        reference: PyTorch's in float32.
        oracle: PyTorch's in float64.

    Returns:
        `rms` and `eager_rms` and `floor_rms` in logits, `db` = 20 log10(rms / max(eager_rms, floor_rms)).
    """
    rms, eager = (_rms(one.margin.astype(np.float64) - oracle.margin) for one in (answer, reference))
    summed = np.abs(oracle.logits).max(axis=1) if oracle.evidence is None else np.abs(oracle.evidence).mean((1, 2))
    floor = _rms(summed.astype(np.float64)) * float(np.finfo(np.float32).eps)
    tiny = 1e-300  # an answer that is the oracle's has no logarithm
    ratio = 20 * float(np.log10(max(rms, tiny) / max(eager, floor, tiny)))
    return {"rms": rms, "eager_rms": eager, "floor_rms": floor, "db": max(ratio, -300.0)}


def gap_db(file: dict[str, float], yardstick: dict[str, float]) -> float | None:
    """Return how much further a file is from the oracle than its yardstick, in dB; None where either is on it."""
    return 20 * float(np.log10(file["rms"] / yardstick["rms"])) if file["rms"] > 0 and yardstick["rms"] > 0 else None


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
