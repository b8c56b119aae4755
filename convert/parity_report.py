"""parity.json: every measured figure, for programs; the table on the terminal is drawn from it."""

from __future__ import annotations

from typing import Any

from convert.certificate import ORACLE_FILMS, at_most
from convert.film_set import FilmSet
from convert.matrix import ROUNDED
from convert.measure import Measurement
from convert.oracle import ALLOWED_DB, ALLOWED_GAP_DB, gap_db
from convert.row import Row
from convert.witnesses import ORACLE, REFERENCE
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.files import sha256_bytes
from tbconv.contract.verdict import ArtefactVerdict


def parity_report(measurement: Measurement, verdicts: dict[str, ArtefactVerdict]) -> dict[str, Any]:
    """Return the measurement ready for JSON: rows by witness, worst first within the files."""
    rows = sorted(measurement.rows, key=lambda row: (row.name not in verdicts, -_distance(row)))
    return {
        "inputs": describe_inputs(measurement.filmset),
        "tolerances": measurement.tolerances_json(),
        "oracle_db": {"allowed": ALLOWED_DB, "judged": len(measurement.filmset.films) >= ORACLE_FILMS},
        "float16": _float16(measurement),
        "rows": [_row(row, verdicts) for row in rows],
        "disclaimer": DISCLAIMER,
    }


def _float16(measurement: Measurement) -> list[dict[str, Any]]:
    """Hold each float16 file against float16 itself: the same rounded weights, computed in float32 elsewhere."""
    rounded = next((row for row in measurement.rows if row.name == ROUNDED), None)
    if rounded is None or rounded.oracle is None:
        return []
    files = [row for row in measurement.rows if row.precision == "float16" and row is not rounded and not row.sampled]
    return [
        {"name": row.name, "of": ROUNDED, "db": gap_db(row.oracle, rounded.oracle), "allowed": ALLOWED_GAP_DB}
        for row in files
        if row.oracle is not None
    ]


def describe_inputs(filmset: FilmSet) -> dict[str, Any]:
    """Return what was fed, by digest."""
    return {
        "films": len(filmset.films),
        "description": filmset.description,
        "labelled": filmset.labels is not None,
        "films_sha256": sha256_bytes(filmset.films.tobytes()),
        "golden": list(filmset.golden_names),
        "golden_sha256": sha256_bytes(filmset.golden.tobytes()),
        "near_threshold": len(filmset.probes),
        "near_threshold_sha256": sha256_bytes(filmset.probes.tobytes()),
    }


def _distance(row: Row) -> float:
    return (row.films or row.golden).max_abs_logits


def _row(row: Row, verdicts: dict[str, ArtefactVerdict]) -> dict[str, Any]:
    verdict = verdicts.get(row.name)
    return {
        "name": row.name,
        "group": _group(row, verdict),
        "network": row.network,
        "precision": row.precision,
        "verdict": None if verdict is None else str(verdict.verdict),
        "reason": None if verdict is None else verdict.reason,
        "band": None if verdict is None else verdict.figures.get("band"),
        "films": None if row.films is None else row.films.to_json(),
        "golden": row.golden.to_json(),
        "flips_at_most": _flips_at_most(row),
        "auroc": row.auroc,
        "operating": row.operating,
        "spread": row.spread,
        "oracle": row.oracle,
        "decisions": row.decisions,
        "near_threshold": row.probes,
        "threads": row.threads,
        "sampled": row.sampled,
    }


def _group(row: Row, verdict: ArtefactVerdict | None) -> str:
    if verdict is not None:
        return "float32" if row.precision == "float32" else "reduced"
    return "reference" if row.name.startswith((REFERENCE, ORACLE)) else "witness"


def _flips_at_most(row: Row) -> float | None:
    """Return the share of films that may flip at 95 % confidence; None without films or a usable answer."""
    if row.films is None or row.films.problem is not None:
        return None
    return at_most(row.films.flips, row.films.samples)
