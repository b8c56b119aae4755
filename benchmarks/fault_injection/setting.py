"""The clean bundle that gets the faults, its outputs, and how far its correct float32 files are apart."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.fault_injection.many import run_many
from convert.formats.table import runner_of
from convert.from_run import choose_films
from convert.parity.inputs import FilmSet, part_of
from convert.parity.measure import Measurement, ReferenceAnswers, Row, make_row, measure
from convert.parity.runtimes import FLOAT64, artefact_runtime
from convert.parity.verdicts import Tolerances
from convert.runners.base import Answer
from tbconv.contract.bundle import MANIFEST, open_bundle, read_json
from tbconv.contract.errors import Reporter
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.golden import GOLDEN, REFERENCE, read_golden
from tbconv.contract.manifest import Artefact, Kind, Manifest
from torch_train.run_folder import HELDOUT_FILMS, read_films

OUTPUTS = ("logits", "probability", "evidence")


@dataclass(frozen=True, slots=True)
class Noise:
    """How far correct float32 runs of one network are apart at most, by output; in that output's own unit."""

    logits: float
    probability: float
    evidence: float

    @classmethod
    def of(cls, answers: dict[str, Answer], names: list[str], reference: str) -> Noise:
        """Measure it over the runs of `names`, each against `reference`, in the outputs that a run has."""
        found = [
            max(_furthest(answers[name], answers[reference], output) for name in names if _has(answers[name], output))
            for output in OUTPUTS
        ]
        return cls(*found)

    def or_larger(self, other: Noise) -> Noise:
        """Return the larger of two, output by output."""
        return Noise(*(max(getattr(self, output), getattr(other, output)) for output in OUTPUTS))

    def times(self, answer: Answer, clean: Answer) -> float:
        """Return how far an answer is from the clean one, in times the noise, for the output that moved most."""
        moved = [_furthest(answer, clean, output) / max(getattr(self, output), 1e-12) for output in OUTPUTS]
        return float(max(moved))


def _has(answer: Answer, output: str) -> bool:
    return getattr(answer, output) is not None


def _furthest(one: Answer, other: Answer, output: str) -> float:
    """Return max |one - other| over films; infinity where a shape differs or a value is not finite."""
    here, there = getattr(one, output), getattr(other, output)
    if here is None or there is None:
        return 0.0 if here is there else float(np.inf)
    if here.shape != there.shape or not np.isfinite(here).all():
        return float(np.inf)
    return float(np.abs(here.astype(np.float64) - there).max())


@dataclass(frozen=True, slots=True)
class Setting:
    """A clean bundle, measured."""

    bundle: Path
    manifest: Manifest
    measurement: Measurement
    noise: Noise
    images: Path  # .npy of all inputs, uint8 [N, 224, 224]
    aside: Path  # for files that are made and thrown away
    kernels: dict[str, Noise] = field(default_factory=dict)  # of reduced files, under two sets of correct kernels

    @property
    def model_inputs(self) -> NDArray[np.uint8]:
        """All inputs, uint8 [N, 224, 224]."""
        return self.measurement.filmset.together

    def times(self, path: str, answer: Answer) -> float:
        """Return how far a file's outputs are from the clean ones, in times its noise.

        Two correct kernel sets round one reduced file differently (int8: 1e-2 logits); of such a file the larger noise
        counts, output by output.
        """
        noise = self.noise.or_larger(self.kernels[path]) if path in self.kernels else self.noise
        return noise.times(answer, self.clean(path))

    def clean(self, path: str) -> Answer:
        """Return the outputs of a file of the clean bundle."""
        return self.measurement.answers[path]

    def bundle_with(self, place: Path, files: dict[str, Path]) -> Path:
        """Make a bundle that differs in some files, digests and all, as if it had been converted that way.

        Args:
            place: does not exist yet.
            files: what replaces a file of the bundle, by its path there.
        """
        copy_bundle(self.bundle, place)
        for path, file in files.items():
            (place / path).unlink()
            shutil.copyfile(file, place / path)
            record(place, path)
        return place


def copy_bundle(bundle: Path, place: Path) -> None:
    """Copy a bundle by hard links: a file is then to be replaced, never written into."""
    shutil.copytree(bundle, place, copy_function=os.link)


def record(folder: Path, path: str) -> None:
    """Write a file's digest and size into manifest and certificate, as its conversion would have."""
    manifest, digest = read_json(folder / MANIFEST), sha256_file(folder / path)
    manifest["files"][path] = {"sha256": digest, "bytes": (folder / path).stat().st_size}
    write_json(folder / MANIFEST, manifest)
    certificate = read_json(folder / "certificate.json")
    if path in certificate["artefacts"]:
        certificate["artefacts"][path]["sha256"] = digest
        write_json(folder / "certificate.json", certificate)
        record(folder, "certificate.json")


def make_setting(bundle: Path, run: Path, aside: Path, reporter: Reporter) -> Setting:
    """Open a clean bundle and measure it as `tbconv convert` did.

    Args:
        bundle: of `run`.
        run: its held-out films are fed beside the golden inputs.
        aside: a folder for what is made on the way.
        reporter: shows what has run.
    """
    manifest, golden = open_bundle(bundle).manifest, read_golden(bundle / GOLDEN)
    held = read_films(run / HELDOUT_FILMS)
    rows = choose_films(held.part, 512)
    filmset = FilmSet("held-out films", held.model_inputs[rows], held.labels[rows], golden.model_inputs, golden.names)
    arch, decision_rules = manifest.provenance["arch"], manifest.decision_rules
    measurement = measure(
        bundle, manifest.artefacts, filmset, arch=arch, decision_rules=decision_rules, extra=(), reporter=reporter
    )
    images = aside / "images.npy"
    np.save(images, filmset.together)
    noise, kernels = noise_of(manifest, measurement), kernel_noise(bundle, manifest, measurement, images)
    return Setting(bundle, manifest, measurement, noise, images, aside, kernels)


def setting_of_golden(bundle: Path, aside: Path) -> Setting:
    """Open a clean bundle and take its recorded outputs for the golden inputs: nothing runs again.

    Args:
        bundle: with the trained network.
        aside: a folder for what is made on the way.
    """
    manifest, golden = open_bundle(bundle).manifest, read_golden(bundle / GOLDEN)
    none = np.zeros((0, *golden.model_inputs.shape[1:]), np.uint8)
    filmset = FilmSet("the golden inputs", none, None, golden.model_inputs, golden.names)
    answers = {name: Answer(one.logits, one.probability, one.evidence) for name, one in golden.answers.items()}
    files = [one for one in manifest.artefacts if one.network == "trained"]
    threshold = manifest.decision_rules["trained"].operating_point.margin
    measurement = measured(bundle, files, filmset, answers, threshold)
    images = aside / "images.npy"
    np.save(images, filmset.together)
    noise, kernels = noise_of(manifest, measurement), kernel_noise(bundle, manifest, measurement, images)
    return Setting(bundle, manifest, measurement, noise, images, aside, kernels)


def noise_of(manifest: Manifest, measurement: Measurement) -> Noise:
    """Return the noise of the trained network's float32 files and of float64 PyTorch, against float32 PyTorch."""
    files = [one.path for one in manifest.artefacts if one.network == "trained" and one.precision == "float32"]
    return Noise.of(measurement.answers, [*files, f"{FLOAT64} (trained)"], f"{REFERENCE} (trained)")


def kernel_noise(bundle: Path, manifest: Manifest, measurement: Measurement, images: Path) -> dict[str, Noise]:
    """Return how far built-in kernels are from those that serve, on each clean file of reduced precision."""
    reduced = [one.path for one in manifest.artefacts if one.precision != "float32"]
    requests = {path: {"artefact": str(bundle / path), "xnnpack": False} for path in reduced}
    found = run_many(runner_of("tflite"), requests, images, images.with_name("built-in kernels"))
    answers = {path: answer for path, answer in found.items() if not isinstance(answer, str)}
    return {
        path: Noise.of({path: answer, "": measurement.answers[path]}, [path], "") for path, answer in answers.items()
    }


def with_answer(setting: Setting, path: str, answer: Answer) -> Measurement:
    """Return the measurement with other outputs of one file, judged by the same code."""
    clean = setting.measurement
    row = row_of(setting.bundle, setting.manifest.artefact(path), clean.filmset, clean.answers | {path: answer},
                 clean.thresholds)  # fmt: skip
    rows = tuple(row if one.name == path else one for one in clean.rows)
    return replace(clean, rows=rows, answers=clean.answers | {path: answer})


def measured(
    folder: Path, artefacts: Sequence[Artefact], filmset: FilmSet, answers: dict[str, Answer], threshold: float
) -> Measurement:
    """Return the measurement of outputs that are known already, of the trained network's files."""
    reference, float64 = (answers[f"{name} (trained)"] for name in (REFERENCE, FLOAT64))
    count = len(filmset.films)
    golden = Tolerances.derive(part_of(reference, count, None), part_of(float64, count, None), threshold=threshold)
    films = golden
    if count:
        films = Tolerances.derive(part_of(reference, 0, count), part_of(float64, 0, count), threshold=threshold)
    thresholds: dict[Kind, float] = {"trained": threshold}
    rows = tuple(row_of(folder, one, filmset, answers, thresholds) for one in artefacts)
    return Measurement(rows, {"trained": films}, {"trained": golden}, thresholds, answers, filmset)


def row_of(
    folder: Path, artefact: Artefact, filmset: FilmSet, answers: dict[str, Answer], thresholds: dict[Kind, float]
) -> Row:
    """Return one file's row of the measurement."""
    network = artefact.network
    reference, float64 = (answers[f"{name} ({network})"] for name in (REFERENCE, FLOAT64))
    count = len(filmset.films)
    expected = ReferenceAnswers(reference, float64, thresholds[network], filmset.labels, count, len(filmset.golden))
    return make_row(artefact_runtime(folder, artefact), answers[artefact.path], expected)
