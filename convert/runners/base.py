"""What the runners share: read the films, answer them in batches, write the arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.worker import child_main
from tbconv.contract.prediction import Classifier, Prediction
from tbconv.contract.preprocess import as_model_input

BATCH = 16  # films a call where the format takes a batch; bounds the memory of float64 features
ARRAYS = ("logits", "probability", "evidence", "locks")


@dataclass(frozen=True, slots=True)
class Answer(Prediction):
    """A prediction, and where the runner can see them, the locks behind its map."""

    locks: NDArray[np.bool_] | None = None  # [N, 768]: which ReLUs of the head are open; PyTorch only


def runner_main(load: Callable[[dict[str, Any]], Classifier]) -> None:
    """Be a runner's process.

    The request names `images` (.npy, uint8 [N, 224, 224]) and `out` (.npz); `load` reads the rest.
    """

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        model_inputs = np.load(request["images"], allow_pickle=False)
        classifier = load(request)
        size = 1 if request.get("film_by_film") else BATCH
        parts = [
            classifier.predict(as_model_input(model_inputs[start : start + size]))
            for start in range(0, len(model_inputs), size)
        ]
        np.savez(request["out"], **_arrays(parts))
        return {"films": len(model_inputs)}

    child_main(answer)


def _arrays(parts: list[Prediction]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {name: [getattr(part, name, None) for part in parts] for name in ARRAYS}
    return {name: np.concatenate(arrays) for name, arrays in columns.items() if all(one is not None for one in arrays)}


def read_prediction(path: Path) -> Answer:
    """Read what a runner wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Answer(arrays["logits"], arrays["probability"], arrays.get("evidence"), arrays.get("locks"))


def by_name(answer: dict[str, Any]) -> Prediction:
    """Make a prediction of outputs by name; a missing name is a KeyError, never a guess."""
    evidence = answer.get("evidence")
    arrays = {name: np.asarray(answer[name]) for name in ("logits", "probability")}
    return Prediction(**arrays, evidence=None if evidence is None else np.asarray(evidence))
