"""How an evaluation splits its films: the pool, grouped and stratified splits, and the protocols made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from tbconv.contract.errors import DataError, Reporter
from tbconv.contract.manifest import Labels
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms, load_and_compare, put_together
from torch_train.data.records import FilmIndex, require_both_classes
from torch_train.data.split import PARTS, digest_of, join_films, split_films
from torch_train.evaluation.config import MOST_FOLDS, EvaluateConfig

# --- pool ---
# All films of an evaluation, read once for every fold, and which of them must stay on one side of any split.


@dataclass(frozen=True, slots=True)
class Pool:
    """The films, not yet split, and the patients on them."""

    films: TrainingFilms  # its parts are empty
    index: FilmIndex  # of the same films, in the same order: site, age, sex
    copies: tuple[tuple[int, ...], ...]  # films that are copies of each other
    units: NDArray[np.int64]  # [N], equal where films share a patient, a file or a picture

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], 1 positive."""
        return self.films.labels

    @property
    def in_order(self) -> NDArray[np.int64]:
        """Rows by the digest of their films, so that no split depends on file names; int64 [N]."""
        return np.argsort(np.array(self.films.digests), kind="stable").astype(np.int64)

    def units_with(self, label: int, rows: NDArray[np.int64]) -> int:
        """Count the units of some films that have a film of this class."""
        return len(np.unique(self.units[rows[self.labels[rows] == label]]))


def read_pool(config: TrainConfig, reporter: Reporter, *, keep_test: bool = False) -> Pool:
    """Index, preprocess, look for duplicates.

    Args:
        config: the recipe.
        reporter: where progress goes.
        keep_test: keep films of a test part that the set was published with; no fold may train on one.

    Raises:
        DataError: the folder cannot be read.
        ConfigError: an option does not fit it.
    """
    loaded, copies = load_and_compare(config, reporter)
    index, tested = loaded.index, sum(film.part == "test" for film in loaded.index.films)
    if tested and not keep_test:
        kept = [row for row, film in enumerate(index.films) if film.part != "test"]
        index = replace(index, films=tuple(index.films[row] for row in kept))
        require_both_classes(index)
        place_of = {row: place for place, row in enumerate(kept)}
        copies = tuple(tuple(place_of[row] for row in group if row in place_of) for group in copies)
        loaded = replace(
            loaded,
            index=index,
            model_inputs=loaded.model_inputs[kept],
            digests=tuple(loaded.digests[row] for row in kept),
        )
        reporter.say(
            f"  note: {tested} films of the set's own test part are in no fold; --protocol 70/20/10 tests on them"
        )
    return pool_of(loaded.index, loaded.model_inputs, loaded.digests, [group for group in copies if group])


def pool_of(
    index: FilmIndex, model_inputs: NDArray[np.uint8], digests: Sequence[str], copies: Sequence[Sequence[int]]
) -> Pool:
    """Put films together.

    Args:
        index: the films.
        model_inputs: uint8 [N, 224, 224], in its order.
        digests: SHA-256 of each file.
        copies: groups of films that are copies of each other.
    """
    films = put_together(index, model_inputs, digests)
    return Pool(films, index, tuple(tuple(group) for group in copies), _join(films, copies))


def _join(films: TrainingFilms, copies: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Number the units by the first of their digests, so that the numbers do not depend on file names."""
    joined = join_films(films.patients.tolist(), films.digests, copies)
    units = np.empty(len(films.digests), np.int64)
    for number, unit in enumerate(sorted(joined, key=lambda unit: min(films.digests[film] for film in unit))):
        units[list(unit)] = number
    return units


# --- fold plan ---
# One fold before it is fitted: the films that train, validate and test, and the seed of all chance in it.

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """The films of one fit."""

    repeat: int  # from 0
    number: int  # within the repeat, from 0
    name: str  # "fold 2 of 5", a site's name, "70/20/10"
    seed: int  # of the fold alone: the order in which folds are fitted, and where, changes none of them
    train: Rows  # indices of films, ascending, as in the other two
    validation: Rows
    test: Rows

    @property
    def key(self) -> str:
        """The name of its folder."""
        return f"repeat-{self.repeat + 1}-fold-{self.number + 1}"

    def left_out(self, pool: Pool) -> int:
        """Count the films that no part holds."""
        return len(pool.labels) - len(self.train) - len(self.validation) - len(self.test)

    def films_of(self, pool: Pool) -> TrainingFilms:
        """Return the films with the parts of this fold."""
        parts = (self.train, self.validation, self.test)
        digest = digest_of([part.tolist() for part in parts], pool.films.digests)
        return replace(pool.films, parts=dict(zip(PARTS, parts, strict=True)), split_digest=digest)


def seed_of(*numbers: int) -> int:
    """Return an independent seed for each tuple of numbers; 32 bits, the most that scikit-learn takes."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


# --- grouped splits ---
# Stratified splits that keep a patient and all copies on one side; the one place where scikit-learn splits films.
#
# Films are handed over in the order of their digests, so neither the folder nor the file names
# can change a split, and a split is drawn anew until every part has both classes.

VALIDATION_SHARE = 5  # one in five of a fold's films chooses the epoch and the threshold, the others train
DRAWS = 20  # of a split, before it counts as impossible: the greedy split of few uneven patients depends on their order


def split_into(pool: Pool, rows: Rows, k: int, seed: int) -> list[Rows]:
    """Split films into k parts with about the same share of both classes; no unit is in two of them.

    Args:
        pool: all films.
        rows: int64 [n], those to split, in the order of their digests.
        k: parts; no more than there are units of either class.
        seed: of the draw.
    """
    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    parts = splitter.split(np.zeros(len(rows)), pool.labels[rows], pool.units[rows])
    return [rows[part] for _, part in parts]


def split_off_validation(pool: Pool, rows: Rows, seed: int) -> tuple[Rows, Rows] | None:
    """Split films that are not tested into training and validation, both ascending.

    Returns:
        None where no split leaves films of both classes in both.
    """
    k = min(VALIDATION_SHARE, *(pool.units_with(label, rows) for label in (0, 1)))
    if k < 2:
        return None
    for draw in range(DRAWS):
        parts = split_into(pool, rows, k, seed_of(seed, draw))
        validation = np.sort(parts[draw % k])
        train = np.setdiff1d(rows, validation)
        if has_both(pool, train) and has_both(pool, validation):
            return train, validation
    return None


def has_both(pool: Pool, rows: Rows) -> bool:
    """Say whether films are of both classes."""
    return len(np.unique(pool.labels[rows])) == 2


def films_apart_from(pool: Pool, test: Rows) -> Rows:
    """Return the films that share no unit with tested ones, in the order of their digests."""
    rows = pool.in_order
    return rows[~np.isin(pool.units[rows], pool.units[test])]


# --- protocols ---
# The three protocols: repeated folds, leave one site out, and the users' 70/20/10.


def plan_folds(pool: Pool, config: EvaluateConfig) -> tuple[FoldPlan, ...]:
    """Assign the films to training, validation and test, for every repeat.

    Raises:
        DataError: the films are too few, or their sites do not allow it.
    """
    plans: list[FoldPlan] = []
    for repeat in range(config.times):
        if config.protocol == "folds":
            drawn = _draw_folds(pool, config.k, config.recipe.seed, repeat)
            if drawn is None:
                raise _too_few(pool, config, repeat)
            plans += drawn
        else:
            plans += (_plan_sites if config.protocol == "sites" else _plan_users_split)(pool, config, repeat)
    return tuple(plans)


def digest_of_plans(plans: Sequence[FoldPlan], pool: Pool) -> str:
    """Return the SHA-256 of all splits and seeds: two evaluations with the same one fit the same films."""
    lines = [f"{plan.key} {plan.seed} {plan.films_of(pool).split_digest}\n" for plan in plans]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _draw_folds(pool: Pool, k: int, seed: int, repeat: int) -> list[FoldPlan] | None:
    """Split the films into k folds of both classes; None where that is impossible."""
    if k > _fewest(pool)[0]:
        return None
    for draw in range(DRAWS):
        tests = split_into(pool, pool.in_order, k, seed_of(seed, repeat, k, draw))
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
    rest = split_off_validation(pool, films_apart_from(pool, test), seed)
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
        f"--folds {config.k} is too many: every fold needs {name} {who} for training, validation and test",
        why=f"{count} {who} have a {name} film, copies counted once",
        fix=f"--folds {largest} is the most that works" if largest else f"add {name} {who}: three at the very least",
    )


# --- site films ---
# Films by the site that they come from, where every film has one and every site both classes.

FOLDS_INSTEAD = "--protocol folds"


def films_by_site(pool: Pool) -> dict[str, Rows]:
    """Return the films of each site, by its name.

    Raises:
        DataError: a site is not known, there is only one, or one has films of one class alone.
    """
    sites = [film.site for film in pool.index.films]
    if unknown := sum(not site for site in sites):
        raise DataError(
            f"--protocol sites: {unknown} of {len(sites)} films have no site",
            why="a film of an unknown site may be from the very site that is tested",
            fix=f"a CSV with the columns file,label,site, or {FOLDS_INSTEAD}",
        )
    found = {name: np.flatnonzero(np.array(sites) == name) for name in sorted({site for site in sites if site})}
    if len(found) < 2:
        why = f"all {len(sites)} films come from {next(iter(found))}"
        raise DataError("--protocol sites needs films of two sites", why=why, fix=FOLDS_INSTEAD)
    for site, rows in found.items():
        for label, name in enumerate(pool.films.names.names):
            if not (pool.labels[rows] == label).any():
                raise DataError(
                    f"the site {site} has no {name} film",
                    why=f"all its {len(rows)} films are of one class: a network may learn the site, not the disease",
                    fix=f"add {name} films of {site}, leave the site out, or {FOLDS_INSTEAD}",
                )
    return found
