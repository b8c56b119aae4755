"""The evidence map of a third-party network as a reference: what every map is held to, and what is said of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.compare import finite_or_none, output_problem
from convert.parity.decisions import Decisions
from convert.parity.runtimes import Outputs
from convert.parity.verdicts import DECISION_DB, OutputTolerance
from tbconv.contract.consistency import IDENTITY_SHARE
from tbconv.contract.manifest import is_exact
from tbconv.contract.statistics import sqnr_db

EVIDENCE = "evidence"
SCORE = Decisions("score", origin="a map decides nothing")
# Between the places of a reduced file's map and the reference's, each less its mean: noise is then a tenth of what
# tells one place from another. Places in an order that has nothing to do with it have -3 dB, negated ones -6.
LEAST_PLACES_DB = DECISION_DB


@dataclass(frozen=True, slots=True)
class MapDifference:
    """The map of one file, over all films."""

    problem: str | None  # why the map is not what was promised; the file fails
    identity: float  # |what the map's mean makes of an output - that output|, where most of what is allowed
    allowed: float  # of it there: behind a Sigmoid or Softmax as far as its slope lets logits move it
    max_abs: float  # from the reference's map, in logits
    tolerance: float  # of that, in a float32 file
    sqnr_db: float
    places_db: float  # the same of what tells one place from another: each map less its mean over places

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
            nothing = (np.inf, 0.0, np.inf, 0.0, -np.inf, -np.inf)
            return MapDifference(problem or "the output is missing", *nothing)
        logits = found.astype(np.float64).mean((1, 2))
        given = answer[name].astype(np.float64).reshape(logits.shape)
        missed = np.abs(end(logits, self.facts["ends_with"]) - given)
        share = IDENTITY_SHARE.get(precision, 0.0) * float(np.abs(self.map).mean())
        may = np.maximum(output.tolerance, reach(logits, self.facts["ends_with"], share))
        worst = np.unravel_index(int(np.argmax(missed - may)), missed.shape)
        identity, allowed = float(missed[worst]), float(may[worst])
        apart, near = float(np.abs(found.astype(np.float64) - self.map).max()), self.tolerance.tolerance
        places_db = sqnr_db(_about_their_mean(self.map), _about_their_mean(found))
        problems = []
        if not identity <= allowed:
            problems.append(f"the mean of its map misses the output by {identity:.1e}, allowed {allowed:.1e}")
        if is_exact(precision) and not apart <= near:
            problems.append(f"its map differs by {apart:.1e}, allowed {near:.1e}")
        if not is_exact(precision) and not apart <= near:
            if not places_db >= LEAST_PLACES_DB:
                least = f"at least {LEAST_PLACES_DB:.0f} are needed"
                problems.append(f"its places differ from the reference's: {places_db:.1f} dB, {least}")
            elif turned := _turned(self.map, found):
                problems.append(f"its places are the reference's {turned}")
        why = "; ".join(problems) or None
        return MapDifference(why, identity, allowed, apart, near, sqnr_db(self.map, found), places_db)


def _about_their_mean(found: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a map [N, H, W, outputs] less the mean over places of each film and output."""
    wide = found.astype(np.float64)
    return np.asarray(wide - wide.mean((1, 2), keepdims=True))


def _turned(reference: NDArray[np.floating], found: NDArray[np.floating]) -> str:
    """Return how places lie that are nearer to those of the reference if it is turned; nothing where none is nearer.

    Maps that are nearly symmetric keep their decibels if they are turned.
    """
    exact, other = _about_their_mean(reference), _about_their_mean(found)
    ways = {
        "mirrored": exact[:, :, ::-1],
        "upside down": exact[:, ::-1],
        "turned by half": exact[:, ::-1, ::-1],
        "with height and width exchanged": exact.transpose(0, 2, 1, 3).reshape(exact.shape),
    }
    held = sqnr_db(exact, other)
    return next((name for name, one in ways.items() if sqnr_db(one, other) > held), "")


def end(logits: NDArray[np.float64], ends_with: str) -> NDArray[np.float64]:
    """Return what the last operation of a network makes of logits, [N, outputs]."""
    if ends_with == "Sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    if not ends_with:
        return logits
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = raised / raised.sum(axis=1, keepdims=True)
    return np.asarray(np.log(shares) if ends_with == "LogSoftmax" else shares)


def reach(logits: NDArray[np.float64], ends_with: str, share: float) -> NDArray[np.float64]:
    """Return how far logits [N, outputs] that move by `share`, each by itself, can move each output of `end`."""
    if not ends_with:
        return np.full(logits.shape, share)
    if ends_with == "LogSoftmax":
        return np.full(logits.shape, 2 * share)  # its own logit up and all others down
    moves = share
    if ends_with == "Softmax":  # a share is the sigmoid of its logit less the logarithm of the others' sum
        moves, logits = 2 * share, _against_the_others(logits)
    ended = end(logits, "Sigmoid")
    ways = [np.abs(end(logits + by, "Sigmoid") - ended) for by in (-moves, moves)]
    return np.asarray(np.maximum(*ways))


def _against_the_others(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each logit less the logarithm of the sum of the others' exponentials, [N, outputs]."""
    columns = range(logits.shape[1])
    others = [np.logaddexp.reduce(np.delete(logits, column, 1), axis=1) for column in columns]
    return np.asarray(logits - np.stack(others, 1))


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
