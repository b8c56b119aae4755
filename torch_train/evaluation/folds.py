"""All folds of an evaluation, top to bottom: films -> splits -> one fit per fold that is missing -> predictions."""

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
from dataclasses import replace
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

from tbconv.contract.bundle import MANIFEST, read_json
from tbconv.contract.environment import working_folder_hidden
from tbconv.contract.errors import ConfigError, Reporter, SetupError, Silence
from tbconv.contract.files import remove_leftovers, require_room, sha256_bytes, write_json
from tbconv.family import children_end_with_us
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms
from torch_train.engine.amp import Precision, choose_precision
from torch_train.engine.state import BEFORE
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
from torch_train.train import report_config

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue


def fit_folds(config: EvaluateConfig, reporter: Reporter, *, resume: bool = False) -> Predictions:
    """Fit every fold and keep its predictions for the films held out from it.

    Args:
        config: recipe and protocol.
        reporter: where progress goes.
        resume: go on with the evaluation in `config.out`; folds that are done are not fitted again.

    Returns:
        The contents of predictions.json.

    Raises:
        DataError: the films cannot be split.
        ConfigError: the folder holds something else, or was begun under other terms.
        SetupError: weights or a device are missing.
    """
    if resume and (config.out / TERMS).is_file():
        config = replace(config, recipe=config.recipe.as_begun(read_json(config.out / TERMS)))
    open_folder(config, resume=resume)  # whoever fits at the same time as another holds the folder's lock around this
    for folder in (config.out / "folds").glob("*"):  # now, not when each fold is reached: that may be hours from here
        remove_leftovers(folder)
    processes = count_processes(config)
    report_config(config.recipe, reporter)
    place = _try_start(config, processes)
    pool = read_pool(config.recipe, reporter, keep_test=config.protocol == "70/20/10")
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


def _try_start(config: EvaluateConfig, processes: int) -> dict[str, str]:
    """Fail early, before films are read; return the device and precision that all folds share."""
    recipe = config.recipe
    if recipe.baseline_only:
        return {}
    start = start_network(recipe, Silence())
    precision = start.precision
    if _keeps_checkpoints(precision):
        begun = sorted(config.out.glob(f"folds/*/{CHECKPOINT}"))  # folds that were stopped: they go on first
        places = [*begun, *[config.out / CHECKPOINT] * processes][:processes]  # the others are not there yet
        require_room({config.out: start.bytes_of_checkpoints(places)}, what="this evaluation")
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
            reporter.say(
                f"  {_name(plan, config)}: {left_out} films left out: they share a patient or a picture with test films"
            )
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
        fitted = fit_in_parallel(plans, pool, config, min(processes, len(plans)))
        for number, (plan, lines) in enumerate(fitted):
            for line in lines if number == 0 else ():
                reporter.say(f"  {line}")
            yield _name(plan, config)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_of_a_fold())
    try:
        for number, plan in enumerate(plans):
            of_fold = FoldReporter(reporter, name=_name(plan, config), prints=number == 0)
            write_fold(config, plan.key, fit_fold(plan, pool, config, of_fold))
            yield _name(plan, config)
    finally:
        torch.set_num_threads(threads)


def _name(plan: FoldPlan, config: EvaluateConfig) -> str:
    return f"repeat {plan.repeat + 1}, {plan.name}" if config.times > 1 else plan.name


def gather(plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig) -> Predictions:
    """Collect the predictions of every fold."""
    found = [(plan, read_fold(config, plan.key)) for plan in plans]
    if unfitted := [plan.key for plan, fold in found if fold is None]:
        raise ValueError(f"folds that are not fitted: {unfitted}")
    folds: tuple[Fold, ...] = tuple(fold for _, fold in found if fold is not None)
    return Predictions(
        labels=pool.labels,
        patients=pool.films.patients,
        sites=tuple(film.site for film in pool.index.films),
        sexes=tuple(film.sex for film in pool.index.films),
        ages=tuple(film.age for film in pool.index.films),
        names=pool.films.names,
        patients_known=pool.films.patients_known,
        synthetic=pool.films.synthetic,
        protocol=config.title,
        target_sensitivity=config.recipe.target_sensitivity,
        data_digest=pool.films.data_digest,
        recipe=config.recipe.stored(),
        folds=folds,
    )


# --- classifiers ---
# What a network has to beat: its baseline, age and sex alone, and the mere share of positives.

LEAST_KNOWN = 0.5  # of the films of either class; with fewer, whether they are known predicts more than their values
Margins = NDArray[np.float64]


def margins_of_prior(films: TrainingFilms) -> Margins:
    """Return the same margin for every film, float64 [N]: the log odds of a positive in the training part."""
    labels = films.labels_of("train")
    positives = int(labels.sum())
    return np.full(len(films.labels), np.log(positives / (len(labels) - positives)))


def demographic_columns(pool: Pool) -> NDArray[np.float64] | None:
    """Return age and sex as columns.

    Returns:
        float64 [N, 4]: age in years and its square (NaN where unknown), female, male (0 or 1). None where too
        few are known.
    """
    films = pool.index.films
    known = np.array([film.age is not None or film.sex is not None for film in films])
    if any(known[pool.labels == label].mean() < LEAST_KNOWN for label in (0, 1)):
        return None
    age = np.array([np.nan if film.age is None else film.age for film in films])
    sexes = [np.array([film.sex == sex for film in films], np.float64) for sex in ("F", "M")]
    return np.column_stack([age, age**2, *sexes])  # the square: the very young and the very old may be alike


def margins_of_demographics(columns: NDArray[np.float64], films: TrainingFilms) -> Margins:
    """Fit a logistic regression on age and sex of the training part; return its margins for every film, float64 [N].

    An unknown age is taken as the median of the training part, which predicts neither class.
    """
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(class_weight="balanced"),
    )
    model.fit(columns[films.parts["train"]], films.labels_of("train"))
    return np.asarray(model.decision_function(columns), np.float64)


# --- fit fold ---
# One fold: every classifier is fitted on its training films, its threshold chosen on validation films, the rest tested.


def fit_fold(plan: FoldPlan, pool: Pool, config: EvaluateConfig, reporter: Reporter) -> Fold:
    """Fit every classifier on one fold.

    A fold that was stopped goes on from its last checkpoint, if it has one.

    Raises:
        ConfigError: the loss became NaN, or the recipe does not fit.
        SetupError: weights or a device are missing.
    """
    films, recipe = plan.films_of(pool), config.recipe_of(plan.key, plan.seed)
    margins = {} if recipe.baseline_only else {TRAINED: _margins_of_network(films, recipe, reporter)}
    baseline = fit_baseline(films.model_inputs[films.parts["train"]], films.labels_of("train"), seed=plan.seed)
    margins |= {BASELINE: baseline_margins(baseline, films.model_inputs), PRIOR: margins_of_prior(films)}
    columns = demographic_columns(pool)
    if columns is not None:
        margins[AGE_SEX] = margins_of_demographics(columns, films)
    return Fold(
        repeat=plan.repeat,
        name=plan.name,
        rows=plan.test,
        margins={classifier: values[plan.test] for classifier, values in margins.items()},
        thresholds={classifier: _choose_threshold(values, films, recipe) for classifier, values in margins.items()},
    )


def _choose_threshold(margins: Margins, films: TrainingFilms, recipe: TrainConfig) -> float:
    """Choose on validation films; on the films of the test it is a transported one."""
    point = choose_operating_point(
        margins[films.parts["validation"]],
        films.labels_of("validation"),
        target_sensitivity=recipe.target_sensitivity,
        chosen_on=films.split_digest,
        choice=recipe.operating_point,
    )
    return point.margin


def _margins_of_network(films: TrainingFilms, recipe: TrainConfig, reporter: Reporter) -> Margins:
    """Train a network; NaN for its training films, float64 [N]."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    start = start_network(recipe, reporter)
    stored = _keeps_checkpoints(start.precision)
    resume = (recipe.out / CHECKPOINT).is_file()
    trained = fit_network(start, films, recipe, reporter, resume=resume, stored=stored)
    margins = np.asarray(trained.margins, np.float64)
    if start.precision.device.type == "cuda":
        del trained, start
        _free_gpu_memory()
    return margins


def _keeps_checkpoints(precision: Precision) -> bool:
    """Return whether a fold writes them: a GPU is done with it sooner than with writing; a CPU may need an hour."""
    return precision.device.type == "cpu"


def _free_gpu_memory() -> None:
    """Free what one fold leaves on the GPU: a captured graph keeps its memory, and the compiler counts its networks."""
    torch.compiler.reset()  # after eight networks it would give up and run the ninth as it is
    gc.collect()
    torch.cuda.empty_cache()


# --- fold files ---
# The folder of an evaluation: its terms, and a file for every fold that is done, written atomically.

TERMS = "terms.json"  # what all folds share: recipe, protocol, films, splits
FOLD = "fold.json"


def open_folder(config: EvaluateConfig, *, resume: bool) -> None:
    """Refuse a folder that holds something already, or nothing to go on with.

    Raises:
        ConfigError: it is not one for this command.
    """
    if resume and not (config.out / TERMS).is_file():
        why, fix = f"it has no {TERMS}", "omit --resume to start an evaluation"
        raise ConfigError(f"there is nothing to resume in {config.out}", why=why, fix=fix)
    kinds = {FILE: "an evaluation", TERMS: "an evaluation", RUN: "a run", CHECKPOINT: "a run", MANIFEST: "a bundle"}
    kinds["folds"] = "folds of an evaluation"  # of unknown terms
    for name, kind in kinds.items():
        if (config.out / name).exists() and not resume:
            go_on = "--resume to continue it, or " if kind == "an evaluation" else ""
            raise ConfigError(
                f"{config.out} holds {kind} already ({name})",
                why="an evaluation there would overwrite it",
                fix=f"{go_on}choose another --out",
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
    for name in (*terms, *sorted(then.keys() - terms.keys())):  # digests last: the other names explain more
        if then.get(name, BEFORE.get(name)) != terms.get(name):
            raise ConfigError(
                f"{name} is {_short(terms.get(name))}, {folder} was begun with {_short(then.get(name))}",
                why="folds fitted under different terms cannot be pooled",
                fix="resume with the original options, or start a new evaluation in another --out",
            )


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)  # a digest


def write_fold(config: EvaluateConfig, key: str, fold: Fold) -> None:
    """Write a fold's predictions, then delete the checkpoint that it no longer needs."""
    folder = config.out / "folds" / key
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FOLD, fold_to_json(fold))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def read_fold(config: EvaluateConfig, key: str) -> Fold | None:
    """Return a fold's predictions; None where it is not done.

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
# Folds spread over processes, one GPU or one share of the CPU each; no result depends on how many there are.
#
# A fold's numbers depend on its seed, its films and the number of threads, so a fold on a CPU
# has the same threads whether one runs or eight.

THREADS = 8  # of a fold on a CPU, at most: beyond it a batch of 32 films gains little
POLL_S = 0.5  # how soon a worker notices that its parent is gone
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


def _ended_early(codes: Sequence[int | None]) -> SetupError:
    """Return the error for a pool of which a process ended: by a signal, as memory's end is, or by an error of its own.

    Args:
        codes: exit codes of its processes; the pool itself terminates those that were left.
    """
    status = next((code for code in codes if code is not None and code > 0), None)
    if status is not None:
        return SetupError(
            "a process that fits folds could not go on",
            why=f"it ended with status {status}; what it said stands above",
            fix="the same command with --resume and --jobs 1, which shows the error itself",
        )
    return SetupError(
        "a process that fitted folds was killed",
        why="most likely this machine has too little memory for so many at once",
        fix="the same command with --resume and fewer --jobs or --gpus",
    )


def fit_in_parallel(
    plans: Sequence[FoldPlan], pool: Pool, config: EvaluateConfig, processes: int
) -> Iterator[tuple[FoldPlan, tuple[str, ...]]]:
    """Fit and write folds, several at once.

    Yields:
        Each fold when it is written, with the lines that its training reported.

    Raises:
        TbconvError: the first that a fold met; the others are stopped.
    """
    context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not outlive a fork
    with working_folder_hidden(), children_end_with_us():  # of the tracker too, which the first semaphore starts
        stop, gpus = context.Event(), context.SimpleQueue()
        for gpu in _gpus(config):
            gpus.put(gpu)
        start = (pool, config, threads_of_a_fold(), stop, gpus)
        with ProcessPoolExecutor(processes, context, _start_process, start) as executor:
            try:
                futures = {executor.submit(_fit, plan): plan for plan in plans}
                children = tuple(executor._processes.values())
                for done in as_completed(futures):
                    yield futures[done], done.result()
            except BrokenProcessPool as error:
                raise _ended_early([one.exitcode for one in children]) from error
            except BaseException:
                stop.set()  # or leaving the block would wait for folds that are no longer needed
                raise


def _gpus(config: EvaluateConfig) -> list[str]:
    """Name a GPU for each process; none where there is only one."""
    if config.gpus == 1:
        return []
    seen = os.environ.get(GPUS)
    return seen.split(",") if seen else [str(number) for number in range(torch.cuda.device_count())]


_work: list[tuple[Pool, EvaluateConfig]] = []  # of a process: the films are sent to it once


def _start_process(pool: Pool, config: EvaluateConfig, threads: int, stop: Event, gpus: SimpleQueue[str]) -> None:
    """Set up a process before it touches CUDA."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the parent handles it
    threading.Thread(target=_exit_when_stopped, args=(stop,), daemon=True).start()
    if config.gpus > 1:
        os.environ[GPUS] = gpus.get()
    torch.set_num_threads(threads)
    _work.append((pool, config))


def _exit_when_stopped(stop: Event) -> None:
    """End this process when `stop` is set, or when its parent is gone for whatever reason."""
    parent = multiprocessing.parent_process()
    # Not `stop.wait`: setting an Event waits for its sleepers, and one that was ended by SIGTERM never wakes.
    while not stop.is_set() and parent is not None and parent.is_alive():
        time.sleep(POLL_S)
    os._exit(1)


def _fit(plan: FoldPlan) -> tuple[str, ...]:
    pool, config = _work[0]
    notes = RecordedLines()
    write_fold(config, plan.key, fit_fold(plan, pool, config, notes))
    return tuple(notes.lines)


# --- fold reporters ---
# What is reported of a fold while many are fitted: everything of the first, only progress of the others.

T = TypeVar("T")


class RecordedLines(Silence):
    """Records lines, for another process to print."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class FoldReporter:
    """Names the fold in every progress bar; prints lines of the first fold alone, since all are fitted alike."""

    def __init__(self, reporter: Reporter, *, name: str, prints: bool) -> None:
        self._reporter, self._name, self._prints = reporter, name, prints

    def say(self, line: str) -> None:
        """Print one line of the first fold."""
        if self._prints:
            self._reporter.say(f"  {line}")

    def track(self, items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""
        return self._reporter.track(items, title=f"{self._name}, {title}", total=total)
