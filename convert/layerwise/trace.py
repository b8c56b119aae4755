"""`verify --trace`: walk every file of a bundle from its input, and name the first node that is out of its budget.

The reference is exported anew from the bundle's weights. Each format is looked into in a process of its own,
which matches, judges and names (convert.layerwise.trace_worker); here they are started and listed.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import LayerGraph, as_rows
from convert.layerwise.noise import BUDGETS, Sums, level_of
from convert.layerwise.trace_report import FileTrace, FirstBad, TraceReport
from convert.parity.inputs import FilmFolder, read_films_of
from convert.runners.base import Answer, read_prediction
from convert.worker import drop_waiting, run_step
from tbconv.contract.bundle import Bundle, read_bundle, write_json
from tbconv.contract.errors import BundleError, ConfigError, ConversionError, ParityError
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact
from tbconv.contract.reporting import Reporter
from torch_train.run_folder import WEIGHTS

# --- trace reference ---
# What every node should give: the bundle's own weights exported anew, and proven against PyTorch at the ends.
#
# Node by node it is ONNX Runtime, unoptimised, on that fresh export: the bundle's own model.onnx is judged by
# it like any other file. One reference serves every bundle of the same weights and calibration.

EXPORT, ONNX_RUNNER, EAGER = (
    "convert.formats.torch_to_onnx:torch_to_onnx",
    "convert.layerwise.readers.onnx:trace",
    "convert.runners.pytorch:run",
)
NOISE, SHAKES = (
    "convert.layerwise.readers.onnx:listen",
    2,
)  # of three films each: the power of noise that few numbers give, twice
ENDS = ("logits", "probability", "evidence")


@dataclass(frozen=True, slots=True)
class Reference:
    """A folder with model.onnx, films.npy, graph.json, noise.json, and 0.npz and so on: each node's tensor by film."""

    folder: Path
    films: int
    proof_db: dict[str, float]  # its outputs against PyTorch eager, in dB; inf where nothing differs

    @property
    def graph(self) -> LayerGraph:
        """The nodes."""
        return LayerGraph.from_json(json.loads((self.folder / "graph.json").read_text()))

    @property
    def noise_db(self) -> dict[str, float]:
        """How far rounding alone moves a node, in dB by node; those that it moves not at all are left out."""
        found: dict[str, float] = json.loads((self.folder / "noise.json").read_text())
        return found


def make_reference(bundle: Path, model_inputs: NDArray[np.uint8], folder: Path) -> Reference:
    """Export the bundle's weights anew, and write what every node gives.

    Args:
        bundle: its weights.safetensors, architecture and calibration are read, no other file.
        model_inputs: films, uint8 [N, 224, 224].
        folder: gets the files; 130 MB a film for ResNet50.

    Raises:
        BundleError: it has no trained network.
        ParityError: the export answers otherwise than PyTorch, so it can judge nobody.
    """
    opened = read_bundle(bundle)
    asked = _network(opened)
    folder.mkdir(parents=True, exist_ok=True)
    images, onnx = folder / "films.npy", folder / "model.onnx"
    np.save(images, model_inputs)
    with ThreadPoolExecutor(1) as beside, drop_waiting(beside):
        request = asked | {"images": str(images), "out": str(folder / "eager.npz"), "dtype": "float32"}
        eager = beside.submit(run_step, EAGER, request, threads=1)
        run_step(EXPORT, asked | {"out": str(onnx)}, threads=1)
        nodes = {"artefact": str(onnx), "images": str(images), "folder": str(folder), "nodes": None}
        traced = run_step(ONNX_RUNNER, nodes, threads=1)
        (folder / "graph.json").write_text(json.dumps(traced["operations"]))
        moved = run_step(NOISE, {"reference": str(folder), "shakes": SHAKES}, threads=1)
        (folder / "noise.json").write_text(json.dumps(moved["noise"]))
        eager.result()
    reference = Reference(folder, len(model_inputs), {})
    return Reference(folder, len(model_inputs), _prove(reference, read_prediction(folder / "eager.npz")))


def _network(bundle: Bundle) -> dict[str, object]:
    decision_rule = bundle.manifest.decision_rules.get("trained")
    arch = bundle.manifest.provenance.get("arch")
    if (
        decision_rule is None
        or arch is None
        or WEIGHTS not in bundle.manifest.files
        or GOLDEN not in bundle.manifest.files
    ):
        raise BundleError(
            f"{bundle.root} has no trained network of ours to trace",
            why=f"the reference is exported anew from {WEIGHTS}, with the architecture that the manifest names",
            fix="convert a trained run: tbconv convert RUN --out BUNDLE",
        )
    weights = bundle.path(WEIGHTS)
    return {
        "folder": str(weights.parent),
        "network": "trained",
        "arch": arch,
        "calibration": asdict(decision_rule.calibration),
    }


def _prove(reference: Reference, eager: Answer) -> dict[str, float]:
    """Return how far the outputs are from PyTorch's, in dB.

    The map jumps where PyTorch's locks are not the export's, so the better half of its films counts.

    Raises:
        ParityError: further than any node of a float32 file may be.
    """
    giving = {name: one.key for one in reference.graph.operations for name in one.outputs}
    found: dict[str, float] = {}
    for end in ENDS:
        arrays = getattr(eager, end)
        if arrays is not None and end in giving:
            films = [_sums(reference, film, giving[end], array) for film, array in enumerate(arrays)]
            levels = [_level(one) for one in films]
            found[end] = float(np.median(levels)) if end == "evidence" else _level(reduce(Sums.plus, films))
    noise = reference.noise_db
    _refuse(found, {end: BUDGETS["float32"].floor_at(noise.get(giving[end], math.inf)) for end in found})
    return found


def _sums(reference: Reference, film: int, node: str, array: NDArray[np.float32]) -> Sums:
    wanted = as_rows(array[None])
    with np.load(reference.folder / f"{film}.npz", allow_pickle=False) as tensors:
        return Sums.none(wanted.shape[1]).add(wanted, tensors[node].reshape(wanted.shape))


def _level(sums: Sums) -> float:
    return level_of(sums, precision="float32", before_bias=False).db


def _refuse(found: Mapping[str, float], floors: Mapping[str, float]) -> None:
    bad = {name: value for name, value in found.items() if not value >= floors[name]}
    if bad or not found:
        raise ParityError(
            "the weights, exported anew, answer otherwise than PyTorch",
            why=", ".join(f"{name} at {value:.1f} dB, {floors[name]:.0f} are asked" for name, value in bad.items())
            or "no output",
            fix="run 'tbconv doctor': an export that is wrong itself can judge no file; "
            "tbconv verify without --trace judges the files by their answers",
        )


# --- trace ---

RUNNERS = {
    "onnx": "convert.layerwise.readers.onnx:compare",
    "keras": "convert.layerwise.readers.keras:trace",
    "keras_h5": "convert.layerwise.readers.keras:trace",
    "saved_model": "convert.layerwise.readers.saved_model:trace",
    "tflite": "convert.layerwise.readers.tflite:run",
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
            model_inputs, description = _squares(config, bundle, reporter)
            reference = make_reference(config.bundle, model_inputs, Path(aside))
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
        model_inputs = read_golden(bundle.path(GOLDEN)).model_inputs[
            -config.most :
        ]  # drawn figures first, phantoms behind them
        return model_inputs, f"{len(model_inputs)} of the bundle's golden inputs"
    model_inputs, _, description = read_films_of(
        FilmFolder(folder=config.films, most=config.most), bundle.root, reporter
    )
    return model_inputs, description


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
