"""The faults of one level: inject them, run what is faulty, let the checks judge, and let the trace locate them."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.fault_injection.checks import AGREE, FILMS, WHERE, check_answer, check_verdict
from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS, Fault
from benchmarks.fault_injection.inject import inject_many
from benchmarks.fault_injection.many import run_many
from benchmarks.fault_injection.score import Result, Trial, with_trace
from benchmarks.fault_injection.serve import Served, run_servers
from benchmarks.fault_injection.setting import Setting, copy_bundle
from convert.certificate.consistency import inconsistencies
from convert.formats.table import runner_of
from convert.layerwise.compare import FirstBad, NodeReference
from convert.layerwise.trace import make_reference, trace_bundle
from convert.layerwise.walk import WalkConfig
from convert.parity.inputs import draw_golden_films
from convert.parity.portability import PortabilityVerdict, Task, try_one
from convert.runners.base import Answer
from tbconv.contract.bundle import read_bundle
from tbconv.contract.consistency import allowed_logits
from tbconv.contract.errors import ConversionError, Silence, TbconvError
from tbconv.contract.golden import GOLDEN, check_films, read_golden
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import decode_xray
from torch_train.data.phantom import draw_phantom

INFINITE = float("inf")
RUNTIME_FILMS = 12  # in a row


def try_files(setting: Setting, level: str, faults: Sequence[Fault]) -> tuple[list[Result], dict[str, Path]]:
    """Inject faults into files of a conversion, run each file, and judge its outputs.

    Returns:
        The results, and the file of each trial by its key (those that were written), for the trace.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{level}-", dir=setting.aside))
    files = {key: folder / f"{index:03}{Path(path).suffix}" for index, (key, path) in enumerate(_keys(faults))}
    wanted = [(fault.name, severity, files[key]) for fault in faults for key, severity in fault.trials]
    refused = {Path(place): why for place, why in inject_many(level, wanted, setting.bundle).items() if why}
    answers: dict[str, Answer | str] = {key: refused[place] for key, place in files.items() if place in refused}
    made = {key: place for key, place in files.items() if place not in refused}
    by_path: dict[str, dict[str, Path]] = defaultdict(dict)
    for key, path in _keys(faults):
        if key in made:
            by_path[path][key] = made[key]
    for path, places in by_path.items():
        module = runner_of(setting.manifest.artefact(path).format)
        requests = {key: {"artefact": str(place)} for key, place in places.items()}
        answers |= run_many(module, requests, setting.images, folder / f"answers {path}")
    results = [_judged(setting, fault, answers) for fault in faults]
    return results, made


def _keys(faults: Sequence[Fault]) -> list[tuple[str, str]]:
    return [(key, fault.path) for fault in faults for key, _ in fault.trials]


def _judged(setting: Setting, fault: Fault, answers: dict[str, Answer | str]) -> Result:
    trials = []
    for key, severity in fault.trials:
        answer = answers[key]
        times = INFINITE if isinstance(answer, str) else setting.times(fault.path, answer)
        trials.append(Trial(severity, times, check_answer(setting, fault.path, answer)))
    return Result(fault, tuple(trials))


def try_films(setting: Setting, faults: Sequence[Fault]) -> list[Result]:
    """Decode drawn films wrongly, run the clean float32 file on them, and check the decoding with the golden films."""
    films, spec = list(draw_films().values()), PreprocessSpec()
    clean = [spec.model_input(decode_xray(data)) for data in films]
    trials = [(fault, severity) for fault in faults for _, severity in fault.trials]
    model_inputs = clean + [fault.inject(data, severity) for fault, severity in trials for data in films]
    images = setting.aside / "films.npy"
    np.save(images, np.stack(model_inputs))
    path = "model_float32.tflite"
    request = {path: {"artefact": str(setting.bundle / path)}}
    answer = run_many(runner_of("tflite"), request, images, setting.aside / "film answers")[path]
    if isinstance(answer, str):
        raise ConversionError(f"the clean {path} was refused", why=answer, fix="convert the bundle again")
    logits = answer.logits.astype(np.float64).reshape(len(trials) + 1, len(films), 2)
    times = np.abs(logits[1:] - logits[0]).max((1, 2)) / setting.noise.logits
    golden = draw_golden_films(spec)
    found: dict[str, list[Trial]] = defaultdict(list)
    for (fault, severity), moved in zip(trials, times, strict=True):
        caught = check_films(golden, partial(_open, fault, severity))
        found[fault.name].append(Trial(severity, float(moved), {FILMS: caught[0]} if caught else {}))
    return [Result(fault, tuple(found[fault.name])) for fault in faults]


def _open(fault: Fault, severity: float, data: bytes) -> NDArray[np.uint8]:
    opened: NDArray[np.uint8] = fault.inject(data, severity)
    return opened


def try_verdicts(faults: Sequence[Fault]) -> list[Result]:
    """Draw what a conversion would have measured of a file, and judge it: no model runs."""
    results = []
    for fault in faults:
        trials = []
        for _, severity in fault.trials:
            measured, exact = fault.inject(None, severity), fault.path == "model_float32.tflite"
            step = float(np.finfo(np.float32).eps) * float(np.abs(measured.reference).max())
            moved = float(np.abs(measured.answer.astype(np.float64) - measured.reference).max())
            trials.append(Trial(severity, moved / step, check_verdict(measured, exact=exact)))
        results.append(Result(fault, tuple(trials)))
    return results


def try_serving(setting: Setting, faults: Sequence[Fault]) -> list[Result]:
    """Inject faults into copies of the bundle, and compare what a server would return for the same films."""
    folder = Path(tempfile.mkdtemp(prefix="serving-", dir=setting.aside))
    keys = [(fault, key, severity) for fault in faults for key, severity in fault.trials]
    places = [folder / f"{index:03}" for index in range(len(keys))]
    for place, (fault, _, severity) in zip(places, keys, strict=True):
        copy_bundle(setting.bundle, place)
        fault.inject(place, severity)
    paths = sorted({fault.path for fault in faults})
    served = [(setting.bundle, path) for path in paths]
    served += [(place, fault.path) for place, (fault, _, _) in zip(places, keys, strict=True)]
    shown = run_servers(served, setting.images)
    clean = dict(zip(paths, shown, strict=False))
    found: dict[str, list[Trial]] = defaultdict(list)
    for place, (fault, _, severity), now in zip(places, keys, shown[len(paths) :], strict=True):
        caught = dict(now.caught) | _disagreements(place)
        found[fault.name].append(Trial(severity, _times(setting, clean[fault.path], now), caught))
    shutil.rmtree(folder)
    return [Result(fault, tuple(found[fault.name])) for fault in faults]


def try_runtimes(setting: Setting, faults: Sequence[Fault]) -> list[Result]:
    """Run the clean files in runtimes with a fault, and compare with what they answer here."""
    certificate, golden = read_bundle(setting.bundle).certificate(), read_golden(setting.bundle / GOLDEN)
    films = np.load(setting.images, allow_pickle=False)[:RUNTIME_FILMS]
    results = []
    for fault in faults:
        artefact, trials = setting.manifest.artefact(fault.path), []
        rule = setting.manifest.decision_rules[artefact.network]
        task = Task(
            artefact=artefact,
            place=setting.bundle / fault.path,
            sha256=certificate.artefacts[fault.path].sha256,
            here=setting.measurement.answers[fault.path],
            threshold=rule.operating_point.margin,
            slope=rule.calibration.slope,
            allowed=allowed_logits(artefact, golden, certificate),
        )
        for _, severity in fault.trials:
            target = fault.inject(setting.bundle, severity)
            target.prepare()
            row = try_one(target, task, films, None)
            moved = INFINITE if row.max_abs_logits is None else row.max_abs_logits / setting.noise.logits
            caught = {WHERE: row.reason} if row.verdict is PortabilityVerdict.FAILED else {}
            trials.append(Trial(severity, moved, caught))
        results.append(Result(fault, tuple(trials)))
    return results


def _disagreements(place: Path) -> dict[str, str]:
    try:
        found = inconsistencies(read_bundle(place))
    except TbconvError as error:
        return {AGREE: error.one_line}
    return {AGREE: "; ".join(f"{path}: {why}" for path, why in found.items())} if found else {}


def _times(setting: Setting, clean: Served, now: Served) -> float:
    """Return how far the served output moved, in times the noise; another label or decision is infinitely far."""
    if now.decisions != clean.decisions or now.positive != clean.positive:
        return INFINITE
    moved = np.abs(np.array([now.probability, now.margin]) - np.array([clean.probability, clean.margin])).max(1)
    return float((moved / [setting.noise.probability, 2 * setting.noise.logits]).max())


# --- drawn films ---
# As file bytes, of every kind that a client may decode wrongly: depth, colour, orientation, palette.

FIRST_SEED = 40_000  # apart from the films of the run and from the golden inputs


def draw_films() -> dict[str, bytes]:
    """Return films by their kind; PNG but for one JPEG."""
    grey = [draw_phantom(FIRST_SEED + index, positive=bool(index % 2)).pixels for index in range(4)]
    tall, wide = grey[0][:, : grey[0].shape[1] * 3 // 4], grey[1][: grey[1].shape[0] * 3 // 4]
    deep = np.asarray(grey[2], np.uint16)
    shades = np.stack([grey[3], grey[3] // 2 + 60, 255 - grey[3] // 3], -1)
    alpha = np.where(np.arange(tall.shape[1]) < 40, 0, 255)[None].repeat(len(tall), 0)
    palette = Image.fromarray(255 - grey[3], "L").convert("P")
    palette.putpalette([255 - level // 3 for level in range(768)])
    return {
        "tall": _png(tall),
        "wide": _png(wide),
        "12 bits": _png(deep * 16 + deep // 16),
        "16 bits": _png(deep * 257),
        "equal channels": _png(np.stack([wide] * 3, -1)),
        "colour": _png(shades),
        "transparent": _png(np.dstack([tall, tall, tall, alpha]).astype(np.uint8)),
        "palette": _saved(palette, "PNG"),
        "turned": _turned(wide),
        "darker": _png((grey[0] * 0.7 + 20).astype(np.uint8)),
    }


def _png(pixels: NDArray[Any]) -> bytes:
    return _saved(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")


def _turned(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    return _saved(image, "JPEG", exif=exif, quality=95)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# --- location ---
# Where the trace locates a fault, and whether that is where it was injected.

TRACED_FILMS = 4


def reference_of(setting: Setting) -> NodeReference:
    """Return the nodes' outputs of the clean network for the last golden inputs, which are phantoms."""
    return make_reference(
        setting.bundle, setting.measurement.filmset.golden[-TRACED_FILMS:], setting.aside / "reference"
    )


def locate_all(
    setting: Setting, results: Iterable[Result], files: dict[str, Path], reference: NodeReference
) -> list[Result]:
    """Trace the mutants of all graph levels, and smaller severities that are live and that no other check caught."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            [pool.submit(_locate, setting, one, index, files, reference) for index in range(len(one.trials))]
            for one in results
        ]
        return [replace(one, trials=tuple(job.result() for job in row)) for one, row in zip(results, jobs, strict=True)]


def _locate(setting: Setting, result: Result, index: int, files: dict[str, Path], reference: NodeReference) -> Trial:
    fault, trial = result.fault, result.trials[index]
    key, _ = fault.trials[index]
    wanted = index == 0 or (trial.live and not trial.caught)
    if fault.level not in GRAPH_LEVELS or key not in files or not wanted:
        return trial
    found = trace_file(setting, fault.path, files[key], reference)
    if isinstance(found, str) or (found is not None and not found.node):
        return trial  # it cannot be run at all, so no node of it is worse than another
    right = None if found is None or not fault.nodes else bool({found.node, *found.one_of} & set(fault.nodes))
    if found is None:
        return replace(trial, right=False if fault.nodes and trial.live else None)
    return with_trace(trial, found.node, right=right, reason=found.reason)


def trace_file(setting: Setting, path: str, file: Path, reference: NodeReference) -> FirstBad | str | None:
    """Return the first bad node of a file that stands in for one of the bundle's; a sentence where it cannot be run."""
    place = setting.aside / f"traced {file.parent.name} {file.stem}"
    setting.bundle_with(place, {path: file})
    try:
        config = WalkConfig(bundle=place, out=None, artefacts=(path,))
        found = trace_bundle(config, Silence(), reference=reference).found
    except TbconvError as error:
        return error.one_line
    finally:
        shutil.rmtree(place)
    return found[0] if found else None
