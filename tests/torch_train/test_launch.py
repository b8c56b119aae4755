import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tbconv.contract.errors import ConfigError, SetupError, Silence
from torch_train import train
from torch_train.train import start_training

OPTIONS = ["--arch", "resnet10", "--weights", "none", "--fine-tune", "3", "--batch", "4", "--device", "cpu"]
ENDLESS = ["--epochs", "500", "--patience", "500"]


@pytest.mark.parametrize(
    ("change", "processes", "what"),
    [
        ({}, 0, "--gpus is 0"),
        ({"device": "cuda:1"}, 2, "--device cuda:1 for 2 processes"),
        ({"baseline_only": True}, 2, "--baseline-only in 2 processes"),
    ],
)
def test_what_several_processes_cannot_share_is_refused_before_one_starts(recipe, change, processes, what):
    config = recipe(**change)
    with pytest.raises(ConfigError, match=what):
        start_training(config, Silence(), processes=processes, resume=False)
    assert not config.out.exists()


def test_more_gpus_than_there_are_are_refused_and_none_become_cpu_processes_unasked(recipe, monkeypatch):
    for found, fix in ((0, "--device cpu"), (4, "--gpus 4")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda found=found: found)
        with pytest.raises(SetupError, match="8 GPUs are requested") as caught:
            start_training(recipe(device="auto"), Silence(), processes=8, resume=False)
        assert (f"sees {found}" in caught.value.why, fix in caught.value.fix) == (True, True)


def test_one_process_trains_where_it_is(recipe, monkeypatch):
    trained = []
    monkeypatch.setattr(train, "train", lambda config, reporter, *, resume: trained.append((config, resume)))
    config = recipe()
    assert start_training(config, Silence(), processes=1, resume=True)
    assert trained == [(config, True)]


def _command(*start):
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{heard}; from tbconv.cli import main; main()", "train", *start]


@pytest.mark.slow
def test_an_interrupted_run_of_two_leaves_a_checkpoint_no_process_and_says_how_to_go_on(films, tmp_path):
    command = _command("--data", str(films), "--out", str(tmp_path / "run"), "--gpus", "2", *OPTIONS, *ENDLESS)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        said = ""
        while "epoch 1/500:" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said += process.stderr.read()
        process.wait(90)
    assert (process.returncode, "--resume" in said, "Traceback" in said) == (130, True, False), said
    assert "2 processes, batch size 4 each: 8 films a step in all" in said
    assert len(torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["history"]) >= 1
    _wait_until_none_is_left(process.pid)


def _wait_until_none_is_left(group):
    for _ in range(200):  # Python's own tracker of shared resources ends a moment after us
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process is left")


@pytest.mark.slow
def test_torchrun_and_gpus_train_the_same(films, tmp_path):
    places = [["--data", str(films), "--out", str(tmp_path / name), "--epochs", "1"] for name in ("own", "torchrun")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "torch_train.train"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in (_command(*places[0], *OPTIONS, "--gpus", "2"), [*torchrun, *places[1], *OPTIONS]):
        subprocess.run(command, check=True, capture_output=True, timeout=300, env=one_thread)
    own, other = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["network"] for name in ("own", "torchrun")
    )
    assert all(torch.allclose(own[key], other[key], rtol=1e-4, atol=1e-6) for key in own)
