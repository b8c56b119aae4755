"""What is heard of a fold while many are fitted: everything of the first, of the others where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tbconv.contract.reporter import Reporter, Silence

T = TypeVar("T")


class Notes(Silence):
    """Writes down what is said, for another process to say."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class FoldVoice:
    """Names the fold in every bar; its lines are said for the first fold alone, since all are fitted alike."""

    def __init__(self, reporter: Reporter, *, name: str, speaks: bool) -> None:
        self._reporter, self._name, self._speaks = reporter, name, speaks

    def say(self, line: str) -> None:
        """Print one line of the first fold."""
        if self._speaks:
            self._reporter.say(f"  {line}")

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""
        return self._reporter.track(items, title=f"{self._name}, {title}", total=total)
