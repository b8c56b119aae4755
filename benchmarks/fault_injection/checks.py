"""The project's own checks, run on the outputs of a faulty file; none is written for the faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.fault_injection.faults.verdict_faults import Measured
from benchmarks.fault_injection.setting import Setting, with_answer
from convert.parity.compare import compare_outputs, find_problem
from convert.parity.inputs import part_of
from convert.parity.measure import Measurement
from convert.parity.report import parity_report
from convert.parity.verdicts import Ceiling, OutputTolerance, judge_outputs
from convert.runners.base import Answer
from convert.verify import find_regressions
from tbconv.contract.bundle import Bundle
from tbconv.contract.certificate import Verdict
from tbconv.contract.consistency import answer_problems
from tbconv.contract.golden import Golden
from tbconv.contract.statistics import IDENTITY, identity_error

MADE, USABLE, PARITY, IDENTICAL, VERIFY = "made and opened", "usable", "parity", "evidence identity", "verify"
DECISIONS, CANNOT_SAY = "decisions", "cannot say"
TRACE, FILMS, AGREE = "trace", "golden films", "consistency"
DIGESTS, SERVES, SELF_TEST = "digests", "server", "self-test"
WHERE = "other runtimes"
CHECKS = {
    MADE: "the step refuses to write the file, or its runtime to open it (`tbconv convert`)",
    USABLE: "a wrong shape, NaN or infinity, one output for all films (`convert.parity.compare.find_problem`)",
    PARITY: "the verdict on a float32 file's outputs (`convert.parity.measure.Measurement.judge`)",
    DECISIONS: "more than 1 % of a reduced file's decisions flip (`convert.parity.verdicts.judge_reduced`)",
    CANNOT_SAY: "too little for a verdict: a vacuous tolerance, or few films on a side (`convert.parity.verdicts`)",
    IDENTICAL: "margin = mean(evidence), part of that verdict (`tbconv.contract.statistics.identity_error`)",
    VERIFY: "what `tbconv verify` finds beyond that verdict (`convert.verify.find_regressions`)",
    TRACE: "`tbconv verify --trace` names a node (`convert.layerwise.trace.trace_bundle`)",
    FILMS: "the golden films, from their bytes on (`tbconv.contract.golden.check_films`)",
    AGREE: "facts that are written in several places differ (`convert.certificate.consistency.inconsistencies`)",
    DIGESTS: "a file is not the one of the manifest (`tbconv.contract.bundle.open_bundle`)",
    SERVES: "the server falls back to the baseline, or refuses to start (`tf_serve.fallback.choose_model`)",
    WHERE: "another runtime answers otherwise (`tbconv verify --where`, `convert.parity.portability.judge_elsewhere`)",
    SELF_TEST: "the outputs for the golden inputs have changed (`tf_serve.runtime.selftest.self_test`)",
}


def check_answer(setting: Setting, path: str, answer: Answer | str) -> dict[str, str]:
    """Return the checks that caught a file by its outputs for films and golden inputs, each with its reason.

    Args:
        setting: the clean bundle.
        path: of the artefact that the file stands for.
        answer: its outputs for all inputs; or the message with which the file was refused.
    """
    if isinstance(answer, str):
        return {MADE: answer}
    problem = find_problem(answer, len(setting.model_inputs))
    if problem is not None:
        return {USABLE: problem}
    artefact, claimed = setting.manifest.artefact(path), setting.measurement.judge(setting.manifest.artefact(path), "")
    measurement = with_answer(setting, path, answer)
    verdict = measurement.judge(artefact, "")
    found: dict[str, str] = {}
    if not verdict.verdict.may_serve and verdict.verdict is not claimed.verdict:
        undecided = verdict.verdict is Verdict.CANNOT_SAY
        found[CANNOT_SAY if undecided else PARITY if artefact.precision == "float32" else DECISIONS] = verdict.reason
    identity = identity_error(answer)
    if artefact.precision == "float32" and identity is not None and not identity <= IDENTITY:
        found[IDENTICAL] = f"missed by {identity:.1e}"
    regressions = find_regressions(
        {path: claimed}, {path: verdict}, measurement, parity_report(measurement, {path: verdict}), deployed=None
    )
    if regressions and not {PARITY, DECISIONS, CANNOT_SAY} & set(found):
        found[VERIFY] = "; ".join(regressions.values())
    contradictions = _contradictions(setting, path, measurement)
    return found | ({AGREE: contradictions} if contradictions else {})


def check_verdict(measured: Measured, *, exact: bool) -> dict[str, str]:
    """Return what keeps figures from a verdict that lets a file serve, each with its reason."""
    scale = float(np.abs(measured.reference).max())
    step = float(np.finfo(np.float32).eps) * scale
    tolerance = OutputTolerance(measured.noise, 0.0, step, Ceiling(scale, None, 0, 0))
    ceiling = Ceiling.of(measured.reference, measured.reference, measured.decisions, tolerance.tolerance)
    found = compare_outputs({"y": measured.reference}, {"y": measured.answer}, {"y": measured.decisions})
    verdict, reason = judge_outputs(found, {"y": replace(tolerance, ceiling=ceiling)}, exact=exact)
    names = {str(Verdict.CANNOT_SAY): CANNOT_SAY, str(Verdict.FAILED): PARITY if exact else DECISIONS}
    return {names[verdict]: reason} if verdict in names else {}


def _contradictions(setting: Setting, path: str, measurement: Measurement) -> str | None:
    """Return what the golden answers that `convert` would record of the file contradict in the manifest."""
    films, answers = len(measurement.filmset.films), measurement.answers
    recorded = {name: part_of(answer, films, None) for name, answer in answers.items()}
    golden = Golden(measurement.filmset.golden_names, measurement.filmset.golden, recorded)
    return answer_problems(Bundle(setting.bundle, setting.manifest), golden).get(path)
