"""Where a converted file goes wrong, node by node: every TFLite kind of a bundle against its model.onnx.

The error is shown as it comes, carried from node to node. ONNX Runtime, unoptimised, is the
reference (its parity with PyTorch is `verify`'s business); XNNPACK, which serves, is what is looked into.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import LayerGraph, Match, covered_nodes, match_graphs, match_like
from convert.layerwise.layers_report import (
    HARMLESS_8_BIT_DB,
    HARMLESS_DB,
    Coverage,
    LayerRow,
    LayersReport,
    layer_rows,
    write_layers,
)
from convert.layerwise.noise import Sums, judge_noise
from convert.parity.inputs import FilmFolder, read_films_of
from convert.worker import drop_waiting, run_step
from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import BundleError, ConfigError
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact
from tbconv.contract.reporting import Reporter

ONNX_RUNNER, TFLITE_RUNNER = "convert.layerwise.readers.onnx:trace", "convert.layerwise.readers.tflite:run"
KINDS = ("float32", "float16", "dynamic", "int8")
AT_ONCE = 16  # films whose reference tensors lie on disk together: 45 MB a film for ResNet50
PROCESSES = 2
LEAST = 2  # values a channel of which something is left without their mean


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersConfig:
    """What `tbconv verify --layers` does."""

    bundle: Path
    out: Path  # gets layers.json, layers.csv, layers.png
    films: Path | None = None  # a folder; None feeds the bundle's golden inputs
    most: int = 16  # films; of a folder those first that the network was not trained on
    xnnpack: bool = True  # the kernels that serve; False looks into LiteRT's built-in ones

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"--most {self.most}", why="layers cannot be compared on nothing", fix="--most 16")


@dataclass(frozen=True, slots=True)
class Probed:
    """One TFLite file, its operations and the nodes that they end in."""

    artefact: Artefact
    file: LayerGraph
    matches: list[Match]
    as_served: bool


@dataclass(slots=True)
class _Bench:
    """The folders and files of one run."""

    bundle: Bundle
    folder: Path
    xnnpack: bool
    probed: list[Probed] = field(default_factory=list)
    sums: dict[str, dict[str, Sums]] = field(default_factory=dict)  # by file, by operation

    def save(self, name: str, model_inputs: NDArray[np.uint8]) -> str:
        """Write films for the runners."""
        path = self.folder / name
        np.save(path, model_inputs)
        return str(path)

    def ask_onnx(self, images: str, folder: Path, nodes: list[str] | None) -> dict[str, Any]:
        """Let ONNX Runtime write what nodes give."""
        folder.mkdir(exist_ok=True)
        artefact = str(self.bundle.root / "model.onnx")
        return run_step(ONNX_RUNNER, {"artefact": artefact, "images": images, "folder": str(folder), "nodes": nodes})

    def ask_tflite(self, artefact: Artefact, images: str, out: Path, **request: Any) -> dict[str, Any]:
        """Let LiteRT look into one file."""
        place = str(self.bundle.root / artefact.path)
        fixed = {"artefact": place, "images": images, "out": str(out), "xnnpack": self.xnnpack}
        return run_step(TFLITE_RUNNER, fixed | request, threads=1)


def verify_layers(config: LayersConfig, reporter: Reporter) -> LayersReport:
    """Measure every TFLite file of a bundle node by node, and write layers.json, layers.csv and layers.png.

    Raises:
        BundleError: no bundle, or one without a trained network.
        ArtefactError: a file that is looked into is missing or altered.
        DataError: the folder holds no film that can be read.
    """
    start = time.monotonic()
    bundle = read_bundle(config.bundle)
    artefacts = _artefacts(bundle)
    model_inputs, description = _squares(config, bundle, reporter)
    with tempfile.TemporaryDirectory(prefix="tbconv-layers-") as folder:
        bench = _Bench(bundle, Path(folder), config.xnnpack)
        nodes = _probe(bench, artefacts, model_inputs[-1:], reporter)
        _measure(bench, model_inputs, reporter)
    coverage = [_coverage(nodes, probed) for probed in bench.probed]
    rows = [row for one, probed in zip(coverage, bench.probed, strict=True) for row in _rows(bench, nodes, probed, one)]
    report = LayersReport(
        rows=tuple(rows),
        coverage=tuple(coverage),
        films=len(model_inputs),
        description=description,
        kernels="XNNPACK" if config.xnnpack else "LiteRT built-in",
        seconds=time.monotonic() - start,
    )
    write_layers(config.out, report)
    return report


def _artefacts(bundle: Bundle) -> list[Artefact]:
    """Return the TFLite files of the trained network, float32 first, after their digests were checked."""
    tflite = [one for one in bundle.manifest.artefacts if (one.network, one.format) == ("trained", "tflite")]
    if not tflite or "model.onnx" not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.root} has no trained network to look into",
            why="layers are compared between model.onnx and the TFLite files made from it",
            fix="convert a trained run: tbconv convert RUN --out BUNDLE",
        )
    for name in ("model.onnx", *(one.path for one in tflite)):
        bundle.path(name)
    return sorted(tflite, key=lambda one: KINDS.index(one.precision) if one.precision in KINDS else len(KINDS))


def _probe(bench: _Bench, artefacts: list[Artefact], model_input: NDArray[np.uint8], reporter: Reporter) -> LayerGraph:
    """Match operations with nodes on one film; reduced files take float32's matches over if they are built alike."""
    images, folder = bench.save("probe.npy", model_input), bench.folder / "probe"
    with ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
        onnx = pool.submit(bench.ask_onnx, images, folder, None)
        jobs = [pool.submit(bench.ask_tflite, one, images, bench.folder / f"{one.path}.npz") for one in artefacts]
        nodes = LayerGraph.from_json(onnx.result()["operations"])
        answers = [job.result() for job in jobs]
    with np.load(folder / "0.npz", allow_pickle=False) as arrays:
        reference = dict(arrays)
    for artefact, answer in zip(artefacts, answers, strict=True):
        file = LayerGraph.from_json(answer["operations"])
        matches = match_like(bench.probed[0].matches, bench.probed[0].file, file) if bench.probed else None
        if matches is None:
            with np.load(bench.folder / f"{artefact.path}.npz", allow_pickle=False) as tensors:
                matches = match_graphs(nodes, file, reference, dict(tensors))
        bench.probed.append(Probed(artefact, file, matches, answer["as_served"]))
        reporter.say(f"{artefact.path}: {len(matches)} of {len(file.compute)} operations matched")
    return nodes


def _measure(bench: _Bench, model_inputs: NDArray[np.uint8], reporter: Reporter) -> None:
    """Sum up the differences, some films at a time."""
    nodes = sorted({match.node for probed in bench.probed for match in probed.matches})
    starts = range(0, len(model_inputs), AT_ONCE)
    for start in reporter.track(starts, title="layers", total=len(starts)):
        images, folder = bench.save("films.npy", model_inputs[start : start + AT_ONCE]), bench.folder / "reference"
        bench.ask_onnx(images, folder, nodes)
        with ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
            jobs = [pool.submit(_sum_up, bench, probed, images, folder) for probed in bench.probed]
            for probed, job in zip(bench.probed, jobs, strict=True):
                before = bench.sums.get(probed.artefact.path, {})
                more = job.result()
                bench.sums[probed.artefact.path] = {k: before[k].plus(v) if before else v for k, v in more.items()}


def _sum_up(bench: _Bench, probed: Probed, images: str, folder: Path) -> dict[str, Sums]:
    out = bench.folder / f"{probed.artefact.path}.sums.npz"
    pairs = {match.operation: match.reference for match in probed.matches}
    bench.ask_tflite(probed.artefact, images, out, folder=str(folder), pairs=pairs)
    with np.load(out, allow_pickle=False) as arrays:
        return {key: Sums.of(arrays[key]) for key in arrays.files}


def _rows(bench: _Bench, nodes: LayerGraph, probed: Probed, coverage: Coverage) -> list[LayerRow]:
    sums = bench.sums[probed.artefact.path]
    alone = {
        key for key, one in sums.items() if one.count.max() < LEAST
    }  # nothing is left of one value without its mean
    matches = [one for one in probed.matches if not (one.before_bias and one.operation in alone)]
    noise = {one.operation: judge_noise(sums[one.operation], up_to_a_constant=one.before_bias) for one in matches}
    return layer_rows(coverage, nodes, probed.file, matches, noise)


def _coverage(nodes: LayerGraph, probed: Probed) -> Coverage:
    glue = Counter(f"{one.op}: {one.glue}" for one in probed.file.operations if one.glue is not None)
    covered = covered_nodes(probed.matches, nodes, probed.file)
    return Coverage(
        kind=Path(probed.artefact.path).stem.removeprefix("model_"),
        path=probed.artefact.path,
        precision=probed.artefact.precision,
        harmless_db=HARMLESS_DB.get(probed.artefact.precision, HARMLESS_8_BIT_DB),
        operations=len(probed.file.compute),
        matched=len(probed.matches),
        nodes=len(nodes.compute),
        covered=len(covered & {one.key for one in nodes.compute}),
        left_out=dict(sorted(glue.items())),
        how=dict(Counter(match.how for match in probed.matches)),
        as_served=probed.as_served,
        lowest_agreement=min((one.agreement for one in probed.matches), default=0.0),
    )


def _squares(config: LayersConfig, bundle: Bundle, reporter: Reporter) -> tuple[NDArray[np.uint8], str]:
    if config.films is None:
        golden = read_golden(bundle.path(GOLDEN))  # drawn figures first, phantoms behind them
        model_inputs = golden.model_inputs[-config.most :]
        return model_inputs, f"{len(model_inputs)} of the bundle's golden inputs"
    model_inputs, _, description = read_films_of(
        FilmFolder(folder=config.films, most=config.most), bundle.root, reporter
    )
    return model_inputs, description
