"""`tbconv train`: films in, a run folder out."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated

import typer

from tbconv.console import TerminalReporter, print_out

INTERRUPTED = 130  # 128 + SIGINT, as shells count


def train(
    data: Annotated[Path, typer.Option("--data", help="Folder of films; `tbconv data check` says what it holds.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    patient: Annotated[
        str | None, typer.Option(help="Regular expression that finds the patient in a file name.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Name of the positive class, where it cannot be guessed.")
    ] = None,
    labels_from_masks: Annotated[
        bool, typer.Option("--labels-from-masks", help="Positive where a lesion mask marks anything.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the split, the order, the augmentation and the weights.")] = 0,
    arch: Annotated[str, typer.Option(help="resnet50; resnet10 is for quick tests.")] = "resnet50",
    weights: Annotated[
        str, typer.Option(help="imagenet, none, or a .safetensors / .pt file with torchvision's key names.")
    ] = "imagenet",
    fine_tune: Annotated[str, typer.Option(help="How many layers learn, counted from the output, or all.")] = "all",
    balance: Annotated[str, typer.Option(help="Balance the classes by the loss or by the sampler.")] = "loss",
    learning_rate: Annotated[float | None, typer.Option(help="Default 3e-4; 1e-3 with --weights none.")] = None,
    weight_decay: Annotated[float, typer.Option(help="AdamW's, not on biases and BatchNorms.")] = 0.05,
    label_smoothing: Annotated[float, typer.Option(help="Share of the target given to the other class.")] = 0.0,
    batch: Annotated[int, typer.Option(help="Films a step, of each GPU.")] = 32,
    epochs: Annotated[int, typer.Option(help="Passes over the films.")] = 16,
    schedule: Annotated[
        str,
        typer.Option(
            help="cosine: the rate falls to zero over all epochs and the last is kept; plateau: it halves where the "
            "validation loss stands still, training stops early and the best epoch is kept."
        ),
    ] = "cosine",
    patience: Annotated[
        int, typer.Option(help="Of plateau: stop after so many epochs without a better validation loss or AUROC.")
    ] = 10,
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or float16; auto is bfloat16 on CUDA.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    gpus: Annotated[int, typer.Option(help="Train on so many GPUs at once, a process each.")] = 1,
    step: Annotated[
        str, typer.Option(help="How CUDA runs a step: compiled, graph or eager; auto compiles where that pays.")
    ] = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeat to the bit on the same kind of device; slower.")
    ] = False,
    film_cache: Annotated[
        bool, typer.Option("--film-cache/--no-film-cache", help="Keep decoded films for the next run.")
    ] = True,
    rotation: Annotated[float, typer.Option(help="Degrees to either side.")] = 10.0,
    shift: Annotated[float, typer.Option(help="Share of the side.")] = 0.05,
    zoom: Annotated[float, typer.Option(help="0.1: from 0.9 to 1.1 times.")] = 0.1,
    brightness: Annotated[float, typer.Option(help="Share of the grey scale, up or down.")] = 0.1,
    contrast: Annotated[float, typer.Option(help="Share of the distance from the film's mean.")] = 0.1,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror films, too. Off: the side of the heart is information.")
    ] = False,
    target_sensitivity: Annotated[
        float,
        typer.Option(
            "--target-sensitivity", "--wished-sensitivity", help="What the operating point shall reach on validation."
        ),
    ] = 0.90,
    calibration_films: Annotated[int, typer.Option(help="Training films kept in the run folder, for int8.")] = 128,
    heldout_films: Annotated[int, typer.Option(help="Test, then validation films kept there, for parity.")] = 512,
    baseline_only: Annotated[
        bool, typer.Option("--baseline-only", help="Fit only the thumbnail baseline, no network.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last epoch of --out, exactly.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of tables.")] = False,
) -> None:
    """Train on a folder of films: weights, operating point, calibration, baseline, figures with intervals."""
    from torch_train.config import TrainConfig
    from torch_train.train import start_training

    config = TrainConfig(
        data=data,
        out=out,
        patient=patient,
        positive=positive,
        labels_from_masks=labels_from_masks,
        seed=seed,
        arch=arch,  # type: ignore[arg-type]  # the config refuses other words
        weights=weights,
        fine_tune=fine_tune,
        balance=balance,  # type: ignore[arg-type]
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        batch=batch,
        epochs=epochs,
        schedule=schedule,  # type: ignore[arg-type]
        patience=patience,
        precision=precision,  # type: ignore[arg-type]
        device=device,
        step=step,  # type: ignore[arg-type]
        deterministic=deterministic,
        film_cache=film_cache,
        rotation=rotation,
        shift=shift,
        zoom=zoom,
        brightness=brightness,
        contrast=contrast,
        flip=flip,
        target_sensitivity=target_sensitivity,
        calibration_films=calibration_films,
        heldout_films=heldout_films,
        baseline_only=baseline_only,
    )
    reporter = TerminalReporter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    try:
        leads = start_training(config, reporter, processes=gpus, resume=resume)
    except KeyboardInterrupt:
        reporter.say(how_to_go_on(out))
        raise typer.Exit(INTERRUPTED) from None
    if leads:  # of the processes that torchrun started
        print_result(out, as_json=as_json)


def how_to_go_on(out: Path) -> str:
    """Say what an interrupted run left behind."""
    from torch_train.run_folder import CHECKPOINT

    if not (out / CHECKPOINT).is_file():
        return "stopped before the first epoch was done, so nothing is kept: give the same command again"
    return f"stopped; {out / CHECKPOINT} holds the last whole epoch. To go on exactly: the same command with --resume"


def print_result(out: Path, *, as_json: bool) -> None:
    """Print what the run made."""
    from tbconv.contract.bundle import read_json
    from torch_train.run_folder import METRICS, summary_lines

    metrics = read_json(out / METRICS)
    lines = [json.dumps(metrics, indent=2, sort_keys=True)] if as_json else summary_lines(metrics)
    for line in lines if as_json else [*lines, "", f"run folder: {out}", f"next: tbconv convert {out} --out BUNDLE"]:
        print_out(line)
