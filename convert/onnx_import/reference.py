"""A third-party ONNX file as the reference of a conversion: ONNX Runtime on the file itself, and its own decisions.

It leaves a folder with every format, parity.json, report.md and conversion.json; it is not a bundle, because no
operating point was chosen on labelled films.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.normalise import Normalise, check_choice, prepare
from convert.formats.table import INT8_FILE, ONNX, TFLITE_FLOAT32, describe_chosen
from convert.formats.torch_to_onnx.source import RUNNER, LibrarySource, not_carried
from convert.formats.torch_to_onnx.source import STEP as EXPORT_LIBRARY
from convert.onnx_import.evidence import EVIDENCE, MapDifference, ReferenceMap
from convert.onnx_import.films import LEAST, FolderFilms, choose_for_sides, pick, read_folder, read_more
from convert.onnx_import.report import JudgedFile, input_limits, is_proven, onnx_report, report_text
from convert.parity.compare import compare_outputs, varies
from convert.parity.decisions import OPTION, SHOWN, TASKS, Decisions, choose_decisions, read_thresholds
from convert.parity.needs import find_needs
from convert.parity.report import PARITY
from convert.parity.runtimes import Compared, Outputs, Runtime, compared_files, places_of, run_outputs
from convert.parity.verdicts import (
    CERTIFIED,
    FAILED,
    MEASURED,
    NOT_MADE,
    SIDE_FILMS,
    OutputTolerance,
    judge_outputs,
)
from convert.pipeline import (
    INT8_BUDGET,
    ConversionContext,
    Outcome,
    Route,
    check_budget,
    check_formats,
    check_io,
    check_route,
    compared_makers,
    compared_name,
    refuse_litert_torch,
)
from convert.proof.prove import prove_files
from convert.quantization.float_ops import HEAD, MAP, NOTHING, require_nodes
from convert.runners.elsewhere.environments import python_of_litert_torch
from tbconv.contract.bundle import CONVERSION, MANIFEST, file_records, replace_folder
from tbconv.contract.certificate import Proof
from tbconv.contract.environment import provenance
from tbconv.contract.errors import ArtefactError, ConfigError, ConversionError, Referral, Reporter, referral_of_option
from tbconv.contract.files import write_atomic, write_json
from tbconv.contract.manifest import Labels, is_exact, proposed_referral
from tf_serve.runtime.structure import check_tflite
from torch_train.run_folder import CALIBRATION_FILMS, Films, write_films

SCHEMA = "tbconv-conversion/1"
REPORT = "report.md"
NOT_OFFERED = "not_offered"  # folder of files that change too many decisions, or of which too little is known
NOT_OF_WRAP = ("source", "converter", "nodes", "library")  # of its facts: conversion.json has them elsewhere
MOST_SIDE = 4096  # pixels
BY_LITERT_TORCH = "convert.formats.tflite.by_litert_torch:library_to_tflite"
FLOAT32_FILE = "float32.onnx"  # aside: the network of a file in other numbers
EVIDENCE_FILE = "evidence.onnx"  # aside: the file's network in float32 with its evidence map
IMAGE = 4  # axes of an evidence map, which is no list of classes
WAYS = ("reference", "optimised", "rounded")  # see `run_source`
LARGEST_HEAD = 0.5  # of the weights: VGG keeps nine tenths in its head, and such an int8 file would save nothing


def check_out(out: Path, read: Sequence[Path]) -> None:
    """Refuse to replace a folder that holds what is read.

    Raises:
        ConfigError: it does.
    """
    root = out.resolve()
    if any(one.resolve().is_relative_to(root) for one in read):
        why = "the folder is replaced whole, and with it what is read from it"
        raise ConfigError(f"--out {out} holds what is converted", why=why, fix="choose another --out")


def check_evidence(evidence: bool, route: Route, io: str) -> None:
    """Refuse a map in files that could not hold it.

    Raises:
        ConfigError: another converter writes them, or they give integers.
    """
    whys = {
        "onnx2tf": "it moves axes of what it converts, and nothing would say which places a map is about",
        "litert-torch": "it converts the network of PyTorch, which gives no map",
    }
    if evidence and route in whys:
        raise ConfigError(f"--evidence with --route {route}", why=whys[route], fix="omit --route, or omit --evidence")
    if evidence and io != "float32":
        why = "a map adds up to its output, which steps of 8 bits would not"
        raise ConfigError(f"--evidence with --io {io}", why=why, fix="omit --io, or omit --evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxConfig:
    """What `tbconv convert MODEL.onnx` does: which file, which films, and what is known of the network."""

    onnx: Path
    out: Path
    library: LibrarySource | None = None  # who builds the network; `onnx` is then the name that its export gets
    calibration: Path  # folder of films: some calibrate int8, every format is run on others
    route: Route = "own"  # who writes the TFLite that is shipped; the others' float32 files are compared with it
    normalise: str | None = None  # None assumes torchvision's (three channels) or x / 255 (one)
    size: tuple[int, int] | None = None  # height and width, where the file leaves them open
    inputs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # numbers that stand for other inputs
    mean: tuple[float, ...] | None = None  # of x / 255
    std: tuple[float, ...] | None = None
    films: int | None = None  # that are compared, at most; None: 64, and those that verdicts need besides
    keep_float: tuple[str, ...] | None = None  # None keeps the head where that is not most of the weights
    labels: tuple[str, ...] = ()  # names of the classes, in the order of the output
    int8_budget: float = INT8_BUDGET  # seconds that the search for an int8 recipe may take; 0 makes one candidate
    formats: tuple[str, ...] = ()  # names of those to make (convert.formats.table); none for all
    io: str = "float32"  # what the int8 file gives: real numbers, or uint8 or int8 as microcontrollers want it
    evidence: bool = False  # whether files give the exact evidence map as well, where the network has one
    task: str | None = None  # of convert.parity.decisions.TASKS; None lets the last operation propose it
    thresholds: Path | None = None  # JSON or CSV: one a label
    chosen_on: str = ""  # where thresholds and figures come from, in words, if labelled films were read for them
    trained_here: bool = False  # of a run of several labels: `tbconv train` made it, not `tbconv adopt`
    referral: str | None = None  # what a flag calls for; None: what the one label that is flagged is known to call for

    def __post_init__(self) -> None:
        if self.referral is not None:
            object.__setattr__(self, "referral", referral_of_option(self.referral))
        check_route(self.route)
        check_formats(self.formats, self.route)
        if self.library is None:
            refuse_litert_torch(self.route, self.onnx.name, "it wants the PyTorch network, and an ONNX file has none")
        check_budget(self.int8_budget)
        check_io(self.io, self.formats)
        check_evidence(self.evidence, self.route, self.io)
        check_choice(self.normalise, self.mean, self.std)
        check_size(self.size)
        if self.task is not None and self.task not in TASKS:
            why = f"there are {', '.join(TASKS)}"
            raise ConfigError(f"--task {self.task} is unknown", why=why, fix="--task multi-label")
        if self.thresholds is not None:
            read_thresholds(self.thresholds)  # before minutes are spent
        if self.films is not None and self.films < 1:
            raise ConfigError(f"--films {self.films}", why="parity cannot pass on nothing", fix="--films 64")
        if len(set(self.labels)) != len(self.labels) or "" in self.labels:
            names = ",".join(self.labels)
            raise ConfigError(f"--labels {names}", why="each class needs a name of its own", fix="--labels normal,tb")
        read = [self.calibration, *(self.library.places if self.library else (self.onnx,))]
        check_out(self.out, read if self.thresholds is None else [*read, self.thresholds])

    @property
    def name(self) -> str:
        """What is converted, as the command line names it."""
        return self.onnx.name if self.library is None else str(self.library)

    @property
    def words(self) -> Referral:
        """What a flag calls for; nothing is named where labels are unknown, or several can be flagged."""
        if self.referral is not None or len(self.labels) not in (1, 2):
            return Referral(self.referral or "")
        return Referral(proposed_referral(Labels(f"not {self.labels[-1]}", self.labels[-1])))

    def reference(self) -> OnnxReference:
        """Return the file as the reference of its conversion."""
        return OnnxReference(self)


@dataclass(frozen=True, slots=True)
class ConvertedOnnx:
    """What came out of an ONNX file."""

    folder: Path
    conversion: dict[str, Any]  # conversion.json
    report: dict[str, Any]  # parity.json
    seconds_converting: float
    seconds_measuring: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOutcome(Outcome):
    """What the measurement of a conversion's files found."""

    judged: tuple[JudgedFile, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The given file: what is in it, what it was run on, and what it answered."""

    facts: dict[str, Any]  # of convert.formats.onnx_wrap.wrap
    normalise: Normalise
    films: FolderFilms
    calibration: Path
    answers: Outputs
    decisions: dict[str, Decisions]  # by output
    tolerances: dict[str, OutputTolerance]
    cast: str  # how far the file itself lies from its network in float32, in words; nothing where it is float32
    map: ReferenceMap | None  # where it was asked for


@dataclass(slots=True)
class OnnxReference:
    """A third-party ONNX file: convert.pipeline.Reference says what each member is for."""

    config: OnnxConfig
    _source: Source | None = field(default=None, init=False)
    _python: Path | None = field(default=None, init=False)  # of the environment of litert-torch
    _task_origin: str = field(default=OPTION, init=False)  # who states the task
    has_network: bool = field(default=True, init=False)
    has_evidence: bool = field(default=False, init=False)
    may_lack: bool = field(default=True, init=False)

    @property
    def out(self) -> Path:
        """Return the folder to write."""
        return self.config.out

    @property
    def route(self) -> Route:
        """Return who writes the TFLite that is shipped."""
        return self.config.route

    @property
    def other_routes(self) -> tuple[Route, ...]:
        """Return the routes that ship another converter's files: litert-torch wants a network of PyTorch."""
        return ("onnx2tf",) if self.config.library is None else ("onnx2tf", "litert-torch")

    @property
    def int8_budget(self) -> float:
        """Return the seconds that the search for an int8 recipe may take."""
        return self.config.int8_budget

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the names of the formats that are asked for."""
        return self.config.formats

    @property
    def io(self) -> str:
        """Return what the int8 file takes and gives."""
        return self.config.io

    @property
    def deciding(self) -> dict[str, Any]:
        """Return how the first output that decides anything does so; of scores alone, the first."""
        decisions = self.source.decisions
        output = next((name for name, one in decisions.items() if one.task != "score"), next(iter(decisions)))
        return {"decisions": decisions[output].to_json(), "output": output}

    @property
    def weights_bytes(self) -> int:
        """Return the size of the file; weights that it keeps beside it are not counted."""
        return self.config.onnx.stat().st_size if self.config.onnx.is_file() else 0  # which `prepare` says

    @property
    def title(self) -> str:
        """Return what is converted, in a line."""
        if self.config.library is not None:
            return f"converting {self.config.name}, a third-party network"
        whose = "a trained" if self.config.trained_here else "an adopted"
        kind = f"{whose} {self.config.task} network" if self.config.chosen_on else "a third-party ONNX model"
        return f"converting {self.config.name}, {kind}"

    @property
    def computes(self) -> str:
        """Return who gives the reference's answers."""
        return f"ONNX Runtime computes of {self.config.name}"

    @property
    def source(self) -> Source:
        """Return what `prepare` found; RuntimeError before it."""
        if self._source is None:
            raise RuntimeError("the file was not prepared")
        return self._source

    @property
    def calibration(self) -> Path:
        """Return the films of the folder that int8 is calibrated on."""
        return self.source.calibration

    @property
    def keep_float(self) -> tuple[str, ...]:
        """Return the nodes that int8 keeps: by default the head, but for one that holds most of the weights."""
        default = (NOTHING,) if self.source.facts["dense_share"] > LARGEST_HEAD else (HEAD,)
        return (self.config.keep_float or default) + ((MAP,) if self.config.evidence else ())

    def write_folder(self) -> AbstractContextManager[Path]:
        """Yield the folder in the making; it replaces an older conversion or a bundle."""
        return replace_folder(self.out, marks=(CONVERSION, MANIFEST), kind="neither a conversion nor a bundle")

    def prepare(self, context: ConversionContext) -> None:
        """Write model.onnx, the given graph behind its preprocessing, and run the given file itself.

        Raises:
            ConfigError: --keep-float or --labels do not fit the file.
            ConversionError: the file cannot be converted, or answers NaN or the same to every film.
            DataError: the folder holds no films.
            SetupError: the route's environment is not there.
        """
        if self.route == "litert-torch":
            self._python = python_of_litert_torch()
        library = self._export(context) if self.config.library is not None else None
        config, say = self.config, context.reporter.say
        facts = context.step(
            "wrap",
            "convert.formats.onnx_wrap.wrap:wrap",
            onnx=str(config.onnx),
            out=str(context.place(ONNX.path)),
            float32=str(context.aside / FLOAT32_FILE),
            normalise=config.normalise,
            mean=config.mean,
            std=config.std,
            size=config.size,
            inputs=dict(config.inputs),
            evidence=str(context.aside / EVIDENCE_FILE) if config.evidence else None,
        ) | {"library": library}
        versions = f"{facts['opset']}, {facts['versions']}" if facts["versions"] else facts["opset"]
        batch = "any batch" if facts["dynamic_batch"] else "one film a call"
        size: tuple[int, int] = tuple(facts["size"])
        say(
            f"  {config.name}: {facts['channels']} channels of {size[0]} x {size[1]}, opset "
            f"{versions}, {facts['parameters']:,} parameters, {batch}; outputs {', '.join(facts['outputs'])}"
        )
        require_nodes(facts["nodes"], config.keep_float or ())
        given: dict[str, Any] = facts["normalise"]
        normalise = Normalise(**given | {name: tuple(given[name]) for name in ("mean", "std")})
        say(f"  preprocessing {'assumed' if normalise.assumed else 'as given'}: {normalise}")
        for line in input_limits(facts, normalise):
            say(f"  {line}")
        reporter = context.reporter
        films = read_folder(config.calibration, size=size, films=config.films or LEAST, reporter=reporter)
        network = context.aside / FLOAT32_FILE if facts["float32"] else config.onnx
        computed = context.aside / EVIDENCE_FILE if config.evidence else network
        run = partial(run_source, computed, facts, normalise, context.aside, reporter)
        answers = run(films.parity)
        own = {name: one for name, one in answers["reference"].items() if name in facts["own_outputs"]}
        if config.evidence:
            itself = run_source(network, facts, normalise, context.aside, reporter, films.parity, ways=("reference",))
            require_unchanged(config.name, itself["reference"], own)
        check_reference(own, config.labels)
        decisions = self._decide(own, facts)
        for name, one in decisions.items():
            say(f"  decisions on {name}: {one}")
        if config.films is None and films.disjoint:
            films, answers = self._find_sides(films, answers, decisions, run, size=size, reporter=reporter)
        evidence = ReferenceMap.of(facts["evidence"], answers) if config.evidence else None
        tolerances = {
            name: OutputTolerance.derive(one, answers["optimised"][name], answers["rounded"][name], decisions[name])
            for name, one in answers["reference"].items()
        }
        if library is not None:
            given = self._run_pytorch(context, facts, normalise, films)
            library["pytorch"] = require_exported(config.name, given, answers["reference"], decisions, tolerances)
            say(f"  PyTorch itself: {library['pytorch']['reason']}")
        cast = self._run_itself(facts, normalise, context, films, answers["reference"], decisions)
        place = context.aside / CALIBRATION_FILMS
        unknown = np.zeros(len(films.calibration), np.int64)  # not known, and no range needs it
        write_films(place, Films(films.calibration, unknown, np.full(len(unknown), "train")))
        self._source = Source(
            facts, normalise, films, place, answers["reference"], decisions, tolerances, cast, evidence
        )

    def _run_itself(
        self,
        facts: dict[str, Any],
        normalise: Normalise,
        context: ConversionContext,
        films: FolderFilms,
        answers: Outputs,
        decisions: dict[str, Decisions],
    ) -> str:
        """Run a file that is not in float32 as it is; return in words how far it lies from its network in float32."""
        if not facts["float32"]:
            return ""
        ways = ("itself",)
        found = run_source(self.config.onnx, facts, normalise, context.aside, context.reporter, films.parity, ways=ways)
        words = _distance(found.get("itself", "ONNX Runtime can't run it"), answers, decisions)
        context.reporter.say(f"  {facts['float32']}; {words}")
        return words

    def _export(self, context: ConversionContext) -> dict[str, Any]:
        """Let the library build its network, export it, and go on with the file and the preprocessing of its config.

        Returns:
            Of the export: library, weights and their SHA-256, preprocessing, and what of it the graph does not do.
        """
        config, source = self.config, self.config.library
        if source is None:
            raise RuntimeError("there is no library")
        onnx = context.aside / config.onnx.name
        facts = context.step("export", EXPORT_LIBRARY, **source.request, out=str(onnx))
        given, own = facts["preprocessing"], config.normalise is None and config.mean is None
        if own and given is not None and (given["mean"] is None or given["std"] is None):
            raise ConfigError(
                f"{given['origin']} states no mean and deviation for the {facts['channels']} channels of the weights",
                why="which numbers they were trained with is not known",
                fix="give them: --mean M --std S, of x / 255; or --normalise unit, if it was x / 255 alone",
            )
        told = not_carried(facts)
        self.config = replace(config, onnx=onnx, labels=config.labels or tuple(facts["labels"]))
        if given is not None and own:
            self.config = replace(self.config, mean=tuple(given["mean"]), std=tuple(given["std"]))
        if config.task is None and facts["task"] is not None:
            self.config, self._task_origin = replace(self.config, task=facts["task"]), facts["task_origin"]
        context.reporter.say(f"  {facts['library']}, weights: {facts['weights']}")
        for line in told:
            context.reporter.say(f"  note: {line}")
        kept = ("library", "weights", "weights_sha256", "preprocessing")
        return {key: facts[key] for key in kept} | {"carried": given is not None and own, "not_carried": told}

    def _run_pytorch(
        self,
        context: ConversionContext,
        facts: dict[str, Any],
        normalise: Normalise,
        films: FolderFilms,
        *,
        dtype: str = "float32",
    ) -> Outputs:
        """Run the library's network itself on films that numpy normalised."""
        source, images = self.config.library, context.aside / "pytorch.npy"
        if source is None:
            raise RuntimeError("there is no library")
        np.save(images, prepare(films.parity, normalise))
        [output] = facts["own_outputs"]
        batch = facts["source_batch"] if isinstance(facts["source_batch"], int) else None
        request = source.request | {"images": str(images), "names": {"logits": output}, "batch": batch, "dtype": dtype}
        found = run_outputs([Runtime("PyTorch", "trained", RUNNER, request)], films.parity, context.reporter)
        return next(one for one in found.values() if isinstance(one, dict))  # words only of what may fail

    def _decide(self, answers: Outputs, facts: dict[str, Any]) -> dict[str, Decisions]:
        config = self.config
        thresholds = None if config.thresholds is None else read_thresholds(config.thresholds)
        last = facts["last_ops"]
        return choose_decisions(
            answers, last, task=config.task, thresholds=thresholds, labels=config.labels, origin=self._task_origin
        )

    def _find_sides(
        self,
        films: FolderFilms,
        answers: dict[str, Outputs],
        decisions: dict[str, Decisions],
        run: Callable[..., dict[str, Outputs]],
        *,
        size: tuple[int, int],
        reporter: Reporter,
    ) -> tuple[FolderFilms, dict[str, Outputs]]:
        """Add films until 30 lie on each side of every decision, as a verdict on a reduced file needs.

        Returns:
            Films and answers with those that were added; as they were where enough lie on each side, or too few in
            all that were looked at, which is said.
        """
        first, found, pool = len(films.parity), answers["reference"], films
        rows, lacking = choose_for_sides(_sides(found, decisions), first, SIDE_FILMS)
        for pool in read_more(self.config.calibration, films, size=size, reporter=reporter) if lacking else ():
            more = run(pool.parity[len(next(iter(found.values()))) :], ways=("reference",))["reference"]
            found = {name: np.concatenate([one, more[name]]) for name, one in found.items()}
            rows, lacking = choose_for_sides(_sides(found, decisions), first, SIDE_FILMS)
            if not lacking:
                break
        if lacking:
            few = ", ".join(f"{count} {side}" for side, count in list(lacking.items())[:SHOWN])
            reporter.say(
                f"  {few} among {len(pool.parity)} that were looked at, {SIDE_FILMS} needed: no verdict on files in "
                "float16, dynamic range or int8; add films of that side to the folder"
            )
            return films, answers
        if not len(rows):
            return films, answers
        reporter.say(
            f"  {len(rows)} films are compared besides the first {first}: {SIDE_FILMS} are then on each side of every "
            f"decision ({len(pool.parity)} were looked at)"
        )
        added = run(pool.parity[rows], ways=("optimised", "rounded"))
        added["reference"] = {name: one[rows] for name, one in found.items()}
        together = {
            way: {name: np.concatenate([one, added[way][name]]) for name, one in before.items()}
            for way, before in answers.items()
        }
        return pick(pool, first, rows), together

    def export(self, context: ConversionContext) -> None:
        """Do nothing: model.onnx was written first of all."""

    def make_beside(self, context: ConversionContext) -> None:
        """Make litert-torch's TFLite of a library's network, where that is to be shipped."""
        library = self.config.library
        if self.route != "litert-torch" or library is None:
            return
        normalise, [output] = self.source.normalise, self.source.answers
        context.step(
            self.route,
            BY_LITERT_TORCH,
            python=str(self._python),
            out=places_of(self.route, context.aside)["tflite"],
            scale=normalise.scale.tolist(),
            offset=normalise.offset.tolist(),
            output=output,
            **library.request,
        )

    def label(self, context: ConversionContext) -> None:
        """Do nothing: there is no threshold to write into a file."""

    def measure(self, context: ConversionContext) -> OnnxOutcome:
        """Run every file on the films of the folder, compare it with the given file's answers, and judge it."""
        source = self.source
        one_film = {} if source.facts["dynamic_batch"] else {"batch": 1}
        rows = [one for one in context.made if one is not ONNX]
        runtimes = [
            Runtime(
                one.path,
                "trained",
                one.any_runner,
                {"artefact": str(context.place(one.path)), "film_by_film": one.path in context.by_another}
                | (one_film if one is ONNX else {}),
                one.precision,
                may_fail=not is_exact(one.precision),
            )
            for one in (ONNX, *rows)  # every file is made of it and proven against it, whether it is asked for or not
        ]
        others = [one for one in compared_files(context.aside, but=self.route) if one.row is TFLITE_FLOAT32]
        runtimes += [
            Runtime(one.name, "trained", one.row.any_runner, {"artefact": str(one.place)}, may_fail=True)
            for one in others
        ]
        answers = run_outputs(runtimes, source.films.parity, context.reporter)
        for name in (*(one.name for one in others), *context.by_another):
            answers[name] = self._named(answers[name])
        judged = [
            self._judge(context, row.path, context.place(row.path), row.kind, row.precision, answers.get(row.path))
            for row in context.asked
        ]
        place = context.place(ONNX.path)
        graph = self._judge(context, ONNX.path, place, ONNX.kind, ONNX.precision, answers[ONNX.path])
        compared = [self._compare(context, maker, others, answers) for maker in compared_makers(context, self.route)]
        compared = compared if ONNX in context.asked else [graph, *compared]
        needs, proofs = self._find_needs(context), self._prove(context)
        judged = [one.with_needs(needs.get(one.path)) for one in judged]
        judged = [one.with_proof(proofs.get(one.path)) for one in judged]
        pytorch = None
        if self.route == "litert-torch":  # its file was made of PyTorch's network, not of the export
            pytorch = self._run_pytorch(context, source.facts, source.normalise, source.films, dtype="float64")
        judged = [
            self._with_maker(context, one, proofs, pytorch, answers[one.path])
            if one.path in context.by_another
            else one
            for one in judged
        ]
        exact = [graph, *(one for one in judged if is_exact(one.precision))]
        return OnnxOutcome(
            report=onnx_report(
                (self.config.name, source.facts),
                source.normalise,
                source.films,
                source.decisions,
                source.tolerances,
                tuple(judged),
                tuple(compared),
                context.int8,
                proofs,
                self.config.words,
                describe_chosen(self.config.formats, context.not_made),
                source.cast,
                self.config.chosen_on,
                self.config.trained_here,
                self.config.labels,
            ),
            regressions={one.path: one.reason for one in exact if one.verdict == FAILED},
            judged=tuple(judged),
        )

    def _find_needs(self, context: ConversionContext) -> dict[str, dict[str, Any]]:
        """Return what the TFLite files need, by path."""
        made = [one for one in context.made if one.kind == TFLITE_FLOAT32.kind]
        files = {one.path: context.folder / one.path for one in made}
        return find_needs(files, [[one.path for one in made if one is not INT8_FILE]], self.source.films.parity)

    def _prove(self, context: ConversionContext) -> dict[str, Proof]:
        """Compare every file that was made of model.onnx with it, for every input."""
        made = [one.path for one in context.made if one is not ONNX]
        return prove_files(context.place(ONNX.path), {path: context.folder / path for path in made})

    def _with_maker(
        self,
        context: ConversionContext,
        one: JudgedFile,
        proofs: dict[str, Proof],
        pytorch: Outputs | None,
        answer: Outputs | str,
    ) -> JudgedFile:
        """Return a file of the route's converter with who made it, what its verdict rests on, and who runs it.

        Args:
            context: of the conversion.
            one: as it was judged by the export's answers.
            proofs: by path.
            pytorch: what PyTorch answers in float64, where the file is held to that, too.
            answer: of the file.
        """
        converter = context.converters[self.route].split(" -")[0]
        facts: dict[str, Any] = {"made_by": converter, "proven": is_proven(proofs, one.path), "served": None}
        if one.format == TFLITE_FLOAT32.kind:
            try:
                check_tflite(context.folder / one.path)
            except ArtefactError as error:
                facts["served"] = error.why
        if pytorch is not None and isinstance(answer, dict):
            found = compare_outputs(pytorch, answer, self.source.decisions)
            verdict, reason = judge_outputs(found, self.source.tolerances, exact=True)
            facts["pytorch_float64"] = {"reason": reason, "outputs": [each.to_json() for each in found]}
            one = replace(one, verdict=FAILED) if verdict == FAILED else one
        return one.with_maker(facts, films=len(self.source.films.parity))

    def _named(self, answer: Outputs | str) -> Outputs | str:
        """Return another maker's only output under our name."""
        if isinstance(answer, str) or len(self.source.answers) > 1:
            return answer
        named = {name: one for name, one in answer.items() if self.source.map is None or one.ndim < IMAGE}  # no map
        return dict(zip(self.source.answers, named.values(), strict=True)) if len(named) == 1 else answer

    def _compare(
        self, context: ConversionContext, maker: str, others: list[Compared], answers: dict[str, Outputs | str]
    ) -> JudgedFile:
        name, row = compared_name(maker), TFLITE_FLOAT32
        place = next((one.place for one in others if one.name == name), context.aside)
        return self._judge(context, name, place, row.kind, row.precision, answers.get(name), shipped=False)

    def _judge(
        self,
        context: ConversionContext,
        name: str,
        place: Path,
        kind: str,
        precision: str,
        answer: Outputs | str | None,
        *,
        shipped: bool = True,
    ) -> JudgedFile:
        if answer is None:
            return JudgedFile(name, kind, precision, NOT_MADE, context.not_made[name])
        size = {"bytes": sum(one.stat().st_size for one in (place, *place.rglob("*")) if one.is_file())}
        if isinstance(answer, str):
            return JudgedFile(name, kind, precision, FAILED, answer, facts=size)
        found = compare_outputs(self.source.answers, answer, self.source.decisions)
        verdict, reason = judge_outputs(found, self.source.tolerances, exact=is_exact(precision))
        judged = JudgedFile(name, kind, precision, verdict, reason, found, size)
        return judged.with_map(self._hold_map(answer, precision)) if shipped and self.source.map else judged

    def _hold_map(self, answer: Outputs, precision: str) -> MapDifference:
        """Hold a file's map to its own output, and to that of the given file's network."""
        evidence = self.source.map
        if evidence is None:
            raise RuntimeError("there is no map")
        return evidence.compare(answer, self.source.tolerances[evidence.facts["output"]], precision)

    def write(self, context: ConversionContext, found: OnnxOutcome, *, seconds: tuple[float, float]) -> ConvertedOnnx:
        """Set apart what is not offered, write the reports, and seal the folder with conversion.json."""
        folder, source = context.folder, self.source
        for one in found.judged:
            if one.verdict not in (CERTIFIED, MEASURED, NOT_MADE):
                (folder / NOT_OFFERED).mkdir(exist_ok=True)
                shutil.move(folder / one.path, folder / NOT_OFFERED / one.path)
        write_json(folder / PARITY, found.report)
        write_atomic(folder / REPORT, report_text(found.report))
        conversion = {
            "schema": SCHEMA,
            "source": {"name": self.config.name, "sha256": source.facts["source"]},
            "library": source.facts["library"],
            "wrap": {key: value for key, value in source.facts.items() if key not in NOT_OF_WRAP},
            "labels": list(self.config.labels),
            "referral": self.config.words.phrase,
            "decisions": {name: one.to_json() for name, one in source.decisions.items()},
            "calibration": {"films": len(source.films.calibration), "list_sha256": source.films.digest},
            "formats": found.report["formats"],
            "chosen_on": self.config.chosen_on,
            "converters": context.converters,
            "seconds": {name: round(value, 1) for name, value in context.seconds.items()},
            "verdicts": {one.path: one.verdict for one in found.judged},
            "provenance": provenance(),
            "files": {path: asdict(record) for path, record in file_records(folder, but=CONVERSION).items()},
        }
        write_json(folder / CONVERSION, conversion)
        return ConvertedOnnx(self.out, conversion, found.report, *seconds)


def require_unchanged(name: str, itself: Outputs, mapped: Outputs) -> None:
    """Refuse a reference whose outputs a map has changed: it would no longer be the given file.

    Args:
        name: of the network.
        itself: what it answers.
        mapped: what it answers once its map is an output as well.

    Raises:
        ConversionError: a bit differs.
    """
    changed = [output for output, answer in itself.items() if not np.array_equal(answer, mapped[output])]
    if changed:
        raise ConversionError(
            f"{name} gives other values of {', '.join(changed)} once its evidence map is an output",
            why="ONNX Runtime computes it in another order then, so the map cannot be held to the file itself",
            fix="omit --evidence",
        )


def require_exported(
    name: str,
    given: Outputs,
    exported: Outputs,
    decisions: dict[str, Decisions],
    tolerances: dict[str, OutputTolerance],
) -> dict[str, Any]:
    """Refuse an export that is another network than PyTorch computes.

    Args:
        name: of the network.
        given: what PyTorch answered.
        exported: what ONNX Runtime answered on the export, without optimisations.
        decisions: by output.
        tolerances: by output.

    Returns:
        verdict, reason, and the differences by output.

    Raises:
        ConversionError: it differs by more than a converted file may.
    """
    found = compare_outputs(given, exported, decisions)
    verdict, reason = judge_outputs(found, tolerances, exact=True)
    if verdict == FAILED:
        raise ConversionError(
            f"the export of {name} is not what PyTorch computes",
            why=reason,
            fix="export it another way, compare, and convert the file: tbconv convert MODEL.onnx",
        )
    return {"verdict": verdict, "reason": reason, "outputs": [one.to_json() for one in found]}


def run_source(
    onnx: Path,
    facts: dict[str, Any],
    normalise: Normalise,
    folder: Path,
    reporter: Reporter,
    model_inputs: NDArray[np.uint8],
    *,
    ways: Sequence[str] = WAYS,
) -> dict[str, Any]:
    """Run the given file, or its network in float32, on films that numpy normalised; output names are already ours.

    Returns:
        By way its answers [N, classes], of a file that gives [N] or [N, classes, 1, 1], too: `reference`, without
        optimisations; `optimised`, with them; `rounded`, without them on films normalised in float32; `itself`, the
        file as it is, where it is not in float32, or why ONNX Runtime cannot run it.
    """
    itself, batch = "itself" in ways, facts["source_batch"]
    given: dict[str, Any] = facts["input"]
    dtype = given["dtype"] if itself else given["float32_dtype"]
    request = {
        "artefact": str(onnx),
        "third_party": True,
        "input": given["name"],
        "without_channels": given["without_channels"],
        "names": facts["renamed_outputs"],
        "fixed_inputs": facts["fixed_inputs"],
        "batch": batch if isinstance(batch, int) else None,
    }
    runtimes = []
    for name in ways:
        place = folder / f"{name}.npy"
        prepared = (round_early if name == "rounded" else prepare)(model_inputs, normalise).astype(dtype)
        np.save(place, prepared.transpose(0, 2, 3, 1) if given["channels_last"] else prepared)
        own = {"images": str(place), "optimised": name == "optimised"}
        runtimes.append(Runtime(name, "trained", ONNX.any_runner, request | own, may_fail=itself))
    kept = EVIDENCE if facts["evidence"]["added"] else ""  # a map has four axes
    return {
        way: one
        if isinstance(one, str)
        else {name: values if name == kept else values.reshape(len(values), -1) for name, values in one.items()}
        for way, one in run_outputs(runtimes, model_inputs, reporter).items()
    }


def _distance(itself: Outputs | str, answers: Outputs, decisions: dict[str, Decisions]) -> str:
    """Say how far a file's own answers lie from those of its network in float32, and which decisions differ."""
    if isinstance(itself, str):
        return f"the file itself was not run, so how far it lies from that is not known: {itself}"
    found = compare_outputs(answers, {name: one.astype(np.float32) for name, one in itself.items()}, decisions)
    parts = [
        f"{one.output}: {one.problem}"
        if one.problem
        else f"output {one.output} differs by at most {one.max_abs:.1e}, "
        f"which changes {one.flips} of {one.decisions} decisions"
        for one in found
    ]
    return f"compared with the file itself, {'; '.join(parts)}"


def _sides(answers: Outputs, decisions: dict[str, Decisions]) -> dict[str, NDArray[np.bool_]]:
    """Return which films lie on each side of each decision of each output, by its words."""
    by_output = {name: one.films_of_sides(answers[name]) for name, one in decisions.items()}
    several = len(by_output) > 1
    return {
        f"{side} ({name})" if several else side: films
        for name, sides in by_output.items()
        for side, films in sides.items()
    }


def check_size(size: tuple[int, int] | None) -> None:
    """Refuse a size that is none.

    Raises:
        ConfigError: naming what would be one.
    """
    if size is not None and not all(1 <= side <= MOST_SIDE for side in size):
        why = f"it is height and width in pixels, 1 to {MOST_SIDE}"
        raise ConfigError(f"--size {','.join(str(side) for side in size)}", why=why, fix="--size 224")


def round_early(model_inputs: NDArray[np.uint8], normalise: Normalise) -> NDArray[np.float32]:
    """Normalise in float32, rounded after each step: uint8 [N, H, W] -> float32 [N, C, H, W]."""
    scale, offset = (one.astype(np.float32)[:, None, None] for one in (normalise.scale, normalise.offset))
    rounded: NDArray[np.float32] = model_inputs[:, None].astype(np.float32) * scale + offset
    return rounded


def check_reference(answers: Outputs, labels: tuple[str, ...]) -> None:
    """Refuse answers with which nothing can be compared, and labels that are not as many as the classes.

    Raises:
        ConversionError: NaN, infinity, or the same answer to every film.
        ConfigError: the number of labels.
    """
    for name, answer in answers.items():
        problem = "" if varies(answer) else "is the same for every film"
        problem = problem if np.isfinite(answer).all() else "holds NaN or infinity"
        if problem:
            raise ConversionError(
                f"output {name} of the file itself {problem}",
                why="no difference from such answers means anything",
                fix="check the file and its preprocessing: --normalise, --mean and --std",
            )
    sizes = {name: answer.shape[-1] for name, answer in answers.items()}
    if labels and len(labels) not in sizes.values():
        found = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ConfigError(f"--labels names {len(labels)} classes", why=found, fix="name each class once, in its order")
