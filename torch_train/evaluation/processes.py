"""Folds spread over processes, one GPU or one share of the CPU each; no fold knows how many there are.

A fold's numbers depend on its seed, its films and the number of threads, so a fold on a CPU
has the same threads whether one runs or eight.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING

import torch

from tbconv.contract.errors import ConfigError, SetupError
from torch_train.amp import choose_precision
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.fit_fold import fit_fold
from torch_train.evaluation.fold_files import write_fold
from torch_train.evaluation.fold_plan import FoldPlan
from torch_train.evaluation.fold_voice import Notes
from torch_train.evaluation.pool import Pool

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

THREADS = 8  # of a fold on a CPU, at most: beyond it a batch of 32 films gains little
LOOKS_EVERY_S = 0.5  # how soon a process notices that it is alone
GPUS = "CUDA_VISIBLE_DEVICES"


def count_processes(config: EvaluateConfig) -> int:
    """Return how many folds are fitted at once.

    Raises:
        ConfigError: --gpus or --jobs does not go with the device.
        SetupError: there are fewer GPUs.
    """
    recipe = config.recipe
    on_cpu = recipe.baseline_only or choose_precision(recipe.device, recipe.precision).device.type == "cpu"
    if on_cpu and config.gpus > 1:
        why = "the baseline is fitted on the CPU" if recipe.baseline_only else "training would run on the CPU"
        raise ConfigError(f"--gpus {config.gpus} without a GPU to use", why=why, fix=f"--jobs {config.gpus}")
    if on_cpu:
        return config.jobs
    if config.jobs > 1:
        why = "folds that share a GPU wait for each other"
        raise ConfigError(f"--jobs {config.jobs} on a GPU", why=why, fix="--gpus N for several GPUs, or --device cpu")
    if config.gpus > 1 and recipe.device not in ("auto", "cuda"):
        why = "each process takes a GPU of its own"
        raise ConfigError(f"--gpus {config.gpus} with --device {recipe.device}", why=why, fix="--device cuda")
    if config.gpus > torch.cuda.device_count():
        why = f"PyTorch sees {torch.cuda.device_count()}"
        raise SetupError(f"--gpus {config.gpus}", why=why, fix=f"--gpus {torch.cuda.device_count()}")
    return config.gpus


def threads_of_a_fold() -> int:
    """Return how many threads a fold has on this machine's CPU."""
    return min(THREADS, torch.get_num_threads())


def fit_beside_each_other(
    plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig, processes: int
) -> Iterator[tuple[FoldPlan, tuple[str, ...]]]:
    """Fit and write folds, several at once.

    Yields:
        Each fold when it is written, with what its training said.

    Raises:
        TbconvError: the first that a fold met; the others are stopped.
    """
    context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not outlive a fork
    stop, gpus = context.Event(), context.SimpleQueue()
    for gpu in _gpus(config):
        gpus.put(gpu)
    start = (pool, config, threads_of_a_fold(), stop, gpus)
    with ProcessPoolExecutor(processes, context, _begin, start) as executor:
        try:
            asked = {executor.submit(_fit, plan): plan for plan in plans}
            for done in as_completed(asked):
                yield asked[done], done.result()
        except BrokenProcessPool as error:
            raise SetupError(
                "a process that fitted folds was ended from outside",
                why="most likely this machine has too little memory for so many at once",
                fix="the same command with --resume and fewer --jobs or --gpus",
            ) from error
        except BaseException:
            stop.set()  # or leaving the block would wait for folds that nobody wants any more
            raise


def _gpus(config: EvaluateConfig) -> list[str]:
    """Name a GPU for each process; none where there is nothing to share out."""
    if config.gpus == 1:
        return []
    seen = os.environ.get(GPUS)
    return seen.split(",") if seen else [str(number) for number in range(torch.cuda.device_count())]


_work: list[tuple[Pool, EvaluateConfig]] = []  # of a process: the films are sent to it once


def _begin(pool: Pool, config: EvaluateConfig, threads: int, stop: Event, gpus: SimpleQueue[str]) -> None:
    """Set up a process before it touches CUDA."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the first process says what to do
    threading.Thread(target=_end_with, args=(stop,), daemon=True).start()
    if config.gpus > 1:
        os.environ[GPUS] = gpus.get()
    torch.set_num_threads(threads)
    _work.append((pool, config))


def _end_with(stop: Event) -> None:
    """End this process when it is told to, or when the one that began it is gone, however it went."""
    parent = multiprocessing.parent_process()
    # Not `stop.wait`: setting an Event waits for its sleepers, and one that a SIGTERM has ended never answers.
    while not stop.is_set() and parent is not None and parent.is_alive():
        time.sleep(LOOKS_EVERY_S)
    os._exit(1)


def _fit(plan: FoldPlan) -> tuple[str, ...]:
    pool, config = _work[0]
    notes = Notes()
    write_fold(config, plan.key, fit_fold(plan, pool, config, notes))
    return tuple(notes.lines)
