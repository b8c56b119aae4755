"""One bulk run, top to bottom: check the bundle, list the films, let an engine answer them, say what came out.

Whatever engine answers, a folder of results belongs to one bundle, one set of options and one list of films (run.json),
has one writer at a time, and every listed film has one row in it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from tbconv.contract import __version__
from tbconv.contract.bundle import read_bundle, read_json, refuse_inside
from tbconv.contract.errors import ConfigError, DataError, Reporter, no_formula, printable
from tbconv.contract.files import atomic_file, disk_errors_stated, only_writer, write_atomic
from tbconv.contract.signature import SignatureRule
from tf_serve.gate.rules import GateLevel
from tf_serve.score import rows
from tf_serve.score.films import FilmList, Pseudonyms, is_elsewhere, list_films
from tf_serve.score.hospital import HospitalWriter
from tf_serve.score.receipts.receipt import write_receipts
from tf_serve.score.results import Results
from tf_serve.score.scorer import Scorer, ScorerRecipe
from tf_serve.score.summary import SUMMARY, reference_of, summarise
from tf_serve.settings import usable_cores

RUN, QUARANTINE, CSV = "run.json", "quarantine.jsonl", "results.csv"
SHARD_FILMS = 1_000  # some 80 KB; a killed run loses the shards that were not full
FILM_TIMEOUT_S = 120.0  # the largest film takes 2 s of a core, and a busy machine twenty times as long
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a path has made one slash of two
ENGINES = {"local": "tf_serve.score.engines.local:LocalEngine", "ray": "tf_serve.score.engines.ray:RayEngine"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """Arguments of `tbconv score`."""

    bundle: Path
    films: str  # a folder, table, archive, film or address
    out: Path
    engine: str = "local"
    address: str | None = None  # of a Ray cluster; None starts Ray on this machine
    workers: int | None = None  # processes, each with one interpreter of one thread; None: as many as there are cores
    artefact: str | None = None  # None: the one that the certificate proposes
    gate: GateLevel = GateLevel.STRICT
    signature: SignatureRule | None = None  # whose signature is required
    pseudonyms: Pseudonyms | None = None  # stand for ids
    csv: bool = False  # also as one table
    sign_key: Path | None = None  # private key, PEM, that signs the root of the receipts
    hospital: HospitalWriter | None = None  # also in the hospital's formats; a run that goes on keeps its time
    shard_films: int = SHARD_FILMS
    film_timeout_s: float = FILM_TIMEOUT_S

    def __post_init__(self) -> None:
        if self.hospital is not None and self.pseudonyms is not None:
            why = "the hospital's formats name the patients of DICOM films, under the digests that the results have"
            fix = "omit --dicom-out, or --pseudonymise"
            raise ConfigError("--pseudonymise with --dicom-out", why=why, fix=fix)
        if self.address is not None and self.engine != "ray":
            raise ConfigError("--address is of a Ray cluster", why=f"the engine is {self.engine}", fix="--engine ray")
        for name in ("workers", "shard_films", "film_timeout_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be more than 0, got {value!r}")
        if _ADDRESS.match(str(self.out)):
            why = "results are written on this machine, where they can be brought to the disk and renamed"
            raise ConfigError(f"--out is {self.out}", why=why, fix="--out RESULTS, and copy it there")
        if self.engine not in ENGINES:
            why = "films are scored by " + " or ".join(ENGINES)
            raise ConfigError(f"there is no engine {self.engine!r}", why=why, fix=f"--engine {next(iter(ENGINES))}")

    @property
    def processes(self) -> int:
        """How many processes answer on this machine."""
        return self.workers or usable_cores()

    @property
    def is_elsewhere(self) -> bool:
        """Whether films come from another machine, for which credentials are needed."""
        return is_elsewhere(self.films)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What an engine has to do."""

    recipe: ScorerRecipe  # of the scorer that every process opens
    head: dict[str, str]  # metadata of every shard (`rows.head`)
    certificate_sha256: str | None
    films: FilmList
    results: Path  # shards go into its folder `rows.SHARDS`, which is there
    shard_films: int
    film_timeout_s: float
    reporter: Reporter


class BulkEngine(Protocol):
    """Who answers the films: made of the config, entered before anything else is done, then given the job.

    It gives every listed film one row in a shard, of the columns of `rows.schema`, and does again what is lacking when
    it is started again after a kill.
    """

    @property
    def shared(self) -> Path | None:
        """Folder in which its processes share their copy of the network; None where they are on several machines."""
        ...

    def __enter__(self) -> BulkEngine:
        """Begin to start what takes long: the bundle is checked and the films are listed meanwhile."""
        ...

    def __exit__(self, *told: Any) -> None:
        """End all of it, also after an error."""
        ...

    def score(self, job: Job) -> Iterator[int]:
        """Answer the films that have no row yet; yield how many had one before, then how many more have one."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What came out of a run."""

    results: Path
    films: int  # listed; each has one row
    statuses: dict[str, int]  # by `rows.STATUSES`
    decisions: dict[str, int]  # of the answered, by code
    gate_reasons: dict[str, int]  # of the rejected, by code
    left_out: dict[str, int]  # by its place alone: no row; by kind
    model: dict[str, Any]  # `Scorer.describe`
    scored: int  # of the films, by this very call: the others had their rows from an earlier one
    seconds: float  # that this call took
    engine: str
    root: str  # of the receipts, 64 hex digits
    said: dict[str, Any]  # tf_serve.score.summary: rates, drift, stages

    @property
    def quarantined(self) -> int:
        """How many films could not be answered."""
        return self.statuses["quarantined"]

    @property
    def films_a_second(self) -> float:
        """How many films this call answered in a second, its start included."""
        return self.scored / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        own = asdict(self)
        said: dict[str, Any] = own.pop("said")
        del own["results"]  # it may be passed on, and names no path
        rate = round(self.films_a_second, 2)
        return own | said | {"seconds": round(self.seconds, 2), "films_a_second": rate}


def score(config: ScoreConfig, *, reporter: Reporter) -> ScoreSummary:
    """Score films into a folder of results, or go on where an earlier call was stopped.

    Raises:
        BundleError: no file of the bundle may answer, or the network broke meanwhile.
        ConfigError: the folder holds the results of another run, or another process writes there.
        DataError: the films cannot be listed, or finished shards were altered.
        SetupError: the disk is full, or processes cannot be started.
    """
    begun = time.monotonic()
    results = _make_place(config)
    with ExitStack() as stack:
        stack.enter_context(only_writer(results))
        engine = stack.enter_context(_engine(config))
        scorer = Scorer(
            config.bundle,
            artefact=config.artefact,
            gate=config.gate,
            signature=config.signature,
            shared=engine.shared,
        )
        films = stack.enter_context(list_films(config.films, pseudonyms=config.pseudonyms))
        _same_run(results, config, scorer, films)
        said = scorer.describe()
        assert scorer.recipe is not None  # noqa: S101  (it was opened here)
        recipe = replace(scorer.recipe, hospital=_hospital(results, config))
        job = Job(
            recipe=recipe,
            head=rows.head(said, scorer.manifest.words.disclaimer),
            certificate_sha256=scorer.certificate_sha256,
            films=films,
            results=results,
            shard_films=config.shard_films,
            film_timeout_s=config.film_timeout_s,
            reporter=reporter,
        )
        reference = reference_of(read_bundle(config.bundle), scorer.active.kind)
        del scorer  # its interpreter's memory: the engine has its own
        scored = _answer(engine, job)
        counts = _count(results, len(films))
        _write_quarantine(results)
        if config.csv:
            _write_csv(results)
        written = Results.open(results)
        root = write_receipts(results, written, key=config.sign_key)
        summary = ScoreSummary(
            results=results,
            films=len(films),
            **counts,
            left_out=films.left_out,
            model=said,
            scored=scored,
            seconds=time.monotonic() - begun,
            engine=config.engine,
            root=root,
            said=summarise(written, reference),
        )
        _write_json(results / SUMMARY, summary.to_json())
        return summary


def _engine(config: ScoreConfig) -> AbstractContextManager[BulkEngine]:
    module, _, name = ENGINES[config.engine].partition(":")
    made: AbstractContextManager[BulkEngine] = getattr(import_module(module), name)(config)
    return made


def _answer(engine: BulkEngine, job: Job) -> int:
    """Let the engine answer under a progress bar; return how many films it answered in this call."""
    answers = engine.score(job)
    had = next(answers)  # before anything is answered
    left = len(job.films) - had
    if had:
        job.reporter.say(f"{had:,} of {len(job.films):,} films have their rows already")
    each = (None for count in answers for _ in range(count))
    for _ in job.reporter.track(each, title="films", total=left):
        pass
    return left


# --- the folder of results ---


def _make_place(config: ScoreConfig) -> Path:
    """Make the folder; nobody else may read it: what stands in it is about patients."""
    results = config.out.resolve()
    refuse_inside(config.bundle, results, fix="choose a folder beside it: --out RESULTS")
    films = Path(config.films)
    if not config.is_elsewhere and films.is_dir() and results.is_relative_to(films.resolve()):
        why = "what is written there would be listed as films the next time"
        raise ConfigError("--out lies in the folder of films", why=why, fix="choose a folder beside it: --out RESULTS")
    with disk_errors_stated(results):
        results.mkdir(mode=0o700, parents=True, exist_ok=True)
        (results / rows.SHARDS).mkdir(mode=0o700, exist_ok=True)
    return results


def _same_run(results: Path, config: ScoreConfig, scorer: Scorer, films: FilmList) -> None:
    """Hold a folder to the run that it was begun for, or begin one.

    Raises:
        ConfigError: it is of another bundle, other options or another list of films.
    """
    now = {
        "schema": rows.SCHEMA_VERSION,
        "tbconv": __version__,
        "engine": config.engine,
        "manifest_sha256": scorer.recipe.manifest_sha256 if scorer.recipe else None,
        "model_sha256": scorer.active.sha256,
        "certificate_sha256": scorer.certificate_sha256,
        "altered": list(scorer.active.altered or ()),
        "gate": config.gate.value,
        "pseudonyms": config.pseudonyms.mark if config.pseudonyms else None,
        "shard_films": config.shard_films,
        "hospital": config.hospital.mark if config.hospital else None,
        "films": len(films),
        "films_sha256": films.sha256,
    }
    place = results / RUN
    if not place.exists():
        if others := [
            one.name for one in results.iterdir() if one.name != rows.SHARDS and not one.name.startswith(".")
        ]:
            why = f"{printable(others[0])} lies there, and no {RUN} that would say which run it is of"
            raise ConfigError(f"{results} is not empty", why=why, fix="choose a new folder: --out RESULTS")
        begun = {"begun": config.hospital.made.isoformat()} if config.hospital else {}
        _write_json(place, now | begun)
        return
    before = read_json(place)
    if not isinstance(before, dict):
        raise ConfigError(f"{place} cannot be understood", why="it is no JSON object", fix="choose another --out")
    if differ := [name for name in now if before.get(name) != now[name]]:
        why = "; ".join(_difference(name, before.get(name), now[name]) for name in differ)
        fix = "give what it was begun with, or choose another folder: --out RESULTS"
        raise ConfigError(f"{results} holds the results of another run", why=why, fix=fix)


def _hospital(results: Path, config: ScoreConfig) -> HospitalWriter | None:
    """Return the writer with the time at which the run was begun, so that a run that goes on writes the same bytes."""
    if config.hospital is None:
        return None
    begun = read_json(results / RUN).get("begun")
    try:
        return replace(config.hospital, made=datetime.fromisoformat(begun))
    except (TypeError, ValueError) as error:
        why = f"it has no time at which the run was begun: {printable(begun)}"
        raise ConfigError(f"{results / RUN} cannot be understood", why=why, fix="choose another --out") from error


_SAID = {
    "schema": "the columns", "tbconv": "the version of tbconv", "engine": "the engine", "manifest_sha256": "the bundle",
    "model_sha256": "the network", "certificate_sha256": "the certificate", "altered": "the bundle's altered files",
    "gate": "the gate", "pseudonyms": "the key of the pseudonyms", "shard_films": "the films of a shard",
    "hospital": "--dicom-out, with its formats,",
    "films": "the number of films", "films_sha256": "the list of films",
}  # fmt: skip


def _difference(name: str, before: object, now: object) -> str:
    short = [str(one)[:12] if name.endswith("sha256") else str(one) for one in (before, now)]
    return f"{_SAID[name]} was {short[0]} and is {short[1]}"


def _write_json(place: Path, value: dict[str, Any]) -> None:
    write_atomic(place, f"{json.dumps(value, indent=2, sort_keys=True, allow_nan=False)}\n", mode=0o600)


# --- what came out ---


def _count(results: Path, films: int) -> dict[str, Any]:
    """Count the rows of all shards.

    Raises:
        DataError: there are more or fewer than films.
    """
    found: Counter[tuple[str, str | None, str | None]] = Counter()
    for batch in rows.read(results, ["status", "decision", "gate_reason"]):
        found.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    if found.total() != films:
        raise DataError(
            f"{results} has {found.total():,} rows of {films:,} films",
            why="each film has one row; something else was written there",
            fix="score them into another folder",
        )
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("statuses", "decisions", "gate_reasons")}
    for (status, decision, reason), count in found.items():
        counts["statuses"][status] += count
        if decision is not None:
            counts["decisions"][decision] += count
        if reason is not None:
            counts["gate_reasons"][reason] += count
    sorted_ = {name: dict(sorted(one.items())) for name, one in counts.items()}
    return sorted_ | {"statuses": {name: counts["statuses"][name] for name in rows.STATUSES}}


def _write_quarantine(results: Path) -> None:
    """Write the films that could not be answered, with their reasons, in order of id."""
    columns = ["film", "film_sha256", "status", "reason"]
    found = [
        {"film": film, "film_sha256": digest, "reason": reason}
        for batch in rows.read(results, columns)
        for film, digest, status, reason in zip(*(one.to_pylist() for one in batch.columns), strict=True)
        if status == "quarantined"
    ]
    lines = [json.dumps(one, sort_keys=True) for one in sorted(found, key=lambda one: str(one["film"]))]
    write_atomic(results / QUARANTINE, "".join(f"{line}\n" for line in lines), mode=0o600)


def _write_csv(results: Path) -> None:
    """Write all rows as one table for a spreadsheet; what is said of every answer stands in its summary, not here."""
    common = set(rows.head_of(results)["model"]["limits"])
    names = [name if name != "limits" else "notes" for name in rows.Row._fields]
    with atomic_file(results / CSV, mode=0o600) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for batch in rows.read(results):
            for one in map(rows.Row._make, zip(*(column.to_pylist() for column in batch.columns), strict=True)):
                notes = " | ".join(said for said in one.limits if said not in common)
                cells = one._asdict() | {"film": no_formula(printable(one.film)), "limits": notes}
                writer.writerow(["" if cell is None else cell for cell in cells.values()])
        text.detach()
