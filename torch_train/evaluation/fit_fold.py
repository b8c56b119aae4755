"""One fold: every reader learns from its training films, chooses on its validation films, answers on the rest."""

from __future__ import annotations

import gc

import numpy as np
import torch

from tbconv.contract.reporter import Reporter
from torch_train.config import TrainConfig
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.fold_plan import FoldPlan
from torch_train.evaluation.pool import Pool
from torch_train.evaluation.predictions import AGE_SEX, BASELINE, PRIOR, TRAINED, Fold
from torch_train.evaluation.readers import (
    Margins,
    margins_of_baseline,
    margins_of_persons,
    margins_of_prior,
    person_columns,
)
from torch_train.films import TrainingFilms
from torch_train.fit import fit_network, start_network
from torch_train.operating_point import choose_operating_point
from torch_train.run_folder import CHECKPOINT


def fit_fold(plan: FoldPlan, pool: Pool, config: EvaluateConfig, reporter: Reporter) -> Fold:
    """Fit every reader on one fold.

    A fold that was stopped goes on from its last checkpoint, if it has one.

    Raises:
        ConfigError: the loss is no longer a number, or the recipe does not fit.
        SetupError: weights or a device are missing.
    """
    films, recipe = plan.films_of(pool), config.recipe_of(plan.key, plan.seed)
    margins = {} if recipe.baseline_only else {TRAINED: _margins_of_network(films, recipe, reporter)}
    margins |= {BASELINE: margins_of_baseline(films, seed=plan.seed), PRIOR: margins_of_prior(films)}
    columns = person_columns(pool)
    if columns is not None:
        margins[AGE_SEX] = margins_of_persons(columns, films)
    return Fold(
        repeat=plan.repeat,
        name=plan.name,
        rows=plan.test,
        margins={reader: values[plan.test] for reader, values in margins.items()},
        thresholds={reader: _choose_threshold(values, films, recipe) for reader, values in margins.items()},
    )


def _choose_threshold(margins: Margins, films: TrainingFilms, recipe: TrainConfig) -> float:
    """Choose on validation films; on the films of the test it is a transported one."""
    point = choose_operating_point(
        margins[films.parts["validation"]],
        films.labels_of("validation"),
        wished_sensitivity=recipe.wished_sensitivity,
        chosen_on=films.split_digest,
    )
    return point.margin


def _margins_of_network(films: TrainingFilms, recipe: TrainConfig, reporter: Reporter) -> Margins:
    """Train a network; NaN for its training films, float64 [N]."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    start = start_network(recipe, reporter)
    # a GPU is done with a fold sooner than with writing its checkpoints; a CPU may need an hour
    stored = start.precision.device.type == "cpu"
    resume = (recipe.out / CHECKPOINT).is_file()
    trained = fit_network(start, films, recipe, reporter, resume=resume, stored=stored)
    margins = np.asarray(trained.margins, np.float64)
    if start.precision.device.type == "cuda":
        del trained, start
        _let_go_of_the_gpu()
    return margins


def _let_go_of_the_gpu() -> None:
    """Free what one fold leaves there: a captured graph keeps its memory, and the compiler counts its networks."""
    torch.compiler.reset()  # after eight networks it would give up and run the ninth as it is
    gc.collect()
    torch.cuda.empty_cache()
