"""Clean conversions of many seeds, by the real steps, in which no check may raise an alarm.

The steps are the functions that `tbconv convert` runs one process at a time; here one process runs
a step for all seeds, so that imports are paid once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fault_injection.checks import AGREE, DECISIONS, PARITY, TRACE
from benchmarks.fault_injection.many import run_many, step_many
from benchmarks.fault_injection.serve import run_servers
from benchmarks.fault_injection.setting import measured
from convert.certificate.certify import certificate_scope, write_certificate
from convert.certificate.consistency import inconsistencies
from convert.formats.metadata import label_files
from convert.formats.table import FORMATS, INT8, KERAS, TFLITE
from convert.from_run import ConvertConfig, list_artefacts
from convert.layerwise.trace import trace_bundle
from convert.layerwise.walk import WalkConfig
from convert.parity.inputs import FilmSet, golden_inputs, part_of
from convert.parity.runtimes import FLOAT64, artefact_runtime, torch_runtimes
from convert.pipeline import convert
from convert.quantization.float_ops import HEAD
from convert.runners.base import Answer
from tbconv.contract.bundle import CERTIFICATE, read_bundle, seal
from tbconv.contract.certificate import ArtefactVerdict, Verdict
from tbconv.contract.environment import provenance
from tbconv.contract.errors import ConversionError, Reporter, Silence, TbconvError
from tbconv.contract.files import write_json
from tbconv.contract.golden import GOLDEN, REFERENCE, Golden, read_golden, write_golden
from tbconv.contract.manifest import Artefact, Calibration, DecisionRule, Labels, Manifest, OperatingPoint
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.data.phantom import draw_phantom
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    HELDOUT_FILMS,
    WEIGHTS,
    Films,
    RunFacts,
    read_films,
    read_run,
    write_films,
    write_run,
)

FRAMEWORK = "torch"  # of `draw`, the one step of this module
FIRST_SEED = 100  # apart from the seed of the bundle that gets the faults


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
        """Return a path in the bundle, as a request names it."""
        return str(self.bundle / name)


def convert_clean(seeds: Sequence[int], folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Draw and convert one run a seed, in every format, and seal its bundle.

    Args:
        seeds: of the random weights.
        folder: gets one folder a seed.
        say: gets a line for each stage.

    Returns:
        The bundles, each with its certificate; without the baseline, which gets no fault.
    """
    places = [Place(folder / f"seed {seed}") for seed in seeds]
    runs = [{"run": str(one.run), "seed": seed} for one, seed in zip(places, seeds, strict=True)]
    step_many("benchmarks.fault_injection.clean:draw", runs)
    for place in places:
        place.bundle.mkdir()
        (place.bundle / WEIGHTS).write_bytes((place.run / WEIGHTS).read_bytes())
    for name, step, request in STAGES:
        step_many(step, [request(place) for place in places])
        say(f"{len(places)} clean seeds: {name}")
    images, filmset = _fed(places[0], folder)
    for place, answers in zip(places, _answers(places, images, folder), strict=True):
        _seal(place, filmset, answers)
    return [place.bundle for place in places]


def _onnx(place: Place) -> dict[str, Any]:
    facts = read_run(place.run)
    calibration = asdict(facts.decision_rules["trained"].calibration)
    network = {"folder": str(place.bundle), "network": "trained", "arch": facts.arch}
    return {**network, "calibration": calibration, "out": place.at("model.onnx")}


def _keras(place: Place) -> dict[str, Any]:
    return {"onnx": place.at("model.onnx")} | {one.argument: place.at(one.path) for one in FORMATS if one.step == KERAS}


def _tflite(place: Place) -> dict[str, Any]:
    return {"onnx": place.at("model.onnx")} | {
        one.argument: place.at(one.path) for one in FORMATS if one.step == TFLITE
    }


def _int8(place: Place) -> dict[str, Any]:
    threshold = read_run(place.run).decision_rules["trained"].operating_point.margin
    how = {"films": str(place.run / CALIBRATION_FILMS), "keep_float": [HEAD], "budget": 0}
    places = {"onnx": place.at("model.onnx"), "out": place.at("model_int8.tflite")}
    return places | how | {"decisions": {"threshold": threshold}}


STAGES: tuple[tuple[str, str, Callable[[Place], dict[str, Any]]], ...] = (
    ("ONNX", "convert.formats.torch_to_onnx.of_run:torch_to_onnx", _onnx),
    ("Keras and SavedModel", KERAS.function, _keras),
    ("TFLite in three precisions", TFLITE.function, _tflite),
    ("int8", INT8.function, _int8),
)


def _fed(place: Place, folder: Path) -> tuple[Path, FilmSet]:
    """Return the inputs of every seed: the held-out films are the same for all of them."""
    held = read_films(place.run / HELDOUT_FILMS)
    names, golden = golden_inputs(PreprocessSpec())
    filmset = FilmSet("held-out films", held.model_inputs, held.labels, golden, tuple(names))
    np.save(folder / "images.npy", filmset.together)
    return folder / "images.npy", filmset


def artefacts_of(place: Place) -> tuple[Artefact, ...]:
    """Return the artefacts of the trained network."""
    facts = read_run(place.run)
    made = dict.fromkeys([*(one.step.name for one in FORMATS), "baseline"], "clean seeds")
    return tuple(one for one in list_artefacts(facts, made, route="own") if one.network == "trained")


def _answers(places: Sequence[Place], images: Path, folder: Path) -> list[dict[str, Answer]]:
    """Run every file of every seed, one process for each format."""
    found: list[dict[str, Answer]] = [{} for _ in places]
    for artefact in artefacts_of(places[0]):
        witnesses = {str(index): artefact_runtime(one.bundle, artefact) for index, one in enumerate(places)}
        requests = {key: one.request for key, one in witnesses.items()}
        _collect(found, artefact.path, run_many(witnesses["0"].step, requests, images, folder / artefact.path))
    decision_rule = read_run(places[0].run).decision_rules["trained"]
    for kind, name in enumerate((REFERENCE, FLOAT64)):
        requests = {}
        for index, one in enumerate(places):
            arch = read_run(one.run).arch
            pair = torch_runtimes(one.bundle, "trained", arch=arch, calibration=decision_rule.calibration)
            requests[str(index)] = pair[kind].request
        answers = run_many("convert.runners.pytorch:run", requests, images, folder / name)
        _collect(found, f"{name} (trained)", answers)
    return found


def _collect(found: list[dict[str, Answer]], name: str, answers: dict[str, Answer | str]) -> None:
    for key, answer in answers.items():
        if isinstance(answer, str):
            raise ConversionError(
                f"{name} of a clean seed was refused", why=answer, fix="look at the step that made it"
            )
        found[int(key)][name] = answer


def _seal(place: Place, filmset: FilmSet, answers: dict[str, Answer]) -> None:
    """Label, certify and seal as `tbconv convert` does."""
    facts, artefacts = read_run(place.run), artefacts_of(place)
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
    label_files(place.bundle, manifest)
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


# --- drawn runs ---
# The small network: drawn phantoms, random weights, and the run folder of both.

N_CALIBRATION, N_HELDOUT, FIRST_CALIBRATION, FIRST_HELDOUT = 8, 20, 500, 700
CALIBRATION = Calibration(1.2, -0.3, 10, 10)


def draw_model_inputs(n: int, *, first_seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw phantoms, every other one positive: uint8 [n, 224, 224] and labels int64 [n]."""
    labels = np.arange(n) % 2
    spec = PreprocessSpec()
    phantoms = [draw_phantom(first_seed + index, positive=bool(label)) for index, label in enumerate(labels)]
    return np.stack([spec.model_input(phantom.pixels) for phantom in phantoms]), labels.astype(np.int64)


def draw_network(model_inputs: NDArray[np.uint8], *, seed: int, arch: Any = "resnet10") -> Any:
    """Return a network of random weights whose BatchNorm statistics are those of the phantoms; loads torch."""
    import torch

    from torch_train.model.network import XrayNetwork

    torch.manual_seed(seed)
    network = XrayNetwork(arch)
    images = torch.from_numpy(model_inputs)[:, None].float()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0.0, 0.2)
                module.momentum = 0.5
        for _ in range(4):
            network.train()(images)
    return network.eval()


def decision_rule_of(margins: NDArray[np.floating]) -> DecisionRule:
    """Return a decision_rule whose threshold is in the middle of the widest gap: no decision depends on rounding."""
    inner = np.sort(margins)[len(margins) // 4 : -(len(margins) // 4)]
    widest = int(np.diff(inner).argmax())
    threshold = float(inner[widest : widest + 2].mean())
    return DecisionRule(CALIBRATION, OperatingPoint(threshold, 0.9, 0.9, 0.5, 10, 10, "5" * 64))


def write_drawn_run(run: Path, *, seed: int, arch: str = "resnet10") -> Path:
    """Write a finished run folder as `tbconv train` leaves it, and return it; loads torch."""
    import torch

    from torch_train.model.baseline import baseline_margins, fit_baseline
    from torch_train.results import write_baseline, write_weights

    calibration, calibration_labels = draw_model_inputs(N_CALIBRATION, first_seed=FIRST_CALIBRATION)
    heldout, labels = draw_model_inputs(N_HELDOUT, first_seed=FIRST_HELDOUT)
    run.mkdir(parents=True)
    baseline = fit_baseline(calibration, calibration_labels, seed=0)
    write_baseline(run / BASELINE, baseline)
    network = draw_network(calibration, seed=seed, arch=arch)
    write_weights(run / WEIGHTS, network)
    with torch.inference_mode():
        logits = network(torch.from_numpy(heldout)[:, None].float()).numpy()
    margins = {"baseline": baseline_margins(baseline, heldout), "trained": logits[:, 1] - logits[:, 0]}
    part = np.array(["test"] * 8 + ["validation"] * (N_HELDOUT - 8))
    write_films(run / CALIBRATION_FILMS, Films(calibration, calibration_labels, np.full(N_CALIBRATION, "train")))
    write_films(run / HELDOUT_FILMS, Films(heldout, labels, part))
    origin = {**provenance(), "gpu": None, "data_digest": "d" * 64, "split_digest": "5" * 64}
    decision_rules = {name: decision_rule_of(found) for name, found in margins.items()}
    write_run(run, RunFacts("drawn", arch, Labels("Normal", "Tuberculosis"), decision_rules, True, origin))
    return run


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Write one drawn run, a step; request: run, seed, arch (default resnet10)."""
    write_drawn_run(Path(request["run"]), seed=request["seed"], arch=request.get("arch", "resnet10"))
    return {}


# --- alarms ---
# Every check on conversions without a fault: what it catches is a false alarm.

FILE = "model_float32.tflite"  # the one that is served


@dataclass(frozen=True, slots=True)
class Findings:
    """What the checks found in clean bundles, one sentence each."""

    alarms: tuple[str, ...] = ()  # a fault is claimed where there is none
    costs: tuple[str, ...] = ()  # a reduced file changes more decisions than it may: true, but not caused by a fault

    def __add__(self, other: Findings) -> Findings:
        return Findings(self.alarms + other.alarms, self.costs + other.costs)


def find_alarms(bundles: Sequence[Path], reporter: Reporter, *, trace: bool) -> Findings:
    """Run the checks that follow a conversion on clean bundles.

    Args:
        bundles: each with certificate and golden answers.
        reporter: gets a line for each bundle.
        trace: whether to walk them node by node as well.
    """
    images = bundles[0].parent / "golden.npy"
    np.save(images, read_golden(bundles[0] / GOLDEN).model_inputs)
    shown = run_servers([(bundle, FILE) for bundle in bundles], images)
    caught = Findings()
    for bundle, one in zip(bundles, shown, strict=True):
        name = bundle.parent.name
        found = [f"{check}: {why}" for check, why in one.caught.items()]
        found += [f"{AGREE}: {path}: {why}" for path, why in inconsistencies(read_bundle(bundle)).items()]
        found += _traced(bundle) if trace else []
        failed, costs = _verdicts(bundle)
        found += failed
        reporter.say(f"{name}: {'; '.join(found) or 'no alarm'}")
        caught += Findings(tuple(f"{name}, {why}" for why in found), tuple(f"{name}, {why}" for why in costs))
    return caught


def _verdicts(bundle: Path) -> tuple[list[str], list[str]]:
    """Return the files that failed: first those that differ from PyTorch, then those that change too many decisions.

    Twenty films are too few for a reduced file (CANNOT SAY), which is no alarm; of a float32 file it is one.
    """
    opened = read_bundle(bundle)
    failed = {
        path: one
        for path, one in opened.certificate().artefacts.items()
        if not one.verdict.may_serve
        and (opened.manifest.artefact(path).is_exact or one.verdict is not Verdict.CANNOT_SAY)
    }
    costly = [path for path, one in failed.items() if _is_costly(opened.manifest.artefact(path), one)]
    words = {path: f"{DECISIONS if path in costly else PARITY}: {path}: {one.reason}" for path, one in failed.items()}
    return [words[path] for path in failed if path not in costly], [words[path] for path in costly]


def _is_costly(artefact: Artefact, verdict: ArtefactVerdict) -> bool:
    return artefact.precision != "float32" and verdict.figures.get("problem") is None


def _traced(bundle: Path) -> list[str]:
    try:
        found = trace_bundle(WalkConfig(bundle=bundle, out=None), Silence()).found
    except TbconvError as error:  # a clean network that the trace cannot judge; the other findings are kept
        return [f"{TRACE}: {error.one_line}"]
    return [f"{TRACE}: {one.path}: {one.node or 'no node'}: {one.reason}" for one in found]


def resnet50_alarms(seed: int, folder: Path, reporter: Reporter) -> Findings:
    """Draw a ResNet50 of random weights, convert it as `tbconv convert` does, and run every check on it."""
    place = folder / f"ResNet50 seed {seed}"
    run, bundle = place / "run", place / "bundle"
    step_many("benchmarks.fault_injection.clean:draw", [{"run": str(run), "seed": seed, "arch": "resnet50"}])
    try:
        convert(ConvertConfig(run=run, out=bundle), reporter)
        return find_alarms([bundle], reporter, trace=True)
    except TbconvError as error:
        return Findings((f"{place.name}, {error.one_line}",))
    finally:
        shutil.rmtree(place)
