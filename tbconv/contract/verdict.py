"""The verdict on one artefact, as certificate.json states it and the server obeys it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What the measurements allow to say."""

    CERTIFIED = "CERTIFIED"  # float32, as close to PyTorch as PyTorch is to exact arithmetic
    BOUNDED = "BOUNDED"  # reduced precision, measured, inside its bars
    FAILED = "FAILED"  # measured, outside its bars
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


@dataclass(frozen=True, slots=True)
class Certificate:
    """The one verdict, per artefact path."""

    artefacts: dict[str, ArtefactVerdict]
    inputs: dict[str, Any] = field(default_factory=dict)  # what was fed: kind, n, digest
    tolerances: dict[str, Any] = field(default_factory=dict)  # each number with its origin
    environment: dict[str, Any] = field(default_factory=dict)
    disclaimer: str = ""
    bound: dict[str, Any] = field(default_factory=dict)  # what else the verdicts hold for (convert.binding)
    deploy: dict[str, Any] = field(default_factory=dict)  # artefact, reason, others {path: why it lost}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Certificate:
        """Read what `to_json` wrote; KeyError, TypeError or ValueError on anything else."""
        artefacts = {
            path: ArtefactVerdict(Verdict(row["verdict"]), row["sha256"], row["reason"], row["figures"])
            for path, row in value["artefacts"].items()
        }
        rest = {key: value[key] for key in ("inputs", "tolerances", "environment", "disclaimer")}
        later = {key: value.get(key, {}) for key in ("bound", "deploy")}  # certificates of tbconv 0.1 have neither
        return cls(artefacts, **rest, **later)
