"""What a server would return with a bundle, and which checks would stop it before: LiteRT, so a process of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fault_injection.checks import DIGESTS, SELF_TEST, SERVES
from convert.worker import run_step
from tbconv.contract.bundle import open_bundle, read_bundle
from tbconv.contract.errors import TbconvError
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "litert"


@dataclass(frozen=True, slots=True)
class Served:
    """What is returned for each film, and which checks caught a fault."""

    caught: dict[str, str]  # by check
    decisions: tuple[str, ...]  # by film; empty where nothing is served
    probability: tuple[float, ...]
    margin: tuple[float, ...]
    positive: str  # label of a positive film


def run_servers(folders: list[tuple[Path, str]], images: Path) -> list[Served]:
    """Return what each bundle's file returns for some films.

    Args:
        folders: bundles, and the name of the TFLite file to serve.
        images: .npy, uint8 [N, 224, 224].
    """
    request = {"folders": [[str(folder), path] for folder, path in folders], "images": str(images)}
    return [
        Served(one["caught"], tuple(one["decisions"]), tuple(one["probability"]), tuple(one["margin"]), one["positive"])
        for one in run_step(f"{__name__}:serve", request, threads=1)["shown"]
    ]


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Serve each bundle; request: folders (bundle, file), images."""
    model_inputs = np.load(request["images"], allow_pickle=False)
    return {"shown": [asdict(_show(Path(folder), path, model_inputs)) for folder, path in request["folders"]]}


def _show(folder: Path, path: str, model_inputs: Any) -> Served:
    caught: dict[str, str] = {}
    _try(caught, DIGESTS, lambda: open_bundle(folder))
    _try(caught, SELF_TEST, lambda: _self_test(folder))
    try:
        return _answer(folder, path, model_inputs, caught)
    except TbconvError as error:
        return Served(caught | {SERVES: error.one_line}, (), (), (), "")


def _try(caught: dict[str, str], check: str, ask: Any) -> None:
    try:
        problem = ask()
    except TbconvError as error:
        problem = error.one_line
    if isinstance(problem, str):
        caught[check] = problem


def _self_test(folder: Path) -> str | None:
    from tf_serve.runtime.selftest import self_test

    rows = self_test(read_bundle(folder)).rows
    return "; ".join(f"{row.path}: {row.problem}" for row in rows if row.problem) or None


def _answer(folder: Path, path: str, model_inputs: Any, caught: dict[str, str]) -> Served:
    from tf_serve.fallback import choose_model
    from tf_serve.predict import decide

    bundle = read_bundle(folder)
    served = choose_model(bundle, artefact=path)
    if served.reason is not None:
        caught = caught | {SERVES: served.reason}
    size = bundle.manifest.preprocessing.size
    if model_inputs.shape[1] != size:
        return Served(
            caught | {SERVES: f"films are {size} pixels wide, the file accepts {model_inputs.shape[1]}"}, (), (), (), ""
        )
    margin = served.classifier.predict(as_model_input(model_inputs)).margin
    probability = served.decision_rule.calibration.probability(margin)
    decisions = tuple(decide(float(one), served) for one in margin)
    shown = tuple(float(one) for one in probability), tuple(float(one) for one in margin)
    return Served(caught, decisions, shown[0], shown[1], bundle.manifest.labels.positive)
