"""`tbconv serve`: a bundle over HTTP, with a page for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tbconv.console import TerminalReporter


def serve(
    bundle: Annotated[Path, typer.Argument(help="Folder that tbconv convert wrote.")],
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1, or 0.0.0.0 where $PORT is set.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; $PORT, or 8080. 0 takes any free one.")] = None,
    artefact: Annotated[
        str | None, typer.Option(help="TFLite file; the one that the certificate proposes by default.")
    ] = None,
) -> None:
    """Serve the bundle's certified network, or its baseline and the reason, until Ctrl-C."""
    from tf_serve import run

    chosen_host, chosen_port = run.choose_address(host, port)
    config = run.ServeConfig(bundle=bundle, host=chosen_host, port=chosen_port, artefact=artefact)
    run.serve(config, reporter=TerminalReporter())
