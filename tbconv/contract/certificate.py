"""The verdict on one artefact, as certificate.json states it and the server obeys it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The conclusion that the measurements support."""

    CERTIFIED = "CERTIFIED"  # float32, as close to PyTorch as PyTorch is to exact arithmetic
    BOUNDED = "BOUNDED"  # reduced precision, measured, at most 1 % of the decisions flip
    CANNOT_SAY = "CANNOT SAY"  # measured, on too little for either: its reason says what would be needed
    FAILED = "FAILED"  # measured, and neither of these
    UNVERIFIED = "UNVERIFIED"  # not measured

    @property
    def may_serve(self) -> bool:
        """Whether a server may answer with such a file."""
        return self in (Verdict.CERTIFIED, Verdict.BOUNDED)


@dataclass(frozen=True, slots=True)
class ArtefactVerdict:
    """One line of the certificate, bound to the digest that was measured."""

    verdict: Verdict
    sha256: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def abstention_band(self) -> float:
        """Half width of the band around the threshold in which the file abstains, in logits.

        A reduced file without a measured band (an older certificate, or no films) has the widest that its figures
        allow: the largest movement of a margin, which a band narrows, or what two logits can move it by.
        """
        stated = (self.figures.get("abstention_band") or {}).get("half_width")
        if stated is None and self.verdict is Verdict.BOUNDED:
            stated = self.figures.get("max_abs_margin", 2 * (self.figures.get("max_abs_logits") or 0.0))
        return float(stated or 0.0)

    def check(self, path: str) -> None:
        """Raise TypeError or ValueError where it holds values of another kind: "nan" would be a band, too."""
        if not (isinstance(self.sha256, str) and isinstance(self.reason, str) and isinstance(self.figures, dict)):
            raise TypeError(f"the verdict on {path} has values of another kind")
        stated = self.figures.get("abstention_band")
        numbers = [self.figures.get(key) for key in ("max_abs_margin", "max_abs_logits")]
        numbers += [(stated or {}).get("half_width")]
        if any(one is not None and (isinstance(one, bool | str) or not 0 <= one < math.inf) for one in numbers):
            raise ValueError(f"the verdict on {path} has the distances {numbers}")


class ProofVerdict(StrEnum):
    """What can be said of a file for every input, up to rounding (docs/prove.md)."""

    EQUIVALENT = "EQUIVALENT"  # the ONNX graph, up to proven rewrites and rounding of weights
    DIFFERENT = "NOT EQUIVALENT"  # another graph, or numbers further away than rounding explains
    UNKNOWN = "CANNOT SAY"  # no rule knows a part of it


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proven of one file against the ONNX graph: about every input, where a verdict is about films."""

    verdict: ProofVerdict
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)  # terms, numbers, float32_steps, node, example ...

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Proof:
        """Read what a certificate holds; KeyError, TypeError or ValueError on anything else."""
        if not (isinstance(value["reason"], str) and isinstance(value["figures"], dict)):
            raise TypeError("a proof has values of another kind")
        return cls(ProofVerdict(value["verdict"]), value["reason"], value["figures"])


@dataclass(frozen=True, slots=True)
class Certificate:
    """The one verdict, per artefact path."""

    artefacts: dict[str, ArtefactVerdict]
    inputs: dict[str, Any] = field(default_factory=dict)  # what was fed: kind, n, digest
    tolerances: dict[str, Any] = field(default_factory=dict)  # each number with its origin
    environment: dict[str, Any] = field(default_factory=dict)
    disclaimer: str = ""
    scope: dict[str, Any] = field(default_factory=dict)  # what else the verdicts hold for (convert.certificate.certify)
    deploy: dict[str, Any] = field(default_factory=dict)  # artefact, reason, others {path: why not}, criteria
    proofs: dict[str, Proof] = field(default_factory=dict)  # by path, of every input; certificates of before have none

    @property
    def proposal(self) -> str | None:
        """Which file to deploy, why, and where it decides nothing, in words; None where that was not weighed."""
        if not self.deploy:
            return None
        name = self.deploy["artefact"]
        words = f"{name or 'none of the trained files'}; {self.deploy['reason']}"
        band = self.artefacts[name].abstention_band if name in self.artefacts else 0.0
        return f"{words}; within {band:.2g} logits of the threshold it decides nothing" if band else words

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Certificate:
        """Read what certificate.json holds, `asdict` of this; KeyError, TypeError or ValueError on anything else."""
        if not isinstance(value, dict) or not isinstance(value["artefacts"], dict):
            raise TypeError("it names no artefacts")
        artefacts = {
            path: ArtefactVerdict(Verdict(row["verdict"]), row["sha256"], row["reason"], row["figures"])
            for path, row in value["artefacts"].items()
        }
        rest = {key: value[key] for key in ("inputs", "tolerances", "environment", "disclaimer")}
        later = {key: value.get(key, {}) for key in ("scope", "deploy")}  # certificates of tbconv 0.1 have neither
        for key, one in (rest | later).items():
            if not isinstance(one, str if key == "disclaimer" else dict):
                raise TypeError(f"{key} is {type(one).__name__}")
        for path, verdict in artefacts.items():
            verdict.check(path)
        proofs = {path: Proof.from_json(one) for path, one in value.get("proofs", {}).items()}
        return cls(artefacts, **rest, **later, proofs=proofs)
