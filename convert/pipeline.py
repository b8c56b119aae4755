"""A run becomes a bundle: torch -> ONNX -> Keras -> SavedModel, H5, TFLite; measured; whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.agree import disagreements
from convert.artefacts import list_artefacts
from convert.certify import certify, draw_certificate
from convert.draw_films import draw_golden_films
from convert.film_set import evenly
from convert.islands import HEAD
from convert.measure import FilmSet, Measurement, measure, part_of
from convert.model_card import model_card
from convert.page.certificate_page import PAGE
from convert.parity_report import parity_report
from convert.probes import golden_inputs
from convert.refused_report import drop_report, keep_report
from convert.steps import ROUTES, Workshop, make_files
from convert.witnesses import Witness
from tbconv.contract.bundle import CERTIFICATE, Bundle, seal, write_bundle
from tbconv.contract.errors import ConfigError, ConversionError, ParityError
from tbconv.contract.files import write_json
from tbconv.contract.golden import GOLDEN, Golden, write_golden
from tbconv.contract.golden_films import GOLDEN_FILMS, write_golden_films
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.provenance import provenance
from tbconv.contract.reporter import Reporter
from tbconv.contract.verdict import Certificate, Verdict
from torch_train.run_folder import (
    BASELINE,
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
        made = make_files(Workshop(config.run, folder, Path(aside), facts, config.route, config.keep_float, reporter))
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
    witnesses: tuple[Witness, ...],
    reporter: Reporter,
) -> Measurement:
    held = read_films(config.run / HELDOUT_FILMS)
    names, golden = golden_inputs(PreprocessSpec())
    rows = choose_films(held.part, config.films)
    count, tests = len(rows), int((held.part[rows] == "test").sum())
    kind = "synthetic " if facts.synthetic else ""
    description = f"{count} {kind}films of the run ({tests} test, {count - tests} validation)"
    filmset = FilmSet(description, held.squares[rows], held.labels[rows], golden, tuple(names))
    measurement = measure(
        folder, artefacts, filmset, arch=facts.arch, readouts=facts.readouts, extra=witnesses, reporter=reporter
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
    found = disagreements(bundle)
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
        readouts=facts.readouts,
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
