"""PyTorch eager: the reference in float32 and in float64, both with the ReLU pattern of their head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convert.formats.torch_to_onnx.of_library import OUTPUT, Classifier, build
from convert.runners.base import BATCH, Answer, Takes, run_films, run_given
from tbconv.contract.errors import ConversionError
from tbconv.contract.manifest import Calibration
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import is_positive
from torch_train.model.deployed import DeployedNetwork, load_deployed

FRAMEWORK = "torch"
FLOAT64_BATCH = 4  # films a call: features of 16 are 100 MB a layer, which glibc never keeps; the bits are the same


class TorchEager:
    """A deployed network on the CPU."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        self._network = network.to(dtype)
        self._dtype = dtype
        self._before: list[torch.Tensor] = []  # what the head's dense layers gave since the last film went in
        if isinstance(network, DeployedNetwork):
            for _, layer in network.network.head.hidden:
                layer.register_forward_hook(self._keep)

    def predict(self, images: NDArray[np.float32]) -> Answer:
        """Answer films, float32 [N, 224, 224, 1], in the network's own precision."""
        films = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._dtype)
        self._before.clear()
        with torch.inference_mode():
            logits, probability, evidence = self._network(films)
        return Answer(logits.numpy(), probability.numpy(), evidence.numpy(), self._patterns(len(images)))

    def outputs(self, images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run films and return the outputs by name; a network without a ReLU in its head has no patterns."""
        answer = self.predict(images)
        named = {name: getattr(answer, name) for name in ("logits", "probability", "evidence", "relu_patterns")}
        return {name: value for name, value in named.items() if value is not None}

    def _keep(self, _: torch.nn.Module, __: Any, output: torch.Tensor) -> None:
        self._before.append(output)

    def _patterns(self, films: int) -> NDArray[np.bool_] | None:
        """Return which ReLUs are open; the dense layers answer the films first, then their 49 places each."""
        of_films = [output > 0 for output in self._before if len(output) == films]
        return torch.cat(of_films, dim=1).numpy() if of_films else None


def load(request: dict[str, Any]) -> TorchEager:
    """Load from a folder with weights; request: folder, network, arch, calibration, dtype."""
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["folder"]), request["network"], arch=request["arch"], calibration=calibration)
    return TorchEager(network, getattr(torch, request["dtype"]))


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one network; request: what `load` and `run_films` read."""
    most = FLOAT64_BATCH if request["dtype"] == "float64" else BATCH
    return run_films(load(request).outputs, request, most=most)


def run_library(request: dict[str, Any]) -> dict[str, Any]:
    """Run a library's classifier as it is built; request: what `build` and `run_films` read, and dtype (float32)."""
    dtype = getattr(torch, request.get("dtype", "float32"))
    built = build(request)
    network = built.network if isinstance(built.network, torch.nn.Module) else built.network.module()
    classifier = Classifier(network).to(dtype)

    def run(images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            return {OUTPUT: classifier(torch.from_numpy(images).to(dtype)).numpy()}

    return run_films(run, request)


def run_script_given(request: dict[str, Any]) -> dict[str, Any]:
    """Run a TorchScript file on images as they are; request: artefact, and what `convert.runners.base` reads.

    Raises:
        ConversionError: it is none: weights alone are no model.
    """
    path = Path(request["artefact"])
    try:
        model = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        why = " ".join(str(error).split())[:300]
        fix = "build the module in the test, load its weights, and give the module"
        raise ConversionError(f"{path.name} is no TorchScript file", why=why, fix=fix) from error
    like = next((one for one in model.parameters() if one.is_floating_point()), torch.zeros(()))

    def run(images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            found = model(torch.from_numpy(images).to(like.dtype))
        values = found if isinstance(found, tuple | list) else (found,)
        if isinstance(found, dict):
            return {str(name): value.numpy() for name, value in found.items()}
        names = ["output"] if len(values) == 1 else [f"output {number}" for number in range(len(values))]
        return {name: value.numpy() for name, value in zip(names, values, strict=True)}

    return run_given(run, request, Takes(str(like.dtype).removeprefix("torch."), ()))


# --- near threshold ---
# Blends of two films, one on each side of the operating point, that lie as near to it as grey levels allow.

PAIRS = 8
CLOSE = 1e-3  # logits; a reduced file is off by 1e-3 and more, a float32 file by 1e-5
MOST_STEPS = 24  # bisections: grey levels are whole, so a blend comes only so close
Margins = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


def near_threshold(request: dict[str, Any]) -> dict[str, Any]:
    """Search films near the threshold; request: images, out, threshold, and what `load` reads."""
    network = load(request)
    model_inputs = np.load(request["images"], allow_pickle=False)
    found = blend_to_threshold(
        model_inputs, lambda films: network.predict(as_model_input(films)).margin, threshold=request["threshold"]
    )
    np.save(request["out"], found)
    return {"films": len(found)}


def blend_to_threshold(model_inputs: NDArray[np.uint8], margins: Margins, *, threshold: float) -> NDArray[np.uint8]:
    """Bisect between pairs of films until their blends lie within 1e-3 logits of the threshold, or 24 times.

    Args:
        model_inputs: uint8 [N, size, size].
        margins: of films, in logits; called once for all, then once a bisection for all pairs.
        threshold: margin in logits; a film at or above it is positive.
    """
    given = margins(model_inputs)
    positive = is_positive(given, threshold)
    below, above = np.flatnonzero(~positive & ~np.isnan(given)), np.flatnonzero(positive)
    pairs = min(PAIRS, len(below) * len(above))
    if not pairs:
        return model_inputs[:0]
    drawn = np.random.default_rng(0).permutation(len(below) * len(above))[:pairs]
    first, second = model_inputs[below[drawn // len(above)]], model_inputs[above[drawn % len(above)]]
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
