"""What `kill -9` at random moments leaves of a command: bytes after the next run, living children, losses."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import RESULTS, append_rows, circumstances
from benchmarks.serve_load import ask_once, request
from tbconv.contract.files import sha256_file

TBCONV = [sys.executable, "-P", "-m", "tbconv"]
SMALL = ["--arch", "resnet10", "--weights", "none", "--fine-tune", "1", "--device", "cpu", "--batch", "8"]
CHILDREN_S = 60.0  # seconds that children are waited for
LAST_RUN_S = 1500.0  # seconds that the run which is not killed may take
EVERY_S = 0.02
READY_S = 30.0  # seconds that a server may take: two workers on two cores take four

Mark = tuple[int, int, int]  # of a file: its number, its size, when it was last written


@dataclass(slots=True)
class Kill:
    """One kill."""

    after_s: float  # from the start of the command
    children: int
    children_s: float  # that they lived on, at most
    left: int  # bytes that lay about after the kill
    begun: bool  # whether it had cleaned up after the kills before
    still: int = 0  # of these, bytes that the next run did not remove
    lost: str = ""
    late: bool = False  # it had ended already


@dataclass(slots=True)
class Place:
    """Where a command works: all of its own, so that whatever lies there is its."""

    root: Path
    known: dict[Path, Mark] = field(default_factory=dict)  # what is meant to be there

    def __post_init__(self) -> None:
        for name in ("out", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def out(self) -> Path:
        """Where it writes."""
        return self.root / "out"

    def environment(self) -> dict[str, str]:
        """Return the environment of the command."""
        return os.environ | {"TMPDIR": str(self.root / "tmp"), "TBCONV_CACHE": str(self.root / "cache")}

    def still(self, left: dict[Path, Mark]) -> dict[Path, Mark]:
        """Return what of these files is still there."""
        now = self.marks()
        return {path: mark for path, mark in left.items() if now.get(path) == mark}

    def marks(self) -> dict[Path, Mark]:
        """Return every file that lies there."""
        found: dict[Path, Mark] = {}
        for folder in (self.out, self.root / "tmp"):
            for parent, _, names in os.walk(folder):
                for name in names:
                    with contextlib.suppress(OSError):
                        facts = Path(parent, name).lstat()
                        found[Path(parent, name)] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one command is killed again and again."""

    name: str
    words: Callable[[Place], list[str]]  # of the command, given what earlier ones left
    longest_s: float  # the last moment of a kill
    ready: Callable[[str], bool]  # whether what the next run said shows that it has cleaned up
    is_meant: Callable[[Path], bool]  # whether a file below `out` is a result and no leftover
    check: Callable[[Place], str]  # what is lost; "" if nothing
    use: Callable[[str], str] = lambda _: ""  # uses it before the kill, given what it said; what is lost


def tree(pid: int) -> list[psutil.Process]:
    """Return all that a process started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that nobody has collected yet does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextlib.contextmanager
def started(words: list[str], place: Place, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command."""
    with log.open("wb") as file:
        child = subprocess.Popen(
            [*TBCONV, *words], env=place.environment(), cwd=place.root, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def kill_once(trial: Trial, place: Place, after_s: float, before: Kill | None, left: dict[Path, Mark]) -> Kill:
    """Start, see what the kills before left if there is time to clean up, kill, and see what is left now.

    Args:
        trial: the command.
        place: where it works.
        after_s: when to kill it.
        before: the kill before, which is told what this start did not remove.
        left: what kills left that no start has had the time to remove; what this one leaves is added.
    """
    log = place.root / "log"
    with started(trial.words(place), place, log) as child:
        start = time.monotonic()
        used, lost = False, ""
        while child.poll() is None and time.monotonic() - start < after_s:
            time.sleep(EVERY_S)
            if used or not trial.ready(said := log.read_text(errors="replace")):
                continue
            if before is not None:
                still = place.still(left)
                before.still = sum(size for _, size, _ in still.values())
                before.lost += "".join(f" still there: {path}" for path in list(still)[:3])
            left.clear()
            lost = trial.use(said)
            used = True
        children = tree(child.pid)
        child.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        child.wait()
        while any(map(alive, children)) and time.monotonic() - killed < CHILDREN_S:
            time.sleep(EVERY_S)
        seconds = time.monotonic() - killed
    left |= {path: mark for path, mark in place.marks().items() if not trial.is_meant(path)}
    late = child.returncode != -signal.SIGKILL
    size = sum(one[1] for one in place.still(left).values())
    failed = f" it ended with {child.returncode}: {log.read_text(errors='replace')[-300:]}" if late else ""
    lost += trial.check(place) + (failed if child.returncode > 0 else "")
    return Kill(round(killed - start, 2), len(children), round(seconds, 2), size, used, lost=lost, late=late)


def kill_often(trial: Trial, place: Place, n: int, draw: random.Random) -> list[Kill]:
    """Kill a command n times, once in each n-th of its time, and let it end once."""
    moments = [(number + draw.random()) / n * trial.longest_s for number in range(n)]
    draw.shuffle(moments)
    kills: list[Kill] = []
    left: dict[Path, Mark] = {}
    for moment in moments:
        late = True
        while late:
            kills.append(kill_once(trial, place, moment, kills[-1] if kills else None, left))
            print(f"{trial.name} {len(kills)}: {kills[-1]}", flush=True)
            late, moment = kills[-1].late and not kills[-1].lost, moment * 0.8  # noqa: PLW2901  # once more, earlier
    log = place.root / "log"
    with started(trial.words(place), place, log) as child:
        if trial.name == "serve":
            while not trial.ready(log.read_text(errors="replace")) and child.poll() is None:
                time.sleep(EVERY_S)
            kills[-1].lost += trial.use(log.read_text(errors="replace"))
            child.terminate()
        code = child.wait(LAST_RUN_S)
    if code != 0:
        kills[-1].lost += f" the last run ended with {code}: {log.read_text(errors='replace')[-300:]}"
    after = {path: mark for path, mark in place.marks().items() if not trial.is_meant(path)}
    kills[-1].still = sum(size for _, size, _ in after.values())
    kills[-1].lost += trial.check(place) + "".join(f" still there: {path}" for path in list(after)[:3])
    return kills


def row(trial: Trial, kills: list[Kill], seed: int) -> dict[str, Any]:
    """Return what is kept of one command's kills."""
    lost = [kill.lost.strip() for kill in kills if kill.lost]
    return circumstances() | {
        "command": trial.name,
        "seed": seed,
        "kills": sum(not kill.late for kill in kills),
        "begun": sum(kill.begun for kill in kills),
        "left_mb_most": round(max(kill.left for kill in kills) / 1e6, 1),
        "left_bytes_after_next_run": sum(kill.still for kill in kills),
        "children_most": max(kill.children for kill in kills),
        "children_s_most": max(kill.children_s for kill in kills),
        "lost": "; ".join(lost),
    }


# --- trials ---


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a folder."""
    return {str(one.relative_to(folder)): sha256_file(one) for one in sorted(folder.rglob("*")) if one.is_file()}


def trial_of_convert(run: Path, place: Place, *, longest_s: float, films: int) -> Trial:
    """Convert over a bundle that is there: it has to stay what it was until it is replaced whole."""
    bundle = place.out / "bundle"
    subprocess.run([*TBCONV, "data", "phantom", str(place.root / "films"), "--n", "40"], check=True)
    tiny = ["train", "--data", str(place.root / "films"), "--out", str(place.root / "tiny"), "--baseline-only"]
    subprocess.run([*TBCONV, *tiny], check=True, stdout=subprocess.DEVNULL, env=place.environment())
    first = ["convert", str(place.root / "tiny"), "--out", str(bundle)]
    subprocess.run([*TBCONV, *first], check=True, stdout=subprocess.DEVNULL, env=place.environment())
    before = digests(bundle)

    def check(_: Place) -> str:
        now = digests(bundle)
        if now == before:
            return ""
        sealed = json.loads((bundle / "manifest.json").read_text())["files"]
        broken = [name for name, one in sealed.items() if now.get(name) != one["sha256"]]
        return f" neither the old bundle nor a new one: {broken[:3]}" if broken else ""

    return Trial(
        name="convert",
        words=lambda place: ["convert", str(run), "--out", str(place.out / "bundle"), "--films", str(films)],
        longest_s=longest_s,
        ready=lambda said: "removed what" in said or "onnx:" in said or "error" in said,
        is_meant=lambda path: path.is_relative_to(bundle),
        check=check,
    )


def trial_of_train(place: Place, epochs: int = 30) -> Trial:
    """Train one run in many pieces; in the end it has to be the run that nobody killed."""
    films = draw_films(place)
    recipe = ["train", "--data", str(films), *SMALL, "--epochs", str(epochs)]
    subprocess.run([*TBCONV, *recipe, "--out", str(place.root / "whole")], check=True, stdout=subprocess.DEVNULL)
    names = ("weights.safetensors", "baseline.safetensors", "metrics.json", "split.json")
    whole = {name: sha256_file(place.root / "whole" / name) for name in names}
    run = place.out / "run"
    seen = [0]

    def words(_: Place) -> list[str]:
        resume = (run / "checkpoint.pt").is_file()
        return [*recipe, "--out", str(run), *(["--resume"] if resume else [])]

    def check(_: Place) -> str:
        lines = (run / "history.jsonl").read_text().splitlines() if (run / "history.jsonl").is_file() else []
        lost = f" {seen[0]} epochs became {len(lines)}" if len(lines) < seen[0] else ""
        seen[0] = max(seen[0], len(lines))
        if (run / "run.json").is_file():
            lost += "".join(f" {name} differs" for name in names if sha256_file(run / name) != whole[name])
        return lost

    return Trial(
        name="train",
        words=words,
        longest_s=24.0,
        ready=lambda said: "device:" in said or "error" in said,
        is_meant=lambda path: path.parent == run and not path.name.startswith("."),
        check=check,
    )


def trial_of_evaluate(place: Place) -> Trial:
    """Evaluate in many pieces, two folds at a time; in the end its predictions have to be those that nobody killed."""
    films = draw_films(place)
    recipe = [
        "evaluate",
        "--data",
        str(films),
        *SMALL,
        "--epochs",
        "2",
        "--folds",
        "5",
        "--repeats",
        "2",
        "--jobs",
        "2",
    ]
    subprocess.run([*TBCONV, *recipe, "--out", str(place.root / "whole")], check=True, stdout=subprocess.DEVNULL)
    whole, out = sha256_file(place.root / "whole" / "predictions.json"), place.out / "evaluation"
    seen = [0]

    def words(_: Place) -> list[str]:
        return [*recipe, "--out", str(out), *(["--resume"] if (out / "terms.json").is_file() else [])]

    def check(_: Place) -> str:
        done = len(list(out.glob("folds/*/fold.json")))
        lost = f" {seen[0]} folds became {done}" if done < seen[0] else ""
        seen[0] = max(seen[0], done)
        made = out / "predictions.json"
        return lost + (" predictions differ" if made.is_file() and sha256_file(made) != whole else "")

    return Trial(
        name="evaluate",
        words=words,
        longest_s=30.0,
        ready=lambda said: "protocol:" in said or "error" in said,
        is_meant=lambda path: path.is_relative_to(out) and not path.name.startswith("."),
        check=check,
    )


def trial_of_sign(bundle: Path, place: Place) -> Trial:
    """Sign a bundle: the signature is the old one or a new one, whole."""
    key, signature = place.root / "key.pem", place.out / "bundle.sig"
    subprocess.run([*TBCONV, "sign", "--new-key", str(key)], check=True, stdout=subprocess.DEVNULL)

    def check(_: Place) -> str:
        if not signature.exists():
            return ""
        try:
            json.loads(signature.read_text())
        except ValueError as error:
            return f" half a signature of {signature.stat().st_size} bytes: {error}"
        return ""

    return Trial(
        name="sign",
        words=lambda _: ["sign", str(bundle), "--key", str(key), "--out", str(signature)],
        longest_s=6.0,
        ready=lambda said: "signature:" in said or "error" in said,
        is_meant=lambda path: path == signature,
        check=check,
    )


def trial_of_serve(bundle: Path, _: Place, *, workers: int) -> Trial:
    """Serve: the next start has to become ready, and no file of the bundle may change."""
    whole = {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}

    def use(said: str) -> str:
        ports = [word.rpartition(":")[2] for word in said.split() if word.startswith("http://127.0.0.1:")]
        if not ports:
            return f" it did not start: {said[-300:]}"
        end = time.monotonic() + READY_S
        while ask_once(int(ports[0]), request("/v2/health/ready", method="GET")).status != 200:
            if time.monotonic() > end:
                return f" it was not ready within {READY_S:.0f} s"
            time.sleep(EVERY_S)
        return ""

    def check(_: Place) -> str:
        return "" if {path: path.stat().st_mtime_ns for path in bundle.rglob("*")} == whole else " the bundle changed"

    return Trial(
        name="serve",
        words=lambda _: ["serve", str(bundle), "--port", "0", "--workers", str(workers)],
        longest_s=16.0,
        ready=lambda said: "answered by" in said or "error" in said,
        is_meant=lambda _: False,
        check=check,
        use=use,
    )


def draw_films(place: Place) -> Path:
    """Draw phantoms to train on."""
    films = place.root / "films"
    if not films.is_dir():
        subprocess.run([*TBCONV, "data", "phantom", str(films), "--n", "40"], check=True)
    return films


def main() -> None:
    """Kill each command, print what it left, and append a row a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="Run folder of a ResNet50, for convert.")
    parser.add_argument("bundle", type=Path, help="Bundle, for sign and serve.")
    parser.add_argument("--n", type=int, default=20, help="Kills of each command.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", default="convert,train,evaluate,sign,serve")
    parser.add_argument("--longest", type=float, default=120.0, help="Seconds in which a conversion makes all formats.")
    parser.add_argument("--films", type=int, default=16, help="Films that the conversion is compared on.")
    parser.add_argument("--workers", type=int, default=2, help="Of serve.")
    parser.add_argument("--json", action="store_true", help="Print the rows, and append none.")
    words = parser.parse_args()
    draw = random.Random(words.seed)
    trials: dict[str, Callable[[Place], Trial]] = {
        "convert": partial(trial_of_convert, words.run.absolute(), longest_s=words.longest, films=words.films),
        "train": trial_of_train,
        "evaluate": trial_of_evaluate,
        "sign": partial(trial_of_sign, words.bundle.absolute()),
        "serve": partial(trial_of_serve, words.bundle.absolute(), workers=words.workers),
    }
    rows = []
    for name in words.commands.split(","):
        root = Path(tempfile.mkdtemp(prefix=f"kill-{name}-"))
        try:
            place = Place(root)
            trial = trials[name](place)
            rows.append(row(trial, kill_often(trial, place, words.n, draw), words.seed))
            print(json.dumps(rows[-1], indent=2), flush=True)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    if not words.json:
        append_rows(RESULTS / "kill_commands.csv", rows)


if __name__ == "__main__":
    main()
