"""A run of several labels, trained or adopted, as what conversion takes: ONNX with a task, labels and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convert.onnx_import.reference import ConvertedOnnx, OnnxConfig, check_evidence, check_out
from convert.parity.decisions import Decisions
from convert.pipeline import (
    INT8_BUDGET,
    Route,
    check_budget,
    check_formats,
    check_io,
    check_route,
    convert,
    refuse_litert_torch,
)
from convert.worker import run_step, workers
from tbconv.contract.errors import ParityError, Reporter
from tbconv.contract.files import temporary_folder, write_json
from torch_train.run_folder import HELDOUT_FILMS, LABELS, LabelsFacts, read_films, read_labels, read_logits

FILMS = 64 + 576  # held-out films that are written out: those that calibrate int8, and those that are compared at most
ALLOWED = 2.0**-11  # of the largest logit: one rounding to float16, the ceiling of every tolerance (docs/adr/0013)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsConfig:
    """What `tbconv convert` does with a folder of several labels."""

    run: Path
    out: Path
    route: Route = "own"
    formats: tuple[str, ...] = ()
    io: str = "float32"  # what the int8 file gives, as of an ONNX file
    films: int | None = None
    keep_float: tuple[str, ...] | None = None
    int8_budget: float = INT8_BUDGET
    referral: str | None = None
    evidence: bool = False  # whether files give a map a label as well

    def __post_init__(self) -> None:
        check_route(self.route)
        check_formats(self.formats, self.route)
        refuse_litert_torch(self.route, str(self.run), "it converts networks that a library builds")
        check_budget(self.int8_budget)
        check_io(self.io, self.formats)
        check_evidence(self.evidence, self.route, self.io)
        check_out(self.out, [self.run])


@workers()
def convert_labels(config: LabelsConfig, reporter: Reporter) -> ConvertedOnnx:
    """Export the network, hold it to PyTorch's logits, and convert it as an ONNX file, by its own task and thresholds.

    Raises:
        BundleError: the folder is no run of several labels, or a file of it is damaged.
        ParityError: the export gives other logits, or a float32 file differs from it.
        ConversionError: a step failed.
    """
    facts = read_labels(config.run)
    with temporary_folder("labels") as aside:
        onnx, films, thresholds = aside / f"{facts.name}.onnx", aside / "films", aside / "thresholds.json"
        request = {"folder": str(config.run), "arch": facts.arch, "outputs": len(facts.labels), "out": str(onnx)}
        run_step("convert.formats.torch_to_onnx.of_run:labels_to_onnx", request)
        _require_same(config.run, facts, onnx, aside)
        same = "no decision on the held-out films differs from PyTorch's, no logit by more than 2^-11 of the largest"
        reporter.say(f"exported from {config.run}: {same}")
        _write_films(config.run, films)
        write_json(thresholds, facts.thresholds)
        as_onnx = OnnxConfig(
            onnx=onnx,
            out=config.out,
            calibration=films,
            route=config.route,
            normalise="none",  # the network normalises grey levels itself
            films=config.films,
            keep_float=config.keep_float,
            int8_budget=config.int8_budget,
            labels=facts.labels,
            formats=config.formats,
            io=config.io,
            evidence=config.evidence,
            task=facts.task,
            thresholds=thresholds if facts.thresholds else None,
            chosen_on=_chosen_on(facts),
            trained_here=facts.trained_here,
            referral=facts.referral if config.referral is None else config.referral,
        )
        return convert(as_onnx, reporter)


def _chosen_on(facts: LabelsFacts) -> str:
    films = facts.facts["films"]
    chosen = f"Thresholds were chosen on {films['validation']} validation films and " if facts.thresholds else ""
    figures = f"figures are of {films['test']} test films, by label, in {LABELS} of {facts.name}"
    use = {None: "training used none of these films", True: "none of these films is in the list of training films"}
    used = use.get(facts.training_films_listed, "whether training used these films is unknown")
    return f"{chosen}{figures}; nothing was calibrated, and {used}"


def _require_same(run: Path, facts: LabelsFacts, onnx: Path, aside: Path) -> None:
    """Refuse an export that does not give the held-out films PyTorch's logits.

    Raises:
        ParityError: a decision differs, or a logit by more than one rounding to float16.
    """
    images, out = aside / "heldout.npy", aside / "heldout.npz"
    np.save(images, read_films(run / HELDOUT_FILMS).model_inputs)
    run_step("convert.runners.onnxruntime:run", {"artefact": str(onnx), "images": str(images), "out": str(out)})
    with np.load(out, allow_pickle=False) as arrays:
        found = arrays["logits"]
    expected = read_logits(run / HELDOUT_FILMS)
    far = float(np.abs(found.astype(np.float64) - expected).max()) if found.shape == expected.shape else np.inf
    rule = Decisions(facts.task, tuple(facts.thresholds[label] for label in facts.labels) if facts.thresholds else ())  # type: ignore[arg-type]
    scale = float(np.abs(expected).max())
    flips = int(rule.flips(expected, found).sum()) if np.isfinite(far) else -1
    if not far <= ALLOWED * scale or flips:
        why = f"logits differ by up to {far:.1e} at a scale of {scale:.3g}, {max(flips, 0)} decisions differ"
        fix = "train or adopt it again with this version of tbconv"
        raise ParityError(f"the export of {run} is not what PyTorch computed for its held-out films", why=why, fix=fix)


def _write_films(run: Path, folder: Path) -> None:
    """Write held-out films, test ones first, as pictures without names."""
    films = read_films(run / HELDOUT_FILMS).model_inputs
    folder.mkdir()
    for number, film in enumerate(films[:FILMS]):
        Image.fromarray(film).save(folder / f"{number:04d}.png")
