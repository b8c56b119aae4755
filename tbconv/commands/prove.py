"""`tbconv prove`: whether converted files are their ONNX graph, for every input and without a film."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbconv import api
from tbconv.console import TerminalReporter, print_out, table_console
from tbconv.contract.errors import DISCLAIMER

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
    as_json: Annotated[bool, typer.Option("--json", help="Print the proofs as JSON.")] = False,
) -> None:
    """Compare each file with its ONNX graph, every weight; exit 0 EQUIVALENT, 1 NOT EQUIVALENT, 3 CANNOT SAY."""
    reporter = TerminalReporter()
    if onnx is not None and converted is not None and bundle is None:
        proofs = api.prove(converted, onnx=onnx, reporter=reporter)
    elif bundle is not None and onnx is None and converted is None:
        proofs = api.prove(bundle, file, reporter=reporter)
    else:
        raise typer.BadParameter("give a BUNDLE, or --onnx and --file together")
    worst = next(one for one in WORST if any(proof.verdict == one for proof in proofs.values()))
    if as_json:
        found = {path: asdict(proof) for path, proof in proofs.items()}
        print_out(json.dumps({"verdict": worst, "proofs": found}, indent=2, allow_nan=False))
    else:
        _print(proofs, worst)
    raise typer.Exit(EXIT[worst])


def _print(proofs: dict[str, Proof], worst: str) -> None:
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
        table.add_row(path, proof.verdict, numbers, steps, f"{figures.get('seconds', 0):.1f}")
    table_console().print(table)
    for path, proof in proofs.items():
        print_out(f"{path}: {proof.verdict}: {proof.reason}")
    print_out(f"verdict: {worst}: {MEANS[worst]}")
    print_out("Proven is the arithmetic of the graph and its numbers; kernels, and integer activations, are measured.")
    print_out(DISCLAIMER)
