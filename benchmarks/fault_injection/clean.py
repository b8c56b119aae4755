"""Clean conversions of many seeds, by the real steps: what no check may mind.

The steps are the functions that `tbconv convert` runs one process at a time; here one process runs
a step for all seeds, so that imports are paid once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fault_injection.many import ask_many, do_many
from benchmarks.fault_injection.setting import measured
from convert.certificate.certify import certificate_scope, write_certificate
from convert.formats.table import EQUALIZED, FORMATS, KERAS, TFLITE
from convert.formats.tflite_metadata import facts_of_run
from convert.from_run import list_artefacts
from convert.parity.inputs import FilmSet, golden_inputs, part_of
from convert.parity.runtimes import FLOAT64, artefact_runtime, torch_runtimes
from convert.quantization.float_ops import HEAD
from convert.runners.base import Answer
from tbconv.contract.bundle import CERTIFICATE, seal, sha256_file, write_json
from tbconv.contract.errors import ConversionError
from tbconv.contract.golden import GOLDEN, REFERENCE, Golden, write_golden
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.run_folder import CALIBRATION_FILMS, HELDOUT_FILMS, WEIGHTS, read_films, read_run

FIRST_SEED = 100  # apart from the seed of the bundle that faults are seeded in


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one seed."""

    root: Path

    @property
    def run(self) -> Path:
        """The drawn run."""
        return self.root / "run"

    @property
    def bundle(self) -> Path:
        """What is converted from it."""
        return self.root / "bundle"

    def at(self, name: str) -> str:
        """Return a path in the bundle, as a step is told it."""
        return str(self.bundle / name)


def convert_clean(seeds: Sequence[int], folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Draw and convert one run a seed, in every format, and seal its bundle.

    Args:
        seeds: of the random weights.
        folder: gets one folder a seed.
        say: is told each stage.

    Returns:
        The bundles, each with its certificate; without the baseline, which no fault is seeded in.
    """
    places = [Place(folder / f"seed {seed}") for seed in seeds]
    runs = [{"run": str(one.run), "seed": seed} for one, seed in zip(places, seeds, strict=True)]
    do_many("benchmarks.fault_injection.drawn:draw", runs)
    for place in places:
        place.bundle.mkdir()
        (place.bundle / WEIGHTS).write_bytes((place.run / WEIGHTS).read_bytes())
    for name, step, request in STAGES:
        do_many(step, [request(place) for place in places])
        say(f"{len(places)} clean seeds: {name}")
    images, filmset = _fed(places[0], folder)
    for place, answers in zip(places, _answers(places, images, folder), strict=True):
        _seal(place, filmset, answers)
    return [place.bundle for place in places]


def _onnx(place: Place) -> dict[str, Any]:
    facts = read_run(place.run)
    calibration = asdict(facts.decision_rules["trained"].calibration)
    asked = {"folder": str(place.bundle), "network": "trained", "arch": facts.arch}
    return {**asked, "calibration": calibration, "out": place.at("model.onnx")}


def _keras(place: Place) -> dict[str, Any]:
    return {"onnx": place.at("model.onnx")} | {one.argument: place.at(one.path) for one in FORMATS if one.step == KERAS}


def _tflite(place: Place) -> dict[str, Any]:
    files = {one.argument: place.at(one.path) for one in FORMATS if one.step == TFLITE}
    return {"saved_model": place.at("saved_model"), **files}


def _equalized(place: Place) -> dict[str, Any]:
    films = str(place.run / CALIBRATION_FILMS)
    return {"onnx": place.at("model.onnx"), "films": films, "out": str(place.root / "equalized.onnx")}


def _equalized_keras(place: Place) -> dict[str, Any]:
    return {"onnx": str(place.root / "equalized.onnx"), "saved_model": str(place.root / EQUALIZED)}


def _int8(place: Place) -> dict[str, Any]:
    films, out = str(place.run / CALIBRATION_FILMS), place.at("model_int8.tflite")
    return {"saved_model": str(place.root / EQUALIZED), "films": films, "keep_float": [HEAD], "out": out}


STAGES: tuple[tuple[str, str, Callable[[Place], dict[str, Any]]], ...] = (
    ("ONNX", "convert.formats.torch_to_onnx:torch_to_onnx", _onnx),
    ("Keras and SavedModel", "convert.formats.onnx_to_keras:onnx_to_keras", _keras),
    ("TFLite in three precisions", "convert.formats.saved_model_to_tflite:quantize", _tflite),
    ("equalized", "convert.quantization.equalization:equalize", _equalized),
    ("equalized SavedModel", "convert.formats.onnx_to_keras:onnx_to_keras", _equalized_keras),
    ("int8", "convert.quantization.int8:make_int8", _int8),
)


def _fed(place: Place, folder: Path) -> tuple[Path, FilmSet]:
    """Return what every seed is fed: the held-out films are drawn alike for all of them."""
    held = read_films(place.run / HELDOUT_FILMS)
    names, golden = golden_inputs(PreprocessSpec())
    filmset = FilmSet("held-out films", held.model_inputs, held.labels, golden, tuple(names))
    np.save(folder / "images.npy", filmset.together)
    return folder / "images.npy", filmset


def artefacts_of(place: Place) -> tuple[Artefact, ...]:
    """Return the artefacts of the trained network."""
    facts = read_run(place.run)
    made = dict.fromkeys([*(one.step.name for one in FORMATS), "baseline"], "clean seeds")
    return tuple(one for one in list_artefacts(facts, made, route="keras") if one.network == "trained")


def _answers(places: Sequence[Place], images: Path, folder: Path) -> list[dict[str, Answer]]:
    """Ask every file of every seed, one process a format."""
    found: list[dict[str, Answer]] = [{} for _ in places]
    for artefact in artefacts_of(places[0]):
        witnesses = {str(index): artefact_runtime(one.bundle, artefact) for index, one in enumerate(places)}
        requests = {key: one.request for key, one in witnesses.items()}
        _collect(found, artefact.path, ask_many(witnesses["0"].step, requests, images, folder / artefact.path))
    decision_rule = read_run(places[0].run).decision_rules["trained"]
    for kind, name in enumerate((REFERENCE, FLOAT64)):
        requests = {}
        for index, one in enumerate(places):
            arch = read_run(one.run).arch
            pair = torch_runtimes(one.bundle, "trained", arch=arch, calibration=decision_rule.calibration)
            requests[str(index)] = pair[kind].request
        asked = ask_many("convert.runners.pytorch:run", requests, images, folder / name)
        _collect(found, f"{name} (trained)", asked)
    return found


def _collect(found: list[dict[str, Answer]], name: str, asked: dict[str, Answer | str]) -> None:
    for key, answer in asked.items():
        if isinstance(answer, str):
            raise ConversionError(
                f"{name} of a clean seed was refused", why=answer, fix="look at the step that made it"
            )
        found[int(key)][name] = answer


def _seal(place: Place, filmset: FilmSet, answers: dict[str, Answer]) -> None:
    """Label, certify and seal as `tbconv convert` does."""
    from convert.formats.tflite_metadata import label_tflite

    facts, artefacts = read_run(place.run), artefacts_of(place)
    for path in sorted(place.bundle.glob("*.tflite")):
        label_tflite(path, facts_of_run(facts, "trained", sha256_file(place.bundle / WEIGHTS)))
    films = len(filmset.films)
    golden = {name: part_of(answer, films, None) for name, answer in answers.items()}
    write_golden(place.bundle / GOLDEN, Golden(filmset.golden_names, filmset.golden, golden))
    manifest = Manifest(
        name=facts.name,
        kind="trained",
        labels=facts.labels,
        preprocessing=PreprocessSpec(),
        decision_rules={"trained": facts.decision_rules["trained"]},
        artefacts=artefacts,
        provenance={"training": facts.provenance, "conversion": {}, "arch": facts.arch},
        synthetic=True,
    )
    measurement = measured(
        place.bundle, artefacts, filmset, answers, facts.decision_rules["trained"].operating_point.margin
    )
    sealed = seal(place.bundle, manifest)
    digests = {one.path: _digest(place.bundle, sealed, one.path) for one in artefacts}
    verdicts = {one.path: measurement.judge(one, digests[one.path]) for one in artefacts}
    certificate = write_certificate(measurement, verdicts, certificate_scope(place.bundle, place.run), {})
    write_json(place.bundle / CERTIFICATE, asdict(certificate))
    seal(place.bundle, manifest)


def _digest(folder: Path, manifest: Manifest, path: str) -> str:
    from tbconv.contract.bundle import Bundle

    return Bundle(folder, manifest).digest(path)
