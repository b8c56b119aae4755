"""The results of a bulk run against labels: the figures of a site without running anything again.

Rows and labels are joined by the film's id - its path, or as much of its end as is needed - or by the digest of its
bytes. What is on one side alone is counted and said, never dropped: a film without a label is judged nowhere, and a
label without a row is a film that nobody read.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.certificate.site.evaluate import (
    REJECTED,
    UNREADABLE,
    SiteAnswer,
    Subject,
    claims_of,
    describe_answers,
    films_of_the_run,
    with_labels,
)
from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.certificate import SITE
from tbconv.contract.errors import ConfigError, DataError, Reporter, some
from tbconv.contract.files import write_json
from tbconv.contract.manifest import Calibration, Labels
from tbconv.contract.statistics import Estimate
from tbconv.contract.xray.folder import FilmTree, name_inside
from tf_serve.score.films import Pseudonyms
from tf_serve.score.results import Results
from tf_serve.score.rows import STATUSES
from torch_train.data.findings import LabelChoice
from torch_train.data.layouts import FILM_COLUMNS, read_table_set
from torch_train.data.public import find_film_column, read_public_tables
from torch_train.data.records import FilmIndex
from torch_train.data.tables import FilmTable, NamedFilms, key_of, parts_of_cell, read_table, stem_of_name
from torch_train.evaluation.summary import SummaryConfig

if TYPE_CHECKING:
    from tf_serve.fallback import ActiveModel

Json = dict[str, Any]
ROOT = Path("/results")  # before every id: layouts read paths, and nothing is opened
DIGESTS = ("filmsha256", "sha256", "filmdigest", "digest")  # columns of a table, by `key_of`
COLUMNS = ("film", "film_sha256", "status", "decision", "margin", "gate_reason", "reason", "model_sha256")
RUN = "run.json"
MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsConfig:
    """What `tbconv evaluate --results` does."""

    results: Path  # folder of `tbconv score`, or its results.csv
    labels: Path  # table
    out: Path
    bundle: Path | None = None  # that answered: its claims are compared with; needed for a CSV alone
    prevalence: float = 0.01
    choice: LabelChoice = field(default_factory=LabelChoice)
    pseudonyms: Pseudonyms | None = None  # where ids are keyed digests and the table has names
    seed: int = 0

    def __post_init__(self) -> None:
        SummaryConfig(prevalence=self.prevalence)  # which refuses what is no share


def evaluate_results(config: ResultsConfig, reporter: Reporter) -> Json:
    """Judge the results of a run against labels, and write `site.json` and `site.html` into `config.out`.

    Returns:
        What site.json holds.

    Raises:
        DataError: nothing joins, or the labels are others than the bundle's.
        ConfigError: the bundle or the key of the pseudonyms is another one than the run's.
        ReceiptError: a shard cannot be read.
    """
    from convert.certificate.site.page import write_page

    run = _open(config.results)
    bundle = None if config.bundle is None else read_bundle(config.bundle)
    key = _key_of(run, config.pseudonyms)
    table = read_table(config.labels)
    kept, counts, models = _rows_that_may_join(run.rows(), table, key)
    subject = _subject_of(run.head, models, bundle)
    index, unlabelled = _join(table, kept, key, config, run)
    index = with_labels(subject.labels, index, given=config.choice.names_positive)
    rows = {_path_of(row["film"]): row for row in kept}
    answers = [_answer(rows[film.path]) for film in index.films]
    notes = _join_notes(index, table, counts, unlabelled, rows)
    for note in index.notes:  # with the names that the record leaves out
        reporter.say(f"note: {note}")
    found = describe_answers(
        replace(index, notes=(*notes, *index.notes)), answers, subject, prevalence=config.prevalence, seed=config.seed
    )
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / SITE, found)
    write_page(config.out, found)
    return found


# --- results ---


@dataclass(frozen=True, slots=True)
class _Run:
    rows: Callable[[], Iterator[Json]]  # with COLUMNS
    head: Json  # `Scorer.describe`; empty of a CSV alone
    mark: str | None  # of the key of its pseudonyms; None: ids are names, or nothing is known


def _open(place: Path) -> _Run:
    if place.is_file():
        return _Run(partial(_rows_of_csv, place), *_beside(place.parent))
    results = Results.open(place)
    return _Run(partial(_rows_of_shards, results), results.head, _mark(place))


def _beside(folder: Path) -> tuple[Json, str | None]:
    """Return what the folder of results says, in which a results.csv may still lie."""
    try:
        return Results.open(folder).head, _mark(folder)
    except DataError:
        return {}, None


def _mark(folder: Path) -> str | None:
    try:
        found = json.loads((folder / RUN).read_text("utf-8")).get("pseudonyms")
    except (OSError, ValueError, AttributeError):
        return None
    return None if found is None else str(found)


def _rows_of_shards(results: Results) -> Iterator[Json]:
    for _, _, batch in results.tables(COLUMNS):
        yield from batch.to_pylist()


def _rows_of_csv(place: Path) -> Iterator[Json]:
    table = read_table(place)
    if lacking := [name for name in ("film", "status", "decision", "margin") if key_of(name) not in table.keys]:
        why = f"it has no column {' or '.join(lacking)}; its columns are {some(list(table.columns), 12)}"
        raise DataError(f"{place.name} holds no results", why=why, fix="name what `tbconv score --csv` wrote")
    for row in table.rows:
        found: Json = {name: row.get(key_of(name)) or None for name in COLUMNS}
        found["film"] = str(found["film"]).removeprefix("./")  # what a spreadsheet would run is written so
        found["margin"] = float(found["margin"]) if found["margin"] else None
        yield found


def _key_of(run: _Run, given: Pseudonyms | None) -> Pseudonyms | None:
    if given is not None and run.mark is not None and given.mark != run.mark:
        why = "the ids of these results were made with another key"
        raise ConfigError("the key of --pseudonymise does not fit", why=why, fix="give the key that the run had")
    if given is not None and run.mark is None and run.head:
        raise ConfigError("--pseudonymise", why="the ids of these results are no pseudonyms", fix="omit --pseudonymise")
    return given


def _answer(row: Mapping[str, Any]) -> SiteAnswer:
    """Return what became of a film, in the words of a site's evaluation."""
    status = row["status"]
    if status == "answered":
        return SiteAnswer(row["decision"], row["film_sha256"], None, row["margin"])
    if status == "rejected":
        return SiteAnswer(REJECTED, row["film_sha256"], row["gate_reason"])
    return SiteAnswer(UNREADABLE, row["film_sha256"], row["reason"])


# --- join ---


def _rows_that_may_join(
    rows: Iterable[Json], table: FilmTable, key: Pseudonyms | None
) -> tuple[list[Json], Counter[str], set[str]]:
    """Return the rows whose names or digests the table may mean, how many there are of each status, and who answered.

    Of ten million rows only those with a label are kept.
    """
    columns = [one for one in FILM_COLUMNS if one in table.keys]
    digests = {row[one].lower() for one in DIGESTS if one in table.keys for row in table.rows}
    cells = {row[one] for one in columns for row in table.rows if row[one]}
    stems = {stem_of_name(parts[-1]) for cell in cells if (parts := parts_of_cell(cell))}
    ids = cells | ({key.of(_as_id(cell)) for cell in cells} if key else set())
    kept, counts, models = list[Json](), Counter[str](), set[str]()
    for row in rows:
        counts[row["status"]] += 1
        if row.get("model_sha256"):
            models.add(row["model_sha256"])
        film = str(row["film"])
        name = film.rsplit("/", 1)[-1].casefold()
        if film in ids or (row["film_sha256"] or "") in digests or stem_of_name(name) in stems:
            kept.append(row)
    return kept, counts, models


def _as_id(cell: str) -> str:
    """Return a path as ids write it: with forward slashes."""
    return cell.replace("\\", "/").removeprefix("./")


def _path_of(film_id: str) -> Path:
    """Return an id as a path below `ROOT`, which nothing in it leads out of."""
    return ROOT.joinpath(*(part for part in re.split(r"[\\/]+", film_id) if part not in ("", ".")))


def _join(
    table: FilmTable, rows: Sequence[Json], key: Pseudonyms | None, config: ResultsConfig, run: _Run
) -> tuple[FilmIndex, int]:
    """Return the films that have a row and a label, and how many labels have no row.

    Raises:
        DataError: none has, or the table has no column of labels.
    """
    films = tuple(sorted(_path_of(row["film"]) for row in rows))
    named = NamedFilms(ROOT, films)
    table = _with_ids(table, rows, key)
    column, found = find_film_column([one for one in FILM_COLUMNS if one in table.keys], table, named)
    # a name alone is not enough where folders differ: a label of `b/1.png` is none of `a/1.png`
    found = {cell: path for cell, path in found.items() if _ends_alike(cell, name_inside(path, ROOT))}
    joined = replace(table, rows=tuple(row for row in table.rows if row.get(column) in found))
    if not joined.rows:
        raise _nothing_joins(table, run, key)
    tree = FilmTree(ROOT, tuple(sorted(set(found.values()))), {})
    index = read_public_tables(tree, [joined], config.choice) or read_table_set(tree, [joined], config.choice)
    if index is None:
        why = f"its columns are {some(list(table.columns), 12)}, and none is known to hold labels"
        fix = "call one `label`, or name the column of a finding: --label COLUMN"
        raise DataError(f"{table.path.name} has no labels", why=why, fix=fix)
    return index, len(table.rows) - len(joined.rows)


def _ends_alike(cell: str, film_id: str) -> bool:
    """Whether one of two paths is the end of the other, whatever the suffix of the picture."""
    first, second = ([*parts[:-1], stem_of_name(parts[-1])] for parts in map(parts_of_cell, (cell, film_id)))
    shorter = min(len(first), len(second))
    return first[-shorter:] == second[-shorter:]


def _with_ids(table: FilmTable, rows: Sequence[Json], key: Pseudonyms | None) -> FilmTable:
    """Return a table that names films by ids, where it has digests, or names of which the ids are pseudonyms."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    ids = {row["film"] for row in rows}
    for row in rows:
        if row["film_sha256"]:
            by_digest[row["film_sha256"]].append(row["film"])
    column = next((one for one in DIGESTS if one in table.keys), None)
    if column is not None and any(row[column].lower() in by_digest for row in table.rows):
        # a film that the run read twice has its label twice
        pairs = ((row, film) for row in table.rows for film in by_digest.get(row[column].lower(), [row[column]]))
        return _renamed(table, column, ((row, film) for row, film in pairs))
    if key is None:
        return table
    best = max(
        (one for one in FILM_COLUMNS if one in table.keys),
        key=lambda one: sum(key.of(_as_id(row[one])) in ids for row in table.rows),
        default=None,
    )
    if best is None:
        return table
    return _renamed(table, best, ((row, key.of(_as_id(row[best]))) for row in table.rows))


def _renamed(table: FilmTable, column: str, pairs: Iterable[tuple[Mapping[str, str], str]]) -> FilmTable:
    others = [name for name in table.columns if key_of(name) not in (column, "file")]
    rows = tuple({key_of(name): row[key_of(name)] for name in others} | {"file": film} for row, film in pairs)
    return FilmTable(table.path, (*others, "file"), rows)


def _nothing_joins(table: FilmTable, run: _Run, key: Pseudonyms | None) -> DataError:
    if run.mark is not None and key is None:
        why = "the ids of the results are pseudonyms, and the table has none of them"
        fix = (
            "add --pseudonymise with the key of the run, or write the pseudonyms or a column film_sha256 into the table"
        )
        return DataError(f"no film of {table.path.name} is in the results", why=why, fix=fix)
    why = (
        f"its columns are {some(list(table.columns), 12)}; films are known by id (a path or its end) or by film_sha256"
    )
    fix = "name films as the column film of the results does, or by their SHA-256"
    return DataError(f"no film of {table.path.name} is in the results", why=why, fix=fix)


def _join_notes(
    index: FilmIndex, table: FilmTable, counts: Counter[str], unlabelled: int, rows: Mapping[Path, Json]
) -> tuple[str, ...]:
    """Return how many films are on one side alone, and what became of those without a label."""
    own = Counter(rows[film.path]["status"] for film in index.films)
    without = {name: counts[name] - own[name] for name in STATUSES if counts[name] > own[name]}
    notes = [f"{len(index.films):,} films have a row in the results and a label, of {counts.total():,} rows"]
    if without:
        told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in without.items())
        notes.append(f"{sum(without.values()):,} rows have no label and are judged nowhere: {told}")
    if unlabelled:
        notes.append(
            f"{unlabelled:,} of {len(table.rows):,} labels have no row in the results: nobody read these films"
        )
    return tuple(notes)


# --- subject ---


def _subject_of(head: Json, models: set[str], bundle: Bundle | None) -> Subject:
    """Return who answered, by the results' own words or by the bundle.

    Raises:
        DataError: the results are of several networks, or say nothing of theirs and no bundle is named.
        ConfigError: the bundle is another one than answered.
    """
    if len(models) > 1:
        why = f"their digests are {some(sorted(one[:12] for one in models), MOST_NAMED)}"
        fix = "evaluate the results of one run at a time"
        raise DataError(f"{len(models)} networks answered these films", why=why, fix=fix)
    if bundle is None and not head:
        why = "threshold, calibration and labels stand in the shards' head, or in the bundle"
        raise DataError(
            "the results do not say who answered", why=why, fix="name the bundle that answered: --bundle BUNDLE"
        )
    said, claimed, of = (
        head,
        dict[str, Estimate](),
        "its bundle was not named (--bundle), so its claims are not known",
    )
    if bundle is not None:
        model = next(iter(models), str(head.get("model", {}).get("sha256", "")))
        from tf_serve.score.scorer import Scorer  # loads LiteRT, the one framework of this process

        active = _open_active(bundle, head, model)
        said = head or Scorer.of(active, bundle.manifest).describe() | {"manifest_sha256": bundle.sha256}
        claimed, of = claims_of(active, bundle)
    described = said["model"]
    return Subject(
        described={
            "name": described["name"],
            "manifest_sha256": said["manifest_sha256"],
            "version": described["version"],
            "kind": described["kind"],
            "artefact": described["artefact"],
            "sha256": described["sha256"],
            "fallback_reason": described["fallback_reason"],
            "threshold": said["threshold"],
            "abstention_band": said["indeterminate_band"],
            "synthetic": described["synthetic"],
        },
        disclaimer=described["disclaimer"],
        labels=Labels(*said["labels"]),
        calibration=Calibration(
            **{name: said["calibration"][name] for name in ("slope", "offset", "positives", "negatives")}
        ),
        threshold=said["threshold"],
        gate=said["gate"],
        claimed=claimed,
        claimed_of=of,
        seen=partial(films_of_the_run, bundle) if bundle is not None else lambda _: None,
    )


def _open_active(bundle: Bundle, head: Json, model: str) -> ActiveModel:
    """Open the file of the bundle that answered; ConfigError where it has none of this digest."""
    from tf_serve.fallback import choose_checked

    served = [one.path for one in bundle.manifest.artefacts if one.is_served]
    path = next((one for one in served if bundle.digest(one) == model), None)
    if path is None or head.get("manifest_sha256", bundle.sha256) != bundle.sha256:
        why = (
            f"{model[:12]} answered"
            if path is None
            else "it has other labels, another threshold or another certificate"
        )
        fix = (
            "name the bundle that these films were scored with, or omit --bundle: figures then stand without its claims"
        )
        raise ConfigError(f"{bundle.root} is not the bundle of these results", why=why, fix=fix)
    return choose_checked(bundle, artefact=path)
