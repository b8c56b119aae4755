"""`tbconv prove`: whether converted files are their ONNX graph, for every input and without a film."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbconv import api
from tbconv.commands.options import PublicKey, RequireSignature, signature_rule
from tbconv.console import TerminalReporter, coloured, print_out, print_said, table_console
from tbconv.contract.errors import NO_REFERRAL, Referral

if TYPE_CHECKING:
    from tbconv.contract.certificate import Proof

EXIT = {"EQUIVALENT": 0, "NOT EQUIVALENT": 1, "CANNOT SAY": 3}
WORST = ("NOT EQUIVALENT", "CANNOT SAY", "EQUIVALENT")
MEANS = {
    "EQUIVALENT": "every file computes what model.onnx computes, for every input, but for rounding as stated",
    "NOT EQUIVALENT": "a file computes something else than the ONNX graph",
    "CANNOT SAY": "no rule knows a part of a file: neither equal nor different is proven (docs/prove.md)",
}


def prove(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle, or folder of a converted ONNX model.")] = None,
    file: Annotated[str | None, typer.Argument(help="One file of it; default all that are made of model.onnx.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Instead of a bundle: the ONNX file.")] = None,
    converted: Annotated[
        Path | None, typer.Option("--file", help="With --onnx: a .tflite, .keras, .h5 or the folder of a SavedModel.")
    ] = None,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proofs as JSON.")] = False,
) -> None:
    """Compare each file with its ONNX graph, every weight; exit 0 EQUIVALENT, 1 NOT EQUIVALENT, 3 CANNOT SAY."""
    from tbconv.contract.signature import signed_place

    reporter, rule = TerminalReporter(), signature_rule(public_key, required=require_signature)
    words = NO_REFERRAL
    if onnx is not None and converted is not None and bundle is None:
        with signed_place(onnx, rule) as graph, signed_place(converted, rule) as made:
            proofs = api.prove(made, onnx=graph, reporter=reporter)
        proofs = {str(converted): proof for proof in proofs.values()}
    elif bundle is not None and onnx is None and converted is None:
        with signed_place(bundle, rule) as root:
            proofs, words = api.prove(root, file, reporter=reporter), _words(root)
    else:
        raise typer.BadParameter("give a BUNDLE, or --onnx and --file together")
    worst = next(one for one in WORST if any(proof.verdict == one for proof in proofs.values()))
    if as_json:
        found = {path: asdict(proof) for path, proof in proofs.items()}
        print_out(json.dumps({"verdict": worst, "proofs": found}, indent=2, allow_nan=False))
    else:
        _print(proofs, worst, words)
    raise typer.Exit(EXIT[worst])


def _words(root: Path) -> Referral:
    """Return what a flag of the bundle calls for; a folder of formats without a manifest names nothing."""
    from tbconv.contract.bundle import MANIFEST, read_bundle

    return read_bundle(root).manifest.words if (root / MANIFEST).is_file() else NO_REFERRAL


def _print(proofs: dict[str, Proof], worst: str, words: Referral) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title="against model.onnx, folded in float64", box=box.SIMPLE)
    for column in ("file", "verdict", "numbers", "float32 steps", "s"):
        left = column in ("file", "verdict")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for path, proof in proofs.items():
        figures = proof.figures
        steps = f"{figures['float32_steps']:.2f} of {figures['allowed_steps']:g}" if "float32_steps" in figures else "-"
        numbers = f"{figures['numbers']:,}" if "numbers" in figures else "-"
        table.add_row(path, coloured(proof.verdict), numbers, steps, f"{figures.get('seconds', 0):.1f}")
    table_console().print(table)
    for path, proof in proofs.items():
        print_said(f"{path}: {proof.verdict}: {proof.reason}")
    print_said(f"verdict: {worst}: {MEANS[worst]}")
    print_out("Proven is the arithmetic of the graph and its numbers; kernels, and integer activations, are measured.")
    print_out(words.disclaimer)
