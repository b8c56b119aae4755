"""Many requests to one step or one runner, in one process: what imports cost is paid once; a failure is one answer."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.runners.base import Answer, read_prediction
from convert.worker import run_step
from tbconv.contract.errors import ConversionError

MANY = f"{__name__}:many"  # it loads the framework of the module that it is given: a process of its own
Step = Callable[[dict[str, Any]], dict[str, Any]]


def ask_many(runner: str, requests: dict[str, dict[str, Any]], images: Path, folder: Path) -> dict[str, Answer | str]:
    """Ask the runner of one format about many files.

    Args:
        runner: its step, `module:function`.
        requests: what it reads, by a name.
        images: .npy, uint8 [N, 224, 224].
        folder: where answers are kept for the time of the call.

    Returns:
        By name the answer, or the sentence with which the file was refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outs = {name: folder / f"{index}.npz" for index, name in enumerate(requests)}
    plan = {name: requests[name] | {"out": str(out)} for name, out in outs.items()}
    request = {"step": runner, "images": str(images), "ask": plan}
    found = run_step(MANY, request, threads=1)["found"]
    return {name: found[name] or _read(out) for name, out in outs.items()}


def do_many(step: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run one step of a conversion on many requests, in one process; any failure ends it."""
    done: list[dict[str, Any]] = run_step(MANY, {"step": step, "do": requests})["done"]
    return done


def many(request: dict[str, Any]) -> dict[str, Any]:
    """Be the child of both."""
    module, _, function = request["step"].partition(":")
    step = getattr(importlib.import_module(module), function)
    if "do" in request:
        return {"done": [step(one) for one in request["do"]]}
    return {"found": {name: _ask(step, one | {"images": request["images"]}) for name, one in request["ask"].items()}}


def _ask(step: Step, request: dict[str, Any]) -> str | None:
    """Run one file; the sentence of whatever the file made its runtime raise."""
    try:
        step(request)
    except Exception as error:  # noqa: BLE001  # a spoilt file may raise whatever its runtime has
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


def _read(out: Path) -> Answer | str:
    try:
        return read_prediction(out)
    except ConversionError as error:
        return error.one_line
