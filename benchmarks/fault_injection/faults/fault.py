"""One fault, as every level lists it: what is wrong, in which file, and where it should be located."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LEVELS = ("weights", "PyTorch", "ONNX", "Keras", "TFLite", "preprocessing", "serving", "runtime", "verdict")
GRAPH_LEVELS = LEVELS[:5]  # faults of a file, which the trace can locate


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its severities.

    `inject` makes it. Its first argument depends on the level: an ONNX model, a PyTorch network, a Keras model,
    the bytes of a TFLite file, the bytes of a film, the folder of a bundle (serving; runtime: it returns a target that
    runs its files), nothing (verdict: it draws what was measured); the second is the severity.
    """

    name: str
    level: str
    what: str  # one line for the table
    inject: Callable[[Any, float], Any]
    path: str = "model.onnx"  # the file of the bundle that gets it, where the level has one
    nodes: tuple[str, ...] = ()  # ONNX nodes, any of which is the right location; empty where it belongs to no node
    severities: tuple[float, ...] = (1.0,)  # the first is the mutant of the table
    equivalent: str = ""  # why no output can show it; such a fault must move nothing, and no check may catch it

    def __post_init__(self) -> None:
        if self.level not in LEVELS or not self.severities:
            raise ValueError(f"a fault needs a level of {LEVELS} and a severity, got {self.level!r}, {self.severities}")

    @property
    def trials(self) -> list[tuple[str, float]]:
        """One (key, severity) for each trial; the first key is the fault's own name."""
        keys = [self.name, *(f"{self.name}@{severity:g}" for severity in self.severities[1:])]
        return list(zip(keys, self.severities, strict=True))
