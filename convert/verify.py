"""Check a bundle that exists: digests first, then every format against PyTorch, then its own certificate.

A bundle is never written to. An artefact regresses when it does worse than its certificate says; any file fails when it
contradicts the manifest (`convert.certificate.consistency`).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.certificate.certify import certificate_scope, draw_certificate, write_certificate
from convert.certificate.consistency import inconsistencies
from convert.certificate.contents import content_problems
from convert.certificate.deployment import FILMS, missed_criteria
from convert.certificate.page import PAGE
from convert.formats.table import ONNX, chosen_lines
from convert.parity.compare import resemblance
from convert.parity.inputs import FilmFolder, FilmSet, draw_phantoms, find_near_threshold, part_of, read_films_of
from convert.parity.measure import ORDER, Measurement, measure
from convert.parity.report import parity_report, write_film_table
from convert.parity.runtimes import Runtime, matrix_runtimes, torch_runtimes
from convert.pipeline import ASIDE_FACTOR
from convert.proof.prove import prove
from convert.worker import run_step, workers
from tbconv.contract.bundle import CERTIFICATE, MAKE_AGAIN, Bundle, open_bundle
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Proof, ProofVerdict, Verdict
from tbconv.contract.consistency import UNBOUND, check_binding
from tbconv.contract.errors import BundleError, ConfigError, ConversionError, Reporter
from tbconv.contract.files import require_room, temporary_folder, temporary_place, write_atomic, write_json
from tbconv.contract.golden import (
    GOLDEN,
    GOLDEN_FILMS,
    NOT_RECORDED,
    REFERENCE,
    Golden,
    check_films,
    opener,
    read_golden,
    records_films,
)
from tbconv.contract.manifest import Artefact, Kind, is_exact
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import allowed_move, is_positive
from torch_train.data.findings import LabelChoice

PHANTOMS = 256  # drawn for a matrix without films: as many as one of films should have; some 9 s to draw

# A file that is what PyTorch computes would be blamed for the change of the graph that it is compared with.
NOT_ASKED_FOR = f"nothing was proven again: {ONNX.path}, against which a file is proven, was not asked for"
NOT_PROVEN = f"no file was compared with {ONNX.path} (prove), which itself does worse than its certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConfig:
    """What `tbconv verify` does."""

    bundle: Path
    out: Path
    films: Path | None = None  # a folder; None feeds the bundle's golden inputs
    patient: str | None = None
    choice: LabelChoice = field(default_factory=LabelChoice)
    strict: bool = False
    most: int | None = None  # films of the folder; None feeds all
    matrix: bool = False  # run further runtimes, not the bundle's files alone

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise ConfigError(f"--most {self.most}", why="parity cannot pass on nothing", fix="--most 256")


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found."""

    certificate: Certificate
    report: dict[str, Any]
    regressions: dict[str, str]  # by path or runtime, why
    notes: tuple[str, ...] = ()  # worth saying, but no failure
    undecided: tuple[str, ...] = ()  # float32 files that were CERTIFIED, and of which these films cannot say it

    @property
    def passed(self) -> bool:
        """Whether every artefact did as well as its certificate says, and every runtime gave usable answers."""
        return bool(self.certificate.artefacts) and not self.regressions


@workers()
def verify(config: VerifyConfig, reporter: Reporter) -> Verified:
    """Measure a bundle again and compare with its certificate.

    Nothing of the manifest is used, and no file run, before the certificate is found to be about it; what is written
    inside the files is compared afterwards.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: its manifest is not the one that was certified.
        DataError: the folder of films holds none.
    """
    bundle = open_bundle(config.bundle)
    check_binding(bundle)
    reporter.say(f"{len(bundle.manifest.files)} files have the digests of the manifest")
    _require_reference(bundle)
    claimed = {one.path: bundle.verdict(one.path) for one in bundle.manifest.artefacts}
    golden, deployed = read_golden(bundle.read(GOLDEN)), bundle.certificate().deploy.get("artefact")
    contradictions = with_findings(inconsistencies(bundle), content_problems(bundle))
    try:
        measurement = _measure(config, bundle, golden, reporter)
    except ConversionError as error:  # what a file cannot be opened for is said by what changed in it
        raise _explained(error, contradictions) from error
    verdicts = {
        one.path: _judge(one, measurement, golden, claimed[one.path], by_films=config.films is not None)
        for one in bundle.manifest.artefacts
    }
    undecided = undecided_notes(claimed, verdicts)
    banded = band_notes(claimed, measurement, deployed=deployed)
    absent = chosen_lines(bundle.certificate().scope.get("formats") or {})
    notes = (*absent, *_film_notes(bundle), *_open_batches(bundle), *banded, *undecided.values())
    report = parity_report(measurement, verdicts, bundle.manifest.words) | {"notes": list(notes)}
    regressions = find_regressions(claimed, verdicts, measurement, report, deployed=deployed)
    regressions = with_findings(regressions, contradictions, _film_problems(bundle))
    proofs: dict[str, Proof] = {}
    if ONNX.path in regressions:
        notes = (*notes, NOT_PROVEN)
    elif (bundle.root / ONNX.path).is_file():
        proofs = prove(config.bundle, reporter=reporter)
    elif bundle.certificate().proofs:
        notes = (*notes, NOT_ASKED_FOR)
    regressions, doubts = with_proofs(regressions, bundle.certificate().proofs, proofs)
    notes = (*notes, *doubts)
    report["notes"] = list(notes)
    certificate = replace(_certificate(bundle, measurement, verdicts, regressions), proofs=proofs)
    _write(config.out, bundle, measurement, certificate, report)
    exact = tuple(one.path for one in bundle.manifest.artefacts if one.is_exact and one.path in undecided)
    return Verified(certificate, report, regressions, notes, exact)


def with_proofs(
    regressions: dict[str, str], claimed: dict[str, Proof], found: dict[str, Proof]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the regressions with files that are proven no longer, and notes on files of which nothing was claimed.

    A certificate of before claims nothing: what its int8 files do to ranges no rule knows.
    """
    proven = [path for path, one in claimed.items() if one.verdict is ProofVerdict.EQUIVALENT]
    lost = {
        path: f"its certificate says EQUIVALENT, today's proof {proof.verdict}: {_named(proof.reason)}"
        for path, proof in found.items()
        if path in proven and proof.verdict is not ProofVerdict.EQUIVALENT
    }
    notes = tuple(
        f"{path}: {proof.verdict}; {proof.reason}"
        for path, proof in found.items()
        if proof.verdict is not ProofVerdict.EQUIVALENT and path not in lost
    )
    return with_findings(regressions, lost), notes


# How our exporter calls the two nodes of (grey level - mean) / std, and the words of a proof on a stored number.
_NORMALISATION, _NUMBER = re.compile(r"\bgraph\.(Sub|Div)\b"), re.compile(r"\b(weight|bias|scale|offset)\[")


def _named(reason: str) -> str:
    """Return the reason of a proof that is lost, with what changed in front of it."""
    if not _NUMBER.search(reason):
        return reason
    return f"{'the normalisation' if _NORMALISATION.search(reason) else 'weights'} changed: {reason}"


def _explained(error: ConversionError, contradictions: dict[str, str]) -> ConversionError:
    """Return an error with what else is known of the bundle."""
    if not contradictions:
        return error
    known = "; ".join(f"{path}: {problem}" for path, problem in contradictions.items())
    return ConversionError(error.what, why=f"{error.why}; beside it {known}", fix=error.fix)


def _require_reference(bundle: Bundle) -> None:
    """Refuse a manifest by which no network can be made to compare with."""
    for one in bundle.manifest.artefacts:
        if one.network not in bundle.manifest.decision_rules or "arch" not in bundle.manifest.provenance:
            what = f"the manifest does not say what {one.path} computes"
            raise BundleError(what, why="it names no architecture or no decision rule of it", fix=MAKE_AGAIN)


def _film_notes(bundle: Bundle) -> tuple[str, ...]:
    lacks = () if records_films(bundle) else (NOT_RECORDED,)
    return (*lacks, *(() if "binding" in bundle.certificate().scope else (UNBOUND,)))


def _open_batches(bundle: Bundle) -> tuple[str, ...]:
    """Say which TFLite files need the Interpreter: TensorFlow's own writer leaves the batch open."""
    files = {str(bundle.root / one.path): one.path for one in bundle.manifest.artefacts if one.is_served}
    found = run_step("convert.formats.tflite.metadata:open_files", {"files": list(files)})
    named = ", ".join(path for place, path in files.items() if found[place])
    return (f"{named}: open batch: not for CompiledModel or LiteRT.js; convert the run again",) if named else ()


def _film_problems(bundle: Bundle) -> dict[str, str]:
    """Return what this machine makes of the golden films, from their bytes on, that training did not."""
    problems = check_films(bundle, opener(bundle.manifest.preprocessing)) if records_films(bundle) else []
    return {GOLDEN_FILMS: "; ".join(problems)} if problems else {}


def _measure(config: VerifyConfig, bundle: Bundle, golden: Golden, reporter: Reporter) -> Measurement:
    artefacts = bundle.manifest.artefacts
    with temporary_folder("matrix") as aside:
        filmset = _filmset(config, golden, reporter)
        extra: tuple[Runtime, ...] = ()
        if config.matrix:
            if (onnx := bundle.root / ONNX.path).is_file():
                require_room({temporary_place(): ASIDE_FACTOR * onnx.stat().st_size}, what="--matrix")
            extra = matrix_runtimes(bundle.root, artefacts, aside, reporter)
            filmset = _with_probes(bundle, filmset, aside, reporter)
        return measure(
            bundle.root,
            artefacts,
            filmset,
            arch=bundle.manifest.provenance["arch"],
            decision_rules=bundle.manifest.decision_rules,
            extra=extra,
            reporter=reporter,
        )


def _certificate(
    bundle: Bundle, measurement: Measurement, verdicts: dict[str, ArtefactVerdict], regressions: dict[str, str]
) -> Certificate:
    """Return today's certificate; what it was calibrated on and which file to deploy stays as `convert` recorded it.

    A file that regresses is proposed no longer, but nor is another in its place: no latency was measured here.
    """
    old = bundle.certificate()
    scope = certificate_scope(bundle.root) | {"calibration": old.scope.get("calibration")}
    scope |= {name: old.scope[name] for name in ("binding", "formats", "portability") if name in old.scope}
    deploy = _deploy(old.deploy, regressions, measurement.filmset.description)
    return write_certificate(measurement, verdicts, scope, deploy, bundle.manifest.words)


def _deploy(old: dict[str, Any], regressions: dict[str, str], fed: str) -> dict[str, Any]:
    path = old.get("artefact")
    if path not in regressions:
        return old
    reason = f"the file that was proposed, {path}, does worse than its certificate on {fed}: {regressions[path]}"
    return old | {"artefact": None, "reason": reason, "others": old.get("others", {}) | {path: regressions[path]}}


def _write(
    out: Path, bundle: Bundle, measurement: Measurement, certificate: Certificate, report: dict[str, Any]
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "parity.json", report)
    write_json(out / CERTIFICATE, asdict(certificate))
    page = draw_certificate(bundle.root, bundle.manifest, measurement, certificate, report)
    write_atomic(out / PAGE, page)
    if len(measurement.filmset.films):
        write_film_table(out / "films.npz", measurement)


def _judge(
    artefact: Artefact, measurement: Measurement, golden: Golden, claimed: ArtefactVerdict, *, by_films: bool
) -> ArtefactVerdict:
    """Return today's verdict on a file; its latency is that of the certificate, for it is not measured again."""
    if artefact.is_exact or by_films:
        found = measurement.judge(artefact, claimed.sha256)
        return replace(found, figures=found.figures | _kept(claimed, "latency_ms"))
    return _judge_repeat(artefact, measurement, golden, claimed=claimed)


def _kept(claimed: ArtefactVerdict, *names: str) -> dict[str, Any]:
    return {name: claimed.figures[name] for name in names if name in claimed.figures}


def _judge_repeat(
    artefact: Artefact, measurement: Measurement, golden: Golden, *, claimed: ArtefactVerdict
) -> ArtefactVerdict:
    """Without films of patients, a reduced-precision file keeps its verdict if it repeats its golden answers.

    Kernels of another processor round elsewhere, but further than `allowed_move` it is another model. Films without
    patients count no decisions, so the band stays that of the certificate; but NaN on any of them fails.
    """
    figures = measurement.row(artefact.path).golden.to_json() | _kept(claimed, "abstention_band", "latency_ms")
    problem = measurement.problem(artefact)
    if problem is not None:
        return ArtefactVerdict(Verdict.FAILED, claimed.sha256, problem, figures)
    recorded, reference = golden.answers[artefact.path], golden.answers[f"{REFERENCE} ({artefact.network})"]
    start = len(measurement.filmset.films)
    again = part_of(measurement.answers[artefact.path], start, start + len(golden.names))
    moved, allowed = float(np.abs(again.logits - recorded.logits).max()), allowed_move(recorded, reference)
    reason = f"golden logits moved by {moved:.1e} (allowed {allowed:.1e}); decisions: {claimed.reason}"
    verdict = claimed.verdict if moved <= allowed else Verdict.FAILED
    return ArtefactVerdict(verdict, claimed.sha256, reason, figures)


def _filmset(config: VerifyConfig, golden: Golden, reporter: Reporter) -> FilmSet:
    if config.films is not None:
        folder = FilmFolder(
            folder=config.films,
            most=config.most,
            patient=config.patient,
            choice=config.choice,
            strict=config.strict,
        )
        model_inputs, labels, description = read_films_of(folder, config.bundle, reporter)
        return FilmSet(description, model_inputs, labels, golden.model_inputs, golden.names)
    if config.matrix:
        model_inputs = draw_phantoms(PreprocessSpec(), config.most or PHANTOMS)
        description = f"{len(model_inputs)} drawn phantoms, since no films were given"
        return FilmSet(description, model_inputs, None, golden.model_inputs, golden.names)
    none = np.zeros((0, *golden.model_inputs.shape[1:]), np.uint8)
    description = f"the bundle's {len(golden.names)} golden inputs"
    return FilmSet(description, none, None, golden.model_inputs, golden.names)


def _with_probes(bundle: Bundle, filmset: FilmSet, aside: Path, reporter: Reporter) -> FilmSet:
    """Add films searched to lie near the threshold of the trained network, or of the baseline where it is alone."""
    manifest = bundle.manifest
    network: Kind = "trained" if any(one.network == "trained" for one in manifest.artefacts) else "baseline"
    decision_rule, arch = manifest.decision_rules[network], manifest.provenance["arch"]
    [reference, _] = torch_runtimes(bundle.root, network, arch=arch, calibration=decision_rule.calibration)
    probes = find_near_threshold(
        reference, filmset.together, threshold=decision_rule.operating_point.margin, folder=aside
    )
    sides = "blends of two films each" if len(probes) else "none: all films lie on one side of it"
    reporter.say(f"{len(probes)} inputs searched near the threshold ({sides})")
    return replace(filmset, probes=probes)


# --- regressions ---
# Where a bundle does worse than its certificate says, file by file and runtime by runtime; numpy only.


def find_regressions(
    claimed: dict[str, ArtefactVerdict],
    verdicts: dict[str, ArtefactVerdict],
    measurement: Measurement,
    report: dict[str, Any],
    *,
    deployed: str | None,
) -> dict[str, str]:
    """Return the files and runtimes that did worse than they may, each with the first reason that was found.

    Args:
        claimed: the certificate's verdicts by path.
        verdicts: today's.
        measurement: that they rest on.
        report: of the measurement (convert.parity.report).
        deployed: path of the file that the certificate proposes, which has to meet the criteria on other films as well.
    """
    worse = {
        path: f"{found.verdict} now, {claimed[path].verdict} in the certificate: {found.reason}"
        f"{_look(measurement, path)}"
        for path, found in verdicts.items()
        if ORDER.index(found.verdict) > ORDER.index(claimed[path].verdict)
        and found.verdict is not Verdict.CANNOT_SAY  # these films show too little, which is no fault of the file
    }
    unusable = {
        row.name: f"no verdict depends on it, but its outputs cannot be compared: {row.problem}"
        for row in measurement.rows
        if row.name not in verdicts and row.problem is not None
    }
    return unusable | _float16(report, verdicts) | _criteria(verdicts, measurement, deployed) | worse


def _look(measurement: Measurement, path: str) -> str:
    """Return what wrong logits look like beside PyTorch's; empty where like nothing known."""
    reference, found = measurement.answers.get(f"{REFERENCE} ({measurement.row(path).network})"), None
    if reference is not None and path in measurement.answers:
        found = resemblance(reference.logits, measurement.answers[path].logits)
    return f"; its logits look like PyTorch's, with {found}" if found else ""


def undecided_notes(claimed: dict[str, ArtefactVerdict], verdicts: dict[str, ArtefactVerdict]) -> dict[str, str]:
    """Say by path where these films show too little for the verdict that the certificate gives."""
    return {
        path: f"{path}: {found.verdict} on these inputs, {claimed[path].verdict} in the certificate; {found.reason}"
        for path, found in verdicts.items()
        if found.verdict is Verdict.CANNOT_SAY and claimed[path].verdict.may_serve
    }


def with_findings(regressions: dict[str, str], *findings: dict[str, str]) -> dict[str, str]:
    """Add by path what was found beside the measurement; what was measured is said first."""
    whole = dict(regressions)
    for found in findings:
        for path, problem in found.items():
            whole[path] = f"{whole[path]}; {problem}" if path in whole else problem
    return whole


def _float16(report: dict[str, Any], verdicts: dict[str, ArtefactVerdict]) -> dict[str, str]:
    """Hold the bundle's float16 files, under every kernel that was run, to what float16 costs by itself."""
    rows = [one for one in report["float16"] if any(_is_of(one["name"], path) for path in verdicts)]
    return {
        one["name"]: f"{one['db']:+.1f} dB from float64 beside {one['of']}, allowed {one['allowed']:+g} dB"
        for one in rows
        if one["db"] is not None and not one["db"] <= one["allowed"]
    }


def _is_of(name: str, path: str) -> bool:
    """Return whether a runtime runs a file, by itself or under other kernels (`model_float16.tflite built-in x2`)."""
    return name == path or name.startswith(f"{path} ")


def _criteria(verdicts: dict[str, ArtefactVerdict], measurement: Measurement, deployed: str | None) -> dict[str, str]:
    """Hold the reduced file that is proposed to its quality criteria, where these films are enough to judge them."""
    if deployed not in verdicts or is_exact(measurement.row(deployed).precision):
        return {}
    figures = verdicts[deployed].figures
    decisions = figures.get("decisions")
    if decisions is None or decisions["n"] < FILMS:
        return {}
    missed = missed_criteria(figures, shown=True)
    return (
        {deployed: f"proposed, but fails the deployment criteria on these films: {'; '.join(missed)}"} if missed else {}
    )


def band_notes(
    claimed: dict[str, ArtefactVerdict], measurement: Measurement, *, deployed: str | None
) -> tuple[str, ...]:
    """Say how many films the proposed file decides otherwise than PyTorch outside the band that it claims.

    A note and no regression: the band is what was seen on the films of the conversion, and of a thousand others a few
    may lie just outside it.
    """
    count = len(measurement.filmset.films)
    if not count or deployed not in claimed or measurement.row(deployed).problem is not None:
        return ()
    row, band = measurement.row(deployed), claimed[deployed].abstention_band
    threshold = measurement.thresholds[row.network]
    reference = measurement.answers[f"{REFERENCE} ({row.network})"].margin[:count]
    margin = measurement.answers[deployed].margin[:count]
    away = np.abs(margin.astype(np.float64) - threshold)
    outside = away[(is_positive(reference, threshold) != is_positive(margin, threshold)) & (away > band)]
    if is_exact(row.precision) or not len(outside):
        return ()
    flipped = f"{len(outside)} of {count} films flip outside the band of {band:.2g} logits that its certificate claims"
    return (f"{deployed}: {flipped}, the furthest {outside.max():.2g} logits from the threshold",)
