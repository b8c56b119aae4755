"""golden.npz: inputs that no patient stands behind, and what every format answered to them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.classifier import Prediction
from tbconv.contract.errors import ArtefactError

GOLDEN = "golden.npz"
REFERENCE = "PyTorch float32"  # followed by the network in brackets: the witness that all others are held to


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs by name, and the answers of each witness."""

    names: tuple[str, ...]
    squares: NDArray[np.uint8]  # [M, 224, 224]
    answers: Mapping[str, Prediction]  # by witness name


def write_golden(path: Path, golden: Golden) -> None:
    """Write arrays without pickles."""
    arrays: dict[str, Any] = {"names": np.array(golden.names), "squares": golden.squares}
    for witness, answer in golden.answers.items():
        for output in ("logits", "probability", "evidence"):
            array = getattr(answer, output)
            if array is not None:
                arrays[f"{witness}|{output}"] = array
    np.savez_compressed(path, **dict(sorted(arrays.items())))  # in one order, so that it repeats


def read_golden(path: Path) -> Golden:
    """Read golden.npz; ArtefactError if it is not one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            witnesses = {key.split("|")[0] for key in arrays.files if "|" in key}
            answers = {
                name: Prediction(
                    arrays[f"{name}|logits"], arrays[f"{name}|probability"], arrays.get(f"{name}|evidence")
                )
                for name in witnesses
            }
            return Golden(tuple(arrays["names"].tolist()), arrays["squares"], answers)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # all numpy's, on damage
        what = f"{path} holds no golden inputs"
        fix = "tbconv convert RUN --out BUNDLE, or restore the file"
        raise ArtefactError(what, why=f"{type(error).__name__}: {error}", fix=fix) from error
