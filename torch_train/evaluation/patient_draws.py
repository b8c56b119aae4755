"""Resamples of patients as weights of films, all drawn at once: the one source of every interval of an evaluation.

`intervals.bootstrap_by_patient` calls a statistic once a resample, which 5,000 films, four
readers and five repeats cannot wait for. Here a resample is a row of counts, a film's weight
is its patient's count, and the same rows serve every figure, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from torch_train.intervals import RESAMPLES

Weights = NDArray[np.float32]  # [draws, n]
Statistic = Callable[[Weights], NDArray[np.float64]]  # [draws, n] -> [draws, ...]
FILMS_AT_ONCE = 1_000_000  # weights in memory at a time: 4 MB, small enough for a processor's cache


@dataclass(frozen=True, slots=True)
class PatientDraws:
    """How often each patient was drawn in each resample."""

    counts: NDArray[np.uint8]  # [draws, patients]
    patient: NDArray[np.int64]  # [N], column of `counts` of every film; -1 where no fold tested it

    @property
    def method(self) -> str:
        """The interval's name."""
        return f"bootstrap of {self.counts.shape[1]} patients, {self.counts.shape[0]} resamples"

    def first(self, resamples: int) -> PatientDraws:
        """Return fewer resamples, for figures that take long."""
        return PatientDraws(self.counts[:resamples], self.patient)

    def patients_of(self, rows: NDArray[np.int64]) -> int:
        """Return how many patients the films int64 [n] are of."""
        return len(np.unique(self.patient[rows]))

    def each(self, rows: NDArray[np.int64], statistic: Statistic) -> NDArray[np.float64]:
        """Return a statistic of weighted films for every resample.

        Args:
            rows: int64 [n], the films that the columns of the weights stand for.
            statistic: from weights float32 [some draws, n] to [some draws, ...].
        """
        columns, step = self.patient[rows], max(1, FILMS_AT_ONCE // max(1, len(rows)))
        parts = [self.counts[start : start + step] for start in range(0, len(self.counts), step)]
        return np.concatenate([statistic(part[:, columns].astype(np.float32)) for part in parts])


def draw_patients(
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    tested: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> PatientDraws:
    """Draw patients with replacement, those with a positive film apart from those without.

    Args:
        labels: int64 [N], 1 positive.
        patients: int64 [N], equal where the patient is.
        tested: int64 [n], the films that some fold tested; patients of others are not drawn.
        seed: of the draws.
        resamples: how many.
    """
    known, column = np.unique(patients[tested], return_inverse=True)
    sick = np.zeros(len(known), np.bool_)
    np.logical_or.at(sick, column, labels[tested] == 1)
    counts = np.zeros((resamples, len(known)), np.uint8)
    generator = np.random.default_rng(seed)
    for stratum in (np.flatnonzero(~sick), np.flatnonzero(sick)):
        counts[:, stratum] = _count_draws(generator, len(stratum), resamples)
    patient = np.full(len(labels), -1, np.int64)
    patient[tested] = column
    return PatientDraws(counts, patient)


def _count_draws(generator: np.random.Generator, size: int, resamples: int) -> NDArray[np.int64]:
    """Return how often each of `size` was drawn in `size` draws, [resamples, size]."""
    if size == 0:
        return np.zeros((resamples, 0), np.int64)
    drawn = generator.integers(0, size, (resamples, size)) + size * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size)


def ones(rows: NDArray[np.int64]) -> Weights:
    """Return the weights of the films as they are, float32 [1, n]."""
    return np.ones((1, len(rows)), np.float32)
