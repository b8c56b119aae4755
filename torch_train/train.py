"""The recipe: films -> weights -> operating point -> a run folder, top to bottom."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tbconv.console import TerminalReporter
from tbconv.contract.bundle import MANIFEST, write_json
from tbconv.contract.errors import ConfigError, SetupError
from tbconv.contract.reporting import Reporter, Silence
from torch_train.config import TrainConfig
from torch_train.data.dataset import prepare_films
from torch_train.engine.amp import choose_precision
from torch_train.engine.distributed import (
    BACKENDS,
    INTERRUPTED,
    Job,
    Ranks,
    joined,
    leader_first,
    run_together,
    use_device,
)
from torch_train.engine.trainer import fit_network, start_network
from torch_train.model.baseline import baseline_margins, fit_baseline
from torch_train.results import BASELINE_NETWORK, TRAINED, collect_metrics, read_out, write_results
from torch_train.run_folder import CHECKPOINT, CONFIG, RUN


def train(config: TrainConfig, reporter: Reporter, *, resume: bool = False) -> Path:
    """Train, judge and store.

    Args:
        config: every number of the recipe.
        reporter: where progress goes.
        resume: go on from the checkpoint in `config.out`.

    Returns:
        The run folder, finished.

    Raises:
        DataError: the films cannot be trained on.
        ConfigError: the folder holds another run, or the recipe does not fit.
        SetupError: weights or a device are missing.
    """
    open_run_folder(config, resume=resume)
    say_recipe(config, reporter)
    start = None if config.baseline_only else start_network(config, reporter)
    with leader_first("films"):
        films = prepare_films(config, reporter)
    baseline = fit_baseline(films.model_inputs[films.parts["train"]], films.labels_of("train"), seed=config.seed)
    judged = {BASELINE_NETWORK: read_out(baseline_margins(baseline, films.model_inputs), films, config)}
    trained = None if start is None else fit_network(start, films, config, reporter, resume=resume)
    if trained is not None:
        judged = {TRAINED: read_out(trained.margins, films, config), **judged}
    metrics = collect_metrics(judged, films, config)
    write_results(films, config, trained=trained, baseline=baseline, judged=judged, metrics=metrics)
    return config.out


def open_run_folder(config: TrainConfig, *, resume: bool) -> None:
    """Make the folder, or refuse one that holds a run already, a bundle, or nothing to resume."""
    if resume:
        _require_checkpoint(config)
        return
    for name in (RUN, CHECKPOINT, MANIFEST):
        if (config.out / name).exists():
            kind, fix = ("a bundle", "") if name == MANIFEST else ("a run", "--resume to go on with it, or ")
            raise ConfigError(
                f"{config.out} holds {kind} already ({name})",
                why="training there would overwrite it",
                fix=f"{fix}another --out",
            )
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / CONFIG, config.stored())


def _require_checkpoint(config: TrainConfig) -> None:
    """Refuse before films are read what `load_checkpoint` would refuse after it."""
    if config.baseline_only:
        why = "the baseline is fitted in one go, and a trained run would be judged anew without its network"
        raise ConfigError("--resume with --baseline-only", why=why, fix="leave one of them away")
    if not (config.out / CHECKPOINT).is_file():
        why = f"it has no {CHECKPOINT}"
        raise ConfigError(f"nothing to resume in {config.out}", why=why, fix="leave --resume away to begin")


def say_recipe(config: TrainConfig, reporter: Reporter) -> None:
    """Print every number."""
    reporter.say("recipe:")
    for name, value in config.stored().items():
        reporter.say(f"  {name}: {value}")


# --- launch ---
# One training run in one process or several, one a GPU: the doors are --gpus and torchrun.
#
# `torchrun --nproc-per-node N -m torch_train.train OPTIONS` takes the options of `tbconv train`;
# `tbconv train --gpus N OPTIONS` starts the processes itself.

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def start_training(config: TrainConfig, reporter: Reporter, *, processes: int, resume: bool) -> bool:
    """Train: here alone, in processes of our own, or as one of those that torchrun has started.

    Args:
        config: the recipe; `batch` is of each process.
        reporter: where progress goes, where this process trains.
        processes: how many to start; torchrun says it itself.
        resume: go on from the checkpoint in `config.out`.

    Returns:
        Whether this process is the one to show what was made.

    Raises:
        ConfigError: the recipe cannot be shared out.
        SetupError: there are not so many GPUs, or a process was killed.
    """
    if all(name in os.environ for name in TORCHRUN):
        return _join_torchrun(config, reporter, processes=processes, resume=resume)
    if processes == 1:
        train(config, reporter, resume=resume)
        return True
    refuse(config, processes, here=processes)
    run_together(Job(take_part, (config, resume), processes, _kind(config)))
    return True


def take_part(ranks: Ranks, config: TrainConfig, resume: bool) -> None:
    """Train as one of several: the leader runs the recipe, the others all of it that is computed together."""
    if not ranks.leads:
        follow(config, resume=resume)
        return
    reporter = TerminalReporter()
    reporter.say(
        f"{ranks.size} processes with {config.batch} films a step each: {ranks.size * config.batch} films a step in all"
    )
    train(config, reporter, resume=resume)


def follow(config: TrainConfig, *, resume: bool) -> None:
    """Take part in the epochs of the leader, and write nothing."""
    silent = Silence()
    start = start_network(config, silent)
    with leader_first("films"):
        films = prepare_films(config, silent)
    fit_network(start, films, config, silent, resume=resume)


def refuse(config: TrainConfig, processes: int, *, here: int) -> None:
    """Refuse what several processes cannot share; `here` is how many of them this machine has to hold.

    Raises:
        ConfigError: the recipe names one GPU, or fits no network.
        SetupError: there are not so many GPUs.
    """
    if processes < 1:
        raise ConfigError(f"--gpus is {processes}", why="some process has to train", fix="--gpus 1, or leave it away")
    if config.baseline_only:
        why = "the baseline is fitted on the CPU in seconds"
        raise ConfigError(f"--baseline-only in {processes} processes", why=why, fix="leave --gpus away")
    if ":" in config.device:
        why = "each process takes a GPU of its own"
        raise ConfigError(f"--device {config.device} for {processes} processes", why=why, fix="--device cuda")
    found = torch.cuda.device_count()
    if config.device != "cpu" and found < here:
        fix = f"--gpus {found}" if found else "--device cpu trains in processes on the CPU, for tests"
        raise SetupError(f"{here} GPUs are asked for", why=f"PyTorch sees {found}", fix=fix)


def _kind(config: TrainConfig) -> str:
    return choose_precision(config.device, config.precision).device.type


def _join_torchrun(config: TrainConfig, reporter: Reporter, *, processes: int, resume: bool) -> bool:
    store, rank, size = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]  # it is public
    if processes not in (1, size):
        why = f"torchrun has started {size} processes"
        raise ConfigError(f"--gpus {processes} under torchrun", why=why, fix="leave --gpus away")
    if size == 1:
        train(config, reporter, resume=resume)
        return True
    local, of = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    refuse(config, size, here=of)
    use_device(_kind(config), local, of)
    try:
        with joined(store, rank=rank, size=size, backend=BACKENDS[_kind(config)]) as ranks:
            take_part(ranks, config, resume)
    except KeyboardInterrupt:
        if rank == 0:
            raise
        sys.exit(INTERRUPTED)  # the leader says how to go on
    return int(rank) == 0


def main() -> None:
    """Become `tbconv train`, which finds torchrun's variables: its options are read in one place only."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tbconv", "train", *sys.argv[1:]])  # noqa: S606  # no shell: ourselves


if __name__ == "__main__":
    main()
