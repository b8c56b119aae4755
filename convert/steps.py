"""The steps of a conversion, two at a time, each framework in a process of its own."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convert.isolate import drop_waiting, run_step
from convert.witnesses import RUNNERS, Witness
from tbconv.contract.reporter import Reporter
from torch_train.run_folder import CALIBRATION_FILMS, RunFacts

PROCESSES = 2  # a third converter at once gains nothing on two cores and costs some 3 GB
ROUTES = ("keras", "onnx2tf")
BY_SIZE_OF_WORK = ("int8", "float32", "float16", "dynamic")  # int8 runs the calibration films: it starts first


@dataclass(frozen=True, slots=True)
class Made:
    """Who made what, and who can be asked beside the bundle's own files."""

    converters: dict[str, str]  # by step
    witnesses: tuple[Witness, ...]


@dataclass(slots=True)
class Workshop:
    """The folders of one conversion, and a line for each step that is done."""

    run: Path
    folder: Path  # the bundle in the making, with the weights
    aside: Path  # what is asked but not shipped
    facts: RunFacts
    route: str  # "onnx2tf" ships the SavedModel and float32 TFLite of onnx2tf, "keras" ours
    reporter: Reporter
    converters: dict[str, str] = field(default_factory=dict)

    def step(self, name: str, module: str, **request: Any) -> None:
        """Run one step and say that it is done."""
        start = time.monotonic()
        self.converters[name] = run_step(module, request)["converter"]
        self.reporter.say(f"  {name}: {time.monotonic() - start:.0f} s, {self.converters[name]}")

    def export(self, name: str, network: str, out: Path) -> None:
        """Export one network to ONNX."""
        calibration = asdict(self.facts.readouts[network].calibration)
        request = {"folder": str(self.folder), "network": network, "arch": self.facts.arch}
        self.step(name, "convert.torch_to_onnx", **request, calibration=calibration, out=str(out))


def make_files(shop: Workshop) -> Made:
    """Make every file of the bundle, and the witnesses beside it.

    Raises:
        ConversionError: a step failed; those that run beside it end first.
    """
    if shop.facts.arch is not None:
        shop.export("onnx", "trained", shop.folder / "model.onnx")
    with ThreadPoolExecutor(PROCESSES) as pool, drop_waiting(pool):
        jobs = [pool.submit(_make_baseline, shop)]
        if shop.facts.arch is not None:
            jobs.append(pool.submit(_make_witness, shop))
            _make_keras(shop)
            jobs += [pool.submit(_make_tflite, shop, precision) for precision in BY_SIZE_OF_WORK]
        for job in jobs:
            job.result()
    if shop.facts.arch is not None and shop.route == "onnx2tf":
        _swap(shop)
    return Made(shop.converters, _witnesses(shop))


def _make_keras(shop: Workshop) -> None:
    shop.step(
        "keras",
        "convert.onnx_to_keras",
        onnx=str(shop.folder / "model.onnx"),
        h5=str(shop.folder / "model.h5"),
        keras=str(shop.folder / "model.keras"),
        saved_model=str(shop.folder / "saved_model"),
    )


def _make_tflite(shop: Workshop, precision: str) -> None:
    shop.step(
        precision,
        "convert.quantize",
        saved_model=str(shop.folder / "saved_model"),
        precision=precision,
        out=str(shop.folder / f"model_{precision}.tflite"),
        films=str(shop.run / CALIBRATION_FILMS),
    )


def _make_witness(shop: Workshop) -> None:
    shop.step(
        "onnx2tf",
        "convert.onnx_to_tf",
        onnx=str(shop.folder / "model.onnx"),
        tflite=str(shop.aside / "model_float32.tflite"),
        saved_model=str(shop.aside / "saved_model"),
    )


def _make_baseline(shop: Workshop) -> None:
    onnx, saved_model = shop.aside / "baseline.onnx", str(shop.aside / "baseline_saved_model")
    shop.export("baseline onnx", "baseline", onnx)
    shop.step("baseline keras", "convert.onnx_to_keras", onnx=str(onnx), saved_model=saved_model)
    out = str(shop.folder / "baseline.tflite")
    shop.step("baseline", "convert.quantize", saved_model=saved_model, precision="float32", out=out)


def _swap(shop: Workshop) -> None:
    """Ship onnx2tf's two files, and keep ours as witnesses."""
    for name in ("saved_model", "model_float32.tflite"):
        spare = shop.aside / f"swap-{name}"
        shutil.move(shop.folder / name, spare)
        shutil.move(shop.aside / name, shop.folder / name)
        shutil.move(spare, shop.aside / name)


def _witnesses(shop: Workshop) -> tuple[Witness, ...]:
    baseline = Witness(
        "baseline.onnx (witness)", "baseline", RUNNERS["onnx"], {"artefact": str(shop.aside / "baseline.onnx")}
    )
    if shop.facts.arch is None:
        return (baseline,)
    other = "onnx2tf" if shop.route == "keras" else "tbconv's layers"
    tflite = {"artefact": str(shop.aside / "model_float32.tflite")}
    saved = {"artefact": str(shop.aside / "saved_model"), "film_by_film": other == "onnx2tf"}
    return (
        Witness(f"{other} TFLite (witness)", "trained", RUNNERS["tflite"], tflite),
        Witness(f"{other} SavedModel (witness)", "trained", RUNNERS["saved_model"], saved),
        baseline,
    )
