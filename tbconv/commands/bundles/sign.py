"""`tbconv sign`: put a name to a bundle or a checkpoint, with a key, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tbconv.console import print_out
from tbconv.contract.errors import ConfigError


def sign(
    target: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="Bundle that `tbconv convert` made, or a checkpoint.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Private key, PEM, elliptic curve, without a password.")] = None,
    out: Annotated[Path | None, typer.Option(help="Signature; default BUNDLE.sig, beside the bundle.")] = None,
    new_key: Annotated[
        Path | None, typer.Option(help="Write a new private key here, and NAME.pub.pem beside it.")
    ] = None,
) -> None:
    """Sign every file of a bundle, or a checkpoint; every command that uses it can require that."""
    from tbconv.contract.signature import make_key
    from tbconv.contract.signature import sign as make_signature

    if new_key is None and (target is None or key is None):
        what = "there is no key to sign with" if key is None else "there is no bundle to sign"
        fix = "tbconv sign --new-key KEY.pem, then tbconv sign BUNDLE --key KEY.pem"
        raise ConfigError(what, why="a signature belongs to one bundle or checkpoint and one key", fix=fix)
    if new_key is not None and key is not None:
        why = "one makes a key, the other uses one that exists"
        raise ConfigError("--new-key and --key together", why=why, fix="omit one of them")
    if new_key is not None:
        public = make_key(new_key)
        print_out(f"private key: {new_key} (keep it; whoever has it signs as you)\npublic key: {public} (give it away)")
    if target is not None:
        print_out(f"signature: {make_signature(target, key or new_key or Path(), out)}")
