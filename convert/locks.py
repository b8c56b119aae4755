"""Which films' maps may jump: the head's ReLUs are locked as they are on a film, and one at zero may lock either way.

numpy only. The logits do not jump there, the map does, so its difference is reported over the other films.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.certificate import TIMES_NOISE
from convert.runners.child import Answer

COUNTED, INFERRED, UNTOLD = "counted", "inferred", "not told"


@dataclass(frozen=True, slots=True)
class Locks:
    """Films whose map is left out of the map's difference, and how they are known."""

    flipped: NDArray[np.bool_]  # [N]
    how: str  # counted (PyTorch's own locks), inferred (from the size of the jump) or not told


def map_distance(reference: Answer, other: Answer) -> NDArray[np.float64] | None:
    """Return the largest |d evidence| of each film, float64 [N]; None where one has no map."""
    if reference.evidence is None or other.evidence is None:
        return None
    distance: NDArray[np.float64] = np.abs(other.evidence.astype(np.float64) - reference.evidence).max((1, 2))
    return distance


def map_noise(reference: Answer, oracle: Answer) -> float | None:
    """Return the largest map difference of float32 PyTorch from float64 over films with equal locks.

    At least one float32 rounding step of the largest |evidence|; None without maps.
    """
    distance = map_distance(reference, oracle)
    if distance is None or oracle.evidence is None or not len(distance):
        return None
    equal = ~_counted(reference, oracle)
    step = float(np.abs(oracle.evidence).max()) * float(np.finfo(np.float32).eps)
    return max(float(distance[equal].max(initial=0.0)), step)


def find_flipped(reference: Answer, other: Answer, *, noise: float | None, float32: bool) -> Locks:
    """Find the films whose locks differ from the reference's.

    Args:
        reference: PyTorch's answers, with locks.
        other: another's answers for the same films; with locks where it is PyTorch too.
        noise: see `map_noise`.
        float32: a reduced file's rounding moves every map further than a lock does, so nothing is inferred there.
    """
    if other.locks is not None and reference.locks is not None:
        return Locks(_counted(reference, other), COUNTED)
    distance = map_distance(reference, other)
    if distance is None or noise is None or not float32:
        return Locks(np.zeros(len(other.logits), np.bool_), UNTOLD)
    return Locks(distance > TIMES_NOISE * noise, INFERRED)  # as for the logits: rounding alone explains no more


def _counted(reference: Answer, other: Answer) -> NDArray[np.bool_]:
    if reference.locks is None or other.locks is None:
        return np.zeros(len(other.logits), np.bool_)
    flipped: NDArray[np.bool_] = (reference.locks != other.locks).any(axis=1)
    return flipped
