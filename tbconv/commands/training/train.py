"""`tbconv train`: films in, a run folder out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tbconv import api
from tbconv.commands.options import Details, LabelsFromMasks, Referral, interruptible, with_labels_of_films
from tbconv.console import TerminalReporter, is_narrow, print_opening, print_out, table_console
from torch_train.model.backbones import BACKBONES  # loads no framework

Data = Annotated[Path, typer.Option("--data", help="Folder of films; `tbconv data check` describes it.")]
Out = Annotated[Path, typer.Option("--out", help="Run folder to write.")]
TargetSensitivity = Annotated[
    float, typer.Option(help="Sensitivity that the operating point has to reach on validation.")
]
OperatingPoint = Annotated[
    str,
    typer.Option(
        help="Of the thresholds that reach it: best takes the largest sensitivity + specificity on validation, highest "
        "the highest."
    ),
]
CalibrationFilms = Annotated[int, typer.Option(help="Training films stored in the run folder to calibrate int8.")]
HeldoutFilms = Annotated[int, typer.Option(help="Test, then validation films stored there to measure parity.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print metrics.json (with --task labels.json) instead of lines.")]


@with_labels_of_films
def train(
    data: Data,
    out: Out,
    labels_from_masks: LabelsFromMasks = False,
    task: Annotated[
        str | None,
        typer.Option(
            help="multi-label (a film has any number of the labels) or one-of-n (exactly one of N classes), with "
            "--names. Omitted: two classes."
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="With --task: findings or classes as --label takes them, one an output: Effusion,Nodule,..."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of split, order, augmentation and initial weights.")] = 0,
    arch: Annotated[str, typer.Option(help=f"Backbone: {', '.join(BACKBONES)} (for quick tests).")] = "resnet50",
    weights: Annotated[
        str, typer.Option(help="imagenet, none, or a .safetensors / .pt file with torchvision's key names.")
    ] = "imagenet",
    fine_tune: Annotated[str, typer.Option(help="Number of layers to train, counted from the output, or all.")] = "all",
    balance: Annotated[
        str, typer.Option(help="Balance the classes in the loss or by the sampler: loss or sampler.")
    ] = "loss",
    learning_rate: Annotated[float | None, typer.Option(help="Default 3e-4; 1e-3 with --weights none.")] = None,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of AdamW; biases and BatchNorms have none.")] = 0.05,
    label_smoothing: Annotated[float, typer.Option(help="Share of each target that is spread over all classes.")] = 0.0,
    batch: Annotated[int, typer.Option(help="Batch size per GPU.")] = 32,
    epochs: Annotated[int, typer.Option(help="Passes over the training films.")] = 16,
    schedule: Annotated[
        str,
        typer.Option(
            help="cosine: the learning rate falls to zero and the last epoch is selected; plateau: it halves when the "
            "validation loss stops falling, training stops early and the best epoch is selected."
        ),
    ] = "cosine",
    patience: Annotated[
        int, typer.Option(help="With plateau: stop after this many epochs without a better validation loss or AUROC.")
    ] = 10,
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or float16; auto is bfloat16 on CUDA.")
    ] = "auto",
    device: Device = "auto",
    gpus: Annotated[int, typer.Option(help="Number of GPUs, one process each.")] = 1,
    step: Annotated[
        str, typer.Option(help="How CUDA runs a step: compiled, graph or eager; auto compiles long runs only.")
    ] = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeatable to the bit on the same kind of device; slower.")
    ] = False,
    film_cache: Annotated[
        bool, typer.Option("--film-cache/--no-film-cache", help="Keep decoded films for the next run.")
    ] = True,
    rotation: Annotated[float, typer.Option(help="Rotate by up to this many degrees.")] = 10.0,
    shift: Annotated[float, typer.Option(help="Shift by up to this share of the side.")] = 0.05,
    zoom: Annotated[float, typer.Option(help="Scale by up to this share: 0.1 is 0.9 to 1.1 times.")] = 0.1,
    brightness: Annotated[float, typer.Option(help="Change brightness by up to this share of the grey scale.")] = 0.1,
    contrast: Annotated[float, typer.Option(help="Change contrast by up to this share.")] = 0.1,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip", help="Mirror films as well. Off by default: the side of the heart is clinical information."
        ),
    ] = False,
    disturb: Annotated[
        float,
        typer.Option(
            help="Disturb this share of the films by each of: gamma, contrast, blur or sharpening, noise, a frame, "
            "burnt-in text, JPEG, a tilt. 0: none."
        ),
    ] = 0.3,
    target_sensitivity: TargetSensitivity = 0.90,
    operating_point: OperatingPoint = "best",
    referral: Referral = None,
    calibration_films: CalibrationFilms = 128,
    heldout_films: HeldoutFilms = 512,
    baseline_only: Annotated[
        bool, typer.Option("--baseline-only", help="Fit the thumbnail baseline only, no network.")
    ] = False,
    log_to: Annotated[
        list[str] | None,
        typer.Option(help="Log history and figures there too: tensorboard:DIR or mlflow:URI; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue exactly from the last epoch in --out.")] = False,
    details: Details = False,
    as_json: AsJson = False,
    **labels: Any,
) -> None:
    """Train on a folder of films: weights, operating point, calibration, baseline, figures with intervals.

    Of several labels or N classes (--task, --names): thresholds and figures by label.
    """
    with interruptible(lambda: _how_to_continue(out)):
        run = api.train(
            data,
            out,
            gpus=gpus,
            resume=resume,
            reporter=TerminalReporter(),
            **labels,
            labels_from_masks=labels_from_masks,
            task=task,  # type: ignore[arg-type]  # the config refuses other words
            names=names_of(names),
            seed=seed,
            arch=arch,
            weights=weights,
            fine_tune=fine_tune,
            balance=balance,  # type: ignore[arg-type]  # the config refuses other words
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
            disturb=disturb,
            target_sensitivity=target_sensitivity,
            operating_point=operating_point,  # type: ignore[arg-type]
            referral=referral,
            calibration_films=calibration_films,
            heldout_films=heldout_films,
            baseline_only=baseline_only,
            log_to=tuple(log_to or ()),
        )
        if run.is_main:
            print_result(run, as_json=as_json, details=details)


def names_of(names: str | None) -> tuple[str, ...] | None:
    """Return the names of an option, separated by commas."""
    return None if names is None else tuple(one.strip() for one in names.split(","))


def _how_to_continue(out: Path) -> str:
    from torch_train.run_folder import CHECKPOINT

    if not (out / CHECKPOINT).is_file():
        return "stopped before the first epoch was finished, so nothing is stored: run the same command again"
    return (
        f"stopped; {out / CHECKPOINT} holds the last whole epoch. To continue exactly: the same command with --resume"
    )


def print_result(run: api.TrainedRun, *, as_json: bool, details: bool) -> None:
    """Print five lines that say what matters, the tables where they are asked for, and what to do next."""
    from torch_train.run_folder import REPORT, labels_lines, opening, summary_lines

    metrics, out = run.metrics, run.folder
    if as_json:
        print_out(json.dumps(metrics, indent=2, sort_keys=True))
        return
    if "task" in metrics:  # several labels
        title, _, decides, use, _, *table = labels_lines(metrics)
        print_opening(title.removeprefix("# "), decides, use, report=out / REPORT, details=details)
        for line in [*table, f"folder: {out}", f"next: tbconv convert {out} --out OUT"]:
            print_out(line)
        return
    print_opening(*opening(metrics), report=out / REPORT, details=details)
    narrow = is_narrow(table_console())
    lines = ["", *summary_lines(metrics, narrow=narrow), ""] if details else [metrics["disclaimer"]]
    for line in [*lines, f"run folder: {out}", f"next: tbconv convert {out} --out BUNDLE"]:
        print_out(line)
