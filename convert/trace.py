"""`verify --trace`: walk every file of a bundle from its input, and name the first node that is out of its budget.

The reference is exported anew from the bundle's weights (convert.trace_reference). Each format is looked into
in a process of its own, which matches, judges and names (convert.trace_film); here they are started and listed.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.film_folder import FilmFolder, read_films_of
from convert.isolate import drop_waiting, run_step
from convert.trace_reference import ONNX_RUNNER, Reference, make_reference
from convert.trace_report import FileTrace, FirstBad, TraceReport
from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import BundleError, ConfigError, ConversionError
from tbconv.contract.files import write_json
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact
from tbconv.contract.reporter import Reporter

RUNNERS = {
    "onnx": ONNX_RUNNER,
    "keras": "convert.runners.keras_layers",
    "keras_h5": "convert.runners.keras_layers",
    "saved_model": "convert.runners.saved_model_layers",
    "tflite": "convert.runners.tflite_layers",
}
FLOAT32 = "model_float32.tflite"  # reduced files of the same operations take its matches over
PROCESSES = 2
TRACE = "trace.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """What `tbconv verify --trace` does."""

    bundle: Path
    out: Path | None  # gets trace.json; None writes nothing
    films: Path | None = None  # a folder; None feeds the last of the bundle's golden inputs, which are phantoms
    most: int = 3  # films
    artefacts: tuple[str, ...] | None = None  # paths; None takes every file of the trained network

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"--most {self.most}", why="nothing can be traced without a film", fix="--most 3")


def trace_bundle(config: TraceConfig, reporter: Reporter, *, reference: Reference | None = None) -> TraceReport:
    """Name the first bad node of each file of a bundle.

    Args:
        config: which bundle, films and files.
        reporter: is told of each file.
        reference: of the same weights and calibration, with its own films; None makes one.

    Raises:
        BundleError: no bundle, one without a trained network, or without a file that is asked for.
        ArtefactError: a file that is looked into is missing or altered.
        ParityError: the reference itself is not what PyTorch computes.
    """
    start = time.monotonic()
    bundle = read_bundle(config.bundle)
    artefacts = _artefacts(bundle, config.artefacts)
    with tempfile.TemporaryDirectory(prefix="tbconv-trace-") as aside:
        description = "the films of a given reference"
        if reference is None:
            squares, description = _squares(config, bundle, reporter)
            reference = make_reference(config.bundle, squares, Path(aside))
            reporter.say(f"reference exported anew in {time.monotonic() - start:.0f} s")
        files = _look_into(bundle, artefacts, reference, reporter)
        proof, noise = reference.proof_db, reference.noise_db
    report = TraceReport(files, reference.films, description, proof, noise, time.monotonic() - start)
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        write_json(config.out / TRACE, report.to_json())
    return report


def _artefacts(bundle: Bundle, asked: tuple[str, ...] | None) -> list[Artefact]:
    """Return the files to look into, in the manifest's order, after their digests were checked."""
    known = [one for one in bundle.manifest.artefacts if one.network == "trained" and one.format in RUNNERS]
    chosen = [one for one in known if asked is None or one.path in asked]
    missing = sorted(set(asked or ()) - {one.path for one in chosen})
    if missing or not chosen:
        raise BundleError(
            f"{bundle.root} has no {', '.join(missing) or 'trained network'} to trace",
            why=f"of the trained network it has {', '.join(one.path for one in known) or 'no file'}",
            fix="name one of them, or convert a trained run: tbconv convert RUN --out BUNDLE",
        )
    for one in chosen:
        bundle.path(one.path)
    return chosen


def _squares(config: TraceConfig, bundle: Bundle, reporter: Reporter) -> tuple[NDArray[np.uint8], str]:
    if config.films is None:
        squares = read_golden(bundle.path(GOLDEN)).squares[-config.most :]  # drawn figures first, phantoms behind them
        return squares, f"{len(squares)} of the bundle's golden inputs"
    squares, _, description = read_films_of(FilmFolder(folder=config.films, most=config.most), bundle.root, reporter)
    return squares, description


def _look_into(
    bundle: Bundle, artefacts: list[Artefact], reference: Reference, reporter: Reporter
) -> tuple[FileTrace, ...]:
    with ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
        slow_first = sorted(artefacts, key=lambda one: one.format in ("tflite", "onnx"))
        jobs = {one.path: pool.submit(_look, bundle, one, reference) for one in slow_first}
        found = []
        for one in artefacts:
            found.append(jobs[one.path].result())
            reporter.say(f"{one.path}: {'clean' if found[-1].first is None else 'a bad node'}")
    return tuple(found)


def _look(bundle: Bundle, artefact: Artefact, reference: Reference) -> FileTrace:
    like = bundle.root / FLOAT32
    request = {
        "artefact": str(bundle.root / artefact.path),
        "path": artefact.path,
        "precision": artefact.precision,
        "reference": str(reference.folder),
        "like": str(like) if artefact.path != FLOAT32 and like.is_file() else None,
    }
    try:
        answer = run_step(RUNNERS[artefact.format], request, threads=1)
    except ConversionError as error:
        return _broken(artefact, reference, error)
    first = _first(answer["first"]) if answer["first"] is not None else None
    if first is None and not answer["levels"]:  # it cannot pass on nothing
        first = _no_node(artefact, f"no tensor of it could be matched with a node {answer.get('note', '')}".strip())
    levels, note = answer["levels"], answer.get("note", "")
    seen, nodes, drop = answer["seen"], answer["nodes"], answer["drop"]
    return FileTrace(artefact.path, artefact.precision, nodes, seen, levels, drop, first, note)


def _first(fields: dict[str, Any]) -> FirstBad:
    lists = ("shape", "feeds", "one_of", "given")
    return FirstBad(**(fields | {name: tuple(fields[name]) for name in lists}))


def _broken(artefact: Artefact, reference: Reference, error: ConversionError) -> FileTrace:
    """Return the row of a file that cannot be opened or run: no node of it can be told from another."""
    why = error.why.strip().splitlines()[-1].strip()
    first = _no_node(artefact, f"it cannot be run at all: {error.what} ({why})")
    nodes = len(reference.graph.compute)
    return FileTrace(artefact.path, artefact.precision, nodes, 0, {}, None, first)


def _no_node(artefact: Artefact, reason: str) -> FirstBad:
    """Return what is wrong with a file as a whole."""
    return FirstBad(artefact.path, "", "", (), float("nan"), (), reason)
