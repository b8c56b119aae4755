"""All folds of an evaluation, top to bottom: films -> cuts -> a fit a fold, or what is left of them -> predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch

from tbconv.contract.files import sha256_bytes
from tbconv.contract.reporter import Reporter, Silence
from torch_train.config import TrainConfig
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.fit_fold import fit_fold
from torch_train.evaluation.fold_files import keep_terms, open_folder, read_fold, write_fold
from torch_train.evaluation.fold_plan import FoldPlan
from torch_train.evaluation.fold_voice import FoldVoice
from torch_train.evaluation.pool import Pool, read_pool
from torch_train.evaluation.predictions import Fold, Predictions, write_predictions
from torch_train.evaluation.processes import count_processes, fit_beside_each_other, threads_of_a_fold
from torch_train.evaluation.protocols import digest_of_plans, plan_folds
from torch_train.fit import start_network
from torch_train.train import say_recipe


def fit_folds(config: EvaluateConfig, reporter: Reporter, *, resume: bool = False) -> Predictions:
    """Fit every fold and keep what each says of the films that it did not learn from.

    Args:
        config: recipe and protocol.
        reporter: where progress goes.
        resume: go on with the evaluation in `config.out`; folds that are done are not fitted again.

    Returns:
        What stands in predictions.json then.

    Raises:
        DataError: the films cannot be shared out.
        ConfigError: the folder holds something else, or began under other terms.
        SetupError: weights or a device are missing.
    """
    open_folder(config, resume=resume)
    processes = count_processes(config)
    say_recipe(config.recipe, reporter)
    place = _try_start(config.recipe)
    pool = read_pool(config.recipe, reporter)
    plans = plan_folds(pool, config)
    digests = {
        "data_digest": pool.films.data_digest,
        "cuts_digest": digest_of_plans(plans, pool),
        "order_digest": sha256_bytes("\n".join(pool.films.digests).encode()),  # folds name films by their places
    }
    keep_terms(config.out, {**config.stored(), **place, **digests}, resume=resume)
    fit_missing(plans, pool, config, processes, reporter)
    predictions = gather(plans, pool, config)
    write_predictions(config.out, predictions)
    return predictions


def _try_start(recipe: TrainConfig) -> dict[str, str]:
    """Meet what is wrong before films are read; return the device and precision that all folds share."""
    if recipe.baseline_only:
        return {}
    precision = start_network(recipe, Silence()).precision
    return {"device": precision.device.type, "precision": precision.name}


def fit_missing(
    plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig, processes: int, reporter: Reporter
) -> None:
    """Fit the folds that are not written yet, saying after each how many are left and for how long."""
    missing = [plan for plan in plans if read_fold(config, plan.key) is None]
    done = len(plans) - len(missing)
    reporter.say(f"protocol: {config.title}, {len(plans)} fits" + (f", {done} of them done before" if done else ""))
    for plan in plans:
        if left_out := plan.left_out(pool):
            reporter.say(f"  {_name(plan, config)}: {left_out} films sit out, of patients or pictures that are tested")
    start = time.monotonic()
    for number, name in enumerate(_fit_all(missing, pool, config, processes, reporter), start=1):
        spent = time.monotonic() - start
        left = spent / number * (len(missing) - number)
        reporter.say(f"{done + number} of {len(plans)} fits ({name}): {spent:.0f} s, about {left:.0f} s left")


def _fit_all(
    plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig, processes: int, reporter: Reporter
) -> Iterator[str]:
    """Fit and write folds; yield each one's name."""
    if processes > 1 and len(plans) > 1:
        fitted = fit_beside_each_other(plans, pool, config, min(processes, len(plans)))
        for number, (plan, said) in enumerate(fitted):
            for line in said if number == 0 else ():
                reporter.say(f"  {line}")
            yield _name(plan, config)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_of_a_fold())
    try:
        for number, plan in enumerate(plans):
            voice = FoldVoice(reporter, name=_name(plan, config), speaks=number == 0)
            write_fold(config, plan.key, fit_fold(plan, pool, config, voice))
            yield _name(plan, config)
    finally:
        torch.set_num_threads(threads)


def _name(plan: FoldPlan, config: EvaluateConfig) -> str:
    return f"repeat {plan.repeat + 1}, {plan.name}" if config.times > 1 else plan.name


def gather(plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig) -> Predictions:
    """Put together what every fold said."""
    found = [(plan, read_fold(config, plan.key)) for plan in plans]
    if unfitted := [plan.key for plan, fold in found if fold is None]:
        raise ValueError(f"folds that are not fitted: {unfitted}")
    folds: tuple[Fold, ...] = tuple(fold for _, fold in found if fold is not None)
    persons = pool.index.films
    return Predictions(
        labels=pool.labels,
        patients=pool.films.patients,
        sites=tuple(film.site for film in persons),
        sexes=tuple(film.sex for film in persons),
        ages=tuple(film.age for film in persons),
        names=pool.films.names,
        patients_known=pool.films.patients_known,
        synthetic=pool.films.synthetic,
        protocol=config.title,
        wished_sensitivity=config.recipe.wished_sensitivity,
        data_digest=pool.films.data_digest,
        recipe=config.recipe.stored(),
        folds=folds,
    )
