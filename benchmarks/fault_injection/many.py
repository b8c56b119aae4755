"""Many requests to one step or one runner, in one process: what imports cost is paid once; a failure is one answer."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from convert.runners.base import BATCH, Answer, _arrays, read_prediction
from convert.worker import child_main, run_step
from tbconv.contract.preprocess import as_model_input


def ask_many(module: str, requests: dict[str, dict[str, Any]], images: Path, folder: Path) -> dict[str, Answer | str]:
    """Ask the runner of one format about many files.

    Args:
        module: of the runner, with a `load`.
        requests: what it loads, by a name.
        images: .npy, uint8 [N, 224, 224].
        folder: where answers are kept for the time of the call.

    Returns:
        By name the answer, or the sentence with which the file was refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outs = {name: folder / f"{index}.npz" for index, name in enumerate(requests)}
    plan = [{"name": name, "request": requests[name], "out": str(out)} for name, out in outs.items()]
    found = run_step(__name__, {"module": module, "images": str(images), "ask": plan}, threads=1)["found"]
    return {name: found[name] or read_prediction(out) for name, out in outs.items()}


def do_many(module: str, step: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run one step of a conversion on many requests, in one process; any failure ends it."""
    done: list[dict[str, Any]] = run_step(__name__, {"module": module, "step": step, "do": requests})["done"]
    return done


def many(request: dict[str, Any]) -> dict[str, Any]:
    """Be the child of both."""
    module = importlib.import_module(request["module"])
    if "do" in request:
        return {"done": [getattr(module, request["step"])(one) for one in request["do"]]}
    model_inputs = np.load(request["images"], allow_pickle=False)
    return {"found": {one["name"]: _ask(module, one, model_inputs) for one in request["ask"]}}


def _ask(module: Any, one: dict[str, Any], model_inputs: Any) -> str | None:
    """Answer the films and write the arrays; the sentence of whatever the file made its runtime raise."""
    try:
        classifier, size = module.load(one["request"]), 1 if one["request"].get("film_by_film") else BATCH
        parts = [
            classifier.predict(as_model_input(model_inputs[at : at + size])) for at in range(0, len(model_inputs), size)
        ]
    except Exception as error:  # noqa: BLE001  # a spoilt file may raise whatever its runtime has
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    np.savez(one["out"], **_arrays(parts))
    return None


if __name__ == "__main__":
    child_main(many)
