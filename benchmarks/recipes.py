"""Which recipe is best on films that it has not seen: `python -m benchmarks.recipes kermany --ways before all ema`.

Every way to train is fitted on the same folds with the same seeds, and all are compared on the same
resamples of patients: what is printed beside a way's AUROC is its difference to the first way, with a
95 % interval. The answers of every fit are kept, so that `--again` prints the table without a GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.recipe_fit import fit_way
from benchmarks.recipe_table import compare_ways, rows_of, show
from benchmarks.recipe_ways import WAYS, Way
from benchmarks.results import RESULTS, append_rows, circumstances
from benchmarks.train import device_name
from tbconv.contract.errors import Silence
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import read_xray
from torch_train.config import TrainConfig
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.splits import FoldPlan, Pool, plan_folds, read_pool

CSV = RESULTS / "recipes.csv"


def main() -> None:
    """Fit what is missing, print the table and append its rows."""
    given = _arguments()
    ways = [next(way for way in WAYS if way.name == name) for name in given.ways]
    config = _config(given)
    pool = read_pool(config.recipe, Silence())
    plans = plan_folds(pool, config)
    given.out.mkdir(parents=True, exist_ok=True)
    missing = [way for way in ways if not all((given.out / f"{name}.npz").is_file() for name in way.readers)]
    for way in [] if given.again else missing:
        _fit(way, pool, plans, config, given.out)
    found = compare_ways(pool, plans, config, given.out, [name for way in ways for name in way.readers])
    append_rows(given.rows, rows_of(found, given, pool, config))
    show(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of films")
    parser.add_argument("--ways", nargs="+", default=["before"], choices=[way.name for way in WAYS])
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers")
    parser.add_argument("--again", action="store_true", help="fit nothing: print what --out holds")
    parser.add_argument("--rows", type=Path, default=CSV, help="CSV that the figures are appended to")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--patient")
    parser.add_argument("--arch", default="resnet50", choices=("resnet50", "resnet10"))
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _config(given: argparse.Namespace) -> EvaluateConfig:
    recipe = TrainConfig(
        data=given.data,
        out=given.out,
        arch=given.arch,
        patient=given.patient,
        weights=given.weights,
        epochs=given.epochs,
        fine_tune="20",  # what ways without an option of their own were fitted with
        device=given.device,
    )
    return EvaluateConfig(recipe=recipe, folds=given.folds, repeats=given.repeats)


def _fit(way: Way, pool: Pool, plans: Sequence[FoldPlan], config: EvaluateConfig, out: Path) -> None:
    """Fit every fold of a way, and keep its answers and its seconds a fit."""
    seen = pool if way.side == PreprocessSpec().size else _at_side(pool, way.side)
    found: dict[str, list[NDArray[np.float64]]] = {}
    start = time.perf_counter()
    for plan in plans:
        recipe = replace(config.recipe_of(plan.key, plan.seed), **way.options)
        for name, answers in fit_way(way, plan.films_of(seen), recipe).items():
            found.setdefault(name, []).append(answers)
        gc.collect()
        torch.cuda.empty_cache()
    seconds = (time.perf_counter() - start) / len(plans)
    for name, margins in found.items():
        np.savez_compressed(out / f"{name}.npz", margins=np.stack(margins).astype(np.float32))
        (out / f"{name}.json").write_text(json.dumps({**_where(), "seconds_a_fit": round(seconds, 1)}))
    print(f"{way.name}: {seconds:.1f} s a fit", flush=True)


def _where() -> dict[str, Any]:
    return circumstances() | {"gpu": device_name("cuda" if torch.cuda.is_available() else "cpu")}


def _at_side(pool: Pool, side: int) -> Pool:
    spec = PreprocessSpec(size=side)
    model_inputs = np.stack([spec.model_input(read_xray(film.path)) for film in pool.index.films])
    return replace(pool, films=replace(pool.films, model_inputs=model_inputs))


if __name__ == "__main__":
    main()
