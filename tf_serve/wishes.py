"""What the operator asked for, and what tripped: kept apart from the models' folder, and the same for all workers.

Workers are processes; a request to load, unload or roll back reaches one of them. So it is written
into a small file in the server's own folder, and every worker looks there as often as at the models.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import read_json
from tbconv.contract.files import write_json


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to hold for models by name, and for files by digest."""

    unloaded: tuple[str, ...] = ()
    aside: dict[str, tuple[str, ...]] = field(default_factory=dict)  # versions that are not to be the current one
    asked: dict[str, int] = field(default_factory=dict)  # how often a model was loaded by hand: each opens it again
    tripped: dict[str, str] = field(default_factory=dict)  # SHA-256 of a dropped file: the reason

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Wishes:
        """Read what `asdict` wrote."""
        aside = {name: tuple(versions) for name, versions in value["aside"].items()}
        return cls(tuple(value["unloaded"]), aside, dict(value["asked"]), dict(value["tripped"]))


class WishBook:
    """The one place where wishes are read and changed."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the book.

        Args:
            folder: shared by all workers; None keeps the wishes in this process.
        """
        self._file = folder and folder / "wishes.json"
        self._lock = folder and folder / "wishes.lock"
        self._own = Wishes()

    def read(self) -> Wishes:
        """Return what holds now."""
        if self._file is None or not self._file.is_file():
            return self._own
        return Wishes.from_json(read_json(self._file))

    def change(self, how: Callable[[Wishes], Wishes]) -> Wishes:
        """Replace what holds by what `how` makes of it, one process at a time."""
        with self._alone():
            wishes = how(self.read())
            if self._file is None:
                self._own = wishes
            else:
                write_json(self._file, asdict(wishes))
        return wishes

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
