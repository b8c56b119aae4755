"""How a stage reports its progress, and the disclaimer beside every result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

# --- reporter ---
# How a stage reports progress, independent of whether a terminal, a pipe or a test reads it.

T = TypeVar("T")


class Reporter(Protocol):
    """Where progress goes; `tbconv.console` draws it."""

    def say(self, line: str) -> None:
        """Print one line."""
        ...

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""
        ...


class Silence:
    """The reporter of tests and programs."""

    def say(self, line: str) -> None:
        """Print nothing."""

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:  # noqa: ARG002
        """Yield the items."""
        return iter(items)


# --- disclaimer ---
# Shown beside every result.

DISCLAIMER = (
    "Research tool, not a medical device: a flag calls for a bacteriological test, its absence rules nothing out."
)
LIMITS = (
    DISCLAIMER,
    "Trained and measured on the films that the model card names; other hospitals, devices and ages may differ.",
    "The map shows which regions moved this model's margin, not where disease is.",
)
