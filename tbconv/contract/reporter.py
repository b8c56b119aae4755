"""How a stage says where it is, without knowing whether a terminal, a pipe or a test listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

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
