"""What the runners share: films go through an opened file call by call, and its outputs are kept by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.worker import reuse_memory
from tbconv.contract.errors import ConversionError
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import Prediction

Run = Callable[[NDArray[np.float32]], dict[str, NDArray[Any]]]  # a batch of films -> outputs by name
BATCH = 16  # films a call where the file takes a batch


@dataclass(frozen=True, slots=True)
class Answer(Prediction):
    """A prediction, and where the runner can see them, the ReLU patterns behind its map."""

    relu_patterns: NDArray[np.bool_] | None = None  # [N, 768]: which ReLUs of the head are open; PyTorch only


def run_films(run: Run, request: dict[str, Any], *, channels_first: bool = False, most: int = BATCH) -> dict[str, Any]:
    """Run every film and write the outputs by name, [N, ...] each.

    Args:
        run: the opened file.
        request: images (.npy: uint8 [N, S, S] grey levels, or float32 [N, C, S, S] that are fed as they are), out
            (.npz); batch (the only number of films that a call takes), film_by_film (1) and
            names (new name by old one) may be given.
        channels_first: whether grey levels are fed as [N, 1, S, S].
        most: films a call, where the request fixes no number.

    Returns:
        films.
    """
    images, names = np.load(request["images"], allow_pickle=False), request.get("names") or {}
    fixed = 1 if request.get("film_by_film") else request.get("batch") or 0
    size = fixed or most
    parts = []
    with reuse_memory():
        for start in range(0, len(images), size):
            films = images[start : start + size]
            if len(films) < fixed:  # the last film is repeated to fill the call
                films = np.concatenate([films, np.repeat(films[-1:], fixed - len(films), axis=0)])
            parts.append(run(_as_input(films, channels_first=channels_first)))
    rows = {names.get(name, name): np.concatenate([one[name] for one in parts])[: len(images)] for name in parts[0]}
    np.savez(request["out"], allow_pickle=False, **rows)
    return {"films": len(images)}


def _as_input(films: NDArray[Any], *, channels_first: bool) -> NDArray[np.float32]:
    if films.ndim == 4:
        return np.ascontiguousarray(films, np.float32)
    grey = as_model_input(films)
    return np.ascontiguousarray(grey.transpose(0, 3, 1, 2)) if channels_first else grey


def read_prediction(path: Path) -> Answer:
    """Read what a runner wrote of a bundle's file.

    Raises:
        ConversionError: the file has no logits or no probability.
    """
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"logits", "probability"} - set(arrays)
        if missing:
            why = f"it returns {', '.join(sorted(arrays)) or 'nothing'}"
            raise ConversionError(f"the output {', '.join(sorted(missing))} is missing", why=why, fix="convert again")
        return Answer(arrays["logits"], arrays["probability"], arrays.get("evidence"), arrays.get("relu_patterns"))
