"""One measurement of a bundle's files: everyone is asked once, about films, golden inputs and probes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.band import indeterminate_band
from convert.certificate import Tolerances, judge_float32, judge_reduced
from convert.film_set import FilmSet, part_of, pick
from convert.row import Row, Yardstick, make_row
from convert.runners.child import Answer
from convert.witnesses import ORACLE, REFERENCE, Witness, artefact_witness, ask, torch_witnesses
from tbconv.contract.manifest import Artefact, Kind, Readout
from tbconv.contract.reporter import Reporter
from tbconv.contract.verdict import ArtefactVerdict, Verdict

__all__ = ["FilmSet", "Measurement", "Row", "measure", "part_of"]

JUMPING_SHARE = 0.5  # of the films whose map may jump because a lock flipped; none of kermany's 1,024 did


@dataclass(frozen=True, slots=True)
class Measurement:
    """All rows, and what their tolerances are."""

    rows: tuple[Row, ...]
    tolerances: dict[Kind, Tolerances]  # by network, on the films; on the golden inputs where there are none
    golden_tolerances: dict[Kind, Tolerances]  # by network, on the golden inputs
    thresholds: dict[Kind, float]  # by network, margins in logits
    answers: dict[str, Answer]  # by witness name, films, golden inputs and probes together
    filmset: FilmSet

    def row(self, name: str) -> Row:
        """Return the row of one witness."""
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
            "oracle": row.oracle,
            "band": self._band(row),
        }
        return replace(verdict, figures=figures)

    def _band(self, row: Row) -> dict[str, Any] | None:
        """Return the band in which a reduced-precision file decides nothing; None for float32 and without films."""
        if row.precision == "float32" or row.films is None or row.films.problem is not None:
            return None
        count = len(self.filmset.films)
        reference = self.answers[f"{REFERENCE} ({row.network})"].margin[:count]
        return indeterminate_band(
            reference, self.answers[row.name].margin[:count], threshold=self.thresholds[row.network]
        )

    def _judge(self, row: Row, artefact: Artefact, sha256: str) -> ArtefactVerdict:
        worst = row.films if row.golden.problem is None and row.films is not None else row.golden
        problem = self.problem(artefact)
        if problem is not None:
            return ArtefactVerdict(Verdict.FAILED, sha256, problem, worst.to_json())
        if artefact.precision != "float32":
            return judge_reduced(worst, sha256=sha256)
        tolerances = self.tolerances[artefact.network]
        oracle = row.oracle if worst is row.films else None
        verdict = judge_float32(worst, tolerances, sha256=sha256, oracle=oracle)
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
    answers = ask(witnesses, filmset.together, reporter, sample=filmset.sample)
    count, total = len(filmset.films), len(filmset.films) + len(filmset.golden)
    golden = {network: _tolerances(answers, network, count, total) for network in networks}
    tolerances = {network: _tolerances(answers, network, 0, count) for network in networks} if count else golden
    thresholds = {network: readouts[network].operating_point.margin for network in networks}
    rows = tuple(_row(witness, answers, filmset, thresholds[witness.network]) for witness in witnesses)
    return Measurement(rows, tolerances, golden, thresholds, answers, filmset)


def _judge_probes(row: Row, verdict: ArtefactVerdict) -> ArtefactVerdict:
    """A probe that flips further from the threshold than rounding explains fails a float32 file."""
    if row.probes is None or row.precision != "float32" or not verdict.verdict.may_serve:
        return verdict
    furthest, allowed = row.probes["furthest_flip"], row.probes["allowed"]
    if furthest is None or furthest <= allowed:
        return verdict
    reason = f"a film {furthest:.1e} logits from the threshold flips, rounding explains {allowed:.1e}"
    return replace(verdict, verdict=Verdict.FAILED, reason=reason)


def _judge_maps(row: Row, verdict: ArtefactVerdict) -> ArtefactVerdict:
    """Maps that add up to the margin and are not PyTorch's, on most films, fail a float32 file: mirrored, say.

    A lock that flips moves the map of a film by right; on 1,024 films of kermany none did (docs/parity.md).
    """
    locks = (row.spread or {}).get("locks")
    if locks is None or row.precision != "float32" or not verdict.verdict.may_serve:
        return verdict
    fed = (row.films or row.golden).samples
    if locks["flipped"] <= JUMPING_SHARE * fed:
        return verdict
    reason = f"the maps of {locks['flipped']} of {fed} films are not PyTorch's, though they add up to the margin"
    return replace(verdict, verdict=Verdict.FAILED, reason=f"{reason}: more than flipped locks explain")


def _tolerances(answers: dict[str, Answer], network: Kind, start: int, end: int) -> Tolerances:
    reference, oracle = answers[f"{REFERENCE} ({network})"], answers[f"{ORACLE} ({network})"]
    return Tolerances.derive(part_of(reference, start, end), part_of(oracle, start, end))


def _row(witness: Witness, answers: dict[str, Answer], filmset: FilmSet, threshold: float) -> Row:
    fed: NDArray[np.int64] = filmset.sample if witness.sampled else np.arange(filmset.count)
    reference, oracle = (pick(answers[f"{name} ({witness.network})"], fed) for name in (REFERENCE, ORACLE))
    films = int((fed < len(filmset.films)).sum())
    labels = None if filmset.labels is None else filmset.labels[fed[:films]]
    yardstick = Yardstick(reference, oracle, threshold, labels, films, len(filmset.golden))
    return make_row(witness, answers[witness.name], yardstick)
