"""Films a second of `tbconv score`, against a bare loop on as many processes and against the script that one writes.

All take turns, round after round, each in a process tree of its own; a ratio is taken within a round, where all met the
same machine, and its median over the rounds is the claim. What each takes to start is a column of its own.

    python -m benchmarks.score BUNDLE FILMS --n 2000 --rounds 5

FILMS is a folder of real films; the turn's folder holds N of them under new ids, as links. --artefact names the file
that answers: int8, say, on a processor for which the certificate does not propose it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benchmarks.results import RESULTS, append_rows, circumstances
from tf_serve.score.run import ENGINES

ROOT = Path(__file__).parents[1]
BARE, SCRIPT = "bare loop", "TensorFlow script"
BATCH = 32  # of the script
SHARDS_OF_A_TURN = 20
OF_BARE, OF_SCRIPT = 0.95, 3.0  # bars: an engine's share of the bare loop, and how many times the script
OF_ENGINE = {"local": OF_BARE, "ray": 0.9}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took."""

    name: str
    start_s: float  # until the first film is begun: imports, and what is opened
    films: int
    seconds: float  # from then until the last answer is there; of an engine, on the disk

    @property
    def films_a_second(self) -> float:
        """How many films it answered in a second, its start left out."""
        return self.films / self.seconds


# --- a turn: each in a process of its own, which prints one line of JSON ---


def bare_turn(bundle: Path, films: Path, workers: int, artefact: str) -> Turn:
    """Read, decode, resize and invoke in plain loops, on so many processes; nothing is kept."""
    begun = time.monotonic()
    context = get_context("spawn")
    names = sorted(films.iterdir())
    ready, go = context.Barrier(workers + 1), context.Event()
    parts = [names[number::workers] for number in range(workers)]
    processes = [context.Process(target=_bare_loop, args=(bundle, artefact, part, ready, go)) for part in parts]
    for process in processes:
        process.start()
    ready.wait()
    started = time.monotonic()
    go.set()
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a bare loop ended with {process.exitcode}")
    return Turn(BARE, started - begun, len(names), time.monotonic() - started)


def _bare_loop(bundle: Path, artefact: str, films: list[Path], ready: Any, go: Any) -> None:
    from tbconv.contract.bundle import read_bundle
    from tbconv.contract.preprocess import as_model_input
    from tbconv.contract.xray import open_film
    from tf_serve.fallback import proposed
    from tf_serve.runtime.tflite import TFLiteModel

    opened = read_bundle(bundle)
    model, spec = TFLiteModel(bundle / (artefact or proposed(opened))), opened.manifest.preprocessing
    ready.wait()
    go.wait()
    for film in films:
        model.predict(as_model_input(spec.model_input(open_film(film.read_bytes()).pixels)[None]))


class _Clock:
    """A reporter that notes when the first films were answered, and when the last."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.after_first = 0

    def say(self, line: str) -> None:
        """Print what an engine says, beside the line of JSON."""
        print(line, file=sys.stderr)

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:  # noqa: ARG002
        """Yield, and look at the clock when a message of an engine has been taken in."""
        for number, item in enumerate(items):
            now = time.monotonic()
            if number == 0:
                self.first = now
            elif self.after_first == 0 and now - self.first > 1e-3:
                self.after_first = number  # films of the first message
            self.last = now
            yield item


def engine_turn(name: str, bundle: Path, films: Path, workers: int, artefact: str) -> Turn:
    """Score as the command does, into a new folder, and leave out what comes before the first answer."""
    from tf_serve.score.run import ScoreConfig, score

    begun, clock = time.monotonic(), _Clock()
    with tempfile.TemporaryDirectory() as folder:
        films_of_shard = max(1, sum(1 for _ in films.iterdir()) // SHARDS_OF_A_TURN)  # Ray's first answer is a shard
        out = Path(folder) / "out"
        config = ScoreConfig(
            bundle=bundle,
            films=str(films),
            out=out,
            engine=name,
            workers=workers,
            shard_films=films_of_shard,
            artefact=artefact or None,
        )
        summary = score(config, reporter=clock)
    answered = summary.films - clock.after_first
    return Turn(name, clock.first - begun, answered, clock.last - clock.first)


def script_turn(bundle: Path, films: Path, workers: int, artefact: str) -> Turn:
    """Do what one would write: `model.predict` over tf.data on the SavedModel, in batches."""
    begun = time.monotonic()
    import tensorflow as tf  # this is a process of its own

    names = [str(film) for film in sorted(films.iterdir())]

    def read(name: Any) -> Any:
        pixels = tf.io.decode_image(tf.io.read_file(name), channels=1, expand_animations=False)
        return tf.image.resize_with_pad(pixels, 224, 224)

    layer = tf.keras.layers.TFSMLayer(str(bundle / "saved_model"), call_endpoint="serving_default")
    given = tf.keras.Input((224, 224, 1))
    model = tf.keras.Model(given, layer(given))
    sets = [tf.data.Dataset.from_tensor_slices(some).map(read, tf.data.AUTOTUNE).batch(BATCH).prefetch(2)
            for some in (names[:BATCH], names)]  # fmt: skip
    model.predict(sets[0], verbose=0)
    started = time.monotonic()
    model.predict(sets[1], verbose=0)
    del workers, artefact  # TensorFlow takes all cores that the process may use, and the SavedModel
    return Turn(SCRIPT, started - begun, len(names), time.monotonic() - started)


def turn_of(name: str) -> Callable[[Path, Path, int, str], Turn]:
    """Return who takes the turns of a name."""
    if name in ENGINES:
        return lambda bundle, films, workers, artefact: engine_turn(name, bundle, films, workers, artefact)
    return {BARE: bare_turn, SCRIPT: script_turn}[name]


# --- all turns ---


def fill(source: Path, folder: Path, n: int) -> None:
    """Fill a folder with N films under new ids: links to real ones, each as often as it takes."""
    films = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    for number, film in zip(range(n), itertools.cycle(films), strict=False):
        place = folder / f"{number:07d}{film.suffix}"
        try:
            place.hardlink_to(film)
        except OSError:
            shutil.copy(film, place)


def take_turn(name: str, bundle: Path, films: Path, workers: int, artefact: str) -> Turn:
    """Run one turn in a process of its own."""
    words = [
        sys.executable,
        "-m",
        "benchmarks.score",
        str(bundle),
        str(films),
        "--turn",
        name,
        "--workers",
        str(workers),
        "--artefact",
        artefact,
    ]
    environment = dict(os.environ) if name == SCRIPT else os.environ | ONE_THREAD
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
    return Turn(**json.loads(done.stdout.splitlines()[-1]))


def ratio(turns: list[dict[str, Turn]], name: str, other: str) -> float:
    """Return the median over the rounds of one's films a second over another's."""
    return median(one[name].films_a_second / one[other].films_a_second for one in turns)


def report(rounds: list[dict[str, Turn]], names: list[str]) -> list[str]:
    """Return what came out, in words, the bars beside it."""
    lines = []
    for name in names:
        rates, starts = ([getattr(one[name], what) for one in rounds] for what in ("films_a_second", "start_s"))
        lines.append(f"{name}: {median(rates):.1f} films a second, {median(starts):.1f} s to the first answer")
    for name in names:
        if name not in ENGINES:
            continue
        bare, bar = ratio(rounds, name, BARE), OF_ENGINE.get(name, OF_BARE)
        lines.append(f"{name} / {BARE}: {bare:.3f} ({'met' if bare >= bar else 'MISSED'}: at least {bar})")
        if SCRIPT in names:
            script = ratio(rounds, name, SCRIPT)
            lines.append(f"{name} / {SCRIPT}: {script:.2f} ({'met' if script >= OF_SCRIPT else 'MISSED'}: {OF_SCRIPT})")
    return lines


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("bundle", type=Path)
    words.add_argument("films", type=Path)
    words.add_argument("--n", type=int, default=2000, help="films of a turn")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--workers", type=int, default=2, help="processes of the loop and of each engine")
    words.add_argument("--artefact", default="", help="TFLite file; what the certificate proposes by default")
    words.add_argument("--only", nargs="+", choices=[BARE, SCRIPT, *ENGINES], help="who takes turns")
    words.add_argument("--turn", help=argparse.SUPPRESS)
    words.add_argument("--out", type=Path, default=RESULTS / "score.csv")
    given = words.parse_args()
    if given.turn:
        made = turn_of(given.turn)(given.bundle, given.films, given.workers, given.artefact)
        print(json.dumps({name: getattr(made, name) for name in Turn.__slots__}))
        return
    names = given.only or [BARE, *ENGINES, SCRIPT]
    around, rounds = circumstances(), []
    with tempfile.TemporaryDirectory() as place:
        fill(given.films, Path(place), given.n)
        for number in range(given.rounds):
            order = names[number % len(names) :] + names[: number % len(names)]
            rounds.append(
                {name: take_turn(name, given.bundle, Path(place), given.workers, given.artefact) for name in order}
            )
            print("; ".join(f"{name} {rounds[-1][name].films_a_second:.1f}/s" for name in names), file=sys.stderr)
    rows = [
        around
        | {
            "bundle": given.bundle.resolve().name,
            "artefact": given.artefact or "proposed",
            "films": given.n,
            "workers": given.workers,
            "rounds": given.rounds,
        }
        | {"contender": name, "films_a_second": round(median(one[name].films_a_second for one in rounds), 2)}
        | {"start_s": round(median(one[name].start_s for one in rounds), 2)}
        | {"of_bare_loop": round(ratio(rounds, name, BARE), 4) if BARE in names else ""}
        | {"of_script": round(ratio(rounds, name, SCRIPT), 3) if SCRIPT in names else ""}
        for name in names
    ]
    append_rows(given.out, rows)
    print("\n".join(report(rounds, names)))


if __name__ == "__main__":
    main()
