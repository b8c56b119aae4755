"""`tbconv convert`: a run in, a certified bundle out; or a third-party ONNX model in, every format measured out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from tbconv import api
from tbconv.commands.options import Details, Referral, interruptible, numbers, require_packages
from tbconv.console import CANNOT_SAY, TerminalReporter, print_opening, print_out, print_said, table_console
from tbconv.contract.errors import ConfigError
from tbconv.contract.files import LABELS_RUN, advice_on

if TYPE_CHECKING:
    from convert.from_run import Converted
    from convert.onnx_import.reference import ConvertedOnnx
    from tbconv.contract.certificate import Certificate


OF_ONNX = (
    "--calibration",
    "--size",
    "--weights",
    "--input",
    "--normalise",
    "--mean",
    "--std",
    "--labels",
    "--task",
    "--thresholds",
)


Int8 = tuple[list[str] | None, float | None]  # nodes to keep in float, seconds to search


def convert(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL",
            help="Run folder of `tbconv train`; or a third-party network: MODEL.onnx, timm:NAME, torchvision:NAME, "
            "hf:FOLDER or FILE.pt2.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Bundle to write; an old bundle there is replaced whole.")],
    route: Annotated[
        str | None,
        typer.Option(
            help="Who writes the TFLite to ship: own (tbconv, the default), tensorflow or onnx2tf (its float32 file "
            "and SavedModel; of an ONNX model with a node that no rule of ours knows, too, certified by measurement), "
            "or of timm:, torchvision:, hf: and .pt2 litert-torch (its float32 file, from its own environment)."
        ),
    ] = None,
    films: Annotated[
        int | None,
        typer.Option(
            help="Most films to compare every format on: 512 of a run; of a folder 64, and those that give 30 on each "
            "side of every decision."
        ),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            help="Node, or prefix of nodes, that the int8 file keeps in float32; may be repeated. Default: head, all "
            "behind the last feature map; name head as well to keep it. 'none' keeps nothing."
        ),
    ] = None,
    int8_budget: Annotated[
        float | None,
        typer.Option(
            "--int8-budget",
            metavar="SECONDS",
            help="Time to search for the int8 recipe that moves fewest decisions: 120 s; 0 takes one recipe.",
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            help="Make these alone: onnx, saved-model, h5, keras, tflite-float32, tflite-float16, tflite-dynamic, "
            "tflite-int8; tflite for all four. Default: all. The server needs a TFLite file, `prove` onnx."
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="TARGETS", help="Try the TFLite files elsewhere, too, as `tbconv verify --where` does."),
    ] = None,
    io: Annotated[
        str | None,
        typer.Option(
            "--io",
            metavar="TYPE",
            help="What the int8 file of a third-party network takes and gives: float32 (the default: uint8 in, real "
            "numbers out), or uint8 or int8 at both ends, for microcontrollers.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Folder of films for a third-party network: some calibrate int8, every format is compared on the "
            "others."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|pretrained|random",
            help="Weights of timm:NAME or torchvision:NAME: .safetensors or .pt of tensors alone, the library's own "
            "(downloads), or random ones, which show whether it converts.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS",
            help="Height, or height and width (320,256), of an ONNX model that leaves them open; one number means "
            "a square. Of timm:NAME and torchvision:NAME the side.",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="VALUE",
            help="Name and value of another input of an ONNX model, for every film: age=55, or table=1,0,55; may be "
            "repeated.",
        ),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            help="Preprocessing of a third-party network: imagenet, unit or none. Default: that of its library's "
            "config; of an ONNX file imagenet for 3 channels, unit for 1."
        ),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Instead of --normalise: mean of x / 255, one a channel.")] = None,
    std: Annotated[str | None, typer.Option(help="Instead of --normalise: deviation of x / 255.")] = None,
    labels: Annotated[str | None, typer.Option(help="Classes of an ONNX model in their order: normal,tb.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="What an ONNX model decides: one-of-n, binary, multi-label or score; its last operation proposes it."
        ),
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(help="JSON or CSV of label,threshold for an ONNX model; labels without one have 0.5."),
    ] = None,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence",
            help="Give the exact evidence map of a third-party network as well: what each place adds to an output. It "
            "needs a head that is affine on a mean over places; else an error says why not. A bundle has one anyway.",
        ),
    ] = False,
    referral: Referral = None,
    details: Details = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report and the file to deploy as JSON.")] = False,
) -> None:
    """Convert to ONNX, SavedModel, H5, Keras and four TFLite files, and prove that nothing changed.

    Exit 3 where no float32 file could be certified (or, where none was asked for, no file may be used), because the
    films or the network itself show too little.
    """
    given = {"--calibration": calibration, "--normalise": normalise, "--mean": mean, "--std": std, "--labels": labels}
    decided: dict[str, Any] = {"task": task, "thresholds": thresholds, "weights": weights}
    given |= {f"--{name}": value for name, value in decided.items()} | {"--size": size, "--input": inputs}
    int8, chosen = (keep_float, int8_budget), _names(formats)
    _require_int8(chosen, {"--io": io, "--keep-float": keep_float, "--int8-budget": int8_budget})
    with interruptible(lambda: f"stopped; {out} is as it was before"):
        if is_foreign(run):
            refuse({"--where": where}, ("--where",), "for an ONNX model", "it decides by no threshold of a bundle")
            preprocessing = (normalise, mean, std)
            taken = {"size": _size(size), "inputs": _inputs(inputs or [])}
            convert_onnx(
                run,
                out,
                route,
                calibration,
                films,
                (keep_float, int8_budget),
                preprocessing,
                labels,
                decided
                | taken
                | {"referral": referral, "formats": chosen, "evidence": evidence}
                | ({"io": io} if io else {}),
                as_json=as_json,
                details=details,
            )
        elif (run / LABELS_RUN).is_file():
            why = "the folder knows its films, labels, task and thresholds"
            refuse(given | {"--where": where}, (*OF_ONNX, "--where"), "for a network of several labels", why)
            require_packages("torch", "onnx", "onnxruntime", "tensorflow")
            _convert_labels(
                run,
                out,
                route,
                films,
                int8,
                referral,
                chosen,
                io=io or "float32",
                evidence=evidence,
                as_json=as_json,
                details=details,
            )
        else:
            why = "a bundle's map adds up to its margin, which steps of 8 bits would not"
            refuse({"--io": io}, ("--io",), "for a run", why)
            refuse({"--evidence": evidence or None}, ("--evidence",), "for a run", "its bundle has a map in any case")
            refuse(given, OF_ONNX, "for a run", "a run knows its films, labels and preprocessing")
            require_packages("torch", "onnx", "onnxruntime", "tensorflow")
            _convert_run(run, out, route, films, int8, referral, chosen, where=where, as_json=as_json, details=details)


def is_foreign(path: Path) -> bool:
    """Whether the argument names a network of others: a file, or what a library builds."""
    return is_onnx(path) or library_of(path) is not None


def library_of(path: Path) -> str | None:
    """Return which library builds what the argument names; None of a run or an ONNX file."""
    from convert.formats.torch_to_onnx.source import kind_of

    return kind_of(str(path))


def is_onnx(path: Path) -> bool:
    """Whether the argument names an ONNX file: any file that exists, or a missing one with that suffix."""
    return path.is_file() or (path.suffix.lower() == ".onnx" and not path.is_dir())


def refuse(given: Mapping[str, object], others: tuple[str, ...], way: str, why: str) -> None:
    """Refuse options that the chosen way of converting would ignore silently.

    Raises:
        ConfigError: naming them.
    """
    dropped = " and ".join(name for name, value in given.items() if name in others and value is not None)
    if dropped:
        raise ConfigError(f"{dropped} {way}", why=why, fix=f"omit {dropped}")


def _convert_run(
    run: Path,
    out: Path,
    route: str | None,
    films: int | None,
    int8: Int8,
    referral: str | None,
    formats: tuple[str, ...],
    *,
    where: str | None,
    as_json: bool,
    details: bool,
) -> None:
    done = api.convert(
        run,
        out,
        route=_route(route),
        films=films,
        keep_float=int8[0],
        int8_budget=int8[1],
        where=where,
        referral=referral,
        formats=formats,
        reporter=TerminalReporter(),
    )
    if as_json:
        print_out(json.dumps(done.report | {"deploy": done.certificate.deploy}, indent=2))
    else:
        _print_bundle(done, details=details)
    mine = [one for one in done.manifest.artefacts if one.network == done.manifest.kind]
    _end([(one.precision, str(done.certificate.artefacts[one.path].verdict)) for one in mine])


def _convert_labels(
    run: Path,
    out: Path,
    route: str | None,
    films: int | None,
    int8: Int8,
    referral: str | None,
    formats: tuple[str, ...],
    *,
    io: str,
    evidence: bool,
    as_json: bool,
    details: bool,
) -> None:
    from convert.onnx_import.several import LabelsConfig, convert_labels
    from convert.pipeline import INT8_BUDGET

    config = LabelsConfig(
        run=run,
        out=out,
        route=_route(route),
        formats=formats,
        io=io,
        evidence=evidence,
        films=films,
        keep_float=tuple(int8[0] or ()) or None,
        int8_budget=INT8_BUDGET if int8[1] is None else int8[1],
        referral=referral,
    )
    _finish_onnx(convert_labels(config, TerminalReporter()), as_json=as_json, details=details)


def _print_bundle(done: Converted, *, details: bool) -> None:
    """Print five lines that say what matters, then why files may not serve; tables and every reason with --details."""
    from convert.certificate.page import PAGE
    from convert.formats.table import chosen_lines
    from tbconv.commands.conversion.parity_table import counted, decisions
    from tbconv.report_kit.needs import warnings_of

    seconds = f"converted in {done.seconds_converting:.0f} s, measured in {done.seconds_measuring:.0f} s"
    print_opening(
        f"bundle: {done.bundle}, {seconds}",
        counted(done.certificate.artefacts),
        decisions(done.report),
        f"deploy: {done.certificate.proposal or 'no trained network'}",
        *chosen_lines(done.certificate.scope.get("formats") or {}),
        report=done.bundle / PAGE,
        called="certificate",
        details=details,
    )
    if details:
        _print_details(done)
    else:
        for path, verdict in done.certificate.artefacts.items():
            if not verdict.verdict.may_serve:
                print_said(f"  {path}: {verdict.verdict}; {verdict.reason}")
        for path, why in done.certificate.deploy.get("others", {}).items():
            if path in done.certificate.artefacts and done.certificate.artefacts[path].verdict.may_serve:
                print_said(f"  not {path}: {why}")
        for line in warnings_of(done.certificate.needs):
            print_said(f"  {line}")
    print_out(done.certificate.disclaimer)
    if any(one.is_served and one.network == done.manifest.kind for one in done.manifest.artefacts):
        print_out(f"next: tbconv serve {done.bundle}")
    else:
        print_out("no file of the trained network can be served: add a TFLite format to --formats")


def _print_details(done: Converted) -> None:
    from convert.parity.report import search_lines
    from tbconv.commands.conversion.parity_table import print_parity
    from tbconv.report_kit.needs import need_lines

    print_parity(done.report)
    for path, verdict in done.certificate.artefacts.items():
        print_said(f"  {path}: {verdict.verdict}; {verdict.reason}")
    for path, proof in done.certificate.proofs.items():
        print_said(f"  {path}, for every input: {proof.verdict}; {proof.reason}")
    for line in need_lines(done.certificate.needs):
        print_said(f"  {line}")
    for line in search_lines(done.report.get("int8")):
        print_out(line)
    _print_choice(done.certificate)


def _size(given: str | None) -> tuple[int, int] | None:
    """Read H or H,W; the configuration refuses sides that are none.

    Raises:
        ConfigError: it is not one or two whole numbers.
    """
    if given is None:
        return None
    words = given.lower().replace("x", ",").split(",")
    if len(words) > 2 or not all(word.strip().isdecimal() for word in words):
        why = "it is height and width in pixels, or one number for both"
        raise ConfigError(f"--size is {given!r}", why=why, fix="--size 224 or --size 320,256")
    return int(words[0]), int(words[-1])


def _inputs(given: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read NAME=NUMBER, or several numbers separated by commas.

    Raises:
        ConfigError: there is no name, or no number, or a name comes twice.
    """
    found: dict[str, tuple[float, ...]] = {}
    for one in given:
        name, equals, text = one.rpartition("=")
        if not equals or not name or name in found:
            why = f"{name} comes twice" if name in found else "it is the name of an input and a number"
            raise ConfigError(f"--input is {one!r}", why=why, fix="--input age=55")
        found[name] = numbers(text, f"--input {name}=")
    return found


def _route(given: str | None) -> Any:
    """Return a route by its name of today; the configuration refuses other words."""
    from convert.pipeline import OLD_ROUTES

    return OLD_ROUTES.get(given or "", given or "own")


def _print_choice(certificate: Certificate) -> None:
    if certificate.proposal is None:
        return
    print_out(f"\ndeploy: {certificate.proposal}")
    for path, why in certificate.deploy["others"].items():
        print_out(f"  not {path}: {why}")


# --- convert onnx ---
# `tbconv convert MODEL.onnx`: what the command line says of a third-party network, and what it prints of its formats.


def convert_onnx(
    onnx: Path,
    out: Path,
    route: str | None,
    calibration: Path | None,
    films: int | None,
    int8: Int8,
    preprocessing: tuple[str | None, str | None, str | None],
    labels: str | None,
    decided: Mapping[str, Any],
    *,
    as_json: bool,
    details: bool = False,
) -> None:
    """Convert one ONNX file and print what was measured.

    Raises:
        TbconvError: what the file, the films or the options lack.
    """
    library = library_of(onnx)
    if library is None and not onnx.is_file():
        raise ConfigError(f"{onnx} does not exist", why="an ONNX file is needed", fix="check the path")
    if library is None and onnx.suffix.lower() != ".onnx" and (advice := advice_on(onnx)) is not None:
        raise ConfigError(f"{onnx} is neither a run nor an ONNX model", why=advice.why, fix=advice.fix)
    if calibration is None:
        why = "int8 needs the ranges that films reach, and every format is compared on films"
        raise ConfigError(
            f"{onnx if library else onnx.name} without --calibration",
            why=why,
            fix="add --calibration DIR, a folder of films",
        )
    if library is not None:
        require_packages("torch", "onnx", "onnxruntime")
    normalise, *texts = preprocessing
    mean, std = (
        None if text is None else numbers(text, option) for text, option in zip(texts, ("--mean", "--std"), strict=True)
    )
    done = api.convert_onnx(
        onnx,
        calibration,
        out,
        route=_route(route),
        normalise=normalise,
        mean=mean,
        std=std,
        most=films,
        keep_float=int8[0],
        int8_budget=int8[1],
        labels=[one.strip() for one in labels.split(",")] if labels else (),
        **decided,
        reporter=TerminalReporter(),
    )
    _finish_onnx(done, as_json=as_json, details=details)


def _finish_onnx(done: ConvertedOnnx, *, as_json: bool, details: bool) -> None:
    """Print what was measured, and end as its verdicts ask for."""
    if as_json:
        print_out(json.dumps(done.report, indent=2))
    else:
        _print_report(done, details=details)
    _end([(row["precision"], row["verdict"]) for row in done.report["rows"]])


USABLE = ("CERTIFIED", "BOUNDED", "MEASURED")  # verdicts with which a file may be used


def _end(found: Sequence[tuple[str, str]]) -> None:
    """End with 3 unless a float32 file is CERTIFIED, or a reduced one may be used where no float32 was asked for.

    Args:
        found: precision and verdict of each file.
    """
    float32 = [verdict for precision, verdict in found if precision == "float32"]
    if not any(verdict in USABLE for verdict in float32 or (verdict for _, verdict in found)):
        kind = "no float32 file is certified" if float32 or not found else "no file that was asked for may be used"
        TerminalReporter().say(f"CANNOT SAY: {kind}, and its reason says what would be needed")
        raise typer.Exit(CANNOT_SAY)


def _require_int8(formats: tuple[str, ...], given: Mapping[str, object]) -> None:
    """Refuse options of the int8 file where none is asked for."""
    from convert.formats.table import INT8_FILE, choose_formats

    if INT8_FILE not in choose_formats(formats):
        refuse(given, tuple(given), f"with --formats {','.join(formats)}", "they say how an int8 file is made")


def _names(text: str | None) -> tuple[str, ...]:
    """Return the names of a list with commas; ConfigError where the list is empty."""
    names = tuple(one.strip() for one in (text or "").split(",") if one.strip())
    if text is not None and not names:
        raise ConfigError("--formats is empty", why="at least one is made", fix="--formats tflite-int8,onnx")
    return names


NO_BUNDLE = ("no operating point was chosen", "a bundle has two classes")  # where thresholds were not, and were, chosen


def _print_report(done: ConvertedOnnx, *, details: bool) -> None:
    """Print five lines that say what matters, then reasons and limits; tables and every reason with --details."""
    from convert.formats.table import chosen_lines
    from convert.onnx_import.report import needs_in
    from tbconv.report_kit.needs import warnings_of

    report = done.report
    counts = Counter(row["verdict"] for row in report["rows"])
    fed = f"on {report['inputs']['description']}"
    print_opening(
        f"written: {done.folder} (no bundle: {NO_BUNDLE[done.conversion['chosen_on'] != '']})",
        f"{len(report['rows'])} files: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}",
        f"against ONNX Runtime on {report['source']}{' in float32' if report['float32'] else ''}, {fed}",
        f"converted in {done.seconds_converting:.0f} s, measured in {done.seconds_measuring:.0f} s",
        *chosen_lines({**report["formats"], "not_made": {}}),
        report=done.folder / "report.md",
        details=details,
    )
    if details:
        _print_tables(report)
    else:
        for line in warnings_of(needs_in(report)):
            print_said(f"  {line}")
        for row in report["rows"]:
            if row["verdict"] not in ("CERTIFIED", "MEASURED"):
                print_said(f"  {row['path']}: {row['verdict']}; {row['reason']}")
    print_out("\nwhat this cannot say:")
    for limit in report["limits"]:
        print_out(f"  - {limit}")
    print_out(report["disclaimer"])


def _print_tables(report: dict[str, Any]) -> None:
    from convert.onnx_import.report import COLUMNS, needs_in, table_rows, verdict_lines
    from convert.parity.report import search_lines
    from tbconv.report_kit.needs import need_lines

    title = f"against ONNX Runtime on {report['source']}, on {report['inputs']['description']}"
    table = Table(title=title, box=box.SIMPLE)
    for column in COLUMNS:
        left = column in ("file", "verdict", "output")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for cells in table_rows(report):
        table.add_row(*cells)
    table_console().print(table)
    for line in (*verdict_lines(report), *need_lines(needs_in(report))):
        print_said(f"  {line}")
    for line in search_lines(report["int8"]):
        print_out(f"  {line}")
