"""The image's steps in a folder instead of a container: paths of the image become paths below it.

Stages share the folder. What the last one does not take over from the one before is deleted before anything
is started, so that a file which the image would lack is lacking here too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.context import Context
from deploy.dockerfile import Dockerfile, Step
from tbconv.contract.errors import ConfigError, SetupError

BASE = "python:3.12-slim"
PLACES = ("/opt/tbconv", "/opt/build", "/source", "/models", "/tmp")  # noqa: S108  (the image's, not this machine's)
_PLACE = re.compile(rf"(?<![\w/.])(?:{'|'.join(PLACES)})(?=[/:\"'\s]|$)")
_LEFT = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*", "*.a", "tkinter", "idlelib")
_KEPT = re.compile(r"PIP_\w+|\w+_proxy|\w+_PROXY|SSL_CERT_\w+|HOME|LANG")  # of this machine: how pip reaches its index


class Image:
    """An image that is a folder."""

    def __init__(self, dockerfile: Dockerfile, context: Context, root: Path) -> None:
        self._dockerfile, self._context, self.root = dockerfile, context, root
        self._cwd = root

    def build(self) -> None:
        """Run all steps; ConfigError or SetupError where one cannot be run or fails."""
        self._bring_base()
        *before, final = self._dockerfile.stages
        for stage in before:
            self._run_stage(stage)
        taken = [step.words[0] for step in final if step.word == "COPY" and "from" in step.flags]
        for place in PLACES:
            if place not in taken:
                shutil.rmtree(self.at(place), ignore_errors=True)
        self.at("/tmp").mkdir()  # noqa: S108
        self._run_stage(final)

    def at(self, path: str) -> Path:
        """Return where a path of the image lies here."""
        return self.root / path.removeprefix("/")

    def words(self, text: str) -> str:
        """Return a text with the image's paths replaced."""
        return _PLACE.sub(lambda found: str(self.at(found[0])), text)

    def environment(self, **more: str) -> dict[str, str]:
        """Return what ENV sets, over the base image's path."""
        base = f"{self.root / 'base/bin'}:/usr/bin:/bin"
        given = {name: self.words(value) for name, value in self._dockerfile.environment.items()}
        libraries = {"LD_LIBRARY_PATH": str(self.root / "base/lib")}  # a Python that was moved looks where it was built
        return {name: value.replace("$PATH", base) for name, value in given.items()} | libraries | more

    def _bring_base(self) -> None:
        """Copy this Python: what is above its own folder may be closed to the image's user."""
        home = Path(sys.base_prefix)
        if not (home / "bin/python3.12").is_file():
            raise SetupError(f"{home} has no python3.12", why=f"it stands for {BASE}", fix="make deploy-check")
        for part in ("bin", "lib"):
            shutil.copytree(home / part, self.root / "base" / part, symlinks=True, ignore=_LEFT)

    def _run_stage(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.word == "FROM" and step.words[0].split("@")[0] != BASE:
                raise ConfigError(f"the image is made from {step.words[0]}", why=f"here it is {BASE}", fix="see BASE")
            if step.word == "WORKDIR":
                self._cwd = self.at(step.text)
                self._cwd.mkdir(parents=True, exist_ok=True)
            if step.word == "COPY":
                self._copy(step)
            if step.word == "RUN":
                self._run(step)

    def _copy(self, step: Step) -> None:
        *sources, target = step.words
        if "from" in step.flags:
            if sources != [target]:
                raise ConfigError(
                    f"COPY moves {sources[0]} to {target}", why="stages share a folder", fix="keep the path"
                )
            return
        goal = self.at(target) if target.startswith("/") else self._cwd / target
        for source in sources:
            if not self._context.copy(source, goal):
                raise ConfigError(
                    f"COPY finds no {source}", why=".dockerignore keeps it out, or it is not there", fix="!"
                )

    def _run(self, step: Step) -> None:
        kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        environment = kept | self._dockerfile.arguments | {"PATH": f"{self.root / 'base/bin'}:/usr/bin:/bin"}
        command = ["sh", "-ec", self.words(step.text)]
        done = subprocess.run(
            command, cwd=self._cwd, env=environment, check=False, capture_output=True, text=True, timeout=900
        )
        if done.returncode:
            raise SetupError(f"RUN {step.text} failed", why=done.stderr.strip()[-800:], fix="run it by hand")
