"""`tbconv verify`: measure a bundle again, and say whether it still is what its certificate says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tbconv.console import TerminalReporter, print_out


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made.")],
    films: Annotated[
        Path | None, typer.Option(help="Folder of films to feed; without it the bundle's golden inputs are fed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for parity.json and certificate.json; default BUNDLE.verify.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="As in `tbconv train`; for folders with labels.")] = None,
    positive: Annotated[str | None, typer.Option(help="As in `tbconv train`; for folders with labels.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print parity.json instead of the table.")] = False,
) -> None:
    """Check digests, then every format against PyTorch; exit 1 when a file does worse than its certificate."""
    from convert.verify import VerifyConfig
    from convert.verify import verify as run_verification
    from tbconv.commands.parity_table import print_parity

    beside = bundle if bundle.name else bundle.absolute()  # "." has no name of its own
    place = out or beside.with_name(f"{bundle.resolve().name}.verify")
    config = VerifyConfig(bundle=bundle, films=films, out=place, patient=patient, positive=positive)
    found = run_verification(config, TerminalReporter())
    if as_json:
        print_out(json.dumps(found.report, indent=2))
    else:
        print_parity(found.report)
        for path, reason in found.strays.items():
            print_out(f"STRAYS {path}: {reason}")
        print_out("verdict: " + ("every file is what its certificate says" if found.passed else "FAILED"))
        print_out(f"{found.certificate.disclaimer}\nreport: {place}")
    raise typer.Exit(0 if found.passed else 1)
