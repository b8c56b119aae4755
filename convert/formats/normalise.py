"""How a third-party network expects its grey levels: one description for the graph and for the reference's numpy.

The graph gets it as constants (convert.formats.onnx_wrap.front), the reference as prepared input. Each computes it by
itself, so that a fault in the graph's preprocessing shows as a difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ConfigError

# torchvision's recipe for weights trained on ImageNet (torchvision.transforms._presets.ImageClassification).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WHITE = 255.0
NAMES = ("imagenet", "unit", "none")


@dataclass(frozen=True, slots=True)
class Normalise:
    """(x / white - mean) / std, channel by channel; `none` leaves 0..255 as it is."""

    name: str  # imagenet, unit, none or given
    mean: tuple[float, ...]  # one a channel, of x / white
    std: tuple[float, ...]
    assumed: bool = False  # none was given
    white: float = WHITE

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise ConfigError(
                f"--mean has {len(self.mean)} numbers, --std {len(self.std)}",
                why="each channel needs one of both",
                fix="--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
            )
        if not all(math.isfinite(one) for one in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise ConfigError(
                f"--mean {_words(self.mean)} --std {_words(self.std)}",
                why="a mean must be finite, a deviation finite and above 0",
                fix="give both as shares of white: --std 0.229, not 58.4",
            )

    @property
    def scale(self) -> NDArray[np.float64]:
        """What a grey level is multiplied by, float64 [C]."""
        scale: NDArray[np.float64] = 1.0 / (self.white * np.array(self.std))
        return scale

    @property
    def offset(self) -> NDArray[np.float64]:
        """What is then added, float64 [C]."""
        offset: NDArray[np.float64] = -np.array(self.mean) / np.array(self.std)
        return offset

    @property
    def changes_nothing(self) -> bool:
        """Whether the network takes 0..255 as it is."""
        return bool((self.scale == 1).all() and (self.offset == 0).all())

    def __str__(self) -> str:
        if self.name == "none":
            return "grey levels 0..255 as they are"
        named = "" if self.name == "given" else f"{self.name}: "
        return f"{named}(x / {self.white:g} - ({_words(self.mean)})) / ({_words(self.std)})"


def choose_normalise(
    channels: int,
    *,
    name: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    whole: bool = False,
) -> Normalise:
    """Return what was given, or what is assumed: torchvision's for three channels, x / 255 for one.

    Args:
        channels: of the network.
        name: of NAMES.
        mean: instead, with `std`.
        std: instead, with `mean`.
        whole: the network takes whole numbers (uint8), so grey levels as they are: nothing is assumed.

    Raises:
        ConfigError: an unknown name, numbers that do not fit the channels, or that make fractions of whole numbers.
    """
    if whole:
        if mean is not None or name not in (None, "none"):
            why = "it takes uint8: 0..255 as they are stored, and would lose the fractions that a normalisation makes"
            what = "--mean and --std" if mean is not None else f"--normalise {name}"
            raise ConfigError(f"{what} for a network of whole numbers", why=why, fix="--normalise none, or omit it")
        return Normalise("none", (0.0,) * channels, (1.0,) * channels, white=1.0)
    if mean is not None and std is not None:
        return Normalise("given", _for_channels(mean, channels, "--mean"), _for_channels(std, channels, "--std"))
    chosen = name or ("imagenet" if channels == 3 else "unit")
    if chosen == "imagenet":
        if channels != 3:
            what = f"--normalise imagenet for a network of {channels} channel"
            why = "ImageNet's figures are those of red, green and blue"
            raise ConfigError(what, why=why, fix="--normalise unit, or --mean and --std with one number")
        return Normalise(chosen, IMAGENET_MEAN, IMAGENET_STD, assumed=name is None)
    white = 1.0 if chosen == "none" else WHITE
    return Normalise(chosen, (0.0,) * channels, (1.0,) * channels, assumed=name is None, white=white)


def check_choice(name: str | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    """Refuse what cannot be meant, before any file is read.

    Raises:
        ConfigError: an unknown name, one of --mean and --std alone, or both ways at once.
    """
    if name is not None and name not in NAMES:
        known = ", ".join(NAMES)
        raise ConfigError(f"--normalise {name} is unknown", why=f"known are {known}", fix="or give --mean and --std")
    if (mean is None) != (std is None):
        there, missing = ("--mean", "--std") if std is None else ("--std", "--mean")
        raise ConfigError(f"{there} without {missing}", why="both belong together", fix=f"add {missing}")
    if mean is not None and name is not None:
        raise ConfigError(
            f"--normalise {name} with --mean and --std",
            why="they say the same thing twice",
            fix="omit one of them",
        )


def prepare(model_inputs: NDArray[np.uint8], normalise: Normalise) -> NDArray[np.float32]:
    """Return what the given file itself is fed with: computed in float64, rounded once.

    Args:
        model_inputs: uint8 [N, H, W].
        normalise: of as many channels as the network has.

    Returns:
        float32 [N, C, H, W].
    """
    grey = np.repeat(model_inputs[:, None].astype(np.float64), len(normalise.mean), axis=1)
    scale, offset = (one[:, None, None] for one in (normalise.scale, normalise.offset))
    prepared: NDArray[np.float32] = (grey * scale + offset).astype(np.float32)
    return prepared


def _for_channels(values: tuple[float, ...], channels: int, option: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        what = f"{option} has {len(values)} numbers, the network {channels} channels"
        raise ConfigError(what, why="each channel needs one", fix=f"give {channels}, or one for all")
    return values if len(values) == channels else values * channels


def _words(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
