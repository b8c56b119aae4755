"""A conversion that is killed, one that runs beside another, and one whose disk is full."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convert.from_run import ConvertConfig
from convert.pipeline import convert
from convert.worker import run_step
from tbconv.contract.errors import SetupError, Silence
from tbconv.contract.files import MAKING
from tbconv.family import VARIABLE
from torch_train.run_folder import WEIGHTS

BESIDE_WEIGHTS = 2 << 20  # bytes: golden films go there as well


@pytest.fixture
def tbconv(tmp_path):
    """Return a function that starts the command with a temporary folder of its own; all are ended afterwards."""
    (tmp_path / "tmp").mkdir()
    started = []

    def start(*words):
        log = tmp_path / f"log{len(started)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tbconv", *map(str, words)],
                env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
                stdout=file,
                stderr=file,
            )
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def family_of(pid):
    """Return the processes that carry the name of a command's children, and run."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            ours = place.name.isdigit() and f"{VARIABLE}={pid}-".encode() in (place / "environ").read_bytes()
            if ours and (place / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append(place.name)
        except OSError:
            continue
    return found


def files_of(*folders):
    return {
        (path, path.stat().st_ino, path.stat().st_mtime_ns)
        for one in folders
        for path in one.rglob("*")
        if path.is_file()
    }


def test_what_a_killed_conversion_leaves_is_removed_by_the_next_whose_place_no_other_takes(run, tbconv, tmp_path):
    out, tmp = tmp_path / "out", tmp_path / "tmp"
    first, _ = tbconv("convert", run, "--out", out / "bundle")
    wait_for((out / f".bundle{MAKING}" / "new" / "model.onnx").exists)
    wait_for(lambda: family_of(first.pid))  # between two steps it may have none
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_for(lambda: not family_of(first.pid))
    left = files_of(out, tmp)
    assert sum(path.stat().st_size for path, *_ in left) > 1_000_000

    second, log = tbconv("convert", run, "--out", out / "bundle")
    wait_for(lambda: "left by a killed command" in log.read_text())
    assert not left & files_of(out, tmp)
    wait_for((out / f".bundle{MAKING}" / "new").exists)
    third, told = tbconv("convert", run, "--out", out / "bundle")
    assert third.wait() == 1
    assert f"error: {out / 'bundle'} is being written by another process" in told.read_text()
    assert f"process {second.pid} on" in told.read_text()
    second.kill()
    second.wait()
    wait_for(lambda: not family_of(second.pid))
    cleaning, listed = tbconv("doctor", "--clean", "--folder", out, "--json")
    assert cleaning.wait() == 0
    assert json.loads(listed.read_text())["leftovers"]
    assert list(out.iterdir()) == list(tmp.iterdir()) == []


@pytest.fixture
def small_disk(run, small_disk_of):
    """A disk with room for the weights of a run, and for no file that is made of them."""
    return small_disk_of((run / WEIGHTS).stat().st_size + BESIDE_WEIGHTS)


def test_a_conversion_without_room_is_refused_before_it_begins(run, small_disk, monkeypatch, tmp_path):
    with pytest.raises(SetupError) as caught:
        convert(ConvertConfig(run=run, out=small_disk / "bundle"), Silence())
    assert caught.value.what.startswith("this conversion needs ")
    assert caught.value.what.endswith(" are free")
    assert "another --out" in caught.value.fix
    assert list(small_disk.iterdir()) == []
    monkeypatch.setenv("TMPDIR", str(small_disk))
    with pytest.raises(SetupError) as caught:
        convert(ConvertConfig(run=run, out=tmp_path / "bundle"), Silence())
    assert "export TMPDIR=" in caught.value.fix


def test_a_disk_that_fills_up_in_a_worker_is_said_as_such_and_nothing_is_left(run, small_disk, monkeypatch):
    monkeypatch.setattr("convert.pipeline.require_room", lambda *_, **__: None)
    with pytest.raises(SetupError) as caught:
        convert(ConvertConfig(run=run, out=small_disk / "bundle"), Silence())
    assert "no space left" in caught.value.why
    assert list(small_disk.iterdir()) == []


DISK = """
import os, sys
def step(request):
    {body}
"""


@pytest.mark.parametrize(
    "body",
    [
        "raise OSError(28, os.strerror(28), '/full/model.tflite')",
        "raise RuntimeError('/full/variables.data; No space left on device')",
        "sys.stderr.write('F0000 writer.cc] No space left on device: /full/x\\n'); sys.stderr.flush(); os._exit(134)",
        "sys.exit('onnx2tf: [Errno 28] No space left on device')",
    ],
)
def test_a_full_disk_is_told_from_other_faults_however_a_step_or_its_library_reports_it(body, tmp_path, monkeypatch):
    (tmp_path / "disk_step.py").write_text(DISK.format(body=body))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SetupError, match="cannot write") as caught:
        run_step("disk_step:step", {})
    assert "no space left" in caught.value.why


def test_what_a_step_leaves_in_the_temporary_folder_goes_with_its_worker(tmp_path, monkeypatch):
    body = "import tempfile; return {'place': tempfile.mkstemp()[1]}"
    (tmp_path / "leaving_step.py").write_text(DISK.format(body=body))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    place = Path(run_step("leaving_step:step", {})["place"])
    assert place.is_relative_to(tmp_path)
    assert not place.exists()
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"leaving_step.py"}


@pytest.mark.slow
def test_conversions_that_are_killed_at_random_moments_leave_nothing(run, tmp_path):
    sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` belongs to the checkout
    from benchmarks.kill_commands import Place, kill_often, trial_of_convert

    place = Place(tmp_path / "place")
    trial = trial_of_convert(run, place, longest_s=30.0, films=4)
    kills = kill_often(trial, place, 6, random.Random(0))
    assert [kill.lost for kill in kills] == [""] * len(kills)
    assert sum(kill.still for kill in kills) == 0
    assert sum(kill.left for kill in kills) > 0
