"""`tbconv push`: a bundle to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tbconv.commands.options import PublicKey, RequireSignature, signature_rule
from tbconv.console import TerminalReporter, print_out


def push(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made.")],
    repo: Annotated[str, typer.Argument(help="Model repository, OWNER/NAME; made where it is not there.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public; private by default.")] = False,
    uncertified: Annotated[
        bool, typer.Option("--uncertified", help="Push it though no trained file of it is certified to serve.")
    ] = False,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
) -> None:
    """Push a bundle to the Hugging Face Hub, with its model card; the token is $HF_TOKEN or that of `hf auth login`."""
    from tbconv.hub import PushConfig
    from tbconv.hub import push as push_bundle

    rule = signature_rule(public_key, required=require_signature)
    config = PushConfig(bundle=bundle, repo=repo, public=public, uncertified=uncertified, signature=rule)
    done = push_bundle(config, TerminalReporter())
    print_out(f"pushed: {done.commit}\n{done.words.disclaimer}")
