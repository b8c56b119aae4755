"""The run folder: what training leaves behind, and all that conversion needs without the films."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import read_json
from tbconv.contract.calibration import Calibration
from tbconv.contract.errors import BundleError
from tbconv.contract.files import sha256_bytes, write_json
from tbconv.contract.labels import Labels
from tbconv.contract.manifest import Readout
from tbconv.contract.threshold import OperatingPoint

RUN = "run.json"  # RunFacts: written last, so a folder with it is a finished run
CONFIG = "train_config.json"
HISTORY = "history.jsonl"
METRICS = "metrics.json"
WEIGHTS = "weights.safetensors"  # float32: XrayNetwork's state of the kept epoch, or AdoptedNetwork's
BASELINE = "baseline.safetensors"  # weight [784], bias [1]
SPLIT = "split.json"
CHECKPOINT = "checkpoint.pt"
CALIBRATION_FILMS = "calibration.npz"  # of the training part: squares uint8 [N, 224, 224], labels int64 [N]
HELDOUT_FILMS = "heldout.npz"  # test films first, then validation: squares, labels, part


@dataclass(frozen=True, slots=True)
class RunFacts:
    """run.json: what the weights mean."""

    name: str
    arch: str | None  # resnet50, or torchvision-NAME if adopted; None where only the baseline was fitted
    labels: Labels
    readouts: dict[str, Readout]  # by network: trained, baseline
    synthetic: bool
    provenance: dict[str, Any]  # commit, packages, machine, data digest, split digest


@dataclass(frozen=True, slots=True)
class Films:
    """Preprocessed films and their labels; no names, no patients."""

    squares: NDArray[np.uint8]  # [N, 224, 224]
    labels: NDArray[np.int64]  # [N], 1 positive
    part: NDArray[np.str_]  # [N], train | test | validation

    @property
    def digest(self) -> str:
        """SHA-256 over pixels and labels."""
        return sha256_bytes(self.squares.tobytes() + self.labels.tobytes())


def write_run(folder: Path, facts: RunFacts) -> None:
    """Write run.json."""
    write_json(folder / RUN, asdict(facts))


def read_run(folder: Path) -> RunFacts:
    """Read run.json.

    Raises:
        BundleError: the folder is no finished run.
    """
    if not (folder / RUN).is_file():
        begun = (folder / CHECKPOINT).is_file()
        raise BundleError(
            f"{folder} holds no finished run",
            why=f"it has a checkpoint but no {RUN}: training stopped early" if begun else f"it has no {RUN}",
            fix=f"tbconv train --data DIR --out {folder}" + (" --resume" if begun else ""),
        )
    value = read_json(folder / RUN)
    try:
        return RunFacts(
            **{key: value[key] for key in ("name", "arch", "synthetic", "provenance")},
            labels=Labels(**value["labels"]),
            readouts={network: _readout(row) for network, row in value["readouts"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        what = f"{folder / RUN} cannot be understood"
        fix = "train again: tbconv train --data DIR --out RUN"
        raise BundleError(what, why=f"{type(error).__name__}: {error}", fix=fix) from error


def _readout(row: dict[str, Any]) -> Readout:
    return Readout(Calibration(**row["calibration"]), OperatingPoint(**row["operating_point"]))


def write_films(path: Path, films: Films) -> None:
    """Write films as a compressed .npz without pickles, whole or not at all."""
    temporary = path.with_name(f".{path.name}")  # a name that ends in .npz, or numpy appends it
    np.savez_compressed(temporary, squares=films.squares, labels=films.labels, part=films.part)
    temporary.replace(path)


def read_films(path: Path) -> Films:
    """Read films.

    Raises:
        BundleError: the file is missing or not such a file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Films(arrays["squares"], arrays["labels"], arrays["part"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # all numpy's, on damage
        what = f"{path} holds no films"
        fix = "train again: tbconv train --data DIR --out RUN"
        raise BundleError(what, why=f"{type(error).__name__}: {error}", fix=fix) from error
