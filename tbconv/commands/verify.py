"""`tbconv verify`: measure a bundle again, and say whether it still is what its certificate says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tbconv.console import TerminalReporter, print_out


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made.")],
    films: Annotated[
        Path | None, typer.Option(help="Folder of films to feed; without it the bundle's golden inputs are fed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for parity.json and certificate.json; default BUNDLE.verify.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="As in `tbconv train`; for folders with labels.")] = None,
    positive: Annotated[str | None, typer.Option(help="As in `tbconv train`; for folders with labels.")] = None,
    most: Annotated[
        int | None,
        typer.Option(help="Feed at most so many films, evenly spread, those first that it was not trained on."),
    ] = None,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Ask every witness: other kernels, threads, optimisation, onnx2tf; minutes."),
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show where each TFLite file loses, node by node, against model.onnx.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Digests and golden answers alone, with the packages of serving.")
    ] = False,
    signature: Annotated[
        Path | None, typer.Option(help="Signature that `tbconv sign` wrote; needs --public-key.")
    ] = None,
    public_key: Annotated[Path | None, typer.Option(help="Public key, PEM, of whoever signed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print parity.json instead of the table.")] = False,
) -> None:
    """Check digests, then every format against PyTorch; exit 1 when a file does worse than its certificate."""
    if signature is not None or public_key is not None:
        _check_signature(bundle, signature, public_key)
    if quick:
        _check_quickly(bundle, as_json=as_json)
    beside = bundle if bundle.name else bundle.absolute()  # "." has no name of its own
    place = out or beside.with_name(f"{bundle.resolve().name}.verify")
    if layers:
        _show_layers(bundle, place, films, most, as_json=as_json)
    _measure(bundle, place, films, patient, positive, most, matrix=matrix, as_json=as_json)


def _check_signature(bundle: Path, signature: Path | None, public_key: Path | None) -> None:
    from tbconv.commands.sign import check_signed

    check_signed(bundle, signature, public_key)


def _check_quickly(bundle: Path, *, as_json: bool) -> NoReturn:
    from tbconv.commands.quick_check import check_quickly

    raise typer.Exit(0 if check_quickly(bundle, as_json=as_json) else 1)


def _show_layers(bundle: Path, place: Path, films: Path | None, most: int | None, *, as_json: bool) -> NoReturn:
    from convert.layer_table import layer_lines
    from convert.layers import LayersConfig, verify_layers

    config = LayersConfig(bundle=bundle, out=place, films=films)
    looked = verify_layers(config if most is None else replace(config, most=most), TerminalReporter())
    if as_json:
        print_out(json.dumps(looked.to_json(), indent=2))
    else:
        print_out("\n".join([*layer_lines(looked), f"report: {place}"]))
    raise typer.Exit(0)


def _measure(
    bundle: Path,
    place: Path,
    films: Path | None,
    patient: str | None,
    positive: str | None,
    most: int | None,
    *,
    matrix: bool,
    as_json: bool,
) -> NoReturn:
    from convert.verify import VerifyConfig
    from convert.verify import verify as run_verification
    from tbconv.commands.parity_table import print_parity

    config = VerifyConfig(
        bundle=bundle, films=films, out=place, patient=patient, positive=positive, most=most, matrix=matrix
    )
    found = run_verification(config, TerminalReporter())
    if as_json:
        print_out(json.dumps(found.report, indent=2))
    else:
        print_parity(found.report)
        for path, reason in found.strays.items():
            print_out(f"STRAYS {path}: {reason}")
        print_out("verdict: " + ("every file is what its certificate says" if found.passed else "FAILED"))
        print_out(f"{found.certificate.disclaimer}\nreport: {place}")
    raise typer.Exit(0 if found.passed else 1)
