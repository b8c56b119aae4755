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
from tbconv.contract.errors import ConfigError

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
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write: predictions, figures, report. [with --bundle: BUNDLE.site]"),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Measure this bundle on --data instead of training: figures of your own site, site.json."),
    ] = None,
    artefact: Annotated[
        str | None, typer.Option(help="With --bundle: TFLite file; the one that its certificate proposes by default.")
    ] = None,
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
    """Evaluate a recipe by training it repeatedly, or with --bundle an existing bundle on films from elsewhere."""
    if bundle is not None:
        _refuse_training_options(context)
        _evaluate_at_site(bundle, out, artefact, recipe, prevalence=prevalence, as_json=as_json)
        return
    if artefact is not None:
        raise ConfigError("--artefact without --bundle", why="it is a file of a bundle", fix="add --bundle BUNDLE")
    if out is None:
        raise typer.BadParameter("it is needed where a recipe is evaluated", param_hint="--out")
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


CHOICE = ("positive", "label", "negative", "uncertain")  # of torch_train.data.findings.LabelChoice
OF_A_SITE = ("out", "bundle", "artefact", "prevalence", "as_json", "data", "patient", *CHOICE, "strict")


def _refuse_training_options(context: typer.Context) -> None:
    """Refuse options that --bundle would ignore.

    Raises:
        ConfigError: naming them.
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    names = {one.name: one.opts[0] for one in context.command.params if one.name is not None}
    if dropped := [names[name] for name in given if name not in OF_A_SITE]:
        options = " and ".join(sorted(dropped))
        why = "it measures a network that is there, and trains none"
        raise ConfigError(f"{options} with --bundle", why=why, fix=f"omit {options}")


def _evaluate_at_site(
    bundle: Path,
    out: Path | None,
    artefact: str | None,
    recipe: dict[str, Any],
    *,
    prevalence: float,
    as_json: bool,
) -> None:
    from convert.certificate.site import SiteConfig, evaluate_at_site
    from convert.certificate.site_page import PAGE, lines
    from tbconv.contract.certificate import SITE
    from tf_serve.runtime.trial import prepare
    from torch_train.data.findings import LabelChoice

    prepare()  # it imports LiteRT while this process imports the rest
    root = bundle.resolve()
    config = SiteConfig(
        bundle=bundle,
        data=recipe["data"],
        out=out or root.parent / f"{root.name}.site",
        prevalence=prevalence,
        patient=recipe["patient"],
        choice=LabelChoice(**{name: recipe[name] for name in CHOICE}),
        strict=recipe["strict"],
        artefact=artefact,
    )
    found = evaluate_at_site(config, TerminalReporter())
    if as_json:
        print_out(json.dumps(found, indent=2, sort_keys=True))
        return
    for line in (*lines(found), found["disclaimer"]):
        print_out(line)
    print_out(f"report: {config.out / PAGE}")
    print_out(f"show these figures: tbconv serve {bundle} --site {config.out / SITE}")


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
