"""The recipe: films -> weights -> operating point -> a run folder, top to bottom."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from tbconv.contract.bundle import read_json
from tbconv.contract.errors import ConfigError, Reporter, SetupError, Silence
from tbconv.contract.files import require_room, write_json
from torch_train.config import TrainConfig
from torch_train.data.dataset import find_films, prepare_films, require_both_sides
from torch_train.engine.amp import choose_precision
from torch_train.engine.distributed import (
    BACKENDS,
    INTERRUPTED,
    Job,
    Ranks,
    joined,
    launch_processes,
    main_process_first,
    use_device,
)
from torch_train.engine.step import torch_settings_restored
from torch_train.engine.trainer import fit_network, start_network
from torch_train.results import store_run
from torch_train.run_folder import CHECKPOINT, CONFIG, LABELS, METRICS, RUN, require_free_folder, run_folder_locked
from torch_train.several import store_labels
from torch_train.tracking import require_packages, training_log


def train(config: TrainConfig, reporter: Reporter, *, resume: bool = False) -> Path:
    """Train, evaluate and store.

    Args:
        config: every number of the recipe.
        reporter: where progress goes.
        resume: continue from the checkpoint in `config.out`.

    Returns:
        The run folder, finished.

    Raises:
        DataError: the films cannot be trained on.
        ConfigError: the folder holds another run, or the recipe does not fit.
        SetupError: weights, a device or the library of a log are missing.
    """
    require_packages(config.log_to)
    config = begun_or_new(config, resume=resume)
    with (
        open_run_folder(config, resume=resume),
        training_log(config.log_to, config.stored(), reporter, resumed=resume) as log,
    ):
        found = find_films(config)  # a wrong path or label is said before weights are downloaded
        report_config(config, reporter)
        start = None if config.baseline_only else start_network(config, reporter)
        if start is not None:
            require_room({config.out: start.bytes_of_run(config)}, what="this run")
        with main_process_first("films"):
            films = prepare_films(config, reporter, found=found)
        require_both_sides(films, config.names or ())
        trained = (
            None
            if start is None
            else fit_network(start, films, config, reporter, resume=resume, on_history=log.log_history)
        )
        if config.task is None or trained is None:
            store_run(films, config, trained, reporter)
        else:
            store_labels(films, config, trained)
        log.log_figures(read_json(config.out / (METRICS if config.task is None else LABELS)))
    return config.out


def begun_or_new(config: TrainConfig, *, resume: bool) -> TrainConfig:
    """Return the recipe, films known by the rule of the run that is resumed."""
    if not resume or not (config.out / CONFIG).is_file():
        return config
    return config.as_begun(read_json(config.out / CONFIG))


@contextmanager
def open_run_folder(config: TrainConfig, *, resume: bool) -> Iterator[None]:
    """Make the folder and be the only one to write there, or refuse one that holds a run, a bundle, nothing to resume.

    Where the block fails before there is anything to resume, nothing is left.
    """
    if resume and config.baseline_only:
        why = "the baseline is fitted in one go, and a trained run would be evaluated again without its network"
        raise ConfigError("--resume with --baseline-only", why=why, fix="omit one of them")
    if resume and not (config.out / CHECKPOINT).is_file():
        why = f"it has no {CHECKPOINT}"
        raise ConfigError(f"nothing to resume in {config.out}", why=why, fix="omit --resume to begin")
    fix = "--resume to continue it, or another --out"
    if not resume:
        require_free_folder(config.out, fix=fix)  # before anything is written there
    with run_folder_locked(config.out):
        if not resume:
            require_free_folder(config.out, fix=fix)  # another process may have finished there meanwhile
            write_json(config.out / CONFIG, config.stored())
        try:
            yield
        except BaseException:
            if not resume and not any((config.out / name).is_file() for name in (CHECKPOINT, RUN, LABELS)):
                (config.out / CONFIG).unlink(missing_ok=True)
            raise


def report_config(config: TrainConfig, reporter: Reporter) -> None:
    """Print every number."""
    reporter.say("recipe:")
    for name, value in config.stored().items():
        reporter.say(f"  {name}: {value}")


# --- launch ---
# One training run in one process or several, one a GPU.
#
# `tbconv train --gpus N OPTIONS` starts the processes itself; `torchrun --nproc-per-node N -m torch_train.train
# OPTIONS` takes the same options.

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def start_training(config: TrainConfig, reporter: Reporter, *, processes: int, resume: bool) -> bool:
    """Train in this process, in processes of our own, or as one of those that torchrun has started.

    Args:
        config: the recipe; `batch` is of each process.
        reporter: where progress goes; pickled for the main one of several processes.
        processes: how many to start; torchrun sets it by itself.
        resume: continue from the checkpoint in `config.out`.

    Returns:
        Whether this process is the one to show the result.

    Raises:
        ConfigError: the recipe cannot be distributed.
        SetupError: there are not enough GPUs, or a process was killed.
    """
    if config.task == "one-of-n" and len(config.names or ()) == 2:
        first, second = config.names or ("", "")
        why = "two classes are trained without a task, and then have a threshold, a calibration and a bundle to serve"
        fix = f"omit --task and --names: --label {second!r} --negative {first!r}"
        raise ConfigError(f"--task one-of-n with two names, {first} and {second}", why=why, fix=fix)
    if all(name in os.environ for name in TORCHRUN):
        return _join_torchrun(config, reporter, processes=processes, resume=resume)
    if processes == 1:
        with torch_settings_restored():
            train(config, reporter, resume=resume)
        return True
    _require_distributable(config, processes, local=processes)
    launch_processes(Job(train_rank, (config, reporter, resume), processes, _device_type(config)))
    return True


def train_rank(ranks: Ranks, config: TrainConfig, reporter: Reporter, resume: bool) -> None:
    """Train as one of several processes: only the main one writes files and reports."""
    if ranks.is_main:
        films = ranks.size * config.batch
        reporter.say(f"{ranks.size} processes, batch size {config.batch} each: {films} films a step in all")
        train(config, reporter, resume=resume)
        return
    silent = Silence()
    config = begun_or_new(config, resume=resume)
    start = start_network(config, silent)
    with main_process_first("films"):
        films_of_run = prepare_films(config, silent)
    require_both_sides(films_of_run, config.names or ())
    fit_network(start, films_of_run, config, silent, resume=resume)


def _require_distributable(config: TrainConfig, processes: int, *, local: int) -> None:
    """Refuse what several processes cannot share; `local` is how many of them run on this machine."""
    if processes < 1:
        raise ConfigError(f"--gpus is {processes}", why="at least one process has to train", fix="--gpus 1, or omit it")
    if config.baseline_only:
        why = "the baseline is fitted on the CPU in seconds"
        raise ConfigError(f"--baseline-only in {processes} processes", why=why, fix="omit --gpus")
    if ":" in config.device:
        why = "each process takes a GPU of its own"
        raise ConfigError(f"--device {config.device} for {processes} processes", why=why, fix="--device cuda")
    found = torch.cuda.device_count()
    if config.device != "cpu" and found < local:
        fix = f"--gpus {found}" if found else "--device cpu trains in processes on the CPU, for tests"
        raise SetupError(f"{local} GPUs are requested", why=f"PyTorch sees {found}", fix=fix)


def _device_type(config: TrainConfig) -> str:
    return choose_precision(config.device, config.precision).device.type


def _join_torchrun(config: TrainConfig, reporter: Reporter, *, processes: int, resume: bool) -> bool:
    store, rank, size = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]  # it is public
    if processes not in (1, size):
        why = f"torchrun has started {size} processes"
        raise ConfigError(f"--gpus {processes} under torchrun", why=why, fix="omit --gpus")
    if size == 1:
        train(config, reporter, resume=resume)
        return True
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    _require_distributable(config, size, local=local_size)
    use_device(_device_type(config), local_rank, local_size)
    try:
        with joined(store, rank=rank, size=size, backend=BACKENDS[_device_type(config)]) as ranks:
            train_rank(ranks, config, reporter, resume)
    except KeyboardInterrupt:
        if rank == 0:
            raise
        sys.exit(INTERRUPTED)  # the main process reports how to continue
    return int(rank) == 0


def main() -> None:
    """Become `tbconv train`, which finds torchrun's variables: its options are parsed in one place only."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tbconv", "train", *sys.argv[1:]])  # noqa: S606  # no shell: ourselves


if __name__ == "__main__":
    main()
