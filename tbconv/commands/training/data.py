"""`tbconv data`: check films before training on them, or draw synthetic ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv.commands.options import LabelsFromMasks, Strict, with_labels_of_films
from tbconv.console import TerminalReporter, print_out

if TYPE_CHECKING:
    from rich.table import Table

    from torch_train.data.report import Counts, DataReport

app = typer.Typer(
    help="Check films before training on them, or draw synthetic ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
SHOWN = 8  # names or sizes a line; --json has them all


@app.command()
@with_labels_of_films
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds the films.")],
    labels_from_masks: LabelsFromMasks = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Where the figure goes; by default DIR-check.png in the working folder, none with --json.",
        ),
    ] = None,
    **labels: Any,
) -> None:
    """Report what a folder of films holds: classes, sites, sizes, damage, copies, patients, masks."""
    from torch_train.data.report import check_data

    report = check_data(
        folder,
        **labels,
        labels_from_masks=labels_from_masks,
        reporter=TerminalReporter(),
    )
    place = figure or (None if as_json else Path(f"{folder.resolve().name}-check.png"))
    if place is not None:
        from torch_train.data.report import draw_report

        draw_report(report, place)
    if as_json:
        print_out(json.dumps({**report.to_json(), "figure": str(place) if place else None}, indent=2))
        return
    _show(report)
    print_out(f"figure: {place}")


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Films of any kind; also a zip or tar archive, or a DICOM CD.")
    ],
    png: Annotated[Path, typer.Option("--png", metavar="OUT", help="A folder that is new or empty.")],
    strict: Strict = False,
) -> None:
    """Write every film as an 8-bit PNG of the pixels that training and serving see, without any tag of its file."""
    from torch_train.data.export import LISTING, export_films

    found = export_films(folder, png, TerminalReporter(), strict=strict)
    count, lost = len(found.films), len(found.unreadable)
    print_out(f"{count} film{'s' * (count != 1)}: {png}; whom they are of, as digests: {png / LISTING}")
    print_out("the names of files and folders are kept: rename them where they tell who a person is")
    if lost:
        print_out(f"{lost} film{'s' * (lost != 1)} cannot be read and {'was' if lost == 1 else 'were'} left out")
        raise typer.Exit(1)


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
    n: Annotated[int, typer.Option("--n", metavar="N", help="How many films, half of them positive.")] = 704,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same films.")] = 0,
) -> None:
    """Draw a set of synthetic chest films in the layout image/, mask/, MetaData.csv."""
    from torch_train.data.phantom import write_phantoms

    write_phantoms(folder, n=n, seed=seed, reporter=TerminalReporter())
    print_out(f"{n} synthetic phantoms, {n // 2} with opacities, of no person: {folder}")
    print_out(f"next: tbconv data check {folder}")


def _show(report: DataReport) -> None:
    from tbconv.console import PlainConsole

    console = PlainConsole()
    console.print(f"{report.root}: {report.layout}, labels by {report.label_source}", soft_wrap=True)
    for table in (_classes_table(report), _facts_table(report)):
        console.print()
        console.print(table)
    console.print()
    for name, reason in report.unreadable[:SHOWN]:
        console.print(f"unreadable: {name}: {reason}", soft_wrap=True)
    for kind, groups in (("exact copies", report.duplicates.exact), ("near copies", report.duplicates.near)):
        for group in groups[:SHOWN]:
            console.print(f"{kind}: {' = '.join(group)}", soft_wrap=True)
        if len(groups) > SHOWN:
            console.print(f"{kind}: {len(groups) - SHOWN} more groups, --json has them all")
    for word, lines in (("note", report.notes), ("warning", report.warnings)):
        for line in lines:
            console.print(f"{word}: {line}", soft_wrap=True, style="yellow" if word == "warning" else None)


def _table(*, show_header: bool = True) -> Table:
    from rich.table import Table

    return Table(show_header=show_header, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _classes_table(report: DataReport) -> Table:
    table = _table()
    table.add_column("class")
    for site in report.sites:
        table.add_column(site, justify="right")
    table.add_column("all", justify="right")
    table.add_column("share", justify="right")
    for name, role in zip(report.labels.names, ("negative", "positive"), strict=True):
        by_site = [str(counts[name]) for counts in report.sites.values()]
        share = f"{report.classes[name] / report.films:.1%}"
        table.add_row(f"{name} ({role})", *by_site, str(report.classes[name]), share)
    return table


def _facts_table(report: DataReport) -> Table:
    copies, patients, masks = report.duplicates, report.patients, report.masks
    table = _table(show_header=False)
    rows = {
        "films": f"{report.films} readable, {len(report.unreadable)} not",
        "sizes": _line(report.sizes),
        "formats": f"{_line(report.formats)}; modes {_line(report.modes)}; bits {_line(report.bit_depths)}",
        "copies": f"{len(copies.exact)} exact groups, {len(copies.near)} near, {len(copies.conflicting)} of two labels",
        "patients": f"{patients.patients}, {patients.with_several_films} with several films (at most "
        f"{patients.most_films})" + ("" if patients.known else "; not known, one a film"),
        "age": "; ".join(_age_line(name, ages) for name, ages in report.ages.items()) or "not known",
        "sex": "; ".join(f"{name}: {_line(counts)}" for name, counts in report.sexes.items()) or "not known",
        "masks": f"{masks.films_with} of {report.films}: {masks.kind}" if masks.films_with else "none",
        **({"published parts": _line(report.published_parts)} if report.published_parts else {}),
        "one fact alone predicts": ", ".join(f"{name}, AUROC {auroc:.2f}" for name, auroc in report.alone.items()),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _line(counts: Counts) -> str:
    shown = ", ".join(f"{value} ({count})" for value, count in list(counts.items())[:SHOWN])
    return shown + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _age_line(name: str, ages: dict[str, float]) -> str:
    return f"{name}: {ages['minimum']:g}-{ages['maximum']:g}, median {ages['median']:g} (of {ages['known']:g})"
