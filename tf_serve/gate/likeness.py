"""How much a picture looks like one upright frontal chest film: a small fitted network, in numpy.

`python -m benchmarks.gate_fit` fits it and writes likeness.npz and likeness.json (on which films, with which
command); docs/gate.md says what it can and cannot tell.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tf_serve.gate.features import LENGTH

WEIGHTS = Path(__file__).with_name("likeness.npz")


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """One hidden layer over `describe`'s numbers; a score at or above `threshold` passes."""

    hidden: NDArray[np.float32]  # [LENGTH, units]; the fit's standardisation is folded into it
    hidden_bias: NDArray[np.float32]  # [units]
    output: NDArray[np.float32]  # [units]
    output_bias: float
    threshold: float  # a logit, chosen with pictures that the weights were not fitted on

    def __post_init__(self) -> None:
        units = self.hidden_bias.shape
        if self.hidden.shape != (LENGTH, *units) or self.output.shape != units:
            raise ValueError(f"weights of {self.hidden.shape}, {units} and {self.output.shape} do not fit together")
        values = (self.hidden, self.hidden_bias, self.output, self.output_bias, self.threshold)
        if not all(np.isfinite(value).all() for value in values):
            raise ValueError("weights must be finite")

    @classmethod
    def read(cls, path: Path = WEIGHTS) -> Self:
        """Read the weights that travel with the package."""
        with np.load(path, allow_pickle=False) as arrays:
            weights = {name: arrays[name].astype(np.float32) for name in ("hidden", "hidden_bias", "output")}
            return cls(**weights, output_bias=float(arrays["output_bias"]), threshold=float(arrays["threshold"]))

    def score(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one logit a description, [N] of [N, LENGTH]: the higher, the more like an upright frontal film."""
        units = np.maximum(numbers @ self.hidden + self.hidden_bias, 0)
        scores: NDArray[np.float32] = units @ self.output + np.float32(self.output_bias)
        return scores


@functools.cache
def read_likeness() -> Likeness:
    """Return the weights, read at the first use."""
    return Likeness.read()
