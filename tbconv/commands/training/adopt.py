"""`tbconv adopt`: another team's checkpoint in, a run folder out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tbconv.api import TrainedRun
from tbconv.commands.options import (
    Details,
    LabelsFromMasks,
    PublicKey,
    Referral,
    RequireSignature,
    interruptible,
    numbers,
    signature_rule,
    with_labels_of_films,
)
from tbconv.commands.training.train import (
    AsJson,
    CalibrationFilms,
    Data,
    Device,
    HeldoutFilms,
    OperatingPoint,
    Out,
    TargetSensitivity,
    names_of,
    print_result,
)
from tbconv.console import TerminalReporter
from tbconv.contract.errors import ConfigError
from torch_train.model.backbones import ADOPTABLE  # loads no framework


@with_labels_of_films
def adopt(
    checkpoint: Annotated[
        Path, typer.Argument(help="state_dict, bare or wrapped: .pt, .pth, .ckpt or .safetensors; no pickled code.")
    ],
    arch: Annotated[
        str,
        typer.Option(
            help=f"torchvision's {', '.join(ADOPTABLE)}, with one dense layer of 1 or 2 outputs, of more with --task; "
            "xray-resnet50 for the weights of a run."
        ),
    ],
    data: Data,
    out: Out,
    normalise: Annotated[
        str | None,
        typer.Option(
            help="Its input in training: imagenet (normalised by channel), unit (0..1) or none (0..255).",
            show_default="imagenet",
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Or: mean of grey / 255, one value or three separated by commas.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Standard deviation of grey / 255, one value or three separated by commas.")
    ] = None,
    positive_output: Annotated[
        int, typer.Option(help="Which output is the positive class; 0 negates a single output.")
    ] = 1,
    task: Annotated[
        str | None,
        typer.Option(
            help="Of a network with one output a label: multi-label or one-of-n; with --names. Omitted: two classes."
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            help="With --task: the set's findings or classes in the order of the outputs: Effusion,Nodule,..."
        ),
    ] = None,
    labels_from_masks: LabelsFromMasks = False,
    fractions: Annotated[
        str, typer.Option(help="Shares of the films for baseline and int8 calibration, threshold, figures.")
    ] = "0.7,0.2,0.1",
    trained_on: Annotated[
        Path | None,
        typer.Option(
            help="List of the films it was trained on, as sha256sum prints it: kept out of threshold and figures."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the films that are stored.")] = 0,
    target_sensitivity: TargetSensitivity = 0.90,
    operating_point: OperatingPoint = "best",
    referral: Referral = None,
    calibration_films: CalibrationFilms = 128,
    heldout_films: HeldoutFilms = 512,
    device: Device = "auto",
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    details: Details = False,
    as_json: AsJson = False,
    **labels: Any,
) -> None:
    """Take over a trained checkpoint: threshold, calibration, baseline and figures from films; nothing is trained.

    Of a network of several labels (--task, --names): thresholds and figures by label.
    """
    from tbconv.contract.signature import signed_file

    if task is None and names is not None:
        raise ConfigError(
            "--names without --task", why="two classes have the set's own names", fix="--task multi-label"
        )
    several: dict[str, Any] = {}
    if task is not None:
        several = {"task": task, "labels": names_of(names) or ()}
    config = _config(several)(
        checkpoint=checkpoint,
        arch=arch,
        data=data,
        out=out,
        normalise=normalise,
        mean=None if mean is None else numbers(mean, "--mean"),
        std=None if std is None else numbers(std, "--std"),
        positive_output=positive_output,
        **labels,
        labels_from_masks=labels_from_masks,
        fractions=numbers(fractions, "--fractions"),
        trained_on=trained_on,
        seed=seed,
        target_sensitivity=target_sensitivity,
        operating_point=operating_point,
        referral=referral,
        calibration_films=calibration_films,
        heldout_films=heldout_films,
        device=device,
        **several,
    )
    rule = signature_rule(public_key, required=require_signature)
    with interruptible(lambda: f"stopped; {out} holds no finished run, the same command begins again"):
        with signed_file(checkpoint, rule) as vouched:
            _run(replace(config, checkpoint=vouched))
        print_result(TrainedRun(out), as_json=as_json, details=details)


def _config(several: dict[str, Any]) -> type[Any]:
    """Return the configuration of two classes, or that of several labels."""
    from torch_train.adopt import AdoptConfig
    from torch_train.several import SeveralConfig

    return SeveralConfig if several else AdoptConfig


def _run(config: Any) -> None:
    from torch_train.adopt import adopt
    from torch_train.several import SeveralConfig, adopt_labels

    adopt_labels(config, TerminalReporter()) if isinstance(config, SeveralConfig) else adopt(config, TerminalReporter())
