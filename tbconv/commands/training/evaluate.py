"""`tbconv evaluate`: films in; figures on held-out films, and reports of them, out."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from tbconv import api
from tbconv.commands.options import (
    Details,
    PublicKey,
    RequireSignature,
    given_on_the_command_line,
    interruptible,
    require_packages,
    signature_rule,
    with_options_of,
)
from tbconv.commands.training.train import train as train_command
from tbconv.console import TerminalReporter, print_opening, print_out, print_said, table_console
from tbconv.contract.errors import ConfigError

# Options of `tbconv train` that do not apply to a fold, or to two classes.
NOT_HERE = (
    *("out", "resume", "as_json", "gpus", "details", "calibration_films", "heldout_films", "log_to"),
    *("task", "names"),
)


@with_options_of(train_command, instead_of="recipe", leave_out=NOT_HERE)
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
    data: Annotated[
        Path | None, typer.Option(help="Folder of films; `tbconv data check` describes it. Needed but for --results.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Judge what `tbconv score` wrote, a folder or its results.csv, against --labels: site.json."),
    ] = None,
    label_table: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="With --results: table of labels; films by id, the end of a path, or film_sha256."
        ),
    ] = None,
    pseudonymise: Annotated[
        str | None, typer.Option(help="With --results whose ids are pseudonyms: the key that they were made with.")
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
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    details: Details = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of lines.")] = False,
    **recipe: Any,
) -> None:
    """Evaluate a recipe by training it repeatedly; with --bundle a bundle elsewhere; with --results a run's rows."""
    if results is not None or label_table is not None:
        _refuse_other_options(context, OF_RESULTS, "--results")
        own_options = {"out": out, "bundle": bundle, "pseudonymise": pseudonymise, "prevalence": prevalence}
        _evaluate_results(results, label_table, recipe, own_options, as_json=as_json, details=details)
        return
    if pseudonymise is not None:
        why = "it reads the ids of results"
        raise ConfigError("--pseudonymise without --results", why=why, fix="add --results RESULTS --labels CSV")
    if data is None:
        raise typer.BadParameter("it is needed where nothing but --results is judged", param_hint="--data")
    if bundle is not None:
        _refuse_other_options(context, OF_A_SITE, "--bundle")
        signature_rule(public_key, required=require_signature)  # a key that is missing or useless is said first
        site = {"artefact": artefact, "prevalence": prevalence, "public_key": public_key}
        _evaluate_at_site(bundle, out, recipe | {"data": data}, site, as_json=as_json, details=details)
        return
    if of_bundles := given_on_the_command_line(context, "artefact", "require_signature", "public_key"):
        options = " and ".join(of_bundles)
        raise ConfigError(
            f"{options} without --bundle", why="it is about a bundle", fix=f"add --bundle BUNDLE, or omit {options}"
        )
    if out is None:
        raise typer.BadParameter("it is needed where a recipe is evaluated", param_hint="--out")
    from torch_train.config import TrainConfig
    from torch_train.evaluation.config import EvaluateConfig
    from torch_train.evaluation.evaluate import evaluate as run
    from torch_train.evaluation.summary import SummaryConfig

    own = TrainConfig(out=out, data=data, **recipe)
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
    with interruptible(lambda: how_to_resume(out)):
        found, paths = run(config, reporter, resume=resume)
    if as_json:
        print_out(json.dumps(found, indent=2, sort_keys=True))
    else:
        print_figures(found, paths, details=details)


CHOICE = ("positive", "label", "negative", "uncertain")  # of torch_train.data.findings.LabelChoice
OF_EVERY = ("out", "bundle", "prevalence", "as_json", "details", *CHOICE, "quiet", "verbose")
OF_A_SITE = (*OF_EVERY, "artefact", "require_signature", "public_key", "data", "patient", "strict")
OF_RESULTS = (*OF_EVERY, "results", "label_table", "pseudonymise")


def _refuse_other_options(context: typer.Context, known: Collection[str], option: str) -> None:
    """Refuse options that --bundle or --results would ignore.

    Raises:
        ConfigError: naming them.
    """
    if dropped := given_on_the_command_line(context, *(name for name in context.params if name not in known)):
        options = " and ".join(sorted(dropped))
        why = "it measures what is there, and trains nothing"
        raise ConfigError(f"{options} with {option}", why=why, fix=f"omit {options}")


def _evaluate_results(
    results: Path | None,
    labels: Path | None,
    recipe: dict[str, Any],
    options: dict[str, Any],
    *,
    as_json: bool,
    details: bool,
) -> None:
    if results is None or labels is None:
        lacking, given = ("--results", "--labels") if results is None else ("--labels", "--results")
        why = "results are judged against a table of labels"
        raise ConfigError(f"{given} without {lacking}", why=why, fix="give both: --results RESULTS --labels CSV")
    require_packages("pyarrow", "fsspec")
    from convert.certificate.site.results import ResultsConfig, evaluate_results
    from tf_serve.score.films import Pseudonyms
    from torch_train.data.findings import LabelChoice

    place, key = results.resolve(), options["pseudonymise"]
    config = ResultsConfig(
        results=results,
        labels=labels,
        out=options["out"] or (place.parent if place.is_file() else place) / "evaluation",
        bundle=options["bundle"],
        prevalence=options["prevalence"],
        choice=LabelChoice(**{name: recipe[name] for name in CHOICE}),
        pseudonyms=None if key is None else Pseudonyms.read(key),
    )
    found = evaluate_results(config, TerminalReporter())
    _print_site(found, config.out, as_json=as_json, details=details)


def _print_site(found: dict[str, Any], place: Path, *, as_json: bool, details: bool) -> None:
    from convert.certificate.site.page import PAGE, lines, opening, warnings

    if as_json:
        print_out(json.dumps(found, indent=2, sort_keys=True))
        return
    print_opening(*opening(found), report=place / PAGE, details=details)
    for line in (*warnings(found), *(lines(found) if details else ()), found["disclaimer"]):
        print_said(line)


def _evaluate_at_site(
    bundle: Path, out: Path | None, recipe: dict[str, Any], site: dict[str, Any], *, as_json: bool, details: bool
) -> None:
    from tbconv.contract.certificate import SITE
    from tf_serve.runtime.trial import prepare

    prepare()  # it imports LiteRT while this process imports the rest
    root = bundle.resolve()
    place = out or root.parent / f"{root.name}.site"
    labels = {name: recipe[name] for name in ("patient", *CHOICE, "strict")}
    found = api.evaluate_at_site(bundle, recipe["data"], out=place, reporter=TerminalReporter(), **site, **labels)
    _print_site(found, place, as_json=as_json, details=details)
    if not as_json:
        print_out(f"show these figures: tbconv serve {bundle} --site {place / SITE}")


def how_to_resume(out: Path) -> str:
    """Return what an interrupted evaluation kept, and how to resume it."""
    from torch_train.evaluation.folds import TERMS, count_done

    if not (out / TERMS).is_file():
        return "stopped before the first fold was begun, so nothing was kept: run the same command again"
    return f"stopped; finished folds in {out}: {count_done(out)}. To continue: the same command with --resume"


def print_figures(summary: dict[str, Any], paths: list[Path], *, details: bool) -> None:
    """Print five lines that say what matters, the figures of each classifier, and the files with the rest."""
    from torch_train.evaluation.report import PAGE, models_section, opening

    page = next(path for path in paths if path.name == PAGE)
    print_opening(*opening(summary), report=page, details=details)
    if details:
        console, section = table_console(), models_section(summary)
        for one in section.tables:
            table = Table(box=box.SIMPLE)
            for column in one.columns:
                table.add_column(column)
            for row in one.rows:
                table.add_row(*map(str, row))
            console.print(table)
        for line in section.text:
            print_said(line)
    print_out(summary["disclaimer"])
    print_out(f"beside it: {', '.join(path.name for path in paths if path != page)}")
