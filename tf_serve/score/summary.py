"""What came out of a run, from its shards in one pass: counts with intervals, drift, speed. No id and no path is in it.

Rows are read batch by batch and only counts are kept, so that a run of ten million films takes the memory of one batch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import Bundle
from tbconv.contract.errors import DISCLAIMER, BundleError, printable
from tbconv.contract.statistics import (
    DISTRIBUTIONS,
    GREY_EDGES,
    SCORE_EDGES,
    Estimate,
    Shift,
    bin_counts,
    measure_shift,
    proportion,
)
from tbconv.contract.xray.reference import MOST_UNLIKE, NO_REFERENCE_LIMIT, sort_of_limit
from tf_serve.score.results import Results
from tf_serve.score.rows import STATUSES

if TYPE_CHECKING:
    import pyarrow

Json = dict[str, Any]
SUMMARY, FORMAT = "summary.json", "tbconv-summary-1"
LEDGER, METRICS = "ledger.jsonl", "metrics.json"
DECISIONS = ("refer", "indeterminate", "not_flagged")
GREYS = ("grey_mean", "grey_deviation")
COUNTED = ("status", "decision", "gate_reason", "model_sha256", "certificate_sha256", "limits")
COLUMNS = (*COUNTED, "reason", "score", *GREYS)
WHO = ("name", "version", "kind", "artefact", "verdict", "fallback_reason")  # of `describe_model`
MOST_KINDS = 200  # of reasons and limits that are kept apart; errors of strange files may each have words of their own
OTHERS = "another reason"
TENTHS = 100  # steps of the histogram that the page shows: whole scores


# --- counting ---


@dataclass(slots=True)
class Counts:
    """What is counted over rows; counts of shards add up."""

    rows: int = 0
    values: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(TENTHS, np.int64))
    greys: dict[str, NDArray[np.int64]] = field(
        default_factory=lambda: {name: np.zeros(len(GREY_EDGES) - 1, np.int64) for name in GREYS}
    )
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: {"quarantined": Counter(), "left_out": Counter()})
    limited: Counter[str] = field(default_factory=Counter)  # films by what a limit of theirs is about

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Count a batch of rows."""
        import pyarrow.compute as pc

        self.rows += len(batch)
        for name, counted in self.values.items():
            if name not in batch.schema.names:
                continue
            column = batch.column(name)
            column = pc.list_flatten(column) if name == "limits" else column
            _count_values(counted, column)
        for status, counted in self.reasons.items():
            _count_values(counted, batch.filter(pc.equal(batch.column("status"), status)).column("reason"))
        if "score" in batch.schema.names:
            self.scores += bin_counts(_numbers(batch, "score"), range(TENTHS + 1))
        for name in GREYS:
            if name in batch.schema.names:
                self.greys[name] += bin_counts(_numbers(batch, name), GREY_EDGES)
        self.limited.update(_limited(batch))


def _count_values(counted: Counter[str], column: Any) -> None:
    import pyarrow.compute as pc

    for one in pc.value_counts(column.drop_null()).to_pylist():
        key = printable(one["values"])
        counted[key if key in counted or len(counted) < MOST_KINDS else OTHERS] += one["counts"]


def _numbers(batch: pyarrow.RecordBatch, name: str) -> NDArray[np.float64]:
    found: NDArray[np.float64] = batch.column(name).drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def _limited(batch: pyarrow.RecordBatch) -> Iterator[str]:
    """Yield once a film what its limits say of how it looks; `looks` for a film of which any of them does."""
    import pyarrow.compute as pc

    if "limits" not in batch.schema.names:
        return
    column = batch.column("limits")
    words = pc.list_flatten(column).dictionary_encode()
    telling = {at: found for at, one in enumerate(words.dictionary.to_pylist()) if (found := sort_of_limit(one))}
    if not telling:
        return
    codes = words.indices.to_numpy(zero_copy_only=False)
    some = np.isin(codes, list(telling))
    films = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)[some]
    of_films: dict[int, set[str]] = {}
    for film, code in zip(films.tolist(), codes[some].tolist(), strict=True):
        sort, kinds = telling[code]
        of_films.setdefault(film, set()).update((sort, *(f"{sort}: {kind}" for kind in kinds)))
    for sorts in of_films.values():
        yield from sorts
        if sorts & {"unlike", "mirrored"}:
            yield "looks"


# --- reference ---


@dataclass(frozen=True, slots=True)
class Reference:
    """How scores and greys were spread where the network was made; counts by bin."""

    scores: tuple[Sequence[int], Sequence[int]]  # of films that it was not trained on, negatives and positives
    greys: dict[str, Sequence[int]]  # of training films, by GREYS


def reference_of(bundle: Bundle, network: str) -> Reference | None:
    """Return what a bundle says of its films' scores and greys; None where it says nothing, as older bundles do.

    Args:
        bundle: whose metrics.json is held to its digest.
        network: trained or baseline: which of the two answered.
    """
    try:
        found = json.loads(bundle.read(METRICS))[DISTRIBUTIONS]
        negative, positive = found["scores"][network]
        made = Reference((negative, positive), {name: found[name] for name in GREYS})
    except (BundleError, KeyError, ValueError, TypeError):
        return None
    sizes = {len(negative), len(positive)} | {len(SCORE_EDGES) - 1}
    return made if len(sizes) == 1 and all(len(one) == len(GREY_EDGES) - 1 for one in made.greys.values()) else None


# --- summary ---


def summarise(results: Results, reference: Reference | None = None) -> Json:
    """Count a run and hold it to what its network was measured on.

    Args:
        results: of the run.
        reference: of the bundle that answered; None where it has none.

    Returns:
        What summary.json holds.

    Raises:
        ReceiptError: a shard cannot be read to its end.
    """
    counts = Counts()
    for _, _, batch in results.tables(COLUMNS):
        counts.add(batch)
    said = results.head
    model = said.get("model", {})
    statuses: dict[str, int] = {name: counts.values["status"][name] for name in STATUSES}
    decisions = {name: counts.values["decision"][name] for name in DECISIONS}
    answered = statuses["answered"]
    return {
        "format": FORMAT,
        "disclaimer": model.get("disclaimer") or DISCLAIMER,
        "films": counts.rows,
        "statuses": statuses,
        "decisions": decisions,
        "rates": {"statuses": _rates(statuses, counts.rows), "decisions": _rates(decisions, answered)},
        "gate_reasons": dict(counts.values["gate_reason"]),
        "quarantine_reasons": dict(counts.reasons["quarantined"]),
        "no_film_reasons": dict(counts.reasons["left_out"]),
        "limits": dict(counts.values["limits"]),
        "scores": counts.scores.tolist(),
        "copies": _copies(results.root),
        "answered_by": {key: model.get(key) for key in WHO} | {"synthetic": bool(model.get("synthetic"))},
        "decision_words": said.get("decision_words", {}),
        "threshold_score": said.get("calibration", {}).get("threshold_score"),
        "model_sha256": sorted(counts.values["model_sha256"]),
        "certificate_sha256": sorted(counts.values["certificate_sha256"]),
        "drift": _describe_drift(counts, answered, reference),
        "stages": _stages(results.root),
    }


def _rates(counts: dict[str, int], n: int) -> Json:
    return {name: asdict(proportion(count, n)) for name, count in counts.items()}


def _copies(root: Path) -> int | None:
    """Return how many rows are of a film that another row is of; None before the receipts are there."""
    from tf_serve.score.receipts.receipt import FOLDER
    from tf_serve.score.receipts.tree import FILMS

    try:
        films = np.load(root / FOLDER / FILMS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    step = 1 << 20
    pieces = (films[at : at + step + 1] for at in range(0, len(films), step))
    return sum(int(((one[1:] == one[:-1]) & (one[1:] > 0)).sum()) for one in pieces)


def _stages(root: Path) -> Json | None:
    """Return seconds and films a second of one core by stage, from the ledger; None of an engine that keeps none."""
    seconds: Counter[str] = Counter()
    films = 0
    try:
        with (root / LEDGER).open(encoding="ascii") as file:
            for line in file:
                shard = json.loads(line)
                films += int(shard["rows"])
                seconds.update(shard["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {
        name: {"seconds": round(taken, 3), "films_a_second": round(films / taken, 2)}
        for name, taken in sorted(seconds.items())
        if taken > 0
    }


def _describe_drift(counts: Counts, answered: int, reference: Reference | None) -> Json:
    checked = counts.values["limits"][NO_REFERENCE_LIMIT] == 0
    looks = proportion(counts.limited["looks"], answered) if checked else None
    by_sort = {
        name: asdict(proportion(count, answered)) for name, count in sorted(counts.limited.items()) if name != "looks"
    }
    scores = counts.scores.reshape(len(SCORE_EDGES) - 1, -1).sum(axis=1)
    shifts: dict[str, Shift] = {}
    if reference is not None:
        shifts["score"] = measure_shift(reference.scores, scores)
        shifts |= {name: measure_shift([reference.greys[name]], counts.greys[name]) for name in GREYS}
    return {
        "looks": None if looks is None else asdict(looks) | {"expected": MOST_UNLIKE, "verdict": _judge_looks(looks)},
        "limited": by_sort,
        "shifts": {name: asdict(one) | {"verdict": one.verdict} for name, one in shifts.items()},
        "reference": None if reference is None else _plain(reference),
        "scores": scores.tolist(),
        "greys": {name: one.tolist() for name, one in counts.greys.items()},
    }


def _plain(reference: Reference) -> Json:
    greys = {name: [int(count) for count in one] for name, one in reference.greys.items()}
    return {"scores": [[int(count) for count in one] for one in reference.scores], **greys}


def _judge_looks(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "cannot say"
    return "shifted" if found.low > MOST_UNLIKE else "alike" if found.high <= MOST_UNLIKE else "cannot say"


# --- words ---

STATUS_WORDS = {
    "answered": "answered",
    "rejected": "rejected by the input gate",
    "quarantined": "quarantined",
    "left_out": "no film",
}
DECISION_WORDS = {"refer": "flagged", "indeterminate": "indeterminate", "not_flagged": "not flagged"}
REASONS = {"gate_reasons": "rejected", "quarantine_reasons": "quarantined", "no_film_reasons": "no film"}
ALARM = "DRIFT: "  # begins a clause
STAGE_WORDS = {
    "read": "reading",
    "digest": "digest",
    "decode": "decoding",
    "gate": "input gate",
    "prepare": "preprocessing",
    "invoke": "network",
    "write": "writing",
}
SHIFT_WORDS = {"score": "scores", "grey_mean": "mean grey level", "grey_deviation": "contrast (spread of grey levels)"}
MOST_REASONS = 3  # of a line


def lines(summary: Json) -> list[str]:
    """Return the five lines that a terminal shows first."""
    model = summary["answered_by"]
    who = ", ".join(str(model[key]) for key in ("artefact", "verdict", "version") if model.get(key))
    statuses = ", ".join(
        f"{count:,} {STATUS_WORDS[name]}" for name, count in summary["statuses"].items() if count or name == "answered"
    )
    return [
        f"{summary['films']:,} films: {statuses}" + (f"; by {who}" if who else ""),
        ", ".join(f"{DECISION_WORDS[name]} {rate(summary, 'decisions', name)}" for name in summary["decisions"]),
        _reasons_line(summary),
        _drift_line(summary),
        _stages_line(summary["stages"] or {}),
    ]


def _stages_line(stages: Json) -> str:
    if not stages:
        return "films a second by stage: this engine keeps no record of it"
    told = (f"{words} {stages[name]['films_a_second']:,.0f}" for name, words in stage_words(stages).items())
    return f"films a second of one core: {', '.join(told)}"


def rate(summary: Json, of: str, name: str) -> str:
    """Return "1,204 (3.2 %, 95 %: 3.0 to 3.4 %)": of `statuses` among all films, of `decisions` among the answered."""
    count, share = summary[of][name], summary["rates"][of][name]
    if share["value"] is None:
        return f"{count:,}"
    return f"{count:,} ({percent(share['value'], share['n'])}, 95 %: {_range(share)})"


def percent(value: float, n: int) -> str:
    """Return a share in per cent with as many digits as n films carry; never down to a zero that is none."""
    digits = min(max(0, len(str(max(1, n))) - 3), 3)
    text = f"{100 * value:.{digits}f}"
    return f"< {10.0**-digits:.{digits}f} %" if value > 0 and float(text) == 0 else f"{text} %"


def _range(share: Json) -> str:
    low, high = (percent(share[end], share["n"]).removesuffix(" %") for end in ("low", "high"))
    return f"{low} to {high} %"


def stage_words(stages: Json) -> dict[str, str]:
    """Return the stages in words, in the order in which a film passes them; what is not known here comes last."""
    return {name: words for name, words in STAGE_WORDS.items() if name in stages} | {
        name: name for name in stages if name not in STAGE_WORDS
    }


def ordered(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Return reasons and their films, the commonest first."""
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _reasons_line(summary: Json) -> str:
    parts = []
    for key, words in REASONS.items():
        rows = ordered(summary[key])
        first = ", ".join(f"{reason.replace('_', ' ')} {films:,}" for reason, films in rows[:MOST_REASONS])
        more = f" and {len(rows) - MOST_REASONS} other reasons" if len(rows) > MOST_REASONS else ""
        parts += [f"{words}: {first}{more}"] if rows else []
    return "; ".join(parts) or "nothing was rejected or quarantined"


def _drift_line(summary: Json) -> str:
    """Return the clauses of `drift_words` as one line that begins with its alarms, if there is one."""
    told = drift_words(summary)
    alarms = [words.removeprefix(ALARM) for words in told if words.startswith(ALARM)]
    others = [words for words in told if not words.startswith(ALARM)]
    return (ALARM if alarms else "drift: ") + "; ".join([*alarms, *others])


def drift_words(summary: Json) -> list[str]:
    """Return a clause each for how films look, their greys and their scores: are they as the network's own films?"""
    return [*_looks_words(summary["drift"]["looks"]), *_shift_words(summary["drift"]["shifts"])]


def _looks_words(looks: Json | None) -> list[str]:
    if looks is None:
        return ["the bundle has no reference of grey levels, so how films look was not checked"]
    if looks["value"] is None:
        return []
    share = (
        f"{percent(looks['value'], looks['n'])} ({_range(looks)}) of the answered films look unlike the training films"
    )
    expected = f"fewer than {100 * looks['expected']:g} % are expected"
    if looks["verdict"] == "shifted":
        return [f"{ALARM}{share}, where {expected}: what was measured may not hold for them"]
    return [f"{share}, as expected" if looks["verdict"] == "alike" else f"{share}, where {expected}: too few to say"]


def _shift_words(shifts: Json) -> list[str]:
    if not shifts:
        return ["the bundle has no distribution of scores and greys to compare with"]
    found = []
    for verdict, words in _VERDICTS.items():
        those = [name for name, one in shifts.items() if one["verdict"] == verdict]
        told = ", ".join(f"{SHIFT_WORDS[name]} (PSI {_index(shifts[name]['index'])})" for name in those)
        found += [f"{words} {told}"] if those else []
    return found


_VERDICTS = {
    "shifted": f"{ALARM}unlike the reference films in",
    "cannot say": "too few films to say of",
    "alike": "alike in",
}


def _index(found: Json) -> str:
    if found["value"] is None:
        return "not known"
    return f"{found['value']:.2f}, {found['low']:.2f} to {found['high']:.2f}"
