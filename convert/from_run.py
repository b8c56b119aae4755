"""A run as the reference of a conversion: its PyTorch networks, their decision rules, and its held-out films."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate.certify import certify, float32_failures, seal_reports
from convert.formats.metadata import label_files
from convert.formats.table import (
    FORMATS,
    ONNX,
    TFLITE,
    TFLITE_FLOAT32,
    Format,
    choose_formats,
    describe_chosen,
    runner_of,
)
from convert.parity.inputs import FilmSet, draw_golden_films, evenly, golden_inputs, part_of, spread
from convert.parity.measure import Measurement, measure
from convert.parity.portability import MINUTES, MOST, files_to_try, prepare_targets, run_elsewhere
from convert.parity.report import parity_report
from convert.parity.runtimes import Runtime, compared_runtimes, places_of
from convert.pipeline import (
    INT8_BUDGET,
    ConversionContext,
    Outcome,
    Route,
    check_budget,
    check_formats,
    check_route,
    refuse_litert_torch,
)
from convert.proof.prove import prove_files
from convert.quantization.float_ops import HEAD
from convert.runners.elsewhere.environments import LITERT_TORCH
from convert.runners.elsewhere.targets import parse_targets
from tbconv.contract.bundle import read_json, write_bundle
from tbconv.contract.certificate import Certificate, Proof
from tbconv.contract.environment import provenance
from tbconv.contract.errors import ConfigError, referral_of_option
from tbconv.contract.files import write_json
from tbconv.contract.golden import GOLDEN, GOLDEN_FILMS, Golden, read_golden, write_golden, write_golden_films
from tbconv.contract.manifest import BATCH, Artefact, Kind, Manifest, image_spec, output_specs, settle_referral
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray.reference import GREY_REFERENCE, fit_reference
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    CONFIG,
    HELDOUT_FILMS,
    HISTORY,
    METRICS,
    ROBUSTNESS,
    SPLIT,
    WEIGHTS,
    RunFacts,
    read_films,
    read_run,
)

FROM_RUN = (CONFIG, HISTORY, METRICS, WEIGHTS, BASELINE, SPLIT, GREY_REFERENCE, ROBUSTNESS)  # of films only digests
BASELINE_FILE = "baseline.tflite"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertConfig:
    """What `tbconv convert RUN` does."""

    run: Path
    out: Path
    route: Route = "own"  # who writes the TFLite that is shipped; the others' float32 files are compared with it
    films: int = 512  # held-out films that are compared, at most
    keep_float: tuple[str, ...] = (HEAD,)  # nodes that the int8 file keeps in float32
    int8_budget: float = INT8_BUDGET  # seconds that the search for an int8 recipe may take; 0 makes one candidate
    formats: tuple[str, ...] = ()  # names of those to make (convert.formats.table); none for all
    where: str | None = None  # targets that the files are tried on, too (convert.runners.elsewhere.targets)
    referral: str | None = None  # what a flag calls for; None: as the run says, or as its labels are known to

    def __post_init__(self) -> None:
        if self.referral is not None:
            object.__setattr__(self, "referral", referral_of_option(self.referral))
        check_route(self.route)
        check_formats(self.formats, self.route)
        refuse_litert_torch(self.route, str(self.run), "its file of a run is compared, not shipped")
        check_budget(self.int8_budget)
        if self.where is not None:
            parse_targets(self.where)
            if not any(one.kind == TFLITE_FLOAT32.kind for one in choose_formats(self.formats)):
                why, fix = "it tries TFLite files, and none is asked for", "omit --where, or add tflite to --formats"
                raise ConfigError(f"--where with --formats {','.join(self.formats)}", why=why, fix=fix)
        if self.films < 1:
            raise ConfigError(f"--films {self.films}", why="parity cannot pass on nothing", fix="--films 256")

    def reference(self) -> RunReference:
        """Read the run.

        Raises:
            BundleError: it is none, or not finished.
        """
        facts = read_run(self.run)
        return RunReference(self, facts if self.referral is None else replace(facts, referral=self.referral))


@dataclass(frozen=True, slots=True)
class Converted:
    """What came out of a run."""

    bundle: Path
    manifest: Manifest
    certificate: Certificate
    report: dict[str, Any]  # parity.json
    seconds_converting: float
    seconds_measuring: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome(Outcome):
    """What the measurement of a bundle's files found."""

    artefacts: tuple[Artefact, ...]
    measurement: Measurement
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class RunReference:
    """A finished run: convert.pipeline.Reference says what each member is for."""

    config: ConvertConfig
    facts: RunFacts
    computes = "PyTorch computes"
    has_evidence = True
    io = "float32"  # a map in steps of 8 bits would not add up to its margin
    may_lack = False
    other_routes = ()

    @property
    def out(self) -> Path:
        """Return the place of the bundle."""
        return self.config.out

    @property
    def route(self) -> Route:
        """Return whose SavedModel and float32 TFLite are shipped."""
        return self.config.route

    @property
    def keep_float(self) -> tuple[str, ...]:
        """Return the nodes that the int8 file keeps in float32."""
        return self.config.keep_float

    @property
    def int8_budget(self) -> float:
        """Return the seconds that the search for an int8 recipe may take."""
        return self.config.int8_budget

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the names of the formats that are asked for."""
        return self.config.formats

    @property
    def deciding(self) -> dict[str, Any]:
        """Return the threshold, near which int8 candidates are ranked."""
        return {"decisions": {"threshold": self.facts.decision_rules["trained"].operating_point.margin}}

    @property
    def weights_bytes(self) -> int:
        """Return the size of the trained network's weights."""
        weights = self.config.run / WEIGHTS
        return weights.stat().st_size if self.has_network and weights.is_file() else 0

    @property
    def has_network(self) -> bool:
        """Return whether the run has a trained checkpoint."""
        return self.facts.arch is not None

    @property
    def title(self) -> str:
        """Return what is converted, in a line."""
        kind = "synthetic films" if self.facts.synthetic else "films"
        if self.facts.arch is None:
            return f"converting {self.facts.name}: no trained checkpoint, so the baseline is converted alone"
        return f"converting {self.facts.name} ({self.facts.arch}, trained on {kind}), route {self.route}"

    def write_folder(self) -> AbstractContextManager[Path]:
        """Yield the bundle in the making."""
        return write_bundle(self.out)

    @property
    def calibration(self) -> Path:
        """Return the films that the run kept to calibrate with."""
        return self.config.run / CALIBRATION_FILMS

    def prepare(self, context: ConversionContext) -> None:
        """Copy what a bundle keeps of its run, and see that this machine decodes images as training did.

        Raises:
            ConfigError: formats are asked for, and there is no network to make them of.
        """
        if self.config.formats and not self.has_network:
            what, why = f"--formats for {self.config.run}", "it holds the baseline alone, which has one file"
            raise ConfigError(what, why=why, fix="omit --formats")
        for name in FROM_RUN:
            if (self.config.run / name).is_file():
                shutil.copyfile(self.config.run / name, context.folder / name)
        for name in (METRICS, ROBUSTNESS):  # whose sentence is the bundle's, whatever the run's was
            if (context.folder / name).is_file():
                said = read_json(context.folder / name) | {"disclaimer": self.facts.words.disclaimer}
                write_json(context.folder / name, said)
        if self.config.where is not None:
            prepare_targets(parse_targets(self.config.where), context.reporter)  # before an hour is spent
        context.reporter.say(settle_referral(self.facts.labels, self.facts.referral)[1])
        if not (self.config.run / GREY_REFERENCE).is_file():
            self._fit_reference(context.folder / GREY_REFERENCE)
        write_golden_films(context.folder / GOLDEN_FILMS, draw_golden_films(PreprocessSpec()))

    def _fit_reference(self, place: Path) -> None:
        """Fit the reference of grey levels of a run from before there was one, to the training films that it kept."""
        held = read_films(self.config.run / HELDOUT_FILMS)
        others = held.model_inputs[held.part == "validation"]
        reference = fit_reference(read_films(self.calibration).model_inputs, others)
        if reference is not None:
            place.write_bytes(reference.to_bytes())

    def export(self, context: ConversionContext) -> None:
        """Export the trained network."""
        self._export(context, "onnx", "trained", context.place(ONNX.path))

    def _export(self, context: ConversionContext, name: str, network: str, out: Path) -> None:
        context.step(
            name, "convert.formats.torch_to_onnx.of_run:torch_to_onnx", **self._network(network, context, str(out))
        )

    def _network(self, network: str, context: ConversionContext, out: str) -> dict[str, Any]:
        """Return the request of a step that reads a network and writes a file of it."""
        calibration = asdict(self.facts.decision_rules[network].calibration)
        where = {"folder": str(context.folder), "network": network, "arch": self.facts.arch, "out": out}
        return where | {"calibration": calibration}

    def make_beside(self, context: ConversionContext) -> None:
        """Make the baseline's file, and litert-torch's of the network where an environment with it is named."""
        onnx = context.aside / "baseline.onnx"
        self._export(context, "baseline onnx", "baseline", onnx)
        context.step("baseline", TFLITE.function, onnx=str(onnx), float32=str(context.folder / BASELINE_FILE))
        if self.has_network and (python := os.environ.get(LITERT_TORCH)):
            self.make_by_litert_torch(context, python)

    def make_by_litert_torch(self, context: ConversionContext, python: str) -> None:
        """Make litert-torch's TFLite of the network, aside, by the Python of an environment that has it."""
        out = places_of("litert-torch", context.aside)["tflite"]
        function = "convert.formats.tflite.by_litert_torch:torch_to_tflite"
        context.step("litert-torch", function, python=python, **self._network("trained", context, out))

    def label(self, context: ConversionContext) -> None:
        """Put labels, preprocessing, calibration and threshold into every file."""
        label_files(context.folder, self._manifest(self._artefacts(context), {}))

    def _artefacts(self, context: ConversionContext) -> tuple[Artefact, ...]:
        made = [one.path for one in context.made]
        lacking = tuple(one.path for one in FORMATS if one.path not in made)
        return list_artefacts(self.facts, context.converters, route=self.route, lacking=lacking)

    def _manifest(self, artefacts: tuple[Artefact, ...], conversion: dict[str, Any]) -> Manifest:
        return Manifest(
            name=self.facts.name,
            kind="trained" if self.has_network else "baseline",
            labels=self.facts.labels,
            preprocessing=PreprocessSpec(),
            decision_rules=self.facts.decision_rules,
            artefacts=artefacts,
            provenance={"training": self.facts.provenance, "conversion": conversion, "arch": self.facts.arch},
            synthetic=self.facts.synthetic,
            referral=self.facts.words.phrase,
        )

    def measure(self, context: ConversionContext) -> RunOutcome:
        """Run every file and PyTorch on the held-out films and golden inputs, and certify the files."""
        held = read_films(self.config.run / HELDOUT_FILMS)
        names, golden = golden_inputs(PreprocessSpec())
        rows = choose_films(held.part, self.config.films)
        count, tests = len(rows), int((held.part[rows] == "test").sum())
        kind = "synthetic " if self.facts.synthetic else ""
        description = f"{count} {kind}films of the run ({tests} test, {count - tests} validation)"
        artefacts = self._artefacts(context)
        measurement = measure(
            context.folder,
            artefacts,
            FilmSet(description, held.model_inputs[rows], held.labels[rows], golden, tuple(names)),
            arch=self.facts.arch,
            decision_rules=self.facts.decision_rules,
            extra=self.further_runtimes(context),
            reporter=context.reporter,
        )
        answers = {name: part_of(answer, count, None) for name, answer in measurement.answers.items()}
        write_golden(context.folder / GOLDEN, Golden(tuple(names), golden, answers))
        words, proofs = self.facts.words, self._prove(context, artefacts)
        certificate = certify(context.folder, self.config.run, artefacts, measurement, proofs, words)
        formats = describe_chosen(self.config.formats, context.not_made) if self.has_network else {}
        certificate = replace(certificate, scope=certificate.scope | {"formats": formats})
        certificate = self._with_portability(context, certificate, artefacts, measurement)
        return RunOutcome(
            report=parity_report(measurement, certificate.artefacts, words)
            | {"int8": context.int8, "formats": formats},
            regressions=float32_failures(artefacts, certificate),
            artefacts=artefacts,
            measurement=measurement,
            certificate=certificate,
        )

    def _with_portability(
        self,
        context: ConversionContext,
        certificate: Certificate,
        artefacts: tuple[Artefact, ...],
        measurement: Measurement,
    ) -> Certificate:
        """Return the certificate with the table of other processors and runtimes, where one is asked for."""
        if self.config.where is None:
            return certificate
        held = measurement.filmset.films
        films = held[spread(np.arange(len(held)))][:MOST]
        found = run_elsewhere(
            context.folder,
            files_to_try(artefacts, certificate),
            read_golden((context.folder / GOLDEN).read_bytes()),
            certificate,
            self.facts.decision_rules,
            films,
            f"{len(films)} of {measurement.filmset.description}",
            targets=parse_targets(self.config.where),
            seconds=MINUTES * 60,
            reporter=context.reporter,
            start=time.monotonic(),
        )
        return replace(certificate, scope=certificate.scope | {"portability": found.to_json()})

    def _prove(self, context: ConversionContext, artefacts: tuple[Artefact, ...]) -> dict[str, Proof]:
        """Compare every file that was made of model.onnx with it, for every input."""
        made = [one.path for one in artefacts if one.network == "trained" and one.path != ONNX.path]
        files = {path: context.folder / path for path in made}
        return prove_files(context.place(ONNX.path), files) if made else {}

    def further_runtimes(self, context: ConversionContext) -> tuple[Runtime, ...]:
        """Return what is compared beside the bundle's own files: the other route's, and the baseline before TFLite."""
        onnx = {"artefact": str(context.aside / "baseline.onnx")}
        baseline = Runtime("baseline.onnx", "baseline", runner_of("onnx"), onnx)
        others = [*compared_runtimes(context.aside, but=self.route), baseline]
        if self.has_network and ONNX not in context.asked:  # every file is made of it, and proven against it
            graph = {"artefact": str(context.place(ONNX.path))}
            others.append(Runtime(f"{ONNX.path}, not asked for", "trained", ONNX.runner, graph))
        return tuple(others)

    def write(self, context: ConversionContext, found: RunOutcome, *, seconds: tuple[float, float]) -> Converted:
        """Write reports, certificate, page and card, seal the bundle, and see that all of it says the same.

        Raises:
            ConversionError: something contradicts the manifest.
        """
        folder, certificate = context.folder, found.certificate
        manifest = self._manifest(found.artefacts, provenance())
        fix = f"look for files of two runs in {self.config.run}; the bundle was not written"
        manifest = seal_reports(folder, manifest, found.measurement, certificate, found.report, fix=fix)
        return Converted(self.out, manifest, certificate, found.report, *seconds)


def choose_films(part: NDArray[np.str_], most: int) -> NDArray[np.int64]:
    """Return the rows of at most so many films: of the test part first, then of validation.

    Each part is in the order of its classes, so where not all of it fits, every n-th film is taken.
    """
    rows = [np.flatnonzero(part == "test"), np.flatnonzero(part != "test")]
    tests = evenly(rows[0], most)
    return np.concatenate([tests, evenly(rows[1], most - len(tests))])


def list_artefacts(
    facts: RunFacts, converters: dict[str, str], *, route: str, lacking: tuple[str, ...] = ()
) -> tuple[Artefact, ...]:
    """Return every artefact of the bundle, float32 first.

    Args:
        facts: of the run.
        converters: who made what, by step.
        route: "onnx2tf" ships the files that the reference converter makes, too.
        lacking: files that were not made.
    """
    rows = [one for one in FORMATS if one.path not in lacking] if facts.arch is not None else []
    trained = [_artefact(one, "trained", converters, swapped=route == "onnx2tf" and one.second_source) for one in rows]
    baseline = _artefact(TFLITE_FLOAT32, "baseline", converters, swapped=False)
    return (*trained, baseline)


def _artefact(row: Format, network: Kind, converters: dict[str, str], *, swapped: bool) -> Artefact:
    step = "baseline" if network == "baseline" else "onnx2tf" if swapped else row.step.name
    batch = 1 if row.kind == TFLITE_FLOAT32.kind else BATCH
    return Artefact(
        path=BASELINE_FILE if network == "baseline" else row.path,
        format=row.kind,
        precision=row.precision,
        network=network,
        inputs=(image_spec(channels_first=row.channels_first, dtype=row.dtype, batch=batch),),
        outputs=output_specs(evidence=row.evidence, batch=batch),
        converter=converters[step],
        reader=row.reader + (", one film a call" if swapped and row.kind == "saved_model" else ""),
    )
