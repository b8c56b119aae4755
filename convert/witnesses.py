"""Everyone who is asked: each artefact, each reference, in a process of its own, on the same films.

A witness that is slow answers a stated sample of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.isolate import drop_waiting, run_step
from convert.runners.child import Answer, read_prediction
from tbconv.contract.calibration import Calibration
from tbconv.contract.golden import REFERENCE
from tbconv.contract.manifest import Artefact, Kind
from tbconv.contract.reporter import Reporter

__all__ = ["ORACLE", "REFERENCE", "RUNNERS", "Witness", "artefact_witness", "ask", "torch_witnesses"]

ORACLE = "PyTorch float64"
RUNNERS = {
    "onnx": "convert.runners.onnx_runtime",
    "saved_model": "convert.runners.saved_model",
    "keras_h5": "convert.runners.keras_file",
    "keras": "convert.runners.keras_file",
    "tflite": "convert.runners.tflite",
}
MOST_PROCESSES = 4  # one thread each; more would contend for memory, not gain time


@dataclass(frozen=True, slots=True)
class Witness:
    """One program that answers the films."""

    name: str
    network: Kind
    module: str
    request: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    threads: int = 1
    sampled: bool = False  # answers a sample of the films, and every golden input and probe


def torch_witnesses(folder: Path, network: Kind, *, arch: str | None, calibration: Calibration) -> list[Witness]:
    """Return the reference (float32, eager) and the oracle (float64) of one network."""
    request = {"folder": str(folder), "network": network, "arch": arch, "calibration": asdict(calibration)}
    module = "convert.runners.torch_eager"
    return [
        Witness(f"{name} ({network})", network, module, request | {"dtype": dtype})
        for name, dtype in ((REFERENCE, "float32"), (ORACLE, "float64"))
    ]


def artefact_witness(folder: Path, artefact: Artefact) -> Witness:
    """Return the witness for one file of a bundle."""
    request = {"artefact": str(folder / artefact.path), "film_by_film": "one film a call" in artefact.reader}
    return Witness(artefact.path, artefact.network, RUNNERS[artefact.format], request, artefact.precision)


def ask(
    witnesses: Sequence[Witness],
    squares: NDArray[np.uint8],
    reporter: Reporter,
    *,
    sample: NDArray[np.int64] | None = None,
) -> dict[str, Answer]:
    """Ask everyone about the same films.

    Args:
        witnesses: with names that differ.
        squares: uint8 [N, 224, 224].
        reporter: shows who has answered.
        sample: rows of `squares` that sampled witnesses answer; None for all.

    Returns:
        The answers by witness name.

    Raises:
        TbconvError: one of them failed.
    """
    processes = min(MOST_PROCESSES, os.cpu_count() or 1)
    place = tempfile.TemporaryDirectory(prefix="tbconv-parity-")
    with place as name, ThreadPoolExecutor(processes) as pool, drop_waiting(pool):
        folder = Path(name)
        images = {False: folder / "images.npy", True: folder / "sample.npy"}
        np.save(images[False], squares)
        np.save(images[True], squares if sample is None else squares[sample])
        waiting = {
            pool.submit(_ask_one, witness, images[witness.sampled], folder / f"{index}.npz"): witness.name
            for index, witness in enumerate(sorted(witnesses, key=_slow_first))
        }
        title = f"asking {len(witnesses)} files about {len(squares)} films"
        done = reporter.track(as_completed(waiting), title=title, total=len(waiting))
        return {waiting[future]: future.result() for future in done}


def _slow_first(witness: Witness) -> int:
    """Start float64, film-by-film and built-in kernels first, so that none of them runs on alone at the end."""
    request = witness.request
    slow = request.get("dtype") == "float64" or request.get("film_by_film") or not request.get("xnnpack", True)
    return 0 if slow else 1


def _ask_one(witness: Witness, images: Path, out: Path) -> Answer:
    request = witness.request | {"images": str(images), "out": str(out)}
    run_step(witness.module, request, threads=witness.threads)
    return read_prediction(out)
