"""Adoption: another team's checkpoint and films -> threshold, calibration, figures -> a run folder, top to bottom.

Nothing but the baseline is trained. The folder is one that `tbconv train` could have written, so
`tbconv convert` takes it from there.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ConfigError, DataError, Reporter
from tbconv.contract.files import require_room, sha256_file
from tbconv.contract.manifest import Choice
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.report_kit.words import digits_for
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms, find_films, prepare_films
from torch_train.data.records import FilmIndex
from torch_train.data.split import PARTS, digest_of, find_duplicates, join_groups
from torch_train.engine.amp import choose_precision
from torch_train.engine.inference import place_films, unseen_margins
from torch_train.engine.state import Trained
from torch_train.metrics import auroc, auroc_estimate
from torch_train.model.backbones import OF_RUNS, require_adoptable, stored_arch
from torch_train.model.network import IMAGENET, GreyClassifier, Normalisation
from torch_train.model.pretrained import build_adopted, build_xray, read_weights
from torch_train.results import Origin, store_run
from torch_train.run_folder import require_free_folder, run_folder_locked

# --- config ---

# paths, machines, and words that run.json keeps
NOT_STORED = ("checkpoint", "data", "out", "trained_on", "device", "referral")
NORMALISE = ("imagenet", "unit", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptConfig:
    """Every number of an adoption."""

    checkpoint: Path
    arch: str
    data: Path
    out: Path

    normalise: str | None = None  # imagenet | unit | none; None: imagenet, unless mean and std are given
    mean: tuple[float, ...] | None = None  # of grey / 255; one value, or one for each channel of the stem
    std: tuple[float, ...] | None = None
    positive_output: int = 1  # which of the two outputs is the positive class; 0 negates a single output

    patient: str | None = None  # regular expression over file names
    positive: str | None = None  # name of the positive class
    labels_from_masks: bool = False
    label: str | None = None  # the finding that makes a film positive, where a set has several
    negative: str | None = None
    uncertain: Literal["leave-out", "positive", "negative"] = "leave-out"
    strict: bool = False
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)  # baseline and int8 ranges, threshold, figures
    trained_on: Path | None = None  # list of SHA-256 of films that the checkpoint has seen
    seed: int = 0

    target_sensitivity: float = 0.90
    operating_point: Choice = "best"  # of the thresholds that reach it (torch_train.metrics)
    referral: str | None = None  # what a flag calls for; None: what the labels are known to call for
    calibration_films: int = 128
    heldout_films: int = 512
    device: str = "auto"

    def __post_init__(self) -> None:
        require_adoptable(self.arch)
        self._refuse_two_normalisations()
        if self.positive_output not in (0, 1):
            fix = "1, or 0 if the first output is the positive"
            raise ConfigError(f"--positive-output is {self.positive_output}", why="there are two outputs", fix=fix)
        if self.trained_on is not None and not self.trained_on.is_file():
            fix = "sha256sum FILMS > LIST"
            raise ConfigError(f"--trained-on is {str(self.trained_on)!r}", why="there is no such file", fix=fix)
        self.films()  # refuses what `tbconv train` would refuse

    def _refuse_two_normalisations(self) -> None:
        given = [self.normalise is not None, self.mean is not None, self.std is not None]
        if self.arch in OF_RUNS and (any(given) or self.positive_output != 1):
            why = "this project's own weights carry their normalisation and the order of their outputs"
            what = f"--arch {self.arch} with --normalise, --mean, --std or --positive-output"
            raise ConfigError(what, why=why, fix="omit them")
        if given[1] != given[2] or (given[0] and given[1]):
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
            what = f"--mean has {len(self.mean or ())} values, --std {len(self.std or ())}"
            raise ConfigError(what, why=why, fix="1 or 3 of each")

    @property
    def normalise_name(self) -> str:
        """The name of the normalisation in reports."""
        if self.arch in OF_RUNS:
            return "the checkpoint's own"
        return self.normalise or ("imagenet" if self.mean is None else "mean and std")

    def films(self) -> TrainConfig:
        """Return the half of training's config that is about films: which there are, and which are kept."""
        return TrainConfig(
            data=self.data,
            out=self.out,
            patient=self.patient,
            positive=self.positive,
            labels_from_masks=self.labels_from_masks,
            label=self.label,
            negative=self.negative,
            uncertain=self.uncertain,
            strict=self.strict,
            fractions=self.fractions,
            seed=self.seed,
            device=self.device,
            target_sensitivity=self.target_sensitivity,
            operating_point=self.operating_point,
            referral=self.referral,
            calibration_films=self.calibration_films,
            heldout_films=self.heldout_films,
        )

    def stored(self) -> dict[str, Any]:
        """Return what the run folder keeps: every number, no path; files by their digest."""
        kept = {key: value for key, value in asdict(self).items() if key not in NOT_STORED}
        kept |= {"normalise": self.normalise_name}
        listed = None if self.trained_on is None else sha256_file(self.trained_on)
        return {**kept, "checkpoint_sha256": sha256_file(self.checkpoint), "trained_on_sha256": listed}


# --- adopt ---

ALIKE = 1e-4  # of the largest margin; float32 rounds a network's outputs by some 1e-6


def adopt(config: AdoptConfig, reporter: Reporter) -> Path:
    """Evaluate a trained checkpoint on films and store it as a run.

    Args:
        config: the checkpoint, its normalisation, and the films.
        reporter: where progress goes.

    Returns:
        The run folder, finished.

    Raises:
        ConfigError: the checkpoint does not fit the network, its outputs are swapped, or the folder is not free.
        DataError: the films cannot be used.
        SetupError: a device is missing, or the disk has no room.
    """
    require_free_folder(config.out, fix="another --out")  # before anything is read
    found = find_films(config.films())
    device = choose_precision(config.device, "float32").device
    network = load_network(config, reporter).to(device)
    with run_folder_locked(config.out):
        require_free_folder(config.out, fix="another --out")  # another process may have finished there meanwhile
        require_room({config.out: bytes_of_run(network, config)}, what="this run")
        films = split_unseen(config, reporter, found=found)
        store = place_films(films.model_inputs, films.labels, device, reporter)
        adopted = Trained(network, unseen_margins(network, store, films, reporter))
        require_usable(adopted.margins, films, config)
        network.cpu()
        store_run(films, config.films(), adopted, reporter, origin=origin_of(config))
    return config.out


def bytes_of_run(network: GreyClassifier, config: AdoptConfig) -> int:
    """Return how much room the run takes: the weights, and the films that conversion needs."""
    weights: int = sum(value.nbytes for value in network.state_dict().values())
    return weights + (config.calibration_films + config.heldout_films) * PreprocessSpec().size ** 2


def load_network(config: AdoptConfig, reporter: Reporter, *, labels: int | None = None) -> GreyClassifier:
    """Return the checkpoint's network in eval mode, behind the normalisation that it was trained with.

    Args:
        config: the checkpoint, and its normalisation.
        reporter: gets a line for each.
        labels: how many outputs it has; None: those of two classes.
    """
    state, _ = read_weights(config.checkpoint)
    if config.arch in OF_RUNS:
        reporter.say(f"network: {config.arch}, normalisation and outputs as its checkpoint has them")
        return build_xray(state, config.arch)
    network = build_adopted(state, config.arch, positive_output=config.positive_output, labels=labels)
    channels = network.normalise.out_channels
    normalisation = _normalisation(config, channels)
    network.set_normalisation(normalisation)
    stem = "a stem of one channel" if channels == 1 else "the grey film repeated in three channels"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (normalisation.mean, normalisation.std))
    reporter.say(f"network: torchvision's {config.arch}, {stem}, {network.features} features before its dense layer")
    reporter.say(f"  normalisation: {config.normalise_name}, (grey / 255 - [{mean}]) / [{std}], inside the graph;")
    reporter.say("  if training used another, the figures below mean nothing: --normalise, --mean and --std")
    return network


def _normalisation(config: AdoptConfig, channels: int) -> Normalisation:
    """Return the normalisation that the options describe.

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


def split_unseen(config: AdoptConfig, reporter: Reporter, *, found: FilmIndex | None = None) -> TrainingFilms:
    """Read and split the films that were found, those of --trained-on in the training part."""
    films = prepare_films(config.films(), reporter, found=found)
    if config.trained_on is None:
        reporter.say("  note: training films of the checkpoint in validation and test make its figures too good;")
        reporter.say("  --trained-on LIST (lines of sha256sum) keeps them out")
        return films
    films = set_apart(films, read_digests(config.trained_on), seed=config.seed, fractions=config.fractions)
    counts = ", ".join(f"{part} {len(rows)}" for part, rows in films.parts.items())
    reporter.say(f"  with the films of --trained-on, their patients and duplicates in the training part: {counts}")
    return films


def require_usable(margins: NDArray[np.float32], films: TrainingFilms, config: AdoptConfig) -> None:
    """Refuse margins, float32 [N], that are not finite, are all alike, or order validation films the wrong way round.

    Raises:
        ConfigError: one of these holds; outputs count as swapped where the 95 % interval of AUROC lies below one half.
    """
    unseen = margins[np.concatenate([films.parts["validation"], films.parts["test"]])]
    if not np.isfinite(unseen).all():
        why = "its weights are finite, its outputs are not: training used another scale, or it diverged"
        raise ConfigError("the network returns NaN or infinity", why=why, fix="another --normalise")
    low, high = float(unseen.min()), float(unseen.max())
    if high - low < ALIKE * max(abs(low), abs(high), 1.0):
        raise ConfigError(
            "the network returns the same margin for every film",
            why=f"its margins on {len(unseen)} films lie between {low:.6g} and {high:.6g}",
            fix="check that the checkpoint is trained, and its normalisation: --normalise, --mean and --std",
        )
    rows, labels = films.parts["validation"], films.labels_of("validation")
    positives = int((labels == 1).sum())
    found = auroc_estimate(auroc(margins[rows], labels), positives=positives, negatives=len(labels) - positives)
    if found.high is not None and found.high < 0.5:
        digits = digits_for(len(labels))
        raise ConfigError(
            f"the network orders the films the wrong way round: AUROC {found.value:.{digits}f} on {len(labels)} films",
            why=f"its 95 % interval ends at {found.high:.{digits}f}, below the 0.5 of chance",
            fix=f"--positive-output {1 - config.positive_output}, or --positive with the other class",
        )


def origin_of(config: AdoptConfig) -> Origin:
    """Return what is stored of where the network came from."""
    checkpoint = {
        "sha256": sha256_file(config.checkpoint),
        "arch": config.arch,
        "normalise": config.normalise_name,
        "training_films_listed": config.trained_on is not None,
    }
    return Origin(stored_arch(config.arch), config.stored(), checkpoint)


# --- split ---
# A split by patient without the checkpoint's training films in validation and test; their list is one of SHA-256
# digests of files, as `sha256sum` prints it.

DIGEST = re.compile(r"^[0-9a-f]{64}(?![0-9a-f])", re.MULTILINE)


def read_digests(path: Path) -> frozenset[str]:
    """Return the SHA-256 at the start of each line.

    Raises:
        ConfigError: no line starts with one.
    """
    found = frozenset(DIGEST.findall(path.read_text(encoding="utf-8", errors="replace")))
    if not found:
        why = "no line of it starts with a SHA-256 of 64 digits"
        raise ConfigError(f"--trained-on {path} lists no film", why=why, fix="sha256sum FILMS > LIST")
    return found


def set_apart(films: TrainingFilms, seen: frozenset[str], *, seed: int, fractions: tuple[float, ...]) -> TrainingFilms:
    """Put the checkpoint's training films into the training part, and divide the rest.

    A film goes with its patient and its duplicates. The rest goes to validation and test, each
    class in the ratio of their fractions; the draw depends on digests and seed alone.

    Args:
        films: of the run; their present split is ignored.
        seen: SHA-256 of the checkpoint's training films.
        seed: of the draw.
        fractions: of training (ignored), validation and test.

    Raises:
        ConfigError: no film is in the list.
        DataError: a part lacks a class.
    """
    files = films.file_digests or films.digests
    known = np.array([not seen.isdisjoint(both) for both in zip(films.digests, files, strict=True)])
    if not known.any():
        why = f"none of its {len(seen)} digests is of a film in --data"
        raise ConfigError("--trained-on matches no film", why=why, fix="sha256sum of the same files as in --data")
    units = _units(films)
    left = [unit for unit in units if not known[unit].any()]
    train = [int(row) for unit in units if known[unit].any() for row in unit]
    rows: dict[str, list[int]] = {"train": train, "validation": [], "test": []}
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
    """Return the rows that stay together: of one patient, or duplicates of each other."""
    patients = [np.flatnonzero(films.patients == patient).tolist() for patient in np.unique(films.patients)]
    duplicates = find_duplicates(films.model_inputs, films.digests).groups
    return [np.array(unit, np.int64) for unit in join_groups(len(films.labels), [*patients, *duplicates])]


def _draw(films: TrainingFilms, unit: NDArray[np.int64], seed: int) -> str:
    first = min(films.digests[row] for row in unit)
    return hashlib.sha256(f"{seed} {first}".encode()).hexdigest()


def _require_both_classes(films: TrainingFilms, parts: dict[str, NDArray[np.int64]]) -> None:
    for part, rows in parts.items():
        for label, name in enumerate(films.names.names):
            if not (films.labels[rows] == label).any():
                raise DataError(
                    f"the {part} part has no film of the class {name}",
                    why="films in --trained-on fill the training part, all others validation and test",
                    fix="more films that the checkpoint was not trained on, or a complete list of those it was",
                )
