"""The two class names, in the one order that logits, thresholds and tables share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """(negative, positive): index 0 and 1 of `logits`."""

    negative: str
    positive: str

    def __post_init__(self) -> None:
        if not self.negative or not self.positive or self.negative == self.positive:
            raise ValueError(f"labels must be two different names, got {self.negative!r}, {self.positive!r}")

    @property
    def names(self) -> tuple[str, str]:
        """Both names in the order of the logits."""
        return (self.negative, self.positive)
