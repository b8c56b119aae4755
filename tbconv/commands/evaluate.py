"""`tbconv evaluate`: films in; figures on held-out films, and reports of them, out."""

from __future__ import annotations

import inspect
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from tbconv.commands.train import INTERRUPTED
from tbconv.commands.train import train as train_command
from tbconv.console import TerminalReporter, print_out, table_console

# Options of `tbconv train` that do not apply to a fold.
NOT_HERE = ("out", "resume", "as_json", "gpus", "calibration_films", "heldout_films")


def with_train_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `tbconv train` in place of its `**recipe`: they are defined in one place only."""
    own = [one for one in inspect.signature(command, eval_str=True).parameters.values() if one.name != "recipe"]
    of_train = inspect.signature(train_command, eval_str=True).parameters.values()
    both = [*own, *(one for one in of_train if one.name not in NOT_HERE)]
    keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in both]
    command.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # Typer reads it
    return command


@with_train_options
def evaluate(
    out: Annotated[Path, typer.Option("--out", help="Folder to write: predictions, figures, report.")],
    protocol: Annotated[
        str,
        typer.Option(help="folds; sites (each tested by a network trained on the others); 70/20/10 as train does."),
    ] = "folds",
    folds: Annotated[int | None, typer.Option(help="Parts that the films are split into. [default: 5]")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Repeats, each with a new split. [default: 5 with folds, else 1]")
    ] = None,
    prevalence: Annotated[float, typer.Option(help="Share of the screened who are ill, for PPV and yield.")] = 0.01,
    cost_film: Annotated[float | None, typer.Option(help="Of each person screened, in your currency.")] = None,
    cost_test: Annotated[float | None, typer.Option(help="Of each person referred.")] = None,
    gpus: Annotated[int, typer.Option(help="Fit folds on so many GPUs at once, one each.")] = 1,
    jobs: Annotated[int, typer.Option(help="Fit so many folds at once on a CPU.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue in --out; finished folds are kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of tables.")] = False,
    **recipe: Any,
) -> None:
    """Evaluate a recipe: train it repeatedly, each time test it on held-out films, and report."""
    from torch_train.config import TrainConfig
    from torch_train.evaluation.config import EvaluateConfig
    from torch_train.evaluation.evaluate import evaluate as run
    from torch_train.evaluation.summary import SummaryConfig

    own = TrainConfig(out=out, **recipe)
    summary = SummaryConfig(prevalence=prevalence, cost_film=cost_film, cost_test=cost_test, seed=own.seed)
    config = EvaluateConfig(
        recipe=own,
        protocol=protocol,  # type: ignore[arg-type]  # the config refuses other words
        folds=folds,
        repeats=repeats,
        summary=summary,
        gpus=gpus,
        jobs=jobs,
    )
    reporter = TerminalReporter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # treat SIGTERM as Ctrl-C
    try:
        found, paths = run(config, reporter, resume=resume)
    except KeyboardInterrupt:
        reporter.say(how_to_resume(out))
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_out(json.dumps(found, indent=2, sort_keys=True))
    else:
        print_figures(found, paths)


def how_to_resume(out: Path) -> str:
    """Return what an interrupted evaluation kept, and how to resume it."""
    from torch_train.evaluation.folds import TERMS, count_done

    if not (out / TERMS).is_file():
        return "stopped before the first fold was begun, so nothing was kept: run the same command again"
    return f"stopped; finished folds in {out}: {count_done(out)}. To continue: the same command with --resume"


def print_figures(summary: dict[str, Any], paths: list[Path]) -> None:
    """Print the films, the figures of each classifier, and the files with the rest."""
    from torch_train.evaluation.report import models_section, subject

    console, section = table_console(), models_section(summary)
    console.print(subject(summary), soft_wrap=True)
    for one in section.tables:
        table = Table(box=box.SIMPLE)
        for column in one.columns:
            table.add_column(column)
        for row in one.rows:
            table.add_row(*map(str, row))
        console.print(table)
    for line in (*section.text, summary["disclaimer"], *map(str, paths)):
        console.print(line, soft_wrap=True)
