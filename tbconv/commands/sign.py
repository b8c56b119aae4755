"""`tbconv sign`: put a name to a bundle, with a key, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tbconv.console import TerminalReporter, print_out
from tbconv.contract.errors import ConfigError


def sign(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle that `tbconv convert` made.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key, PEM, elliptic curve, without a password.")] = None,
    out: Annotated[Path | None, typer.Option(help="Signature; default BUNDLE.sig, beside the bundle.")] = None,
    new_key: Annotated[
        Path | None, typer.Option(help="Write a new private key here, and NAME.pub.pem beside it.")
    ] = None,
) -> None:
    """Sign every file of a bundle; `tbconv verify BUNDLE --signature SIG --public-key PUB` checks it."""
    from convert.certificate.signature import make_key, sign_bundle

    if new_key is None and (bundle is None or key is None):
        what = "there is no key to sign with" if key is None else "there is no bundle to sign"
        fix = "tbconv sign --new-key KEY.pem, then tbconv sign BUNDLE --key KEY.pem"
        raise ConfigError(what, why="a signature is of one bundle and one key", fix=fix)
    if new_key is not None and key is not None:
        why = "one makes a key, the other uses one that exists"
        raise ConfigError("--new-key and --key together", why=why, fix="omit one of them")
    if new_key is not None:
        public = make_key(new_key)
        print_out(f"private key: {new_key} (keep it; whoever has it signs as you)\npublic key: {public} (give it away)")
    if bundle is not None:
        print_out(f"signature: {sign_bundle(bundle, key or new_key or Path(), out)}")


def check_signed(bundle: Path, signature: Path | None, public_key: Path | None) -> None:
    """Check a bundle's signature for `tbconv verify --signature SIG --public-key PUB`.

    Raises:
        ConfigError: one of the two options is missing.
        BundleError: the signature does not vouch for the bundle.
    """
    from convert.certificate.signature import check_signature

    if signature is None or public_key is None:
        missing = "--signature SIG" if signature is None else "--public-key PUB"
        why = "a signature says nothing unless it is known whose key made it"
        raise ConfigError(f"{missing} is missing", why=why, fix=f"add {missing}")
    check_signature(bundle, signature, public_key)
    TerminalReporter().say(f"{signature} vouches for every file of {bundle}, by the key of {public_key}")
