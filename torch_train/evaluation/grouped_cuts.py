"""Stratified cuts that keep a patient and all copies on one side; the one place where scikit-learn cuts films.

Films are handed over in the order of their digests, so neither the folder nor the file names
can change a cut, and a cut is drawn anew until every part has both classes.
"""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from torch_train.evaluation.fold_plan import Rows, seed_of
from torch_train.evaluation.pool import Pool

VALIDATION_SHARE = 5  # one in five of a fold's films chooses the epoch and the threshold, the others train
DRAWS = 20  # of a cut, before it counts as impossible: the greedy cut of few uneven patients depends on their order


def cut(pool: Pool, rows: Rows, k: int, seed: int) -> list[Rows]:
    """Cut films into k parts with about the same share of both classes; no unit is in two of them.

    Args:
        pool: all films.
        rows: int64 [n], those to cut, in the order of their digests.
        k: parts; no more than there are units of either class.
        seed: of the draw.
    """
    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    parts = splitter.split(np.zeros(len(rows)), pool.labels[rows], pool.units[rows])
    return [rows[part] for _, part in parts]


def set_validation_apart(pool: Pool, rows: Rows, seed: int) -> tuple[Rows, Rows] | None:
    """Split films that are not tested into training and validation, both ascending.

    Returns:
        None where no cut leaves films of both classes in both.
    """
    k = min(VALIDATION_SHARE, *(pool.units_with(label, rows) for label in (0, 1)))
    if k < 2:
        return None
    for draw in range(DRAWS):
        parts = cut(pool, rows, k, seed_of(seed, draw))
        validation = np.sort(parts[draw % k])
        train = np.setdiff1d(rows, validation)
        if has_both(pool, train) and has_both(pool, validation):
            return train, validation
    return None


def has_both(pool: Pool, rows: Rows) -> bool:
    """Say whether films are of both classes."""
    return len(np.unique(pool.labels[rows])) == 2


def rest_of(pool: Pool, test: Rows) -> Rows:
    """Return the films that share no unit with tested ones, in the order of their digests."""
    rows = pool.in_order
    return rows[~np.isin(pool.units[rows], pool.units[test])]
