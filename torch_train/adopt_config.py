"""Every number of an adoption, in one frozen config that is printed and stored; nothing in it trains a network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tbconv.contract.errors import ConfigError
from tbconv.contract.files import sha256_file
from torch_train.adopt_archs import OWN, require_known, stored_arch
from torch_train.config import TrainConfig

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

    wished_sensitivity: float = 0.90
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
            wished_sensitivity=self.wished_sensitivity,
            calibration_films=self.calibration_films,
            heldout_films=self.heldout_films,
        )

    def stored(self) -> dict[str, Any]:
        """Return what the run folder keeps: every number, no path; files by their digest."""
        kept = {key: value for key, value in asdict(self).items() if key not in NO_TRACE}
        kept |= {"normalise": self.normalise_name}
        listed = None if self.trained_on is None else sha256_file(self.trained_on)
        return {**kept, "checkpoint_sha256": sha256_file(self.checkpoint), "trained_on_sha256": listed}
