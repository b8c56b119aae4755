"""The walk node by node that `verify --layers` and `verify --trace` share: films, reference, one step for each file.

Each file is compared with the reference in its framework's process (convert.layerwise.compare); the two views
turn the answers into their tables.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.compare import NodeReference
from convert.parity.inputs import FilmFolder, read_films_of
from convert.worker import drop_waiting, run_step
from tbconv.contract.bundle import Bundle
from tbconv.contract.errors import BundleError, ConfigError, Reporter
from tbconv.contract.files import write_atomic, write_json
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact

READERS = {
    "onnx": "convert.layerwise.readers.onnx",
    "keras": "convert.layerwise.readers.keras",
    "keras_h5": "convert.layerwise.readers.keras",
    "saved_model": "convert.layerwise.readers.saved_model",
    "tflite": "convert.layerwise.readers.tflite",
}
FLOAT32 = "model_float32.tflite"  # reduced files with the same operations take its matches over
PROCESSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkConfig:
    """What `tbconv verify --layers` and `tbconv verify --trace` do."""

    bundle: Path
    out: Path | None  # gets the report; None writes nothing
    films: Path | None = None  # a folder; None takes the last of the bundle's golden inputs, which are phantoms
    most: int | None = None  # films, those first that the network was not trained on; None: 16 for layers, 3 for trace
    artefacts: tuple[str, ...] | None = None  # paths; None takes every file of the trained network that the view reads
    xnnpack: bool = True  # the kernels that serve; False runs LiteRT's built-in ones

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise ConfigError(f"--most {self.most}", why="a comparison needs at least one film", fix="--most 3")


def choose_artefacts(bundle: Bundle, config: WalkConfig, formats: Collection[str]) -> list[Artefact]:
    """Return the trained network's files of some formats, in the manifest's order, after their digests were checked.

    Raises:
        BundleError: it has none, or not one that the configuration names.
        ArtefactError: a file is missing or altered.
    """
    known = [one for one in bundle.manifest.artefacts if one.network == "trained" and one.format in formats]
    chosen = [one for one in known if config.artefacts is None or one.path in config.artefacts]
    missing = sorted(set(config.artefacts or ()) - {one.path for one in chosen})
    if missing or not chosen:
        raise BundleError(
            f"{bundle.root} has no {', '.join(missing) or 'trained network'} to compare node by node",
            why=f"of the trained network it has {', '.join(one.path for one in known) or 'no file'}",
            fix="name one of them, or convert a trained run: tbconv convert RUN --out BUNDLE",
        )
    for one in chosen:
        bundle.path(one.path)
    return chosen


def read_model_inputs(
    config: WalkConfig, bundle: Bundle, reporter: Reporter, *, most: int
) -> tuple[NDArray[np.uint8], str]:
    """Return the films, uint8 [N, 224, 224], and a phrase that describes them.

    Args:
        config: films and most.
        bundle: its golden inputs are taken where no folder is named.
        reporter: gets a line about films that cannot be read.
        most: how many where the configuration leaves it open.
    """
    most = most if config.most is None else config.most
    if config.films is None:  # drawn figures come first, phantoms after them
        model_inputs = read_golden(bundle.read(GOLDEN)).model_inputs[-most:]
        return model_inputs, f"{len(model_inputs)} of the bundle's golden inputs"
    source = FilmFolder(folder=config.films, most=most)
    model_inputs, _, description = read_films_of(source, bundle.root, reporter)
    return model_inputs, description


def write_reference(
    onnx: Path, model_inputs: NDArray[np.uint8], folder: Path, nodes: list[str] | None = None
) -> NodeReference:
    """Run an ONNX file on films, unoptimised, and write the tensors of its nodes.

    Args:
        onnx: the file.
        model_inputs: films, uint8 [N, 224, 224].
        folder: gets the files; 130 MB a film for all nodes of ResNet50.
        nodes: names; None takes all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "films.npy", model_inputs)
    run_step(
        f"{READERS['onnx']}:write_reference", {"artefact": str(onnx), "folder": str(folder), "nodes": nodes}, threads=1
    )
    return NodeReference(folder)


def walk(
    bundle: Bundle,
    artefacts: list[Artefact],
    reference: NodeReference,
    *,
    sums: Path | None = None,
    judge: bool = False,
    xnnpack: bool = True,
    known: Mapping[str, dict[str, Any]] | None = None,
) -> Iterator[tuple[Artefact, Future[dict[str, Any]]]]:
    """Compare files with the reference; yield each with its finished step, in their order.

    Args:
        bundle: theirs.
        artefacts: files whose digests were checked.
        reference: tensors of the nodes.
        sums: a folder that gets the sums of each file by operation, PATH.npz.
        judge: whether to name the first bad node.
        xnnpack: the kernels that serve, or LiteRT's built-in ones.
        known: answers on other films by path; their matches are taken over.
    """

    def step(one: Artefact, like: Mapping[str, Any] | None, *, matches_only: bool = False) -> dict[str, Any]:
        request = {
            "artefact": str(bundle.root / one.path),
            "path": one.path,
            "precision": one.precision,
            "reference": str(reference.folder),
            "like": None if like is None else {key: like[key] for key in ("operations", "matches")},
            "sums": None if sums is None or matches_only else str(sums / f"{one.path}.npz"),
            "judge": judge and not matches_only,
            "xnnpack": xnnpack,
        }
        return run_step(f"{READERS[one.format]}:compare", request, threads=1)

    known, paths = known or {}, {one.path for one in artefacts}
    with ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
        jobs: dict[str, Future[dict[str, Any]]] = {}
        for one in bundle.manifest.artefacts:  # reduced files wait for the matches of this one
            if one.path == FLOAT32 and any(path.endswith(".tflite") for path in paths):
                only = one.path not in paths
                jobs[one.path] = pool.submit(step, one, known.get(one.path), matches_only=only)
        for one in artefacts:
            if one.format != "tflite":
                jobs[one.path] = pool.submit(step, one, None)
        like = None
        if FLOAT32 in jobs and jobs[FLOAT32].exception() is None:
            like = jobs[FLOAT32].result()
        for one in artefacts:
            if one.path not in jobs:
                jobs[one.path] = pool.submit(step, one, known.get(one.path, like))
        for one in artefacts:
            jobs[one.path].exception()
            yield one, jobs[one.path]


# --- report ---
# What both reports have in common.


def plain(value: Any) -> Any:
    """Return a value in which every number that is not finite is None."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_db(value: float, digits: int = 0, unit: str = "") -> str:
    """Return a level as it is printed; a few films support no more than whole dB."""
    if value == math.inf:
        return "exact"
    return "NaN" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def write_report(out: Path, name: str, content: dict[str, Any], more: Mapping[str, bytes] | None = None) -> None:
    """Write NAME.json, and the view's other files by their suffix."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{name}.json", content)
    for suffix, data in (more or {}).items():
        write_atomic(out / f"{name}.{suffix}", data)
