"""A run that is killed at any moment goes on with the same command, and leaves the bytes of one that was not."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from tf_serve.score.engines.ledger import LEDGER
from tf_serve.score.rows import SHARDS, shards

FILMS, SHARD_FILMS = 240, 12


def finished(out):
    """How many shards are in the ledger."""
    place = out / LEDGER
    return place.read_bytes().count(b"\n") if place.exists() else 0


def kill_at(process, out, shard, delay):
    """Kill the run so many seconds after it has finished so many shards; return whether it ran until then."""
    while process.poll() is None and finished(out) < shard:
        time.sleep(0.005)
    time.sleep(delay)
    ran = process.poll() is None
    process.kill()
    process.communicate()
    return ran


def workers_of(pid):
    """Return the processes whose parent is, or was, this one, by their command lines."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[-2:-1] == [str(pid).encode()] and b"tf_serve.score.engines.worker" in b"".join(words):
            found.append(int(place.name))
    return found


def run_through_kills(score, start, place, films, out, *, kills, seed):
    """Kill the run again and again, let it end, and return how many films the last call scored."""
    draw = random.Random(seed)
    for _ in range(kills):
        begun = finished(out)
        last = FILMS // SHARD_FILMS - 1
        target = min(last, begun + draw.randint(0, 2 if kills < 10 else 1))
        kill_at(start(place, films, out, "--shard-films", str(SHARD_FILMS)), out, target, draw.uniform(0, 0.15))
    done = score(place, films, out, "--shard-films", str(SHARD_FILMS), "--json", "--csv")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["scored"]


@pytest.fixture
def whole(score, make_bundle, films, copies, tmp_path):
    """A bundle, 240 films, and the results of a run that nobody stopped."""
    place, many = make_bundle(), copies(films, tmp_path / "many", FILMS)
    assert score(place, many, tmp_path / "whole", "--shard-films", str(SHARD_FILMS), "--csv").returncode == 0
    return place, many, tmp_path / "whole"


def test_killed_three_times_the_results_are_those_of_an_uninterrupted_run(
    score, start, whole, bytes_of, rows_of, tmp_path
):
    place, many, expected = whole
    out = tmp_path / "killed"
    scored = run_through_kills(score, start, place, many, out, kills=3, seed=7)
    assert bytes_of(out) == bytes_of(expected)
    assert (out / "results.csv").read_bytes() == (expected / "results.csv").read_bytes()
    names = [row.film for row in rows_of(out)]
    assert (len(names), len(set(names))) == (FILMS, FILMS)
    assert set(names) == {path.name for path in many.iterdir()}
    assert scored < FILMS  # what was finished was not scored again
    assert not [path for path in out.rglob("*") if path.name.endswith(".tbconv-part")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_twenty_times(score, start, whole, bytes_of, tmp_path, seed):
    place, many, expected = whole
    run_through_kills(score, start, place, many, tmp_path / "killed", kills=20, seed=seed)
    assert bytes_of(tmp_path / "killed") == bytes_of(expected)


def test_workers_end_with_a_parent_that_is_killed(start, make_bundle, films, copies, tmp_path):
    out = tmp_path / "results"
    process = start(make_bundle(), copies(films, tmp_path / "many", FILMS), out, "--shard-films", "5")
    while finished(out) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    assert len(workers_of(process.pid)) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while workers_of(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_half_a_line_in_the_ledger_is_dropped_and_its_shard_written_again(score, whole, bytes_of):
    place, many, out = whole
    before = bytes_of(out)
    ledger = (out / LEDGER).read_bytes()
    (out / LEDGER).write_bytes(ledger[: ledger.rstrip(b"\n").rfind(b"\n") + 20])
    done = score(place, many, out, "--shard-films", str(SHARD_FILMS), "--json")
    assert (done.returncode, json.loads(done.stdout)["scored"]) == (0, SHARD_FILMS)
    assert bytes_of(out) == before


def test_a_run_that_was_killed_before_its_first_shard_was_whole_scores_every_film(score, whole, bytes_of):
    place, many, out = whole
    before = bytes_of(out)
    (out / LEDGER).unlink()
    done = score(place, many, out, "--shard-films", str(SHARD_FILMS), "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["scored"], "have their rows already" in done.stderr) == (0, found["films"], False)
    assert bytes_of(out) == before


def test_a_shard_that_is_gone_is_scored_again_and_one_that_was_altered_is_an_error(score, whole, bytes_of):
    place, many, out = whole
    before = bytes_of(out)
    first, second = shards(out)[:2]
    first.unlink()
    done = score(place, many, out, "--shard-films", str(SHARD_FILMS))
    assert (done.returncode, "is missing: its films are scored again" in done.stderr) == (0, True)
    assert bytes_of(out) == before
    second.write_bytes(second.read_bytes()[:-1] + b"\0")
    done = score(place, many, out, "--shard-films", str(SHARD_FILMS))
    assert (done.returncode, "is not the file that was written" in done.stderr) == (1, True)
    second.unlink()  # as its `fix:` says
    assert score(place, many, out, "--shard-films", str(SHARD_FILMS)).returncode == 0
    assert bytes_of(out) == before


def test_a_second_run_into_a_folder_is_refused_while_the_first_goes_on(start, score, whole, bytes_of, tmp_path):
    place, many, expected = whole
    out = tmp_path / "results"
    first = start(place, many, out, "--shard-films", str(SHARD_FILMS))
    while finished(out) < 1:
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, 19)  # SIGSTOP: it is still there when the second one looks
    second = score(place, many, out, "--shard-films", str(SHARD_FILMS))
    os.kill(first.pid, 18)
    assert (second.returncode, "is being written by another process" in second.stderr) == (1, True)
    assert first.wait(timeout=120) == 0
    assert bytes_of(out) == bytes_of(expected)


def test_results_of_another_bundle_list_option_or_key_are_refused_by_name(
    score, make_bundle, films, films_key, tmp_path
):
    place, out = make_bundle(), tmp_path / "results"
    assert score(place, films, out).returncode == 0
    other = make_bundle("other", threshold=0.5)
    key = films_key("one")
    for words, why in (
        ((other, films, out), "the bundle was"),
        ((place, films, out, "--gate", "off"), "the gate was strict and is off"),
        ((place, films, out, "--shard-films", "5"), "the films of a shard was 1000 and is 5"),
        ((place, films, out, "--artefact", "baseline.tflite"), "the network was"),
        ((place, films, out, "--pseudonymise", str(key)), "the key of the pseudonyms was None"),
    ):
        done = score(*words)
        assert done.returncode == 1
        assert "holds the results of another run" in done.stderr
        assert why in done.stderr
    (films / "ward-0/patient-00.png").rename(films / "ward-0/patient-99.png")
    done = score(place, films, out)
    assert (done.returncode, "the list of films was" in done.stderr) == (1, True)
    (films / "ward-0/patient-99.png").rename(films / "ward-0/patient-00.png")
    assert score(place, films, out).returncode == 0


def test_a_folder_with_other_things_in_it_is_refused(score, make_bundle, films, tmp_path):
    out = tmp_path / "results"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    done = score(make_bundle(), films, out)
    assert (done.returncode, "is not empty" in done.stderr) == (1, True)
    assert (out / "thesis.txt").read_text() == "mine"
    inside = score(make_bundle("b"), films, films / "results")
    assert (inside.returncode, "lies in the folder of films" in inside.stderr) == (1, True)


def test_nobody_else_may_read_the_results(score, make_bundle, films, tmp_path):
    out = tmp_path / "results"
    assert score(make_bundle(), films, out, "--csv").returncode == 0
    assert {path.stat().st_mode & 0o077 for path in (out, *out.rglob("*"))} == {0}
    assert (out / SHARDS).is_dir()
