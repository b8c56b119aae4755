"""Logs of training: by the real libraries, and by targets that fail, hang or do not exist."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import ClassVar

import httpx
import pytest

from benchmarks.serve_peers.environments import environment
from tbconv.contract.bundle import read_json
from tbconv.contract.errors import ConfigError, SetupError
from torch_train import tracking
from torch_train.engine.state import EpochRecord
from torch_train.tracking import figures_of, require_packages, training_log
from torch_train.train import train


class Listener:
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)

    def track(self, items, *, title, total):
        return iter(items)

    @property
    def warnings(self):
        return [line for line in self.lines if line.startswith("warning")]


def epochs(n):
    return tuple(EpochRecord(number, 1 / number, 2 / number, 0.9, 1e-3, 4.0, 50.0) for number in range(1, n + 1))


class Kept:
    """A target that remembers; `fails` names the call that raises."""

    made: ClassVar[list] = []

    def __init__(self, place, recipe, *, resumed):
        self.place, self.calls, self.recipe = place, [], recipe
        Kept.made.append(self)
        self._do("make")

    def _do(self, call, *words):
        self.calls.append((call, *words))
        if self.place == call:
            raise OSError(f"{call} failed at http://user:secret@host\nforged line")

    def log_epoch(self, record):
        self._do("epoch", record.epoch)

    def log_figures(self, metrics, epoch):
        self._do("figures", epoch)

    def close(self, status):
        self._do("close", status)


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(Kept, "made", [])
    monkeypatch.setitem(tracking.TRACKERS, "mlflow", Kept)
    return Kept.made


def test_each_target_gets_every_epoch_once_and_the_figures_at_the_end(kept):
    listener = Listener()
    with training_log(["mlflow:one", "mlflow:two"], {"seed": 1}, listener, resumed=True) as log:
        log.log_history(epochs(2))  # of before
        log.log_history(epochs(2))
        log.log_history(epochs(3))
        log.log_figures({})
    expected = [("make",), ("epoch", 1), ("epoch", 2), ("epoch", 3), ("figures", 3), ("close", "FINISHED")]
    assert [one.calls for one in kept] == [expected, expected]
    assert (kept[0].recipe, listener.lines) == ({"seed": 1}, [])


@pytest.mark.parametrize("call", ["make", "epoch", "figures", "close"])
def test_a_target_that_fails_is_named_once_without_its_password_and_the_others_go_on(kept, call):
    listener = Listener()
    with training_log([f"mlflow:{call}", "mlflow:fine"], {}, listener, resumed=False) as log:
        log.log_history(epochs(3))
        log.log_figures({})
    [warning] = listener.warnings
    assert f"mlflow:{call} is not logged to any more (OSError: {call} failed" in warning
    assert warning.endswith("training goes on")
    assert "\n" not in warning
    fine = next(one for one in kept if one.place == "fine")
    assert fine.calls[-1] == ("close", "FINISHED")
    assert len(fine.calls) == 6


def test_the_password_of_an_address_is_in_no_line(kept, monkeypatch):
    listener = Listener()

    def refuse(place, recipe, *, resumed):
        raise OSError(f"cannot reach {place}")

    monkeypatch.setitem(tracking.TRACKERS, "mlflow", refuse)
    with training_log(["mlflow:https://user:secret@host/x"], {}, listener, resumed=False):
        pass
    [warning] = listener.warnings
    assert warning.startswith("warning: mlflow:https://host/x is not logged to any more (OSError: cannot reach https:")
    assert "secret" not in warning


def test_a_target_that_hangs_holds_training_for_a_moment_and_is_named(kept, monkeypatch):
    listener, release = Listener(), threading.Event()
    monkeypatch.setattr(Kept, "log_epoch", lambda self, record: release.wait(60))
    monkeypatch.setattr(tracking, "CLOSE_S", 0.2)
    start = time.monotonic()
    with training_log(["mlflow:x"], {}, listener, resumed=False) as log:
        log.log_history(epochs(3))
    assert time.monotonic() - start < 20
    assert "not taken everything after 0.2 s" in listener.warnings[0]
    release.set()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ConfigError("a", why="b", fix="c"), "FAILED")]
)
def test_a_run_that_ends_early_says_how(kept, error, status):
    with (
        pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ConfigError),
        training_log(["mlflow:x"], {}, Listener(), resumed=False),
    ):
        raise error
    assert kept[0].calls[-1] == ("close", status)


@pytest.mark.parametrize("target", ["wandb:x", "mlflow", "mlflow:", "tensorboard", "", ":x", "user:secret@host"])
def test_a_target_that_is_none_is_refused_before_anything_is_read(recipe, target):
    with pytest.raises(ConfigError, match="tensorboard:DIR or mlflow:URI") as refused:
        recipe(log_to=(target,))
    assert "secret" not in str(refused.value)


def test_a_missing_library_is_named_with_its_extra_before_a_folder_is_made(recipe, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = recipe(log_to=("tensorboard:logs",))
    with pytest.raises(SetupError, match="tensorboard is not installed") as refused:
        train(config, Listener())
    assert refused.value.fix == "pip install 'tbconv[tensorboard]'"
    assert not config.out.exists()
    require_packages(())


def test_where_a_run_is_logged_is_no_part_of_its_recipe(recipe):
    assert "log_to" not in recipe(log_to=("mlflow:http://x",)).stored()


def test_a_run_in_tensorboard_is_its_history_and_its_figures(recipe, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    listener = Listener()
    config = recipe(log_to=(f"tensorboard:{tmp_path / 'logs'}",))
    train(config, listener)
    assert listener.warnings == []
    history = [json.loads(line) for line in (config.out / "history.jsonl").read_text().splitlines()]
    found = EventAccumulator(str(tmp_path / "logs"))
    found.Reload()
    for key, name in tracking.SCALARS.items():
        assert [(event.step, pytest.approx(event.value, rel=1e-6)) for event in found.Scalars(name)] == [
            (row["epoch"], row[key]) for row in history
        ]
    metrics = read_json(config.out / "metrics.json")
    figures = figures_of(metrics)
    assert figures["test/trained/auroc"] == metrics["networks"]["trained"]["test"]["figures"]["auroc"]["value"]
    assert {"test/baseline/auroc", "test/trained/sensitivity_low", "test/trained/sensitivity_n"} <= set(figures)
    for name, value in figures.items():
        [event] = found.Scalars(name)
        assert (event.step, event.value) == (2, pytest.approx(value, rel=1e-6))
    [text] = found.Tensors("figures/text_summary")
    assert metrics["disclaimer"].encode() in text.tensor_proto.string_val[0]
    # once more, from the checkpoint: no epoch is shown twice
    train(recipe(out=config.out, epochs=2, log_to=config.log_to), listener, resume=True)
    again = EventAccumulator(str(tmp_path / "logs"))
    again.Reload()
    assert [event.step for event in again.Scalars("loss/train")] == [1, 2]


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_a_log_loads_no_tensorflow(tracker, tmp_path):
    pytest.importorskip(tracker)
    place = {"tensorboard": tmp_path / "logs", "mlflow": f"file://{tmp_path / 'store'}"}[tracker]
    code = f"""import sys
from tbconv.contract.errors import Silence
from torch_train.engine.state import EpochRecord
from torch_train.tracking import training_log
with training_log(["{tracker}:{place}"], {{"seed": 1}}, Silence(), resumed=False) as log:
    log.log_history((EpochRecord(1, 1.0, 2.0, 0.9, 1e-3, 4.0, 50.0),))
sys.exit(" ".join({{"{tracker}", "tensorflow"}} & set(sys.modules)))
"""
    environment = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == tracker  # what sys.exit prints: the library is loaded, TensorFlow is not


def assert_mlflow_has(uri, config):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    [run] = client.search_runs([client.get_experiment_by_name("tbconv").experiment_id])
    history = [json.loads(line) for line in (config.out / "history.jsonl").read_text().splitlines()]
    for key, name in tracking.SCALARS.items():
        logged = client.get_metric_history(run.info.run_id, name)
        assert [(one.step, one.value) for one in logged] == [(row["epoch"], row[key]) for row in history]
    metrics = read_json(config.out / "metrics.json")
    for name, value in figures_of(metrics).items():
        assert run.data.metrics[name] == value
    assert (run.info.status, run.data.params["arch"], run.data.params["epochs"]) == ("FINISHED", "resnet10", "2")
    assert run.data.tags["tbconv.disclaimer"] == metrics["disclaimer"]
    assert (run.data.tags["tbconv.negative"], run.data.tags["tbconv.positive"]) == ("Normal", "Tuberculosis")


def test_a_run_in_mlflow_is_its_recipe_its_history_and_its_figures(recipe, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri, listener = f"file://{tmp_path / 'store'}", Listener()
    config = recipe(log_to=(f"mlflow:{uri}",))
    train(config, listener)
    assert listener.warnings == []
    assert_mlflow_has(uri, config)


@pytest.mark.slow
def test_a_run_in_a_real_mlflow_server(recipe, tmp_path):
    pytest.importorskip("mlflow")
    try:
        python = environment("mlflow")
    except SetupError as error:
        pytest.skip(error.one_line)
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [python, "-m", "mlflow", "server", "--backend-store-uri", place, "--port", str(port), "--workers", "1"]
    environ = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        uri, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
        while True:
            try:
                if httpx.get(f"{uri}/health").status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.3)
        listener, config = Listener(), recipe(log_to=(f"mlflow:{uri}",))
        train(config, listener)
        assert listener.warnings == []
        assert_mlflow_has(uri, config)
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)
