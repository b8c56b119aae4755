"""What the runners share: films go through an opened file call by call, and its outputs are kept by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.worker import reuse_memory
from tbconv.contract.errors import ConfigError, ConversionError
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
        request: images (.npy: uint8 [N, H, W] grey levels, or [N, ...] of four axes that are fed as they are), out
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


def _as_input(films: NDArray[Any], *, channels_first: bool) -> NDArray[Any]:
    if films.ndim == 4:
        return np.ascontiguousarray(films)
    grey = as_model_input(films)
    return np.ascontiguousarray(grey.transpose(0, 3, 1, 2)) if channels_first else grey


# --- as given ---
# Any model on any images: fed as they are, never with axes moved or values scaled until something fits.


@dataclass(frozen=True, slots=True)
class Takes:
    """The one input of a model, as its file states it."""

    dtype: str
    shape: tuple[int, ...]  # 0 or below: open; empty: not known
    scale: float = 0.0  # of an integer input that stands for real numbers, value = scale * (q - zero); 0: it is none
    zero: int = 0


def run_given(run: Run, request: dict[str, Any], takes: Takes) -> dict[str, Any]:
    """Run images as they are and write the outputs by name, [N, ...] each.

    Args:
        run: the opened file.
        request: images (.npy, [N, ...]), out (.npz), role (what an error calls the model).
        takes: what the file takes.

    Returns:
        images.

    Raises:
        ConfigError: it takes images of another shape, or of a dtype that cannot hold these.
    """
    images, role = np.load(request["images"], allow_pickle=False), request["role"]
    fed, parts = _as_taken(_fitted(images, takes, role), takes, role), []
    fixed = takes.shape[0] if takes.shape and takes.shape[0] > 0 else 0
    for start in range(0, len(fed), fixed or BATCH):
        batch = fed[start : start + (fixed or BATCH)]
        short = max(0, fixed - len(batch))  # the last image is repeated to fill a call of a fixed size
        parts.append(run(np.concatenate([batch, np.repeat(batch[-1:], short, axis=0)]) if short else batch))
    rows = {name: np.concatenate([np.atleast_1d(one[name]) for one in parts]) for name in parts[0]}
    np.savez(request["out"], allow_pickle=False, **{name: row[: len(images)] for name, row in rows.items()})
    return {"images": len(images)}


def _fitted(images: NDArray[Any], takes: Takes, role: str) -> NDArray[Any]:
    """Return images of the shape that a model takes: as they are, or with axes of one place added, left out or moved.

    Those move no number; [N, H, W] or [N, H, W, 1] are the same grey images as [N, 1, H, W].
    """

    def fits(shape: tuple[int, ...]) -> bool:
        sides = zip(shape[1:], takes.shape[1:], strict=False)
        return len(shape) == len(takes.shape) and all(other <= 0 or side == other for side, other in sides)

    given, wanted = images.shape, takes.shape
    if not wanted or fits(given):
        return images
    several = [[side for side in shape[1:] if side != 1] for shape in (given, wanted)]
    if several[0] == several[1] and min(wanted[1:], default=1) > 0:
        return images.reshape(len(images), *wanted[1:])
    feed, fix = role.replace("model", "feed"), "give images of that shape"
    for order in ((0, 2, 3, 1), (0, 3, 1, 2)) if len(given) == 4 else ():
        if fits(tuple(given[axis] for axis in order)):
            fix = f"{feed}=lambda images: images.transpose{order}"
    shown = ", ".join(["N", *(str(side) if side > 0 else "any" for side in wanted[1:])])
    why = "axes are never moved until something fits"
    raise ConfigError(f"{role} takes [{shown}], and is given {list(given)}", why=why, fix=fix)


def _as_taken(images: NDArray[Any], takes: Takes, role: str) -> NDArray[Any]:
    """Cast where that is exact, or from floats to shorter ones; quantize as TFLite defines it."""
    wanted = np.dtype(takes.dtype)
    if wanted.kind == "f" or images.dtype == wanted:
        return np.ascontiguousarray(images, wanted)
    if takes.scale and images.dtype.kind == "f":
        info = np.iinfo(wanted)
        steps = np.rint(images.astype(np.float64) / takes.scale) + takes.zero
        return np.asarray(steps.clip(info.min, info.max), wanted)
    cast = images.astype(wanted)
    if not np.array_equal(cast, images):
        why, feed = f"{images.dtype} cannot be {wanted} without loss", role.replace("model", "feed")
        fix = f"{feed}=lambda images: ..., which makes {wanted} of them"
        raise ConfigError(f"{role} takes {wanted}, and is given {images.dtype}", why=why, fix=fix)
    return np.ascontiguousarray(cast)


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
