"""The steps of a conversion, each framework in a process of its own."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convert.isolate import drop_waiting, run_step
from convert.witnesses import RUNNERS, Witness
from tbconv.contract.errors import ConversionError
from tbconv.contract.files import sha256_file
from tbconv.contract.manifest import Kind
from tbconv.contract.reporter import Reporter
from torch_train.run_folder import BASELINE, CALIBRATION_FILMS, WEIGHTS, RunFacts

ROUTES = ("keras", "onnx2tf")
EQUALISED = "equalised_saved_model"
PRECISIONS = ("float32", "float16", "dynamic")  # of one SavedModel; int8 has a graph of its own


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
    keep_float: tuple[str, ...]  # nodes that the int8 file keeps in float32
    reporter: Reporter
    converters: dict[str, str] = field(default_factory=dict)

    def step(self, name: str, module: str, **request: Any) -> dict[str, Any]:
        """Run one step, say that it is done, and return its response."""
        start = time.monotonic()
        response = run_step(module, request)
        self.converters[name] = response["converter"]
        self.reporter.say(f"  {name}: {time.monotonic() - start:.0f} s, {self.converters[name]}")
        return response

    def export(self, name: str, network: str, out: Path) -> None:
        """Export one network to ONNX."""
        calibration = asdict(self.facts.readouts[network].calibration)
        request = {"folder": str(self.folder), "network": network, "arch": self.facts.arch}
        self.step(name, "convert.torch_to_onnx", **request, calibration=calibration, out=str(out))


def make_files(shop: Workshop) -> Made:
    """Make every file of the bundle, and the witnesses beside it.

    Two lanes: what needs much memory goes one after the other, and what needs little runs beside it (the
    two largest at once were 3.3 GB, benchmarks/convert.py).

    Raises:
        ConversionError: a step failed; the one that runs beside it ends first.
    """
    with ThreadPoolExecutor(1) as beside, drop_waiting(beside):
        jobs = [beside.submit(_make_baseline, shop)]
        if shop.facts.arch is not None:
            shop.export("onnx", "trained", shop.folder / "model.onnx")
            jobs.append(beside.submit(_equalise, shop))
            make_from_onnx(shop)
        for job in jobs:
            job.result()
    if shop.facts.arch is not None:
        _make_int8(shop)
        _make_witness(shop)
        if shop.route == "onnx2tf":
            _swap(shop)
    _label(shop)
    return Made(shop.converters, _witnesses(shop))


def make_from_onnx(shop: Workshop) -> None:
    """Make H5, `.keras`, SavedModel and TFLite in float32, float16 and dynamic range of the folder's model.onnx."""
    _make_keras(shop)
    _make_tflite(shop)


def _make_keras(shop: Workshop) -> None:
    shop.step(
        "keras",
        "convert.onnx_to_keras",
        onnx=str(shop.folder / "model.onnx"),
        h5=str(shop.folder / "model.h5"),
        keras=str(shop.folder / "model.keras"),
        saved_model=str(shop.folder / "saved_model"),
    )


def _make_tflite(shop: Workshop) -> None:
    files = {precision: str(shop.folder / f"model_{precision}.tflite") for precision in PRECISIONS}
    shop.step("tflite", "convert.quantize", saved_model=str(shop.folder / "saved_model"), **files)
    shop.converters |= dict.fromkeys(PRECISIONS, shop.converters["tflite"])


def _equalise(shop: Workshop) -> None:
    onnx, films = shop.aside / "equalised.onnx", str(shop.run / CALIBRATION_FILMS)
    shop.step("equalised", "convert.equalise", onnx=str(shop.folder / "model.onnx"), films=films, out=str(onnx))
    place = str(shop.aside / EQUALISED)
    shop.step("equalised keras", "convert.onnx_to_keras", onnx=str(onnx), saved_model=place)


def _make_int8(shop: Workshop) -> None:
    shop.step(
        "int8",
        "convert.int8",
        saved_model=str(shop.aside / EQUALISED),
        films=str(shop.run / CALIBRATION_FILMS),
        keep_float=list(shop.keep_float),
        out=str(shop.folder / "model_int8.tflite"),
    )


def _make_witness(shop: Workshop) -> None:
    response = shop.step(
        "onnx2tf",
        "convert.onnx_to_tf",
        onnx=str(shop.folder / "model.onnx"),
        tflite=str(shop.aside / "model_float32.tflite"),
        saved_model=str(shop.aside / "saved_model"),
    )
    if response.get("lacks") and shop.route == "onnx2tf":
        fix = "leave out --route onnx2tf; its TFLite file is then the witness alone"
        raise ConversionError("onnx2tf writes no SavedModel of this network", why=response["lacks"], fix=fix)
    if response.get("lacks"):
        shop.reporter.say(f"  onnx2tf writes no SavedModel of it, its TFLite alone is a witness: {response['lacks']}")


def _make_baseline(shop: Workshop) -> None:
    onnx, saved_model = shop.aside / "baseline.onnx", str(shop.aside / "baseline_saved_model")
    shop.export("baseline onnx", "baseline", onnx)
    shop.step("baseline keras", "convert.onnx_to_keras", onnx=str(onnx), saved_model=saved_model)
    out = str(shop.folder / "baseline.tflite")
    shop.step("baseline", "convert.quantize", saved_model=saved_model, float32=out)


def _label(shop: Workshop) -> None:
    """Put labels, preprocessing and threshold into every TFLite file."""
    from convert.tflite_facts import facts_of_run
    from convert.tflite_metadata import label_tflite  # it loads LiteRT's schema, which a command line can do without

    for path in sorted(shop.folder.glob("*.tflite")):
        network: Kind = "baseline" if path.name == "baseline.tflite" else "trained"
        weights = shop.folder / (BASELINE if network == "baseline" else WEIGHTS)
        label_tflite(path, facts_of_run(shop.facts, network, sha256_file(weights)))


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
    pair = (
        Witness(f"{other} TFLite (witness)", "trained", RUNNERS["tflite"], tflite),
        Witness(f"{other} SavedModel (witness)", "trained", RUNNERS["saved_model"], saved),
    )
    return (*pair[: 2 if (shop.aside / "saved_model").exists() else 1], baseline)
