"""One measurement of a bundle's files: everyone is asked once, about films and golden inputs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate import Tolerances, judge_float32, judge_reduced
from convert.parity import Difference, compare
from convert.spread import spread
from convert.witnesses import ORACLE, REFERENCE, Witness, artefact_witness, ask, torch_witnesses
from tbconv.contract.classifier import Prediction
from tbconv.contract.manifest import Artefact, Kind, Readout
from tbconv.contract.reporter import Reporter
from tbconv.contract.verdict import ArtefactVerdict


@dataclass(frozen=True, slots=True)
class FilmSet:
    """What is fed: films that decisions are counted on, then golden inputs that only values are compared on."""

    description: str  # "512 held-out films of the run"
    films: NDArray[np.uint8]  # [N, 224, 224]; may be empty
    labels: NDArray[np.int64] | None  # [N], 1 positive
    golden: NDArray[np.uint8]  # [M, 224, 224]; may be empty
    golden_names: tuple[str, ...] = ()

    @property
    def together(self) -> NDArray[np.uint8]:
        """Films first, golden inputs behind them."""
        return np.concatenate([self.films, self.golden])


@dataclass(frozen=True, slots=True)
class Row:
    """One witness in the table."""

    name: str
    network: Kind
    precision: str
    films: Difference | None  # None where no films were fed
    golden: Difference
    auroc: dict[str, Any] | None  # an estimate with its interval, where labels are known
    spread: dict[str, Any] | None  # film by film (convert.spread); None where the answer is unusable


@dataclass(frozen=True, slots=True)
class Measurement:
    """All rows, and what their tolerances are."""

    rows: tuple[Row, ...]
    tolerances: dict[Kind, Tolerances]  # by network, on the films; on the golden inputs where there are none
    golden_tolerances: dict[Kind, Tolerances]  # by network, on the golden inputs
    thresholds: dict[Kind, float]  # by network, margins in logits
    answers: dict[str, Prediction]  # by witness name, films and golden together
    filmset: FilmSet

    def row(self, name: str) -> Row:
        """Return the row of one witness."""
        return next(row for row in self.rows if row.name == name)

    def tolerances_json(self) -> dict[str, Any]:
        """Return every number that a verdict rests on, by network; those for the golden inputs under `golden`."""
        return {
            network: one.to_json() | {"golden": self.golden_tolerances[network].to_json()}
            for network, one in self.tolerances.items()
        }

    def judge(self, artefact: Artefact, sha256: str) -> ArtefactVerdict:
        """Return the verdict on one artefact, with its figures on the films and its AUROC."""
        row = self.row(artefact.path)
        verdict = self._judge(row, artefact, sha256)
        figures = verdict.figures | {"auroc": row.auroc, "films_in_band": self._count_in_band(row)}
        return replace(verdict, figures=figures)

    def _count_in_band(self, row: Row) -> int | None:
        """Count the films as close to the threshold as this file was seen to stray: only those can flip."""
        if row.films is None or row.films.problem is not None:
            return None
        margins = self.answers[row.name].margin[: len(self.filmset.films)]
        return int((np.abs(margins - self.thresholds[row.network]) < row.films.max_abs_margin).sum())

    def _judge(self, row: Row, artefact: Artefact, sha256: str) -> ArtefactVerdict:
        worst = row.films if row.golden.problem is None and row.films is not None else row.golden
        if artefact.precision != "float32":
            return judge_reduced(worst, sha256=sha256)
        tolerances = self.tolerances[artefact.network]
        verdict = judge_float32(worst, tolerances, sha256=sha256)
        if verdict.verdict.may_serve and worst is not row.golden:
            golden = judge_float32(row.golden, self.golden_tolerances[artefact.network], sha256=sha256)
            return verdict if golden.verdict.may_serve else golden
        return verdict


def measure(
    folder: Path,
    artefacts: Sequence[Artefact],
    filmset: FilmSet,
    *,
    arch: str | None,
    readouts: dict[str, Readout],
    extra: Sequence[Witness],
    reporter: Reporter,
) -> Measurement:
    """Ask every artefact, PyTorch in float32 and float64, and the extra witnesses.

    Args:
        folder: holds the artefacts and the weights.
        artefacts: what is judged.
        filmset: what is fed.
        arch: of the trained network.
        readouts: calibration and threshold by network.
        extra: further witnesses, compared but not judged.
        reporter: shows who has answered.
    """
    networks = sorted({artefact.network for artefact in artefacts})
    witnesses = [artefact_witness(folder, artefact) for artefact in artefacts] + list(extra)
    for network in networks:
        witnesses += torch_witnesses(folder, network, arch=arch, calibration=readouts[network].calibration)
    answers = ask(witnesses, filmset.together, reporter)
    count = len(filmset.films)
    golden = {network: _tolerances(answers, network, count, None) for network in networks}
    tolerances = {network: _tolerances(answers, network, 0, count) for network in networks} if count else golden
    precisions = {artefact.path: artefact.precision for artefact in artefacts}
    rows = [_row(witness, answers, filmset, readouts, precisions) for witness in witnesses]
    thresholds = {network: readouts[network].operating_point.margin for network in networks}
    return Measurement(tuple(rows), tolerances, golden, thresholds, answers, filmset)


def _tolerances(answers: dict[str, Prediction], network: Kind, start: int, end: int | None) -> Tolerances:
    reference, oracle = answers[f"{REFERENCE} ({network})"], answers[f"{ORACLE} ({network})"]
    return Tolerances.derive(part_of(reference, start, end), part_of(oracle, start, end))


def _row(
    witness: Witness,
    answers: dict[str, Prediction],
    filmset: FilmSet,
    readouts: dict[str, Readout],
    precisions: dict[str, str],
) -> Row:
    threshold = readouts[witness.network].operating_point.margin
    reference, answer = answers[f"{REFERENCE} ({witness.network})"], answers[witness.name]
    count = len(filmset.films)
    films = compare(part_of(reference, 0, count), part_of(answer, 0, count), threshold=threshold) if count else None
    total = count + len(filmset.golden)
    golden = compare(part_of(reference, count, total), part_of(answer, count, total), threshold=threshold)
    precision = precisions.get(witness.name, "float32")
    fed = (0, count) if count else (0, None)
    usable = (films or golden).problem is None
    detail = spread(part_of(reference, *fed), part_of(answer, *fed)) if usable else None
    return Row(witness.name, witness.network, precision, films, golden, _auroc(answer, filmset), detail)


def part_of(answer: Prediction, start: int, end: int | None) -> Prediction:
    """Return the answers to some of the films."""
    evidence = None if answer.evidence is None else answer.evidence[start:end]
    return Prediction(answer.logits[start:end], answer.probability[start:end], evidence)


def _auroc(answer: Prediction, filmset: FilmSet) -> dict[str, Any] | None:
    """Return AUROC with its interval; None without labels of both classes or with an answer that is NaN."""
    from torch_train.intervals import auroc_estimate
    from torch_train.metrics import auroc

    labels = filmset.labels
    if labels is None or len(np.unique(labels)) < 2:
        return None
    margins = answer.margin[: len(labels)]
    if not np.isfinite(margins).all():
        return None
    positives = int((labels == 1).sum())
    estimate = auroc_estimate(auroc(margins, labels), positives=positives, negatives=len(labels) - positives)
    return asdict(estimate)
