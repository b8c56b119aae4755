"""Many requests to one step, two at a time in workers that stay alive: imports are paid once for each framework."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from convert.runners.base import Answer, read_prediction
from convert.worker import drop_waiting, run_step, workers
from tbconv.contract.errors import TbconvError

PROCESSES = 2


def run_many(runner: str, requests: dict[str, dict[str, Any]], images: Path, folder: Path) -> dict[str, Answer | str]:
    """Run many files of one format.

    Args:
        runner: `module:function`.
        requests: what it reads, by a name.
        images: .npy, uint8 [N, 224, 224].
        folder: gets the outputs.

    Returns:
        By name the outputs, or the message of the error.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def run(index: int, request: dict[str, Any]) -> Answer | str:
        out = folder / f"{index}.npz"
        try:
            run_step(runner, request | {"images": str(images), "out": str(out)}, threads=1)
            return read_prediction(out)
        except TbconvError as error:
            return f"{error.what}: {error.why.strip().splitlines()[-1].strip()[:200]}"

    with workers(), ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
        return dict(zip(requests, pool.map(run, range(len(requests)), requests.values()), strict=True))


def step_many(step: str, requests: list[dict[str, Any]]) -> None:
    """Run one step of a conversion on many requests; any failure ends it."""
    with workers(), ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
        for job in [pool.submit(run_step, step, request, threads=1) for request in requests]:
            job.result()
