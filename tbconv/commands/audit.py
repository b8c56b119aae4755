"""`tbconv audit`: whether a shortcut explains a network's AUROC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tbconv.commands import Label, Negative, Strict, UncertainLabels
from tbconv.console import TerminalReporter, print_out, table_console
from tbconv.contract.errors import ConfigError

Folders = list[Path]


def audit(
    out: Annotated[Path, typer.Option("--out", help="Folder for audit.json and audit.html.")],
    data: Annotated[
        Folders | None, typer.Option("--data", metavar="DIR", help="A set with both classes; several are sources.")
    ] = None,
    positive_films: Annotated[
        Folders | None, typer.Option(metavar="DIR", help="A folder of positive films, a source of its own.")
    ] = None,
    negative_films: Annotated[
        Folders | None, typer.Option(metavar="DIR", help="A folder of negative films, a source of its own.")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="Regular expression that finds the patient in a file name.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Name of the positive class, where it cannot be guessed.")
    ] = None,
    label: Label = None,
    negative: Negative = None,
    uncertain: UncertainLabels = "leave-out",
    strict: Strict = False,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A trained run folder whose network is audited, too.")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Experts' boxes: file,x_min,y_min,x_max,y_max in fractions (with --run)."),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Lung masks, named as the films (with --run).")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="ResNet50 whose features propose near duplicates, instead of the run's (with --run)."
        ),
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", help="Films that a probe measures, drawn by patient.")] = 600,
    most_read: Annotated[
        int,
        typer.Option(metavar="N", help="Films that the network runs on; held-out films compared with training films."),
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample, the folds and the intervals.")] = 0,
    robustness: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|BUNDLE",
            help="Instead: count the decisions of a run, or of a bundle as it is served, that harmless changes of "
            "films move. A bundle needs --data DIR or --run RUN.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record instead of the table.")] = False,
) -> None:
    """Probe films, and a network trained on them, for shortcuts: exit 0 PASS, 1 SUSPECT."""
    if robustness is not None:
        idle = {
            "--positive-films": positive_films,
            "--negative-films": negative_films,
            "--patient": patient,
            "--boxes": boxes,
            "--masks": masks,
            "--weights": weights,
        }
        _refuse_idle([name for name, value in idle.items() if value])
        named = {"positive": positive, "label": label, "negative": negative, "uncertain": uncertain}
        if not data:
            plain = {"--uncertain": uncertain != "leave-out", "--strict": strict}
            about = {"--positive": positive, "--label": label, "--negative": negative} | plain
            _refuse_without_data([name for name, value in about.items() if value])
        _robustness(robustness, out, list(data or ()), run, most_read, seed, named, strict=strict, as_json=as_json)
        return
    from torch_train.evaluation.audit.audit import PAGE, RECORD
    from torch_train.evaluation.audit.audit import audit as probe
    from torch_train.evaluation.audit.findings import AuditConfig, Verdict

    config = AuditConfig(
        out=out,
        data=tuple(data or ()),
        positive_films=tuple(positive_films or ()),
        negative_films=tuple(negative_films or ()),
        patient=patient,
        positive=positive,
        label=label,
        negative=negative,
        uncertain=uncertain,  # type: ignore[arg-type]  # the labels' own choice refuses other words
        strict=strict,
        run=run,
        boxes=boxes,
        masks=masks,
        weights=weights,
        most=most,
        most_read=most_read,
        seed=seed,
    )
    found = probe(config, TerminalReporter())
    if as_json:
        print_out(json.dumps(found.to_json(), indent=2, sort_keys=True))
    else:
        _show(found.to_json())
        print_out(f"\n{out / PAGE}, {out / RECORD}")
    if found.verdict is Verdict.SUSPECT:
        raise typer.Exit(1)


def _refuse_idle(given: list[str]) -> None:
    if given:
        why = "it belongs to the probes for shortcuts"
        raise ConfigError(f"{', '.join(given)} with --robustness", why=why, fix="omit it, or omit --robustness")


def _refuse_without_data(given: list[str]) -> None:
    if given:
        options, why = " and ".join(given), "a run has kept its films with their labels"
        raise ConfigError(f"{options} without --data", why=why, fix=f"omit {options}, or add --data DIR")


def _robustness(
    target: Path,
    out: Path,
    data: Folders,
    run: Path | None,
    most: int,
    seed: int,
    named: dict[str, Any],
    *,
    strict: bool,
    as_json: bool,
) -> None:
    from rich import box
    from rich.table import Table

    from convert.certificate.robustness.report import COLUMNS, PAGE, RECORD, cells, summary
    from convert.certificate.robustness.suite import RobustnessConfig, audit_robustness
    from torch_train.data.findings import LabelChoice

    if len(data) > 1:
        why = "one set is changed at a time"
        raise ConfigError("--robustness with several --data", why=why, fix="name one of them")
    config = RobustnessConfig(
        target=target,
        out=out,
        data=data[0] if data else None,
        run=run,
        most=most,
        seed=seed,
        choice=LabelChoice(**named),
        strict=strict,
    )
    record = audit_robustness(config, TerminalReporter())
    if as_json:
        print_out(json.dumps(record, indent=2, sort_keys=True))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column)
    for row in record["changes"]:
        table.add_row(*cells(row), style=None if row["harmless"] else "dim")
    table_console().print(table)
    for line in (*summary(record), "", record["disclaimer"], f"\n{out / PAGE}, {out / RECORD}"):
        print_out(line)


def _show(record: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    from torch_train.evaluation.audit.report import COLUMNS, finding_cells, meaning, verdict_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, no_wrap=column in COLUMNS[1:6])
    for finding in record["findings"]:
        table.add_row(*finding_cells(finding), style="bold" if finding["verdict"] == "SUSPECT" else None)
    table_console().print(table)
    for line in (verdict_line(record), meaning(record), "", record["disclaimer"]):
        print_out(line)
