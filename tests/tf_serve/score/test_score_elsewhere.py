"""Films in a bucket (moto's server, on loopback) and Spark's recipe, each in an environment of its own."""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from benchmarks.serve_peers.environments import environment
from tbconv.contract.errors import SetupError
from tf_serve.score.rows import Row, shards
from tf_serve.score.scorer import Scorer

ROOT = Path(__file__).parents[3]
PROGRAM = "from tbconv.cli import main; main()"
RECIPE = ROOT / "docs/examples/score_spark.py"


def python_of(name):
    """Return the Python of an environment, or skip where it cannot be installed."""
    try:
        return environment(name)
    except SetupError as error:
        pytest.skip(f"{error}: {error.why}")


@pytest.fixture
def bucket(films, tmp_path):
    """The 24 films, a letter and a damaged film under s3://hospital/2026; what a process needs to reach them."""
    python = python_of("s3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reach = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "drawn",
        "AWS_SECRET_ACCESS_KEY": "drawn",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "PYTHONPATH": str(ROOT),
    }
    server = subprocess.Popen(
        [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        (films / "ward-0" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
        (films / "letter.pdf").write_bytes(b"%PDF-1.7")
        put = (
            "import s3fs, sys; fs = s3fs.S3FileSystem(); fs.mkdir('hospital', region_name='eu-central-1')\n"
            "fs.put(sys.argv[1], 'hospital/2026', recursive=True)"
        )
        subprocess.run([python, "-c", put, films], env=os.environ | reach, check=True, timeout=120)
        yield python, os.environ | reach
    finally:
        server.kill()
        server.wait()


def score_there(bucket, bundle, source, out, *more):
    python, variables = bucket
    words = ["score", bundle, "--films", source, "--out", out, "--workers", "2", "--shard-films", "8", "--json", *more]
    return subprocess.run(
        [python, "-P", "-c", PROGRAM, *map(str, words)],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def cells(results):
    return {path.name: parquet.read_table(path).to_pylist() for path in shards(results)}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_films_in_a_bucket_get_the_rows_that_they_get_in_a_folder(bucket, score, make_bundle, films, tmp_path, engine):
    place = make_bundle()
    here = score(place, films, tmp_path / "here", "--shard-films", "8")
    done = score_there(bucket, place, "s3://hospital/2026", tmp_path / "there", "--engine", engine)
    assert (here.returncode, done.returncode) == (1, 1), done.stderr  # one film is damaged
    said = json.loads(done.stdout)
    assert (said["films"], said["statuses"]["quarantined"], said["statuses"]["left_out"]) == (26, 1, 1)
    assert cells(tmp_path / "there") == cells(tmp_path / "here")
    assert not [line for line in done.stderr.splitlines() if "ward-" in line]


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_an_error_with_its_fix(bucket, make_bundle, tmp_path):
    done = score_there(bucket, make_bundle(), "s3://nowhere/2026", tmp_path / "out")
    assert done.returncode == 1
    assert "s3://nowhere/2026" in done.stderr
    assert "fix: " in done.stderr


@pytest.mark.slow
def test_sparks_recipe_gives_each_film_the_row_that_the_scorer_gives(make_bundle, films, tmp_path):
    if not shutil.which("java"):
        pytest.skip("Spark needs Java: apt-get install default-jre-headless")
    python = python_of("spark")
    (films / "ward-0" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    place, out = make_bundle(), tmp_path / "out"
    variables = {
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
    }
    words = [python, RECIPE, place, films, out]
    done = subprocess.run(
        words, env=os.environ | variables, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [row for path in out.glob("*.parquet") for row in parquet.read_table(path).to_pylist()]
    scorer = Scorer(place)
    expected = [scorer.row(path.as_uri().replace("file://", "file:"), path.read_bytes()) for path in films.rglob("*.*")]
    assert len(found) == len(expected) == 25
    found.sort(key=lambda row: row["film"])
    for row, right in zip(found, sorted(expected), strict=True):
        given = Row(**row)
        assert given._replace(limits=tuple(given.limits)) == right
