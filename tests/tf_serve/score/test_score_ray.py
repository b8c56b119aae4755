"""Ray answers what the local engine answers, to the byte, also after kills; nothing of a patient is in its logs."""

import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tbconv.contract.errors import ConfigError, DataError, Silence
from tf_serve.score import rows
from tf_serve.score.engines import local
from tf_serve.score.engines.local import Order
from tf_serve.score.engines.ray import (
    ANSWERS,
    COMMITTED,
    PENDING,
    PLACE,
    SHARD,
    _Answering,
    _of_cluster,
    _Shards,
    _stated,
)
from tf_serve.score.films import list_films
from tf_serve.score.run import Job, ScoreConfig
from tf_serve.score.scorer import Scorer

# What a worker runs instead: a film that begins with DIES ends its process, as a crashing decoder does.
POISONED = """
import json, os, signal, sys
sys.path[:] = json.loads(sys.argv[1])
from tf_serve.score.engines import worker
real = worker.read
def read(place):
    data = real(place)
    if data.startswith(b"DIES"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return data
worker.read = read
worker.run(*sys.argv[2:])
"""
RAY = ("--engine", "ray", "--shard-films", "8")
LOCAL = ("--shard-films", "8")


@pytest.fixture
def quick_start(tmp_path_factory, monkeypatch):
    """Let Ray's processes start as they do where only `tbconv[ray]` is installed.

    jsonschema, which Ray imports, imports rfc3987_syntax where that is installed (for cyclonedx here), and that reads
    its grammar for 3 s of a core in each of Ray's ten processes.
    """
    folder = tmp_path_factory.mktemp("without")
    (folder / "rfc3987_syntax.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


def ray_processes(folder):
    """Return the processes of a Ray whose files lie below a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}\0".encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found


def processes_left(folder):
    """Return those that are still there when they had half a minute to end."""
    for _ in range(300):
        if not ray_processes(folder):
            break
        time.sleep(0.1)
    return ray_processes(folder)


# --- what has been committed becomes shards; without Ray ---


@pytest.fixture
def job(make_bundle, films, tmp_path):
    """A job of 24 films in shards of 8, of which nothing is done."""
    scorer = Scorer(make_bundle())
    said = scorer.describe()
    results = tmp_path / "results"
    (results / rows.SHARDS).mkdir(parents=True)
    with list_films(str(films)) as listed:
        yield Job(
            recipe=scorer.recipe,
            head=rows.head(said, "no device"),
            certificate_sha256=None,
            films=listed,
            results=results,
            shard_films=8,
            film_timeout_s=60,
            reporter=Silence(),
        )


def commit(job, number, *, name="run_000000", pending=False, answers=True, films=None):
    """Leave in a folder what Ray Data leaves of a shard."""
    made = [rows.without_answer(film.id, "quarantined", "drawn", digest=None, model_sha256="0" * 64,
            certificate_sha256=None) for film in (films or dict(job.films.shards(8))[number])]  # fmt: skip
    for folder in (ANSWERS, COMMITTED):
        (job.results / PLACE / folder).mkdir(parents=True, exist_ok=True)
    table = rows.table(made, {})
    if answers:
        with_number = table.append_column(SHARD, [[number] * len(made)])
        parquet.write_table(with_number, job.results / PLACE / ANSWERS / f"{name}-0.parquet")
    suffix = PENDING if pending else ""
    parquet.write_table(table.select(["film"]), job.results / PLACE / COMMITTED / f"{name}{suffix}.parquet")
    return rows.as_parquet(made, job.head)


def test_a_committed_shard_is_the_file_that_the_local_engine_writes(job):
    expected = commit(job, 1)
    shards = _Shards(job)
    assert shards.publish() == 8
    assert (job.results / rows.SHARDS / rows.shard_name(1)).read_bytes() == expected
    assert (shards.lacking, shards.publish()) == ({0, 2}, 0)


def test_what_is_only_pending_is_no_shard(job):
    commit(job, 1, pending=True)
    shards = _Shards(job)
    assert (shards.publish(), shards.lacking) == (0, {0, 1, 2})


def test_a_shard_that_is_committed_twice_counts_once(job):
    expected = commit(job, 1), commit(job, 1, name="other_000003")
    assert _Shards(job).publish() == 8
    assert [path.read_bytes() for path in rows.shards(job.results)] == [expected[0]]


def test_ids_that_are_committed_without_their_rows_are_forgotten_at_the_start_and_scored_again(job):
    commit(job, 2, answers=False)
    commit(job, 0, name="run_000001")
    assert _Shards(job).publish(forget_lost=True) == 8
    assert [path.name for path in (job.results / PLACE / COMMITTED).iterdir()] == ["run_000001.parquet"]


def test_half_a_file_of_rows_is_no_shard(job):
    commit(job, 0)
    place = job.results / PLACE / ANSWERS / "run_000000-0.parquet"
    place.write_bytes(place.read_bytes()[:-20])
    shards = _Shards(job)
    assert (shards.publish(forget_lost=True), shards.lacking) == (0, {0, 1, 2})
    assert not list((job.results / PLACE / COMMITTED).iterdir())


def test_rows_of_other_films_than_the_list_has_are_no_shard(job):
    commit(job, 0, films=dict(job.films.shards(8))[1])
    assert _Shards(job).publish() == 0


def test_shards_of_an_earlier_call_are_told_at_once(job):
    commit(job, 1)
    _Shards(job).publish()
    again = _Shards(job)
    assert (again.publish(), again.lacking) == (8, {0, 2})


# --- an actor; without Ray ---


def answer(actor, films, number=0):
    """Give an actor a shard as Ray Data does, and return its rows."""
    ids, places = [film.name for film in films], [str(film) for film in films]
    block = pa.table({"film": ids, "place": places, SHARD: [number] * len(films)})
    answered = actor(block)
    assert answered[SHARD].to_pylist() == [number] * len(films)
    return {row["film"]: row for row in answered.drop([SHARD]).to_pylist()}


@pytest.fixture
def actor(job):
    """An actor of the job; its process ends with the test."""
    made = _Answering(replace(Order.of(job, films=24, shared=None, environment={}), film_timeout_s=20), elsewhere=False)
    yield made
    made._workers[0].end()


def test_an_actor_answers_shard_after_shard_with_one_process(actor, films):
    places = sorted(films.rglob("*.png"))
    process = actor._workers[0].process.pid
    for number in range(2):
        found = answer(actor, places[8 * number : 8 * number + 8], number)
        assert {row["status"] for row in found.values()} == {"answered"}
    assert actor._workers[0].process.pid == process


def test_an_actor_outlives_a_film_that_ends_its_process(job, films, monkeypatch):
    monkeypatch.setattr(local, "MAIN", POISONED)
    poisoned = films / "ward-1" / "poisoned.png"
    poisoned.write_bytes(b"DIES x")
    made = _Answering(Order.of(job, films=24, shared=None, environment={}), elsewhere=False)
    places = sorted(films.rglob("*.png"))
    first = answer(made, [*places[:3], poisoned])
    second = answer(made, places[3:6], 1)
    made._workers[0].end()
    assert first["poisoned.png"]["reason"] == "it ended the process that read it (signal 11, SIGSEGV), 2 times"
    others = [row["status"] for row in [*first.values(), *second.values()] if row["film"] != "poisoned.png"]
    assert others == ["answered"] * 6


def test_an_actor_says_so_where_most_films_cannot_be_read(actor, films, tmp_path):
    with pytest.raises(DataError, match="24 of 24 films in a row cannot be read"):
        answer(actor, [tmp_path / "gone" / f"{number}.png" for number in range(24)])


def test_an_error_of_ours_is_found_in_what_ray_raises():
    ours = DataError("the archive was changed", why="w", fix="f")
    outer = RuntimeError("the place of a film")
    outer.__cause__ = ours
    assert _stated(outer) is ours
    assert "place" not in _stated(RuntimeError("the place of a film")).one_line


# --- arguments ---


def test_an_address_is_of_a_ray_cluster():
    with pytest.raises(ConfigError) as caught:
        ScoreConfig(bundle=Path("b"), films="f", out=Path("o"), address="auto")
    assert caught.value.fix == "--engine ray"


@pytest.mark.parametrize(("cores", "workers", "actors"), [(2, None, 1), (9, None, 8), (9, 4, 4), (3, 4, 2)])
def test_one_core_of_a_cluster_is_left_to_ray(cores, workers, actors):
    config = ScoreConfig(bundle=Path("b"), films="f", out=Path("o"), engine="ray", address="auto", workers=workers)
    assert _of_cluster(cores, config) == actors


@pytest.mark.parametrize("cores", [0, 1])
def test_a_cluster_without_a_core_to_spare_is_refused_instead_of_waiting_for_ever(cores):
    config = ScoreConfig(bundle=Path("b"), films="f", out=Path("o"), engine="ray", address="auto")
    with pytest.raises(ConfigError, match="too few cores"):
        _of_cluster(cores, config)


# --- Ray itself ---


@pytest.mark.slow
def test_ray_leaves_the_shards_of_the_local_engine_and_nothing_else(
    score, make_bundle, films, quick_start, tmp_path, monkeypatch
):
    (films / "ward-1" / "secret-name.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (films / "ward-1" / "letter").write_bytes(b"a letter to the patient")
    place = make_bundle()
    local = score(place, films, tmp_path / "local", *LOCAL, "--csv")
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    done = score(place, films, tmp_path / "ray", *RAY, "--csv", "--json")
    assert (done.returncode, local.returncode) == (1, 1)  # one is quarantined
    assert done.stdout, done.stderr
    assert [json.loads(done.stdout)["statuses"][name] for name in ("quarantined", "left_out")] == [1, 1]
    names = [path.name for path in rows.shards(tmp_path / "local")]
    assert [path.name for path in rows.shards(tmp_path / "ray")] == names
    for name in [f"shards/{one}" for one in names] + ["quarantine.jsonl", "results.csv"]:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    left = {path.name for path in (tmp_path / "ray").iterdir() if not path.name.startswith(".tbconv")}
    assert left == {
        *("shards", "run.json", "quarantine.jsonl", "results.csv"),
        *("summary.json", "summary.html", "receipts"),
    }
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "secret-name" in line or "ward-1" in line]
    assert "ray" not in done.stderr.lower().replace(str(tmp_path).lower(), "")
    assert list(temporary.iterdir()) == []
    assert processes_left(temporary) == []
    again = score(place, films, tmp_path / "ray", *RAY, "--json")
    assert json.loads(again.stdout)["scored"] == 0


@pytest.mark.slow
def test_nothing_of_a_patient_is_in_what_ray_logs(
    start, make_bundle, films, copies, quick_start, tmp_path, monkeypatch
):
    named = tmp_path / "named"
    named.mkdir()
    many = copies(films, named / "ward-of-smith", 200)
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    out = tmp_path / "out"
    process = start(make_bundle(), many, out, *RAY)
    while process.poll() is None and len(list((out / "shards").glob("*"))) < 4:
        time.sleep(0.1)
    logs = {path: path.read_bytes() for path in temporary.rglob("*") if path.is_file() and "logs" in path.parts}
    process.kill()
    process.communicate()
    assert any(logs.values())
    assert not [path for path, data in logs.items() if b"ward-of-smith" in data or b"000017" in data]
    assert any(b"Usage reporting is disabled" in data for data in logs.values())
    assert not [path for path, data in logs.items() if b"usage_stats.ray.io" in data or b"reporting is enabled" in data]


def committed(out):
    """How many shards Ray has committed or we have written."""
    ids = [path for path in (out / PLACE / COMMITTED).glob("*") if PENDING not in path.name]
    return max(len(ids), len(list((out / rows.SHARDS).glob("*.parquet"))))


@pytest.mark.slow
def test_killed_three_times_the_shards_are_those_of_an_uninterrupted_run(
    score, start, make_bundle, films, copies, quick_start, tmp_path, monkeypatch
):
    place, many = make_bundle(), copies(films, tmp_path / "many", 400)
    assert score(place, many, tmp_path / "whole", *LOCAL, "--csv").returncode == 0
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    out, draw, had = tmp_path / "killed", random.Random(5), []
    for _ in range(3):
        process, before = start(place, many, out, *RAY), committed(out)
        while process.poll() is None and committed(out) <= before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 1))
        refused = score(place, many, out, *RAY) if not had else None
        process.kill()
        process.communicate()
        had.append(committed(out))
        if refused:
            assert refused.returncode == 1
            assert "another process" in refused.stderr
    done = score(place, many, out, *RAY, "--csv", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scored"] < 400  # what was committed was not scored again
    for path in rows.shards(tmp_path / "whole"):
        assert (out / "shards" / path.name).read_bytes() == path.read_bytes()
    assert (out / "results.csv").read_bytes() == (tmp_path / "whole" / "results.csv").read_bytes()
    assert not (out / PLACE).exists()
    assert processes_left(temporary) == []  # those of the killed runs ended with them
