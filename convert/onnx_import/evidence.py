"""The evidence map of a third-party network as a reference: what every map is held to, and what is said of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.compare import finite_or_none, output_problem
from convert.parity.decisions import Decisions
from convert.parity.runtimes import Outputs
from convert.parity.verdicts import OutputTolerance
from tbconv.contract.consistency import IDENTITY_SHARE
from tbconv.contract.manifest import is_exact
from tbconv.contract.statistics import sqnr_db

EVIDENCE = "evidence"
SCORE = Decisions("score", origin="a map decides nothing")


@dataclass(frozen=True, slots=True)
class MapDifference:
    """The map of one file, over all films."""

    problem: str | None  # why the map is not what was promised; the file fails
    identity: float  # largest |what the map's mean makes of an output - that output|
    allowed: float  # of it
    max_abs: float  # from the reference's map, in logits
    tolerance: float  # of that, in a float32 file
    sqnr_db: float

    def __str__(self) -> str:
        if self.problem:
            return f"{EVIDENCE}: {self.problem}"
        apart = f"its map within {self.max_abs:.1e} of the reference's"
        return f"{EVIDENCE} adds up to the output within {self.identity:.1e}, allowed {self.allowed:.1e}, {apart}"

    def to_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON."""
        return finite_or_none(asdict(self))


@dataclass(frozen=True, slots=True)
class ReferenceMap:
    """What the given file's network gives with its map added, on the films that every file is run on."""

    facts: dict[str, Any]  # of convert.formats.onnx_wrap.evidence.EvidenceMap
    map: NDArray[np.float32]  # [N, H, W, outputs], logits
    tolerance: OutputTolerance  # of one place

    @classmethod
    def of(cls, facts: dict[str, Any], answers: dict[str, Outputs]) -> ReferenceMap:
        """Take the maps from answers by way, as `run_source` gives them, and leave the outputs of the file itself."""
        ways = {way: outputs.pop(EVIDENCE) for way, outputs in answers.items()}
        tolerance = OutputTolerance.derive(ways["reference"], ways["optimised"], ways["rounded"], SCORE)
        return cls(facts, ways["reference"], tolerance)

    def compare(self, answer: Outputs, output: OutputTolerance, precision: str) -> MapDifference:
        """Hold a file's map to its own output, and to the reference's map.

        Args:
            answer: by output, of every film.
            output: what the output that the map adds up to may differ by.
            precision: of the file. A float32 file has to keep both; a reduced one has to add up as a bundle's does.
        """
        name, found = str(self.facts["output"]), answer.get(EVIDENCE)
        problem = output_problem(self.map, found)
        if problem is not None or found is None or name not in answer:
            return MapDifference(problem or "the output is missing", np.inf, 0.0, np.inf, 0.0, -np.inf)
        logits = found.astype(np.float64).mean((1, 2))
        given = answer[name].astype(np.float64).reshape(logits.shape)
        identity = float(np.abs(end(logits, self.facts["ends_with"]) - given).max())
        apart = float(np.abs(found.astype(np.float64) - self.map).max())
        share = IDENTITY_SHARE.get(precision, 0.0) * float(np.abs(self.map).mean())
        allowed, near = max(output.tolerance, share), self.tolerance.tolerance
        problems = []
        if not identity <= allowed:
            problems.append(f"the mean of its map misses the output by {identity:.1e}, allowed {allowed:.1e}")
        if is_exact(precision) and not apart <= near:
            problems.append(f"its map differs by {apart:.1e}, allowed {near:.1e}")
        return MapDifference("; ".join(problems) or None, identity, allowed, apart, near, sqnr_db(self.map, found))


def end(logits: NDArray[np.float64], ends_with: str) -> NDArray[np.float64]:
    """Return what the last operation of a network makes of logits, [N, outputs]."""
    if ends_with == "Sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    if not ends_with:
        return logits
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = raised / raised.sum(axis=1, keepdims=True)
    return np.asarray(np.log(shares) if ends_with == "LogSoftmax" else shares)


def evidence_lines(facts: dict[str, Any], labels: tuple[str, ...]) -> list[str]:
    """Return what is to be known of the map, or why there is none: each a sentence.

    Args:
        facts: of `convert.formats.onnx_wrap.wrap`.
        labels: names of the outputs; may be empty.
    """
    if facts["why"]:
        return [f"There is no evidence map: {facts['why']}."]
    if not facts["added"]:
        return ["There is no evidence map, but this network allows an exact one: --evidence adds it as an output."]
    height, width = facts["sides"]
    of = f"logits before {facts['ends_with']}" if facts["ends_with"] else facts["output"]
    order = f", in the order {', '.join(labels)}" if labels else ""
    said = (
        f"{EVIDENCE} [N, {height}, {width}, {facts['outputs']}] says what each of {height} x {width} places adds to "
        f"each output{order}: its mean over places is {of}, exactly. It shows what the network computes, not where "
        "disease is, and each place is computed from more of the film than lies under it."
    )
    alone = (
        f"The network ends by averaging {facts['features']}, which is that map: behind a ReLU no place can speak "
        "against an output."
    )
    return [said, alone] if facts["averages_alone"] else [said]
