"""What `tbconv convert MODEL.onnx` does: one description, refused where it contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convert.foreign.normalise import check_choice
from tbconv.contract.errors import ConfigError

FILMS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignConfig:
    """Which file, which films, and what is known of the network."""

    onnx: Path
    out: Path
    calibration: Path  # folder of films: some calibrate int8, others are what every format must answer
    normalise: str | None = None  # None assumes torchvision's (three channels) or x / 255 (one)
    mean: tuple[float, ...] | None = None  # of x / 255
    std: tuple[float, ...] | None = None
    films: int = FILMS  # that are compared, at most
    keep_float: tuple[str, ...] | None = None  # None keeps the head where that is not most of the weights
    labels: tuple[str, ...] = ()  # names of the classes, in the order of the output

    def __post_init__(self) -> None:
        check_choice(self.normalise, self.mean, self.std)
        if self.films < 1:
            raise ConfigError(f"--films {self.films}", why="parity cannot pass on nothing", fix="--films 64")
        if len(set(self.labels)) != len(self.labels) or "" in self.labels:
            said = ",".join(self.labels)
            raise ConfigError(f"--labels {said}", why="each class needs a name of its own", fix="--labels normal,tb")
        root, beside = self.out.resolve(), self.onnx.resolve()
        if beside.is_relative_to(root) or self.calibration.resolve().is_relative_to(root):
            why = "the folder is replaced whole, and with it what is read from it"
            raise ConfigError(f"--out {self.out} holds what is converted", why=why, fix="choose another --out")
