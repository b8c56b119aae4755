"""The verdict on one artefact, as certificate.json states it and the server obeys it; a site's own figures of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tbconv.contract.statistics import Estimate


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

    @property
    def needs(self) -> dict[str, dict[str, Any]]:
        """What TFLite files need of a runtime, by path; certificates of before say nothing of it."""
        found = {path: one.figures.get("needs") for path, one in self.artefacts.items()}
        return {path: one for path, one in found.items() if isinstance(one, dict)}

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
        _check_formats(later["scope"].get("formats"))
        proofs = {path: Proof.from_json(one) for path, one in value.get("proofs", {}).items()}
        return cls(artefacts, **rest, **later, proofs=proofs)


def _check_formats(value: Any) -> None:
    """Raise TypeError where it does not say in text which formats were asked for; older certificates say none."""
    if value is None or value == {}:
        return
    lists, failed = [value["asked"], value["not_asked"]], value["not_made"]
    texts = [*(text for one in lists for text in one), *failed, *failed.values()]
    if not (all(isinstance(one, list) for one in lists) and all(isinstance(one, str) for one in texts)):
        raise TypeError("what formats were asked for is said in values of another kind")


# --- site ---
# A bundle's figures on one site's own films, as `tbconv evaluate --bundle` measured them: of one manifest and of one
# file, so figures of another network, threshold or rounding are refused. Counts and figures, and nothing of a film.

SITE = "site.json"
RETUNE = "retune.json"  # in a bundle whose threshold was set on a site's films: which they were, and what changed
SITE_FORMAT = 1
SITE_FIGURES = ("sensitivity", "specificity", "ppv")
SITE_CLAIMS = ("auroc", "sensitivity", "specificity")  # what a bundle claims of itself
MOST_TEXT = 255  # characters of a name of a file or a method


@dataclass(frozen=True, slots=True)
class Site:
    """Figures of one bundle's file on one site's films."""

    manifest: str  # SHA-256 of the bundle's manifest.json
    artefact: str  # the file that answered there
    sha256: str  # of it
    films: int
    prevalence: float  # at which `ppv` holds
    sensitivity: Estimate  # films without an answer count as errors
    specificity: Estimate
    ppv: Estimate
    worse: tuple[str, ...]  # figures that are worse than the bundle claims, by their 95 % intervals

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Site:
        """Read what site.json holds; KeyError, TypeError or ValueError on anything else."""
        if value["format"] != SITE_FORMAT:
            raise ValueError(f"its format is {value['format']!r}, this version reads {SITE_FORMAT}")
        answered = value["bundle"]
        return cls(
            manifest=_text(answered["manifest_sha256"]),
            artefact=_text(answered["artefact"]),
            sha256=_text(answered["sha256"]),
            films=_whole(value["films"]["n"]),
            prevalence=_share(value["settings"]["prevalence"]),
            worse=tuple(_known(name) for name in value["worse"]),
            **{name: _estimate(value["figures"][name]) for name in SITE_FIGURES},
        )

    def limit_of(self, sha256: str) -> str:
        """Return what an answer of the file with this digest says of the site's figures, in one sentence."""
        if sha256 != self.sha256:
            return f"The site's figures are of {self.artefact}, which does not answer: they are not shown."
        shares = ", ".join(_said(name, getattr(self, name)) for name in ("sensitivity", "specificity"))
        worse = f" Worse than the bundle claims: {', '.join(self.worse)}." if self.worse else ""
        value = f"{_ppv_said(self.ppv)} at a prevalence of {self.prevalence:g}"
        return f"Measured on {self.films} films of this site: {shares}; {value}.{worse}"


def _ppv_said(found: Estimate) -> str:
    """Say the lower bound first: it is what a predictive value promises."""
    if found.value is None or found.low is None or found.high is None:
        return "PPV not measured"
    return f"PPV at least {found.low:.2f} ({found.value:.2f}, up to {found.high:.2f})"


def _said(name: str, found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return f"{name} not measured"
    return f"{name} {found.value:.2f} ({found.low:.2f} to {found.high:.2f}, n = {found.n})"


def _estimate(value: dict[str, Any]) -> Estimate:
    known = [_share(value[name]) for name in ("value", "low", "high") if value[name] is not None]
    if known and (len(known) < 3 or not known[1] <= known[0] <= known[2]):
        raise ValueError(f"a figure lies outside its interval: {known}")
    return Estimate(value["value"], value["low"], value["high"], _whole(value["n"]), _text(value["method"]))


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no share")
    return float(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _known(value: object) -> str:
    if value not in SITE_CLAIMS:
        raise ValueError(f"{value!r} is no figure that a bundle claims")
    return str(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > MOST_TEXT:
        raise ValueError("a text is none, or no name")
    return value
