"""What every node should give: the bundle's own weights exported anew, and proven against PyTorch at the ends.

Node by node it is ONNX Runtime, unoptimised, on that fresh export: the bundle's own model.onnx is judged by
it like any other file. One reference serves every bundle of the same weights and calibration.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.isolate import drop_waiting, run_step
from convert.layer_graph import LayerGraph, as_rows
from convert.layer_noise import Sums
from convert.runners.child import Answer, read_prediction
from convert.trace_judge import BUDGETS, level_of
from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import BundleError, ParityError
from tbconv.contract.golden import GOLDEN
from torch_train.run_folder import WEIGHTS

EXPORT, ONNX_RUNNER, EAGER = "convert.torch_to_onnx", "convert.runners.onnx_layers", "convert.runners.torch_eager"
NOISE, SHAKES = "convert.runners.onnx_noise", 2  # of three films each: the power of noise that few numbers give, twice
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


def make_reference(bundle: Path, squares: NDArray[np.uint8], folder: Path) -> Reference:
    """Export the bundle's weights anew, and write what every node gives.

    Args:
        bundle: its weights.safetensors, architecture and calibration are read, no other file.
        squares: films, uint8 [N, 224, 224].
        folder: gets the files; 130 MB a film for ResNet50.

    Raises:
        BundleError: it has no trained network.
        ParityError: the export answers otherwise than PyTorch, so it can judge nobody.
    """
    opened = read_bundle(bundle)
    asked = _network(opened)
    folder.mkdir(parents=True, exist_ok=True)
    images, onnx = folder / "films.npy", folder / "model.onnx"
    np.save(images, squares)
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
    reference = Reference(folder, len(squares), {})
    return Reference(folder, len(squares), _prove(reference, read_prediction(folder / "eager.npz")))


def _network(bundle: Bundle) -> dict[str, object]:
    readout = bundle.manifest.readouts.get("trained")
    arch = bundle.manifest.provenance.get("arch")
    if readout is None or arch is None or WEIGHTS not in bundle.manifest.files or GOLDEN not in bundle.manifest.files:
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
        "calibration": asdict(readout.calibration),
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
