"""A run becomes a bundle: torch -> ONNX -> Keras -> SavedModel, H5, TFLite; measured; whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.certificate.certify import certify, draw_certificate
from convert.certificate.consistency import inconsistencies
from convert.certificate.model_card import model_card
from convert.certificate.page import PAGE
from convert.parity.inputs import FilmSet, draw_golden_films, evenly, golden_inputs, part_of
from convert.parity.measure import Measurement, measure
from convert.parity.report import parity_report
from convert.parity.runtimes import RUNNERS, Runtime
from convert.quantization.float_ops import HEAD
from convert.worker import drop_waiting, run_step
from tbconv.contract.bundle import CERTIFICATE, Bundle, seal, sha256_file, write_bundle, write_json
from tbconv.contract.certificate import Certificate, Verdict
from tbconv.contract.environment import provenance
from tbconv.contract.errors import ConfigError, ConversionError, ParityError
from tbconv.contract.golden import GOLDEN, GOLDEN_FILMS, Golden, write_golden, write_golden_films
from tbconv.contract.manifest import Artefact, Kind, Manifest, image_spec, output_specs
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.reporting import Reporter
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    CONFIG,
    HELDOUT_FILMS,
    HISTORY,
    METRICS,
    SPLIT,
    WEIGHTS,
    RunFacts,
    read_films,
    read_run,
)

PARITY, CARD = "parity.json", "model_card.md"
FROM_RUN = (CONFIG, HISTORY, METRICS, WEIGHTS, BASELINE, SPLIT)  # of films only digests
Route = Literal["keras", "onnx2tf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertConfig:
    """What `tbconv convert` does."""

    run: Path
    out: Path
    route: Route = "keras"  # whose SavedModel and float32 TFLite are shipped; the other is the witness
    films: int = 512  # held-out films that are compared, at most
    keep_float: tuple[str, ...] = (HEAD,)  # nodes that the int8 file keeps in float32

    def __post_init__(self) -> None:
        if self.route not in ROUTES:
            raise ConfigError(f"--route {self.route} is unknown", why="there are two", fix="--route keras or onnx2tf")
        if self.films < 1:
            raise ConfigError(f"--films {self.films}", why="parity cannot pass on nothing", fix="--films 256")


@dataclass(frozen=True, slots=True)
class Converted:
    """What came out."""

    bundle: Path
    manifest: Manifest
    certificate: Certificate
    report: dict[str, Any]
    seconds_converting: float
    seconds_measuring: float


def convert(config: ConvertConfig, reporter: Reporter) -> Converted:
    """Convert a run, measure what came out, and put the bundle in its place if every float32 file passed.

    Raises:
        BundleError: the run is none, or `out` is something else than a bundle.
        ConversionError: a step failed, or what was written contradicts itself.
        SetupError: this machine opens films otherwise than they are drawn.
        ParityError: a float32 file strays from PyTorch; the report is kept beside `out`.
    """
    facts = read_run(config.run)
    reporter.say(_opening(facts, config))
    with write_bundle(config.out) as folder, tempfile.TemporaryDirectory(prefix="tbconv-aside-") as aside:
        _copy_run(config.run, folder)
        write_golden_films(
            folder / GOLDEN_FILMS, draw_golden_films(PreprocessSpec())
        )  # refused early, not after minutes
        start = time.monotonic()
        made = make_files(
            ConversionContext(config.run, folder, Path(aside), facts, config.route, config.keep_float, reporter)
        )
        converted = time.monotonic()
        reporter.say(f"all formats made in {converted - start:.0f} s; now every one of them is asked")
        artefacts = list_artefacts(facts, made, route=config.route)
        measurement = _measure(config, folder, facts, artefacts, made.witnesses, reporter)
        certificate = certify(folder, config.run, artefacts, measurement)
        report = parity_report(measurement, certificate.artefacts)
        _refuse_strays(config, certificate, report)
        manifest = _write_texts(folder, _describe(facts, artefacts), measurement, certificate, report)
        _refuse_disagreements(config, Bundle(folder, manifest))
        measured = time.monotonic()
    drop_report(config.out)
    return Converted(config.out, manifest, certificate, report, converted - start, measured - converted)


def _opening(facts: RunFacts, config: ConvertConfig) -> str:
    kind = "synthetic films" if facts.synthetic else "films"
    if facts.arch is None:
        return f"converting {facts.name}: this run has no trained checkpoint, so the baseline is converted alone"
    return f"converting {facts.name} ({facts.arch}, trained on {kind}), route {config.route}"


def _copy_run(run: Path, folder: Path) -> None:
    for name in FROM_RUN:
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)


def _measure(
    config: ConvertConfig,
    folder: Path,
    facts: RunFacts,
    artefacts: tuple[Artefact, ...],
    witnesses: tuple[Runtime, ...],
    reporter: Reporter,
) -> Measurement:
    held = read_films(config.run / HELDOUT_FILMS)
    names, golden = golden_inputs(PreprocessSpec())
    rows = choose_films(held.part, config.films)
    count, tests = len(rows), int((held.part[rows] == "test").sum())
    kind = "synthetic " if facts.synthetic else ""
    description = f"{count} {kind}films of the run ({tests} test, {count - tests} validation)"
    filmset = FilmSet(description, held.model_inputs[rows], held.labels[rows], golden, tuple(names))
    measurement = measure(
        folder,
        artefacts,
        filmset,
        arch=facts.arch,
        decision_rules=facts.decision_rules,
        extra=witnesses,
        reporter=reporter,
    )
    answers = {name: part_of(answer, count, None) for name, answer in measurement.answers.items()}
    write_golden(folder / GOLDEN, Golden(tuple(names), golden, answers))
    return measurement


def choose_films(part: NDArray[np.str_], most: int) -> NDArray[np.int64]:
    """Return the rows of at most so many films: of the test part first, then of validation.

    Each part is in the order of its classes, so where not all of it fits, every n-th film is taken.
    """
    rows = [np.flatnonzero(part == "test"), np.flatnonzero(part != "test")]
    tests = evenly(rows[0], most)
    return np.concatenate([tests, evenly(rows[1], most - len(tests))])


def _refuse_strays(config: ConvertConfig, certificate: Certificate, report: dict[str, Any]) -> None:
    precision = {row["name"]: row["precision"] for row in report["rows"]}
    strays = {
        path: found.reason
        for path, found in certificate.artefacts.items()
        if precision[path] == "float32" and found.verdict is not Verdict.CERTIFIED
    }
    if not strays:
        return
    place = keep_report(config.out, report)
    raise ParityError(
        f"{', '.join(strays)}: not what PyTorch computes",
        why="; ".join(f"{path}: {reason}" for path, reason in strays.items()),
        fix=f"read {place}; the bundle was not written, and what was at {config.out} is untouched",
    )


def _refuse_disagreements(config: ConvertConfig, bundle: Bundle) -> None:
    found = inconsistencies(bundle)
    if found:
        raise ConversionError(
            f"{', '.join(found)}: not what the manifest says",
            why="; ".join(f"{path}: {problem}" for path, problem in found.items()),
            fix=f"look for files of two runs in {config.run}; the bundle was not written",
        )


def _describe(facts: RunFacts, artefacts: tuple[Artefact, ...]) -> Manifest:
    return Manifest(
        name=facts.name,
        kind="baseline" if facts.arch is None else "trained",
        labels=facts.labels,
        preprocessing=PreprocessSpec(),
        decision_rules=facts.decision_rules,
        artefacts=artefacts,
        provenance={"training": facts.provenance, "conversion": provenance(), "arch": facts.arch},
        synthetic=facts.synthetic,
    )


def _write_texts(
    folder: Path, manifest: Manifest, measurement: Measurement, certificate: Certificate, report: dict[str, Any]
) -> Manifest:
    write_json(folder / PARITY, report)
    write_json(folder / CERTIFICATE, asdict(certificate))
    (folder / CARD).write_text(model_card(folder, manifest, certificate, report), encoding="utf-8")
    page = draw_certificate(folder, manifest, measurement, certificate, report)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return seal(folder, manifest)


# --- steps ---
# The steps of a conversion, each framework in a process of its own.

ROUTES = ("keras", "onnx2tf")
EQUALIZED = "equalized_saved_model"
PRECISIONS = ("float32", "float16", "dynamic")  # of one SavedModel; int8 has a graph of its own


@dataclass(frozen=True, slots=True)
class Made:
    """Who made what, and who can be asked beside the bundle's own files."""

    converters: dict[str, str]  # by step
    witnesses: tuple[Runtime, ...]


@dataclass(slots=True)
class ConversionContext:
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
        calibration = asdict(self.facts.decision_rules[network].calibration)
        request = {"folder": str(self.folder), "network": network, "arch": self.facts.arch}
        self.step(name, "convert.formats.torch_to_onnx:torch_to_onnx", **request, calibration=calibration, out=str(out))


def make_files(shop: ConversionContext) -> Made:
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
            jobs.append(beside.submit(_equalize, shop))
            make_from_onnx(shop)
        for job in jobs:
            job.result()
    if shop.facts.arch is not None:
        _make_int8(shop)
        _make_reference_conversion(shop)
        if shop.route == "onnx2tf":
            _swap(shop)
    _label(shop)
    return Made(shop.converters, _further_runtimes(shop))


def make_from_onnx(shop: ConversionContext) -> None:
    """Make H5, `.keras`, SavedModel and TFLite in float32, float16 and dynamic range of the folder's model.onnx."""
    _make_keras(shop)
    _make_tflite(shop)


def _make_keras(shop: ConversionContext) -> None:
    shop.step(
        "keras",
        "convert.formats.onnx_to_keras:onnx_to_keras",
        onnx=str(shop.folder / "model.onnx"),
        h5=str(shop.folder / "model.h5"),
        keras=str(shop.folder / "model.keras"),
        saved_model=str(shop.folder / "saved_model"),
    )


def _make_tflite(shop: ConversionContext) -> None:
    files = {precision: str(shop.folder / f"model_{precision}.tflite") for precision in PRECISIONS}
    shop.step(
        "tflite",
        "convert.formats.saved_model_to_tflite:quantize",
        saved_model=str(shop.folder / "saved_model"),
        **files,
    )
    shop.converters |= dict.fromkeys(PRECISIONS, shop.converters["tflite"])


def _equalize(shop: ConversionContext) -> None:
    onnx, films = shop.aside / "equalized.onnx", str(shop.run / CALIBRATION_FILMS)
    shop.step(
        "equalized",
        "convert.quantization.equalization:equalize",
        onnx=str(shop.folder / "model.onnx"),
        films=films,
        out=str(onnx),
    )
    place = str(shop.aside / EQUALIZED)
    shop.step("equalized keras", "convert.formats.onnx_to_keras:onnx_to_keras", onnx=str(onnx), saved_model=place)


def _make_int8(shop: ConversionContext) -> None:
    shop.step(
        "int8",
        "convert.quantization.int8:make_int8",
        saved_model=str(shop.aside / EQUALIZED),
        films=str(shop.run / CALIBRATION_FILMS),
        keep_float=list(shop.keep_float),
        out=str(shop.folder / "model_int8.tflite"),
    )


def _make_reference_conversion(shop: ConversionContext) -> None:
    response = shop.step(
        "onnx2tf",
        "convert.formats.onnx_to_onnx2tf:onnx_to_tf",
        onnx=str(shop.folder / "model.onnx"),
        tflite=str(shop.aside / "model_float32.tflite"),
        saved_model=str(shop.aside / "saved_model"),
    )
    if response.get("lacks") and shop.route == "onnx2tf":
        fix = "leave out --route onnx2tf; its TFLite file is then the witness alone"
        raise ConversionError("onnx2tf writes no SavedModel of this network", why=response["lacks"], fix=fix)
    if response.get("lacks"):
        shop.reporter.say(f"  onnx2tf writes no SavedModel of it, its TFLite alone is a witness: {response['lacks']}")


def _make_baseline(shop: ConversionContext) -> None:
    onnx, saved_model = shop.aside / "baseline.onnx", str(shop.aside / "baseline_saved_model")
    shop.export("baseline onnx", "baseline", onnx)
    shop.step("baseline keras", "convert.formats.onnx_to_keras:onnx_to_keras", onnx=str(onnx), saved_model=saved_model)
    out = str(shop.folder / "baseline.tflite")
    shop.step("baseline", "convert.formats.saved_model_to_tflite:quantize", saved_model=saved_model, float32=out)


def _label(shop: ConversionContext) -> None:
    """Put labels, preprocessing and threshold into every TFLite file."""
    from convert.formats.tflite_metadata import (
        facts_of_run,
        label_tflite,  # it loads LiteRT's schema, which a command line can do without
    )

    for path in sorted(shop.folder.glob("*.tflite")):
        network: Kind = "baseline" if path.name == "baseline.tflite" else "trained"
        weights = shop.folder / (BASELINE if network == "baseline" else WEIGHTS)
        label_tflite(path, facts_of_run(shop.facts, network, sha256_file(weights)))


def _swap(shop: ConversionContext) -> None:
    """Ship onnx2tf's two files, and keep ours as witnesses."""
    for name in ("saved_model", "model_float32.tflite"):
        spare = shop.aside / f"swap-{name}"
        shutil.move(shop.folder / name, spare)
        shutil.move(shop.aside / name, shop.folder / name)
        shutil.move(spare, shop.aside / name)


def _further_runtimes(shop: ConversionContext) -> tuple[Runtime, ...]:
    baseline = Runtime(
        "baseline.onnx (witness)", "baseline", RUNNERS["onnx"], {"artefact": str(shop.aside / "baseline.onnx")}
    )
    if shop.facts.arch is None:
        return (baseline,)
    other = "onnx2tf" if shop.route == "keras" else "tbconv's layers"
    tflite = {"artefact": str(shop.aside / "model_float32.tflite")}
    saved = {"artefact": str(shop.aside / "saved_model"), "film_by_film": other == "onnx2tf"}
    pair = (
        Runtime(f"{other} TFLite (witness)", "trained", RUNNERS["tflite"], tflite),
        Runtime(f"{other} SavedModel (witness)", "trained", RUNNERS["saved_model"], saved),
    )
    return (*pair[: 2 if (shop.aside / "saved_model").exists() else 1], baseline)


# --- artefacts ---
# What a bundle ships: path, format, precision, tensors, who made it and who reads it.

# path, format, precision, step that made it, reader
TRAINED = (
    ("model.onnx", "onnx", "float32", "onnx", "onnxruntime"),
    ("saved_model", "saved_model", "float32", "keras", "tensorflow (tf.saved_model.load)"),
    ("model.h5", "keras_h5", "float32", "keras", "keras 3 (keras.models.load_model); not tf_keras"),
    ("model.keras", "keras", "float32", "keras", "keras 3 (keras.models.load_model)"),
    ("model_float32.tflite", "tflite", "float32", "float32", "LiteRT"),
    ("model_float16.tflite", "tflite", "float16", "float16", "LiteRT"),
    ("model_dynamic.tflite", "tflite", "dynamic", "dynamic", "LiteRT"),
    ("model_int8.tflite", "tflite", "int8", "int8", "LiteRT"),
)
BASELINE_FILE = "baseline.tflite"


def list_artefacts(facts: RunFacts, made: Made, *, route: str) -> tuple[Artefact, ...]:
    """Return every artefact of the bundle, float32 first."""
    rows = TRAINED if facts.arch is not None else ()
    trained = [_artefact(row, made, route) for row in rows]
    baseline = Artefact(
        path=BASELINE_FILE,
        format="tflite",
        precision="float32",
        network="baseline",
        inputs=(image_spec(channels_first=False),),
        outputs=output_specs(),
        converter=made.converters["baseline"],
        reader="LiteRT",
    )
    return (*trained, baseline)


def _artefact(row: tuple[str, str, str, str, str], made: Made, route: str) -> Artefact:
    path, kind, precision, step, reader = row
    foreign = route == "onnx2tf" and path in ("saved_model", "model_float32.tflite")
    spec = image_spec(channels_first=kind == "onnx", dtype="uint8" if precision == "int8" else "float32")
    return Artefact(
        path=path,
        format=kind,
        precision=precision,
        network="trained",
        inputs=(spec,),
        outputs=output_specs(evidence=kind != "keras_h5"),
        converter=made.converters["onnx2tf" if foreign else step],
        reader=reader + (", one film a call" if foreign and kind == "saved_model" else ""),
    )


# --- refused report ---
# The report of a conversion that was refused: it stands beside the place that it did not get, until one succeeds.


def keep_report(out: Path, report: dict[str, Any]) -> Path:
    """Write the report beside `out` and return where."""
    place = _place(out)
    write_json(place, report)
    return place


def drop_report(out: Path) -> None:
    """Remove what an earlier conversion to `out` left: it speaks of files that nobody has."""
    _place(out).unlink(missing_ok=True)


def _place(out: Path) -> Path:
    return out.with_name(f"{out.name}.failed-parity.json")
