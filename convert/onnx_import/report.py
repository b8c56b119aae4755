"""The report of a third-party conversion: parity.json for programs, report.md for people, and what neither can say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from convert.formats.normalise import Normalise
from convert.formats.table import SAVED_MODEL, chosen_lines
from convert.onnx_import.evidence import EVIDENCE, MapDifference, evidence_lines
from convert.onnx_import.films import FolderFilms
from convert.parity.compare import OutputDifference
from convert.parity.decisions import SHOWN, Decisions
from convert.parity.report import search_lines
from convert.parity.verdicts import (
    CANNOT_SAY,
    CERTIFIED,
    FAILED,
    FLIPS_SHARE,
    NOT_MADE,
    OUTPUT_ORIGIN,
    OutputTolerance,
)
from tbconv.contract.certificate import Proof, ProofVerdict
from tbconv.contract.errors import Referral
from tbconv.contract.manifest import is_exact
from tbconv.report_kit.needs import need_lines

COLUMNS = ("file", "MB", "verdict", "output", "max", "median", "99 %", "SQNR dB", "flips", "undecided")
LEGEND = (
    "max, median and 99 % are of each film's largest difference. A flip is a decision that differs, by the task above; "
    "undecided are those that lie so close to it that a reduced file moved others by as much. A reduced file beyond "
    f"{FLIPS_SHARE:.0%} flips, and any file of which too little is known (CANNOT SAY), is moved to `not_offered`."
)
AGREES = {
    CERTIFIED: "agrees",
    FAILED: "differs",
    NOT_MADE: "does not convert",
    CANNOT_SAY: "cannot be told",
}


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """One file, what was measured of it and what follows."""

    path: str
    format: str
    precision: str
    verdict: str
    reason: str
    outputs: tuple[OutputDifference, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)  # bytes, needs

    def with_proof(self, proof: Proof | None) -> JudgedFile:
        """Return the file, FAILED where it was proven to be another network."""
        if proof is None or proof.verdict is not ProofVerdict.DIFFERENT:
            return self
        return replace(
            self, verdict=FAILED, reason=f"it is not what model.onnx computes: {proof.reason}; {self.reason}"
        )

    def with_maker(self, facts: dict[str, Any], *, films: int) -> JudgedFile:
        """Return a file of another converter, which says so.

        Args:
            facts: `made_by`; `proven`, whether it is EQUIVALENT to model.onnx; `served`, why the server's reader
                refuses it, None where it does not or is not asked; `pytorch_float64`, how far it is from PyTorch, where
                it was held to that.
            films: on which it was measured.
        """
        rests = "proven against model.onnx all the same" if facts["proven"] else "no rule of ours proves it"
        said = f"{self.reason}; made by {facts['made_by']}, {rests}; measured on {films} films"
        if "pytorch_float64" in facts:
            said += f"; against PyTorch in float64 on the same films: {facts['pytorch_float64']['reason']}"
        if self.format == SAVED_MODEL.kind:
            said += "; it takes one film a call"
        if facts["served"]:
            said += f"; the server would refuse it: {facts['served']}"
        return replace(self, reason=said, facts=self.facts | facts)

    def with_map(self, found: MapDifference) -> JudgedFile:
        """Return the file with what was found of its evidence map; FAILED where it is not what was promised."""
        verdict = FAILED if found.problem else self.verdict
        reason = f"{found}; {self.reason}" if found.problem else f"{self.reason}; {found}"
        return replace(self, verdict=verdict, reason=reason, facts=self.facts | {EVIDENCE: found.to_json()})

    def with_needs(self, needs: dict[str, Any] | None) -> JudgedFile:
        """Return the file with what it needs of a runtime, where that is known."""
        return self if needs is None else replace(self, facts=self.facts | {"needs": needs})

    def to_json(self) -> dict[str, Any]:
        """Return the row of parity.json."""
        own = {name: getattr(self, name) for name in ("path", "format", "precision", "verdict", "reason")}
        return own | self.facts | {"outputs": [one.to_json() for one in self.outputs]}

    @property
    def agreement(self) -> str:
        """Return in a few words whether a file that is only compared gives the same answers."""
        if not self.outputs:
            return AGREES[self.verdict]
        worst = max(one.max_abs for one in self.outputs)
        return f"{AGREES[self.verdict]} (max {worst:.1e}, {max(one.flips for one in self.outputs)} flips)"


def is_proven(proofs: dict[str, Proof], path: str) -> bool:
    """Whether a file is the ONNX graph, for every input."""
    return path in proofs and proofs[path].verdict is ProofVerdict.EQUIVALENT


def onnx_report(
    source: tuple[str, dict[str, Any]],
    normalise: Normalise,
    films: FolderFilms,
    decisions: dict[str, Decisions],
    tolerances: dict[str, OutputTolerance],
    judged: tuple[JudgedFile, ...],
    compared: tuple[JudgedFile, ...],
    int8: dict[str, Any] | None,
    proofs: dict[str, Proof],
    words: Referral,
    formats: dict[str, Any],
    cast: str = "",
    chosen_on: str = "",
    trained_here: bool = False,
    labels: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return parity.json: films by digest only, since their names may be patients'.

    Args:
        source: name of the ONNX file, and what `convert.formats.onnx_wrap` found in it.
        normalise: the preprocessing.
        films: that every file was run on.
        decisions: how each output decides.
        tolerances: by output.
        judged: every exported file.
        compared: the float32 TFLite that other converters made of the same model.onnx.
        int8: how the int8 file was chosen; None where there is none.
        proofs: what is true of each file for every input.
        words: what a flag calls for.
        formats: which were asked for (convert.formats.table.describe_chosen).
        cast: how far the file itself lies from its network in float32, in words.
        chosen_on: where thresholds and figures come from, in words; empty where no label was read.
        trained_here: whether `tbconv train` made the network.
        labels: names of the outputs; may be empty.
    """
    name, facts = source
    run = "the given file's network in float32" if facts["float32"] else "the given file"
    run = run if facts["library"] is None else "the file that PyTorch exported"
    maps = evidence_lines(facts["evidence"], labels)
    return {
        "source": name,
        "source_sha256": facts["source"],
        "inputs": {
            "description": films.description,
            "films": len(films.parity),
            "parity_sha256": list(films.parity_sha256),
            "calibration_sha256": list(films.calibration_sha256),
        },
        "reference": f"ONNX Runtime without optimisations, on {run}, fed with films that numpy normalised",
        "float32": f"{facts['float32']}; {cast}" if facts["float32"] else "",
        "preprocessing": {"description": str(normalise), "assumed": normalise.assumed},
        "renamed_outputs": facts["renamed_outputs"],
        "flattened_outputs": facts["flattened_outputs"],
        "versions": f"opset {facts['opset']}, {facts['versions']}" if facts["versions"] else "",
        "decisions": {name: one.to_json() for name, one in decisions.items()},
        "tolerances": {name: one.to_json() for name, one in tolerances.items()},
        "rows": [one.to_json() for one in judged],
        "compared": [
            one.to_json() | {"verdict": AGREES[one.verdict].upper(), "agreement": one.agreement} for one in compared
        ],
        "int8": int8,
        "formats": formats,
        "proofs": {path: asdict(one) for path, one in proofs.items()},
        "library": facts["library"],
        "evidence": facts["evidence"],
        "limits": [
            *_limits(normalise, films, decisions, run, chosen_on, trained_here, facts["library"], maps),
            *([f"The files are in float32: {facts['float32']}; {cast}."] if facts["float32"] else []),
            *input_limits(facts, normalise),
            *_limits_of_makers(judged, len(films.parity)),
        ],
        "disclaimer": words.disclaimer,
    }


def _limits(
    normalise: Normalise,
    films: FolderFilms,
    decisions: dict[str, Decisions],
    run: str,
    chosen_on: str,
    trained_here: bool,
    library: dict[str, Any] | None,
    evidence: list[str],
) -> list[str]:
    """Return what a conversion without an operating point and labels cannot say; without a library of PyTorch, too."""
    which = "assumed, since none was given" if normalise.assumed else "taken from the command line"
    if library is not None and library["carried"]:
        which = f"taken from {library['preprocessing']['origin']}"
    which = "inside the network, as `tbconv adopt` was told" if chosen_on else which
    assumed = ": if the network was trained differently, all files are wrong in the same way"
    if trained_here:
        which, assumed = "inside the network, as it was trained", ""
    reference = f"The reference is ONNX Runtime on {run}, not the network that it was exported from"
    shown = f"The preprocessing is {which} ({normalise}), on grey films padded to the input's shape"
    counted = "; ".join(f"{name}: {one}" for name, one in decisions.items())
    unread = (
        "There is no operating point chosen on labelled films, and labels are not read: sensitivity, specificity and "
        "calibration are not measured"
    )
    exported = f"{reference}: what the export got wrong is wrong in every file here."
    if library is not None:
        exported = f"PyTorch itself was compared with the export on the same films: {library['pytorch']['reason']}."
    if chosen_on:
        same = "PyTorch's decisions on the held-out films were the same, its logits within 2^-11 of the largest"
        unread, exported = chosen_on, f"{reference}; {same}."
    return [
        f"{unread}. Decisions are counted as {counted}.",
        exported,
        *(f"{line}." for line in (library["not_carried"] if library is not None else ())),
        *evidence,
        f"{shown}{assumed}.",
        f"Measured on {films.description}; other films may differ.",
    ]


def input_limits(facts: dict[str, Any], normalise: Normalise) -> list[str]:
    """Return what is to be known of how films come into the network: each a sentence.

    Args:
        facts: of `convert.formats.onnx_wrap.wrap`.
        normalise: the preprocessing.
    """
    given, found = facts["input"], list[str]()
    without = given["without_channels"]
    sides = given["shape"][1:3] if given["channels_last"] or without else given["shape"][2:]
    if without:
        found.append(f"Its input {given['name']} has no axis of channels: it gets one film of grey levels, [N, H, W].")
    if not all(isinstance(side, int) for side in sides):
        height, width = facts["size"]
        found.append(
            f"Its height and width are open and were set to {height} x {width} by --size: a network that was trained "
            "at another size decides otherwise."
        )
    if facts["channels"] == 3:
        found.append("The network takes three channels: each gets the same grey levels, whatever colour a film has.")
    if given["dtype"] == "uint8":
        found.append(f"Its input {given['name']} is uint8: it gets grey levels 0..255 as they are.")
    if given["channels_last"] and normalise.assumed:
        found.append(
            "Its input is [N, H, W, C], as TensorFlow's networks have it, of which many scale inside (--normalise "
            "none) or to -1..1 (--mean 0.5 --std 0.5): what was assumed is torchvision's; state which it is."
        )
    if facts["starts_with"] and normalise.assumed:
        found.append(
            f"It begins with {facts['starts_with']} of stored numbers: if that is its own preprocessing, films are now "
            "normalised twice, and --normalise none is right."
        )
    for name, one in facts["fixed_inputs"].items():
        numbers = ", ".join(f"{value:g}" for value in np.asarray(one["values"]).reshape(-1)[:SHOWN])
        found.append(f"Its input {name} is fixed at {numbers}: all files answer for that alone.")
    return found


def _limits_of_makers(judged: tuple[JudgedFile, ...], films: int) -> list[str]:
    """Return what rests on films alone: files of another converter, of a network that no rule of ours knows."""
    theirs = [one for one in judged if one.facts.get("made_by") and not one.facts["proven"]]
    if not theirs:
        return []
    names, made_by = ", ".join(one.path for one in theirs), theirs[0].facts["made_by"]
    said = f"{names}: made by {made_by}, no rule of ours proves it; measured on {films} films, of other films nothing"
    refused = [f"{one.path} ({one.facts['served']})" for one in theirs if one.facts["served"]]
    serving = f" The server's reader would refuse {', '.join(refused)}." if refused else ""
    return [f"{said} is known.{serving}"]


def report_text(report: dict[str, Any]) -> str:
    """Return report.md."""
    held, shown = report["inputs"]["description"], report["preprocessing"]
    tolerances = ", ".join(f"{one['tolerance']:.1e} ({name})" for name, one in report["tolerances"].items())
    lines = [
        f"# {report['source']}, converted",
        "",
        f"Compared with {report['reference']}: {held}.",
        f"Preprocessing ({'assumed' if shown['assumed'] else 'as given'}): {shown['description']}.",
        *_library_lines(report["library"]),
        *(f"Output `{old}` is called `{new}` here." for old, new in report["renamed_outputs"].items()),
        *(f"Output `{name}` {sides} is given as [N, classes]." for name, sides in report["flattened_outputs"].items()),
        *([f"The file is of {report['versions']}."] if report["versions"] else []),
        *([f"{report['float32']}."] if report["float32"] else []),
        *(f"Decisions on `{name}`: {one['description']}." for name, one in report["decisions"].items()),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(f"| {' | '.join(cells)} |" for cells in table_rows(report)),
        "",
        *(f"- {line}" for line in verdict_lines(report)),
        "",
        *(f"- {line}" for line in need_lines(needs_in(report))),
        "",
        *(f"- {line.strip()}" for line in search_lines(report["int8"])),
        "",
        LEGEND,
        f"float32 files may differ by {tolerances}: {OUTPUT_ORIGIN}.",
        "",
        "## What this cannot say",
        "",
        *(f"- {limit}" for limit in report["limits"]),
        "",
        report["disclaimer"],
    ]
    return "\n".join(lines) + "\n"


def _library_lines(library: dict[str, Any] | None) -> Iterator[str]:
    """Yield who built the network, and what it was compared with besides."""
    if library is not None:
        yield f"Built by {library['library']}; weights: {library['weights']}."
        yield f"PyTorch itself, on the same films: {library['pytorch']['reason']}."


def needs_in(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what files need, by path."""
    return {row["path"]: row["needs"] for row in report["rows"] if "needs" in row}


def verdict_lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the verdict on each file with its reason, and whether the reference converter agrees."""
    for row in report["rows"]:
        yield f"{row['path']}: {row['verdict']}; {row['reason']}"
    for path, one in report["proofs"].items():
        yield f"{path}, for every input: {one['verdict']}; {one['reason']}"
    for line in chosen_lines({**report["formats"], "not_made": {}}):  # what could not be made has a row above
        yield line[0].upper() + line[1:]
    for one in report["compared"]:
        yield f"{one['path']}, compared and not shipped: {one['agreement']}; {one['reason']}"


def table_rows(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the table, a row an output, in the order of COLUMNS."""
    for row in [*report["rows"], *report["compared"]]:
        size = f"{row['bytes'] / 1e6:.3g}" if "bytes" in row else "-"
        for one in row["outputs"] or [None]:
            yield (row["path"], size, row["verdict"], *_figures(one, exact=is_exact(row["precision"])))


def _figures(one: dict[str, Any] | None, *, exact: bool) -> tuple[str, ...]:
    if one is None:
        return ("-",) * 7
    distances = (_number(one[name], ".1e") for name in ("max_abs", "median", "p99"))
    band, counted = one["band"], one["decisions"]
    flips = f"{one['flips']} of {counted}" if counted else "a score"
    undecided = "-" if band is None or exact else f"{band['inside']} of {counted}"
    return (one["output"], *distances, _number(one["sqnr_db"], ".0f"), flips, undecided)


def _number(value: float | None, style: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, style)
