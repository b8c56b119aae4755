"""A Merkle tree on disk over the rows of a run: one digest stands for all rows, some twenty digests for each of them.

Hashes are those of RFC 6962, section 2.1: a leaf is SHA-256 of a zero byte and its text, a node SHA-256 of a one byte
and its two children, so that no leaf can pass for a node; the last node of an odd level moves up as it is. Leaves are
sorted by the digest of their film, then by their own, so that rows give the same root in whatever order they were
written, and two neighbours show that nothing lies between them.

Beside the leaves lie the nodes from the eighth level on, and two indices: a film, an id and a path are found by reading
some twenty places of memory-mapped files, whatever the number of rows. Building takes memory for one 256th of them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right"]
Digests = NDArray[np.uint8]  # [N, 32]
Numbers = NDArray[np.uint64]
DIGEST = 32  # bytes of SHA-256
EMPTY = hashlib.sha256().digest()  # the root of no rows, as RFC 6962 has it
FILMS, LEAVES, NODES, PLACES = "films.npy", "leaves.npy", "nodes.npy", "places.npy"
IDS, ROWS_OF_IDS = "ids.npy", "rows_of_ids.npy"
FILES = (FILMS, LEAVES, NODES, PLACES, IDS, ROWS_OF_IDS)
_STORED = 8  # the lowest level whose nodes are stored: below it 256 leaves are hashed again, in 0.2 ms
_CHUNK = 1 << _STORED
_SIDES: Final[tuple[Side, Side]] = ("left", "right")
_BUCKETS = 256  # by the first byte of a digest


# --- hashes ---


def hash_leaf(text: str) -> bytes:
    """Return the hash of a row's text."""
    return hashlib.sha256(b"\0" + text.encode()).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two children."""
    return hashlib.sha256(b"\1" + left + right).digest()


def number_of(digest: bytes) -> int:
    """Return the first eight bytes of a digest, which order as the digests do."""
    return int.from_bytes(digest[:8], "big")


def number_of_id(film_id: str) -> int:
    """Return the number by which the index knows an id."""
    return number_of(hashlib.sha256(film_id.encode("utf-8", "surrogatepass")).digest())


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    pairs = [hash_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs


@dataclass(frozen=True, slots=True)
class Step:
    """One step from a leaf to the root: the other child, and on which side of ours it stands."""

    side: Side
    digest: bytes

    def above(self, digest: bytes) -> bytes:
        """Return the node above ours."""
        return hash_node(self.digest, digest) if self.side == "left" else hash_node(digest, self.digest)


def climb(leaf: bytes, path: Iterable[Step]) -> bytes:
    """Return the root to which a path leads from a leaf."""
    for step in path:
        leaf = step.above(leaf)
    return leaf


def _path_within(level: list[bytes], at: int) -> tuple[list[Step], list[bytes]]:
    """Return the steps from one node up to the single one above a level, and that node."""
    steps: list[Step] = []
    while len(level) > 1:
        other = at ^ 1
        if other < len(level):
            steps.append(Step("left" if other < at else "right", level[other]))
        level, at = _level_above(level), at // 2
    return steps, level


# --- building ---


@dataclass(frozen=True, slots=True)
class Leaves:
    """Some rows, in any order."""

    films: Digests  # [N, 32], SHA-256 of each film's file; zeros where it could not be read
    leaves: Digests  # [N, 32], `hash_leaf` of each row
    ids: Numbers  # [N], `number_of_id`
    places: NDArray[np.uint32]  # [N, 2], shard and row in it


_ENTRY = 2 * DIGEST + 8 + 8  # bytes of a row in a bucket: film, leaf, id, place


def build(rows: Iterable[Leaves], folder: Path, *, work: Path) -> tuple[int, bytes]:
    """Write the tree of rows and its indices.

    Args:
        rows: of the run, batch by batch.
        folder: that is there; gets `FILES`.
        work: an empty folder for what is sorted, 80 bytes a row.

    Returns:
        How many rows, and their root.
    """
    with _Buckets(work, "rows", _ENTRY) as buckets:
        for some in rows:
            buckets.add(some.films[:, 0], _entries(some))
        count = buckets.count
        _write_sorted(buckets, folder, work)
    return count, _write_nodes(folder, count)


def _entries(some: Leaves) -> NDArray[np.uint8]:
    numbers = np.ascontiguousarray(some.ids, "<u8")[:, None].view(np.uint8)
    places = np.ascontiguousarray(some.places, "<u4").view(np.uint8)
    return np.concatenate([some.films, some.leaves, numbers, places], axis=1)


def _write_sorted(buckets: _Buckets, folder: Path, work: Path) -> None:
    count, done = buckets.count, 0
    films = _new(folder / FILMS, "<u8", (count,))
    leaves = _new(folder / LEAVES, "u1", (count, DIGEST))
    places = _new(folder / PLACES, "<u4", (count, 2))
    with _Buckets(work, "ids", 12) as by_id:
        for entries in buckets.each():
            words = np.ascontiguousarray(entries[:, : 2 * DIGEST]).view(">u8")
            ordered = entries[np.lexsort(words.T[::-1])]  # by film, then by leaf
            end = done + len(ordered)
            films[done:end] = np.ascontiguousarray(ordered[:, :8]).view(">u8")[:, 0]
            leaves[done:end] = ordered[:, DIGEST : 2 * DIGEST]
            places[done:end] = np.ascontiguousarray(ordered[:, -8:]).view("<u4")
            numbers = ordered[:, 2 * DIGEST : -8]
            rows = np.arange(done, end, dtype="<u4")[:, None].view(np.uint8)
            by_id.add(numbers[:, 7], np.concatenate([numbers, rows], axis=1))
            done = end
        _write_ids(by_id, folder)


def _write_ids(buckets: _Buckets, folder: Path) -> None:
    ids, rows, done = (
        _new(folder / IDS, "<u8", (buckets.count,)),
        _new(folder / ROWS_OF_IDS, "<u4", (buckets.count,)),
        0,
    )
    for entries in buckets.each():
        numbers = np.ascontiguousarray(entries[:, :8]).view("<u8")[:, 0]
        of = np.ascontiguousarray(entries[:, 8:]).view("<u4")[:, 0]
        order = np.lexsort((of, numbers))
        end = done + len(entries)
        ids[done:end], rows[done:end] = numbers[order], of[order]
        done = end


def _write_nodes(folder: Path, count: int) -> bytes:
    leaves = _open(folder / LEAVES)
    level = [_root_of(_as_list(leaves[at : at + _CHUNK])) for at in range(0, count, _CHUNK)]
    nodes = list(level)
    while len(level) > 1:
        level = _level_above(level)
        nodes += level
    stored = np.frombuffer(b"".join(nodes), np.uint8).reshape(-1, DIGEST)
    np.save(folder / NODES, stored, allow_pickle=False)
    return level[0] if level else EMPTY


def _root_of(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def _as_list(digests: Digests) -> list[bytes]:
    whole = np.ascontiguousarray(digests).tobytes()
    return [whole[at : at + DIGEST] for at in range(0, len(whole), DIGEST)]


class _Buckets:
    """Entries of a fixed size on disk, apart by their first byte: sorted bucket by bucket they are sorted in all."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.count = 0
        self._size = size
        self._paths = [folder / f"{name}.{byte:02x}" for byte in range(_BUCKETS)]
        self._files = contextlib.ExitStack()
        self._open: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def add(self, first: NDArray[np.uint8], entries: NDArray[np.uint8]) -> None:
        """Add entries uint8 [N, size], whose order begins with `first`, uint8 [N]."""
        order = np.argsort(first, kind="stable")
        ends = np.searchsorted(first[order], np.arange(_BUCKETS + 1))
        for byte in np.unique(first).tolist():
            rows = entries[order[ends[byte] : ends[byte + 1]]]
            self._file(byte).write(rows.tobytes())
        self.count += len(entries)

    def each(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the entries of each bucket that has some, uint8 [n, size]."""
        self._files.close()
        for byte in sorted(self._open):
            yield np.frombuffer(self._paths[byte].read_bytes(), np.uint8).reshape(-1, self._size)
            self._paths[byte].unlink()

    def _file(self, byte: int) -> BinaryIO:
        if byte not in self._open:
            self._open[byte] = self._files.enter_context(self._paths[byte].open("wb"))
        return self._open[byte]


def _new(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:  # nothing to map
        np.save(path, np.empty(shape, dtype), allow_pickle=False)
        return np.empty(shape, dtype)
    made: NDArray[Any] = np.lib.format.open_memmap(path, "w+", dtype, shape)  # type: ignore[no-untyped-call]
    return made


# --- reading ---


def _open(path: Path) -> NDArray[Any]:
    found: NDArray[Any]
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped; what is no array is refused here, too
        found = np.load(path, allow_pickle=False)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree that `build` wrote, memory-mapped."""

    films: Numbers  # [N], `number_of` each film's digest, ascending
    leaves: Digests  # [N, 32]
    nodes: Digests  # level by level from the eighth on
    places: NDArray[np.uint32]  # [N, 2]
    ids: Numbers  # [N], ascending
    rows_of_ids: NDArray[np.uint32]  # [N], the leaf of each

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the files.

        Raises:
            ValueError, OSError: one is missing, or not what it should be; the message begins with its name.
        """
        found = [_checked(folder / name, dtype, ndim) for name, dtype, ndim in _KINDS]
        count = len(found[0])
        for (name, _, _), array in zip(_KINDS, found, strict=True):
            if name != NODES and len(array) != count:
                raise ValueError(f"{name} has {len(array)} rows, {FILMS} {count}")
        if len(found[2]) != sum(_sizes(count)):
            raise ValueError(f"{NODES} has {len(found[2])} nodes, and {count} rows have {sum(_sizes(count))}")
        return cls(*found)

    def __len__(self) -> int:
        return len(self.films)

    @property
    def root(self) -> bytes:
        """The root as it is stored."""
        return bytes(self.nodes[-1]) if len(self) else EMPTY

    def leaf(self, at: int) -> bytes:
        """Return the hash of a row."""
        return bytes(self.leaves[at])

    def place(self, at: int) -> tuple[int, int]:
        """Return in which shard a row is, and where in it."""
        shard, row = self.places[at].tolist()
        return shard, row

    def of_film(self, digest: bytes) -> range:
        """Return the leaves whose films' digests begin as this one; where there is none, where it would stand."""
        number = np.uint64(number_of(digest))
        return range(int(np.searchsorted(self.films, number)), int(np.searchsorted(self.films, number, "right")))

    def of_id(self, film_id: str) -> list[int]:
        """Return the leaves of the rows that may have this id."""
        number = np.uint64(number_of_id(film_id))
        first, last = (int(np.searchsorted(self.ids, number, side)) for side in _SIDES)
        return [int(at) for at in self.rows_of_ids[first:last] if at < len(self)]

    def path(self, at: int) -> tuple[Step, ...]:
        """Return the steps from a leaf to the root."""
        first = at // _CHUNK * _CHUNK
        steps, _ = _path_within(_as_list(self.leaves[first : first + _CHUNK]), at - first)
        place, start = at // _CHUNK, 0
        for size in _sizes(len(self))[:-1]:
            other = place ^ 1
            if other < size:
                steps.append(Step("left" if other < place else "right", bytes(self.nodes[start + other])))
            place, start = place // 2, start + size
        return tuple(steps)


_KINDS = (
    (FILMS, np.dtype("<u8"), 1),
    (LEAVES, np.dtype("u1"), 2),
    (NODES, np.dtype("u1"), 2),
    (PLACES, np.dtype("<u4"), 2),
    (IDS, np.dtype("<u8"), 1),
    (ROWS_OF_IDS, np.dtype("<u4"), 1),
)
_WIDTHS = {LEAVES: DIGEST, NODES: DIGEST, PLACES: 2}


def _checked(path: Path, dtype: np.dtype[Any], ndim: int) -> NDArray[Any]:
    try:
        found = _open(path)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name} is no array: {error}") from error
    if found.dtype != dtype or found.ndim != ndim or (ndim == 2 and found.shape[1] != _WIDTHS[path.name]):
        raise ValueError(f"{path.name} holds {found.dtype} {found.shape}, not {dtype}")
    return found


def _sizes(count: int) -> list[int]:
    """Return how many nodes each stored level has, the eighth first, the root last; none without rows."""
    sizes = [-(-count // _CHUNK)] if count else []
    while sizes and sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    return sizes
