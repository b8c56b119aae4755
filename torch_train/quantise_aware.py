"""A few epochs that teach a finished network to lose less as int8: the one recipe that trains through rounding.

The network is its own teacher: what it answered in float is what its rounded self is pulled towards,
near the operating point most of all. No label is needed, head and BatchNorm statistics stay. What
comes out is an ordinary run folder with ordinary float weights, for an ordinary conversion.
"""

from __future__ import annotations

import copy
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from tbconv.console import TerminalReporter, print_error
from tbconv.contract.bundle import read_json
from tbconv.contract.errors import ConfigError, DataError, TbconvError
from tbconv.contract.files import folder_whole_or_not, sha256_file, write_json
from tbconv.contract.reporter import Reporter
from torch_train.adopt_archs import PREFIX
from torch_train.amp import choose_precision, exact_float32
from torch_train.data.index import read_index
from torch_train.data.load import load_films
from torch_train.deploy import load_deployed
from torch_train.device import FilmStore, place_films
from torch_train.distillation import Distillation
from torch_train.fake_quant import FakeQuantised
from torch_train.judgement import TRAINED
from torch_train.network import XrayNetwork
from torch_train.results import write_weights
from torch_train.rounding_lesson import EpochFigures, Lesson, QuantiseAwareConfig, answer, measure, say, train
from torch_train.run_folder import (
    CALIBRATION_FILMS,
    CHECKPOINT,
    CONFIG,
    HELDOUT_FILMS,
    RUN,
    SPLIT,
    WEIGHTS,
    RunFacts,
    read_films,
    read_run,
    write_run,
)

RECORD = "quantise_aware.json"


def quantise_aware(config: QuantiseAwareConfig, reporter: Reporter) -> list[EpochFigures]:
    """Measure a run's network as int8, train it to lose less, and write it as another run.

    Args:
        config: every number of the recipe.
        reporter: where progress goes.

    Returns:
        Figures on the run's held-out films: of the network as it came, then of every epoch. The last
        epoch is what is written: nothing is chosen by these figures.

    Raises:
        BundleError: `run` is no finished run with a trained network.
        ConfigError: options that do not fit, or a loss that is no number.
        DataError: `data` lacks films of the run's training part.
    """
    facts = read_run(config.run)
    lesson = prepare_lesson(config, facts)
    history = [measure(lesson, epoch=0, loss=None, seconds=0.0)]
    say(history[-1], reporter)
    if config.epochs == 0 or config.out is None or config.data is None:
        return history
    store = training_films(config.run, config.data, config.patient, lesson.device, reporter)
    train(lesson, store, config, history, reporter)
    write_quantise_aware(config.run, config.out, facts, lesson.pupil.network, record(config, history))
    return history


def prepare_lesson(config: QuantiseAwareConfig, facts: RunFacts) -> Lesson:
    """Load the run's network twice and the films that it keeps, onto the device.

    Raises:
        BundleError: the run lacks a trained network, its weights or its films.
        ConfigError: only a baseline was trained.
    """
    if TRAINED not in facts.readouts:
        fix = "train without --baseline-only"
        raise ConfigError(f"{config.run} has no trained network", why="only its baseline was fitted", fix=fix)
    if (facts.arch or "").startswith(PREFIX):
        why = "only this project's own network is made quantisation-aware"
        raise ConfigError(f"{config.run} holds {facts.arch}", why=why, fix="tbconv convert takes it as it is")
    device = choose_precision(config.device, "float32").device
    readout = facts.readouts[TRAINED]
    deployed: Any = load_deployed(config.run, TRAINED, arch=facts.arch, calibration=readout.calibration)
    teacher: XrayNetwork = deployed.network.to(device, memory_format=torch.channels_last).requires_grad_(False)
    calibration, heldout = (
        torch.from_numpy(read_films(config.run / name).squares)[:, None].to(device)
        for name in (CALIBRATION_FILMS, HELDOUT_FILMS)
    )
    pupil = FakeQuantised(copy.deepcopy(teacher), joined_ranges=config.joined_ranges)
    with exact_float32():
        margin = answer(teacher, calibration)
    distillation = Distillation(
        spread=max(float((margin[:, 1] - margin[:, 0]).std()), 1e-6),
        threshold=readout.operating_point.margin,
        near_weight=config.near_weight,
        near_width=config.near_width,
        feature_weight=config.feature_weight,
    )
    return Lesson(teacher, pupil, calibration, heldout, readout.operating_point, distillation)


def training_films(run: Path, data: Path, patient: str | None, device: torch.device, reporter: Reporter) -> FilmStore:
    """Read the films of the run's training part, found by the digests in its split.json.

    Raises:
        DataError: some of them are not in `data`.
    """
    recipe, wanted = read_json(run / CONFIG), set(read_json(run / SPLIT)["train"])
    index = read_index(
        data,
        patient=patient or recipe.get("patient"),
        positive=recipe.get("positive"),
        labels_from_masks=recipe.get("labels_from_masks", False),
    )
    loaded = load_films(index, reporter)
    missing = len(wanted - set(loaded.digests))
    if missing:
        raise DataError(
            f"{data} lacks {missing} of the {len(wanted)} films that {run} was trained on",
            why="films are found by the SHA-256 of their files, as split.json lists them",
            fix="give the folder that the run was trained on",
        )
    rows = [row for row, digest in enumerate(loaded.digests) if digest in wanted]
    labels = np.array([loaded.index.films[row].label for row in rows], np.int64)
    reporter.say(f"{len(rows)} films to learn from, those of the run's training part")
    return place_films(loaded.squares[rows], labels, device, reporter)


def record(config: QuantiseAwareConfig, history: list[EpochFigures]) -> dict[str, Any]:
    """Return what RECORD holds."""
    return {
        "what": "weights.safetensors was trained through simulated int8 towards its own float answers",
        "compared_with": "the original float network, on the run's held-out films",
        "not_measured_again": "metrics.json, history.jsonl, report.md and both curves are of the original network",
        "weights_before": sha256_file(config.run / WEIGHTS),
        "config": config.stored(),
        "epochs": [asdict(figures) for figures in history],
    }


def write_quantise_aware(run: Path, out: Path, facts: RunFacts, network: XrayNetwork, said: dict[str, Any]) -> None:
    """Write the run again with other weights; its run.json names the weights that these began as."""
    with folder_whole_or_not(out) as folder:
        shutil.copytree(run, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CHECKPOINT, RUN))
        write_weights(folder / WEIGHTS, network)
        write_json(folder / RECORD, said)
        origin = {**facts.provenance, "quantise_aware": {"weights_before": said["weights_before"]}}
        write_run(folder, replace(facts, provenance=origin))


def main(
    run: Annotated[Path, typer.Argument(help="Finished run folder with a trained network.")],
    data: Annotated[Path | None, typer.Option(help="The films that it was trained on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    epochs: Annotated[int, typer.Option(help="0 only measures the run as it is.")] = 3,
    batch: Annotated[int, typer.Option(help="Films a step.")] = 64,
    lr: Annotated[float, typer.Option(help="Adam's at the start; falls to 0.")] = 1e-6,
    near_weight: Annotated[float, typer.Option(help="Extra weight of a film at the operating point.")] = 4.0,
    feature_weight: Annotated[float, typer.Option(help="Weight of the last feature map's relative error.")] = 0.1,
    joined_ranges: Annotated[bool, typer.Option(help="Ranges as TensorFlow 2.21 calibrates them.")] = True,
    patient: Annotated[str | None, typer.Option(help="Default: as the run was trained.")] = None,
    seed: Annotated[int, typer.Option(help="Of the order and the augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Teach a finished run's network to lose less as int8, and write it as another run."""
    try:
        config = QuantiseAwareConfig(
            run=run,
            data=data,
            out=out,
            epochs=epochs,
            batch=batch,
            learning_rate=lr,
            near_weight=near_weight,
            feature_weight=feature_weight,
            joined_ranges=joined_ranges,
            patient=patient,
            seed=seed,
            device=device,
        )
        quantise_aware(config, TerminalReporter())
    except TbconvError as error:
        print_error(error)
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
