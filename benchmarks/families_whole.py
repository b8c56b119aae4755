"""Whole conversions of one network of each family, int8 as well: `python -m benchmarks.families_whole FILMS`.

Each network has two classes, random seeded weights with running statistics of films, and a bias that divides the films
in half, so that flips are of decisions near which films lie, and goes through `tbconv convert LIBRARY:NAME` as a user
would run it: every format, parity of 64 films, proofs, int8 by one recipe (`--int8-budget 0`). A row a network in
results/families_whole.csv; those that have a row are skipped unless --again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.families import SIDES
from benchmarks.families_table import FAMILIES, WHOLE, read_rows
from benchmarks.networks import CSV as BACKBONES
from benchmarks.networks import figures
from benchmarks.networks_table import draw_table
from benchmarks.process_tree import measure
from benchmarks.results import append_rows, circumstances
from convert.parity.inputs import evenly, find_films
from convert.worker import run_step, workers
from tbconv.console import CANNOT_SAY
from tbconv.contract.errors import TbconvError
from tbconv.contract.preprocess import PreprocessSpec

FILMS, WARMING = 64, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path, nargs="?", help="folder of films; left out, only the table is drawn")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks, or the start of their names: timm:vit")
    parser.add_argument("--limit", type=float, default=900, help="seconds a network")
    parser.add_argument("--side", type=int, nargs="+", default=SIDES, help="of the image: the first that it takes")
    parser.add_argument("--again", action="store_true", help="those too that have a row")
    given = parser.parse_args()
    names = [one for one in FAMILIES if given.only is None or one.startswith(tuple(given.only))]
    done = set() if given.again else {row["network"] for row in read_rows(WHOLE)}
    for name in names if given.films is not None else ():
        if name not in done:
            row = row_of(name, given.films, tuple(given.side), given.limit)
            append_rows(WHOLE, [circumstances() | row])
            print(name, row["exit"], row["error"][:200], f"{row['seconds']} s", flush=True)
            draw_table(BACKBONES)
    draw_table(BACKBONES)


def row_of(name: str, films: Path, sides: tuple[int | None, ...], limit: float) -> dict[str, Any]:
    """Convert one network whole, and return its row."""
    with tempfile.TemporaryDirectory(prefix="tbconv-whole-") as folder:
        place = Path(folder)
        weights, out, side = place / "weights.safetensors", place / "out", None
        refused = ""
        for side in sides:
            try:
                _warm(name, films, side, place / "warm.npy", weights)
                break
            except TbconvError as error:
                refused = error.one_line
        else:
            raise ValueError(f"{name} takes none of the sides {sides}: {refused}")
        command = [sys.executable, "-m", "tbconv", "convert", name, "--weights", str(weights), "--out", str(out)]
        command += ["--calibration", str(films), "--films", str(FILMS), "--int8-budget", "0"]
        command += [] if side is None else ["--size", str(side)]
        with (place / "log.txt").open("w") as log:
            used = measure(command, log=log, timeout_s=limit)
        said = (place / "log.txt").read_text()
        if used.exit_code not in (0, CANNOT_SAY):
            print(said[-3000:], flush=True)
        report = _json(out / "parity.json") or _json(out.with_name(f"{out.name}.failed-parity.json"))
        conversion = _json(out / "conversion.json")
        return {"network": name, "side": side or "", "exit": used.exit_code} | figures(report, conversion, used, said)


def _warm(name: str, films: Path, side: int | None, images: Path, weights: Path) -> None:
    """Write weights of two classes for one side.

    Raises:
        TbconvError: the network does not take that side.
    """
    kind, _, network = name.partition(":")
    paths = np.array(find_films(films))
    spec = PreprocessSpec(size=side or 224)
    np.save(images, np.stack([spec.from_file(path) for path in evenly(paths, WARMING)]))
    request: dict[str, Any] = {"kind": kind, "network": network, "weights": None, "size": side, "two_classes": True}
    request |= {"images": str(images), "weights_out": str(weights)}
    with workers():
        run_step("benchmarks.families_weights:warm", request)


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


if __name__ == "__main__":
    main()
