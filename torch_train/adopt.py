"""The adoption: somebody's checkpoint and films -> threshold, calibration, figures -> a run folder, top to bottom.

Nothing is trained but the baseline. The folder is one that `tbconv train` could have left, so
`tbconv convert` takes it from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tbconv.contract.bundle import MANIFEST
from tbconv.contract.errors import ConfigError
from tbconv.contract.files import sha256_file
from tbconv.contract.reporter import Reporter
from torch_train.adopt_archs import OWN
from torch_train.adopt_checkpoint import build_adopted, build_xray, read_checkpoint
from torch_train.adopt_config import AdoptConfig
from torch_train.adopt_split import read_digests, set_apart
from torch_train.adopted_network import IMAGENET, AdoptedNetwork, Normalisation
from torch_train.amp import choose_precision, exact_float32
from torch_train.baseline import baseline_margins, fit_baseline
from torch_train.evaluate import BATCH
from torch_train.films import TrainingFilms, prepare_films
from torch_train.history import EpochRecord
from torch_train.intervals import auroc_estimate, digits_for
from torch_train.judgement import BASELINE_NETWORK, TRAINED, collect_metrics, read_out
from torch_train.metrics import auroc
from torch_train.results import Origin, write_results
from torch_train.run_folder import CHECKPOINT, RUN

ALIKE = 1e-4  # of the largest margin; float32 rounds a network's answers by some 1e-6
JUDGED = ("validation", "test")


@dataclass(frozen=True, slots=True)
class Adopted:
    """The network, and its margins on the films that fix and test its threshold."""

    network: nn.Module  # on the CPU, eval mode
    margins: NDArray[np.float32]  # [N], float32 without TF32; NaN for films of the training part
    history: tuple[EpochRecord, ...] = ()  # others have it
    precision: None = None  # of training: not known here


def adopt(config: AdoptConfig, reporter: Reporter) -> Path:
    """Judge a trained checkpoint on films and store it as a run.

    Args:
        config: the checkpoint, what it was fed, and the films.
        reporter: where progress goes.

    Returns:
        The run folder, finished.

    Raises:
        ConfigError: the checkpoint does not fit the network, its outputs stand the other way round, or the folder
            is taken.
        DataError: the films cannot be used.
        SetupError: a device is missing.
    """
    device = choose_precision(config.device, "float32").device
    network = load_network(config, reporter)
    require_free(config.out)
    films = split_by_what_was_seen(config, reporter)
    baseline = fit_baseline(films.squares[films.parts["train"]], films.labels_of("train"), seed=config.seed)
    adopted = Adopted(network, measure_margins(network.to(device), films, device, reporter))
    require_right_way_round(adopted.margins, films, config)
    judged = {
        TRAINED: read_out(adopted.margins, films, config.films()),
        BASELINE_NETWORK: read_out(baseline_margins(baseline, films.squares), films, config.films()),
    }
    origin = origin_of(config)
    metrics = collect_metrics(judged, films, config.films()) | {"adopted": origin.checkpoint}
    network.cpu()
    config.out.mkdir(parents=True, exist_ok=True)
    write_results(
        films, config.films(), trained=adopted, baseline=baseline, judged=judged, metrics=metrics, origin=origin
    )
    return config.out


def load_network(config: AdoptConfig, reporter: Reporter) -> nn.Module:
    """Return the checkpoint's network in eval mode, behind the normalisation that it was trained with."""
    state = read_checkpoint(config.checkpoint)
    if config.arch in OWN:
        reporter.say(f"network: {config.arch}, normalisation and outputs as its checkpoint has them")
        return build_xray(state, config.arch)
    network = build_adopted(state, config.arch, positive_output=config.positive_output)
    normalisation = normalisation_of(config, network.normalise.out_channels)
    network.set_normalisation(normalisation)
    _say_network(network, config, normalisation, reporter)
    return network


def normalisation_of(config: AdoptConfig, channels: int) -> Normalisation:
    """Return what the options say that the network was fed.

    Raises:
        ConfigError: ImageNet's three channels, or three values, for a stem of one.
    """
    mean, std = config.mean, config.std
    if mean is None or std is None:
        named = {"imagenet": IMAGENET, "unit": ((0.0,), (1.0,)), "none": ((0.0,), (1 / 255,))}
        mean, std = named[config.normalise_name]
    if len(mean) > channels:
        why = f"it has {len(mean)} channels, and the checkpoint's stem takes {channels}"
        fix = "--mean M --std S of grey levels in 0..1, --normalise unit or --normalise none"
        raise ConfigError(f"normalisation {config.normalise_name} does not fit the checkpoint", why=why, fix=fix)
    return Normalisation(mean, std)


def _say_network(
    network: AdoptedNetwork, config: AdoptConfig, normalisation: Normalisation, reporter: Reporter
) -> None:
    channels = network.normalise.out_channels
    stem = "a stem of one channel" if channels == 1 else "the grey film repeated in three channels"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (normalisation.mean, normalisation.std))
    reporter.say(f"network: torchvision's {config.arch}, {stem}, {network.features} features before its dense layer")
    reporter.say(f"  normalisation: {config.normalise_name}, (grey / 255 - [{mean}]) / [{std}], inside the graph;")
    reporter.say("  if it was trained with another, its figures below are worth nothing: --normalise, --mean and --std")


def require_free(out: Path) -> None:
    """Refuse a folder that holds a run or a bundle, before a film is read."""
    for name in (RUN, CHECKPOINT, MANIFEST):
        if (out / name).exists():
            kind = "a bundle" if name == MANIFEST else "a run"
            what, why = f"{out} holds {kind} already ({name})", "an adoption would overwrite it"
            raise ConfigError(what, why=why, fix="another --out")


def split_by_what_was_seen(config: AdoptConfig, reporter: Reporter) -> TrainingFilms:
    """Read and split the films, and say what is not known of them."""
    films = prepare_films(config.films(), reporter)
    if config.trained_on is None:
        reporter.say("  note: films that the checkpoint was trained on flatter it in validation and test;")
        reporter.say("  --trained-on LIST (lines of sha256sum) keeps them out")
        return films
    films = set_apart(films, read_digests(config.trained_on), seed=config.seed, fractions=config.fractions)
    counts = ", ".join(f"{part} {len(rows)}" for part, rows in films.parts.items())
    reporter.say(f"  with the films of --trained-on, their patients and duplicates in the training part: {counts}")
    return films


def measure_margins(
    network: nn.Module, films: TrainingFilms, device: torch.device, reporter: Reporter
) -> NDArray[np.float32]:
    """Return the margins of validation and test films, float32 [N], NaN for the rest.

    Raises:
        ConfigError: one of them is not finite.
    """
    rows = np.concatenate([films.parts[part] for part in JUDGED])
    some = np.array_split(rows, max(1, -(-len(rows) // BATCH[device.type])))
    margins = np.full(len(films.labels), np.nan, np.float32)
    with torch.inference_mode(), exact_float32():
        for batch in reporter.track(some, title="asking the network", total=len(some)):
            images = torch.from_numpy(films.squares[batch])[:, None].to(device).float()
            logits = network(images.contiguous(memory_format=torch.channels_last)).cpu().numpy()
            margins[batch] = logits[:, 1] - logits[:, 0]
    if not np.isfinite(margins[rows]).all():
        why = "its weights are finite, its answers are not: it was fed with another scale, or it diverged"
        raise ConfigError("the network answers films with NaN or infinity", why=why, fix="another --normalise")
    require_differences(margins[rows])
    return margins


def require_differences(margins: NDArray[np.float32]) -> None:
    """Refuse a network whose margins, float32 [n], lie so close that only rounding tells films apart.

    Raises:
        ConfigError: it answers every film alike.
    """
    low, high = float(margins.min()), float(margins.max())
    if high - low < ALIKE * max(abs(low), abs(high), 1.0):
        raise ConfigError(
            "the network answers every film alike",
            why=f"its margins on {len(margins)} films lie between {low:.6g} and {high:.6g}: no film is in them",
            fix="look whether the checkpoint is a trained one, and what it was fed: --normalise, --mean and --std",
        )


def require_right_way_round(margins: NDArray[np.float32], films: TrainingFilms, config: AdoptConfig) -> None:
    """Refuse a network that orders validation films worse than chance would: its outputs are swapped.

    Raises:
        ConfigError: the whole 95 % interval of its AUROC lies below one half.
    """
    rows, labels = films.parts["validation"], films.labels_of("validation")
    positives = int((labels == 1).sum())
    found = auroc_estimate(auroc(margins[rows], labels), positives=positives, negatives=len(labels) - positives)
    if found.high is None or found.high >= 0.5:
        return
    digits = digits_for(len(labels))
    raise ConfigError(
        f"the network orders the films the wrong way round: AUROC {found.value:.{digits}f} on {len(labels)} films",
        why=f"its 95 % interval ends at {found.high:.{digits}f}, below the 0.5 of chance",
        fix=f"--positive-output {1 - config.positive_output}, or --positive with the other class",
    )


def origin_of(config: AdoptConfig) -> Origin:
    """Return what is stored of where the network came from."""
    listed = config.trained_on is not None
    checkpoint = {"sha256": sha256_file(config.checkpoint), "arch": config.arch, "normalise": config.normalise_name}
    return Origin(config.stored_arch, config.stored(), checkpoint | {"training_films_listed": listed})
