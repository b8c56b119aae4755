"""The quick check: does every TFLite file answer as it did, and does this machine decode images as training did?

Serving's packages alone are needed. With the same kernels answers repeat bit for bit (measured on
two bundles); other kernels round elsewhere, and a tolerance says how far that may lead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tbconv.contract.bundle import MAKE_AGAIN, MANIFEST, Bundle
from tbconv.contract.certificate import Certificate
from tbconv.contract.consistency import (
    UNBOUND,
    allowed_logits,
    answer_problems,
    appended_problems,
    check_binding,
    max_abs_difference,
    recorded_answers,
    shape_problem,
    tolerance_problem,
)
from tbconv.contract.environment import processor, processor_difference, tried_as
from tbconv.contract.errors import ArtefactError, BundleError, SetupError
from tbconv.contract.golden import (
    GOLDEN,
    GOLDEN_FILMS,
    NOT_RECORDED,
    Golden,
    check_films,
    opener,
    read_golden,
    records_films,
)
from tbconv.contract.manifest import Artefact
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import Classifier
from tf_serve.runtime.pool import Pool


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """What one file answered to its golden inputs, against what it answered when it was certified."""

    path: str
    precision: str
    verdict: str  # the certificate's
    inputs: int
    problem: str | None  # why it did not repeat
    moved: float | None  # max |logit now - logit then|
    allowed: float | None  # logits
    decisions_changed: int  # of the golden inputs; each lies within the tolerance of the threshold, or it is a problem
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it answered as it did."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class SelfTest:
    """All files' rows, and what is worth saying of this machine."""

    rows: tuple[GoldenResult, ...]
    notes: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)  # by path, beside the answers: films, contradictions

    @property
    def passed(self) -> bool:
        """Whether files were run, each of them answered as it did, and nothing contradicts the manifest."""
        return bool(self.rows) and all(row.passed for row in self.rows) and not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the rows ready for JSON."""
        rows = [asdict(row) | {"passed": row.passed} for row in self.rows]
        return {"passed": self.passed, "rows": rows, "problems": self.problems, "notes": list(self.notes)}


def self_test(bundle: Bundle, *, artefacts: Sequence[str] | None = None) -> SelfTest:
    """Run TFLite files on the bundle's golden inputs.

    Args:
        bundle: each file that is read has its digest checked first.
        artefacts: paths of TFLite files; None runs every one of them.

    Returns:
        One row a file; a file that is altered or cannot be opened is a row with a problem. Beside them what the
        files and their recorded answers say otherwise than the manifest, and golden films that this machine decodes
        differently from training.

    Raises:
        ArtefactError: the golden inputs or the certificate are missing or altered.
    """
    golden, certificate = read_golden(bundle.read(GOLDEN)), bundle.certificate()
    chosen = [one for one in bundle.manifest.artefacts if one.is_served]
    if artefacts is not None:
        chosen = [bundle.manifest.artefact(path) for path in artefacts]
    note = processor_difference(certificate.scope.get("processor") or {}, processor())
    notes = [*([note] if note else []), *([] if records_films(bundle) else [NOT_RECORDED])]
    notes += [UNBOUND] if certificate.scope.get("binding") is None else []
    rows = tuple(_repeat(bundle, one, golden, certificate) for one in chosen)
    return SelfTest(rows, tuple(notes), _contradictions(bundle, golden, {one.path for one in chosen}))


def describe_processor(certificate: Certificate, path: str) -> dict[str, Any]:
    """Return this machine's processor beside those that a file was measured and tried on.

    Args:
        certificate: of the bundle; `tbconv convert --where` puts the table of other processors into it.
        path: of the file that answers.

    Returns:
        model and kernel_flags of this processor; certified_on, the model of the certificate's; tried_as, the target
        that stands for this one; note, what is known of the file here.
    """
    certified, here = certificate.scope.get("processor") or {}, processor()
    target, difference = tried_as(here["kernel_flags"]), processor_difference(certified, here)
    rows = (certificate.scope.get("portability") or {}).get("rows", [])
    found = next((row for row in rows if (row["path"], row["target"]) == (path, target)), None)
    if difference is None:
        known = bool(certified.get("kernel_flags")) and bool(here["kernel_flags"])
        note = "the instructions that it was certified on" if known else "what its instructions are is not known"
    elif found is not None:
        note = f"{difference}; tried as {target}: {found['verdict']} on {found['films']} films"
    else:
        how = f"tbconv verify BUNDLE --where {target}" if target else "tbconv verify BUNDLE --quick"
        note = f"{difference}; not tried on such a processor: {how}"
    shown = {"model": here["model"], "kernel_flags": here["kernel_flags"], "certified_on": certified.get("model")}
    return shown | {"tried_as": target, "note": note}


def golden_check(bundle: Bundle, path: str, golden: Golden) -> Callable[[Classifier], GoldenResult]:
    """Prepare to run an open file on the golden inputs, as often as need be and without the bundle's folder.

    Returns:
        A function of the open file.

    Raises:
        ArtefactError: the certificate is missing or altered, or the golden inputs hold nothing of this file.
    """
    certificate, size = bundle.certificate(), bundle.manifest.preprocessing.size
    if golden.model_inputs.shape[1] != size:
        why = f"they are {golden.model_inputs.shape[1]} pixels wide, its films {size}"
        raise ArtefactError(f"{path} cannot be run on the golden inputs", why=why, fix=MAKE_AGAIN)
    artefact, verdict = bundle.manifest.artefact(path), str(bundle.verdict(path).verdict)
    recorded = recorded_answers(golden, artefact)
    if len(recorded.logits) > 1 and (recorded.logits == recorded.logits[0]).all():
        why = f"all {len(recorded.logits)} golden inputs were given the same logits"
        raise ArtefactError(f"{path} is a constant", why=why, fix=MAKE_AGAIN)
    return lambda model: _repeat(bundle, artefact, golden, certificate, model, verdict)


def check_preprocessing(bundle: Bundle) -> None:
    """Refuse to answer films where this machine decodes them differently from training; older bundles cannot tell.

    Raises:
        ArtefactError: the golden films are missing or altered.
        SetupError: a golden film became another model input than it did then.
    """
    problems = _film_problems(bundle)
    if problems:
        made_with = (bundle.manifest.provenance.get("conversion") or {}).get("packages", {}).get("pillow")
        raise SetupError(
            "this machine decodes images differently from training",
            why="; ".join(problems),
            fix=f"install Pillow as it was at conversion: pip install pillow{f'=={made_with}' if made_with else ''}",
        )


def _film_problems(bundle: Bundle) -> list[str]:
    return check_films(bundle, opener(bundle.manifest.preprocessing)) if records_films(bundle) else []


def _contradictions(bundle: Bundle, golden: Golden, chosen: set[str]) -> dict[str, str]:
    found, films = appended_problems(bundle), _film_problems(bundle)
    chosen = chosen | {MANIFEST}
    try:
        check_binding(bundle)
    except BundleError as error:
        found[MANIFEST] = error.why
    for path, problem in answer_problems(bundle, golden).items():
        found[path] = f"{found[path]}; {problem}" if path in found else problem
    kept = {path: problem for path, problem in found.items() if path in chosen}
    return kept | ({GOLDEN_FILMS: "; ".join(films)} if films else {})


def _repeat(
    bundle: Bundle,
    artefact: Artefact,
    golden: Golden,
    certificate: Certificate,
    model: Classifier | None = None,
    verdict: str = "unknown",
) -> GoldenResult:
    start, problem, moved, allowed, changed = time.monotonic(), None, None, None, 0
    try:
        verdict = verdict if model else str(bundle.verdict(artefact.path).verdict)
        recorded = recorded_answers(golden, artefact)
        model = model or Pool(bundle, artefact.path, size=1)
        answer = model.predict(as_model_input(golden.model_inputs))
        allowed = allowed_logits(artefact, golden, certificate)
        problem = shape_problem(recorded, answer)
        if problem is None:
            decision_rule = bundle.manifest.decision_rules[artefact.network]
            slope, point = decision_rule.calibration.slope, decision_rule.operating_point
            changed = int((point.is_positive(recorded.margin) != point.is_positive(answer.margin)).sum())
            moved = max_abs_difference(answer.logits, recorded.logits)
            problem = tolerance_problem(recorded, answer, artefact, slope=slope, allowed=allowed)
    except ArtefactError as error:
        problem = error.one_line
    seconds = time.monotonic() - start
    number = len(golden.names)
    return GoldenResult(artefact.path, artefact.precision, verdict, number, problem, moved, allowed, changed, seconds)
