"""`tbconv retune`: a bundle and a site's films in, the same network with another threshold out, certified anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv import api
from tbconv.commands.options import PublicKey, RequireSignature, interruptible, signature_rule, with_labels_of_films
from tbconv.console import CANNOT_SAY, TerminalReporter, print_out

if TYPE_CHECKING:
    from convert.certificate.retune import Retuned


@with_labels_of_films
def retune(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made; it stays as it is.")],
    films: Annotated[Path, typer.Option(help="Folder of labelled films of your site, none of which trained it.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle to write; an old bundle there is replaced whole.")],
    sensitivity: Annotated[
        float | None, typer.Option(help="Share of the positives to flag, 0.95 say: the highest threshold that does.")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option(help="Share of the negatives not to flag, 0.7 say: the lowest threshold that does.")
    ] = None,
    score: Annotated[float | None, typer.Option(help="Score from which a film is flagged, 0 to 100.")] = None,
    leave_out_trained: Annotated[
        bool, typer.Option("--leave-out-trained", help="Go on without films that trained the network.")
    ] = False,
    most: Annotated[
        int, typer.Option(help="Most films to certify every file on; the threshold is set on all of them.")
    ] = 512,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what changed, verdicts and figures as JSON.")] = False,
    **labels: Any,
) -> None:
    """Set another threshold on a site's films: a new bundle, certified anew; no weight moves, the old one stays.

    Exit 3 where no float32 file could be certified on these films, because they show too little.
    """
    signature_rule(public_key, required=require_signature)  # a key that is missing or useless is said first
    with interruptible(lambda: f"stopped; {out} is as it was before"):
        done = api.retune(
            bundle,
            films,
            out,
            sensitivity=sensitivity,
            specificity=specificity,
            score=score,
            leave_out_trained=leave_out_trained,
            most=most,
            public_key=public_key,
            reporter=TerminalReporter(),
            **labels,
        )
    if as_json:
        print_out(json.dumps(done.to_json(), indent=2))
    else:
        _print(done)
    exact = {one.path for one in done.manifest.artefacts if one.is_exact and one.network == done.manifest.kind}
    if not any(str(done.verdicts[path].verdict) == "CERTIFIED" for path in exact):
        TerminalReporter().say("CANNOT SAY: no float32 file is certified, and its reason says what would be needed")
        raise typer.Exit(CANNOT_SAY)


def _print(done: Retuned) -> None:
    from convert.certificate.retune_page import lines

    for line in lines(done.record):
        print_out(line)
    for path, one in done.verdicts.items():
        print_out(f"  {path}: {one.verdict}; {one.reason}")
    print_out(f"to deploy: {done.certificate.proposal or 'the baseline: there is no trained network'}")
    print_out(done.certificate.disclaimer)
    print_out(f"bundle: {done.bundle}")
    print_out(f"measure it on other films: tbconv evaluate --bundle {done.bundle} --data OTHER_FILMS")
