"""Classifiers that are no ONNX file yet, their weights: `timm:NAME`, `torchvision:NAME`, `hf:FOLDER`, `FILE.pt2`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tbconv.contract.errors import ConfigError

Kind = Literal["timm", "torchvision", "hf", "pt2"]
BY_NAME: tuple[Kind, ...] = ("timm", "torchvision")
PREFIXES: tuple[Kind, ...] = (*BY_NAME, "hf")
PROGRAM = ".pt2"
PRETRAINED, RANDOM = "pretrained", "random"  # of --weights: no file
STEP = "convert.formats.torch_to_onnx.of_library:library_to_onnx"
RUNNER = "convert.runners.pytorch:run_library"
WHOLE = 0.999  # of a side: a crop of that is none


@dataclass(frozen=True, slots=True, kw_only=True)
class LibrarySource:
    """Which network a library builds, and with which weights."""

    kind: Kind
    name: str  # of the network; the folder of hf, the file of pt2
    weights: str | None = None  # a file, pretrained or random; None of hf and pt2, which hold theirs
    size: int | None = None  # side of its image in pixels; None takes that of its config

    def __post_init__(self) -> None:
        if self.kind not in BY_NAME:
            if self.weights is not None:
                why = "its weights are in it"
                raise ConfigError(f"--weights {self.weights} for {self}", why=why, fix="omit --weights")
        elif self.weights is None:
            raise ConfigError(
                f"{self} without --weights",
                why="a library's name says how a network is built, not what it has learnt",
                fix="--weights FILE (.safetensors, or .pt of tensors alone), or --weights pretrained, which downloads; "
                "--weights random tries a conversion with a network that knows nothing",
            )
        elif self.weights not in (PRETRAINED, RANDOM) and not Path(self.weights).is_file():
            why = f"there is no such file, and it is neither {PRETRAINED} nor {RANDOM}"
            raise ConfigError(f"--weights {self.weights}", why=why, fix="check the path")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"--size {self.size}", why="it is a side in pixels", fix="--size 224")

    def __str__(self) -> str:
        return Path(self.name).name if self.kind == "pt2" else f"{self.kind}:{self.name}"

    @property
    def file_name(self) -> str:
        """The name of its ONNX."""
        return f"{Path(self.name).stem if self.kind == 'pt2' else Path(self.name).name}.onnx"

    @property
    def places(self) -> Iterator[Path]:
        """Files and folders that it is read from."""
        if self.kind not in BY_NAME:
            yield Path(self.name)
        elif self.weights not in (PRETRAINED, RANDOM):
            yield Path(str(self.weights))

    @property
    def request(self) -> dict[str, Any]:
        """What the child process gets that builds it."""
        return {"kind": self.kind, "network": self.name, "weights": self.weights, "size": self.size}


def kind_of(text: str) -> Kind | None:
    """Return who builds what an argument of `tbconv convert` names; None of a run or an ONNX file."""
    before, _, name = text.partition(":")
    if Path(text).suffix == PROGRAM:
        return "pt2"
    return next((one for one in PREFIXES if before == one and name), None)


def library_of(text: str, weights: str | None, size: tuple[int, int] | None = None) -> LibrarySource | None:
    """Return the network that an argument of `tbconv convert` names, None for a run or an ONNX file.

    Args:
        text: the argument.
        weights: a file, pretrained or random.
        size: height and width in pixels.

    Raises:
        ConfigError: its file is not there, weights are missing, or given where there are some; a size is no square.
    """
    kind = kind_of(text)
    if kind is None and weights is not None:
        raise ConfigError(f"--weights {weights} for {text}", why="its weights are in it", fix="omit --weights")
    if kind is None:
        return None
    if size is not None and size[0] != size[1]:
        what, why = f"--size {size[0]},{size[1]} for {text}", "libraries build networks for squares"
        raise ConfigError(what, why=why, fix=f"--size {max(size)}")
    name = text if kind == "pt2" else text.partition(":")[2]
    if kind not in BY_NAME and not Path(name).exists():
        why = "a file of torch.export.save is needed" if kind == "pt2" else "a folder of save_pretrained is needed"
        raise ConfigError(f"{name} does not exist", why=why, fix="check the path")
    return LibrarySource(kind=kind, name=name, weights=weights, size=None if size is None else size[0])


def not_carried(facts: dict[str, Any]) -> list[str]:
    """Return in plain words what the graph does not do of the library's own preprocessing, and what was decided here.

    Args:
        facts: of the export.
    """
    found = list(facts["notes"])
    given = facts["preprocessing"]
    if facts["weights"].startswith("RANDOM"):
        found.append("Its weights are random: the files show whether it converts, and decide nothing")
    if given is None:
        return found
    asked = f"{given['origin']} asks for"
    if given["mean"] is None or given["std"] is None:
        found.append(
            f"{given['origin']} normalises other channels than the weights' {facts['channels']}: the numbers of the "
            "command are taken instead"
        )
    if given["crop"] < WHOLE:
        resized = round(given["size"] / given["crop"])
        found.append(
            f"{asked} a crop of the middle, {given['size']} of {resized} pixels: films are padded to a square and "
            "shown whole"
        )
    if given["interpolation"] != "bilinear":
        found.append(
            f"{asked} {given['interpolation']} interpolation: films are resized by Pillow's bilinear, the only "
            "resizer here"
        )
    if given["size"] != facts["size"]:
        found.append(f"{asked} {given['size']} pixels a side: --size {facts['size']} was given")
    return found
