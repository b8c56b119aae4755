"""Which shards of a run are finished: a line each, appended once the shard is on the disk under its name.

A killed run leaves a shard without a line, which is written again, or half a line, which is dropped. Shards are made of
fixed films in a fixed order, so what is written again has the bytes that it would have had.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tbconv.contract.errors import DataError
from tbconv.contract.files import disk_errors_stated

LEDGER = "ledger.jsonl"


@dataclass(frozen=True, slots=True)
class Finished:
    """One shard that is on the disk."""

    number: int
    rows: int
    bytes: int
    sha256: str  # of the file
    seconds: Mapping[str, float] = field(default_factory=dict)  # of all its films, by stage


class Ledger:
    """The finished shards of a run; one process at a time has it open (`only_writer`)."""

    def __init__(self, results: Path) -> None:
        """Open it, or begin it.

        Args:
            results: folder of the run.

        Raises:
            DataError: it holds something else than lines of ours.
        """
        self._place = results / LEDGER
        with disk_errors_stated(self._place):
            self._file = os.open(self._place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(os.dup(self._file), "rb") as file:
            data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the line that was being written when the process was killed
            os.ftruncate(self._file, whole)
        os.lseek(self._file, 0, os.SEEK_END)
        try:
            lines = [Finished(**json.loads(line)) for line in data[:whole].splitlines()]
        except (ValueError, TypeError) as error:
            os.close(self._file)
            why, fix = "a line of it is not one that tbconv writes", "restore it, or score into another folder"
            raise DataError(f"{self._place} cannot be understood", why=why, fix=fix) from error
        self.finished: dict[int, Finished] = {one.number: one for one in lines}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def add(self, shard: Finished) -> None:
        """Record a shard that is on the disk; return once the line is, too."""
        with disk_errors_stated(self._place):
            line = json.dumps(asdict(shard), sort_keys=True).encode() + b"\n"
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        self.finished[shard.number] = shard

    def check(self, place_of: Mapping[int, Path]) -> list[int]:
        """Hold the shards to what was recorded, and return those that are missing, to be written again.

        Args:
            place_of: where each shard lies, by its number.

        Raises:
            DataError: one was altered.
        """
        missing = []
        for number, record in self.finished.items():
            place = place_of[number]
            try:
                with place.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                missing.append(number)
                continue
            if found != record.sha256:
                raise DataError(
                    f"{place} is not the file that was written",
                    why=f"it has digest {found[:12]}, the ledger says {record.sha256[:12]}",
                    fix="restore it, or remove it and run the same command again: its films are then scored anew",
                )
        for number in missing:
            del self.finished[number]
        return missing
