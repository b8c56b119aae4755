"""The three ways to share films out: repeated folds, a site at a time, and the users' 70/20/10."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from tbconv.contract.errors import DataError
from tbconv.contract.labels import Labels
from torch_train.data.split import split_films
from torch_train.evaluation.config import MOST_FOLDS, EvaluateConfig
from torch_train.evaluation.fold_plan import FoldPlan, Rows, seed_of
from torch_train.evaluation.grouped_cuts import DRAWS, cut, has_both, rest_of, set_validation_apart
from torch_train.evaluation.pool import Pool
from torch_train.evaluation.site_films import films_by_site


def plan_folds(pool: Pool, config: EvaluateConfig) -> tuple[FoldPlan, ...]:
    """Share the films out, for every repeat.

    Raises:
        DataError: the films are too few, or their sites do not allow it.
    """
    draw = {"folds": _plan_folds, "sites": _plan_sites, "70/20/10": _plan_users_split}[config.protocol]
    return tuple(plan for repeat in range(config.times) for plan in draw(pool, config, repeat))


def digest_of_plans(plans: Sequence[FoldPlan], pool: Pool) -> str:
    """Return the SHA-256 of all cuts and seeds: two evaluations with the same one fit the same films."""
    lines = [f"{plan.key} {plan.seed} {plan.films_of(pool).split_digest}\n" for plan in plans]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _plan_folds(pool: Pool, config: EvaluateConfig, repeat: int) -> list[FoldPlan]:
    plans = _draw_folds(pool, config.k, config.recipe.seed, repeat)
    if plans is None:
        raise _too_few(pool, config, repeat)
    return plans


def _draw_folds(pool: Pool, k: int, seed: int, repeat: int) -> list[FoldPlan] | None:
    """Cut the films into k folds of both classes; None where that cannot be."""
    if k > _fewest(pool)[0]:
        return None
    for draw in range(DRAWS):
        tests = cut(pool, pool.in_order, k, seed_of(seed, repeat, k, draw))
        plans = [
            _plan(pool, test, (seed, repeat, number), f"fold {number + 1} of {k}") for number, test in enumerate(tests)
        ]
        found = [plan for plan in plans if plan is not None]
        if len(found) == k:
            return found
    return None


def _plan(pool: Pool, test: Rows, numbers: tuple[int, int, int], name: str) -> FoldPlan | None:
    """Plan a fold whose tested films are known; None where a part would lack a class."""
    seed = seed_of(*numbers)
    rest = set_validation_apart(pool, rest_of(pool, test), seed)
    if rest is None or not has_both(pool, test):
        return None
    _, repeat, number = numbers
    return FoldPlan(repeat, number, name, seed, train=rest[0], validation=rest[1], test=np.sort(test))


def _plan_sites(pool: Pool, config: EvaluateConfig, repeat: int) -> list[FoldPlan]:
    plans = []
    for number, (site, test) in enumerate(films_by_site(pool).items()):
        plan = _plan(pool, test, (config.recipe.seed, repeat, number), site)
        if plan is None:
            raise DataError(
                f"without the site {site} too few films are left to train on",
                why="training and validation each need patients of both classes from the other sites",
                fix="--protocol folds, or add films of the other sites",
            )
        plans.append(plan)
    return plans


def _plan_users_split(pool: Pool, config: EvaluateConfig, repeat: int) -> list[FoldPlan]:
    """Split as `tbconv train` does; the first repeat is its very run."""
    seed = config.recipe.seed if repeat == 0 else seed_of(config.recipe.seed, repeat)
    split = split_films(
        pool.index, groups=pool.copies, digests=pool.films.digests, seed=seed, fractions=config.recipe.fractions
    )
    parts = {name: np.array(rows, np.int64) for name, rows in split.parts.items()}
    return [FoldPlan(repeat, 0, "70/20/10", seed, **parts)]


def _fewest(pool: Pool) -> tuple[int, str]:
    """Return how many units the rarer class has, and its name."""
    names: Labels = pool.films.names
    return min((pool.units_with(label, pool.in_order), names.names[label]) for label in (0, 1))


def _too_few(pool: Pool, config: EvaluateConfig, repeat: int) -> DataError:
    (count, name), seed = _fewest(pool), config.recipe.seed
    largest = next((k for k in range(min(MOST_FOLDS, count), 1, -1) if _draw_folds(pool, k, seed, repeat)), None)
    who = "patients" if pool.films.patients_known else "films"
    return DataError(
        f"--folds {config.k} cannot be had: every fold needs {name} {who} to test, to choose and to train on",
        why=f"{count} {who} have a {name} film, copies counted once",
        fix=f"--folds {largest} is the most that works" if largest else f"add {name} {who}: three at the very least",
    )
