"""The adoption: somebody's checkpoint and films -> threshold, calibration, figures -> a run folder, top to bottom.

Nothing is trained but the baseline. The folder is one that `tbconv train` could have left, so
`tbconv convert` takes it from there.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tbconv.contract.bundle import MANIFEST, sha256_file
from tbconv.contract.errors import ConfigError, DataError
from tbconv.contract.reporting import Reporter
from tbconv.report_kit.words import digits_for
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms, prepare_films
from torch_train.data.split import PARTS, digest_of, find_duplicates, join_groups
from torch_train.engine.amp import choose_precision, exact_float32
from torch_train.engine.inference import BATCH
from torch_train.engine.state import EpochRecord
from torch_train.metrics import auroc, auroc_estimate
from torch_train.model.baseline import baseline_margins, fit_baseline
from torch_train.model.torchvision_network import (
    IMAGENET,
    OWN,
    AdoptedNetwork,
    Normalisation,
    build_adopted,
    build_xray,
    read_checkpoint,
    require_known,
    stored_arch,
)
from torch_train.results import BASELINE_NETWORK, TRAINED, Origin, collect_metrics, read_out, write_results
from torch_train.run_folder import CHECKPOINT, RUN

# --- adopt config ---
# Every number of an adoption, in one frozen config that is printed and stored; nothing in it trains a network.

NO_TRACE = ("checkpoint", "data", "out", "trained_on", "device")  # paths and machines stay out of what is stored
NORMALISE = ("imagenet", "unit", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptConfig:
    """What `tbconv adopt` does."""

    checkpoint: Path
    arch: str
    data: Path
    out: Path

    normalise: str | None = None  # imagenet | unit | none; None: imagenet, unless mean and std are given
    mean: tuple[float, ...] | None = None  # of grey / 255; one value, or one for each channel of the stem
    std: tuple[float, ...] | None = None
    positive_output: int = 1  # which of the two outputs speaks for the positive class; 0 turns a single one round

    patient: str | None = None  # regular expression over file names
    positive: str | None = None  # name of the positive class
    labels_from_masks: bool = False
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)  # baseline and int8 ranges, threshold, figures
    trained_on: Path | None = None  # list of SHA-256 of films that the checkpoint has seen
    seed: int = 0

    target_sensitivity: float = 0.90
    calibration_films: int = 128
    heldout_films: int = 512
    device: str = "auto"

    def __post_init__(self) -> None:
        require_known(self.arch)
        self._refuse_two_normalisations()
        if self.positive_output not in (0, 1):
            fix = "1, or 0 if the first output is the positive"
            raise ConfigError(f"--positive-output is {self.positive_output}", why="there are two outputs", fix=fix)
        if self.trained_on is not None and not self.trained_on.is_file():
            fix = "sha256sum FILMS > LIST"
            raise ConfigError(f"--trained-on is {str(self.trained_on)!r}", why="there is no such file", fix=fix)
        self.films()  # refuses what `tbconv train` would refuse

    def _refuse_two_normalisations(self) -> None:
        said = [self.normalise is not None, self.mean is not None, self.std is not None]
        if self.arch in OWN and (any(said) or self.positive_output != 1):
            why = "this project's own weights carry their normalisation and the order of their outputs"
            raise ConfigError(
                f"--arch {self.arch} with --normalise, --mean, --std or --positive-output",
                why=why,
                fix="leave them away",
            )
        if said[1] != said[2] or (said[0] and said[1]):
            why = "they are two halves of one normalisation, and --normalise names another one"
            raise ConfigError("--mean and --std go together, without --normalise", why=why, fix="--mean 0.5 --std 0.25")
        if self.normalise is not None and self.normalise not in NORMALISE:
            why = f"known are {', '.join(NORMALISE)}"
            raise ConfigError(f"--normalise is {self.normalise!r}", why=why, fix="one of these, or --mean and --std")
        for mean, std in zip(self.mean or (), self.std or (), strict=False):
            if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
                why = "means are finite and deviations above 0, both of grey levels in 0..1"
                raise ConfigError(f"--mean {mean} --std {std}", why=why, fix="the numbers of the training script")
        if len(self.mean or ()) != len(self.std or ()) or len(self.mean or (0,)) not in (1, 3):
            why = "one value for all channels, or one for each of three"
            raise ConfigError(
                f"--mean has {len(self.mean or ())} values, --std {len(self.std or ())}", why=why, fix="1 or 3 of each"
            )

    @property
    def normalise_name(self) -> str:
        """What the normalisation is called in words."""
        if self.arch in OWN:
            return "the checkpoint's own"
        return self.normalise or ("imagenet" if self.mean is None else "mean and std")

    @property
    def stored_arch(self) -> str:
        """What run.json calls the network."""
        return stored_arch(self.arch)

    def films(self) -> TrainConfig:
        """Return the half of training's config that says which films there are and what is kept of them."""
        return TrainConfig(
            data=self.data,
            out=self.out,
            patient=self.patient,
            positive=self.positive,
            labels_from_masks=self.labels_from_masks,
            fractions=self.fractions,
            seed=self.seed,
            device=self.device,
            target_sensitivity=self.target_sensitivity,
            calibration_films=self.calibration_films,
            heldout_films=self.heldout_films,
        )

    def stored(self) -> dict[str, Any]:
        """Return what the run folder keeps: every number, no path; files by their digest."""
        kept = {key: value for key, value in asdict(self).items() if key not in NO_TRACE}
        kept |= {"normalise": self.normalise_name}
        listed = None if self.trained_on is None else sha256_file(self.trained_on)
        return {**kept, "checkpoint_sha256": sha256_file(self.checkpoint), "trained_on_sha256": listed}


# --- adopt ---

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
    baseline = fit_baseline(films.model_inputs[films.parts["train"]], films.labels_of("train"), seed=config.seed)
    adopted = Adopted(network, measure_margins(network.to(device), films, device, reporter))
    require_right_way_round(adopted.margins, films, config)
    judged = {
        TRAINED: read_out(adopted.margins, films, config.films()),
        BASELINE_NETWORK: read_out(baseline_margins(baseline, films.model_inputs), films, config.films()),
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
            images = torch.from_numpy(films.model_inputs[batch])[:, None].to(device).float()
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


# --- adopt split ---
# Who has seen what: a split by patient in which no film that the checkpoint learnt from chooses or tests.
#
# `tbconv train` knows its own training films; here somebody else has to tell, by the digests of the
# films' files, as `sha256sum` prints them.

DIGEST = re.compile(r"^[0-9a-f]{64}(?![0-9a-f])", re.MULTILINE)


def read_digests(path: Path) -> frozenset[str]:
    """Return the SHA-256 at the start of each line.

    Raises:
        ConfigError: no line starts with one.
    """
    found = frozenset(DIGEST.findall(path.read_text(encoding="utf-8", errors="replace")))
    if not found:
        why = "no line of it starts with a SHA-256 of 64 digits"
        raise ConfigError(f"--trained-on {path} names no film", why=why, fix="sha256sum FILMS > LIST")
    return found


def set_apart(films: TrainingFilms, seen: frozenset[str], *, seed: int, fractions: tuple[float, ...]) -> TrainingFilms:
    """Put all that the checkpoint may know into the training part, and share out the rest.

    A film goes with its patient and its duplicates. What is left goes to validation and test, each
    class in the ratio of their fractions; chance comes from digests and seed alone.

    Args:
        films: of the run, split in whatever way.
        seen: SHA-256 of the films that the checkpoint learnt from.
        seed: another seed, another share.
        fractions: of training, validation and test; the first is not asked for.

    Raises:
        ConfigError: no film is in the list.
        DataError: what is left cannot fill validation and test with both classes, or training lacks one.
    """
    known = np.array([digest in seen for digest in films.digests])
    if not known.any():
        why = f"none of its {len(seen)} digests is of a film that was read"
        raise ConfigError("--trained-on fits no film", why=why, fix="sha256sum of the very files in --data")
    units = _units(films)
    told = [unit for unit in units if known[unit].any()]
    left = [unit for unit in units if not known[unit].any()]
    rows: dict[str, list[int]] = {"train": [int(row) for unit in told for row in unit], "validation": [], "test": []}
    share = fractions[2] / (fractions[1] + fractions[2])
    for label in (1, 0):
        of_class = [unit for unit in left if int(films.labels[unit].max()) == label]
        for place, unit in enumerate(sorted(of_class, key=lambda unit: _draw(films, unit, seed))):
            part = "test" if int((place + 1) * share) > int(place * share) else "validation"
            rows[part] += [int(row) for row in unit]
    parts = {part: np.array(sorted(rows[part]), np.int64) for part in PARTS}
    _require_both_classes(films, parts)
    return replace(films, parts=parts, split_digest=digest_of([rows[part] for part in PARTS], films.digests))


def _units(films: TrainingFilms) -> list[NDArray[np.int64]]:
    """Return the rows that must stay together: of one patient, or duplicates of each other."""
    patients = [np.flatnonzero(films.patients == patient).tolist() for patient in np.unique(films.patients)]
    twins = find_duplicates(films.model_inputs, films.digests).groups
    return [np.array(unit, np.int64) for unit in join_groups(len(films.labels), [*patients, *twins])]


def _draw(films: TrainingFilms, unit: NDArray[np.int64], seed: int) -> str:
    first = min(films.digests[row] for row in unit)
    return hashlib.sha256(f"{seed} {first}".encode()).hexdigest()


def _require_both_classes(films: TrainingFilms, parts: dict[str, NDArray[np.int64]]) -> None:
    for part, rows in parts.items():
        for label, name in enumerate(films.names.names):
            if not (films.labels[rows] == label).any():
                raise DataError(
                    f"the {part} part has no film of the class {name}",
                    why="films in --trained-on may neither choose a threshold nor test it, and only they may train",
                    fix="more films that the checkpoint has not seen, or a list that names those it has",
                )
