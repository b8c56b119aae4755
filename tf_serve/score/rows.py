"""What is said of one film in a table: the row, its columns in Parquet, and what stands in the head of every file.

pyarrow (extra `score`) is imported when a table is made or read, and never by the process that answers films.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tbconv.contract.errors import DataError

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION = 1  # of the columns; another number for every change that a reader has to know of
SHARDS = "shards"  # folder of the results that holds them
SUFFIX = ".parquet"
UNREAD = "it cannot be read"  # begins the reason of a film whose bytes could not be had
Status = Literal["answered", "rejected", "quarantined", "left_out"]
STATUSES: tuple[Status, ...] = ("answered", "rejected", "quarantined", "left_out")


class Row(NamedTuple):
    """One listed file: its answer, why the gate rejected it, why it could not be answered, or what it is if no film."""

    film: (
        str  # path inside the source, with forward slashes, or the manifest's id; a pseudonym where that was asked for
    )
    film_sha256: str | None  # of its bytes, 64 hex digits; None where they could not be read, or ended their reader
    status: Status
    decision: str | None  # refer | indeterminate | not_flagged; None unless answered, as all figures
    score: float | None  # 0..100, rounded but never across the cut-off
    probability: float | None  # calibrated, 0..1
    margin: float | None  # logit of positive minus logit of negative, as float32 gives it: what decided
    limits: tuple[str, ...]  # what the answer does not say; empty where quarantined or left out
    gate_reason: str | None  # code of the rejection; None unless rejected
    evidence_side: str | None  # of the patient: left | right | both
    evidence_zone: str | None  # upper | middle | lower
    grey_mean: float | None  # of the model input, 0..255; None unless answered
    grey_deviation: float | None  # its standard deviation
    model_sha256: str  # of the file that answers, 64 hex digits
    certificate_sha256: str | None  # of the bundle's certificate; None where it has none
    reason: str | None  # quarantined: what is wrong with the film, without its name; left out: what it is


def without_answer(
    film: str, status: Status, reason: str, *, digest: str | None, model_sha256: str, certificate_sha256: str | None
) -> Row:
    """Return the row of what has no answer.

    Args:
        film: its id.
        status: quarantined or left_out.
        reason: in words, without the film's name.
        digest: SHA-256 of its bytes, where they were read.
        model_sha256: of the file that answers the others.
        certificate_sha256: of the bundle's certificate.
    """
    said = {"film": film, "film_sha256": digest, "status": status, "limits": (), "reason": reason}
    by = {"model_sha256": model_sha256, "certificate_sha256": certificate_sha256}
    return Row(**dict.fromkeys(Row._fields) | said | by)  # type: ignore[arg-type]


def schema(head: dict[str, str]) -> pyarrow.Schema:
    """Return the columns of a shard.

    Args:
        head: what stands in the file's metadata (`Run.head`): schema version, disclaimer, and what answered.
    """
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    types = {"limits": pa.list_(text), "score": number, "probability": number, "margin": number}
    types |= {"grey_mean": pa.float32(), "grey_deviation": pa.float32()}
    always = {"film", "status", "limits", "model_sha256"}
    columns = [pa.field(name, types.get(name, text), nullable=name not in always) for name in Row._fields]
    return pa.schema(columns, metadata=head)


def table(rows: Sequence[Row], head: dict[str, str]) -> pyarrow.Table:
    """Return rows as a table, in their order."""
    import pyarrow as pa

    made = schema(head)
    columns = zip(*rows, strict=True) if rows else [()] * len(made)
    return pa.table([pa.array(list(one), field.type) for one, field in zip(columns, made, strict=True)], schema=made)


def head(said: dict[str, Any], disclaimer: str) -> dict[str, str]:
    """Return the metadata of every shard, strings alone, as Parquet has them.

    Args:
        said: what holds for every row (`Scorer.describe`), as JSON.
        disclaimer: the bundle's own sentence.
    """
    return {
        "tbconv.schema": str(SCHEMA_VERSION),
        "tbconv.disclaimer": disclaimer,
        "tbconv.model": json.dumps(said, sort_keys=True, allow_nan=False),
    }


def as_parquet(rows: Sequence[Row], head: dict[str, str]) -> bytes:
    """Return rows as a Parquet file: the same rows give the same bytes, with one version of pyarrow."""
    import pyarrow as pa
    from pyarrow import parquet

    out = pa.BufferOutputStream()
    parquet.write_table(table(rows, head), out, compression="zstd")
    return bytes(out.getvalue())


def shard_name(number: int) -> str:
    """Return the name of a shard of the local engine."""
    return f"part-{number:06d}{SUFFIX}"


def shards(results: Path) -> list[Path]:
    """Return the shards of results, whichever engine wrote them, by name."""
    return sorted(one for one in (results / SHARDS).glob(f"*{SUFFIX}") if not one.name.startswith((".", "_")))


def read(results: Path, columns: Sequence[str] | None = None) -> Iterator[pyarrow.RecordBatch]:
    """Yield the rows of results in batches, shard after shard; of many films only a shard is in memory.

    Args:
        results: folder that `tbconv score` wrote.
        columns: the ones that are read; None reads all.

    Raises:
        DataError: there are none, or of a schema that is not known here.
    """
    from pyarrow import parquet

    for number, shard in enumerate(shards(results)):
        with parquet.ParquetFile(shard) as file:
            if number == 0:
                read_head(file.schema_arrow.metadata, shard)
            yield from file.iter_batches(columns=None if columns is None else list(columns))


def head_of(results: Path) -> dict[str, Any]:
    """Return what stands in the head of results: `schema`, `disclaimer` and `model`, which is `Scorer.describe`.

    Raises:
        DataError: there are no shards, or of a schema that is not known here.
    """
    from pyarrow import parquet

    found = shards(results)
    if not found:
        why, fix = "there is no shard of rows in it", "tbconv score BUNDLE --films FILMS --out RESULTS"
        raise DataError(f"{results} holds no results", why=why, fix=fix)
    return read_head(parquet.read_schema(found[0]).metadata, found[0])


def read_head(metadata: dict[bytes, bytes] | None, shard: Path) -> dict[str, Any]:
    """Return the metadata of a shard, understood."""
    said = {name.decode(): value.decode() for name, value in (metadata or {}).items() if name.startswith(b"tbconv.")}
    if said.get("tbconv.schema") != str(SCHEMA_VERSION):
        why = f"its schema is {said.get('tbconv.schema', 'not stated')}, this version reads {SCHEMA_VERSION}"
        raise DataError(f"{shard} cannot be read", why=why, fix="read it with the tbconv that wrote it")
    model = json.loads(said["tbconv.model"])
    return {"schema": SCHEMA_VERSION, "disclaimer": said["tbconv.disclaimer"], "model": model}
