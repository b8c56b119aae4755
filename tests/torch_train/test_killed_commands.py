"""Commands that train, killed with SIGKILL at random moments: their processes end, and nothing is lost or left."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.kill_commands import (  # noqa: E402
    Place,
    alive,
    kill_often,
    tree,
    trial_of_evaluate,
    trial_of_train,
)
from tbconv.contract.errors import ConfigError, Silence  # noqa: E402
from torch_train.evaluation.config import EvaluateConfig  # noqa: E402
from torch_train.evaluation.evaluate import evaluate  # noqa: E402
from torch_train.run_folder import run_folder_locked  # noqa: E402


def test_an_evaluation_into_a_folder_where_another_writes_is_refused(recipe, tmp_path):
    config = EvaluateConfig(recipe=recipe(baseline_only=True), folds=2, repeats=1)
    with run_folder_locked(config.out), pytest.raises(ConfigError, match="is being written by another process"):
        evaluate(config, Silence())
    assert not config.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("trial_of", [trial_of_train, trial_of_evaluate])
def test_a_command_that_is_killed_again_and_again_ends_where_one_ends_that_was_not(trial_of, tmp_path):
    place = Place(tmp_path / "place")
    kills = kill_often(trial_of(place), place, 5, random.Random(0))
    assert [kill.lost for kill in kills] == [""] * len(kills)
    assert sum(kill.still for kill in kills) == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", ["started", "trains"])
def test_ranks_end_with_the_command_that_was_killed(films, tmp_path, after):
    words = ["train", "--data", films, "--out", tmp_path / "run", "--arch", "resnet10", "--weights", "none"]
    words += ["--gpus", "2", "--device", "cpu", "--batch", "4", "--epochs", "50"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-P", "-m", "tbconv", *map(str, words)]
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | {"TMPDIR": str(tmp_path)})
    end = time.monotonic() + 180
    while len(tree(process.pid)) < 4 or (after == "trains" and "epoch 1/" not in log.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    below = tree(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(map(alive, below)):
        assert time.monotonic() < end
        time.sleep(0.02)
