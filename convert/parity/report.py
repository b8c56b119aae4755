"""parity.json: every measured figure, for programs; the table on the terminal is drawn from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from convert.parity.compare import ALLOWED_DB, ALLOWED_GAP_DB, gap_db
from convert.parity.inputs import FilmSet, pick
from convert.parity.measure import Measurement, Row
from convert.parity.runtimes import FLOAT64, ROUNDED
from convert.parity.statistics import per_film
from convert.parity.verdicts import FLOAT64_FILMS
from tbconv.contract.certificate import ArtefactVerdict
from tbconv.contract.errors import NO_REFERRAL, Referral
from tbconv.contract.files import atomic_file, sha256_bytes
from tbconv.contract.golden import REFERENCE
from tbconv.contract.manifest import is_exact
from tbconv.contract.statistics import upper_bound

PARITY = "parity.json"


def parity_report(
    measurement: Measurement, verdicts: dict[str, ArtefactVerdict], words: Referral = NO_REFERRAL
) -> dict[str, Any]:
    """Return the measurement ready for JSON: one row a runtime, worst first within the files; `words` of the bundle."""
    rows = sorted(measurement.rows, key=lambda row: (row.name not in verdicts, -_distance(row)))
    return {
        "inputs": describe_inputs(measurement.filmset),
        "tolerances": measurement.tolerances_json(),
        "float64_db": {"allowed": ALLOWED_DB, "judged": len(measurement.filmset.films) >= FLOAT64_FILMS},
        "float16": _float16(measurement),
        "rows": [_row(row, verdicts) for row in rows],
        "disclaimer": words.disclaimer,
    }


def _float16(measurement: Measurement) -> list[dict[str, Any]]:
    """Hold each float16 file against float16 itself: the same rounded weights, computed in float32 elsewhere."""
    rounded = next((row for row in measurement.rows if row.name == ROUNDED), None)
    if rounded is None or rounded.float64_distance is None:
        return []
    files = [row for row in measurement.rows if row.precision == "float16" and row is not rounded and not row.sampled]
    return [
        {
            "name": row.name,
            "of": ROUNDED,
            "db": gap_db(row.float64_distance, rounded.float64_distance),
            "allowed": ALLOWED_GAP_DB,
        }
        for row in files
        if row.float64_distance is not None
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
        "abstention_band": None if verdict is None else verdict.figures.get("abstention_band"),
        "films": None if row.films is None else row.films.to_json(),
        "golden": row.golden.to_json(),
        "flips_at_most": _flips_at_most(row),
        "auroc": row.auroc,
        "operating": row.operating,
        "error_distribution": row.error_distribution,
        "float64_distance": row.float64_distance,
        "decisions": row.decisions,
        "near_threshold": row.probes,
        "threads": row.threads,
        "sampled": row.sampled,
    }


def _group(row: Row, verdict: ArtefactVerdict | None) -> str:
    if verdict is not None:
        return "float32" if is_exact(row.precision) else "reduced"
    return "reference" if row.name.startswith((REFERENCE, FLOAT64)) else "compared"


def _flips_at_most(row: Row) -> float | None:
    """Return the share of films that may flip at 95 % confidence; None without films or a usable answer."""
    if row.films is None or row.films.problem is not None:
        return None
    return upper_bound(row.films.flips, row.films.samples)


# --- film table ---
# films.npz: one number a film, runtime and measure: for figures, and to find a single film.


def write_film_table(path: Path, measurement: Measurement) -> None:
    """Write arrays `<runtime>|<measure>`, [N], films in the order fed; no films, no pixels, no names.

    Measures are abs_logits, abs_margin, abs_probability, abs_evidence, identity (statistics.per_film), and margin,
    the answer itself. `<runtime>|film` says which rows a runtime was run on. One whose outputs are unusable has none.
    """
    arrays: dict[str, Any] = {}
    count = len(measurement.filmset.films)
    for row in measurement.rows:
        if row.films is None or row.films.problem is not None:
            continue
        fed = np.arange(count) if not row.sampled else measurement.filmset.sample
        fed = fed[fed < count]
        answer = pick(measurement.answers[row.name], np.arange(len(fed)))
        reference = pick(measurement.answers[f"{REFERENCE} ({row.network})"], fed)
        found = per_film(reference, answer) | {"margin": answer.margin, "film": fed}
        arrays |= {f"{row.name}|{name}": values for name, values in found.items()}
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays)


# --- int8 ---
# How the int8 file was chosen, in lines for people; `convert.quantization.search` gives the record.


def search_lines(found: dict[str, Any] | None) -> Iterator[str]:
    """Yield what was chosen and why, and each candidate that was tried; nothing where no int8 file was made."""
    if found is None:
        return
    tried = found["candidates"]
    ranked = f", ranked by the {found['near_films']} nearest to a decision of {found['ranking_films']} others"
    ranked = ranked if found["near_films"] else ""
    yield (
        f"int8: the best of {len(tried)} candidates in {found['seconds']:.0f} s (calibrated on "
        f"{found['calibration_films']} films{ranked}): {found['recipe']}"
    )
    yield f"  {found['verdict']}; the search ended because {found['ended']}" if ranked else f"  {found['ended']}"
    for number, one in enumerate(tried):
        if ranked and one["near"] is not None:
            yield f"  {'*' if number == found['chosen'] else ' '} {_candidate(one, found['near_films'])}"


def _candidate(one: dict[str, Any], films: int) -> str:
    latency = f", {one['latency']:.2f} x the latency" if one["latency"] is not None else ""
    refused = f"; not taken: {one['refused']}" if "refused" in one else ""
    moved = f"moves decisions by {one['near']:.3g}, flips {one['flips']} on {films} films"
    return f"{moved}{latency}: {one['recipe']}{refused}"
