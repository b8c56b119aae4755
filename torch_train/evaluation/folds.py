"""All folds of an evaluation, top to bottom: films -> cuts -> a fit a fold, or what is left of them -> predictions."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tbconv.contract.bundle import MANIFEST, read_json, sha256_bytes, write_json
from tbconv.contract.environment import hide_working_folder
from tbconv.contract.errors import ConfigError, SetupError
from tbconv.contract.reporting import Reporter, Silence
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms
from torch_train.engine.amp import choose_precision
from torch_train.engine.trainer import fit_network, start_network
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.predictions import (
    AGE_SEX,
    BASELINE,
    FILE,
    PRIOR,
    TRAINED,
    Fold,
    Predictions,
    fold_from_json,
    fold_to_json,
    write_predictions,
)
from torch_train.evaluation.splits import FoldPlan, Pool, digest_of_plans, plan_folds, read_pool
from torch_train.metrics import choose_operating_point
from torch_train.model.baseline import baseline_margins, fit_baseline
from torch_train.run_folder import CHECKPOINT, RUN
from torch_train.train import say_recipe

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue


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
        target_sensitivity=config.recipe.target_sensitivity,
        data_digest=pool.films.data_digest,
        recipe=config.recipe.stored(),
        folds=folds,
    )


# --- readers ---
# What a network has to beat: its baseline, age and sex alone, and the mere share of positives.

KNOWN_ENOUGH = 0.5  # of the films of either class; with fewer, who was asked says more than what they answered
Margins = NDArray[np.float64]


def margins_of_baseline(films: TrainingFilms, *, seed: int) -> Margins:
    """Fit the thumbnail baseline on the training part and let it read every film, float64 [N]."""
    rows = films.parts["train"]
    return baseline_margins(fit_baseline(films.model_inputs[rows], films.labels[rows], seed=seed), films.model_inputs)


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


# --- fit fold ---
# One fold: every reader learns from its training films, chooses on its validation films, answers on the rest.


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
        target_sensitivity=recipe.target_sensitivity,
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


# --- fold files ---
# The folder of an evaluation: its terms, and a file for every fold that is done, each whole or not there.

TERMS = "terms.json"  # what all folds share: recipe, protocol, films, cuts
FOLD = "fold.json"


def open_folder(config: EvaluateConfig, *, resume: bool) -> None:
    """Refuse a folder that holds something already, or nothing to go on with.

    Raises:
        ConfigError: it is not one for this command.
    """
    if resume and not (config.out / TERMS).is_file():
        why, fix = f"it has no {TERMS}", "leave --resume away to begin"
        raise ConfigError(f"nothing to resume in {config.out}", why=why, fix=fix)
    kinds = {FILE: "an evaluation", TERMS: "an evaluation", RUN: "a run", CHECKPOINT: "a run", MANIFEST: "a bundle"}
    kinds["folds"] = "folds of an evaluation"  # without its terms nobody knows what they are of
    for name, kind in kinds.items():
        if (config.out / name).exists() and not resume:
            go_on = "--resume to go on with it, or " if kind == "an evaluation" else ""
            raise ConfigError(
                f"{config.out} holds {kind} already ({name})",
                why="evaluating there would overwrite it",
                fix=f"{go_on}another --out",
            )


def keep_terms(folder: Path, terms: dict[str, Any], *, resume: bool) -> None:
    """Write the terms of an evaluation, or compare them with those under which it began.

    Raises:
        ConfigError: they differ.
    """
    if not resume:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TERMS, terms)
        return
    then = read_json(folder / TERMS)
    for name in (*terms, *sorted(then.keys() - terms.keys())):  # digests last: other words say more
        if then.get(name) != terms.get(name):
            raise ConfigError(
                f"{name} is {_short(terms.get(name))}, {folder} began with {_short(then.get(name))}",
                why="folds under different terms do not add up to one figure",
                fix="go on as it began, or evaluate anew in another --out",
            )


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)  # a digest


def write_fold(config: EvaluateConfig, key: str, fold: Fold) -> None:
    """Write what a fold found, then drop the checkpoint that it no longer needs."""
    folder = config.out / "folds" / key
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FOLD, fold_to_json(fold))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def read_fold(config: EvaluateConfig, key: str) -> Fold | None:
    """Return what a fold found; None where it is not done.

    Raises:
        BundleError: its file is damaged.
    """
    path = config.out / "folds" / key / FOLD
    if not path.is_file():
        return None
    path.with_name(CHECKPOINT).unlink(missing_ok=True)  # left where a kill came between the two
    return fold_from_json(read_json(path))


def count_done(folder: Path) -> int:
    """Count the folds of an evaluation that are done."""
    return len(list(folder.glob(f"folds/*/{FOLD}")))


# --- processes ---
# Folds spread over processes, one GPU or one share of the CPU each; no fold knows how many there are.
#
# A fold's numbers depend on its seed, its films and the number of threads, so a fold on a CPU
# has the same threads whether one runs or eight.

THREADS = 8  # of a fold on a CPU, at most: beyond it a batch of 32 films gains little
LOOKS_EVERY_S = 0.5  # how soon a process notices that it is alone
GPUS = "CUDA_VISIBLE_DEVICES"


def count_processes(config: EvaluateConfig) -> int:
    """Return how many folds are fitted at once.

    Raises:
        ConfigError: --gpus or --jobs does not go with the device.
        SetupError: there are fewer GPUs.
    """
    recipe = config.recipe
    on_cpu = recipe.baseline_only or choose_precision(recipe.device, recipe.precision).device.type == "cpu"
    if on_cpu and config.gpus > 1:
        why = "the baseline is fitted on the CPU" if recipe.baseline_only else "training would run on the CPU"
        raise ConfigError(f"--gpus {config.gpus} without a GPU to use", why=why, fix=f"--jobs {config.gpus}")
    if on_cpu:
        return config.jobs
    if config.jobs > 1:
        why = "folds that share a GPU wait for each other"
        raise ConfigError(f"--jobs {config.jobs} on a GPU", why=why, fix="--gpus N for several GPUs, or --device cpu")
    if config.gpus > 1 and recipe.device not in ("auto", "cuda"):
        why = "each process takes a GPU of its own"
        raise ConfigError(f"--gpus {config.gpus} with --device {recipe.device}", why=why, fix="--device cuda")
    if config.gpus > torch.cuda.device_count():
        why = f"PyTorch sees {torch.cuda.device_count()}"
        raise SetupError(f"--gpus {config.gpus}", why=why, fix=f"--gpus {torch.cuda.device_count()}")
    return config.gpus


def threads_of_a_fold() -> int:
    """Return how many threads a fold has on this machine's CPU."""
    return min(THREADS, torch.get_num_threads())


def fit_beside_each_other(
    plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig, processes: int
) -> Iterator[tuple[FoldPlan, tuple[str, ...]]]:
    """Fit and write folds, several at once.

    Yields:
        Each fold when it is written, with what its training said.

    Raises:
        TbconvError: the first that a fold met; the others are stopped.
    """
    hide_working_folder()
    context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not outlive a fork
    stop, gpus = context.Event(), context.SimpleQueue()
    for gpu in _gpus(config):
        gpus.put(gpu)
    start = (pool, config, threads_of_a_fold(), stop, gpus)
    with ProcessPoolExecutor(processes, context, _begin, start) as executor:
        try:
            asked = {executor.submit(_fit, plan): plan for plan in plans}
            for done in as_completed(asked):
                yield asked[done], done.result()
        except BrokenProcessPool as error:
            raise SetupError(
                "a process that fitted folds was ended from outside",
                why="most likely this machine has too little memory for so many at once",
                fix="the same command with --resume and fewer --jobs or --gpus",
            ) from error
        except BaseException:
            stop.set()  # or leaving the block would wait for folds that nobody wants any more
            raise


def _gpus(config: EvaluateConfig) -> list[str]:
    """Name a GPU for each process; none where there is nothing to share out."""
    if config.gpus == 1:
        return []
    seen = os.environ.get(GPUS)
    return seen.split(",") if seen else [str(number) for number in range(torch.cuda.device_count())]


_work: list[tuple[Pool, EvaluateConfig]] = []  # of a process: the films are sent to it once


def _begin(pool: Pool, config: EvaluateConfig, threads: int, stop: Event, gpus: SimpleQueue[str]) -> None:
    """Set up a process before it touches CUDA."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the first process says what to do
    threading.Thread(target=_end_with, args=(stop,), daemon=True).start()
    if config.gpus > 1:
        os.environ[GPUS] = gpus.get()
    torch.set_num_threads(threads)
    _work.append((pool, config))


def _end_with(stop: Event) -> None:
    """End this process when it is told to, or when the one that began it is gone, however it went."""
    parent = multiprocessing.parent_process()
    # Not `stop.wait`: setting an Event waits for its sleepers, and one that a SIGTERM has ended never answers.
    while not stop.is_set() and parent is not None and parent.is_alive():
        time.sleep(LOOKS_EVERY_S)
    os._exit(1)


def _fit(plan: FoldPlan) -> tuple[str, ...]:
    pool, config = _work[0]
    notes = Notes()
    write_fold(config, plan.key, fit_fold(plan, pool, config, notes))
    return tuple(notes.lines)


# --- fold voice ---
# What is heard of a fold while many are fitted: everything of the first, of the others where they are.

T = TypeVar("T")


class Notes(Silence):
    """Writes down what is said, for another process to say."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class FoldVoice:
    """Names the fold in every bar; its lines are said for the first fold alone, since all are fitted alike."""

    def __init__(self, reporter: Reporter, *, name: str, speaks: bool) -> None:
        self._reporter, self._name, self._speaks = reporter, name, speaks

    def say(self, line: str) -> None:
        """Print one line of the first fold."""
        if self._speaks:
            self._reporter.say(f"  {line}")

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""
        return self._reporter.track(items, title=f"{self._name}, {title}", total=total)
