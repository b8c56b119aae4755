"""`tbconv show`: what a bundle is, in one screen."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from tbconv.commands.options import PublicKey, RequireSignature, signature_rule
from tbconv.console import TerminalReporter, coloured, is_narrow, print_out, print_said, table_console

if TYPE_CHECKING:
    from tbconv.contract.bundle import Bundle
    from tbconv.contract.errors import BundleError


def show(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print manifest.json and certificate.json as one.")] = False,
    bom: Annotated[Path | None, typer.Option(help="Write a CycloneDX 1.6 ML-BOM of it to this file.")] = None,
    attestation: Annotated[
        Path | None, typer.Option(help="Write its verdicts to this file as an in-toto Test Result.")
    ] = None,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
) -> None:
    """Print what a bundle is: labels, decision rule, files, verdicts, what to deploy; exit 1 if it was edited."""
    from tbconv.contract.bundle import read_bundle
    from tbconv.contract.consistency import Binding, check_binding
    from tbconv.contract.errors import BundleError

    opened, problem = read_bundle(bundle), None
    if (rule := signature_rule(public_key, required=require_signature)) is not None:
        rule.check_bundle(opened)
    _write_for_others(opened, bom, attestation)
    certificate = opened.certificate()
    try:
        binding: str | None = check_binding(opened)
    except BundleError as error:
        binding, problem = None, error
    if as_json:
        both = {"manifest": opened.manifest.to_json(), "certificate": asdict(certificate), "binding": binding}
        print_out(json.dumps(both, indent=2, sort_keys=True))
    else:
        _print_bundle(opened, binding == Binding.UNBOUND, problem)
    raise typer.Exit(1 if problem else 0)


def _write_for_others(bundle: Bundle, bom: Path | None, attestation: Path | None) -> None:
    """Write what the tools of a supply chain read, of a bundle whose files are those that were certified."""
    if bom is None and attestation is None:
        return
    from tbconv.commands.bundles.supply_chain import bill_of_materials, test_result
    from tbconv.contract.bundle import refuse_inside
    from tbconv.contract.files import write_json

    for place, make, name in ((bom, bill_of_materials, "bom"), (attestation, test_result, "attestation")):
        if place is not None:
            fix = f"name a place beside the bundle: --{name} {bundle.root.resolve().parent / f'{name}.json'}"
            refuse_inside(bundle.root, place, fix=fix, option=f"--{name}")
            write_json(place, make(bundle))
            TerminalReporter().say(f"{name}: {place}")


def _print_bundle(opened: Bundle, unbound: bool, problem: BundleError | None) -> None:
    from tbconv.contract.consistency import UNBOUND

    if problem is not None:
        print_out(f"NOT BOUND: {problem.one_line}; what follows is not what was certified")
    if unbound:
        print_out(UNBOUND)
    _print_manifest(opened)
    _print_files(opened)
    _print_choice(opened)
    print_out(opened.manifest.words.disclaimer)


def _print_manifest(opened: Bundle) -> None:
    manifest = opened.manifest
    kind = "trained network" if manifest.kind == "trained" else "baseline only, no trained network"
    films = "SYNTHETIC phantoms" if manifest.synthetic else "films"
    print_out(f"{manifest.name}: {kind}, from {films}")
    print_out(f"labels: {manifest.labels.positive} (positive) against {manifest.labels.negative}")
    print_out(f"a flagged film: {manifest.words.flagged}")
    steps = manifest.provenance.get("retuned") or []
    whose = "films of a site" if steps else "validation films"
    for network, decision_rule in manifest.decision_rules.items():
        point, platt = decision_rule.operating_point, decision_rule.calibration
        print_out(
            f"{network}: flagged at a score of {decision_rule.threshold_score} or more, a margin of {point.margin:.3f} "
            f"(sensitivity {point.sensitivity:.2f} of "
            f"{point.positives}, specificity {point.specificity:.2f} of {point.negatives} {whose}); "
            f"probability = sigmoid({platt.slope:.3f} x margin {platt.offset:+.3f})"
        )
    if steps:
        _print_retunes(steps)
    training = manifest.provenance["training"]
    print_out(f"trained at {training.get('git_commit') or 'an unknown commit'}, GPU {training.get('gpu') or 'none'}")


def _print_retunes(steps: Any) -> None:
    """Print what thresholds were set anew for; a stranger's bundle may hold anything in that place."""
    try:
        for step in steps:
            asked = ", ".join(f"{name} {value:g}" for name, value in step["asked"].items())
            films = step["films"]
            print_out(f"threshold set anew for {asked} on {films['n']} films, digest {films['digest'][:12]}")
    except (KeyError, TypeError, ValueError, AttributeError):
        print_out("thresholds were set anew, and the record of it cannot be understood")


def _print_files(opened: Bundle) -> None:
    from tbconv.report_kit.needs import need_lines

    table, console = Table(box=box.SIMPLE), table_console()
    columns: tuple[str, ...] = ("file", "MB", "precision", "verdict", "reader", "converter")
    columns = columns[:4] if is_narrow(console) else columns
    for column in columns:
        table.add_column(column, justify="right" if column == "MB" else "left", no_wrap=column in ("file", "verdict"))
    for artefact in opened.manifest.artefacts:
        files = opened.manifest.files
        size = sum(record.bytes for path, record in files.items() if path.split("/")[0] == artefact.path)
        verdict = coloured(_verdict(opened, artefact.path))
        cells = (artefact.path, f"{size / 1e6:.3g}", artefact.precision, verdict, artefact.reader, artefact.converter)
        table.add_row(*cells[: len(columns)])
    console.print(table)
    for line in need_lines(opened.certificate().needs):
        print_out(line)


def _print_choice(opened: Bundle) -> None:
    from convert.formats.table import chosen_lines

    certificate = opened.certificate()
    for line in chosen_lines(certificate.scope.get("formats") or {}):
        print_said(line)
    if certificate.proposal is not None:
        print_out(f"deploy: {certificate.proposal}")


def _verdict(opened: Bundle, path: str) -> str:
    """Return the verdict, or that the file is no longer the one that it was given to."""
    from tbconv.contract.errors import ArtefactError

    try:
        opened.path(path)
    except ArtefactError:
        return "ALTERED" if (opened.root / path).exists() else "MISSING"
    return opened.verdict(path).verdict
