"""Classifiers of libraries that this project builds none of: `python -m benchmarks.other_libraries FILMS`.

The pass of benchmarks.families for transformers, MONAI, torchxrayvision, ultralytics, open_clip, fastai, pytorchcv and
keras.applications: small networks of drawn weights (`benchmarks.other_libraries_networks`), given as their users have
them. A row a network in results/other_libraries.csv. The libraries are no part of the project's extras:

    pip install --target SITE --no-deps transformers tokenizers regex monai einops torchxrayvision imageio \
scikit-image lazy_loader tifffile ultralytics open_clip_torch ftfy fastai fastcore fastprogress fasttransform \
plum-dispatch beartype cloudpickle python-fasthtml itsdangerous fastdownload pytorchcv tf2onnx
    PYTHONPATH=SITE python -m benchmarks.other_libraries FILMS
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.families import FILMS, PROCESSES, WARMING, films_of, pass_through, run, told
from benchmarks.families_table import read_rows
from benchmarks.networks import CSV as BACKBONES
from benchmarks.networks_table import draw_table
from benchmarks.other_libraries_table import CSV, NAMES
from convert import worker
from convert.formats.normalise import Normalise, prepare
from convert.formats.torch_to_onnx.source import RUNNER, STEP
from convert.parity.runtimes import Runtime
from convert.worker import run_step, workers

SCRIPT = "benchmarks.other_libraries"
OLDER = " (older exporter)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("films", type=Path, nargs="?", help="folder of films; left out, only the table is drawn")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks, or the start of their names: monai:")
    parser.add_argument("--limit", type=float, default=300, help="seconds a network")
    parser.add_argument("--again", action="store_true", help="those too that have a row")
    parser.add_argument("--csv", type=Path, default=CSV, help="the rows, where they are not to be the project's")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process, a row a line
    given = parser.parse_args()
    names = [one for one in NAMES if given.only is None or one.startswith(tuple(given.only))]
    if given.here:
        worker.MOST_ALIVE = PROCESSES
        with workers():
            for name in given.only:
                print(json.dumps(row_of(name, given.films)), flush=True)
        return
    done = set() if given.again else {row["network"] for row in read_rows(given.csv)}
    if given.films is not None:
        run([one for one in names if one not in done], given.films, given.limit, None, script=SCRIPT, csv=given.csv)
    draw_table(BACKBONES)


def row_of(name: str, films: Path) -> dict[str, Any]:
    """Return the row of one network; a refusal is one, too."""
    return told(name, lambda row, place: _fill(row, name, films, place))


def _fill(row: dict[str, Any], name: str, films: Path, place: Path) -> None:
    row["stage"] = "draw"
    warming = place / "warming.npy"
    np.save(warming, films_of(films, WARMING, 224))
    library = name.partition(":")[0]
    step = "benchmarks.other_libraries_keras:draw" if library == "keras" else "benchmarks.other_libraries_networks:draw"
    request = {"name": name.removesuffix(OLDER), "films": str(warming), "out": str(place), "old": name.endswith(OLDER)}
    facts = run_step(step, request)
    row |= {"library": facts["library"], "parameters": facts["parameters"], "side": facts["size"], "stage": "export"}
    normalise = Normalise("given", tuple(facts["mean"]), tuple(facts["std"]))
    images, fed = films_of(films, FILMS, facts["size"]), place / "fed.npy"
    np.save(fed, prepare(images, normalise))
    if library == "keras":
        asked = {"artefact": facts["network"], "images": str(fed)}
        reference = Runtime("torch", "trained", "benchmarks.other_libraries_keras:run", asked)
        pass_through(row, Path(facts["onnx"]), reference, images, normalise)
        return
    built = {"kind": facts["kind"], "network": facts["network"], "weights": None, "size": None}
    onnx = place / "given.onnx"
    if "onnx" in facts:
        onnx = Path(facts["onnx"])
    else:
        row["open_batch"] = run_step(STEP, built | {"out": str(onnx)})["dynamic"]
    of_torch = built | {"images": str(fed), "dtype": "float64"}
    pass_through(row, onnx, Runtime("torch", "trained", RUNNER, of_torch), images, normalise)


if __name__ == "__main__":
    main()
