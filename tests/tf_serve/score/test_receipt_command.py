"""`tbconv receipt` as a person meets it: made, handed over, checked alone, and refused where a byte differs."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tbconv.contract.files import sha256_file
from tf_serve.score.receipts.receipt import FOLDER, ROOT, write_receipts

NEEDS_SIGNING = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None, reason="the extra 'sign' is not installed"
)


def tbconv(*words):
    command = [sys.executable, "-m", "tbconv", *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture
def film(tmp_path):
    """A film's file."""
    place = tmp_path / "film.png"
    place.write_bytes(b"drawn film")
    return place


@pytest.fixture
def results(draw_row, write_results, film):
    """A run of 30 films, one of them `film`, twice."""
    rows = [draw_row(f"ward/{number}.png") for number in range(28)]
    own = draw_row("ward/film.png", film_sha256=sha256_file(film), score=61.5, decision="refer", margin=0.5)
    made = write_results([*rows, own, own._replace(film="copy/film.png")])
    write_receipts(made.root, made)
    return made.root


def root_of(results):
    return json.loads((results / FOLDER / ROOT).read_text())["root"]


def test_a_receipt_is_made_and_checked_alone(results, film, tmp_path):
    receipt = tmp_path / "receipt.json"
    made = tbconv("receipt", results, film, "--out", receipt)
    assert made.returncode == 0, made.stderr
    for words in (
        f"film: {sha256_file(film)}",
        "it was read 2 times in this run, under these ids:",
        "id: ward/film.png",
        "id: copy/film.png",
        "answered: refer, score 61.5, margin 0.5",
        f"root: {root_of(results)}, of 30 rows",
    ):
        assert words in made.stdout
    alone = tbconv("receipt", "--check", receipt, "--film", film)
    assert (alone.returncode, "CANNOT SAY whose root this is: give --root" in alone.stdout) == (3, True)
    known = tbconv("receipt", "--check", receipt, "--film", film, "--root", root_of(results))
    assert (known.returncode, "PASS: it is the root that was given" in known.stdout) == (0, True)
    told = json.loads(tbconv("receipt", "--check", receipt, "--json").stdout)
    assert told["held_to"] == {"film": False, "root": False, "signature": False}
    assert sorted(one["film"] for one in told["films"]) == ["copy/film.png", "ward/film.png"]


def test_a_byte_that_differs_is_refused_with_what_it_is(results, film, tmp_path):
    receipt = tmp_path / "receipt.json"
    assert tbconv("receipt", results, film, "--out", receipt).returncode == 0
    receipt.write_bytes(receipt.read_bytes().replace(b"61.5", b"16.5"))
    altered = tbconv("receipt", "--check", receipt)
    assert (altered.returncode, "row 1 of the receipt does not lead to its root" in altered.stderr) == (1, True)
    assert tbconv("receipt", results, film, "--out", receipt).returncode == 0
    other = tbconv("receipt", "--check", receipt, "--root", "0" * 64)
    assert (other.returncode, "this is not of the run with that root" in other.stderr) == (1, True)
    film.write_bytes(b"drawn film.")
    moved = tbconv("receipt", "--check", receipt, "--film", film)
    assert (moved.returncode, "is not the film of this receipt, or was altered" in moved.stderr) == (1, True)
    unknown = tbconv("receipt", results, film)
    assert (unknown.returncode, f"says nothing of {film}" in unknown.stderr) == (1, True)


def test_without_a_film_every_row_is_checked(results):
    good = tbconv("receipt", results)
    assert good.returncode == 0, good.stderr
    assert "every row was hashed again: all 30 are as they were when the run ended" in good.stdout
    place = results / FOLDER / ROOT
    place.write_text(place.read_text().replace(root_of(results), "0" * 64))
    bad = tbconv("receipt", results)
    assert (bad.returncode, ROOT in bad.stderr) == (1, True)


@NEEDS_SIGNING
def test_whoever_has_the_key_signs_the_root_and_anyone_checks_it(results, film, tmp_path):
    assert tbconv("sign", results / FOLDER / ROOT, "--new-key", tmp_path / "lab.pem").returncode == 0
    receipt, public = tmp_path / "receipt.json", tmp_path / "lab.pub.pem"
    assert tbconv("receipt", results, film, "--out", receipt, "--public-key", public).returncode == 0
    alone = tbconv("receipt", "--check", receipt)
    assert (alone.returncode, "--public-key, for it carries a signature" in alone.stdout) == (3, True)
    signed = tbconv("receipt", "--check", receipt, "--public-key", public)
    assert (signed.returncode, "PASS: the root was signed with the key of" in signed.stdout) == (0, True)
    assert tbconv("sign", "--new-key", tmp_path / "other.pem").returncode == 0
    other = tbconv("receipt", "--check", receipt, "--public-key", tmp_path / "other.pub.pem")
    assert (other.returncode, "the signature does not vouch for the root" in other.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is neither RESULTS nor --check"),
        (["RESULTS", "--check", "receipt.json"], "--check with RESULTS"),
        (["RESULTS", "--film", "film.png"], "--film without --check"),
        (["RESULTS", "--out", "receipt.json"], "--out without FILM"),
        (["--check", "receipt.json"], "cannot be read"),
        (["nowhere", "film.png"], "holds no results"),
    ],
)
def test_what_does_not_fit_together_is_said(words, said):
    done = tbconv("receipt", *words)
    assert (done.returncode, said in done.stderr, "fix:" in done.stderr) == (1, True, True)
