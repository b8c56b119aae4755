"""The results of a run, read shard by shard: for its receipts, its summary and its evaluation alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbconv.contract.errors import DataError, ReceiptError, printable
from tf_serve.score import rows

if TYPE_CHECKING:
    import pyarrow

BATCH = 2048  # rows in memory at a time
NEEDED = ("film", "film_sha256", "status", "decision", "margin", "model_sha256")  # columns; the rest may be lacking


@dataclass(slots=True)
class Results:
    """A folder that `tbconv score` wrote; no row of it is read before it is asked for."""

    root: Path
    shards: tuple[str, ...]  # names, sorted
    _open: dict[int, Any] = field(default_factory=dict, repr=False)  # the shard that was read last

    @classmethod
    def open(cls, root: Path) -> Results:
        """Find the shards.

        Raises:
            DataError: there is no such folder, or no shard in it.
        """
        found = [path.name for path in rows.shards(root)]
        if not found:
            why = f"it has no {rows.SHARDS}/*{rows.SUFFIX}" if root.is_dir() else "there is no such folder"
            fix = "name the folder that `tbconv score --out` wrote"
            raise DataError(f"{root} holds no results", why=why, fix=fix)
        return cls(root, tuple(found))

    @property
    def count(self) -> int:
        """How many rows there are, by the shards' own words."""
        return sum(self._file(shard).metadata.num_rows for shard in range(len(self.shards)))

    @property
    def head(self) -> dict[str, Any]:
        """What the first shard says of all its rows: who answered, by which rule (`Scorer.describe`)."""
        found: dict[str, Any] = rows.head_of(self.root)["model"]
        return found

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, int, pyarrow.RecordBatch]]:
        """Yield shard, first row and a batch of rows, until every row was there once.

        Args:
            columns: that are read; None: all. Those that a shard lacks are left out.

        Raises:
            ReceiptError: a shard cannot be read to its end.
        """
        for shard, name in enumerate(self.shards):
            first, file = 0, self._file(shard)
            known = None if columns is None else [one for one in columns if one in file.schema_arrow.names]
            try:
                for batch in file.iter_batches(batch_size=BATCH, columns=known):
                    yield shard, first, batch
                    first += len(batch)
            except (OSError, ValueError) as error:  # pyarrow's own errors are of these two
                raise _damaged(name, error) from error

    def batches(self) -> Iterator[tuple[int, int, Sequence[Mapping[str, Any]]]]:
        """Yield shard, first row and rows with all their columns."""
        for shard, first, batch in self.tables():
            try:
                found = batch.to_pylist()
            except ValueError as error:  # text that is none
                raise _damaged(self.shards[shard], error) from error
            yield shard, first, found

    def row(self, shard: int, row: int) -> Mapping[str, Any]:
        """Return one row; no more than its row group is read.

        Raises:
            IndexError: there is none.
            ReceiptError: the shard cannot be read.
        """
        file, left = self._file(shard), row
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if left < size:
                try:
                    batch = next(file.iter_batches(batch_size=left + 1, row_groups=[group]))
                    found: Mapping[str, Any] = batch.slice(left, 1).to_pylist()[0]
                except (OSError, ValueError) as error:
                    raise _damaged(self.shards[shard], error) from error
                return found
            left -= size
        raise IndexError(f"{self.shards[shard]} has no row {row + 1}")

    def _file(self, shard: int) -> Any:
        import pyarrow.parquet as pq

        if shard not in self._open:
            self._open.clear()
            name = self.shards[shard]
            try:
                file = pq.ParquetFile(self.root / rows.SHARDS / name, memory_map=True)
            except (OSError, ValueError) as error:
                raise _damaged(name, error) from error
            if lacking := [one for one in NEEDED if one not in file.schema_arrow.names]:
                why = f"it has no column {', '.join(lacking)}"
                raise DataError(f"{name} holds no results", why=why, fix="name the folder that `tbconv score` wrote")
            self._open[shard] = file
        return self._open[shard]


def _damaged(name: str, error: Exception) -> ReceiptError:
    why = f"it cannot be read as Parquet: {printable(error, most=200)}"
    fix = "restore the shard from a copy, or score these films again into another folder"
    return ReceiptError(f"{name} is damaged or was altered", why=why, fix=fix)
