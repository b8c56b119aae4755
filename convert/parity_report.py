"""parity.json: every measured figure, for programs; the table on the terminal is drawn from it."""

from __future__ import annotations

from typing import Any

from convert.measure import FilmSet, Measurement, Row
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.files import sha256_bytes
from tbconv.contract.verdict import ArtefactVerdict


def parity_report(measurement: Measurement, verdicts: dict[str, ArtefactVerdict]) -> dict[str, Any]:
    """Return the measurement ready for JSON: rows by witness, worst first within the files."""
    rows = sorted(measurement.rows, key=lambda row: (row.name not in verdicts, -_distance(row)))
    return {
        "inputs": describe_inputs(measurement.filmset),
        "tolerances": measurement.tolerances_json(),
        "rows": [_row(row, verdicts) for row in rows],
        "disclaimer": DISCLAIMER,
    }


def describe_inputs(filmset: FilmSet) -> dict[str, Any]:
    """Return what was fed, by digest."""
    return {
        "films": len(filmset.films),
        "description": filmset.description,
        "labelled": filmset.labels is not None,
        "films_sha256": sha256_bytes(filmset.films.tobytes()),
        "golden": list(filmset.golden_names),
        "golden_sha256": sha256_bytes(filmset.golden.tobytes()),
    }


def _distance(row: Row) -> float:
    return (row.films or row.golden).max_abs_logits


def _row(row: Row, verdicts: dict[str, ArtefactVerdict]) -> dict[str, Any]:
    verdict = verdicts.get(row.name)
    return {
        "name": row.name,
        "network": row.network,
        "precision": row.precision,
        "verdict": None if verdict is None else str(verdict.verdict),
        "reason": None if verdict is None else verdict.reason,
        "films": None if row.films is None else row.films.to_json(),
        "golden": row.golden.to_json(),
        "auroc": row.auroc,
        "spread": row.spread,
    }
