"""One seeded fault, as every level lists it: what is done wrong, to which file, and where it should be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LEVELS = ("weights", "PyTorch", "ONNX", "Keras", "TFLite", "preprocessing", "serving")
GRAPH_LEVELS = LEVELS[:5]  # faults of a file, which the trace can be asked to place


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its ladder of sizes.

    `spoil` does it. What it is given is the level's own: an ONNX model, a PyTorch network, a Keras model, the bytes of
    a TFLite file, the bytes of a film, the folder of a bundle; then the severity.
    """

    name: str
    level: str
    what: str  # one line for the table
    spoil: Callable[[Any, float], Any]
    path: str = "model.onnx"  # the file of the bundle that is spoilt, of levels where it is one
    nodes: tuple[str, ...] = ()  # ONNX nodes, any of which is the right place; empty where the fault is of no node
    severities: tuple[float, ...] = (1.0,)  # the first is the mutant of the table, all of them are its ladder
    equivalent: str = ""  # why no film can tell it; such a fault must move nothing, and no check may mind it

    def __post_init__(self) -> None:
        if self.level not in LEVELS or not self.severities:
            raise ValueError(f"a fault needs a level of {LEVELS} and a severity, got {self.level!r}, {self.severities}")

    @property
    def rungs(self) -> list[tuple[str, float]]:
        """One (key, severity) a rung; the first key is the fault's own name."""
        keys = [self.name, *(f"{self.name}@{severity:g}" for severity in self.severities[1:])]
        return list(zip(keys, self.severities, strict=True))
