"""`tbconv predict`: films in, one row each out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv.commands.sign import PublicKey, RequireSignature, signature_rule
from tbconv.console import PlainConsole, TerminalReporter, print_out
from tbconv.contract.errors import DISCLAIMER, printable

if TYPE_CHECKING:
    from tf_serve.batch import BatchAnswer, FilmAnswer

PIPE_WIDTH = 200  # letters; a pipe has no edge to fold a path at


def predict(
    bundle: Annotated[Path, typer.Argument(help="Folder that tbconv convert wrote.")],
    films: Annotated[
        list[Path], typer.Argument(metavar="FILM...", help="PNG, JPEG or DICOM films, folders, zips or CDs of them.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print what a program would read.")] = False,
    overlay: Annotated[Path | None, typer.Option(help="Folder for the films with their evidence maps.")] = None,
    artefact: Annotated[
        str | None, typer.Option(help="TFLite file; the one that the certificate proposes by default.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse folders that hold anything but films, instead of leaving it out.")
    ] = False,
    site: Annotated[
        Path | None, typer.Option(help="site.json of `tbconv evaluate --bundle`: show this site's figures.")
    ] = None,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
) -> None:
    """Answer films with the bundle's certified network, or its baseline and the reason."""
    from tf_serve.runtime.trial import prepare

    prepare()  # it imports LiteRT while this process imports the rest
    from tf_serve import batch

    config = batch.PredictConfig(
        bundle=bundle,
        films=tuple(films),
        overlay=overlay,
        artefact=artefact,
        strict=strict,
        signature=signature_rule(public_key, required=require_signature),
        site=site,
    )
    answers = batch.predict(config, reporter=TerminalReporter())
    if as_json:
        left_out = [{"file": str(path), "kind": kind} for path, kind in answers.left_out]
        record = {"films": [_row_json(row) for row in answers.rows], "left_out": left_out}
        print_out(json.dumps(record, indent=2, allow_nan=False))
    else:
        _print_table(answers)
    if answers.unreadable:
        raise typer.Exit(1)


def _row_json(row: FilmAnswer) -> dict[str, Any]:
    if row.error is not None:
        error = {"what": row.error.what, "why": row.error.why, "fix": row.error.fix}
        return {"film": str(row.film), "status": "error", "error": error}
    picture = str(row.overlay) if row.overlay else None
    return {"film": str(row.film), **(row.result.to_json() if row.result else {}), "overlay": picture}


def _print_table(answers: BatchAnswer) -> None:
    from rich.table import Table

    table = Table("film", "answer", "probability", "margin", "evidence", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].overflow = table.columns[1].overflow = "fold"
    for row in answers.rows:
        table.add_row(*_cells(row))
    PlainConsole(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
    print_out()
    for line in _foot(answers):
        print_out(line)


def _cells(row: FilmAnswer) -> tuple[str, ...]:
    from tf_serve.predict import DECISION_WORDS

    if row.error is not None:
        return str(row.film), f"error: {row.error.one_line}", "", "", ""
    if row.result is None or row.result.finding is None:
        refusal = row.result.refusal if row.result else None
        return str(row.film), f"rejected: {refusal.explanation if refusal else ''}", "", "", ""
    found = row.result.finding
    return (
        str(row.film),
        DECISION_WORDS[found.decision],
        f"{found.probability:.3f}",
        f"{found.margin:+.3f}",
        found.place,
    )


def _foot(answers: BatchAnswer) -> list[str]:
    from tbconv.contract.consistency import UNBOUND

    active = answers.active
    point = active.decision_rule.operating_point
    lines = [
        f"answered by {active.artefact} ({active.kind}, {active.verdict.verdict}, {active.version})",
        f"a film is referred at a margin of {point.margin:+.3f} or more",
    ]
    if active.abstention_band:
        lines.append(
            f"within {active.abstention_band:.2g} of it the answer is indeterminate: "
            "this file's rounding could change the decision"
        )
    if active.binding == "unbound":
        lines.append(UNBOUND)
    if active.reason:
        lines.insert(0, f"the baseline answers: {active.reason}")
    rows = [row.result for row in answers.rows if row.result is not None]
    lines += list(rows[0].limits) if rows else [DISCLAIMER]
    return [*lines, *(f"wrote {printable(row.overlay)}" for row in answers.rows if row.overlay)]
