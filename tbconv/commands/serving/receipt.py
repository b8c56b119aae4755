"""`tbconv receipt`: which model read which film in a run and what it said, and whether any byte of that was altered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv.commands.options import PublicKey, signature_rule
from tbconv.console import CANNOT_SAY, TerminalReporter, print_out, print_said
from tbconv.contract.errors import ConfigError

if TYPE_CHECKING:
    from tf_serve.score.receipts.receipt import Checked, Receipt


def receipt(
    results: Annotated[Path | None, typer.Argument(help="Folder that `tbconv score` wrote.")] = None,
    film: Annotated[
        str | None,
        typer.Argument(help="A file, its SHA-256, or its id in the run; without it every row is checked."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(help="Check this receipt by itself, without the results; exit 3 if nothing says whose."),
    ] = None,
    of_film: Annotated[
        Path | None, typer.Option("--film", help="With --check: the film that it should be about.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Root of the run, 64 hex digits, as it was noted elsewhere.")] = None,
    signature: Annotated[
        Path | None, typer.Option(help="Signature of the root, where it is not in the receipt; needs --public-key.")
    ] = None,
    public_key: PublicKey = None,
    out: Annotated[Path | None, typer.Option(help="Write the receipt to this file, to be checked alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what a program would read.")] = False,
) -> None:
    """Show what a run said of a film, proven down to its root, or check a receipt of it."""
    _refuse_contradictions(results, film, check, of_film, out)
    rule = signature_rule(public_key, required=signature is not None, signature=signature)
    from tf_serve.score.receipts.receipt import Receipt as ReceiptFile
    from tf_serve.score.receipts.receipt import check_receipt, check_results, check_root

    if check is not None:
        given = ReceiptFile.read(check)
        checked = check_receipt(given, film=of_film, root=root, signature=rule)
        _print_receipt(given, checked, as_json=as_json)
        raise typer.Exit(0 if checked.says_who else CANNOT_SAY)
    from tf_serve.score.receipts.receipt import Receipts
    from tf_serve.score.results import Results

    opened = Results.open(results or Path())
    if film is None:
        found = check_results(opened.root, opened, TerminalReporter())
        checked = check_root(found.root, found.record, found.signature, root=root, signature=rule)
        _print_run(found.rows_said, found.root, checked, as_json=as_json)
        return
    made = Receipts.open(opened.root, opened).of(film)
    checked = check_receipt(made, root=root, signature=rule)
    if out is not None:
        made.write(out)
    _print_receipt(made, checked, as_json=as_json)
    if out is not None:
        TerminalReporter().say(f"receipt: {out}")


def _refuse_contradictions(
    results: Path | None, film: str | None, check: Path | None, of_film: Path | None, out: Path | None
) -> None:
    if check is None and results is None:
        why = "a receipt is made from results, or checked by itself"
        fix = "tbconv receipt RESULTS FILM, or tbconv receipt --check receipt.json"
        raise ConfigError("there is neither RESULTS nor --check", why=why, fix=fix)
    if check is not None and (results is not None or out is not None):
        why = "a receipt is checked by itself, without the results"
        fix = f"omit {'--out' if results is None else 'RESULTS'}; the film is named by --film"
        raise ConfigError(f"--check with {'--out' if results is None else 'RESULTS'}", why=why, fix=fix)
    if check is None and of_film is not None:
        raise ConfigError("--film without --check", why="here it is an argument", fix="tbconv receipt RESULTS FILM")
    if film is None and out is not None:
        raise ConfigError(
            "--out without FILM", why="a receipt is of one film", fix="tbconv receipt RESULTS FILM --out FILE"
        )


def _print_receipt(found: Receipt, checked: Checked, *, as_json: bool) -> None:
    rows = [leaf.row for leaf in found.leaves]
    if as_json:
        print_out(json.dumps({**_facts(found.root, found.rows_said, checked), "films": rows}, indent=2, sort_keys=True))
        return
    print_out(f"film: {rows[0]['film_sha256'] or 'it could not be read'}")
    if len(rows) > 1:
        print_out(f"it was read {len(rows)} times in this run, under these ids:")
    for row in rows:
        for line in _lines(row):
            print_out(line)
    for line in _foot(found.root, found.rows_said, checked):
        print_said(line)


def _lines(row: dict[str, Any]) -> list[str]:
    """Return what a row says; the sentences that hold for its answer come last."""
    certificate = f", certificate {row['certificate_sha256']}" if row["certificate_sha256"] else ", no certificate"
    said = {
        "answered": f"answered: {row['decision']}, score {row['score']}, margin {row['margin']}",
        "rejected": f"rejected by the input gate: {row['gate_reason']}",
        "left_out": f"left out, no film: {row['reason']}",
    }.get(row["status"], f"quarantined: {row['reason']}")
    side = "both sides" if row["evidence_side"] == "both" else f"the patient's {row['evidence_side']} side"
    place = f"most evidence: {row['evidence_zone']} zone, {side}" if row["evidence_side"] else ""
    lines = (f"id: {row['film']}", said, place, f"model: {row['model_sha256']}{certificate}", *row["limits"])
    return [f"  {line}" for line in lines if line]


def _print_run(rows: int, root: str, checked: Checked, *, as_json: bool) -> None:
    if as_json:
        print_out(json.dumps(_facts(root, rows, checked), indent=2, sort_keys=True))
        return
    print_out(f"every row was hashed again: all {rows:,} are as they were when the run ended")
    for line in _foot(root, rows, checked):
        print_said(line)


def _facts(root: str, rows: int, checked: Checked) -> dict[str, Any]:
    held = {"root": checked.root, "signature": checked.signer is not None, "film": checked.film}
    return {"root": root, "rows": rows, "held_to": held}


def _foot(root: str, rows: int, checked: Checked) -> list[str]:
    lines = [f"root: {root}, of {rows:,} rows"]
    if checked.film:
        lines.append("the film that was given is the one that was read")
    if checked.signer is not None:
        lines.append(f"PASS: the root was signed with the key of {checked.signer}")
    if checked.root:
        lines.append("PASS: it is the root that was given")
    if not checked.says_who:
        noted = "--root, as it was noted when the run ended"
        give = f"--public-key, for it carries a signature, or {noted}" if checked.carries_signature else noted
        lines.append(f"CANNOT SAY whose root this is: give {give}")
    return lines
