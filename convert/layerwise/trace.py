"""`verify --trace`: walk every file of a bundle from its input, and name the first node that is out of its budget.

The reference is exported anew from the bundle's weights: its own model.onnx is judged by it like any other file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.compare import FirstBad, NodeReference
from convert.layerwise.graph import as_rows
from convert.layerwise.noise import BUDGETS, QUIET_DB, Sums, level_of
from convert.layerwise.walk import (
    READERS,
    WalkConfig,
    choose_artefacts,
    format_db,
    plain,
    read_model_inputs,
    walk,
    write_reference,
    write_report,
)
from convert.runners.base import Answer, read_prediction
from convert.worker import drop_waiting, run_step, workers
from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import ArtefactError, BundleError, ConversionError, ParityError, Reporter
from tbconv.contract.files import temporary_folder
from tbconv.contract.golden import GOLDEN
from tbconv.contract.manifest import Artefact
from torch_train.run_folder import WEIGHTS

OUTPUTS = ("logits", "probability", "evidence")
FILMS = 3
MOST_NAMES = 6  # fused nodes or readers spelt out in a line


@dataclass(frozen=True, slots=True)
class FileTrace:
    """One file of the bundle."""

    path: str
    precision: str
    nodes: int  # of the reference graph that compute something
    seen: int  # of them, those of which a tensor was compared
    levels: dict[str, float]  # dB by node, in the graph's order
    largest_drop: float | None  # from the worst level that a node reads to its own, in dB; None where there is none
    first: FirstBad | None
    note: str = ""  # what could not be compared, and why

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not finite is null, and `exact` counts the nodes that differ in nothing."""
        exact = sum(value == math.inf for value in self.levels.values())
        fields: dict[str, Any] = plain(asdict(self) | {"exact": exact, "clean": self.first is None})
        return fields

    def lines(self, width: int) -> list[str]:
        """Return its lines for a terminal: one of a clean file, more of a bad one."""
        note = [f"  {self.note}"] if self.note else []
        if self.first is None:
            real = [value for value in self.levels.values() if value != math.inf]
            lowest = f"lowest {format_db(min(real), 0, ' dB')}" if real else "none differs"
            return [f"{self.path:{width}}  clean: {self.seen} of {self.nodes} computing nodes seen, {lowest}", *note]
        if not self.first.node:
            return [f"{self.path:{width}}  BAD: {self.first.reason}", *note]
        return [f"{self.path:{width}}  FIRST BAD {self.first.node}", *_details(self.first), *note]


@dataclass(frozen=True, slots=True)
class TraceReport:
    """Every file of the bundle."""

    files: tuple[FileTrace, ...]
    films: int
    description: str
    proof_db: dict[str, float]  # the reference's outputs against PyTorch eager
    noise_db: dict[str, float]  # by node: how far last bits alone move it
    seconds: float

    @property
    def found(self) -> tuple[FirstBad, ...]:
        """The first bad node of each file that has one."""
        return tuple(one.first for one in self.files if one.first is not None)

    @property
    def clean(self) -> tuple[str, ...]:
        """Paths of the files of which every node seen is within its budget."""
        return tuple(one.path for one in self.files if one.first is None)

    @property
    def passed(self) -> bool:
        """Whether files were compared, and none has a bad node."""
        return bool(self.files) and not self.found

    def to_json(self) -> dict[str, Any]:
        """Return plain values ready for JSON."""
        return {
            "passed": self.passed,
            "films": self.films,
            "description": self.description,
            "reference": "exported anew from weights.safetensors, ONNX Runtime unoptimised, compared with PyTorch",
            "proof_db": plain(self.proof_db),
            "noise_db": plain(self.noise_db),
            "found": [plain(asdict(one)) for one in self.found],
            "files": [one.to_json() for one in self.files],
            "seconds": round(self.seconds, 1),
        }


def trace_bundle(config: WalkConfig, reporter: Reporter, *, reference: NodeReference | None = None) -> TraceReport:
    """Name the first bad node of each file of a bundle.

    Args:
        config: which bundle, films and files.
        reporter: gets a line for each file.
        reference: of the same weights and calibration, with its own films; None makes one.

    Raises:
        BundleError: no bundle, one without a trained network, or without a file that the configuration names.
        ArtefactError: a file that is compared is missing or altered.
        ParityError: the reference itself is not what PyTorch computes.
    """
    start = time.monotonic()
    bundle = read_bundle(config.bundle)
    artefacts = choose_artefacts(bundle, config, READERS)
    with temporary_folder("trace") as folder, workers():
        description = "the films of an existing reference"
        if reference is None:
            model_inputs, description = read_model_inputs(config, bundle, reporter, most=FILMS)
            reference = make_reference(config.bundle, model_inputs, folder)
            reporter.say(f"reference exported anew in {time.monotonic() - start:.0f} s")
        files = []
        for one, job in walk(bundle, artefacts, reference, judge=True, xnnpack=config.xnnpack):
            files.append(_file_trace(one, job, nodes=len(reference.graph.compute)))
            reporter.say(f"{one.path}: {'clean' if files[-1].first is None else 'a bad node'}")
        films, noise = len(reference.model_inputs), reference.noise_db
    seconds = time.monotonic() - start
    report = TraceReport(tuple(files), films, description, reference.proof_db, noise, seconds)
    if config.out is not None:
        write_report(config.out, "trace", report.to_json())
    return report


def _file_trace(artefact: Artefact, job: Future[dict[str, Any]], *, nodes: int) -> FileTrace:
    """Return what was found of a file; one that cannot be run, or has nothing to compare, is bad as a whole."""
    try:
        answer = job.result()
    except (ArtefactError, ConversionError) as error:
        why = error.why.strip().splitlines()[-1].strip()
        bad = FirstBad(artefact.path, "", "", (), math.nan, (), f"it cannot be run at all: {error.what} ({why})")
        return FileTrace(artefact.path, artefact.precision, nodes, 0, {}, None, bad)
    levels, note = answer["levels"], answer.get("note", "")
    first = None if answer["first"] is None else FirstBad.from_json(answer["first"])
    if first is None and not levels:
        reason = f"no tensor of it could be matched with a node {note}".strip()
        first = FirstBad(artefact.path, "", "", (), math.nan, (), reason)
    return FileTrace(artefact.path, artefact.precision, nodes, answer["seen"], levels, answer["drop"], first, note)


# --- reference ---
# The bundle's own weights exported anew, and compared with PyTorch at the outputs. One reference serves every bundle
# of the same weights and calibration.


def make_reference(bundle: Path, model_inputs: NDArray[np.uint8], folder: Path) -> NodeReference:
    """Export the bundle's weights anew, and write the tensors and the rounding noise of every node.

    Args:
        bundle: its weights.safetensors, architecture and calibration are read, no other file.
        model_inputs: films, uint8 [N, 224, 224].
        folder: gets the files; 130 MB a film for ResNet50.

    Raises:
        BundleError: it has no trained network.
        ParityError: the outputs of the export differ from PyTorch's, so it can judge no file.
    """
    network = _network(read_bundle(bundle))
    folder.mkdir(parents=True, exist_ok=True)
    images, onnx, eager = folder / "films.npy", folder / "model.onnx", folder / "eager.npz"
    np.save(images, model_inputs)
    with workers(), ThreadPoolExecutor(1) as pool, drop_waiting(pool):
        request = network | {"images": str(images), "out": str(eager), "dtype": "float32"}
        run_step("convert.formats.torch_to_onnx.of_run:torch_to_onnx", network | {"out": str(onnx)}, threads=1)
        job = pool.submit(run_step, "convert.runners.pytorch:run", request, threads=1)
        reference = write_reference(onnx, model_inputs, folder)
        run_step(f"{READERS['onnx']}:write_rounding_noise", {"folder": str(folder)}, threads=1)
        job.result()
    return NodeReference(folder, _prove(reference, read_prediction(eager)))


def _network(bundle: Bundle) -> dict[str, object]:
    decision_rule = bundle.manifest.decision_rules.get("trained")
    arch = bundle.manifest.provenance.get("arch")
    files = bundle.manifest.files
    if decision_rule is None or arch is None or WEIGHTS not in files or GOLDEN not in files:
        raise BundleError(
            f"{bundle.root} has no trained network of ours to trace",
            why=f"the reference is exported anew from {WEIGHTS}, with the architecture that the manifest names",
            fix="convert a trained run: tbconv convert RUN --out BUNDLE",
        )
    return {
        "folder": str(bundle.path(WEIGHTS).parent),
        "network": "trained",
        "arch": arch,
        "calibration": asdict(decision_rule.calibration),
    }


def _prove(reference: NodeReference, eager: Answer) -> dict[str, float]:
    """Return how far the outputs are from PyTorch's, in dB.

    The map jumps where PyTorch's ReLU pattern is not the export's, so the better half of its films counts.

    Raises:
        ParityError: further than any node of a float32 file may be.
    """
    nodes = {name: one.key for one in reference.graph.operations for name in one.outputs}
    found, floors = {}, {}
    for name in OUTPUTS:
        arrays = getattr(eager, name)
        if arrays is None or name not in nodes:
            continue
        films = []
        for array, (_, tensors) in zip(arrays, reference.films(), strict=True):
            wanted = as_rows(array[None])
            films.append(Sums.none(wanted.shape[1]).add(wanted, tensors[nodes[name]].reshape(wanted.shape)))
        together = reduce(Sums.plus, films)
        found[name] = float(np.median([_level(one) for one in films])) if name == "evidence" else _level(together)
        floors[name] = BUDGETS["float32"].floor_at(reference.noise_db.get(nodes[name], math.inf))
    bad = {name: value for name, value in found.items() if not value >= floors[name]}
    if bad or not found:
        raise ParityError(
            "the outputs of the weights exported anew differ from PyTorch's",
            why=", ".join(
                f"{name} at {value:.1f} dB, at least {floors[name]:.0f} needed" for name, value in bad.items()
            )
            or "it has no output",
            fix="run 'tbconv doctor': a wrong export can judge no file; "
            "tbconv verify without --trace judges the files by their outputs",
        )
    return found


def _level(sums: Sums) -> float:
    return level_of(sums, precision="float32", before_bias=False).db


# --- table ---


def trace_lines(report: TraceReport) -> list[str]:
    """Return the lines for a terminal: one a file, and what to check after a bad one."""
    proof = ", ".join(f"{name} {format_db(value, 0, ' dB')}" for name, value in report.proof_db.items())
    lines = [
        f"node by node from the input on, {report.description}, {report.seconds:.0f} s",
        f"reference: the weights exported anew, ONNX Runtime unoptimised; against PyTorch: {proof}",
        *_rounding(report),
        "",
    ]
    width = max((len(one.path) for one in report.files), default=0)
    return lines + [line for one in report.files for line in one.lines(width)]


def _rounding(report: TraceReport) -> list[str]:
    """Return a warning about a network that rounds more than those which the budgets were set on."""
    node, noise = min(report.noise_db.items(), key=lambda pair: pair[1], default=("", math.inf))
    lowered = {name: budget.floor_db - budget.floor_at(noise) for name, budget in BUDGETS.items()}
    if not noise < QUIET_DB:
        return []
    dead = [name for name, budget in BUDGETS.items() if budget.floor_at(noise) < 0]
    passes = f"; a dead channel may pass there in {' and '.join(dead)} files" if dead else ""
    lower = ", ".join(f"{name} {value:.0f}" for name, value in lowered.items() if value > 0)
    return [
        f"this network amplifies its rounding: other last bits alone bring {node} to {format_db(noise, 0, ' dB')}",
        f"  floors of such nodes are lower by as much, in dB at most: {lower}{passes}",
    ]


def _details(bad: FirstBad) -> list[str]:
    positions, channels = bad.shape
    given = f", in the file {bad.given[0]} x {bad.given[1]}" if bad.given else ""
    levels = f"{format_db(bad.error_db, 0, ' dB')} here, {format_db(bad.before_db, 0, ' dB')} at its inputs"
    return [
        f"  {bad.op}, {positions} positions x {channels} channels{given}; {levels}",
        *([f"  one of: {_names(bad.one_of)}"] if len(bad.one_of) > 1 else []),
        f"  feeds {_names(bad.feeds) or 'no other node: an output'}",
        f"  {bad.reason}",
    ]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
