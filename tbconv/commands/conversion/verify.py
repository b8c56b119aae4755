"""`tbconv verify`: measure a bundle again and compare it with its certificate."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tbconv import api
from tbconv.commands.conversion.ci import (
    CheckFiles,
    facts_of_verified,
    rows_of_portability,
    rows_of_self_test,
    rows_of_trace,
    rows_of_verified,
)
from tbconv.commands.options import (
    Details,
    PublicKey,
    RequireSignature,
    given_of,
    require_packages,
    signature_rule,
    with_labels_of_films,
)
from tbconv.console import CANNOT_SAY, TerminalReporter, coloured, print_opening, print_out, print_said
from tbconv.contract.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

    from convert.verify import Verified
    from tbconv.contract.signature import SignatureRule
    from tf_serve.runtime.selftest import GoldenResult, SelfTest


OF_LABELS = ("--patient", "--positive", "--label", "--negative", "--uncertain", "--strict")  # of the films of a folder


@with_labels_of_films
def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `tbconv convert` made.")],
    films: Annotated[
        Path | None, typer.Option(help="Folder of films to feed; without it the bundle's golden inputs are fed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for parity.json and certificate.json; default BUNDLE.verify.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(help="Most films to run, evenly spread, those first that it was not trained on."),
    ] = None,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Run further runtimes: other kernels, threads, optimisation, onnx2tf; minutes."),
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show where each TFLite file loses, node by node, against model.onnx.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Name the first ONNX node that each file gets wrong; exit 1 if one does.")
    ] = False,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="TARGETS",
            help="Run the TFLite files elsewhere: avx2, aarch64, cortex-a53, cortex-a76, wasm, webgpu, compiled-model; "
            "or all.",
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="With --where: most minutes for the films of one file on one slow target.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Digests and golden answers alone, with the packages of serving.")
    ] = False,
    details: Details = False,
    require_signature: RequireSignature = False,
    signature: Annotated[
        Path | None, typer.Option(help="Signature that `tbconv sign` wrote, if not BUNDLE.sig; needs --public-key.")
    ] = None,
    public_key: PublicKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every check as a test of JUnit XML, for a CI server.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write the checks as Markdown, for the page of a CI run.")
    ] = None,
    **labels: Any,
) -> None:
    """Check digests, then every format against PyTorch.

    Exit 0: every file does as well as its certificate says. 1: one does worse, or the bundle is refused. 2: wrong
    usage. 3: CANNOT SAY, these inputs show too little of a float32 file.
    """
    given: dict[str, object] = {
        "--out": out,
        "--films": films,
        "--most": most,
    }
    given |= given_of(labels)
    given |= {"--matrix": matrix or None, "--layers": layers or None, "--trace": trace or None}
    given |= {"--details": details or None, "--where": where, "--minutes": minutes}
    if layers:
        _refuse_files(junit, summary)
    _refuse_dropped(given, quick=quick)
    if not quick:
        require_packages("torch", "onnx", "onnxruntime")
    place = _place(bundle, out)
    rule = signature_rule(public_key, required=require_signature, signature=signature)
    files = CheckFiles(bundle, junit, summary)
    with files.errors_too(), _vouched(bundle, rule) as checked:
        _require_bound(checked)
        if quick:
            raise typer.Exit(0 if check_quickly(checked, shown=bundle, as_json=as_json, files=files) else 1)
        if trace:
            _trace(checked, place, films, most, files, as_json=as_json)
        if where is not None:
            _try_elsewhere(checked, place, films, labels, most, files, where=where, minutes=minutes, as_json=as_json)
        if layers:
            _show_layers(checked, place, films, most, as_json=as_json)
        _measure(checked, place, films, labels, most, files, matrix=matrix, as_json=as_json, details=details)


@contextlib.contextmanager
def _vouched(root: Path, rule: SignatureRule | None) -> Iterator[Path]:
    """Yield the bundle; where a signature is required, a copy that nobody else can change, after it was checked."""
    if rule is None:
        yield root
        return
    from tbconv.contract.signature import signed_bundle

    with signed_bundle(root, rule) as copy:
        TerminalReporter().say(f"the key of {rule.key_name} vouches for every file of {root}")
        yield copy


def _require_bound(root: Path) -> None:
    """Refuse a manifest that its certificate is not about, before any threshold, label or file of it is used.

    Raises:
        BundleError: saying what changed.
    """
    from tbconv.contract.bundle import read_bundle
    from tbconv.contract.consistency import check_binding

    check_binding(read_bundle(root))


def _refuse_dropped(given: Mapping[str, object], *, quick: bool) -> None:
    """Refuse options that the chosen way of verifying would ignore silently.

    Raises:
        ConfigError: naming them.
    """
    named = [name for name, value in given.items() if value is not None]
    if quick:
        why = "it repeats the recorded answers to the golden inputs, and writes no report"
        _refuse(named, "with --quick", why=why, instead="omit --quick")
    elif "--where" in named:
        dropped = [name for name in named if name in ("--matrix", "--layers", "--trace", "--details")]
        why = "it compares a file with itself on other processors and in other runtimes"
        _refuse(dropped, "with --where", why=why, instead="omit --where")
        unread = [] if "--films" in named else [name for name in named if name in OF_LABELS]
        _refuse(unread, "without --films", why="it is about the films of a folder", instead="add --films DIR")
    elif "--minutes" in named:
        _refuse(["--minutes"], "without --where", why="it is about its targets", instead="add --where all")
    elif "--trace" in named:
        dropped = [name for name in named if name in ("--matrix", "--layers", "--details", *OF_LABELS)]
        why = "it compares every file with the weights exported anew, node by node, and reads no labels"
        _refuse(dropped, "with --trace", why=why, instead="omit --trace")
    elif "--layers" in named:
        dropped = [name for name in named if name in ("--matrix", "--details", *OF_LABELS)]
        why = "it compares each TFLite file with model.onnx, node by node, and reads no labels"
        _refuse(dropped, "with --layers", why=why, instead="omit --layers")
    elif "--films" not in named:
        about = OF_LABELS if "--matrix" in named else (*OF_LABELS, "--most")
        why = "it is about the films of a folder"
        _refuse([name for name in named if name in about], "without --films", why=why, instead="add --films DIR")


def _refuse_files(junit: Path | None, summary: Path | None) -> None:
    named = [name for name, place in (("--junit", junit), ("--summary", summary)) if place is not None]
    _refuse(named, "with --layers", why="it shows where files lose, and judges none", instead="omit --layers")


def _refuse(dropped: list[str], way: str, *, why: str, instead: str) -> None:
    if dropped:
        options = " and ".join(dropped)
        raise ConfigError(f"{options} {way}", why=why, fix=f"omit {options}, or {instead}")


def _place(bundle: Path, out: Path | None) -> Path:
    """Return the folder of the report, BUNDLE.verify where none is given; ConfigError inside the bundle."""
    from tbconv.contract.bundle import refuse_inside

    root = bundle.resolve()
    beside = root.parent / f"{root.name}.verify"
    if out is not None:
        refuse_inside(root, out, fix=f"omit --out, which takes {beside}")
    return out or beside


def _show_layers(bundle: Path, place: Path, films: Path | None, most: int | None, *, as_json: bool) -> NoReturn:
    from convert.layerwise.layers import layer_lines, verify_layers
    from convert.layerwise.walk import WalkConfig

    report = verify_layers(WalkConfig(bundle=bundle, out=place, films=films, most=most), TerminalReporter())
    _print_report(report.to_json(), [*layer_lines(report), f"report: {place}"], as_json=as_json)
    raise typer.Exit(0)


def _trace(
    bundle: Path, place: Path, films: Path | None, most: int | None, files: CheckFiles, *, as_json: bool
) -> NoReturn:
    from convert.layerwise.trace import trace_bundle, trace_lines
    from convert.layerwise.walk import WalkConfig

    report = trace_bundle(WalkConfig(bundle=bundle, out=place, films=films, most=most), TerminalReporter())
    files.write(rows_of_trace(report), (f"fed: {report.description}",))
    _print_report(report.to_json(), [*trace_lines(report), f"report: {place}"], as_json=as_json)
    raise typer.Exit(0 if report.passed else 1)


def _try_elsewhere(
    bundle: Path,
    place: Path,
    films: Path | None,
    labels: dict[str, Any],
    most: int | None,
    files: CheckFiles,
    *,
    where: str,
    minutes: float | None,
    as_json: bool,
) -> NoReturn:
    from convert.certificate.portability import PAGE, verdict

    found = api.where(
        bundle, where, films, out=place, **labels, most=most, minutes=minutes, reporter=TerminalReporter()
    )
    files.write(rows_of_portability(found), (f"fed: {found.films['description']}",))
    said = [*(row.line() for row in found.rows), f"verdict: {verdict(found)}", f"report: {place / PAGE}"]
    _print_report(found.to_json(), [*said, found.disclaimer], as_json=as_json)
    raise typer.Exit(1 if not found.passed else CANNOT_SAY if found.undecided else 0)


def _print_report(content: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    print_out(json.dumps(content, indent=2) if as_json else "\n".join(lines))


def _measure(
    bundle: Path,
    place: Path,
    films: Path | None,
    labels: dict[str, Any],
    most: int | None,
    files: CheckFiles,
    *,
    matrix: bool,
    as_json: bool,
    details: bool,
) -> NoReturn:
    found = api.verify(
        bundle,
        films,
        out=place,
        **labels,
        most=most,
        matrix=matrix,
        reporter=TerminalReporter(),
    )
    files.write(rows_of_verified(found), facts_of_verified(found), found.notes)
    if as_json:
        verdict = {"passed": found.passed, "regressions": found.regressions, "notes": list(found.notes)}
        verdict |= {"undecided": list(found.undecided)}
        print_out(json.dumps(found.report | verdict, indent=2))
    else:
        _print_verified(found, place, details=details)
    raise typer.Exit(1 if not found.passed else CANNOT_SAY if found.undecided else 0)


def _print_verified(found: Verified, place: Path, *, details: bool) -> None:
    """Print five lines that say what matters, then what is worse and what is to be known, then the tables."""
    from tbconv.commands.conversion.parity_table import counted, decisions, print_parity

    said = "every file does as well as its certificate says" if found.passed else "FAILED"
    if found.passed and found.undecided:
        said = f"CANNOT SAY, these inputs show too little: {', '.join(found.undecided)}"
    print_opening(
        f"verdict: {said}",
        counted(found.certificate.artefacts),
        decisions(found.report),
        f"deploy: {found.certificate.proposal or 'no file is proposed'}",
        report=place,
        details=details,
    )
    for path, reason in found.regressions.items():
        print_said(f"WORSE THAN ITS CERTIFICATE {path}: {reason}")
    for note in found.notes:
        print_said(f"note: {note}")
    if details:
        print_parity(found.report)
    print_out(found.certificate.disclaimer)


# --- quick check ---
# `tbconv verify --quick`: digests, golden answers, golden films and what is written, with serving's packages alone.

MAY_SERVE = ("CERTIFIED", "BOUNDED")  # Verdict.may_serve, by name: the contract is imported where it is used


def check_quickly(root: Path, *, as_json: bool, shown: Path | None = None, files: CheckFiles | None = None) -> bool:
    """Check a bundle, print what was found, and return whether every file repeats its answers.

    Args:
        root: of the bundle.
        as_json: whether a program reads it.
        shown: the path of the bundle that `root` is a copy of.
        files: where the checks are written for a CI server.

    Raises:
        ArtefactError: a file is missing or altered.
    """
    from tbconv.contract.bundle import open_bundle
    from tf_serve.runtime.trial import prepare

    prepare()  # it imports LiteRT while this process imports the rest
    from tf_serve.runtime.selftest import self_test

    start = time.monotonic()
    bundle = open_bundle(root)
    TerminalReporter().say(f"{len(bundle.manifest.files)} files have the digests of the manifest")
    found = self_test(bundle)
    seconds = time.monotonic() - start
    if files is not None:
        files.write(rows_of_self_test(found), (f"fed: the bundle's {_inputs(found)} golden inputs",), found.notes)
    if as_json:
        print_out(
            json.dumps({"bundle": str(shown or root), "seconds": seconds, **found.to_json()}, indent=2, allow_nan=False)
        )
    else:
        _print(found, seconds)
    return found.passed


def _inputs(found: SelfTest) -> int:
    return max((row.inputs for row in found.rows), default=0)


def _print(found: SelfTest, seconds: float) -> None:
    from rich import box
    from rich.table import Table

    from tbconv.console import table_console

    title = "golden inputs, against the answers recorded in the bundle"
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in ("file", "certificate", "repeats", "max |d logit|", "allowed", "decisions changed"):
        left = column in ("file", "certificate", "repeats")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for row in found.rows:
        table.add_row(*_cells(row))
    table_console().print(table)
    for row in found.rows:
        if row.problem is not None:
            print_said(f"WORSE THAN ITS CERTIFICATE {row.path}: {row.problem}")
    for path, problem in found.problems.items():
        print_said(f"WORSE THAN ITS CERTIFICATE {path}: {problem}")
    for note in found.notes:
        print_out(f"note: {note}")
    print_said(_verdict(found, seconds))


def _cells(row: GoldenResult) -> tuple[str | Text, ...]:
    changed = f"{row.decisions_changed} of {row.inputs}"
    numbers = ["-" if value is None else f"{value:.1e}" for value in (row.moved, row.allowed)]
    return row.path, coloured(row.verdict), "yes" if row.passed else "NO", *numbers, changed


def _verdict(found: SelfTest, seconds: float) -> str:
    if not found.rows:
        return "verdict: FAILED, the bundle holds no TFLite file that could be run"
    if not found.passed:
        return f"verdict: FAILED ({seconds:.0f} s)"
    barred = sum(row.verdict not in MAY_SERVE for row in found.rows)
    more = f"; {barred} of {len(found.rows)} may not serve, by their certificate" if barred else ""
    return f"verdict: every TFLite file repeats its certified outputs{more} ({seconds:.0f} s)"
