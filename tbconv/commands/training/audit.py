"""`tbconv audit`: whether a shortcut explains a network's AUROC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv.commands.options import (
    Details,
    PublicKey,
    RequireSignature,
    given_of,
    given_on_the_command_line,
    signature_rule,
    with_labels_of_films,
)
from tbconv.console import TerminalReporter, is_narrow, print_opening, print_out, print_said, table_console
from tbconv.contract.errors import ConfigError

if TYPE_CHECKING:
    from tbconv.contract.signature import SignatureRule

Folders = list[Path]


@with_labels_of_films
def audit(
    context: typer.Context,
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
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    details: Details = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record instead of the lines.")] = False,
    **labels: Any,
) -> None:
    """Probe films, and a network trained on them, for shortcuts: exit 0 PASS, 1 SUSPECT."""
    if robustness is not None:
        idle = {
            "--positive-films": positive_films,
            "--negative-films": negative_films,
            "--patient": labels["patient"],
            "--boxes": boxes,
            "--masks": masks,
            "--weights": weights,
        }
        _refuse_idle([name for name, value in idle.items() if value])
        if not data:
            _refuse_without_data([name for name in given_of(labels) if name != "--patient"])
        rule = signature_rule(public_key, required=require_signature)
        record = _robustness(robustness, out, list(data or ()), run, most_read, seed, labels, rule)
        _show_robustness(record, out, as_json=as_json, details=details)
        return
    of_bundles = given_on_the_command_line(context, "require_signature", "public_key")
    if of_bundles:
        why = "it is about the bundle whose decisions are counted"
        options = " and ".join(of_bundles)
        raise ConfigError(f"{options} without --robustness", why=why, fix=f"omit {options}")
    from torch_train.evaluation.audit.audit import PAGE
    from torch_train.evaluation.audit.audit import audit as probe
    from torch_train.evaluation.audit.findings import AuditConfig, Verdict

    config = AuditConfig(
        out=out,
        data=tuple(data or ()),
        positive_films=tuple(positive_films or ()),
        negative_films=tuple(negative_films or ()),
        **labels,
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
        _show(found.to_json(), out / PAGE, details=details)
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
    labels: dict[str, Any],
    rule: SignatureRule | None,
) -> dict[str, Any]:
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
        choice=LabelChoice(**{name: labels[name] for name in ("positive", "label", "negative", "uncertain")}),
        strict=labels["strict"],
        signature=rule,
    )
    return audit_robustness(config, TerminalReporter())


def _show_robustness(record: dict[str, Any], out: Path, *, as_json: bool, details: bool) -> None:
    from convert.certificate.robustness.report import COLUMNS, NARROW, PAGE, cells, opening, summary

    if as_json:
        print_out(json.dumps(record, indent=2, sort_keys=True))
        return
    print_opening(*opening(record), report=out / PAGE, details=details)
    for line in summary(record)[2:]:
        print_said(line)
    if details:
        rows = [(cells(row), None if row["harmless"] else "dim") for row in record["changes"]]
        _print_table(COLUMNS, rows, narrow=NARROW)
    print_out(record["disclaimer"])


def _show(record: dict[str, Any], page: Path, *, details: bool) -> None:
    """Print five lines that say what matters, then what was found, then the table."""
    from torch_train.evaluation.audit.report import COLUMNS, finding_cells, opening, suspicions

    print_opening(*opening(record), report=page, details=details)
    if details:
        rows = [(finding_cells(one), "bold" if one["verdict"] == "SUSPECT" else None) for one in record["findings"]]
        _print_table(COLUMNS, rows, narrow=COLUMNS[:5], whole=COLUMNS[1:6])
    else:
        for line in suspicions(record):
            print_said(f"  {line}")
    print_out(record["disclaimer"])


def _print_table(
    columns: Sequence[str],
    rows: Sequence[tuple[list[str], str | None]],
    *,
    narrow: Sequence[str],
    whole: Sequence[str] = (),
) -> None:
    """Print rows with their styles; in a narrow window those columns alone that decide."""
    from rich import box
    from rich.table import Table

    console = table_console()
    shown = [at for at, name in enumerate(columns) if name in narrow or not is_narrow(console)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at in shown:
        table.add_column(columns[at], no_wrap=columns[at] in whole)
    for cells, style in rows:
        table.add_row(*(cells[at] for at in shown), style=style)
    console.print(table)
