"""What `.dockerignore` lets into a build: the rules of it that this project uses, the last that matches decides."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


class Context:
    """The files that a build sees."""

    def __init__(self, root: Path) -> None:
        self.root = root
        lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
        self._rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    def holds(self, path: str) -> bool:
        """Whether a file, named from the root, is let in."""
        let_in = True
        for rule in self._rules:
            if _matches(path, rule.removeprefix("!")):
                let_in = rule.startswith("!")
        return let_in

    def copy(self, source: str, target: Path) -> int:
        """Copy a file, or what a folder holds, as COPY does; return how many files."""
        place = self.root / source
        files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        kept = [path for path in files if self.holds(path.relative_to(self.root).as_posix())]
        for path in kept:
            goal = target / path.name if place.is_file() else target / path.relative_to(place)
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, goal)
        return len(kept)

    def take(self, bundle: Path, folder: str, target: Path) -> None:
        """Copy a bundle as if it lay in a folder of the context."""
        for path in bundle.rglob("*"):
            within = path.relative_to(bundle)
            if path.is_file() and self.holds(f"{folder}/{bundle.name}/{within.as_posix()}"):
                goal = target / bundle.name / within
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, goal)


def _matches(path: str, rule: str) -> bool:
    """Whether a rule matches a path or a folder above it."""
    places = [path, *(parent.as_posix() for parent in PurePosixPath(path).parents if parent.as_posix() != ".")]
    if rule.startswith("**/"):
        return any(fnmatchcase(PurePosixPath(place).name, rule.removeprefix("**/")) for place in places)
    depth = rule.count("/")
    return any(place.count("/") == depth and fnmatchcase(place, rule) for place in places)
