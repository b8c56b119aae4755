"""Receipts: every row leads to the root, in whatever order it was written, and any byte that is altered is found."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tbconv.contract.errors import ConfigError, DataError, ReceiptError, Silence
from tf_serve.score.receipts import tree as trees
from tf_serve.score.receipts.receipt import (
    FOLDER,
    ROOT,
    Receipt,
    Receipts,
    check_receipt,
    check_results,
    leaf_text,
    write_receipts,
)
from tf_serve.score.results import Results

NEEDS_SIGNING = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None, reason="the extra 'sign' is not installed"
)
PAGE = Path(__file__).parents[3] / "docs" / "receipts.md"
[CHECK_WITHOUT_TBCONV] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def rows(draw_row):
    """700 films: answered ones, one twice under two ids, one that the gate rejected, one that nobody could read."""
    answered = [draw_row(f"ward{number % 7}/film-{number:04d}.png") for number in range(697)]
    twice = answered[11]._replace(film="again/film-0011.png")
    nothing = dict.fromkeys(("decision", "score", "probability", "margin", "evidence_side", "evidence_zone"))
    rejected = draw_row("photo.png", status="rejected", gate_reason="colour_photograph", **nothing)
    lost = draw_row("lost.png", film_sha256=None, status="quarantined", limits=(), reason="it is empty", **nothing)
    return [*answered, twice, rejected, lost]


@pytest.fixture
def run(rows, write_results):
    """A run that has ended, with receipts."""
    results = write_results(rows)
    write_receipts(results.root, results)
    return results


def opened(results):
    return Receipts.open(results.root, Results.open(results.root))


def check(root):
    """Hash every row of a run again."""
    return check_results(root, Results.open(root), Silence())


def refused(function, *arguments):
    """The expected error that a call meets, None where it meets none."""
    try:
        function(*arguments)
    except (ReceiptError, DataError) as error:
        return error
    return None


def rfc6962(leaves):
    """The Merkle tree hash as section 2.1 of RFC 6962 defines it, by recursion."""
    if not leaves:
        return trees.EMPTY
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return trees.hash_node(rfc6962(leaves[:split]), rfc6962(leaves[split:]))


# --- the tree ---


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 255, 256, 257, 511, 512, 513, 700, 1025])
def test_the_root_is_that_of_rfc_6962_and_every_path_leads_to_it(count, tmp_path):
    drawn = np.random.default_rng(count)
    films, leaves = (drawn.integers(0, 256, (count, 32), dtype=np.uint8) for _ in range(2))
    ids = np.array([trees.number_of_id(f"film-{number}") for number in range(count)], np.uint64)
    places = np.stack([np.arange(count) // 100, np.arange(count) % 100], axis=1).astype(np.uint32)
    batches = (trees.Leaves(*(one[at : at + 90] for one in (films, leaves, ids, places))) for at in range(0, count, 90))
    (folder := tmp_path / "tree").mkdir()
    (work := tmp_path / "work").mkdir()
    found, root = trees.build(batches, folder, work=work)
    order = sorted(range(count), key=lambda at: (films[at].tobytes(), leaves[at].tobytes()))
    assert (found, root) == (count, rfc6962([leaves[at].tobytes() for at in order]))
    assert list(work.iterdir()) == []
    tree = trees.Tree.open(folder)
    assert (len(tree), tree.root) == (count, root)
    for place, at in enumerate(order):
        assert list(tree.of_film(films[at].tobytes())) == [place]
        assert tree.of_id(f"film-{at}") == [place]
        assert tree.place(place) == (at // 100, at % 100)
        assert trees.climb(tree.leaf(place), tree.path(place)) == root


def test_a_leaf_cannot_pass_for_a_node():
    left, right = (trees.hash_leaf(text) for text in ("a", "b"))
    assert trees.hash_leaf((left + right).decode("latin-1")) != trees.hash_node(left, right)


# --- what a run says of a film ---


def test_every_film_has_a_receipt_with_its_whole_row(run, rows):
    receipts = opened(run)
    for row in rows[:: len(rows) // 40]:
        found = receipts.of(row.film)
        assert Receipt.from_text(found.to_text()) == found
        said = [json.loads(leaf.text) for leaf in found.leaves]
        assert json.loads(leaf_text(row._asdict())) in said
        if row.film_sha256:
            assert {json.dumps(one) for one in said} <= {
                json.dumps(leaf.row) for leaf in receipts.of(row.film_sha256).leaves
            }


def test_a_film_that_was_read_twice_shows_both_rows(run, rows):
    found = opened(run).of(rows[11].film_sha256)
    assert {leaf.row["film"] for leaf in found.leaves} == {"ward4/film-0011.png", "again/film-0011.png"}
    assert Receipt.from_text(found.to_text()) == found


def test_a_film_is_found_by_its_bytes(draw_row, write_results, tmp_path):
    film = tmp_path / "film.png"
    film.write_bytes(b"the film's bytes")
    digest = "1a3cf5b5a0c1d6b6e0f1ab9d3f1e2d6f1b8f8a7d6c5b4a392817161514131211"
    from tbconv.contract.files import sha256_file

    results = write_results([draw_row("a.png"), draw_row("film.png", film_sha256=sha256_file(film))])
    write_receipts(results.root, results)
    receipt = opened(results).of(str(film))
    assert [leaf.row["film"] for leaf in receipt.leaves] == ["film.png"]
    assert check_receipt(receipt, film=film).film
    film.write_bytes(b"the film's bytes.")
    with pytest.raises(ReceiptError, match="is not the film of this receipt, or was altered"):
        check_receipt(receipt, film=film)
    with pytest.raises(DataError, match="says nothing of"):
        opened(results).of(digest)


def test_a_film_that_was_altered_since_is_named_with_both_digests(draw_row, write_results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.png").write_bytes(b"altered")
    row = draw_row("film.png")
    results = write_results([row, draw_row("other.png")])
    write_receipts(results.root, results)
    with pytest.raises(ReceiptError, match=r"film\.png is not the film that was read") as error:
        opened(results).of("film.png")
    assert row.film_sha256 in error.value.why


def test_a_run_of_which_a_film_is_no_part_says_so(run):
    for film in ("f" * 64, "0" * 64, "8" * 64, "no/such/film.png"):
        with pytest.raises(DataError, match="says nothing of") as error:
            opened(run).of(film)
        assert "none of the 700 rows" in error.value.why


def test_rows_in_another_order_and_other_shards_give_the_same_root(rows, run, write_results):
    order = np.random.default_rng(3).permutation(len(rows)).tolist()
    again = write_results(rows, name="again", per=33, order=order)
    write_receipts(again.root, again)
    assert (again.root / FOLDER / ROOT).read_bytes() == (run.root / FOLDER / ROOT).read_bytes()


def test_receipts_that_are_written_again_are_the_same(run):
    before = (run.root / FOLDER / ROOT).read_bytes()
    write_receipts(run.root, Results.open(run.root))
    assert (run.root / FOLDER / ROOT).read_bytes() == before


def test_a_run_that_has_not_ended_has_no_receipts(rows, write_results):
    results = write_results(rows)
    with pytest.raises(DataError, match="has no receipts") as error:
        opened(results)
    assert "the same `tbconv score` command" in error.value.fix


def test_a_run_without_films_has_a_root(write_results):
    results = write_results([])
    write_receipts(results.root, results)
    assert check_results(results.root, results, Silence()).rows_said == 0
    with pytest.raises(DataError, match="says nothing of"):
        opened(results).of("film.png")


# --- what was altered ---


def test_any_byte_of_a_receipt_that_is_altered_is_found(run, rows):
    text = opened(run).of(rows[11].film_sha256).to_text().encode()
    missed = []
    for at in range(len(text)):
        altered = bytearray(text)
        altered[at] ^= 1 + at % 7
        missed += [at] if refused(Receipt.from_text, altered.decode("latin-1")) is None else []
    assert missed == []


def test_whoever_writes_another_answer_and_all_digests_anew_does_not_reach_the_root(run, rows):
    found = opened(run).of(rows[5].film)
    leaf = found.leaves[0]
    forged = leaf.text.replace('"margin":', '"margin":1')
    for root in (found.root, None):
        other = trees.hash_node(trees.hash_leaf(found.record), trees.climb(trees.hash_leaf(forged), leaf.path)).hex()
        receipt = Receipt((type(leaf)(forged, leaf.path),), found.record, root or other, None)
        if root:
            with pytest.raises(ReceiptError, match="row 1 of the receipt does not lead to its root"):
                Receipt.from_text(receipt.to_text())
        else:
            agrees = Receipt.from_text(receipt.to_text())
            assert not check_receipt(agrees).says_who
            with pytest.raises(ReceiptError, match="not of the run with that root"):
                check_receipt(agrees, root=found.root)


def test_a_row_that_was_altered_is_named(rows, run, write_results):
    altered = list(rows)
    altered[345] = rows[345]._replace(decision="refer" if rows[345].decision != "refer" else "not_flagged")
    other = write_results(altered, name="altered")
    (run.root / FOLDER).rename(other.root / FOLDER)
    with pytest.raises(ReceiptError, match=r"part-00003\.parquet was altered") as error:
        opened(other).of(rows[345].film)
    assert "row 46 of" in error.value.why
    with pytest.raises(ReceiptError, match=r"part-00003\.parquet was altered") as error:
        check_results(other.root, other, Silence())
    assert "row 46" in error.value.why
    assert opened(other).of(rows[344].film).leaves  # of the others each still has its receipt


@pytest.mark.parametrize("change", ["lost", "added"])
def test_a_row_that_is_lost_or_added_is_named(rows, run, write_results, draw_row, change):
    changed = [*rows[:345], *rows[346:]] if change == "lost" else [*rows, draw_row("added.png")]
    other = write_results(changed, name="altered")
    (run.root / FOLDER).rename(other.root / FOLDER)
    with pytest.raises(ReceiptError, match=r"part-0000\d\.parquet was altered") as error:
        check_results(other.root, other, Silence())
    assert f"ended with 700 rows, and there are {len(changed)}" in error.value.why


def test_any_byte_of_a_shard_that_is_altered_is_found(draw_row, write_results):
    results = write_results([draw_row(f"film-{number}.png") for number in range(12)])
    write_receipts(results.root, results)
    shard = results.root / "shards" / results.shards[0]
    whole, missed, same = shard.read_bytes(), [], 0
    rows = Results.open(results.root).batches
    before = [row for _, _, some in rows() for row in some]
    for at in range(0, len(whole), 67):
        altered = bytearray(whole)
        altered[at] ^= 0x10
        shard.write_bytes(altered)
        error = refused(check, results.root)
        if error is None:
            after = [row for _, _, some in Results.open(results.root).batches() for row in some]
            same += after == before  # bytes that no reader looks at: statistics, writer, padding
            missed += [at] if after != before else []
        else:
            missed += [] if "part-00000.parquet" in str(error) else [at]
    assert missed == []
    assert same < len(whole) / 67 / 2


@pytest.mark.parametrize("name", [*trees.FILES, ROOT])
def test_a_byte_of_the_tree_that_is_altered_is_found_and_named(run, rows, name):
    place = run.root / FOLDER / name
    whole = place.read_bytes()
    films = [row.film_sha256 for row in rows if row.film_sha256]
    ids = [row.film for row in rows]
    for at in range(len(whole) - 1, -1, -(len(whole) // 7)):
        altered = bytearray(whole)
        altered[at] ^= 0x01
        place.write_bytes(altered)
        if error := refused(opened, run):
            assert name in str(error)
            continue
        receipts, wrong = opened(run), []
        for wanted in (*films[::9], *ids[::9]):
            error = refused(receipts.of, wanted)
            if error is None:
                said = {leaf.row[key] for leaf in receipts.of(wanted).leaves for key in ("film", "film_sha256")}
                wrong += [] if wanted in said else [wanted]
            else:  # a row that is there is never said to be missing
                wrong += [] if isinstance(error, ReceiptError) and "altered" in error.what else [str(error)]
        assert wrong == []
    place.write_bytes(whole)


# --- from elsewhere ---


@NEEDS_SIGNING
def test_a_signed_root_vouches_for_a_receipt_alone(rows, write_results, tmp_path):
    from tbconv.contract.signature import make_key, required_signature

    public, other = make_key(tmp_path / "lab.pem"), make_key(tmp_path / "other.pem")
    results = write_results(rows)
    write_receipts(results.root, results, key=tmp_path / "lab.pem")
    receipt = Receipt.from_text(opened(results).of(rows[3].film).to_text())
    assert check_receipt(receipt, signature=required_signature(public, required=True)).signer == str(public)
    with pytest.raises(ReceiptError, match="the signature does not vouch for the root"):
        check_receipt(receipt, signature=required_signature(other, required=True))
    unsigned = Receipt(receipt.leaves, receipt.record, receipt.root, None)
    with pytest.raises(ReceiptError, match="the root is not signed") as error:
        check_receipt(unsigned, signature=required_signature(public, required=True))
    assert f"tbconv sign RESULTS/{FOLDER}/{ROOT}" in error.value.fix
    detached = tmp_path / "root.sig"
    detached.write_text(receipt.signature)
    rule = required_signature(public, required=True, signature=detached)
    assert check_receipt(unsigned, signature=rule).says_who
    more = receipt.record.replace('"rows":700', '"rows":701')
    other_root = trees.hash_node(
        trees.hash_leaf(more), trees.climb(trees.hash_leaf(receipt.leaves[0].text), receipt.leaves[0].path)
    ).hex()
    forged = Receipt.from_text(Receipt(receipt.leaves, more, other_root, receipt.signature).to_text())
    with pytest.raises(ReceiptError, match="the signature does not vouch for the root"):
        check_receipt(forged, signature=required_signature(public, required=True))


def test_what_is_no_root_is_refused(run, rows):
    with pytest.raises(ConfigError, match="--root abc"):
        check_receipt(opened(run).of(rows[3].film), root="abc")


def test_a_receipt_can_be_checked_without_tbconv(run, rows, tmp_path):
    found = opened(run).of(rows[11].film_sha256)
    found.write(tmp_path / "receipt.json")
    command = [sys.executable, "-I", "-c", CHECK_WITHOUT_TBCONV, tmp_path / "receipt.json"]
    for root, right in ((found.root, "True"), ("0" * 64, "False")):
        done = subprocess.run([*command, root], check=True, capture_output=True, text=True)
        assert done.stdout.splitlines() == [f"{right} {rows[11].film_sha256}"] * 2
