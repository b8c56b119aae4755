"""`make deploy-check`: the Dockerfile's own steps in a clean folder, its command started, its manifests read.

python -m deploy.check BUNDLE, or --sbom OUT: the steps alone, and the bill of materials that they leave in the image
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.context import Context
from deploy.dockerfile import Dockerfile, read_dockerfile
from deploy.image import Image
from deploy.manifests import check_manifests
from deploy.sbom import canonical
from deploy.trial import TrialResult, try_once
from tbconv.console import TerminalReporter, print_error
from tbconv.contract.errors import TbconvError

ROOT = Path(__file__).parents[1]
READY_S = 2.0  # the bars of docs/serving-speed.md: a host that wakes the server at the first request, and one of 512 MB
RESIDENT_MB = 220.0
SBOM = "/opt/tbconv/sbom.cdx.json"
STARTS = 3  # the best counts: what else this machine does is no fault of the image


def write_sbom(out: Path) -> int:
    """Build, and keep the bill of materials; 1 where it is not that of the image."""
    say = TerminalReporter().say
    with tempfile.TemporaryDirectory(prefix="tbconv-image-") as folder:
        image = Image(read_dockerfile(ROOT / "Dockerfile"), Context(ROOT), Path(folder))
        image.build()
        shutil.copyfile(image.at(SBOM), out)
        problems = check_sbom(image)
    for problem in problems:
        say(f"failed: {problem}")
    say(f"{out}: what is in the image" if not problems else "the bill of materials is not that of the image")
    return int(bool(problems))


def main(bundle: Path) -> int:
    """Build, start, look, and say what held; 1 where something did not."""
    say = TerminalReporter().say
    dockerfile = read_dockerfile(ROOT / "Dockerfile")
    with tempfile.TemporaryDirectory(prefix="tbconv-image-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # the image's user has to get in
        image, context = Image(dockerfile, Context(ROOT), root), Context(ROOT)
        image.build()
        context.take(bundle, "deploy/models", image.at("/models"))
        image.at("/tmp").chmod(0o1777)  # noqa: S108  (as the image's own)
        sizes = [_size(image.at(place)) for place in ("/opt/tbconv", "/models")]
        say("built: {:.0f} MB of environment, {:.0f} MB of models".format(*sizes))
        tries = [try_once(image, dockerfile, _free_port()) for _ in range(STARTS)]
        unlisted = check_sbom(image)
    problems = [*judge(tries, dockerfile), *unlisted, *check_manifests(ROOT, say)]
    for line in describe(tries):
        say(line)
    for problem in problems:
        say(f"failed: {problem}")
    say("deploy-check passed" if not problems else "deploy-check failed")
    return int(bool(problems))


def check_sbom(image: Image) -> list[str]:
    """Compare the image's bill of materials with what Python finds in the image."""
    command = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    python = image.at("/opt/tbconv") / "bin/python"
    done = subprocess.run([python, "-c", command], check=True, capture_output=True, text=True, env=image.environment())
    held = {canonical(name): version for name, version in (word.split("==") for word in done.stdout.split())}
    components = json.loads(image.at(SBOM).read_text(encoding="utf-8"))["components"]
    listed = {canonical(row["name"]): row["version"] for row in components}
    problems = [
        f"the bill of materials has {listed.get(name)} of {name}, the image has {held.get(name)}"
        for name in sorted(listed.keys() | held.keys())
        if listed.get(name) != held.get(name)
    ]
    bare = [row["name"] for row in components if row["name"] != "tbconv" and not row.get("hashes")]
    unlicensed = [row["name"] for row in components if not row.get("licenses")]
    problems += [f"the bill of materials has no digest of {', '.join(bare)}"] if bare else []
    return problems + ([f"the bill of materials has no licence of {', '.join(unlicensed)}"] if unlicensed else [])


def judge(tries: list[TrialResult], dockerfile: Dockerfile) -> list[str]:
    """Return what does not hold."""
    best, worst = min(seen.ready_s for seen in tries), max(seen.resident_mb for seen in tries)
    held = {
        f"ready after {best:.2f} s, may take {READY_S:g}": best <= READY_S,
        f"{worst:.0f} MB resident, may be {RESIDENT_MB:g}": worst <= RESIDENT_MB,
        "a drawn film got no decision": all(seen.decision for seen in tries),
        "HEALTHCHECK's command failed": all(seen.health == 0 for seen in tries),
        f"{dockerfile.last('STOPSIGNAL').text} did not end it with 0": all(seen.exit == 0 for seen in tries),
        "it ran as root": all(seen.user != 0 for seen in tries),
        f"the log is not JSON: {tries[0].stray[:1]}": not any(seen.stray for seen in tries),
    }
    return [sentence for sentence, holds in held.items() if not holds]


def describe(tries: list[TrialResult]) -> list[str]:
    """Return what was measured."""
    ready = ", ".join(f"{seen.ready_s:.2f}" for seen in tries)
    cpu = min(seen.cpu_s for seen in tries)
    resident, peak = (max(getattr(seen, name) for seen in tries) for name in ("resident_mb", "peak_mb"))
    return [
        f"ready after {ready} s ({cpu:.2f} s of processor time at best), as user {tries[0].user}",
        f"{resident:.0f} MB resident after 8 films, {peak:.0f} MB at most; the film: {tries[0].decision}",
        f"HEALTHCHECK exits {tries[0].health}, SIGTERM ends it with {tries[0].exit}",
    ]


def _size(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) / 1e6


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    asked = arguments.add_mutually_exclusive_group(required=True)
    asked.add_argument("bundle", type=Path, nargs="?")
    asked.add_argument("--sbom", type=Path, metavar="OUT", help="build alone, and write the image's bill of materials")
    given = arguments.parse_args()
    try:
        sys.exit(write_sbom(given.sbom) if given.sbom else main(given.bundle.resolve()))
    except TbconvError as error:
        print_error(error)
        sys.exit(1)
