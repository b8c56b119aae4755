"""`tbconv adopt`: a checkpoint that others trained in, a run folder out."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from tbconv.commands.train import INTERRUPTED, print_result
from tbconv.console import TerminalReporter


def adopt(
    checkpoint: Annotated[
        Path, typer.Argument(help="state_dict, bare or wrapped: .pt, .pth, .ckpt or .safetensors; no pickled code.")
    ],
    arch: Annotated[
        str,
        typer.Option(
            help="torchvision's resnet18, resnet34, resnet50, resnet101, resnext50_32x4d, wide_resnet50_2, "
            "densenet121, mobilenet_v2, efficientnet_b0 or regnet_y_400mf, with one dense layer of 1 or 2 outputs; "
            "xray-resnet50 for a run's own weights."
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder of films; `tbconv data check` says what it holds.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    normalise: Annotated[
        str | None,
        typer.Option(
            help="What it was fed: imagenet (normalised channel by channel), unit (0..1) or none (0..255).",
            show_default="imagenet",
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Instead: mean of grey / 255, one value or three with commas.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Deviation of grey / 255, one value or three with commas.")] = None,
    positive_output: Annotated[
        int, typer.Option(help="Which output speaks for the positive class; 0 turns a single output round.")
    ] = 1,
    patient: Annotated[
        str | None, typer.Option(help="Regular expression that finds the patient in a file name.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Name of the positive class, where it cannot be guessed.")
    ] = None,
    labels_from_masks: Annotated[
        bool, typer.Option("--labels-from-masks", help="Positive where a lesion mask marks anything.")
    ] = False,
    fractions: Annotated[
        str, typer.Option(help="Of the films: baseline and int8 ranges, threshold, figures.")
    ] = "0.7,0.2,0.1",
    trained_on: Annotated[
        Path | None,
        typer.Option(help="List of the films that it was trained on, as sha256sum prints it: they judge nothing."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split and the draws.")] = 0,
    target_sensitivity: Annotated[
        float, typer.Option(help="What the operating point shall reach on validation.")
    ] = 0.90,
    calibration_films: Annotated[int, typer.Option(help="Training films kept in the run folder, for int8.")] = 128,
    heldout_films: Annotated[int, typer.Option(help="Test, then validation films kept there, for parity.")] = 512,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of tables.")] = False,
) -> None:
    """Take over a trained checkpoint: threshold, calibration, baseline and figures from films; nothing is trained."""
    from torch_train.adopt import AdoptConfig
    from torch_train.adopt import adopt as run

    config = AdoptConfig(
        checkpoint=checkpoint,
        arch=arch,
        data=data,
        out=out,
        normalise=normalise,
        mean=None if mean is None else numbers(mean, "--mean"),
        std=None if std is None else numbers(std, "--std"),
        positive_output=positive_output,
        patient=patient,
        positive=positive,
        labels_from_masks=labels_from_masks,
        fractions=numbers(fractions, "--fractions"),  # type: ignore[arg-type]  # the config refuses other counts
        trained_on=trained_on,
        seed=seed,
        target_sensitivity=target_sensitivity,
        calibration_films=calibration_films,
        heldout_films=heldout_films,
        device=device,
    )
    reporter = TerminalReporter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    try:
        run(config, reporter)
    except KeyboardInterrupt:
        reporter.say(f"stopped; {out} holds no finished run, and the same command begins again")
        raise typer.Exit(INTERRUPTED) from None
    print_result(out, as_json=as_json)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Read numbers with commas between them.

    Raises:
        ConfigError: one of them is none.
    """
    from tbconv.contract.errors import ConfigError

    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        why, fix = f"it must be numbers with commas between them: {error}", f"{option} 0.485,0.456,0.406"
        raise ConfigError(f"{option} is {text!r}", why=why, fix=fix) from error
