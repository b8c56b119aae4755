"""Does the exact evidence map lie where it should: inside the lungs, inside an expert's box?

Both figures have the same chance level, film by film: the share of the film that is marked. A map
that knows nothing of the chest reaches it, so what is judged is the excess over it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.tensor import EVIDENCE_SIDE
from torch_train.audit.finding import FEWEST, Finding, below, not_asked
from torch_train.audit.lungs import Marks
from torch_train.intervals import CONFIDENCE, RESAMPLES, Estimate

Maps = NDArray[np.float32]  # [N, 7, 7]


def evidence_findings(
    where: str, maps: Maps, marks: list[Marks | None], areas: list[Marks], groups: NDArray[np.int64], *, seed: int
) -> list[Finding]:
    """Judge energy share and pointing game of positive films.

    Args:
        where: what is marked, in words.
        maps: evidence of positive films, float32 [N, 7, 7].
        marks: bool [224, 224] a film, None where nothing is known.
        areas: bool [224, 224] a film: what of the square is film.
        groups: int64 [N], equal where the patient is.
        seed: of the bootstrap.
    """
    names = (f"energy in {where}", f"pointing at {where}")
    marked = {number: mark for number, mark in enumerate(marks) if mark is not None and mark.any()}
    known = list(marked)
    if len(np.unique(groups[known])) < FEWEST:
        why = f"they are known of {len(known)} positive films that the run did not train on, and it takes {FEWEST}"
        return [not_asked(name, why) for name in names]
    shares = np.stack([cell_shares(mark) for mark in marked.values()])
    chance = np.array([mark.sum() / areas[number].sum() for number, mark in marked.items()])
    scores = (energy_share(maps[known], shares), pointing_share(maps[known], shares))
    return [_judge(name, score, chance, groups[known], seed=seed) for name, score in zip(names, scores, strict=True)]


def cell_shares(mark: Marks) -> NDArray[np.float64]:
    """Return which share of each cell of the map is marked, float64 [7, 7]."""
    cell = mark.shape[0] // EVIDENCE_SIDE
    return np.asarray(mark.reshape(EVIDENCE_SIDE, cell, EVIDENCE_SIDE, cell).mean((1, 3)))


def energy_share(maps: Maps, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of a map's positive evidence is marked, float64 [N]; 0 where it has none."""
    positive = np.maximum(maps, 0).astype(np.float64)
    total = positive.sum((1, 2))
    return np.asarray((positive * shares).sum((1, 2)) / np.where(total > 0, total, 1))


def pointing_share(maps: Maps, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of the cell of the strongest evidence is marked, float64 [N].

    A cell is 32 pixels wide: the chance that a point drawn in it hits.
    """
    strongest = maps.reshape(len(maps), -1).argmax(1)
    return np.asarray(shares.reshape(len(maps), -1)[np.arange(len(maps)), strongest])


def _judge(
    name: str, score: NDArray[np.float64], chance: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int
) -> Finding:
    what = f"{score.mean():.2f} against a chance of {chance.mean():.2f}, the share of the film that is marked"
    return below(name, mean_by_patient(score - chance, groups, seed=seed), level=0.0, what=what, measure="excess")


def mean_by_patient(values: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int) -> Estimate:
    """Return the mean over patients of each one's mean, with a percentile interval over resampled patients."""
    from scipy.stats import bootstrap

    _, number = np.unique(groups, return_inverse=True)
    means = np.bincount(number, values) / np.bincount(number)
    found = bootstrap(
        (means,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=seed
    ).confidence_interval
    method = f"bootstrap of {len(means)} patients, {RESAMPLES} resamples"
    return Estimate(float(means.mean()), float(found.low), float(found.high), len(values), method)
