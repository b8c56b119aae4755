"""Folders of drawn films, and `tbconv score` as users run it: a process of its own."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tf_serve.score.rows import Row, read, shards

PROGRAM = "from tbconv.cli import main; main()"


@pytest.fixture
def films(tmp_path, draw_film, as_png):
    """A folder of 24 films in three subfolders, each with pixels of its own; two are JPEG."""
    root = tmp_path / "films"
    for number in range(24):
        place = root / f"ward-{number % 3}" / f"patient-{number:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw_film(number)
        if number % 12 == 5:
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "JPEG", quality=95)
            place.with_suffix(".jpg").write_bytes(out.getvalue())
        else:
            place.write_bytes(as_png(pixels))
    return root


def command(bundle, films, out, *more):
    """Return the words of the command."""
    words = ["score", bundle, "--films", films, "--out", out, "--workers", "2", *more]
    return [sys.executable, "-P", "-c", PROGRAM, *map(str, words)]


@pytest.fixture
def score():
    """Return a function that runs the command and returns what it did."""

    def run(bundle, films, out, *more, **options):
        words = command(bundle, films, out, *more)
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, **options)

    return run


@pytest.fixture
def start():
    """Return a function that starts the command and returns its process; what still runs at the end is killed."""
    started = []

    def begin(bundle, films, out, *more, **options):
        process = subprocess.Popen(
            command(bundle, films, out, *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def rows_of():
    """Return a function that reads results, a `Row` each, in their order."""

    def read_all(results):
        return [Row(**one) for batch in read(results) for one in batch.to_pylist()]

    return read_all


@pytest.fixture
def bytes_of():
    """Return a function that returns what must not depend on when a run was killed: all files but its times."""

    def collect(results):
        found = {path.name: path.read_bytes() for path in shards(results)}
        found |= {name: (results / name).read_bytes() for name in ("run.json", "quarantine.jsonl")}
        summary = json.loads((results / "summary.json").read_text())
        kept = ("films", "statuses", "decisions", "gate_reasons", "left_out", "model")
        return found | {"summary": {name: summary[name] for name in kept}}

    return collect


@pytest.fixture
def copies():
    """Return a function that fills a folder with films under new ids, as hard links: no room is taken."""

    def fill(source, folder, count):
        originals = sorted(path for path in source.rglob("*") if path.is_file())
        folder.mkdir()
        for number in range(count):
            original = originals[number % len(originals)]
            place = folder / f"{number:06d}{original.suffix}"
            try:
                place.hardlink_to(original)
            except OSError:
                shutil.copy(original, place)
        return folder

    return fill


@pytest.fixture
def films_key(tmp_path):
    """Return a function that writes a key of pseudonyms and returns its file."""

    def write(name):
        place = tmp_path / f"{name}.key"
        place.write_text(f"{name * 16}\n")
        return place

    return write
