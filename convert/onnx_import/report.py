"""What is said of a foreign conversion: parity.json for programs, report.md for people, with what neither can say."""

from __future__ import annotations

import math
from typing import Any

from convert.onnx_import.compare import CERTIFIED, FAILED, FLIPS_SHARE, FLOOR, NOT_MADE, TIMES, Judged, Noise
from convert.onnx_import.config import Normalise, OnnxConfig
from convert.onnx_import.inputs import FolderFilms
from tbconv.contract.reporting import DISCLAIMER

ORIGIN = (
    f"{TIMES:g} times the largest of: ONNX Runtime optimised against not, preprocessing rounded in float32 against "
    f"float64, one float32 step of the output's scale; at least {FLOOR:g} of that scale"
)
COLUMNS = (
    "max, median and 99 % are of each film's largest difference. A flip is another class in front (of a single output: "
    f"another side of its middle). A reduced file beyond {FLIPS_SHARE:.0%} flips is moved to `not_offered`."
)
WITNESS_WORDS = {CERTIFIED: "agrees", FAILED: "differs", NOT_MADE: "does not convert"}


def foreign_report(
    config: OnnxConfig,
    facts: dict[str, Any],
    normalise: Normalise,
    films: FolderFilms,
    noise: dict[str, Noise],
    judged: tuple[Judged, ...],
    witness: Judged,
) -> dict[str, Any]:
    """Return parity.json: films by digest only, since their names may be patients'."""
    return {
        "source": config.onnx.name,
        "source_sha256": facts["source"],
        "inputs": {
            "description": films.description,
            "films": len(films.parity),
            "parity_sha256": list(films.parity_sha256),
            "calibration_sha256": list(films.calibration_sha256),
        },
        "oracle": "ONNX Runtime without optimisations, on the given file, fed with films that numpy normalised",
        "preprocessing": {"said": str(normalise), "assumed": normalise.assumed},
        "renamed_outputs": facts["renamed_outputs"],
        "tolerances": {name: _noise(one) for name, one in noise.items()},
        "rows": [one.to_json() for one in judged],
        "witness": witness.to_json()
        | {"verdict": WITNESS_WORDS[witness.verdict].upper(), "said": witness_words(witness)},
        "limits": limits(normalise, films),
        "disclaimer": DISCLAIMER,
    }


def limits(normalise: Normalise, films: FolderFilms) -> list[str]:
    """Return what a conversion without a threshold, labels or PyTorch cannot say."""
    which = "assumed, since nobody said it" if normalise.assumed else "taken from the command line"
    oracle = "The oracle is ONNX Runtime on the given file, not the network that it was exported from"
    shown = f"The preprocessing is {which} ({normalise}), on grey films padded to a square"
    return [
        "There is no threshold, and labels are not read: nothing here speaks of sensitivity, specificity, calibration.",
        f"{oracle}: what the export got wrong is wrong in every file here.",
        "There is no evidence map: it needs a head whose layers are known.",
        f"{shown}: if the network was trained otherwise, all files are wrong alike.",
        f"Measured on {films.description}; other films may differ.",
    ]


def witness_words(witness: Judged) -> str:
    """Say in a few words what onnx2tf made of the same file."""
    said = WITNESS_WORDS[witness.verdict]
    return said if not witness.outputs else f"{said} (max {witness.worst:.1e}, {witness.flips} flips)"


def report_text(report: dict[str, Any]) -> str:
    """Return report.md."""
    held, shown = report["inputs"]["description"], report["preprocessing"]
    lines = [
        f"# {report['source']}, converted",
        "",
        f"Held against {report['oracle']}: {held}.",
        f"Preprocessing ({'assumed' if shown['assumed'] else 'as said'}): {shown['said']}.",
        *_renamed(report),
        "",
        "| file | MB | verdict | output | max | median | 99 % | SQNR dB | flips |",
        "|---|---|---|---|---|---|---|---|---|",
        *(line for row in [*report["rows"], report["witness"]] for line in _rows(row)),
        "",
        *(f"- {row['path']}: {row['verdict']}; {row['reason']}" for row in report["rows"]),
        f"- onnx2tf, which shares no code with our route: {report['witness']['said']}; {report['witness']['reason']}",
        "",
        COLUMNS,
        f"float32 files may differ by {_tolerances(report)}: {ORIGIN}.",
        "",
        "## What this cannot say",
        "",
        *(f"- {limit}" for limit in report["limits"]),
        "",
        report["disclaimer"],
    ]
    return "\n".join(lines) + "\n"


def _noise(one: Noise) -> dict[str, Any]:
    figures = {"optimised": one.optimised, "preprocessing": one.preprocessing, "step": one.step, "scale": one.scale}
    return figures | {"tolerance": one.tolerance, "origin": ORIGIN}


def _renamed(report: dict[str, Any]) -> list[str]:
    return [f"Output `{old}` is called `{new}` here." for old, new in report["renamed_outputs"].items()]


def _rows(row: dict[str, Any]) -> list[str]:
    size = f"{row['bytes'] / 1e6:.3g}" if "bytes" in row else "-"
    head = f"| {row['path']} | {size} | {row['verdict']} |"
    if not row["outputs"]:
        return [f"{head} - | - | - | - | - | - |"]
    return [f"{head} {one['output']} | {_figures(one)} |" for one in row["outputs"]]


def _figures(one: dict[str, Any]) -> str:
    distances = " | ".join(_number(one[name], ".1e") for name in ("max_abs", "median", "p99"))
    return f"{distances} | {_number(one['sqnr_db'], '.0f')} | {one['flips']} of {one['samples']}"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, style)


def _tolerances(report: dict[str, Any]) -> str:
    return ", ".join(f"{one['tolerance']:.1e} ({name})" for name, one in report["tolerances"].items())
