"""Receipts: which model read which film in a run, and what it said, in a form that shows any byte that was altered.

When a run ends, every row of its results becomes a leaf of a Merkle tree (tf_serve.score.receipts.tree): the row as
JSON with sorted keys, which holds the digest of the film, of the model, of its certificate, and the whole answer. The
run's own record - how many rows, and the digest of the index of ids - is one more leaf beside them all, so that the
root stands for it, too. A receipt is a row, its path and the record: whoever knows the root, or the key that signed it,
checks it without the results, without a model and without tbconv (docs/receipts.md has the few lines that do it).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tbconv.contract.errors import BundleError, ConfigError, DataError, ReceiptError, Reporter, printable, some
from tbconv.contract.files import folder_whole_or_not, sha256_file, temporary_folder, write_atomic
from tbconv.contract.signature import SignatureRule, default_place
from tf_serve.score.receipts.tree import (
    DIGEST,
    FILMS,
    IDS,
    LEAVES,
    NODES,
    PLACES,
    ROWS_OF_IDS,
    Digests,
    Leaves,
    Step,
    Tree,
    build,
    climb,
    hash_leaf,
    hash_node,
    number_of_id,
)

Json = dict[str, Any]
BATCH = 2048  # rows in memory at a time
FOLDER = "receipts"  # in the folder of results
ROOT = "root.json"
SHARDS = "shards.json"
RUN_FORMAT, RECEIPT_FORMAT = "tbconv-run-1", "tbconv-receipt-1"
FILM, ID = "film_sha256", "film"  # columns of a row (tf_serve.score.rows)
MOST_RECEIPT = 16 << 20  # bytes of a receipt; that of one row has some 4 kB
_HEX = re.compile(r"[0-9a-f]{64}")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


class Rows(Protocol):
    """The rows of a run, shard by shard."""

    @property
    def shards(self) -> Sequence[str]:
        """The names of the shards."""
        ...

    def batches(self) -> Iterator[tuple[int, int, Sequence[Mapping[str, Any]]]]:
        """Yield shard, first row and rows, until every row was there once."""
        ...

    def row(self, shard: int, row: int) -> Mapping[str, Any]:
        """Return one row."""
        ...


def leaf_text(row: Mapping[str, Any]) -> str:
    """Return a row as the text that is hashed: JSON in ASCII, sorted keys, no spaces, floats by Python's repr."""
    return _ENCODER.encode(row)


# --- writing ---


def write_receipts(results: Path, rows: Rows, *, key: Path | None = None) -> str:
    """Write what receipts are made from into a folder of results, and sign its root.

    The same rows give the same root and the same bytes of root.json, in whatever order or shards they were written.

    Args:
        results: folder of the run, which has ended.
        rows: all of them.
        key: private key, PEM, to sign the root with (`tbconv sign`); None signs nothing.

    Returns:
        The root, 64 hex digits.

    Raises:
        ConfigError: the key cannot be used.
        SetupError: no room, or a key without the extra `sign`.
    """
    place = results / FOLDER
    with folder_whole_or_not(place) as folder:
        (work := folder / "work").mkdir()  # on the disk of the results: it takes 80 bytes a row
        count, rows_root = build(_leaves(rows), folder, work=work)
        work.rmdir()
        record = _ENCODER.encode({"format": RUN_FORMAT, "ids_sha256": _digest_of_ids(folder), "rows": count})
        root = _root_of_run(record, rows_root).hex()
        write_atomic(folder / SHARDS, _ENCODER.encode(list(rows.shards)), durable=False)
        write_atomic(folder / ROOT, _root_text(record, root), durable=False)
        if key is not None:
            from tbconv.contract.signature import sign

            sign(folder / ROOT, key)
        for one in folder.iterdir():  # results are patient data
            one.chmod(0o600)
        folder.chmod(0o700)
    return root


def _leaves(rows: Rows) -> Iterator[Leaves]:
    for shard, first, batch in rows.batches():
        try:
            films = b"".join(_film_of(row) for row in batch)
            leaves = b"".join(hash_leaf(leaf_text(row)) for row in batch)
            ids = np.fromiter((number_of_id(row[ID]) for row in batch), np.uint64, len(batch))
        except (ValueError, TypeError, AttributeError) as error:
            why = f"one of its rows from {first + 1:,} on is none that a run writes: {printable(error, most=200)}"
            raise ReceiptError(f"{rows.shards[shard]} was altered", why=why, fix=RESTORE) from error
        places = np.stack([np.full(len(batch), shard), first + np.arange(len(batch))], axis=1)
        yield Leaves(_digests(films), _digests(leaves), ids, places.astype(np.uint32))


def _digests(whole: bytes) -> Digests:
    return np.frombuffer(whole, np.uint8).reshape(-1, DIGEST)


def _film_of(row: Mapping[str, Any]) -> bytes:
    if row[FILM] is None:  # a film that could not be read has no digest
        return bytes(DIGEST)
    _require(bool(_HEX.fullmatch(row[FILM])), f"{row[FILM]!r} is no digest")
    return bytes.fromhex(row[FILM])


def _digest_of_ids(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (IDS, ROWS_OF_IDS):
        digest.update(bytes.fromhex(sha256_file(folder / name)))
    return digest.hexdigest()


def _root_of_run(record: str, rows_root: bytes) -> bytes:
    return hash_node(hash_leaf(record), rows_root)


def _root_text(record: str, root: str) -> str:
    return _ENCODER.encode({"root": root, "run": record}) + "\n"


# --- receipts ---


@dataclass(frozen=True, slots=True)
class Leaf:
    """One row, and its way to the root of all rows."""

    text: str  # `leaf_text`
    path: tuple[Step, ...]

    @property
    def row(self) -> Json:
        """What the row says."""
        found: Json = json.loads(self.text)
        return found


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a run said of one film: every row of it, for a film may have been read twice under two ids."""

    leaves: tuple[Leaf, ...]
    record: str  # of the run
    root: str  # 64 hex digits
    signature: str | None  # of root.json, as `tbconv sign` writes it; None: the run was not signed

    @property
    def rows_said(self) -> int:
        """How many rows the run has, by its own record."""
        return int(json.loads(self.record)["rows"])

    def to_text(self) -> str:
        """Return the receipt as a file: JSON that has one spelling, closed by a digest of itself."""
        fields = {
            "format": RECEIPT_FORMAT,
            "root": self.root,
            "rows": [
                {"path": [f"{step.side}:{step.digest.hex()}" for step in leaf.path], "row": leaf.text}
                for leaf in self.leaves
            ],
            "run": self.record,
            "signature": self.signature,
        }
        return _spelt(fields | {"sha256": _own_digest(fields)})

    @classmethod
    def from_text(cls, text: str) -> Receipt:
        """Read what `to_text` returned.

        Raises:
            ReceiptError: it is no receipt, or a byte of it was altered.
        """
        try:
            fields = json.loads(text)
            own = fields.pop("sha256")
            leaves = tuple(Leaf(str(one["row"]), tuple(map(_step, one["path"]))) for one in fields["rows"])
            found = cls(leaves, str(fields["run"]), str(fields["root"]), fields["signature"])
            _require(fields["format"] == RECEIPT_FORMAT, f"its format is {fields['format']!r}")
            _check_leaves(found)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f"{type(error).__name__}: {printable(error, most=200)}"
            raise ReceiptError("this is no receipt, or it was altered", why=why, fix=ASK_AGAIN) from error
        if own != _own_digest(fields) or text != found.to_text():
            why = "its rows lead to its root, but it is not byte for byte what `tbconv receipt` wrote"
            raise ReceiptError("the receipt was altered", why=why, fix=ASK_AGAIN)
        return found

    @classmethod
    def read(cls, path: Path) -> Receipt:
        """Read a receipt's file.

        Raises:
            ReceiptError: it is none, or a byte of it was altered.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MOST_RECEIPT + 1)
        except OSError as error:
            raise DataError(f"{path} cannot be read", why=error.strerror or str(error), fix="check the path") from error
        if len(data) > MOST_RECEIPT:
            raise ReceiptError(f"{path} is no receipt", why=f"it has more than {MOST_RECEIPT >> 20} MB", fix=ASK_AGAIN)
        try:
            text = data.decode("ascii")
        except UnicodeDecodeError as error:
            raise ReceiptError(f"{path} is no receipt, or it was altered", why=str(error), fix=ASK_AGAIN) from error
        return cls.from_text(text)

    def write(self, path: Path) -> None:
        """Write the receipt's file, which holds what the row holds: where films have ids, patient data."""
        write_atomic(path, self.to_text())


ASK_AGAIN = "get the receipt again from whoever has the results: tbconv receipt RESULTS FILM --out receipt.json"


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _spelt(fields: Json) -> str:
    return json.dumps(fields, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _own_digest(fields: Json) -> str:
    return hashlib.sha256(_ENCODER.encode(fields).encode()).hexdigest()


def _step(text: str) -> Step:
    side, _, digest = text.partition(":")
    if side not in ("left", "right") or not _HEX.fullmatch(digest):
        raise ValueError(f"{text[:80]!r} is no step")
    return Step("left" if side == "left" else "right", bytes.fromhex(digest))


def _check_leaves(receipt: Receipt) -> None:
    """Raise ReceiptError where a row does not lead to the root, ValueError where there is none."""
    _require(bool(receipt.leaves), "it has no row")
    for number, leaf in enumerate(receipt.leaves, start=1):
        reached = _root_of_run(receipt.record, climb(hash_leaf(leaf.text), leaf.path)).hex()
        if reached != receipt.root:
            what = f"row {number} of the receipt does not lead to its root"
            why = f"it leads to {reached[:16]}..., and the root is {receipt.root[:16]}...: one of them was altered"
            raise ReceiptError(what, why=why, fix=ASK_AGAIN)
        if not isinstance(leaf.row, dict):
            raise TypeError("a row is no object")


# --- reading ---


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of a run that has ended."""

    results: Path
    rows: Rows
    tree: Tree
    record: str
    root: str
    signature: str | None

    @property
    def rows_said(self) -> int:
        """How many rows the run has, by its own record."""
        return int(json.loads(self.record)["rows"])

    @classmethod
    def open(cls, results: Path, rows: Rows) -> Receipts:
        """Open what `write_receipts` wrote; no row is read.

        Raises:
            DataError: the run has not ended, or wrote none.
            ReceiptError: root.json or the tree was altered.
        """
        folder = results / FOLDER
        if not (folder / ROOT).is_file():
            why = f"there is no {FOLDER}/{ROOT}, which is written when a run ends"
            fix = "run the same `tbconv score` command again: it goes on where it stopped"
            raise DataError(f"{results} has no receipts", why=why, fix=fix)
        try:
            text = (folder / ROOT).read_text("ascii")
            fields = json.loads(text)
            record, root = str(fields["run"]), str(fields["root"])
            _require(text == _root_text(record, root), "it is not as the run wrote it")
            _require(json.loads(record)["format"] == RUN_FORMAT, "it is of another version of tbconv")
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise _altered(results, ROOT, printable(error, most=200)) from error
        try:
            tree = Tree.open(folder)
        except (ValueError, OSError) as error:
            raise _altered(results, "the tree", printable(error, most=200)) from error
        if _root_of_run(record, tree.root).hex() != root:
            why = f"its root {root[:16]}... does not follow from {NODES} and its own record"
            raise _altered(results, f"{ROOT} or {NODES}", why)
        signature = default_place(folder / ROOT)
        signed = signature.read_text("utf-8") if signature.is_file() else None
        return cls(results, rows, tree, record, root, signed)

    def of(self, film: str) -> Receipt:
        """Return the receipt of a film.

        Args:
            film: a file, of whose bytes the digest is taken; a SHA-256 of 64 hex digits; or the film's id in the run.

        Raises:
            DataError: the run has no row of it; that it has none is shown, too.
            ReceiptError: a row, or what finds it, was altered.
        """
        path = Path(film)
        digest = sha256_file(path) if path.is_file() else film.lower() if _HEX.fullmatch(film.lower()) else None
        found = self._of_digest(digest) if digest is not None else []
        if not found and (by_id := self._of_id(film)):
            if digest is None:
                found = by_id
            else:
                read = some([one.row[FILM] or "no digest" for one in by_id], 1)
                why = f"its bytes have the digest {digest}, and the film that was read under this id {read}"
                fix = f"tbconv receipt {self.results} {read} shows what was said of the film that was read"
                raise ReceiptError(f"{film} is not the film that was read", why=why, fix=fix)
        if not found:
            raise self._none_of(film, digest)
        return Receipt(tuple(found), self.record, self.root, self.signature)

    def _of_digest(self, digest: str) -> list[Leaf]:
        of = self.tree.of_film(bytes.fromhex(digest))
        found = [leaf for leaf in map(self._leaf, of) if leaf.row[FILM] == digest]
        if not found:
            self._check_gap(digest, of)
        return found

    def _check_gap(self, digest: str, of: range) -> None:
        """Check that no row of a film is there: its neighbours in the tree stand on either side of it."""
        before = self._leaf(of.start - 1).row[FILM] or "" if of.start > 0 else ""
        behind = self._leaf(of.stop).row[FILM] if of.stop < len(self.tree) else None
        if not (before < digest and (behind is None or digest < behind)):
            raise _altered(self.results, FILMS, f"the rows around {digest[:16]}... are not where it says")

    def _of_id(self, film_id: str) -> list[Leaf]:
        found = [leaf for leaf in map(self._leaf, self.tree.of_id(film_id)) if leaf.row[ID] == film_id]
        if not found and _digest_of_ids(self.results / FOLDER) != json.loads(self.record)["ids_sha256"]:
            raise _altered(self.results, f"{IDS} or {ROWS_OF_IDS}", "its digest is not the one that the run ended with")
        return found

    def _none_of(self, film: str, digest: str | None) -> DataError:
        count = len(self.tree)
        called = f"digest {digest}" if digest else "id"
        why = f"none of the {count:,} rows of the run has this {called}"
        fix = "check that it was among the films of this run; a film that was saved again has another digest"
        return DataError(f"{self.results} says nothing of {film}", why=why, fix=fix)

    def _leaf(self, at: int) -> Leaf:
        shard, row = self.tree.place(at)
        try:
            name = self.rows.shards[shard]
            text = leaf_text(self.rows.row(shard, row))
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise _altered(self.results, f"{PLACES}, or a shard", printable(error, most=200)) from error
        path = self.tree.path(at)
        if hash_leaf(text) == self.tree.leaf(at):
            if climb(hash_leaf(text), path) == self.tree.root:
                return Leaf(text, path)
            raise _altered(self.results, f"{LEAVES} or {NODES}", "a row that is as it was does not lead to the root")
        if climb(self.tree.leaf(at), path) == self.tree.root:
            why = f"row {row + 1} of {name} has another hash now than when the run ended"
            raise ReceiptError(f"{name} was altered", why=why, fix=RESTORE)
        why = f"row {row + 1} of {name} and the stored hash of it differ, and neither leads to the root"
        raise _altered(self.results, LEAVES, why)


RESTORE = "restore the results from a copy, or score these films again into another folder"


def _altered(results: Path, what: str, why: str) -> ReceiptError:
    return ReceiptError(f"{what} in {results / FOLDER} was altered", why=why, fix=RESTORE)


def check_results(results: Path, rows: Rows, reporter: Reporter) -> Receipts:
    """Hash every row of a run again and hold all of them to its root.

    Returns:
        The receipts, of which every row is as it was.

    Raises:
        ReceiptError: naming the first row that was altered, added or taken away.
    """
    found = Receipts.open(results, rows)
    with temporary_folder("receipts") as work:
        (again := work / "again").mkdir()
        total = -(-found.rows_said // BATCH)
        build(reporter.track(_leaves(rows), title="rows hashed", total=total), again, work=work)
        tree = Tree.open(again)
        if tree.root != found.tree.root:
            raise _first_difference(found, tree)
    if _digest_of_ids(results / FOLDER) != json.loads(found.record)["ids_sha256"]:
        raise _altered(results, f"{IDS} or {ROWS_OF_IDS}", "its digest is not the one that the run ended with")
    return found


def _first_difference(found: Receipts, now: Tree) -> ReceiptError:
    then, shards = found.tree, found.rows.shards
    count = min(len(then), len(now))
    differ = (at for at in range(count) if then.leaf(at) != now.leaf(at))
    at = next(differ, count)
    gone = at >= len(now) or (at < len(then) and then.films[at] < now.films[at])
    shard, row = then.place(at) if gone else now.place(at)
    name = shards[shard] if shard < len(shards) else f"shard {shard}"
    why = f"the run ended with {len(then):,} rows, and there are {len(now):,}; the first that differs is row {row + 1}"
    return ReceiptError(f"{name} was altered", why=why, fix=RESTORE)


# --- checking alone ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a receipt was held to, beyond itself."""

    root: bool  # to a root that was given
    signer: str | None  # to a signature of this public key's file
    film: bool  # to a film
    carries_signature: bool = False

    @property
    def says_who(self) -> bool:
        """Whether anything says whose receipt it is: by itself it only agrees with itself."""
        return self.root or self.signer is not None


def check_receipt(
    receipt: Receipt, *, film: Path | None = None, root: str | None = None, signature: SignatureRule | None = None
) -> Checked:
    """Hold a receipt, which agrees with itself, to what is known from elsewhere.

    Args:
        receipt: as `Receipt.from_text` read it, or `Receipts.of` made it.
        film: the file that it should be about.
        root: of the run, 64 hex digits, from another source than the receipt.
        signature: whose signature of the root is required; its file, or the one inside the receipt.

    Raises:
        ReceiptError: it is about another film or of another run, or the key does not vouch for its root.
    """
    if film is not None:
        _check_film(receipt, film)
    checked = check_root(receipt.root, receipt.record, receipt.signature, root=root, signature=signature)
    return replace(checked, film=film is not None)


def check_root(
    found: str, record: str, signed: str | None, *, root: str | None, signature: SignatureRule | None
) -> Checked:
    """Hold a run's root to one that was noted elsewhere, and to a signature.

    Args:
        found: the run's, 64 hex digits.
        record: of the run.
        signed: the signature that came with it.
        root: that it should be; None where nobody noted it.
        signature: whose signature is required; None requires none.

    Raises:
        ReceiptError: it is another root, or the key does not vouch for it.
        ConfigError: `root` is no root.
    """
    if root is not None:
        wanted = root.strip().lower()
        if not _HEX.fullmatch(wanted):
            raise ConfigError(
                f"--root {printable(root, most=80)}", why="a root has 64 hex digits", fix="copy all of it"
            )
        if wanted != found:
            why = f"its root is {found}, and the one that was given is {wanted}"
            fix = "look up the root that was printed when the run ended, or ask for the receipt again"
            raise ReceiptError("this is not of the run with that root", why=why, fix=fix)
    if signature is not None:
        _check_signature(_root_text(record, found), signed, signature)
    signer = None if signature is None else signature.key_name
    return Checked(root=root is not None, signer=signer, film=False, carries_signature=signed is not None)


def _check_film(receipt: Receipt, film: Path) -> None:
    try:
        digest = sha256_file(film)
    except OSError as error:
        raise DataError(f"{film} cannot be read", why=str(error), fix="check the path") from error
    read = {leaf.row.get(FILM) for leaf in receipt.leaves}
    if read != {digest}:
        why = f"its digest is {digest}, and the receipt is about {some([str(one) for one in read], 2)}"
        fix = "give the file as it was when it was read: a film that was saved again has another digest"
        raise ReceiptError(f"{film} is not the film of this receipt, or was altered", why=why, fix=fix)


def _check_signature(root_text: str, signed: str | None, rule: SignatureRule) -> None:
    """Hold the content of root.json to a signature, as `tbconv sign` makes one of a file."""
    if rule.signature is None and signed is None:
        why = "neither the results nor the receipt hold a signature of the root"
        fix = f"tbconv sign RESULTS/{FOLDER}/{ROOT} --key KEY.pem, then ask for the receipt again; or give --root"
        raise ReceiptError("the root is not signed", why=why, fix=fix)
    with temporary_folder("receipt") as folder:
        place = folder / ROOT
        place.write_text(root_text, "ascii")
        if rule.signature is None:
            default_place(place).write_text(signed or "", "utf-8")
        try:
            rule.check_file(place, sha256_file(place))
        except BundleError as error:
            fix = "do not trust it; ask whoever signed for the root, and for the public key, again"
            raise ReceiptError("the signature does not vouch for the root", why=error.why, fix=fix) from error
