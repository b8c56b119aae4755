"""Whether a bundle's TFLite files answer the same on other processors and in other runtimes: film by film, to the bit.

The reference is the file itself in the runtime that serves (LiteRT's Interpreter, XNNPACK, one thread) on this machine.
A float32 step is defined here once: `numpy.spacing(float32(max |reference logit of that film|))`, the distance between
two neighbouring float32 numbers where the larger of the film's two logits lies. A difference in steps is the largest
difference of a logit of a film, divided by that film's step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.inputs import FilmFolder, draw_phantoms, part_of, read_films_of, spread
from convert.parity.runtimes import artefact_runtime, run_all
from convert.runners.base import Answer
from convert.runners.elsewhere.browser import Ran
from convert.runners.elsewhere.targets import Target, parse_targets
from convert.worker import drop_waiting, run_step, workers
from tbconv.contract.bundle import open_bundle
from tbconv.contract.certificate import Certificate
from tbconv.contract.consistency import allowed_logits, check_binding, moved_problem
from tbconv.contract.environment import package_versions, processor
from tbconv.contract.errors import BundleError, ConfigError, ConversionError, Reporter, TbconvError
from tbconv.contract.files import sha256_bytes, temporary_folder
from tbconv.contract.golden import GOLDEN, Golden, read_golden
from tbconv.contract.manifest import Artefact, DecisionRule
from tbconv.contract.statistics import Prediction, is_positive, proportion
from torch_train.data.findings import LabelChoice

PORTABILITY = "portability.json"
FORMAT = 1
MOST = 32  # films that each target gets, where nobody says otherwise
MINUTES = 2.5  # that a slow target's own process takes for the films of one file: about 15 in all, on two cores
OUTPUTS = ("logits", "probability", "evidence")
NOT_LOCATED = "no operation that could be named: with every operation's output given it computes otherwise"


class PortabilityVerdict(StrEnum):
    """What can be said of a file elsewhere."""

    IDENTICAL = "IDENTICAL"  # all outputs of all films, to the bit
    WITHIN = "WITHIN ROUNDING"  # no decision changes, and no logit moves further than its certificate allows
    FAILED = "FAILED"  # neither, or it does not run
    CANNOT_SAY = "CANNOT SAY"  # it ran there in part only


@dataclass(frozen=True, slots=True, kw_only=True)
class WhereConfig:
    """What `tbconv verify --where` does."""

    bundle: Path
    where: str  # targets, as the option takes them
    films: Path | None = None  # a folder; None draws phantoms
    most: int = MOST  # films that each target gets
    minutes: float = MINUTES
    artefacts: tuple[str, ...] | None = None  # paths; None: float32, int8 and the file to deploy
    patient: str | None = None
    choice: LabelChoice = field(default_factory=LabelChoice)
    strict: bool = False

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"--most {self.most}", why="a comparison needs at least one film", fix=f"--most {MOST}")
        if not 0 < self.minutes < 60 * 24:
            why = "it is the time that a slow target takes for the films of one file"
            raise ConfigError(f"--minutes {self.minutes}", why=why, fix=f"--minutes {MINUTES}")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """One file on one target."""

    path: str
    sha256: str
    target: str
    what: str  # the target in words
    verdict: PortabilityVerdict
    reason: str
    runtime: str | None = None  # what ran it, with its version; None where it did not run
    films: int = 0  # that ran there, of those that were meant to
    of: int = 0
    identical: int = 0  # films of which every output is the same to the bit
    identical_outputs: dict[str, int] = field(default_factory=dict)  # films by output
    max_abs_logits: float | None = None
    float32_steps: float | None = None  # of logits
    max_abs_probability: float | None = None
    max_abs_evidence: float | None = None
    allowed_logits: float | None = None
    flips: dict[str, Any] | None = None  # count, and the share with its 95 % interval
    starts_at: str | None = None  # the first operation whose output differs, of the film that differs most

    def line(self) -> str:
        """Return it as a line for people."""
        head = f"{self.path} on {self.target}: {self.verdict}"
        if self.flips is None:
            return f"{head}; {self.reason}"
        share = f"{self.flips['count']} of {self.films} decisions change (at most {self.flips['high']:.2g} at 95 %)"
        if self.verdict is PortabilityVerdict.IDENTICAL:
            return f"{head}; {self.identical} of {self.films} films to the bit; {share}"
        if self.max_abs_logits is None or self.float32_steps is None:
            return f"{head}; {share}; {self.reason}"
        same = ", ".join(f"{name} {count}" for name, count in self.identical_outputs.items())
        moved = f"{self.identical} of {self.films} films to the bit ({same}), logits {self.max_abs_logits:.2g} away"
        starts = f"; it starts at {self.starts_at}" if self.starts_at else ""
        return f"{head}; {moved} ({self.float32_steps:.3g} float32 steps); {share}{starts}; {self.reason}"


@dataclass(frozen=True, slots=True)
class Portability:
    """Every file on every target."""

    rows: tuple[Elsewhere, ...]
    manifest_sha256: str | None  # of manifest.json; None in a certificate, which the manifest is sealed with
    films: dict[str, Any]  # what was fed, by digest
    reference: dict[str, Any]  # processor and runtime that the rows are compared with
    seconds: float
    disclaimer: str = ""

    @property
    def failed(self) -> tuple[Elsewhere, ...]:
        """The rows that failed."""
        return tuple(one for one in self.rows if one.verdict is PortabilityVerdict.FAILED)

    @property
    def undecided(self) -> tuple[Elsewhere, ...]:
        """The rows of which nothing can be said."""
        return tuple(one for one in self.rows if one.verdict is PortabilityVerdict.CANNOT_SAY)

    @property
    def passed(self) -> bool:
        """Whether files were tried, and none failed."""
        return bool(self.rows) and not self.failed

    def to_json(self) -> dict[str, Any]:
        """Return plain values ready for JSON, as portability.json and a certificate hold them."""
        rows = [asdict(one) | {"verdict": str(one.verdict)} for one in self.rows]
        return asdict(self) | {"format": FORMAT, "passed": self.passed, "rows": rows}


@dataclass(frozen=True, slots=True)
class Task:
    """A file, what it answers here, and by which rule it decides."""

    artefact: Artefact
    place: Path
    sha256: str
    here: Answer
    threshold: float
    slope: float
    allowed: float


def try_elsewhere(config: WhereConfig, reporter: Reporter, *, targets: Sequence[Target] | None = None) -> Portability:
    """Run a finished bundle's TFLite files on other processors and in other runtimes.

    Args:
        config: which bundle, films, files and targets.
        reporter: gets a line for each file on each target.
        targets: in place of those that the configuration names.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: the bundle has no TFLite file of its network, or not one that the configuration names.
        ConfigError: a target is not known.
        SetupError: a target cannot be had here; nothing is run then.
    """
    start, chosen = time.monotonic(), parse_targets(config.where) if targets is None else tuple(targets)
    bundle = open_bundle(config.bundle)
    check_binding(bundle)
    certificate, manifest = bundle.certificate(), bundle.manifest
    artefacts = files_to_try(manifest.artefacts, certificate, config.artefacts)
    for one in artefacts:
        bundle.verdict(one.path)  # which is about the file that is there
    prepare_targets(chosen, reporter)
    films, description = _films(config, reporter)
    return run_elsewhere(
        bundle.root,
        artefacts,
        read_golden(bundle.read(GOLDEN)),
        certificate,
        manifest.decision_rules,
        films,
        description,
        targets=chosen,
        seconds=config.minutes * 60,
        reporter=reporter,
        start=start,
        manifest_sha256=bundle.sha256,
    )


def prepare_targets(targets: Sequence[Target], reporter: Reporter) -> None:
    """Get what every target needs, before any of them runs.

    Raises:
        SetupError: one cannot be had here.
    """
    for target in targets:
        target.prepare()
        reporter.say(f"{target.name}: {target.what}")


def run_elsewhere(
    root: Path,
    artefacts: Sequence[Artefact],
    golden: Golden,
    certificate: Certificate,
    decision_rules: Mapping[str, DecisionRule],
    films: NDArray[np.uint8],
    description: str,
    *,
    targets: Sequence[Target],
    seconds: float,
    reporter: Reporter,
    start: float,
    manifest_sha256: str | None = None,
) -> Portability:
    """Run files of a folder on every target, and compare with what they answer here.

    Args:
        root: folder of the files.
        artefacts: the files.
        golden: their recorded answers, from which follows how far one may move.
        certificate: of these files; it has their digests.
        decision_rules: by network.
        films: uint8 [N, S, S], in an order whose first part holds every class.
        description: of the films.
        targets: that are prepared.
        seconds: that a slow target's own process takes for the films of one file.
        reporter: gets a line for each file on each target.
        start: time.monotonic() of the command.
        manifest_sha256: of manifest.json, where there is one already.
    """
    with workers():
        here = run_all([artefact_runtime(root, one) for one in artefacts], films, reporter)
        tasks = [
            Task(
                artefact=one,
                place=root / one.path,
                sha256=certificate.artefacts[one.path].sha256,
                here=here[one.path],
                threshold=decision_rules[one.network].operating_point.margin,
                slope=decision_rules[one.network].calibration.slope,
                allowed=allowed_logits(one, golden, certificate),
            )
            for one in artefacts
        ]
        rows = _run(targets, tasks, films, seconds, reporter)
    return Portability(
        rows=tuple(rows),
        manifest_sha256=manifest_sha256,
        films={"n": len(films), "description": description, "sha256": sha256_bytes(films.tobytes())},
        reference={"processor": processor(), "runtime": f"LiteRT {package_versions()['ai-edge-litert']} Interpreter"},
        seconds=round(time.monotonic() - start, 1),
        disclaimer=certificate.disclaimer,
    )


def files_to_try(
    artefacts: Sequence[Artefact], certificate: Certificate, wanted: tuple[str, ...] | None = None
) -> list[Artefact]:
    """Return the TFLite files to try: those named, or float32, int8 and the one to deploy.

    Raises:
        BundleError: there is none, or not one that is named.
    """
    served = [one for one in artefacts if one.is_served]
    main = [one for one in served if one.network == "trained"] or served
    proposed = certificate.deploy.get("artefact")
    usual = [one for one in main if one.precision in ("float32", "int8") or one.path == proposed]
    chosen = (usual or main) if wanted is None else [one for one in served if one.path in wanted]
    missing = sorted(set(wanted or ()) - {one.path for one in chosen})
    if missing or not chosen:
        what = f"there is no {', '.join(missing) or 'TFLite file'} to try elsewhere"
        why = f"of TFLite files the bundle has {', '.join(one.path for one in served) or 'none'}"
        raise BundleError(what, why=why, fix="name one of them, or convert again: tbconv convert RUN --out BUNDLE")
    return chosen


def _films(config: WhereConfig, reporter: Reporter) -> tuple[NDArray[np.uint8], str]:
    """Return films, uint8 [N, S, S], in an order whose first part, however long, holds every class."""
    if config.films is None:
        from tbconv.contract.preprocess import PreprocessSpec

        drawn = draw_phantoms(PreprocessSpec(), config.most)
        return drawn, f"{len(drawn)} drawn phantoms, since no films were given"
    folder = FilmFolder(
        folder=config.films, most=config.most, patient=config.patient, choice=config.choice, strict=config.strict
    )
    model_inputs, _, description = read_films_of(folder, config.bundle, reporter)
    ordered: NDArray[np.uint8] = model_inputs[spread(np.arange(len(model_inputs)))]
    return ordered, description


def _run(
    targets: Sequence[Target], tasks: Sequence[Task], films: NDArray[np.uint8], seconds: float, reporter: Reporter
) -> list[Elsewhere]:
    """Run every file on every target, slow ones first, as many at a time as there are processors for this process."""
    jobs = [(target, task) for target in sorted(targets, key=lambda one: not one.slow) for task in tasks]
    found: dict[tuple[str, str], Elsewhere] = {}
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool, drop_waiting(pool):
        started = {pool.submit(try_one, target, task, films, seconds): (target, task) for target, task in jobs}
        done = (job.result() for job in as_completed(started))
        title = f"running {len(tasks)} files on {len(targets)} targets"
        for row in reporter.track(done, title=title, total=len(jobs)):
            found[row.path, row.target] = row
            reporter.say(row.line())
    return [found[task.artefact.path, target.name] for task in tasks for target in targets]


def try_one(target: Target, task: Task, films: NDArray[np.uint8], seconds: float | None) -> Elsewhere:
    """Run one file on one target, and compare with what it answers here; what fails is a row, and no error.

    Args:
        target: that is prepared.
        task: the file.
        films: uint8 [N, S, S].
        seconds: that a slow target's own process takes for them.
    """
    try:
        ran = target.run(task.place, films, seconds if target.slow else None)
    except ConversionError as error:
        reason = f"{error.what}: {' '.join(error.why.split())}"
        return _row(task, target, PortabilityVerdict.FAILED, reason, of=len(films))
    row = judge_elsewhere(task, target, ran, of=len(films))
    if row.flips is None or row.verdict is PortabilityVerdict.IDENTICAL:
        return row
    return replace(row, starts_at=_locate(target, task, ran, films))


def _row(task: Task, target: Target, verdict: PortabilityVerdict, reason: str, **figures: Any) -> Elsewhere:
    path, sha256 = task.artefact.path, task.sha256
    return Elsewhere(path, sha256, target.name, target.what, verdict=verdict, reason=reason, **figures)


def judge_elsewhere(task: Task, target: Target, ran: Ran, *, of: int) -> Elsewhere:
    """Compare what a target gave with what the file answers here.

    Args:
        task: the file and its answers here.
        target: that ran it.
        ran: its outputs for the first films.
        of: how many films were meant to run.
    """
    films = len(next(iter(ran.outputs.values()), ()))
    lacking = [name for name in OUTPUTS if name not in ran.outputs]
    if lacking or not films:
        reason = f"it gives no {', '.join(lacking) or 'film'}"
        return _row(task, target, PortabilityVerdict.FAILED, reason, runtime=ran.runtime, films=films, of=of)
    there, here = Prediction(*(ran.outputs[name] for name in OUTPUTS)), part_of(task.here, 0, films)
    there_map, here_map = ran.outputs["evidence"], np.asarray(here.evidence)
    if any(getattr(there, name).shape != getattr(here, name).shape for name in OUTPUTS):
        reason = "an output has another shape than here"
        return _row(task, target, PortabilityVerdict.FAILED, reason, runtime=ran.runtime, films=films, of=of)
    alike = {name: _same(getattr(here, name), getattr(there, name)) for name in OUTPUTS}
    same = np.all(list(alike.values()), axis=0)
    moved = np.abs(there.logits.astype(np.float64) - here.logits).max(axis=1)
    changed = int((is_positive(there.margin, task.threshold) != is_positive(here.margin, task.threshold)).sum())
    problem = moved_problem(here, there, task.artefact, slope=task.slope, allowed=task.allowed)
    if changed:
        problem = f"{changed} of {films} decisions change" + (f"; {problem}" if problem else "")
    verdict, reason = PortabilityVerdict.WITHIN, f"allowed are {task.allowed:.2g} logits"
    if problem is not None:
        verdict, reason = PortabilityVerdict.FAILED, problem
    elif not ran.whole:
        verdict, reason = PortabilityVerdict.CANNOT_SAY, "only a part of its operations ran there, the rest elsewhere"
    elif same.all():
        verdict, reason = PortabilityVerdict.IDENTICAL, "every output of every film, to the bit"
    return _row(
        task,
        target,
        verdict,
        reason,
        runtime=ran.runtime,
        films=films,
        of=of,
        identical=int(same.sum()),
        identical_outputs={name: int(rows.sum()) for name, rows in alike.items()},
        max_abs_logits=_finite(moved.max()),
        float32_steps=_finite((moved / float32_steps(here.logits)).max()),
        max_abs_probability=_finite(np.abs(there.probability.astype(np.float64) - here.probability).max()),
        max_abs_evidence=_finite(np.abs(there_map.astype(np.float64) - here_map).max()),
        allowed_logits=task.allowed,
        flips=asdict(proportion(changed, films)) | {"count": changed},
    )


def float32_steps(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return one float32 step of each film's logits, [N]: the spacing of float32 at the larger of their magnitudes."""
    largest = np.abs(logits).max(axis=1).astype(np.float32)
    return np.asarray(np.spacing(largest), np.float64)


def _same(here: NDArray[Any], there: NDArray[Any]) -> NDArray[np.bool_]:
    """Return by film whether all bits are the same; -0.0 is not 0.0 then, and NaN is itself."""
    pair = [np.ascontiguousarray(one, np.float32).view(np.uint32).reshape(len(one), -1) for one in (here, there)]
    return np.asarray((pair[0] == pair[1]).all(axis=1))


def _finite(value: Any) -> float | None:
    """Return a number that JSON knows; None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None


# --- where it starts ---


def _locate(target: Target, task: Task, ran: Ran, films: NDArray[np.uint8]) -> str:
    """Return the first operation whose output differs, in the file's order, for the film that differs most.

    Every operation's output is made one of the file's (convert.formats.tflite.exposed): a browser shows it, too.
    """
    here, there = part_of(task.here, 0, len(ran.outputs["logits"])), ran.outputs
    away = np.abs(there["logits"].astype(np.float64) - here.logits).max(axis=1)
    alike = np.all([_same(getattr(here, name), there[name]) for name in OUTPUTS], axis=0)
    row = int(np.where(alike, -1.0, np.nan_to_num(away, nan=np.inf)).argmax())
    film = films[row : row + 1]
    with temporary_folder("exposed") as folder:
        place, images, out = folder / task.place.name, folder / "film.npy", folder / "here.npz"
        np.save(images, film)
        try:
            request = {"artefact": str(task.place), "out": str(place)}
            operations = run_step("convert.formats.tflite.exposed:expose", request)["operations"]
            run_step("convert.runners.tflite:run_any", {"artefact": str(place), "images": str(images), "out": str(out)})
            found = target.run(place, film, None).outputs
        except TbconvError as error:
            return f"no operation that could be named: {error.one_line}"
        with np.load(out, allow_pickle=False) as arrays:
            native = dict(arrays)
    same_here = all(_same(native[name], getattr(here, name)[row : row + 1]).all() for name in OUTPUTS)
    same_there = all(_same(found[name], there[name][row : row + 1]).all() for name in OUTPUTS)
    if not (same_here and same_there):
        return NOT_LOCATED
    for name, tensor, operator in operations:
        if not _same(native[name], found[name]).all():
            return f"{tensor} ({operator})"
    return NOT_LOCATED
