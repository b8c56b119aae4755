"""`tbconv page`: a bundle as a folder for any web host, whose page answers films in the reader's own browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbconv import api
from tbconv.commands.options import PublicKey, RequireSignature, interruptible, signature_rule
from tbconv.console import TerminalReporter, print_out

if TYPE_CHECKING:
    from tf_serve.server.static_page import WrittenPage


def page(
    bundle: Annotated[Path, typer.Argument(help="Bundle that tbconv convert wrote; it stays as it is.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an older page there is replaced whole, nothing else is.")],
    artefact: Annotated[
        str | None, typer.Option(help="TFLite file; the one that the certificate proposes by default.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option(help="site.json of `tbconv evaluate --bundle`: show this site's figures.")
    ] = None,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as a program would read it.")] = False,
) -> None:
    """Write the page as static files: films are answered in the reader's browser and sent nowhere, offline too.

    Before it answers, the model proves itself in each browser on files of no patient; else it answers nothing.
    """
    signature_rule(public_key, required=require_signature)  # a key that is missing or useless is said first
    with interruptible(lambda: f"stopped; {out} is as it was before"):
        written = api.page(
            bundle, out, artefact=artefact, site=site, public_key=public_key, reporter=TerminalReporter()
        )
    if as_json:
        print_out(json.dumps(written.to_json(), indent=2, allow_nan=False))
        return
    for line in _lines(written):
        print_out(line)


def _lines(written: WrittenPage) -> list[str]:
    model = written.model
    lines = [
        f"page: {written.folder} ({written.files} files, {written.bytes / 1e6:.1f} MB, version {written.version})",
        f"answered by {model['artefact']} ({model['kind']}, {model['verdict']}, {model['version']})",
        f"in the reader's browser, once it has repeated {written.golden} golden files there",
    ]
    if model["fallback_reason"]:
        lines.append(f"the baseline answers: {model['fallback_reason']}")
    if not written.repeats:
        lines.append(
            "note: this processor's answers to the golden inputs differ from the recorded ones in the last bits, so "
            "golden films are held to what the network gets of them, not to their answers"
        )
    lines.append(
        f"try it: python -m http.server --bind 127.0.0.1 --directory {written.folder}, then http://127.0.0.1:8000"
    )
    return [*lines, model["disclaimer"]]
