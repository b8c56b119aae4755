"""The recipe: films -> weights -> operating point -> a run folder, top to bottom."""

from __future__ import annotations

from pathlib import Path

from tbconv.contract.bundle import MANIFEST
from tbconv.contract.errors import ConfigError
from tbconv.contract.files import write_json
from tbconv.contract.reporter import Reporter
from torch_train.baseline import baseline_margins, fit_baseline
from torch_train.config import TrainConfig
from torch_train.films import prepare_films
from torch_train.fit import fit_network, start_network
from torch_train.judgement import BASELINE_NETWORK, TRAINED, collect_metrics, read_out
from torch_train.ranks import leader_first
from torch_train.results import write_results
from torch_train.run_folder import CHECKPOINT, CONFIG, RUN


def train(config: TrainConfig, reporter: Reporter, *, resume: bool = False) -> Path:
    """Train, judge and store.

    Args:
        config: every number of the recipe.
        reporter: where progress goes.
        resume: go on from the checkpoint in `config.out`.

    Returns:
        The run folder, finished.

    Raises:
        DataError: the films cannot be trained on.
        ConfigError: the folder holds another run, or the recipe does not fit.
        SetupError: weights or a device are missing.
    """
    open_run_folder(config, resume=resume)
    say_recipe(config, reporter)
    start = None if config.baseline_only else start_network(config, reporter)
    with leader_first("films"):
        films = prepare_films(config, reporter)
    baseline = fit_baseline(films.squares[films.parts["train"]], films.labels_of("train"), seed=config.seed)
    judged = {BASELINE_NETWORK: read_out(baseline_margins(baseline, films.squares), films, config)}
    trained = None if start is None else fit_network(start, films, config, reporter, resume=resume)
    if trained is not None:
        judged = {TRAINED: read_out(trained.margins, films, config), **judged}
    metrics = collect_metrics(judged, films, config)
    write_results(films, config, trained=trained, baseline=baseline, judged=judged, metrics=metrics)
    return config.out


def open_run_folder(config: TrainConfig, *, resume: bool) -> None:
    """Make the folder, or refuse one that holds a run already, a bundle, or nothing to resume."""
    if resume:
        _require_checkpoint(config)
        return
    for name in (RUN, CHECKPOINT, MANIFEST):
        if (config.out / name).exists():
            kind, fix = ("a bundle", "") if name == MANIFEST else ("a run", "--resume to go on with it, or ")
            raise ConfigError(
                f"{config.out} holds {kind} already ({name})",
                why="training there would overwrite it",
                fix=f"{fix}another --out",
            )
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / CONFIG, config.stored())


def _require_checkpoint(config: TrainConfig) -> None:
    """Refuse before films are read what `load_checkpoint` would refuse after it."""
    if config.baseline_only:
        why = "the baseline is fitted in one go, and a trained run would be judged anew without its network"
        raise ConfigError("--resume with --baseline-only", why=why, fix="leave one of them away")
    if not (config.out / CHECKPOINT).is_file():
        why = f"it has no {CHECKPOINT}"
        raise ConfigError(f"nothing to resume in {config.out}", why=why, fix="leave --resume away to begin")


def say_recipe(config: TrainConfig, reporter: Reporter) -> None:
    """Print every number."""
    reporter.say("recipe:")
    for name, value in config.stored().items():
        reporter.say(f"  {name}: {value}")
