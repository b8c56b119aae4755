"""One fold before it is fitted: who trains, who chooses and who is tested, and the seed of all chance in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from torch_train.data.split import PARTS, digest_of
from torch_train.evaluation.pool import Pool
from torch_train.films import TrainingFilms

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
