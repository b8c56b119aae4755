"""`tbconv score`: many films into sharded Parquet, by all cores of a machine, and on where a run was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tbconv import api
from tbconv.commands.options import (
    DicomFormats,
    DicomOut,
    PublicKey,
    RequireSignature,
    interruptible,
    require_packages,
    signature_rule,
)
from tbconv.console import TerminalReporter, print_out

if TYPE_CHECKING:
    from tf_serve.score.run import ScoreSummary

GateWord = Literal["strict", "basic", "off"]


def score(
    bundle: Annotated[Path, typer.Argument(help="Folder that tbconv convert wrote.")],
    films: Annotated[
        str,
        typer.Option(help="Folder, CSV table with a column film, zip or tar archive, or address (s3://...)."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of results; the same command again goes on in it.")],
    engine: Annotated[
        str,
        typer.Option(help="Who answers: local, all cores of this machine; ray (experimental), here or elsewhere."),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster (HOST:PORT, or auto); --engine ray starts Ray here by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, each with one thread; all usable cores by default.")
    ] = None,
    artefact: Annotated[
        str | None, typer.Option(help="TFLite file; the one that the certificate proposes by default.")
    ] = None,
    gate: Annotated[
        GateWord, typer.Option(help="What the input gate checks; basic: size, shape, colour and blank pictures alone.")
    ] = "strict",
    as_csv: Annotated[bool, typer.Option("--csv", help="Also write results.csv, one row a film.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as a program would read it.")] = False,
    pseudonymise: Annotated[
        str | None,
        typer.Option(help="Put keyed digests in the place of ids; the key is read from this file, or env:NAME."),
    ] = None,
    dicom_out: DicomOut = None,
    dicom_formats: DicomFormats = "sr,sc,fhir",
    shard_films: Annotated[int | None, typer.Option(min=1, help="Films of one Parquet file; 1,000 by default.")] = None,
    film_timeout: Annotated[float | None, typer.Option(min=0.1, help="That one film may take; 120 by default.")] = None,
    sign_key: Annotated[
        Path | None,
        typer.Option(help="Private key (PEM) that signs the run's receipts; tbconv sign --new-key makes one."),
    ] = None,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
) -> None:
    """Score many films into RESULTS/shards/*.parquet; stopped at any moment, the same command goes on.

    Results are patient data. Films that cannot be answered are quarantined with their reason, and the command then ends
    with exit code 1, as `tbconv predict` does.
    """
    from tf_serve.runtime.trial import prepare

    prepare()  # it imports LiteRT while this process imports the rest
    require_packages("pyarrow", "fsspec", *(["ray"] if engine == "ray" else []))
    signature_rule(public_key, required=require_signature)  # a key that is missing or useless is said first
    reporter = TerminalReporter()
    with interruptible(lambda: f"stopped: run the same command again, and it goes on in {out}"):
        summary = api.score(
            bundle,
            films,
            out,
            engine=engine,
            address=address,
            workers=workers,
            artefact=artefact,
            gate=gate,
            pseudonymise=pseudonymise,
            csv=as_csv,
            dicom_out=dicom_out,
            dicom_formats=dicom_formats,
            shard_films=shard_films,
            film_timeout_s=film_timeout,
            sign_key=sign_key,
            public_key=public_key,
            reporter=reporter,
        )
        page = _write_page(summary, reporter)
    if as_json:
        print_out(json.dumps(summary.to_json(), indent=2, sort_keys=True, allow_nan=False))
    else:
        for line in _lines(summary, page):
            print_out(line)
    if summary.quarantined:
        raise typer.Exit(1)


def _write_page(summary: ScoreSummary, reporter: TerminalReporter) -> Path | None:
    """Write summary.html where the packages that draw it are there."""
    try:
        from convert.certificate.site.run_page import write_page

        return write_page(summary.results, summary.to_json())
    except ModuleNotFoundError as error:
        reporter.say(f"no summary.html: {error.name} is not installed (pip install 'tbconv[train]')")
        return None


def _lines(summary: ScoreSummary, page: Path | None) -> list[str]:
    """Return what came out, in words; the first five are the summary."""
    from tf_serve.score.summary import lines as summary_lines

    model, words = summary.model["model"], summary.model["decision_words"]
    lines = summary_lines(summary.said)
    if summary.scored < summary.films:
        lines.append(f"{summary.scored:,} of them were scored now, the others before")
    if summary.scored:
        lines.append(f"{summary.films_a_second:,.1f} films a second, {_duration(summary.seconds)} in all")
    if summary.decisions.get("refer"):
        lines.append(words["refer"] if words["refer"].startswith("flagged") else f"flagged: {words['refer']}")
    if summary.quarantined:
        lines.append(f"why films are quarantined: {summary.results / 'quarantine.jsonl'}")
    if others := sum(summary.left_out.values()):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary.left_out.items())
        lines.append(f"{others:,} file{'s' * (others > 1)} left out by their place: {kinds}")
    if model["fallback_reason"]:
        lines.append(f"the baseline answers: {model['fallback_reason']}")
    lines.append(f"root of the receipts: {summary.root} (note it elsewhere: tbconv receipt {summary.results} FILM)")
    lines.append(f"wrote {summary.results}: patient data" + (f"; {page.name} there names none" if page else ""))
    return [*lines, *summary.model["limits"]]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
