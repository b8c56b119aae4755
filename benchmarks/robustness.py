"""Which share of disturbed films trains the steadiest network: `python -m benchmarks.robustness DATA --out DIR`.

Every share is fitted on the same folds with the same seeds; `--stretch` fits each of them once more on films whose grey
levels are stretched, as a step of the preprocessing would. Each network is judged on its fold's test films as they
are, and on up to `--changed` of them as every change of `convert.certificate.robustness` leaves them. What is printed
is AUROC with its paired difference to the first share, and flips at the operating point by change, both with 95 %
intervals. Every fit is kept in --out, so that the command goes on where `--seconds` stopped it, and `--again` prints
without a GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.recipe_table import compare_ways, show
from convert.certificate.robustness.changes import CHANGES
from tbconv.contract.errors import Silence
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import is_positive, proportion
from tbconv.contract.xray import decode_xray, read_xray
from tbconv.contract.xray.reference import fit_reference, near_margins
from torch_train.config import TrainConfig
from torch_train.engine.inference import exact_margins, place_films
from torch_train.engine.trainer import fit_network, start_network
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.splits import FoldPlan, Pool, plan_folds, read_pool
from torch_train.metrics import choose_operating_point


def main() -> None:
    """Fit what is missing and time allows, then print what there is."""
    given = _arguments()
    config = _config(given)
    pool = read_pool(config.recipe, Silence())
    plans = plan_folds(pool, config)[: given.first or None]
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.again:
        _fit_missing(pool, plans, config, given)
    names = _gather(plans, given)
    if not names:
        print("no share is fitted on every fold yet: run the same command again")
        return
    show(compare_ways(pool, plans, config, given.out, names))
    for name in names:
        _show_flips(name, [np.load(_place(given.out, name, plan)) for plan in plans], pool)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of films")
    parser.add_argument("--disturb", nargs="+", type=float, default=[0.0, 0.15, 0.3])
    parser.add_argument("--stretch", action="store_true", help="each share with stretched grey levels, too")
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers")
    parser.add_argument("--again", action="store_true", help="fit nothing: print what --out holds")
    parser.add_argument("--seconds", type=float, default=540.0, help="begin no fit that would end after them")
    parser.add_argument("--changed", type=int, default=160, help="test films of a fold that are changed")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="fit the first so many folds alone")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--patient")
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _config(given: argparse.Namespace) -> EvaluateConfig:
    recipe = TrainConfig(
        data=given.data,
        out=given.out,
        arch=given.arch,
        patient=given.patient,
        weights=given.weights,
        device=given.device,
        epochs=given.epochs,
    )
    return EvaluateConfig(recipe=recipe, folds=given.folds, repeats=given.repeats)


@dataclass(frozen=True)
class Way:
    """One way to train."""

    share: float  # of films that get each disturbance
    stretched: bool  # grey levels, before the network

    @property
    def name(self) -> str:
        """As its files are called, and its row."""
        return f"disturb {self.share:g}{', stretched' if self.stretched else ''}"

    def inputs(self, films: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the films as its network takes them, uint8 [n, 224, 224]."""
        return np.stack([_stretch(film) for film in films]) if self.stretched and len(films) else films


def _ways(given: argparse.Namespace) -> list[Way]:
    return [Way(share, stretched) for share in given.disturb for stretched in (False, True)[: 1 + given.stretch]]


EDGE = 22  # pixels at each side that frames and markers are on: a tenth
DARKEST, BRIGHTEST = 1.0, 99.0  # percentiles that become 0 and 255


def _stretch(film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a film whose middle spans all grey levels."""
    low, high = np.percentile(film[EDGE:-EDGE, EDGE:-EDGE], (DARKEST, BRIGHTEST))
    if high <= low:
        return film
    stretched: NDArray[np.uint8] = np.clip(np.rint((film - low) * (255.0 / (high - low))), 0, 255).astype(np.uint8)
    return stretched


def _place(out: Path, name: str, plan: FoldPlan) -> Path:
    return out / f"{name} {plan.key}.npz"


def _fit_missing(pool: Pool, plans: Sequence[FoldPlan], config: EvaluateConfig, given: argparse.Namespace) -> None:
    """Fit fold by fold, all shares of one before the next, so that what there is can be compared."""
    start, longest = time.monotonic(), 0.0
    for plan in plans:
        for way in _ways(given):
            place = _place(given.out, way.name, plan)
            if place.is_file() or time.monotonic() - start + longest > given.seconds:
                continue
            began = time.monotonic()
            recipe = replace(config.recipe_of(plan.key, plan.seed), disturb=way.share)
            _fit(recipe, plan, pool, way, given.changed, place)
            longest = max(longest, time.monotonic() - began)
            print(f"{place.stem}: {time.monotonic() - began:.0f} s", flush=True)


def _fit(recipe: TrainConfig, plan: FoldPlan, pool: Pool, way: Way, changed: int, place: Path) -> None:
    films = plan.films_of(pool)
    films = replace(films, model_inputs=way.inputs(films.model_inputs))
    recipe.out.mkdir(parents=True, exist_ok=True)
    start = start_network(recipe, Silence())
    began = time.monotonic()
    trained = fit_network(start, films, recipe, Silence(), resume=False, stored=False)
    seconds = time.monotonic() - began
    validation = plan.validation
    point = choose_operating_point(
        trained.margins[validation],
        films.labels[validation],
        target_sensitivity=recipe.target_sensitivity,
        chosen_on=films.split_digest,
        choice=recipe.operating_point,
    )
    rows = _drawn(plan, changed)
    network = trained.network.to(start.precision.device)
    inputs, limited = _changed_inputs(pool, plan, rows)
    moved = []
    for altered in inputs:
        store = place_films(way.inputs(altered), films.labels[rows], start.precision.device, Silence())
        moved.append(exact_margins(network, store, np.arange(len(rows))))
    near = near_margins(trained.margins[validation], point.margin)
    everything = np.stack([trained.margins[rows], *moved])
    np.savez_compressed(
        place,
        margins=trained.margins,
        threshold=point.margin,
        rows=rows,
        moved=np.stack(moved),
        limited=limited | (np.abs(everything - point.margin) <= near),
        changes=np.array([change.name for change in CHANGES]),
        seconds=seconds,
    )
    del trained, start, network
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()


def _drawn(plan: FoldPlan, most: int) -> NDArray[np.int64]:
    """Return the test films that are changed, the same for every share."""
    drawn = np.random.default_rng(plan.seed).permutation(plan.test)[:most]
    return np.sort(drawn)


Changed = tuple[list[NDArray[np.uint8]], NDArray[np.bool_]]
_KNOWN: dict[str, Changed] = {}


def _changed_inputs(pool: Pool, plan: FoldPlan, rows: NDArray[np.int64]) -> Changed:
    """Change the films' own files, and hold them against the fold's training films.

    Returns:
        Model inputs uint8 [n, 224, 224] by change, and which films get a limit, bool [1 + changes, n], unchanged first.
    """
    if plan.key not in _KNOWN:
        _KNOWN.clear()
        spec, films = PreprocessSpec(), [read_xray(pool.index.films[row].path) for row in rows]
        inputs = [np.stack([spec.model_input(decode_xray(change.apply(film))) for film in films]) for change in CHANGES]
        own = pool.films.model_inputs
        reference = fit_reference(own[plan.train], own[plan.validation])
        limited: NDArray[np.bool_] = np.zeros((1 + len(inputs), len(rows)), np.bool_)
        if reference is not None:
            limited = np.array([[bool(reference.limits(one)) for one in some] for some in (own[rows], *inputs)])
        _KNOWN[plan.key] = inputs, limited
    return _KNOWN[plan.key]


def _gather(plans: Sequence[FoldPlan], given: argparse.Namespace) -> list[str]:
    """Put the folds of every share that is fitted on all of them together, as `recipe_table` reads them."""
    names = []
    for name in (way.name for way in _ways(given)):
        places = [_place(given.out, name, plan) for plan in plans]
        if not all(place.is_file() for place in places):
            continue
        kept = [np.load(place) for place in places]
        np.savez_compressed(given.out / f"{name}.npz", margins=np.stack([one["margins"] for one in kept]))
        seconds = {"seconds_a_fit": round(float(np.mean([one["seconds"] for one in kept])), 1)}
        (given.out / f"{name}.json").write_text(json.dumps(seconds))
        names.append(name)
    return names


def _show_flips(name: str, kept: Sequence[Mapping[str, Any]], pool: Pool) -> None:
    """Print the flips of a share by change, all folds together, and what sensitivity and specificity become of them."""
    reference = np.concatenate([is_positive(one["margins"][one["rows"]], one["threshold"]) for one in kept])
    truth = np.concatenate([pool.labels[one["rows"]] for one in kept]) == 1
    limited = np.concatenate([one["limited"] for one in kept], axis=1)
    share = proportion(int(limited[0].sum()), len(reference))
    print(
        f"\n{name}: {len(reference)} films, sensitivity {reference[truth].mean():.3f}, "
        f"specificity {1 - reference[~truth].mean():.3f}; {share.value:.3f} ({share.low:.3f} to {share.high:.3f}) of "
        "unchanged films get a limit"
    )
    heads = f"{'refer->not':>10} {'not->refer':>10} {'no limit':>8}  flips of all (95 %)      sens.  spec.  mean |move|"
    print(f"  {'change':14} {heads} limited")
    for number, change in enumerate(kept[0]["changes"]):
        moved = np.concatenate([is_positive(one["moved"][number], one["threshold"]) for one in kept])
        away = np.concatenate([np.abs(one["moved"][number] - one["margins"][one["rows"]]) for one in kept])
        lost, gained = int((reference & ~moved).sum()), int((~reference & moved).sum())
        silent = int(((reference != moved) & ~limited[number + 1]).sum())
        found = proportion(lost + gained, len(reference))
        interval = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        rates = f"{moved[truth].mean():.3f}  {1 - moved[~truth].mean():.3f}  {away.mean():11.2f}"
        print(
            f"  {change:14} {lost:10} {gained:10} {silent:8}  {interval:24} {rates} {limited[number + 1].mean():7.2f}"
        )


if __name__ == "__main__":
    main()
