"""`tbconv convert`: a run in, a certified bundle out."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbconv.commands.train import INTERRUPTED
from tbconv.console import TerminalReporter, print_out

if TYPE_CHECKING:
    from tbconv.contract.verdict import Certificate


def convert(
    run: Annotated[Path, typer.Argument(help="Run folder that `tbconv train` made.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle to write; an old bundle there is replaced whole.")],
    route: Annotated[
        str, typer.Option(help="Whose SavedModel and float32 TFLite are shipped: keras (ours) or onnx2tf.")
    ] = "keras",
    films: Annotated[int, typer.Option(help="Held-out films that every format must answer, at most.")] = 512,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            help="Node, or prefix of nodes, that the int8 file keeps in float32; may be repeated. Default: head, all "
            "behind the last feature map; name head, too, to keep it. 'none' keeps nothing."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report and the file to deploy as JSON.")] = False,
) -> None:
    """Convert to ONNX, SavedModel, H5, Keras and four TFLite files, and prove that nothing changed."""
    from convert.islands import HEAD
    from convert.pipeline import ConvertConfig
    from convert.pipeline import convert as run_conversion
    from tbconv.commands.parity_table import print_parity

    keep = tuple(keep_float or (HEAD,))
    config = ConvertConfig(run=run, out=out, route=route, films=films, keep_float=keep)  # type: ignore[arg-type]  # it refuses others
    reporter = TerminalReporter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C: nothing is left behind
    try:
        done = run_conversion(config, reporter)
    except KeyboardInterrupt:
        reporter.say(f"stopped; {out} is as it was before")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_out(json.dumps(done.report | {"deploy": done.certificate.deploy}, indent=2))
        return
    print_parity(done.report)
    for path, verdict in done.certificate.artefacts.items():
        print_out(f"  {path}: {verdict.verdict}; {verdict.reason}")
    _print_choice(done.certificate)
    print_out(f"\n{done.certificate.disclaimer}")
    print_out(f"converted in {done.seconds_converting:.0f} s, measured in {done.seconds_measuring:.0f} s")
    print_out(f"bundle: {done.bundle}\nnext: tbconv serve {done.bundle}")


def _print_choice(certificate: Certificate) -> None:
    if certificate.proposal is None:
        return
    print_out(f"\ndeploy: {certificate.proposal}")
    for path, why in certificate.deploy["others"].items():
        print_out(f"  not {path}: {why}")
