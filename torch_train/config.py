"""Every number of the recipe, in one frozen config that is printed, stored and compared on resume."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from tbconv.contract.errors import ConfigError, referral_of_option
from tbconv.contract.files import sha256_file
from tbconv.contract.manifest import CHOICES, Choice
from torch_train.model.backbones import BACKBONES

RATE_TRANSFER = 3e-4  # measured on kermany from pretrained weights (../shared/weights/README.md)
RATE_SCRATCH = 1e-3  # measured on kermany from random weights
# Paths, words that run.json keeps, and where else the run is logged: they change no weight.
NOT_STORED = ("data", "out", "weights", "referral", "log_to")
Task = Literal["one-of-n", "multi-label"]
TASKS = ("one-of-n", "multi-label")
LEAST_LABELS = 2
UNKNOWN = -1  # target of a label that the set does not state for a film, or is not certain of
# Of two classes alone, by the field that holds it: why it says nothing of several labels.
OF_TWO_CLASSES = {
    "positive": "none of them is the positive class",
    "label": "each of --names is read as --label reads it",
    "negative": "each label has films of its own that are negative",
    "labels_from_masks": "a mask says nothing of which label it is of",
    "baseline_only": "the baseline has two classes",
    "calibration_films": "int8 is calibrated on held-out films",
}
OF_EACH_LABEL = {
    "target_sensitivity": "of one class of N the largest output decides",
    "operating_point": "of one class of N the largest output decides",
}
LOG_KINDS = ("tensorboard", "mlflow")  # of `--log-to`: the library that writes, and its extra
DISTURB = 0.3  # on folds of kermany and delhi nothing is lost by it, and most flips by harmless changes go: docs/log.md
OF_PIXELS = ("film_identity", "label", "negative", "uncertain", "strict")  # that runs of before know nothing of


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Every number of `tbconv train`."""

    data: Path
    out: Path
    arch: str = "resnet50"  # a key of `BACKBONES`

    patient: str | None = None  # regular expression over file names
    positive: str | None = None  # name of the positive class
    labels_from_masks: bool = False
    task: Task | None = None  # None: two classes
    names: tuple[str, ...] | None = None  # with a task: findings or classes of the set, one an output
    label: str | None = None  # the finding that makes a film positive, where a set has several
    negative: str | None = None  # the finding or class that makes another film negative; the rest is left out
    uncertain: Literal["leave-out", "positive", "negative"] = "leave-out"  # films of which the set is not certain
    strict: bool = False  # refuse a folder that holds anything but films and what tells their labels
    film_identity: Literal["pixels", "file"] = "pixels"  # by what a film is known; "file" in runs that began so
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)  # training, validation, test
    seed: int = 0

    weights: str = "imagenet"  # imagenet | none | a file with torchvision's key names
    fine_tune: str = "all"  # or how many weighted layers, counted from the output
    balance: Literal["loss", "sampler"] = "loss"

    rotation: float = 10.0  # degrees to either side
    shift: float = 0.05  # of the side, in each direction
    zoom: float = 0.1  # 0.1: from 0.9 to 1.1 times
    brightness: float = 0.1  # of the grey scale, up or down
    contrast: float = 0.1  # of the distance from the film's mean
    flip: bool = False  # situs is clinical information
    disturb: float = DISTURB  # share of films that get each of gamma, text, a frame, ... (engine.augment)

    learning_rate: float | None = None  # None: RATE_TRANSFER, or RATE_SCRATCH without weights
    weight_decay: float = 0.05  # decoupled (AdamW); none on biases and BatchNorms
    label_smoothing: float = 0.0
    clip_norm: float = 1.0  # of all gradients together
    batch: int = 32
    epochs: int = 16  # as good as 50 on delhi and no worse than 8 on kermany (benchmarks/results/recipes.csv)
    schedule: Literal["cosine", "plateau"] = "cosine"  # cosine: to zero over the epochs, the last one is selected
    patience: int = 10  # plateau: epochs without a better loss or AUROC until it stops; the best one is selected
    plateau_factor: float = 0.5  # of the learning rate, when the validation loss stops falling
    plateau_patience: int = 4
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    step: Literal["auto", "compiled", "graph", "eager"] = "auto"  # how CUDA runs it; a CPU runs it eagerly
    deterministic: bool = False  # to the bit, on the same kind of device
    film_cache: bool = True  # keep decoded films for the next run

    log_to: tuple[str, ...] = ()  # tensorboard:DIR or mlflow:URI (torch_train.tracking)

    target_sensitivity: float = 0.90
    operating_point: Choice = "best"  # of the thresholds that reach it (torch_train.metrics)
    referral: str | None = None  # what a flag calls for; None: what the labels are known to call for
    baseline_only: bool = False
    calibration_films: int = 128  # of the training part, kept for int8
    heldout_films: int = 512  # test first, then validation, kept for parity

    def __post_init__(self) -> None:
        if self.referral is not None:
            object.__setattr__(self, "referral", referral_of_option(self.referral))
        self._refuse_unknown_words()
        self._refuse_impossible_numbers()
        if self.task is not None:
            self._refuse_other_tasks_options()
        elif self.names is not None:
            why, fix = "two classes have the set's own names", "add --task multi-label or --task one-of-n"
            raise ConfigError("--names without --task", why=why, fix=fix)
        for target in self.log_to:
            kind, _, place = target.partition(":")
            if kind not in LOG_KINDS or not place:  # its place may hold a password, and is not repeated
                raise _refusal("--log-to", f"{kind}:...", "tensorboard:DIR or mlflow:URI")

    @property
    def rate(self) -> float:
        """The learning rate that training starts with."""
        if self.learning_rate is not None:
            return self.learning_rate
        return RATE_SCRATCH if self.weights == "none" else RATE_TRANSFER

    @property
    def outputs(self) -> int:
        """How many outputs the network has: one a name, or those of (negative, positive)."""
        return 2 if self.names is None else len(self.names)

    def stored(self) -> dict[str, Any]:
        """Return what the run folder stores: every number, no path; a weight file by its digest."""
        hidden = (*NOT_STORED, *(OF_PIXELS if self.film_identity == "file" else ()))
        kept = {key: value for key, value in asdict(self).items() if key not in hidden}
        return {**kept, "learning_rate": self.rate, **self._lists(), "weights": self._weights_name()}

    def _lists(self) -> dict[str, Any]:
        """Return tuples as JSON has them."""
        return {"fractions": list(self.fractions), "names": None if self.names is None else list(self.names)}

    def as_begun(self, stored: dict[str, Any]) -> TrainConfig:
        """Return this recipe as a run to be resumed began: by its rule of knowing films, older ones by files.

        Nor did older ones disturb films, so the default does not begin in their middle.
        """
        same = self.disturb != DISTURB or "disturb" in stored
        disturb = self.disturb if same else 0.0
        return replace(self, film_identity=stored.get("film_identity", "file"), disturb=disturb)

    def _weights_name(self) -> str:
        if self.weights in ("imagenet", "none"):
            return self.weights
        path = Path(self.weights)
        return f"file sha256:{sha256_file(path)}" if path.is_file() else "file"

    def _refuse_unknown_words(self) -> None:
        _one_of("--arch", self.arch, tuple(BACKBONES))
        _one_of("--uncertain", self.uncertain, ("leave-out", "positive", "negative"))
        _one_of("--balance", self.balance, ("loss", "sampler"))
        _one_of("--schedule", self.schedule, ("cosine", "plateau"))
        _one_of("--step", self.step, ("auto", "compiled", "graph", "eager"))
        _one_of("--operating-point", self.operating_point, CHOICES)
        _one_of("--precision", self.precision, ("auto", "float32", "bfloat16", "float16"))
        if self.fine_tune != "all" and not (self.fine_tune.isdecimal() and int(self.fine_tune) > 0):
            raise _refusal("--fine-tune", self.fine_tune, "'all' or a number of layers from 1 up")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise _refusal("--device", self.device, "auto, cpu, cuda or cuda:N")

    def _refuse_other_tasks_options(self) -> None:
        """Refuse a task that is none, names that are no outputs, and what says nothing of several labels."""
        names = self.names or ()
        if self.task not in TASKS:
            fix = "--task multi-label, or --task one-of-n"
            fix = f"--task multi-label --names {self.task}" if "," in str(self.task) else fix
            raise ConfigError(f"--task {self.task} is unknown", why=f"there are {', '.join(TASKS)}", fix=fix)
        if len(names) < LEAST_LABELS or len(set(names)) != len(names) or "" in names:
            what, why = f"--names {','.join(names) or 'is missing'}", "each output needs a name of its own"
            fix = "name them, for example --names Atelectasis,Effusion,Pneumonia"
            if len(names) == 1:
                why, fix = "one label is two classes: with it and without it", f"--label {names[0]!r}, without --task"
            raise ConfigError(what, why=why, fix=fix)
        without = OF_TWO_CLASSES | (OF_EACH_LABEL if self.task == "one-of-n" else {})
        own = {one.name: one.default for one in fields(self)}
        if dropped := [name for name in without if getattr(self, name) != own[name]]:
            options = " and ".join(map(_option, dropped))
            why = "; ".join(dict.fromkeys(without[name] for name in dropped))
            raise ConfigError(f"{options} with --task {self.task}", why=why, fix=f"omit {options}")
        if self.task == "multi-label" and self.balance == "sampler":
            why = "a film with several labels has no one class by which to draw it"
            raise ConfigError("--balance sampler with --task multi-label", why=why, fix="--balance loss")

    def _refuse_impossible_numbers(self) -> None:
        _inside("--target-sensitivity", self.target_sensitivity, 0.0, 1.0, open_low=True)
        _inside("--rotation", self.rotation, 0.0, 180.0)
        for name in ("shift", "brightness", "contrast", "disturb", "label_smoothing"):
            _inside(_option(name), getattr(self, name), 0.0, 1.0)
        _inside("--zoom", self.zoom, 0.0, 0.9)
        _inside("--learning-rate", self.rate, 0.0, 10.0, open_low=True)
        _inside("--weight-decay", self.weight_decay, 0.0, 10.0)
        _inside("--plateau-factor", self.plateau_factor, 0.0, 1.0, open_low=True)
        _inside("--clip-norm", self.clip_norm, 0.0, math.inf, open_low=True)
        for name in ("epochs", "patience", "calibration_films", "heldout_films"):
            _inside(_option(name), getattr(self, name), 1, math.inf)
        _inside("--batch", self.batch, 2, math.inf)  # BatchNorm cannot train on one film
        _inside("--plateau-patience", self.plateau_patience, 0, math.inf)
        _inside("--seed", self.seed, 0, 2**63 - 1)
        if min(self.fractions) <= 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise _refusal("fractions", self.fractions, "three positive shares that add up to 1")


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _refusal(option, value, ", ".join(allowed))


def _inside(option: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not (low <= value <= high) or (open_low and value == low) or value == math.inf:
        end = "up" if high == math.inf else f"to {high:g}"
        raise _refusal(option, value, f"a number {'above' if open_low else 'from'} {low:g} {end}")


def _refusal(option: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(
        f"{option} is {value!r}", why=f"it must be {allowed}", fix=f"tbconv train --help explains {option}"
    )
