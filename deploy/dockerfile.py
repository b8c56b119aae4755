"""The Dockerfile read as data, so that a check without Docker runs the image's own steps and none that drifted away."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tbconv.contract.errors import ConfigError

KNOWN = frozenset(
    ("ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD")
)


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction."""

    word: str  # FROM, RUN ...
    text: str  # what follows, continued lines joined

    @property
    def flags(self) -> dict[str, str]:
        """Return `--name=value` at its head."""
        words = [word for word in self.text.split() if word.startswith("--")]
        return dict(word.removeprefix("--").split("=", 1) for word in words)

    @property
    def words(self) -> list[str]:
        """Return its arguments, flags left out; of a JSON list the items."""
        rest = " ".join(word for word in self.text.split() if not word.startswith("--"))
        return list(json.loads(rest)) if rest.startswith("[") else shlex.split(rest)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The stages of an image, the last one being what runs."""

    stages: tuple[tuple[Step, ...], ...]
    arguments: dict[str, str]  # of the stages, by name: what they are where a build gives none

    @property
    def final(self) -> tuple[Step, ...]:
        """Return the steps of what runs."""
        return self.stages[-1]

    def last(self, word: str) -> Step:
        """Return the last such step of what runs: as Docker does, it holds alone."""
        return next(step for step in reversed(self.final) if step.word == word)

    @property
    def command(self) -> list[str]:
        """Return what is started."""
        return _exec_form(self.last("CMD").text)

    @property
    def health(self) -> list[str]:
        """Return what asks whether the server is well."""
        return _exec_form(self.last("HEALTHCHECK").text.split("CMD", 1)[1].strip())

    @property
    def environment(self) -> dict[str, str]:
        """Return what ENV sets, as written."""
        pairs = [word.split("=", 1) for step in self.final if step.word == "ENV" for word in step.words]
        return dict(pairs)


def read_dockerfile(path: Path) -> Dockerfile:
    """Read a Dockerfile of the forms that this project uses; an argument has the value that it has by default.

    Raises:
        ConfigError: an instruction that the check would pass over in silence.
    """
    stages: list[list[Step]] = []
    arguments: dict[str, str] = {}  # of FROM
    of_stages: dict[str, str] = {}
    for line in _joined(path.read_text(encoding="utf-8")):
        word, _, text = line.partition(" ")
        if word not in KNOWN:
            why = "deploy-check would not run it, and would prove another image"
            raise ConfigError(f"{path.name} has {word}", why=why, fix="teach it to deploy/image.py, or do without")
        if word == "ARG":
            name, given, value = text.strip().partition("=")
            if not given or not (stages or value):
                why = "without a value of its own a build here has none for it"
                raise ConfigError(f"{path.name} has ARG {name}", why=why, fix=f"ARG {name}=VALUE")
            (of_stages if stages else arguments)[name] = value
            continue
        if word == "FROM":
            stages.append([])
            text = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], found[0]), text)
        stages[-1].append(Step(word, text.strip()))
    return Dockerfile(tuple(map(tuple, stages)), of_stages)


def _joined(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def _exec_form(text: str) -> list[str]:
    return list(json.loads(text))
