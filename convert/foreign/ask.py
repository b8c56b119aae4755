"""Everyone who is asked about a foreign network: the file itself, each converted file, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.foreign.compare import Outputs
from convert.foreign.normalise import Normalise, prepare
from convert.isolate import drop_waiting, run_step
from tbconv.contract.errors import ConversionError
from tbconv.contract.reporter import Reporter

RUNNER = "convert.runners.outputs"
ORACLE, OPTIMISED, ROUNDED = "oracle", "optimised", "rounded"
MOST_PROCESSES = 4  # one thread each


@dataclass(frozen=True, slots=True)
class Asked:
    """One file, and how it is fed."""

    name: str
    path: Path
    format: str
    images: Path  # .npy
    options: dict[str, Any] = field(default_factory=dict)
    may_fail: bool = False  # a failure is then an answer, in words


def ask(everyone: Sequence[Asked], folder: Path, reporter: Reporter) -> dict[str, Outputs | str]:
    """Return each one's outputs by name; of one that may fail, the reason in its place.

    Raises:
        TbconvError: one that may not fail did.
    """
    with ThreadPoolExecutor(min(MOST_PROCESSES, os.cpu_count() or 1)) as pool, drop_waiting(pool):
        waiting = {pool.submit(_ask_one, asked, folder / f"{i}.npz"): asked.name for i, asked in enumerate(everyone)}
        done = reporter.track(as_completed(waiting), title=f"asking {len(everyone)} files", total=len(waiting))
        return {waiting[future]: future.result() for future in done}


def _ask_one(asked: Asked, out: Path) -> Outputs | str:
    request = {"artefact": str(asked.path), "format": asked.format, "images": str(asked.images), "out": str(out)}
    try:
        run_step(RUNNER, request | asked.options, threads=1)
    except ConversionError as error:
        if not asked.may_fail:
            raise
        return error.one_line
    with np.load(out, allow_pickle=False) as arrays:
        return dict(arrays)


def ask_source(
    source: Path,
    facts: dict[str, Any],
    normalise: Normalise,
    squares: NDArray[np.uint8],
    folder: Path,
    reporter: Reporter,
) -> tuple[Outputs, Outputs, Outputs]:
    """Ask the foreign file itself, fed with films that numpy normalised; output names are already ours.

    Returns:
        Its answers without optimisations (the oracle), with them, and without them on films normalised in float32.
    """
    whole, rounded = folder / "prepared.npy", folder / "rounded.npy"
    np.save(whole, prepare(squares, normalise))
    np.save(rounded, round_early(squares, normalise))
    batch = facts["source_batch"]
    options = {"input": facts["input"]["name"], "names": facts["renamed_outputs"]}
    options |= {"batch": batch if isinstance(batch, int) and batch > 0 else None}
    off = options | {"optimised": False}
    everyone = (
        Asked(ORACLE, source, "onnx", whole, off),
        Asked(OPTIMISED, source, "onnx", whole, options),
        Asked(ROUNDED, source, "onnx", rounded, off),
    )
    found = ask(everyone, folder, reporter)
    oracle, optimised, early = (_outputs(found[one.name]) for one in everyone)
    return oracle, optimised, early


def round_early(squares: NDArray[np.uint8], normalise: Normalise) -> NDArray[np.float32]:
    """Normalise in float32, rounded after each step: uint8 [N, S, S] -> float32 [N, C, S, S]."""
    scale, offset = (one.astype(np.float32)[:, None, None] for one in (normalise.scale, normalise.offset))
    rounded: NDArray[np.float32] = squares[:, None].astype(np.float32) * scale + offset
    return rounded


def _outputs(found: Outputs | str) -> Outputs:
    if isinstance(found, str):
        raise TypeError(f"this one may not fail: {found}")
    return found
