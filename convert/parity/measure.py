"""One measurement of a bundle's files: each is run once, on films, golden inputs and probes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.compare import NOT_FINITE, Difference, compare, float64_distance, is_finite
from convert.parity.inputs import FilmSet, part_of, pick
from convert.parity.runtimes import FLOAT64, Runtime, artefact_runtime, run_all, torch_runtimes
from convert.parity.statistics import (
    abstention_band,
    error_distribution,
    find_pattern_changes,
    map_noise,
    paired_losses,
)
from convert.parity.verdicts import Tolerances, judge_float32, judge_reduced
from convert.runners.base import Answer
from tbconv.contract.certificate import ArtefactVerdict, Verdict
from tbconv.contract.errors import Reporter
from tbconv.contract.golden import REFERENCE
from tbconv.contract.manifest import Artefact, DecisionRule, Kind, is_exact
from tbconv.contract.statistics import is_positive, proportion

# --- row ---
# One runtime's row: everything measured of its outputs against PyTorch in float32 and float64.


@dataclass(frozen=True, slots=True)
class Row:
    """One runtime in the table."""

    name: str
    network: Kind
    precision: str
    films: Difference | None  # None where no films were fed
    golden: Difference
    auroc: dict[str, Any] | None  # an estimate with its interval, where labels are known
    error_distribution: (
        dict[str, Any] | None
    )  # film by film (convert.parity.statistics); None where the answer is unusable
    operating: dict[str, Any] | None = None  # sensitivity and specificity of its own, with intervals; as auroc
    float64_distance: dict[str, float] | None = (
        None  # distance from float64 (convert.parity.compare); None where either is unusable
    )
    decisions: dict[str, Any] | None = None  # losses against PyTorch (convert.parity.statistics); None without labels
    probes: dict[str, Any] | None = None  # films near the threshold; None where none were fed
    threads: int = 1
    sampled: bool = False  # it answered a sample of the films

    @property
    def problem(self) -> str | None:
        """What makes the answers unusable, to golden inputs, films or probes; None where nothing does."""
        if self.golden.problem is not None:
            return self.golden.problem
        if self.films is not None and self.films.problem is not None:
            return self.films.problem
        near = None if self.probes is None else self.probes["problem"]
        return None if near is None else f"near the threshold: {near}"


@dataclass(frozen=True, slots=True)
class ReferenceAnswers:
    """What one runtime is measured against: PyTorch's outputs for the inputs that it was given."""

    reference: Answer
    float64: Answer
    threshold: float  # margin in logits
    labels: NDArray[np.int64] | None  # of the films
    films: int  # how many come first
    golden: int  # how many stand behind them; the rest are probes

    def part(self, start: int, end: int | None) -> ReferenceAnswers:
        """Return those of some of the inputs."""
        reference, float64 = part_of(self.reference, start, end), part_of(self.float64, start, end)
        return ReferenceAnswers(reference, float64, self.threshold, self.labels, self.films, self.golden)

    def compare(self, answer: Answer, start: int, end: int | None) -> Difference:
        """Compare some of the answers with PyTorch's in float32."""
        return compare(part_of(self.reference, start, end), part_of(answer, start, end), threshold=self.threshold)


def make_row(runtime: Runtime, answer: Answer, expected: ReferenceAnswers) -> Row:
    """Measure one runtime.

    Args:
        runtime: that was run.
        answer: to the films, golden inputs and probes that it was fed.
        expected: PyTorch's answers to the same.
    """
    films, behind = expected.films, expected.films + expected.golden
    difference = expected.compare(answer, 0, films) if films else None
    golden = expected.compare(answer, films, behind)
    fed = (0, films) if films else (0, behind)  # what detail is about: films where there are any
    usable = (difference or golden).problem is None
    detail = _detail(part_of(answer, *fed), expected.part(*fed), runtime) if usable else (None, None)
    return Row(
        name=runtime.name,
        network=runtime.network,
        precision=runtime.precision,
        films=difference,
        golden=golden,
        auroc=_auroc(answer, expected) if usable else None,
        error_distribution=detail[0],
        operating=_operating(answer, expected) if usable else None,
        float64_distance=detail[1],
        decisions=_decisions(answer, expected) if usable else None,
        probes=_probes(part_of(answer, behind, None), expected.part(behind, None)),
        threads=runtime.threads,
        sampled=runtime.sampled,
    )


def _detail(
    answer: Answer, expected: ReferenceAnswers, runtime: Runtime
) -> tuple[dict[str, Any], dict[str, float] | None]:
    reference, float64 = expected.reference, expected.float64
    exact = is_finite(float64)
    noise = map_noise(reference, float64) if exact else None
    patterns = find_pattern_changes(reference, answer, noise=noise, float32=is_exact(runtime.precision))
    return error_distribution(reference, answer, patterns), float64_distance(
        answer, reference, float64
    ) if exact else None


def _probes(answer: Answer, expected: ReferenceAnswers) -> dict[str, Any] | None:
    """Return what flipped on films that were searched to lie at the threshold, and how far from it the furthest was."""
    reference, float64 = expected.reference, expected.float64
    if not len(reference.logits):
        return None
    found = compare(reference, answer, threshold=expected.threshold, alike=True)  # an 8 bit step may hold all of them
    problem = found.problem or (None if is_finite(float64) else NOT_FINITE)
    distance = np.abs(reference.margin.astype(np.float64) - expected.threshold)
    flipped = np.zeros(len(distance), np.bool_)
    if problem is None:
        flipped = is_positive(reference.margin, expected.threshold) != is_positive(answer.margin, expected.threshold)
    return found.to_json() | {
        "problem": problem,
        "furthest_from_threshold": float(distance[np.isfinite(distance)].max(initial=0.0)),
        "furthest_flip": float(distance[flipped].max()) if flipped.any() else None,
        "allowed": Tolerances.derive(reference, float64, threshold=expected.threshold).logits
        if problem is None
        else None,
    }


def _labelled(answer: Answer, expected: ReferenceAnswers) -> NDArray[np.floating] | None:
    """Return the margins of labelled films; None without both classes or where it or PyTorch answers NaN."""
    labels, margins = expected.labels, answer.margin[: expected.films]
    if labels is None or len(np.unique(labels)) < 2 or len(margins) != len(labels):
        return None
    both = np.stack([margins, expected.reference.margin[: expected.films]])
    return margins if np.isfinite(both).all() else None


def _decisions(answer: Answer, expected: ReferenceAnswers) -> dict[str, Any] | None:
    margins = _labelled(answer, expected)
    if margins is None or expected.labels is None:
        return None
    reference = expected.reference.margin[: expected.films]
    return paired_losses(reference, margins, expected.labels, threshold=expected.threshold)


def _operating(answer: Answer, expected: ReferenceAnswers) -> dict[str, Any] | None:
    """Return the file's own sensitivity and specificity at the threshold, each an estimate with its exact interval."""
    margins, labels = _labelled(answer, expected), expected.labels
    if margins is None or labels is None:
        return None
    refers, positive = is_positive(margins, expected.threshold), labels == 1
    right = {"sensitivity": refers[positive], "specificity": ~refers[~positive]}
    return {name: asdict(proportion(int(films.sum()), len(films))) for name, films in right.items()}


def _auroc(answer: Answer, expected: ReferenceAnswers) -> dict[str, Any] | None:
    from torch_train.metrics import auroc, auroc_estimate

    margins, labels = _labelled(answer, expected), expected.labels
    if margins is None or labels is None:
        return None
    positives = int((labels == 1).sum())
    value = auroc(margins.astype(np.float64), labels)  # float64: scipy adds up float32 ranks in float32
    return asdict(auroc_estimate(value, positives=positives, negatives=len(labels) - positives))


# --- measure ---

ORDER = (Verdict.CERTIFIED, Verdict.BOUNDED, Verdict.CANNOT_SAY, Verdict.UNVERIFIED, Verdict.FAILED)  # best first
JUMPING_SHARE = 0.5  # of the films whose map may jump because a ReLU pattern changed; none of kermany's 1,024 did


@dataclass(frozen=True, slots=True)
class Measurement:
    """All rows, and what their tolerances are."""

    rows: tuple[Row, ...]
    tolerances: dict[Kind, Tolerances]  # by network, on the films; on the golden inputs where there are none
    golden_tolerances: dict[Kind, Tolerances]  # by network, on the golden inputs
    thresholds: dict[Kind, float]  # by network, margins in logits
    answers: dict[str, Answer]  # by runtime, films, golden inputs and probes together
    filmset: FilmSet

    def row(self, name: str) -> Row:
        """Return the row of one runtime."""
        return next(row for row in self.rows if row.name == name)

    def tolerances_json(self) -> dict[str, Any]:
        """Return every number that a verdict rests on, by network; those for the golden inputs under `golden`.

        A network for which PyTorch itself answers NaN has none: JSON knows no NaN, and nothing passes there.
        """
        return {
            network: one.to_json() | {"golden": self.golden_tolerances[network].to_json()}
            for network, one in self.tolerances.items()
            if np.isfinite([one.logits, self.golden_tolerances[network].logits]).all()
        }

    def problem(self, artefact: Artefact) -> str | None:
        """Return what makes an artefact's answers unusable, a map that it promises and lost included; else None."""
        promised = any(output.name == "evidence" for output in artefact.outputs)
        lost = promised and self.answers[artefact.path].evidence is None
        return self.row(artefact.path).problem or ("it gives no evidence map" if lost else None)

    def judge(self, artefact: Artefact, sha256: str) -> ArtefactVerdict:
        """Return the verdict on one artefact, with its figures on the films and what it costs in decisions."""
        row = self.row(artefact.path)
        verdict = _judge_maps(row, _judge_probes(row, self._judge(row, artefact, sha256)))
        figures = verdict.figures | {
            "auroc": row.auroc,
            "operating": row.operating,
            "decisions": row.decisions,
            "float64_distance": row.float64_distance,
            "abstention_band": self._band(row),
        }
        return replace(verdict, figures=figures)

    def _band(self, row: Row) -> dict[str, Any] | None:
        """Return the band in which a reduced-precision file decides nothing; None for float32 and without films."""
        if is_exact(row.precision) or row.films is None or row.films.problem is not None:
            return None
        count = len(self.filmset.films)
        reference = self.answers[f"{REFERENCE} ({row.network})"].margin[:count]
        return abstention_band(reference, self.answers[row.name].margin[:count], threshold=self.thresholds[row.network])

    def _judge(self, row: Row, artefact: Artefact, sha256: str) -> ArtefactVerdict:
        worst = row.films if row.golden.problem is None and row.films is not None else row.golden
        problem = self.problem(artefact)
        if problem is not None:
            return ArtefactVerdict(Verdict.FAILED, sha256, problem, worst.to_json())
        tolerances = self.tolerances[artefact.network]
        if not artefact.is_exact:
            return judge_reduced(worst, sha256=sha256, empty=tolerances.empty)
        distance = row.float64_distance if worst is row.films else None
        verdict = judge_float32(worst, tolerances, sha256=sha256, float64_distance=distance)
        if verdict.verdict is Verdict.FAILED or worst is row.golden:
            return verdict
        golden = judge_float32(row.golden, self.golden_tolerances[artefact.network], sha256=sha256)
        return (
            golden
            if golden.verdict is Verdict.FAILED or verdict.verdict.may_serve > golden.verdict.may_serve
            else verdict
        )


def measure(
    folder: Path,
    artefacts: Sequence[Artefact],
    filmset: FilmSet,
    *,
    arch: str | None,
    decision_rules: dict[str, DecisionRule],
    extra: Sequence[Runtime],
    reporter: Reporter,
) -> Measurement:
    """Run every artefact, PyTorch in float32 and float64, and the extra runtimes.

    Args:
        folder: holds the artefacts and the weights.
        artefacts: what is judged.
        filmset: what is fed.
        arch: of the trained network.
        decision_rules: calibration and threshold by network.
        extra: more runtimes, compared but not judged.
        reporter: shows what has been run.
    """
    networks = sorted({artefact.network for artefact in artefacts})
    runtimes = [artefact_runtime(folder, artefact) for artefact in artefacts] + list(extra)
    for network in networks:
        runtimes += torch_runtimes(folder, network, arch=arch, calibration=decision_rules[network].calibration)
    answers = run_all(runtimes, filmset.together, reporter, sample=filmset.sample)
    count, total = len(filmset.films), len(filmset.films) + len(filmset.golden)
    thresholds = {network: decision_rules[network].operating_point.margin for network in networks}

    def derive(start: int, end: int) -> dict[Kind, Tolerances]:
        return {network: _tolerances(answers, network, start, end, thresholds[network]) for network in networks}

    golden = derive(count, total)
    tolerances = derive(0, count) if count else golden
    rows = tuple(_row(runtime, answers, filmset, thresholds[runtime.network]) for runtime in runtimes)
    return Measurement(rows, tolerances, golden, thresholds, answers, filmset)


def _judge_probes(row: Row, verdict: ArtefactVerdict) -> ArtefactVerdict:
    """A probe that flips further from the threshold than rounding explains fails a float32 file."""
    if row.probes is None or not is_exact(row.precision) or not verdict.verdict.may_serve:
        return verdict
    furthest, allowed = row.probes["furthest_flip"], row.probes["allowed"]
    if furthest is None or furthest <= allowed:
        return verdict
    reason = f"a film {furthest:.1e} logits from the threshold flips, rounding explains {allowed:.1e}"
    return replace(verdict, verdict=Verdict.FAILED, reason=reason)


def _judge_maps(row: Row, verdict: ArtefactVerdict) -> ArtefactVerdict:
    """Maps that add up to the margin and are not PyTorch's, on most films, fail a float32 file: mirrored, say.

    Where a ReLU pattern changes, the map of a film may differ; on 1,024 films of kermany none did (docs/parity.md).
    """
    patterns = (row.error_distribution or {}).get("relu_patterns")
    if patterns is None or not is_exact(row.precision) or not verdict.verdict.may_serve:
        return verdict
    fed = (row.films or row.golden).samples
    if patterns["flipped"] <= JUMPING_SHARE * fed:
        return verdict
    reason = (
        f"the maps of {patterns['flipped']} of {fed} films differ from PyTorch's, although they add up to the margin"
    )
    return replace(verdict, verdict=Verdict.FAILED, reason=f"{reason}: more than changed ReLU patterns explain")


def _tolerances(answers: dict[str, Answer], network: Kind, start: int, end: int, threshold: float) -> Tolerances:
    reference, float64 = answers[f"{REFERENCE} ({network})"], answers[f"{FLOAT64} ({network})"]
    return Tolerances.derive(part_of(reference, start, end), part_of(float64, start, end), threshold=threshold)


def _row(runtime: Runtime, answers: dict[str, Answer], filmset: FilmSet, threshold: float) -> Row:
    fed: NDArray[np.int64] = filmset.sample if runtime.sampled else np.arange(filmset.count)
    reference, float64 = (pick(answers[f"{name} ({runtime.network})"], fed) for name in (REFERENCE, FLOAT64))
    films = int((fed < len(filmset.films)).sum())
    labels = None if filmset.labels is None else filmset.labels[fed[:films]]
    expected = ReferenceAnswers(reference, float64, threshold, labels, films, len(filmset.golden))
    return make_row(runtime, answers[runtime.name], expected)
