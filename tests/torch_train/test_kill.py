"""A run that is killed with SIGKILL, as a machine that loses its power or its memory does it, and goes on."""

import json
import random
import signal
import subprocess
import sys
import time

import killed_run
import pytest
import torch

from tbconv.contract.errors import Silence

TIMES = ("seconds", "films_per_second")
LONGEST_DELAY_S = 0.5  # about an epoch of these films on two cores


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory):
    """A run that nobody killed: its folder, and its best weights."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, killed_run.fit_from_where_it_was(films, out, Silence()).network.state_dict()


@pytest.fixture
def start(films, tmp_path):
    def run(moment):
        command = [sys.executable, killed_run.__file__, str(films), str(tmp_path / "run"), moment]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


def _history(run):
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def _assert_goes_on_to(whole, films, run):
    folder, weights = whole
    trained = killed_run.fit_from_where_it_was(films, run, Silence())
    assert _history(run) == _history(folder)
    assert all(torch.equal(value, weights[key]) for key, value in trained.network.state_dict().items())
    last, other = (torch.load(one / "checkpoint.pt", weights_only=True)["network"] for one in (run, folder))
    assert all(torch.equal(last[key], other[key]) for key in other)
    assert {path.name for path in run.iterdir()} == {"checkpoint.pt", "history.jsonl"}


def test_a_run_that_is_killed_twice_while_it_writes_goes_on_to_the_same_bits(films, tmp_path, whole, start):
    run = tmp_path / "run"
    # Half of the second checkpoint lies beside the first; then no epoch is left to train, and the history is behind.
    for moment, epochs, lines in (("save:2", 1, 1), ("history:3", 3, 2)):
        with start(moment) as process:
            _, said = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, said
        assert len(torch.load(run / "checkpoint.pt", weights_only=True)["history"]) == epochs
        assert len(_history(run)) == lines
    _assert_goes_on_to(whole, films, run)


@pytest.mark.slow
def test_a_run_that_is_killed_at_a_random_moment_goes_on_to_the_same_bits(films, tmp_path, whole, start):
    epoch, delay = random.SystemRandom().randint(1, 2), random.SystemRandom().uniform(0, LONGEST_DELAY_S)
    with start("never") as process:
        while f"epoch {epoch}/" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"done already, {delay} s after epoch {epoch} began"
    _assert_goes_on_to(whole, films, tmp_path / "run")
