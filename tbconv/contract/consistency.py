"""Consistency checks that need numpy alone: whether certificate, files and golden outputs agree with the manifest.

Serving runs them on every file that it opens, `verify --quick` on all; `convert.certificate.consistency` runs the rest.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import CERTIFICATE, MAKE_AGAIN, MANIFEST, Bundle, binding_of, parse_json
from tbconv.contract.errors import ArtefactError, BundleError
from tbconv.contract.golden import GOLDEN, Golden, read_golden
from tbconv.contract.manifest import SCHEMA_VERSION, Artefact, Calibration, Manifest
from tbconv.contract.statistics import IDENTITY, Prediction, identity_error

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


MOST_APPENDED = 1 << 20  # bytes of one file inside a `.tflite`; real ones have 1 KB

# --- binding ---
# Whether what decides is bound: manifest to certificate, both to what is written inside each `.tflite` file.


UNBOUND = "unbound: nothing ties threshold and labels to the certificate; run tbconv upgrade BUNDLE --out NEW"


SAYS = "name, kind, synthetic, labels, preprocessing, thresholds, calibration, artefacts or provenance"


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
        if bundle.manifest.schema_version < SCHEMA_VERSION:
            return Binding.UNBOUND  # which may still answer by its baseline (tf_serve.fallback)
        why = f"{error.why}; what decides is bound by it"
        raise BundleError(error.what, why=why, fix=error.fix) from error
    if recorded is None and bundle.manifest.schema_version < SCHEMA_VERSION:
        return Binding.UNBOUND
    made = binding_of(bundle.manifest)
    if recorded == made:
        return Binding.BOUND
    if not isinstance(recorded, Mapping):
        why = f"{CERTIFICATE} holds no digest of it, as every certificate of schema {SCHEMA_VERSION} does"
    elif recorded.get("manifest_sha256") != made["manifest_sha256"]:
        why = f"what it says of {SAYS} changed: {CERTIFICATE} is bound to another digest"
    else:
        why = f"its list of files changed: {CERTIFICATE} is bound to another digest"
    raise BundleError(f"{MANIFEST} is not the one that was certified", why=why, fix=MAKE_AGAIN)


def check_contents(bundle: Bundle, path: str) -> None:
    """Hold one `.tflite` file, by what is written in it and by its golden outputs, to the manifest.

    Args:
        bundle: of which the file's digest was checked.
        path: of the file.

    Raises:
        BundleError: labels, preprocessing, threshold or calibration contradict the manifest.
        ArtefactError: the golden outputs are missing or altered.
    """
    found = appended_problems(bundle, (path,))
    if GOLDEN in bundle.manifest.files:
        golden = read_golden(bundle.read(GOLDEN))
        found = {**answer_problems(bundle, golden, (path,)), **found}
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
    """Return the files that are appended to a `.tflite` file as a zip; None where there are none.

    What is damaged, or larger than such files are, is left out.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size <= MOST_APPENDED:
                    found[member.filename] = archive.read(member)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):  # all zipfile's, on damage
        return found or None
    return found


def appended_problems(bundle: Bundle, paths: Collection[str] | None = None) -> dict[str, str]:
    """Return, by path, where labels, preprocessing and decision rule inside `.tflite` files differ from the manifest.

    Bundles of early versions have no such metadata; where one file has it, all must.

    Args:
        bundle: whose files are looked at where they lie.
        paths: of files; None takes all that are there.
    """
    served = [one for one in bundle.manifest.artefacts if one.is_served and (bundle.root / one.path).is_file()]
    files = {one: appended_files(bundle.root / one.path) for one in served}
    required = any(files.values())
    chosen = {one: inside for one, inside in files.items() if paths is None or one.path in paths}
    found: dict[str, str] = {}
    for artefact, inside in chosen.items():
        if inside is None and required:
            found[artefact.path] = "it holds no metadata, while other files of the bundle do"
        elif inside is not None and (problems := _appended(bundle.manifest, artefact, inside)):
            found[artefact.path] = "; ".join(problems)
    return found


def _appended(manifest: Manifest, artefact: Artefact, files: dict[str, bytes]) -> list[str]:
    decision_rule = manifest.decision_rules.get(artefact.network)
    decision = {"network": artefact.network} | ({} if decision_rule is None else asdict(decision_rule))
    problems = []
    try:
        labels = files[LABELS].decode().splitlines()
        if labels != list(manifest.labels.names):
            problems.append(f"{LABELS} names {labels}, expected {list(manifest.labels.names)}")
        for name, expected in ((PREPROCESSING, asdict(manifest.preprocessing)), (OPERATING_POINT, decision)):
            problems += differences(parse_json(files[name], name), expected, of=name)
    except (KeyError, ValueError) as error:
        problems.append(f"its metadata cannot be read: {type(error).__name__}: {error}")
    except BundleError as error:
        problems.append(f"its metadata cannot be read: {error.one_line}")
    return problems


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
            judged = decision_rule is not None and bundle.verdict(artefact.path).verdict.may_serve
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
