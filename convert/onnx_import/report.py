"""The report of a third-party conversion: parity.json for programs, report.md for people, and what neither can say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from convert.formats.normalise import Normalise
from convert.onnx_import.films import FolderFilms
from convert.parity.compare import OutputDifference
from convert.parity.verdicts import (
    CERTIFIED,
    FAILED,
    FLIPS_SHARE,
    NOT_MADE,
    OUTPUT_ORIGIN,
    OutputTolerance,
)
from tbconv.contract.errors import DISCLAIMER

COLUMNS = ("file", "MB", "verdict", "output", "max", "median", "99 %", "SQNR dB", "flips")
LEGEND = (
    "max, median and 99 % are of each film's largest difference. A flip is another class in front (of a single output: "
    f"another side of its middle). A reduced file beyond {FLIPS_SHARE:.0%} flips is moved to `not_offered`."
)
AGREES = {CERTIFIED: "agrees", FAILED: "differs", NOT_MADE: "does not convert"}


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """One file, what was measured of it and what follows."""

    path: str
    format: str
    precision: str
    verdict: str
    reason: str
    outputs: tuple[OutputDifference, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)  # bytes

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


def onnx_report(
    source: tuple[str, dict[str, Any]],
    normalise: Normalise,
    films: FolderFilms,
    tolerances: dict[str, OutputTolerance],
    judged: tuple[JudgedFile, ...],
    compared: tuple[JudgedFile, ...],
) -> dict[str, Any]:
    """Return parity.json: films by digest only, since their names may be patients'.

    Args:
        source: name of the ONNX file, and what `convert.formats.onnx_wrap` found in it.
        normalise: the preprocessing.
        films: that every file was run on.
        tolerances: by output.
        judged: every exported file.
        compared: the float32 TFLite that other converters made of the same model.onnx.
    """
    name, facts = source
    return {
        "source": name,
        "source_sha256": facts["source"],
        "inputs": {
            "description": films.description,
            "films": len(films.parity),
            "parity_sha256": list(films.parity_sha256),
            "calibration_sha256": list(films.calibration_sha256),
        },
        "reference": "ONNX Runtime without optimisations, on the given file, fed with films that numpy normalised",
        "preprocessing": {"description": str(normalise), "assumed": normalise.assumed},
        "renamed_outputs": facts["renamed_outputs"],
        "tolerances": {name: one.to_json() for name, one in tolerances.items()},
        "rows": [one.to_json() for one in judged],
        "compared": [
            one.to_json() | {"verdict": AGREES[one.verdict].upper(), "agreement": one.agreement} for one in compared
        ],
        "limits": _limits(normalise, films),
        "disclaimer": DISCLAIMER,
    }


def _limits(normalise: Normalise, films: FolderFilms) -> list[str]:
    """Return what a conversion without a threshold, labels or PyTorch cannot say."""
    which = "assumed, since none was given" if normalise.assumed else "taken from the command line"
    reference = "The reference is ONNX Runtime on the given file, not the network that it was exported from"
    shown = f"The preprocessing is {which} ({normalise}), on grey films padded to a square"
    return [
        "There is no threshold, and labels are not read: sensitivity, specificity and calibration are not measured.",
        f"{reference}: what the export got wrong is wrong in every file here.",
        "There is no evidence map: it needs a head whose layers are known.",
        f"{shown}: if the network was trained differently, all files are wrong in the same way.",
        f"Measured on {films.description}; other films may differ.",
    ]


def report_text(report: dict[str, Any]) -> str:
    """Return report.md."""
    held, shown = report["inputs"]["description"], report["preprocessing"]
    tolerances = ", ".join(f"{one['tolerance']:.1e} ({name})" for name, one in report["tolerances"].items())
    lines = [
        f"# {report['source']}, converted",
        "",
        f"Compared with {report['reference']}: {held}.",
        f"Preprocessing ({'assumed' if shown['assumed'] else 'as given'}): {shown['description']}.",
        *(f"Output `{old}` is called `{new}` here." for old, new in report["renamed_outputs"].items()),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(f"| {' | '.join(cells)} |" for cells in table_rows(report)),
        "",
        *(f"- {line}" for line in verdict_lines(report)),
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


def verdict_lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the verdict on each file with its reason, and whether the reference converter agrees."""
    for row in report["rows"]:
        yield f"{row['path']}: {row['verdict']}; {row['reason']}"
    for one in report["compared"]:
        yield f"{one['path']}, compared and not shipped: {one['agreement']}; {one['reason']}"


def table_rows(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the table, a row an output, in the order of COLUMNS."""
    for row in [*report["rows"], *report["compared"]]:
        size = f"{row['bytes'] / 1e6:.3g}" if "bytes" in row else "-"
        for one in row["outputs"] or [None]:
            yield (row["path"], size, row["verdict"], *_figures(one))


def _figures(one: dict[str, Any] | None) -> tuple[str, ...]:
    if one is None:
        return ("-",) * 6
    distances = (_number(one[name], ".1e") for name in ("max_abs", "median", "p99"))
    return (one["output"], *distances, _number(one["sqnr_db"], ".0f"), f"{one['flips']} of {one['samples']}")


def _number(value: float | None, style: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, style)
