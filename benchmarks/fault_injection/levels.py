"""Tries the faults of one level: makes what is spoilt, asks it, and lets the checks judge."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.fault_injection.checks import AGREE, FILMS, check_answer
from benchmarks.fault_injection.faults.fault import Fault
from benchmarks.fault_injection.films import draw_films
from benchmarks.fault_injection.many import ask_many
from benchmarks.fault_injection.result import Result, Rung
from benchmarks.fault_injection.serve import Shown, ask_servers
from benchmarks.fault_injection.setting import Setting, copy_bundle
from benchmarks.fault_injection.spoil import spoil_many
from convert.certificate.consistency import inconsistencies
from convert.formats.table import runner_of
from convert.parity.inputs import draw_golden_films
from convert.runners.base import Answer
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import ConversionError, TbconvError
from tbconv.contract.golden import check_films
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import decode_xray

INFINITE = float("inf")


def try_files(setting: Setting, level: str, faults: Sequence[Fault]) -> tuple[list[Result], dict[str, Path]]:
    """Seed faults into files of a conversion, ask each file, and judge what it answers.

    Returns:
        The results, and the file of each rung by its key (those that were made), for the trace.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{level}-", dir=setting.aside))
    files = {key: folder / f"{index:03}{Path(path).suffix}" for index, (key, path) in enumerate(_keys(faults))}
    wanted = [(fault.name, severity, files[key]) for fault in faults for key, severity in fault.rungs]
    refused = {Path(place): why for place, why in spoil_many(level, wanted, setting.bundle).items() if why}
    answers: dict[str, Answer | str] = {key: refused[place] for key, place in files.items() if place in refused}
    made = {key: place for key, place in files.items() if place not in refused}
    by_path: dict[str, dict[str, Path]] = defaultdict(dict)
    for key, path in _keys(faults):
        if key in made:
            by_path[path][key] = made[key]
    for path, places in by_path.items():
        module = runner_of(setting.manifest.artefact(path).format)
        requests = {key: {"artefact": str(place)} for key, place in places.items()}
        answers |= ask_many(module, requests, setting.images, folder / f"answers {path}")
    results = [_judged(setting, fault, answers) for fault in faults]
    return results, made


def _keys(faults: Sequence[Fault]) -> list[tuple[str, str]]:
    return [(key, fault.path) for fault in faults for key, _ in fault.rungs]


def _judged(setting: Setting, fault: Fault, answers: dict[str, Answer | str]) -> Result:
    rungs = []
    for key, severity in fault.rungs:
        answer = answers[key]
        times = INFINITE if isinstance(answer, str) else setting.times(fault.path, answer)
        rungs.append(Rung(severity, times, check_answer(setting, fault.path, answer)))
    return Result(fault, tuple(rungs))


def try_films(setting: Setting, faults: Sequence[Fault]) -> list[Result]:
    """Open drawn films wrongly, feed them to the clean float32 file, and hold the opening to the golden films."""
    films, spec = list(draw_films().values()), PreprocessSpec()
    clean = [spec.model_input(decode_xray(data)) for data in films]
    rungs = [(fault, severity) for fault in faults for _, severity in fault.rungs]
    model_inputs = clean + [fault.spoil(data, severity) for fault, severity in rungs for data in films]
    images = setting.aside / "films.npy"
    np.save(images, np.stack(model_inputs))
    path = "model_float32.tflite"
    request = {path: {"artefact": str(setting.bundle / path)}}
    answer = ask_many(runner_of("tflite"), request, images, setting.aside / "film answers")[path]
    if isinstance(answer, str):
        raise ConversionError(f"the clean {path} was refused", why=answer, fix="make the bundle again")
    logits = answer.logits.astype(np.float64).reshape(len(rungs) + 1, len(films), 2)
    times = np.abs(logits[1:] - logits[0]).max((1, 2)) / setting.noise.logits
    golden = draw_golden_films(spec)
    found: dict[str, list[Rung]] = defaultdict(list)
    for (fault, severity), moved in zip(rungs, times, strict=True):
        minded = check_films(golden, partial(_open, fault, severity))
        found[fault.name].append(Rung(severity, float(moved), {FILMS: minded[0]} if minded else {}))
    return [Result(fault, tuple(found[fault.name])) for fault in faults]


def _open(fault: Fault, severity: float, data: bytes) -> NDArray[np.uint8]:
    opened: NDArray[np.uint8] = fault.spoil(data, severity)
    return opened


def try_serving(setting: Setting, faults: Sequence[Fault]) -> list[Result]:
    """Spoil copies of the bundle, and look at what a server would show of the films that were fed."""
    folder = Path(tempfile.mkdtemp(prefix="serving-", dir=setting.aside))
    keys = [(fault, key, severity) for fault in faults for key, severity in fault.rungs]
    places = [folder / f"{index:03}" for index in range(len(keys))]
    for place, (fault, _, severity) in zip(places, keys, strict=True):
        copy_bundle(setting.bundle, place)
        fault.spoil(place, severity)
    paths = sorted({fault.path for fault in faults})
    asked = [(setting.bundle, path) for path in paths]
    asked += [(place, fault.path) for place, (fault, _, _) in zip(places, keys, strict=True)]
    shown = ask_servers(asked, setting.images)
    clean = dict(zip(paths, shown, strict=False))
    found: dict[str, list[Rung]] = defaultdict(list)
    for place, (fault, _, severity), now in zip(places, keys, shown[len(paths) :], strict=True):
        caught = dict(now.caught) | _disagreements(place)
        found[fault.name].append(Rung(severity, _times(setting, clean[fault.path], now), caught))
    shutil.rmtree(folder)
    return [Result(fault, tuple(found[fault.name])) for fault in faults]


def _disagreements(place: Path) -> dict[str, str]:
    try:
        found = inconsistencies(read_bundle(place))
    except TbconvError as error:
        return {AGREE: error.one_line}
    return {AGREE: "; ".join(f"{path}: {why}" for path, why in found.items())} if found else {}


def _times(setting: Setting, clean: Shown, now: Shown) -> float:
    """Return how many times the noise what is shown moved; another word or decision is infinitely far."""
    if now.decisions != clean.decisions or now.positive != clean.positive:
        return INFINITE
    moved = np.abs(np.array([now.probability, now.margin]) - np.array([clean.probability, clean.margin])).max(1)
    return float((moved / [setting.noise.probability, 2 * setting.noise.logits]).max())
