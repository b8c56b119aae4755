"""Where a bundle does worse than its certificate says, file by file and witness by witness; numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.bars import FILMS, lost
from convert.measure import Measurement
from convert.witnesses import REFERENCE
from tbconv.contract.verdict import ArtefactVerdict, Verdict

ORDER = (Verdict.CERTIFIED, Verdict.BOUNDED, Verdict.UNVERIFIED, Verdict.FAILED)


def find_strays(
    claimed: dict[str, ArtefactVerdict],
    verdicts: dict[str, ArtefactVerdict],
    measurement: Measurement,
    report: dict[str, Any],
    *,
    deployed: str | None,
) -> dict[str, str]:
    """Return the files and witnesses that did worse than they may, each with the first reason that was found.

    Args:
        claimed: the certificate's verdicts by path.
        verdicts: today's.
        measurement: that they rest on.
        report: of the measurement (convert.parity_report).
        deployed: path of the file that the certificate proposes, whose bars have to hold on other films as well.
    """
    worse = {
        path: f"{found.verdict} now, {claimed[path].verdict} in the certificate: {found.reason}"
        for path, found in verdicts.items()
        if ORDER.index(found.verdict) > ORDER.index(claimed[path].verdict)
    }
    unusable = {
        row.name: f"no verdict hangs on this witness, but it cannot be compared: {row.problem}"
        for row in measurement.rows
        if row.name not in verdicts and row.problem is not None
    }
    return unusable | _float16(report, verdicts) | _bars(verdicts, measurement, deployed) | worse


def with_findings(strays: dict[str, str], *findings: dict[str, str]) -> dict[str, str]:
    """Add by path what was found beside the measurement; what was measured is said first."""
    whole = dict(strays)
    for found in findings:
        for path, problem in found.items():
            whole[path] = f"{whole[path]}; {problem}" if path in whole else problem
    return whole


def _float16(report: dict[str, Any], verdicts: dict[str, ArtefactVerdict]) -> dict[str, str]:
    """Hold the bundle's float16 files, under every kernel that was asked, to what float16 costs by itself."""
    rows = [one for one in report["float16"] if any(_is_of(one["name"], path) for path in verdicts)]
    return {
        one["name"]: f"{one['db']:+.1f} dB from float64 beside {one['of']}, allowed are {one['allowed']:+g} dB"
        for one in rows
        if one["db"] is not None and not one["db"] <= one["allowed"]
    }


def _is_of(name: str, path: str) -> bool:
    """Return whether a witness is a file, or that file under other kernels (`model_float16.tflite built-in x2`)."""
    return name == path or name.startswith(f"{path} ")


def _bars(verdicts: dict[str, ArtefactVerdict], measurement: Measurement, deployed: str | None) -> dict[str, str]:
    """Hold the reduced file that is proposed to its bars of quality, where these films are enough to judge them."""
    if deployed not in verdicts or measurement.row(deployed).precision == "float32":
        return {}
    figures = verdicts[deployed].figures
    decisions = figures.get("decisions")
    if decisions is None or decisions["n"] < FILMS:
        return {}
    missed = lost(figures)
    return {deployed: f"proposed, but its bars do not hold on these films: {'; '.join(missed)}"} if missed else {}


def band_notes(
    claimed: dict[str, ArtefactVerdict], measurement: Measurement, *, deployed: str | None
) -> tuple[str, ...]:
    """Say how many films the proposed file decides otherwise than PyTorch outside the band that it claims.

    A note and no stray: the band is what was seen on the films of the conversion, and of a thousand others a few
    may lie just outside it.
    """
    count = len(measurement.filmset.films)
    if not count or deployed not in claimed or measurement.row(deployed).problem is not None:
        return ()
    row, band = measurement.row(deployed), claimed[deployed].band
    threshold = measurement.thresholds[row.network]
    reference = measurement.answers[f"{REFERENCE} ({row.network})"].margin[:count]
    margin = measurement.answers[deployed].margin[:count]
    away = np.abs(margin.astype(np.float64) - threshold)
    outside = away[((reference >= threshold) != (margin >= threshold)) & (away > band)]
    if row.precision == "float32" or not len(outside):
        return ()
    flipped = f"{len(outside)} of {count} films flip outside the band of {band:.2g} logits that its certificate claims"
    return (f"{deployed}: {flipped}, the furthest {outside.max():.2g} logits from the threshold",)
