"""What a network has to beat: its baseline, age and sex alone, and the mere share of positives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torch_train.baseline import baseline_margins, fit_baseline
from torch_train.evaluation.pool import Pool
from torch_train.films import TrainingFilms

KNOWN_ENOUGH = 0.5  # of the films of either class; with fewer, who was asked says more than what they answered
Margins = NDArray[np.float64]


def margins_of_baseline(films: TrainingFilms, *, seed: int) -> Margins:
    """Fit the thumbnail baseline on the training part and let it read every film, float64 [N]."""
    rows = films.parts["train"]
    return baseline_margins(fit_baseline(films.squares[rows], films.labels[rows], seed=seed), films.squares)


def margins_of_prior(films: TrainingFilms) -> Margins:
    """Return the same margin for every film, float64 [N]: the log odds of a positive in the training part."""
    labels = films.labels_of("train")
    positives = int(labels.sum())
    return np.full(len(films.labels), np.log(positives / (len(labels) - positives)))


def person_columns(pool: Pool) -> NDArray[np.float64] | None:
    """Return what is known of the persons.

    Returns:
        float64 [N, 4]: age in years and its square (NaN where unknown), female, male (0 or 1). None where too
        few are known.
    """
    films = pool.index.films
    known = np.array([film.age is not None or film.sex is not None for film in films])
    if any(known[pool.labels == label].mean() < KNOWN_ENOUGH for label in (0, 1)):
        return None
    age = np.array([np.nan if film.age is None else film.age for film in films])
    sexes = [np.array([film.sex == sex for film in films], np.float64) for sex in ("F", "M")]
    return np.column_stack([age, age**2, *sexes])  # the square: the very young and the very old may be alike


def margins_of_persons(columns: NDArray[np.float64], films: TrainingFilms) -> Margins:
    """Fit a logistic regression on age and sex of the training part and let it judge every film, float64 [N].

    An unknown age is taken as the median of the training part; a class it then says nothing about.
    """
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(class_weight="balanced"),
    )
    model.fit(columns[films.parts["train"]], films.labels_of("train"))
    return np.asarray(model.decision_function(columns), np.float64)
