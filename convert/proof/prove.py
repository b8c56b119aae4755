"""Prove that files are the ONNX graph, for every input: what `tbconv prove`, `verify` and `convert` call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.table import FORMATS, ONNX, runner_of
from convert.proof.evaluate import draw_films
from convert.worker import run_side_by_side, run_step, workers
from tbconv.contract.bundle import Bundle, open_bundle
from tbconv.contract.certificate import Proof, ProofVerdict
from tbconv.contract.errors import (
    ArtefactError,
    BundleError,
    ConversionError,
    Reporter,
    Silence,
    TbconvError,
    printable,
)
from tbconv.contract.files import temporary_folder
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.preprocess import as_model_input
from tf_serve.runtime.structure import check_tflite

JUDGE = "convert.proof.step:judge"
MOST_PROCESSES = 2  # each holds the ONNX graph's numbers in float64 and the file's: 1 GB of a ResNet50
CONVERSION = "conversion.json"  # of a third-party ONNX model, which has no manifest
KINDS = {".tflite": "tflite", ".keras": "keras", ".h5": "keras_h5", "": "saved_model"}
FILMS = 8  # drawn ones, beside the golden inputs, to look for one that both runtimes answer differently
VISIBLE = 1e-3  # of the largest output: further apart than float32 programs of one network are (docs/parity.md)


@workers()
def prove(bundle: Path, only: str | None = None, reporter: Reporter | None = None) -> dict[str, Proof]:
    """Return by path what can be said of each file of a bundle that is made of its model.onnx.

    Args:
        bundle: its folder, or that of a converted third-party ONNX model.
        only: one path of it; None for all.
        reporter: gets a line for each file.

    Raises:
        BundleError: it is neither, or has no ONNX file.
        ArtefactError: a file is missing or altered.
    """
    files, films = _listed(bundle)
    if only is not None:
        if only not in files:
            what = f"{printable(only)} is not proven"
            raise BundleError(what, why="it is not made of model.onnx here", fix=f"one of {', '.join(files)}")
        files = {only: files[only]}
    return prove_files(bundle / ONNX.path, files, films=films, reporter=reporter)


def _listed(bundle: Path) -> tuple[dict[str, Path], NDArray[np.float32] | None]:
    """Return the files made of model.onnx, and the golden inputs, float32 [N, H, W, 1]."""
    if (bundle / CONVERSION).is_file():
        if not (bundle / ONNX.path).is_file():
            why, fix = "a file is proven against it", f"convert again with {ONNX.name} among --formats"
            raise BundleError(f"{bundle} has no {ONNX.path}", why=why, fix=fix)
        found = {one.path: bundle / one.path for one in FORMATS if one != ONNX and (bundle / one.path).exists()}
        return found, None
    opened = open_bundle(bundle)
    paths = [one.path for one in opened.manifest.artefacts if one.network == "trained" and one.path != ONNX.path]
    require_graph(opened)
    if not paths:
        what, why = f"{bundle} has no file beside {ONNX.path}", "a file is proven against the graph that it was made of"
        raise BundleError(what, why=why, fix="convert the run again")
    golden = as_model_input(read_golden(opened.read(GOLDEN)).model_inputs)
    return {path: bundle / path for path in paths}, golden


def require_graph(bundle: Bundle) -> None:
    """Refuse a bundle without the ONNX graph that its other files were made of.

    Raises:
        BundleError: it has none, and why.
    """
    if ONNX.path in bundle.manifest.files:
        return
    why, fix = "a file is compared with the ONNX graph that it was made of", "convert the run again"
    if bundle.manifest.kind == "baseline":
        why, fix = f"{why}; this bundle holds the baseline alone, which is measured", "tbconv verify BUNDLE"
    elif ONNX.path in (bundle.certificate().scope.get("formats") or {}).get("not_asked", []):
        why, fix = f"{why}; it was not asked for", f"convert the run again with {ONNX.name} among --formats"
    raise BundleError(f"{bundle.root} has no {ONNX.path}", why=why, fix=fix)


def prove_files(
    onnx: Path,
    files: Mapping[str, Path],
    *,
    films: NDArray[np.float32] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Proof]:
    """Return by name what can be said of each file.

    Args:
        onnx: the graph that they are compared with.
        files: by name: `.tflite`, `.keras`, `.h5`, or the folder of a SavedModel.
        films: float32 [N, H, W, C] to try both runtimes on where a file is not equivalent, beside drawn ones.
        reporter: gets a line for each file.

    Raises:
        ArtefactError: a file is refused before it is opened.
        ConversionError: it is damaged.
    """
    said, found = reporter or Silence(), dict[str, Proof]()
    jobs = [(JUDGE, partial(_prove, onnx, name, path, films)) for name, path in files.items()]
    with workers():
        for number, proof in run_side_by_side(jobs, min(MOST_PROCESSES, os.cpu_count() or 1)):
            name = list(files)[number]
            found[name] = proof
            said.say(f"{name}: {proof.verdict} ({proof.figures.get('seconds', 0):.1f} s)")
    return {name: found[name] for name in files}


def _prove(onnx: Path, name: str, path: Path, films: NDArray[np.float32] | None) -> Proof:
    kind = KINDS.get(path.suffix if path.is_file() else "")
    if kind is None or not path.exists():
        what, fix = f"{printable(name)} is nothing that can be proven", "give a .tflite, .keras, .h5 or a SavedModel"
        raise ArtefactError(what, why="there is no reader for it", fix=fix)
    with temporary_folder("proof") as aside:
        place = path
        if kind == "saved_model":
            run_step("convert.proof.readers.saved_model:freeze", {"artefact": str(path), "folder": str(aside)})
            place = aside
        answer = run_step(JUDGE, {"onnx": str(onnx), "file": str(place), "kind": kind})
        proof = Proof(ProofVerdict(answer["verdict"]), answer["reason"], answer["figures"])
        if proof.verdict is ProofVerdict.DIFFERENT:
            proof = _with_example(proof, onnx, path, kind, answer, films, aside)
    return proof


# --- example ---
# An input on which both runtimes really differ.


def _with_example(
    proof: Proof,
    onnx: Path,
    path: Path,
    kind: str,
    answer: dict[str, Any],
    films: NDArray[np.float32] | None,
    aside: Path,
) -> Proof:
    drawn = draw_films(answer["shape"], FILMS)
    fed = drawn if films is None or films.shape[1:] != drawn.shape[1:] else np.concatenate([films, drawn])
    try:
        if kind == "tflite":
            check_tflite(path)  # LiteRT could crash on it
        far = list(_distances(onnx, path, kind, fed, aside))
    except TbconvError as error:
        return replace(proof, reason=f"{proof.reason}; it was not run: {error.one_line}")
    share, film, name, right, wrong = max(far)
    example = {"film": film, "films": len(fed), "output": name, "onnx": right, "file": wrong}
    where = f"{name} is {wrong:.6g} for {right:.6g} on film {film + 1} of {len(fed)} (golden, then drawn)"
    seen = f"both run, {where}" if share > VISIBLE else f"both run, no output differs visibly: at most {where}"
    return replace(proof, reason=f"{proof.reason}; {seen}", figures=proof.figures | {"example": example})


def _distances(
    onnx: Path, path: Path, kind: str, fed: NDArray[np.float32], aside: Path
) -> Iterator[tuple[float, int, str, float, float]]:
    """Yield for each film and output: the distance as a share of the largest output, and both values there."""
    channels_first = fed.transpose(0, 3, 1, 2) if fed.ndim == 4 else fed
    np.save(aside / "first.npy", np.ascontiguousarray(channels_first))
    np.save(aside / "last.npy", fed)
    runner = "convert.runners.tflite:run_any" if kind == "tflite" else runner_of(kind)
    runs = {
        "onnx": ("convert.runners.onnxruntime:run", {"artefact": str(onnx), "images": str(aside / "first.npy")}),
        "file": (runner, {"artefact": str(path), "images": str(aside / "last.npy")}),
    }
    answers = {}
    for name, (step, request) in runs.items():
        run_step(step, request | {"out": str(aside / f"{name}.npz"), "film_by_film": True})
        with np.load(aside / f"{name}.npz", allow_pickle=False) as found:
            answers[name] = dict(found)
    for name in answers["onnx"].keys() & answers["file"].keys():
        right, wrong = answers["onnx"][name], answers["file"][name]
        if right.size != wrong.size:
            why = f"{name} is {list(wrong.shape)}, of the ONNX graph {list(right.shape)}"
            raise ConversionError("the outputs have other sizes", why=why, fix="convert again")
        if right.shape != wrong.shape and right.ndim == 4:
            right = right.transpose(0, 2, 3, 1)
        rows = [one.reshape(len(fed), -1).astype(np.float64) for one in (right, wrong)]
        scale = max(float(np.abs(rows[0]).max()), 1e-30)
        for film in range(len(fed)):
            far = np.nan_to_num(np.abs(rows[1][film] - rows[0][film]), nan=np.inf)
            at = int(far.argmax())
            yield float(far[at]) / scale, film, name, float(rows[0][film, at]), float(rows[1][film, at])
