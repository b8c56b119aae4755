"""Whether serving holds its bars: throughput against a bare loop and the peers, overload, starts, ends and swaps.

The server is bound to one core and this process, which is the load, to another. Every part stops by itself;
all of them take some eight minutes. Each figure is one row of results/serve.csv.

    python -m benchmarks.serve BUNDLE --other BUNDLE2
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first, where `convert` would mean a script

from benchmarks import serve_throughput as throughput  # noqa: E402
from benchmarks.results import RESULTS, append_rows, circumstances  # noqa: E402
from benchmarks.serve_bars import Figure, of_end, of_overload, of_speeds, of_starts, of_swap  # noqa: E402
from benchmarks.serve_lifecycle import end_once, start_once, swap_once  # noqa: E402
from benchmarks.serve_load import infer_request, request  # noqa: E402
from benchmarks.serve_overload import TIMES, capacity, press  # noqa: E402
from benchmarks.serve_peers.start import NAMES  # noqa: E402
from benchmarks.serve_process import tbconv_server  # noqa: E402
from tbconv.contract.bundle import read_bundle  # noqa: E402
from tbconv.contract.errors import TbconvError  # noqa: E402
from tf_serve.fallback import BASELINE  # noqa: E402
from torch_train.data.phantom import draw_phantom  # noqa: E402

FILM_SIDE = 1024  # pixels, of the drawn film: clinical films that were made smaller for a web page have about that


@dataclass(frozen=True, slots=True)
class Given:
    """What is served, and what is asked."""

    words: argparse.Namespace
    bundle: Path
    name: str  # of the model, in addresses
    film: bytes  # a PNG file
    model_input: NDArray[np.uint8]  # the same, prepared, [224, 224]
    folder: Path  # for logs

    @property
    def tensor(self) -> bytes:
        """The request that most parts send."""
        return infer_request(self.name, self.model_input)


def measure_throughput(given: Given) -> Iterator[Figure]:
    """Ask everybody in turn."""
    words = given.words
    speeds = throughput.measure(
        given.bundle,
        given.bundle / words.artefact,
        given.film,
        given.model_input,
        folder=given.folder,
        rounds=words.rounds,
        films=words.films,
        peers=words.peers,
        say=say,
    )
    yield from of_speeds(speeds)


def measure_overload(given: Given) -> Iterator[Figure]:
    """Send as much as can be answered, then four times that."""
    log, artefact = given.folder / "overload.log", given.words.artefact
    with tbconv_server(given.bundle, log, "--artefact", artefact, cores=[throughput.SERVER]) as server:
        most = capacity(server, given.tensor, requests=4 * given.words.films)
        say(f"capacity: {most:.1f} requests a second")
        loads = [press(server, given.tensor, rate=times * most, seconds=given.words.seconds) for times in (1, TIMES)]
    yield from of_overload(most, *loads)


def measure_start(given: Given) -> Iterator[Figure]:
    """Start, ask both addresses, weigh; again and again."""
    raws = [given.tensor, request("/api/v1/screen", given.film, content_type="image/png")]
    words = ["--artefact", given.words.artefact, "--threads", "1"]
    log = given.folder / "start.log"
    starts = [start_once(given.bundle, log, raws, requests=50, words=words) for _ in range(given.words.rounds)]
    yield from of_starts(starts)


def measure_end(given: Given) -> Iterator[Figure]:
    """End servers under load, until a thousand accepted requests have seen it."""
    log = given.folder / "end.log"
    yield from of_end([end_once(given.bundle, log, given.tensor, requests=given.words.accepted // 5) for _ in range(5)])


def measure_swap(given: Given) -> Iterator[Figure]:
    """Let another bundle take over."""
    if given.words.other is None:
        say("no --other bundle: swapping is left out")
        return
    words = ["--artefact", given.words.artefact, "--threads", "1"]
    raw = infer_request("m", given.model_input)
    yield from of_swap(swap_once(given.bundle, given.words.other.resolve(), given.folder, raw, words=words))


MEASURE = {
    "throughput": measure_throughput,
    "overload": measure_overload,
    "start": measure_start,
    "end": measure_end,
    "swap": measure_swap,
}


def drawn_film() -> bytes:
    """Return a phantom of a chest as a PNG file: a film that belongs to nobody."""
    out = io.BytesIO()
    Image.fromarray(draw_phantom(0, positive=True, size=FILM_SIDE).pixels).save(out, "PNG")
    return out.getvalue()


def read_words(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="what `tbconv convert` left")
    parser.add_argument("--other", type=Path, help="a second bundle, to swap in")
    parser.add_argument("--only", nargs="+", choices=[*MEASURE], default=[*MEASURE], help="parts to measure")
    parser.add_argument("--artefact", help="the file that everybody serves; the one that the certificate proposes")
    parser.add_argument("--film", type=Path, help="a PNG or JPEG film; a drawn one by default")
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=NAMES, help="who else serves it; none: --peers")
    parser.add_argument("--rounds", type=int, default=7, help="turns of everybody, and starts (default 7)")
    parser.add_argument("--films", type=int, default=60, help="films a turn (default 60)")
    parser.add_argument("--seconds", type=float, default=20, help="of each load (default 20)")
    parser.add_argument("--accepted", type=int, default=1000, help="requests around the ends (default 1000)")
    parser.add_argument("--csv", type=Path, default=RESULTS / "serve.csv", help="where rows are appended")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return parser.parse_args(words)


def say(line: str) -> None:
    """Print progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the parts; 0 all bars met, 1 one missed or an error."""
    words, around = read_words(), circumstances()
    os.sched_setaffinity(0, [throughput.LOADER])
    figures: list[Figure] = []
    try:
        bundle = read_bundle(words.bundle.resolve())
        manifest = bundle.manifest
        words.artefact = words.artefact or bundle.certificate().deploy.get("artefact") or BASELINE
        film = words.film.read_bytes() if words.film else drawn_film()
        with tempfile.TemporaryDirectory(prefix="tbconv-serve-bench-") as folder:
            model_input = manifest.preprocessing.from_bytes(film)[0, ..., 0].astype(np.uint8)
            given = Given(words, words.bundle.resolve(), manifest.name, film, model_input, Path(folder))
            for part in words.only:
                found = [*MEASURE[part](given)]
                append_rows(words.csv, [{**around, "bundle": given.bundle.name, **one.row(part)} for one in found])
                say("\n".join(one.sentence for one in found))
                figures += found
    except TbconvError as error:
        say(f"error: {error}")
        return 1
    if words.json:
        rows: list[dict[str, Any]] = [one.row("") for one in figures]
        print(json.dumps(rows, indent=2))
    return 0 if all(one.met is not False for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
