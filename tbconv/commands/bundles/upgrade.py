"""`tbconv upgrade`: bring a bundle of an earlier schema to today's, without training or converting anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbconv.commands.options import PublicKey, RequireSignature, signature_rule
from tbconv.console import TerminalReporter, print_out

if TYPE_CHECKING:
    from tbconv.contract.bundle import Bundle
    from tbconv.contract.errors import Reporter
    from tbconv.contract.signature import SignatureRule


def upgrade(
    bundle: Annotated[Path, typer.Argument(help="Bundle of an earlier tbconv; it stays as it is.")],
    out: Annotated[Path, typer.Option(help="Bundle to write.")],
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
) -> None:
    """Bind an older bundle's threshold, labels and files to its certificate; its files answer as they did."""
    rule = signature_rule(public_key, required=require_signature)
    upgrade_bundle(bundle, out, TerminalReporter(), signature=rule)
    print_out(f"bundle: {out}\ncheck it on films: tbconv verify {out} --films DIR")


def upgrade_bundle(root: Path, out: Path, reporter: Reporter, *, signature: SignatureRule | None = None) -> None:
    """Write a bundle of today's schema from an older one, after every check that the older one allows.

    A private copy is checked and then sealed: what is replaced meanwhile is in neither.

    Args:
        root: the older bundle.
        out: the new one.
        reporter: gets a line a step.
        signature: the key that has to vouch for the older bundle; None requires none.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: its files contradict its manifest, do not answer as recorded, or it is of today's schema.
        ConfigError: `out` is the older bundle, or lies inside it.
    """
    from tbconv.contract.bundle import CERTIFICATE, MANIFEST, private_copy, read_bundle, refuse_inside
    from tbconv.contract.errors import BundleError
    from tbconv.contract.manifest import LACKS
    from tbconv.contract.signature import default_place

    refuse_inside(root, out, fix="choose another --out: the older bundle stays as it is")
    opened = read_bundle(root)
    if signature is not None:
        signature.check_bundle(opened)
    schema = opened.manifest.schema_version
    if not LACKS[schema]:
        why = f"its schema is {schema}, which lacks nothing that could be added without converting anew"
        raise BundleError(f"{root} needs no upgrade", why=why, fix=f"use it: tbconv verify {root} --quick")
    with private_copy(root) as old:
        if signature is not None:
            signature.check_bundle(replace(old, root=root))  # what was copied is what was opened
        _upgrade(old, root, out, reporter)
    reporter.say(f"{MANIFEST} and {CERTIFICATE} now hold each other's digest")
    if signed := [place for place in (default_place(root), default_place(out)) if place.is_file()]:
        reporter.say(f"{signed[-1]} vouches for the older files; sign the new ones: tbconv sign {out} --key KEY.pem")


def _upgrade(old: Bundle, root: Path, out: Path, reporter: Reporter) -> None:
    """Check a private copy of `root`, and seal what was checked."""
    from tbconv.contract import __version__
    from tbconv.contract.bundle import CERTIFICATE, MAKE_AGAIN, read_json, seal, write_bundle
    from tbconv.contract.consistency import UNBOUND
    from tbconv.contract.errors import BundleError
    from tbconv.contract.files import write_json as write
    from tbconv.contract.manifest import LACKS
    from tf_serve.runtime.selftest import self_test

    schema = old.manifest.schema_version
    reporter.say(f"{len(old.manifest.files)} files have the digests of the manifest")
    found = self_test(old)
    if not found.passed:
        problems = {row.path: row.problem for row in found.rows if row.problem} | found.problems
        why = "; ".join(f"{path}: {problem}" for path, problem in problems.items()) or "it holds no TFLite file"
        raise BundleError(f"{root} cannot be vouched for", why=why, fix=MAKE_AGAIN)
    reporter.say(f"{len(found.rows)} TFLite files answer as recorded, and agree with the manifest")
    with write_bundle(out) as folder:
        for name in old.manifest.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old.root / name, folder / name)
        write(folder / CERTIFICATE, read_json(folder / CERTIFICATE))  # by today's names
        digests = {"manifest_sha256": old.sha256, "certificate_sha256": old.digest(CERTIFICATE)}
        history = {"from_schema": schema, "tbconv": __version__, **digests}
        provenance = old.manifest.provenance | {"upgraded": history}
        seal(folder, replace(old.manifest, provenance=provenance, files={}))
    for lack in LACKS[schema]:
        reporter.say(f"added: {lack}")
    for note in found.notes:
        if note != UNBOUND:
            reporter.say(f"note: {note}")
