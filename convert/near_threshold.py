"""Films searched to lie at the operating point: blends of two films, one on each side of it.

There the smallest difference flips a decision, so what flips on them is reported apart and never counted among
films. The search asks PyTorch in float32, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.isolate import child_main, run_step
from convert.witnesses import Witness

PAIRS = 8
CANDIDATES = 24  # films that are asked for a pair
CLOSE = 1e-3  # logits; a reduced file strays by 1e-3 and more, a float32 file by 1e-5
MOST_STEPS = 24  # bisections: grey levels are whole, so a blend comes only so close
Margins = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


def find_near_threshold(
    reference: Witness, squares: NDArray[np.uint8], *, threshold: float, folder: Path
) -> NDArray[np.uint8]:
    """Return blends near the threshold, uint8 [0 to 8, 224, 224]; none where all films lie on one side.

    Args:
        reference: PyTorch in float32.
        squares: films to blend, uint8 [N, 224, 224]; at most 24 of them, evenly spread, are asked.
        threshold: margin in logits.
        folder: for the arrays on their way.
    """
    rows = np.arange(min(CANDIDATES, len(squares))) * len(squares) // min(CANDIDATES, len(squares))
    images, out = folder / "candidates.npy", folder / "near.npy"
    np.save(images, squares[rows])
    request = reference.request | {"images": str(images), "out": str(out), "threshold": threshold}
    run_step("convert.near_threshold", request, threads=2)
    found: NDArray[np.uint8] = np.load(out, allow_pickle=False)
    return found


def blend_to_threshold(squares: NDArray[np.uint8], margins: Margins, *, threshold: float) -> NDArray[np.uint8]:
    """Bisect between pairs of films until their blends lie within 1e-3 logits of the threshold, or 24 times.

    Args:
        squares: uint8 [N, size, size].
        margins: of films, in logits; asked once for all, then once a bisection for all pairs.
        threshold: margin in logits; a film at or above it is positive.
    """
    given = margins(squares)
    below, above = np.flatnonzero(given < threshold), np.flatnonzero(given >= threshold)
    pairs = min(PAIRS, len(below) * len(above))
    if not pairs:
        return squares[:0]
    drawn = np.random.default_rng(0).permutation(len(below) * len(above))[:pairs]
    first, second = squares[below[drawn // len(above)]], squares[above[drawn % len(above)]]
    low: NDArray[np.float64] = np.zeros(pairs)
    high: NDArray[np.float64] = np.ones(pairs)
    best: NDArray[np.uint8] = first
    distance: NDArray[np.float64] = np.full(pairs, np.inf)
    for _ in range(MOST_STEPS):
        share = (low + high) / 2
        blends = _blend(first, second, share)
        excess = margins(blends) - threshold
        closer = np.abs(excess) < distance
        best = np.where(closer[:, None, None], blends, best)
        distance = np.where(closer, np.abs(excess), distance)
        if (distance < CLOSE).all():
            break
        low, high = np.where(excess < 0, share, low), np.where(excess < 0, high, share)
    return best


def _blend(first: NDArray[np.uint8], second: NDArray[np.uint8], share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Blend with a fixed dither: rounding alone would let many grey levels jump at the same share."""
    part = share[:, None, None]
    dither = np.random.default_rng(0).random(first.shape[1:])
    return np.floor((1 - part) * first + part * second + dither).clip(0, 255).astype(np.uint8)


def search(request: dict[str, Any]) -> dict[str, Any]:
    """Be the search's process; request: images, out, threshold, and what convert.runners.torch_eager.load reads."""
    from convert.runners.torch_eager import load
    from tbconv.contract.preprocess import as_model_input

    network = load(request)
    squares = np.load(request["images"], allow_pickle=False)
    found = blend_to_threshold(
        squares, lambda films: network.predict(as_model_input(films)).margin, threshold=request["threshold"]
    )
    np.save(request["out"], found)
    return {"films": len(found)}


if __name__ == "__main__":
    child_main(search)
