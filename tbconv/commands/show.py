"""`tbconv show`: what a bundle is, in one screen."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from tbconv.console import print_out, table_console

if TYPE_CHECKING:
    from tbconv.contract.bundle import Bundle
    from tbconv.contract.errors import BundleError


def show(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print manifest.json and certificate.json as one.")] = False,
) -> None:
    """Print what a bundle is: labels, decision rule, files, verdicts, what to deploy; exit 1 if it was edited."""
    from tbconv.contract.bundle import read_bundle
    from tbconv.contract.consistency import Binding, check_binding
    from tbconv.contract.errors import BundleError

    opened, problem = read_bundle(bundle), None
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


def _print_bundle(opened: Bundle, unbound: bool, problem: BundleError | None) -> None:
    from tbconv.contract.consistency import UNBOUND

    if problem is not None:
        print_out(f"NOT BOUND: {problem.one_line}; what follows is not what was certified")
    if unbound:
        print_out(UNBOUND)
    _print_manifest(opened)
    _print_files(opened)
    _print_choice(opened)
    print_out(opened.certificate().disclaimer)


def _print_manifest(opened: Bundle) -> None:
    manifest = opened.manifest
    kind = "trained network" if manifest.kind == "trained" else "baseline only, no trained network"
    films = "SYNTHETIC phantoms" if manifest.synthetic else "films"
    print_out(f"{manifest.name}: {kind}, from {films}")
    print_out(f"labels: {manifest.labels.positive} (positive) against {manifest.labels.negative}")
    for network, decision_rule in manifest.decision_rules.items():
        point, platt = decision_rule.operating_point, decision_rule.calibration
        print_out(
            f"{network}: refer at a margin of {point.margin:.3f} or more (sensitivity {point.sensitivity:.2f} of "
            f"{point.positives}, specificity {point.specificity:.2f} of {point.negatives} validation films); "
            f"probability = sigmoid({platt.slope:.3f} x margin {platt.offset:+.3f})"
        )
    training = manifest.provenance["training"]
    print_out(f"trained at {training.get('git_commit') or 'an unknown commit'}, GPU {training.get('gpu') or 'none'}")


def _print_files(opened: Bundle) -> None:
    table = Table(box=box.SIMPLE)
    for column in ("file", "MB", "precision", "verdict", "reader", "converter"):
        table.add_column(column, justify="right" if column == "MB" else "left", no_wrap=column in ("file", "verdict"))
    for artefact in opened.manifest.artefacts:
        files = opened.manifest.files
        size = sum(record.bytes for path, record in files.items() if path.split("/")[0] == artefact.path)
        verdict = _verdict(opened, artefact.path)
        table.add_row(
            artefact.path, f"{size / 1e6:.3g}", artefact.precision, verdict, artefact.reader, artefact.converter
        )
    table_console().print(table)


def _print_choice(opened: Bundle) -> None:
    said = opened.certificate().proposal
    if said is not None:
        print_out(f"deploy: {said}")


def _verdict(opened: Bundle, path: str) -> str:
    """Return the verdict, or that the file is no longer the one that it was given to."""
    from tbconv.contract.errors import ArtefactError

    try:
        opened.path(path)
    except ArtefactError:
        return "ALTERED" if (opened.root / path).exists() else "MISSING"
    return opened.verdict(path).verdict
