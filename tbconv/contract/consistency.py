"""Consistency checks that need numpy alone: whether certificate, files and golden outputs agree with the manifest.

Serving runs them on every file that it opens, `verify --quick` on all; `convert.certificate.consistency` runs the rest.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import CERTIFICATE, MAKE_AGAIN, MANIFEST, Bundle, binding_of, parse_json, sections_of
from tbconv.contract.certificate import Certificate, Verdict
from tbconv.contract.errors import ArtefactError, BundleError
from tbconv.contract.files import opened
from tbconv.contract.golden import GOLDEN, REFERENCE, Golden
from tbconv.contract.manifest import BOUND_SINCE, STATEMENT, Artefact, Calibration, Manifest
from tbconv.contract.statistics import IDENTITY, Prediction, allowed_move, identity_error, identity_errors

LABELS, PREPROCESSING, OPERATING_POINT = "labels.txt", "preprocessing.json", "operating_point.json"
# Of a probability: float32 files of four networks were 8e-7 at most from sigmoid(slope * margin + offset), XNNPACK's
# sigmoid being an approximation; a slope 1 % off moves the steep part by 1e-3.
PROBABILITY = 5e-6
HALF_ULP16 = 2.0**-11  # by which float16 may round slope and offset: half of its last bit, of a value
# Where the head itself is int8 (as it was before heads stayed in float), the sigmoid steps by 1/256 and its input has a
# grid of its own: 2.7 steps at most on three bundles. Its map has another grid than its logits and is not checked.
QUANTIZED_STEPS = 4 / 256
# |mean(evidence) - margin| outside float32, as a share of mean |evidence|.
# Measured on seven bundles at most 0.2 % in float16, 3.5 % in dynamic; int8 with a float head is as exact as float32.
IDENTITY_SHARE = {"float16": 0.01, "dynamic": 0.1}


# Of the zip at the end of a `.tflite`; real ones have four members, and 3 KB in all.
MOST_APPENDED = 1 << 20  # bytes that its members unpack to
MOST_MEMBERS, MOST_DIRECTORY = 16, 64 << 10  # the latter in bytes
MOST_AT_THE_END = MOST_APPENDED + MOST_DIRECTORY + 0x10000  # bytes of the file that are read: a comment is the rest
_MARK, _END = b"PK\x05\x06", struct.Struct("<4s4H2LH")  # end of central directory, APPNOTE.TXT 4.3.16

# --- binding ---
# Whether what decides is bound: manifest to certificate, both to what is written inside each `.tflite` file.


UNBOUND = "unbound: nothing ties threshold and labels to the certificate; run tbconv upgrade BUNDLE --out NEW"


SAYS = "name, kind, synthetic, labels, referral, preprocessing, thresholds, calibration, artefacts or provenance"
SECTIONS = {
    "decision_rules": "thresholds and calibration",
    "artefacts": "artefacts (their paths, precisions, tensors and converters)",
}


class Binding(StrEnum):
    """What holds a bundle's manifest to what was certified."""

    SIGNED = "signed"  # bound, and signed by the key that is required
    BOUND = "bound"  # the certificate holds the digest of the manifest, the manifest that of the certificate
    UNBOUND = "unbound"  # made before certificates did so; what is written inside its files is compared all the same


def check_binding(bundle: Bundle) -> Binding:
    """Hold a manifest to its certificate.

    Raises:
        BundleError: the certificate is about another manifest or another list of files; or it is missing or altered,
            in a bundle that is bound by it.
    """
    try:
        recorded = bundle.certificate().scope.get("binding")
    except ArtefactError as error:
        if bundle.manifest.schema_version < BOUND_SINCE:
            return Binding.UNBOUND  # which may still answer by its baseline (tf_serve.fallback)
        why = f"{error.why}; what decides is bound by it"
        raise BundleError(error.what, why=why, fix=error.fix) from error
    if recorded is None and bundle.manifest.schema_version < BOUND_SINCE:
        return Binding.UNBOUND
    made = binding_of(bundle.manifest)
    if recorded == made:
        return Binding.BOUND
    if not isinstance(recorded, Mapping):
        why = f"{CERTIFICATE} holds no digest of it, as every certificate from schema {BOUND_SINCE} on does"
    elif recorded.get("manifest_sha256") != made["manifest_sha256"]:
        why = f"what it says of {_changed(bundle)} changed: {CERTIFICATE} is bound to another digest"
    else:
        why = f"its list of files changed: {CERTIFICATE} is bound to another digest"
    raise BundleError(f"{MANIFEST} is not the one that was certified", why=why, fix=MAKE_AGAIN)


def _changed(bundle: Bundle) -> str:
    """Return which parts of a manifest are not those that were certified; all of them where no digests tell."""
    recorded = bundle.certificate().scope.get("sections")
    if not isinstance(recorded, Mapping):
        return SAYS
    found = sections_of(bundle.manifest)
    parts = [name for name in {**found, **recorded} if recorded.get(name) != found.get(name)]
    return " and ".join(SECTIONS.get(name, name) for name in parts) or SAYS


def check_contents(bundle: Bundle, path: str, place: Path) -> None:
    """Hold one `.tflite` file, by what is written inside it, to the manifest.

    Args:
        bundle: the file's.
        path: of the file in the bundle.
        place: where the very bytes lie that will be used.

    Raises:
        BundleError: labels, preprocessing or threshold in it contradict the manifest.
    """
    problem = _appended_problem(bundle, bundle.manifest.artefact(path), appended_files(place), _some_have(bundle))
    if problem is not None:
        raise BundleError(f"{path} contradicts {MANIFEST}", why=problem, fix=MAKE_AGAIN)


def check_answers(bundle: Bundle, path: str, golden: Golden) -> None:
    """Hold one `.tflite` file, by its golden outputs, to the manifest: BundleError where its graph contradicts it."""
    found = answer_problems(bundle, golden, (path,))
    if path in found:
        raise BundleError(f"{path} contradicts {MANIFEST}", why=found[path], fix=MAKE_AGAIN)


# --- contents ---


def differences(found: Any, expected: Mapping[str, Any], *, of: str) -> list[str]:
    """Return, field by field, where `found` differs from `expected`; more fields in it are ignored."""
    problems = []
    for name, value in expected.items():
        other = found.get(name) if isinstance(found, Mapping) else found
        if isinstance(value, Mapping):
            problems += differences(other, value, of=f"{of} {name}")
        elif other != value:
            problems.append(f"{of} {name} is {other!r}, expected {value!r}")
    return problems


def appended_files(path: Path) -> dict[str, bytes] | None:
    """Return labels, preprocessing and threshold from the zip that is appended to a `.tflite` file.

    Returns:
        By name, other members left out; empty where the zip is larger than any of tbconv, which is not read; None
        where there is none, or what there is is damaged.
    """
    try:
        with opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_AT_THE_END))
            end = file.read(MOST_AT_THE_END)
        if not _may_be_read(end):
            return {}
        with zipfile.ZipFile(io.BytesIO(end)) as archive:
            return _members(archive)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):  # all zipfile's, on damage
        return None


def _may_be_read(end: bytes) -> bool:
    """Whether the directory of a zip, which zipfile reads whole, is as small as ours; where there is none it is."""
    place = len(end) - _END.size  # as zipfile finds it: without a comment, or the last that has one
    if not (end[-_END.size :].startswith(_MARK) and end.endswith(b"\0\0")):
        place = end.rfind(_MARK, -_END.size - 0xFFFF)
    if place < 0 or place + _END.size > len(end):
        return True
    _, _, _, here, members, directory, _, _ = _END.unpack_from(end, place)
    is_zip64 = end[:place][-20:].startswith(b"PK\x06\x07")  # whose numbers replace these
    return max(here, members) <= MOST_MEMBERS and directory <= MOST_DIRECTORY and not is_zip64


def _members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    chosen = [one for one in archive.infolist() if one.filename in (LABELS, PREPROCESSING, OPERATING_POINT, STATEMENT)]
    kinds = {one.compress_type for one in chosen} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # read piece by piece
    if kinds or len(chosen) > MOST_MEMBERS or sum(one.file_size for one in chosen) > MOST_APPENDED:
        return {}
    found = {}
    for member in chosen:
        with archive.open(member) as data:
            found[member.filename] = data.read(MOST_APPENDED)
    return found


def _some_have(bundle: Bundle) -> bool:
    """Whether any `.tflite` file of a bundle has such a zip; those of early versions have none."""
    served = (bundle.root / one.path for one in bundle.manifest.artefacts if one.is_served)
    return any(appended_files(path) is not None for path in served)


def appended_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, where labels, preprocessing and decision rule inside `.tflite` files differ from the manifest.

    Bundles of early versions have no such metadata; where one file has it, all must.

    Args:
        bundle: whose files are looked at where they lie, those that are there.
    """
    required = _some_have(bundle)
    found = {}
    for artefact in bundle.manifest.artefacts:
        place = bundle.root / artefact.path
        if artefact.is_served and place.is_file():
            found[artefact.path] = _appended_problem(bundle, artefact, appended_files(place), required)
    return {path: problem for path, problem in found.items() if problem is not None}


def _appended_problem(
    bundle: Bundle, artefact: Artefact, inside: dict[str, bytes] | None, required: bool
) -> str | None:
    if inside is None:
        return "it holds no metadata, while other files of the bundle do" if required else None
    if not inside:
        return f"the zip at its end holds no {LABELS}, or more than labels, preprocessing and threshold take"
    return "; ".join(_appended(bundle.manifest, artefact, inside)) or None


def _appended(manifest: Manifest, artefact: Artefact, files: dict[str, bytes]) -> list[str]:
    decision_rule = manifest.decision_rules.get(artefact.network)
    decision = {"network": artefact.network} | ({} if decision_rule is None else asdict(decision_rule))
    if manifest.referral is not None:
        decision["referral"] = manifest.referral
    problems = []
    try:
        labels = files[LABELS].decode().splitlines()
        if labels != (names := list(manifest.labels.names)):
            turned = ": the other order" if sorted(labels) == sorted(names) else ""
            problems.append(f"{LABELS} names {labels}, expected {names}{turned}")
        for name, expected in ((PREPROCESSING, asdict(manifest.preprocessing)), (OPERATING_POINT, decision)):
            of = f"threshold and calibration: {name}" if name == OPERATING_POINT else name
            problems += differences(parse_json(files[name], name), expected, of=of)
        if STATEMENT in files and decision_rule is not None:  # earlier bundles have none
            problems += statement_problems(files[STATEMENT], manifest, artefact)
    except (KeyError, ValueError) as error:
        problems.append(f"its metadata cannot be read: {type(error).__name__}: {error}")
    except BundleError as error:
        problems.append(f"its metadata cannot be read: {error.one_line}")
    return problems


def statement_problems(text: bytes, manifest: Manifest, artefact: Artefact) -> list[str]:
    """Return where what a file states of itself, in whatever format, is not what the manifest says.

    Raises:
        BundleError: it is no JSON.
    """
    stated = manifest.stated(artefact.network)
    return differences(parse_json(text, STATEMENT), stated, of="stale or altered: it states")


def answer_problems(bundle: Bundle, golden: Golden, paths: Collection[str] | None = None) -> dict[str, str]:
    """Return, by path, which golden outputs contradict themselves: the graph holds another calibration or map.

    From outputs alone: probability = sigmoid(slope * margin + offset), mean(evidence) = margin. Files that the
    certificate calls FAILED or did not measure are not checked.
    """
    found: dict[str, str] = {}
    adopted = "adopted" in (bundle.manifest.provenance.get("training") or {})
    for artefact in bundle.manifest.artefacts:
        if paths is not None and artefact.path not in paths:
            continue
        decision_rule = bundle.manifest.decision_rules.get(artefact.network)
        try:
            verdict = bundle.verdict(artefact.path).verdict
            judged = decision_rule is not None and (verdict.may_serve or verdict is Verdict.CANNOT_SAY)
        except ArtefactError:  # the verdict is about another digest, which is a finding of its own
            judged = False
        if decision_rule is None or not judged:
            continue
        answer = golden.answers.get(artefact.path)
        if answer is None:
            found[artefact.path] = "no golden outputs of it are recorded"
        elif problems := _contradictions(answer, decision_rule.calibration, artefact.precision, adopted=adopted):
            found[artefact.path] = "; ".join(problems)
    return found


def _contradictions(
    answer: Prediction, calibration: Calibration, precision: str, *, adopted: bool = False
) -> list[str]:
    margins = np.asarray(answer.margin, np.float64)
    probability = np.asarray(answer.probability[:, 0], np.float64)
    if precision == "int8" and _on_a_grid(probability):
        return _calibrated(margins, probability, calibration, (QUANTIZED_STEPS, 0.0))
    problems, missed = [], 0.0
    if answer.evidence is not None and (error := identity_error(answer)) is not None:
        missed, size = error, float(np.abs(answer.evidence.astype(np.float64)).mean())
        allowed = max(IDENTITY, IDENTITY_SHARE.get(precision, 0.0) * size)
        if not missed <= allowed:  # NaN fails
            problems.append(f"the evidence misses the margin by {missed:.1e} logits, allowed {allowed:.1e}")
    # float16 rounds what margin, logits and map are made from apart, so the margin inside the graph may be as far from
    # that of the logits as the map's mean is; twice, since both were rounded. So does dynamic where the margin's layer
    # has 1,024 weights or more, as adopted networks' may have (TFLite leaves smaller ones in float32); ours has not.
    apart = 2 * missed / 4 if precision == "float16" or (precision == "dynamic" and adopted) else 0.0
    rounding = (PROBABILITY + apart, HALF_ULP16 if precision == "float16" else 0.0)
    return problems + _calibrated(margins, probability, calibration, rounding)


def _on_a_grid(probability: NDArray[np.float64]) -> bool:
    steps = 256 * probability
    return bool(np.array_equal(steps, np.rint(steps)))


def _calibrated(
    margins: NDArray[np.float64],
    probability: NDArray[np.float64],
    calibration: Calibration,
    rounding: tuple[float, float],
) -> list[str]:
    """Hold probabilities to slope and offset; `rounding` is of the probability, and of the exponent in its own size."""
    meant = calibration.probability(margins)
    exponents = np.abs(calibration.slope * margins) + abs(calibration.offset)
    allowed = rounding[0] * max(1.0, abs(calibration.slope)) + rounding[1] * exponents / 4  # a sigmoid's steepest
    over = np.abs(probability - meant) - allowed
    if (over <= 0).all():
        return []
    film = int(np.argmax(np.where(np.isfinite(over), over, np.inf)))
    said = f"its probability at a margin of {margins[film]:.4g} is {probability[film]:.4g}"
    expected = f"slope {calibration.slope:.4g} and offset {calibration.offset:.4g} make it {meant[film]:.4g}"
    return [f"{said}, {expected}{_as_if(margins, probability)}"]


def _as_if(margins: NDArray[np.float64], probability: NDArray[np.float64]) -> str:
    """Return the slope and offset that fit the outputs of the graph, from those that are not saturated."""
    inner = (probability > 1e-4) & (probability < 1 - 1e-4) & np.isfinite(margins)
    if len(np.unique(margins[inner])) < 2:
        return ""
    odds = np.log(probability[inner] / (1 - probability[inner]))
    slope, offset = (round(float(one), 4) + 0.0 for one in np.polyfit(margins[inner], odds, 1))  # and no -0
    return f"; it answers as if they were {slope:.3g} and {offset:.3g}"


# --- answers elsewhere ---
# How far a file's answers may move on another processor or in another runtime before it is another model. The one rule:
# of the quick check, of readiness and of `verify --where`.

PROBABILITY_STEPS = 2 / 256  # two steps of a quantized sigmoid


def recorded_answers(golden: Golden, artefact: Artefact) -> Prediction:
    """Return what a file answered to the golden inputs when it was certified.

    Raises:
        ArtefactError: neither of it nor of PyTorch anything is recorded.
    """
    if artefact.path not in golden.answers or f"{REFERENCE} ({artefact.network})" not in golden.answers:
        what = f"{GOLDEN} holds no answers of {artefact.path}, or none of PyTorch"
        raise ArtefactError(what, why="there is nothing to repeat", fix="tbconv convert RUN --out BUNDLE")
    return golden.answers[artefact.path]


def allowed_logits(artefact: Artefact, golden: Golden, certificate: Certificate) -> float:
    """Return how far logits may move elsewhere: a float32 file has the certificate's tolerance for the golden inputs.

    Raises:
        ArtefactError: the golden inputs hold nothing of this file.
    """
    recorded = recorded_answers(golden, artefact)
    if artefact.is_exact:
        tolerances = certificate.tolerances.get(artefact.network) or {}
        return float((tolerances.get("golden") or tolerances).get("logits", IDENTITY))
    return allowed_move(recorded, golden.answers[f"{REFERENCE} ({artefact.network})"])


def moved_problem(
    recorded: Prediction, answer: Prediction, artefact: Artefact, *, slope: float, allowed: float
) -> str | None:
    """Return what makes answers another model's than these were, to the same films; None where rounding explains all.

    Args:
        recorded: what the file answered where it was measured.
        answer: what it answers elsewhere.
        artefact: the file.
        slope: of its calibration.
        allowed: how far a logit may move (`allowed_logits`).
    """
    problem = shape_problem(recorded, answer)
    return problem or tolerance_problem(recorded, answer, artefact, slope=slope, allowed=allowed)


def max_abs_difference(now: NDArray[np.floating], then: NDArray[np.floating]) -> float:
    """Return max |now - then| over values that are finite in both; 0 where none is."""
    both = np.isfinite(now) & np.isfinite(then)
    return float(np.abs(now[both].astype(np.float64) - then[both]).max(initial=0.0))


def shape_problem(recorded: Prediction, answer: Prediction) -> str | None:
    """Return which output has another shape, or other places that are NaN or infinite, than it had."""
    for name in ("logits", "probability", "evidence"):
        now, then = getattr(answer, name), getattr(recorded, name)
        if now is None or then is None or now.shape != then.shape:
            return f"{name} has another shape than it had"
        if not np.array_equal(np.isfinite(now), np.isfinite(then)):
            return f"{name} is NaN or infinite where it was not, or the reverse"
    return None


def tolerance_problem(
    recorded: Prediction, answer: Prediction, artefact: Artefact, *, slope: float, allowed: float
) -> str | None:
    """Return which value moved too far.

    A margin is a difference of two logits and moves twice as far at most, so no decision further than
    that from the threshold can change; the sigmoid's steepest is a quarter of its slope.
    """
    moved = max_abs_difference(answer.logits, recorded.logits)
    if not moved <= allowed:
        return f"logits moved by {moved:.1e}, allowed are {allowed:.1e}"
    step = max_abs_difference(answer.probability, recorded.probability)
    if not step <= abs(slope) * 2 * allowed / 4 + PROBABILITY_STEPS:
        return f"logits hold, but the probability moved by {step:.1e}"
    missing = _identity(answer)
    if artefact.is_exact and not missing <= max(IDENTITY, 2 * _identity(recorded)):
        return f"the evidence misses the margin by {missing:.1e}"
    return None


def _identity(answer: Prediction) -> float:
    errors = identity_errors(answer)
    return 0.0 if errors is None else float(errors[np.isfinite(errors)].max(initial=0.0))
