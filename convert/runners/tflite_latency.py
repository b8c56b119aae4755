"""How long each TFLite file takes for one film: in turn, in one process, so that noise meets all of them alike."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from convert.worker import child_main
from tf_serve.runtime.tflite import TFLiteModel

ROUNDS = 15  # of all files; the median of 15 is not moved by a few that were interrupted
WARM_UP = 2


def clock(request: dict[str, Any]) -> dict[str, Any]:
    """Ask every file in turn, one thread each.

    Args:
        request: files (paths); film (.npy, float32 [1, 224, 224, 1]).

    Returns:
        by path, the median and the quartiles in ms.
    """
    film = np.load(request["film"], allow_pickle=False)
    models = {path: TFLiteModel(Path(path), threads=1) for path in request["files"]}
    taken: dict[str, list[float]] = {path: [] for path in models}
    for turn in range(WARM_UP + ROUNDS):
        for path, model in models.items():
            start = time.perf_counter()
            model.predict(film)
            if turn >= WARM_UP:
                taken[path].append(1e3 * (time.perf_counter() - start))
    return {path: _summarise(times) for path, times in taken.items()}


def _summarise(times: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(times, n=4)
    return {"median": median, "low_quartile": low, "high_quartile": high, "rounds": len(times), "threads": 1}


if __name__ == "__main__":
    child_main(clock)
