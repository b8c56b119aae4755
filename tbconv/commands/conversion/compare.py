"""`tbconv compare`: did a change alter decisions? Two bundles, or a bundle and a file, on the same films."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tbconv import api
from tbconv.commands.options import PublicKey, RequireSignature, signature_rule, with_labels_of_films
from tbconv.console import TerminalReporter, print_out


@with_labels_of_films
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Bundle that serves, or a file.")],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="Bundle that shall, or a .tflite, .onnx, .keras, .h5 or SavedModel.")
    ],
    films: Annotated[Path, typer.Option(help="Folder of films; with labels for sensitivity and specificity.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report. [default: NEW.compare]")] = None,
    sensitivity_margin: Annotated[
        float | None, typer.Option(help="How much lower the sensitivity may be: 0.02 is two of a hundred.")
    ] = None,
    specificity_margin: Annotated[float | None, typer.Option(help="How much lower the specificity may be.")] = None,
    most_flips: Annotated[
        float | None, typer.Option(help="Share of films that may change; 0: none of these films, whatever others do.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="JSON file of these margins, written down beforehand; its digest is reported.")
    ] = None,
    leave_out_trained: Annotated[
        bool, typer.Option("--leave-out-trained", help="Go on without films that trained one of the two.")
    ] = False,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print compare.json.")] = False,
    **labels: Any,
) -> None:
    """Count the decisions that NEW takes otherwise than OLD, and hold them to margins given beforehand.

    Exit 0 every margin holds, 1 one is broken, 3 CANNOT SAY: the films are too few, and how many are needed is said.
    """
    from convert.certificate.comparison.compare import exit_code
    from convert.certificate.comparison.report import PAGE, lines
    from tf_serve.runtime.trial import prepare

    signature_rule(public_key, required=require_signature)  # a key that is missing or useless is said first
    prepare()  # it imports LiteRT while this process imports the rest
    root = new.resolve()
    place = out or root.parent / f"{root.name}.compare"
    found = api.compare(
        old,
        new,
        films,
        out=place,
        sensitivity_margin=sensitivity_margin,
        specificity_margin=specificity_margin,
        most_flips=most_flips,
        plan=plan,
        leave_out_trained=leave_out_trained,
        public_key=public_key,
        reporter=TerminalReporter(),
        **labels,
    )
    if as_json:
        print_out(json.dumps(found, indent=2, sort_keys=True))
    else:
        for line in (*lines(found), found["disclaimer"]):
            print_out(line)
        print_out(f"report: {place / PAGE}")
    raise typer.Exit(exit_code(found))
