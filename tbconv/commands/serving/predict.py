"""`tbconv predict`: films in, one row each out."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tbconv.commands.options import DicomFormats, DicomOut, PublicKey, RequireSignature, signature_rule
from tbconv.console import PlainConsole, TerminalReporter, is_narrow, print_out
from tbconv.contract.errors import ConfigError, no_formula, printable, some

if TYPE_CHECKING:
    from tf_serve.batch import BatchAnswer, FilmAnswer

PIPE_WIDTH = 200  # letters; a pipe has no edge to fold a path at
SHOWN = 3  # films that a note names; --csv has a column of notes
STYLES = {"flagged": "bold red", "indeterminate": "bold yellow", "rejected": "yellow", "unreadable": "red"}
CSV = (
    "film", "status", "decision", "score", "threshold_score", "probability", "margin", "threshold",
    "indeterminate_band", "side", "zone", "reason", "artefact", "kind", "verdict", "version", "overlay", "notes",
    "error",
)  # fmt: skip
NO_FIGURES = ("",) * 5  # of a film without an answer: score, threshold, probability, margin, evidence


def predict(
    bundle: Annotated[Path, typer.Argument(help="Folder that tbconv convert wrote.")],
    films: Annotated[
        list[Path], typer.Argument(metavar="FILM...", help="PNG, JPEG or DICOM films, folders, zips or CDs of them.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print what a program would read.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row a film as CSV.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a film, one a line.")] = False,
    overlay: Annotated[Path | None, typer.Option(help="Folder for the films with their evidence maps.")] = None,
    dicom_out: DicomOut = None,
    dicom_formats: DicomFormats = "sr,sc,fhir",
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
    if as_json + as_csv + as_jsonl > 1:
        why = "one form is printed"
        raise ConfigError("two of --json, --csv and --jsonl", why=why, fix="omit all but one of them")
    from tf_serve.runtime.trial import prepare

    prepare()  # it imports LiteRT while this process imports the rest
    from tf_serve import batch
    from tf_serve.score.hospital import hospital_writer

    config = batch.PredictConfig(
        bundle=bundle,
        films=tuple(films),
        overlay=overlay,
        artefact=artefact,
        strict=strict,
        signature=signature_rule(public_key, required=require_signature),
        site=site,
        hospital=hospital_writer(dicom_out, dicom_formats, bundle=bundle, films=films),
    )
    answers = batch.predict(config, reporter=TerminalReporter())
    if as_json:
        left_out = [{"file": str(path), "kind": kind} for path, kind in answers.left_out]
        record = {"films": [_row_json(row) for row in answers.rows], "left_out": left_out}
        print_out(json.dumps(record, indent=2, allow_nan=False))
    elif as_csv or as_jsonl:
        for line in _csv_lines(answers) if as_csv else map(_json_line, answers.rows):
            print_out(line)
        for line in _foot(answers):
            TerminalReporter().say(line)
    else:
        _print_table(answers)
    if answers.unreadable:
        raise typer.Exit(1)


def _row_json(row: FilmAnswer) -> dict[str, Any]:
    if row.error is not None:
        error = {"what": row.error.what, "why": row.error.why, "fix": row.error.fix}
        return {"film": str(row.film), "status": "error", "error": error}
    picture = str(row.overlay) if row.overlay else None
    files = {"files": [str(one) for one in row.files]} if row.files else {}
    return {"film": str(row.film), **(row.result.to_json() if row.result else {}), "overlay": picture, **files}


def _json_line(row: FilmAnswer) -> str:
    return json.dumps(_row_json(row), allow_nan=False)


def _csv_lines(answers: BatchAnswer) -> Iterator[str]:
    """Yield the header and a row a film; what is said of this film alone stands under `notes`."""
    of_all, _ = _limits(answers)
    yield ",".join(CSV)
    for row in answers.rows:
        found = _row_json(row)
        model, error, evidence = found.get("model", {}), found.get("error", {}), found.get("evidence") or {}
        notes = [one for one in found.get("limits", ()) if one not in of_all]
        found |= {name: model.get(name) for name in ("artefact", "kind", "verdict", "version")}
        found |= {name: evidence.get(name) for name in ("side", "zone")}
        found |= {"film": no_formula(str(row.film)), "notes": " | ".join(notes)}
        found["error"] = f"{error['what']} ({error['why']})" if error else ""
        text = io.StringIO()
        cells = ("" if (value := found.get(name)) is None else printable(value) for name in CSV)
        csv.writer(text, lineterminator="").writerow(cells)
        yield text.getvalue()


def _print_table(answers: BatchAnswer) -> None:
    from rich.table import Table

    console = PlainConsole(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    columns = ("film", "answer", "score", "threshold", "probability", "margin", "evidence")
    shown = columns[:4] if is_narrow(console) else columns
    table = Table(*shown, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].overflow = table.columns[1].overflow = "fold"
    for row in answers.rows:
        film, answer, *figures = _cells(row)
        table.add_row(film, Text(printable(answer), style=_style(row)), *figures[: len(shown) - 2])
    console.print(table)
    if len(shown) < len(columns):
        console.print(f"{', '.join(columns[4:])}: in a wider window, or --csv", style="dim", soft_wrap=True)
    if len(answers.rows) > 1:
        console.print(_summary(answers), style="bold", soft_wrap=True)
    print_out()
    for line in _foot(answers):
        print_out(line)


def _limits(answers: BatchAnswer) -> tuple[list[str], dict[str, list[str]]]:
    """Return what is said of every film, and what is said of some, with their names."""
    results = [(str(row.film), row.result.limits) for row in answers.rows if row.result is not None]
    if not results:
        return [answers.words.disclaimer], {}
    of_all = [one for one in results[0][1] if all(one in limits for _, limits in results)]
    of_some: dict[str, list[str]] = {}
    for film, limits in results:
        for one in limits:
            if one not in of_all:
                of_some.setdefault(one, []).append(film)
    return of_all, of_some


def _summary(answers: BatchAnswer) -> str:
    """Count the answers, the commonest first."""
    counts = Counter(_kind_of(row) for row in answers.rows)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return f"{len(answers.rows)} films: {said}"


def _kind_of(row: FilmAnswer) -> str:
    if row.error is not None:
        return "unreadable"
    if row.result is None or row.result.finding is None:
        return "rejected"
    return row.result.finding.decision.replace("_", " ").replace("refer", "flagged")


def _style(row: FilmAnswer) -> str:
    return STYLES.get(_kind_of(row), "")


def _cells(row: FilmAnswer) -> tuple[str, ...]:
    if row.error is not None:
        return str(row.film), f"error: {row.error.one_line}", *NO_FIGURES
    if row.result is None or row.result.finding is None:
        refusal = row.result.refusal if row.result else None
        return str(row.film), f"rejected: {refusal.explanation if refusal else ''}", *NO_FIGURES
    found = row.result.finding
    return (
        str(row.film),
        found.words,
        f"{found.score}",
        f"{found.threshold_score}",
        f"{found.probability:.3f}",
        f"{found.margin:+.3f}",
        found.place,
    )


def _foot(answers: BatchAnswer) -> list[str]:
    from tbconv.contract.consistency import UNBOUND

    active = answers.active
    rule = active.decision_rule
    lines = [
        f"answered by {active.artefact} ({active.kind}, {active.verdict.verdict}, {active.version})",
        f"flagged from a score of {rule.threshold_score} up, which is a margin of {rule.operating_point.margin:+.3f}",
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
    of_all, of_some = _limits(answers)
    lines += of_all
    lines += [f"note on {some(films, SHOWN)}: {one}" for one, films in of_some.items()]
    written = [row.overlay for row in answers.rows if row.overlay]
    written += [one for row in answers.rows for one in row.files]
    return [*lines, *(f"wrote {printable(one)}" for one in written)]
