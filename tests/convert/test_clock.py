"""Files are timed in turn, and what came before the clock ran true is not counted."""

import statistics

import numpy as np
import pytest

from convert.runners.tflite import ROUNDS, WARM_UP, latency
from convert.worker import run_step


class Hours:
    """A clock that only drawn models move."""

    def __init__(self):
        self.now, self.asked = 0.0, []

    def model(self, path, *, threads):
        assert threads == 1
        return Model(self, path.stem)


class Model:
    """Takes 10 ms (slow: 40), a second in its first calls, and twice as long in every fifth."""

    def __init__(self, hours, name):
        self.hours, self.name, self.calls = hours, name, 0

    def predict(self, film):
        assert film.shape == (1, 224, 224, 1)
        taken = 0.040 if self.name == "slow" else 0.010
        taken = 1.0 if self.calls < WARM_UP else taken * (1 + (self.calls % 5 == 0))
        self.calls += 1
        self.hours.now += taken
        self.hours.asked.append(self.name)


@pytest.fixture
def film(tmp_path):
    """A film as the parent leaves it."""
    np.save(tmp_path / "film.npy", np.full((1, 224, 224, 1), 90, np.float32))
    return str(tmp_path / "film.npy")


@pytest.fixture
def hours(monkeypatch):
    """A drawn clock in place of the true one."""
    drawn = Hours()
    monkeypatch.setattr("convert.runners.tflite.TFLiteModel", drawn.model)
    monkeypatch.setattr("convert.runners.tflite.time", type("Time", (), {"perf_counter": lambda: drawn.now}))
    return drawn


def test_every_file_gets_the_median_of_the_stated_rounds(hours, film):
    found = latency({"files": ["/a/fast.tflite", "/a/slow.tflite"], "film": film})
    assert found.keys() == {"/a/fast.tflite", "/a/slow.tflite"}
    for path, expected in (("/a/fast.tflite", 10), ("/a/slow.tflite", 40)):
        assert found[path]["median"] == pytest.approx(expected)
        assert (found[path]["rounds"], found[path]["threads"]) == (ROUNDS, 1)
        assert found[path]["low_quartile"] <= found[path]["median"] <= found[path]["high_quartile"]


def test_files_are_asked_in_turn_so_that_noise_meets_all_alike(hours, film):
    latency({"files": ["/a/fast.tflite", "/a/slow.tflite"], "film": film})
    assert hours.asked == ["fast", "slow"] * (WARM_UP + ROUNDS)


def test_the_first_calls_warm_up_and_are_not_counted(hours, film):
    found = latency({"files": ["/a/fast.tflite"], "film": film})["/a/fast.tflite"]
    assert found["high_quartile"] < 1000


def test_no_file_takes_no_time(film):
    assert latency({"files": [], "film": film}) == {}


def test_real_files_are_timed_in_a_process_of_its_own(bundle, film):
    files = [str(bundle / f"model_{name}.tflite") for name in ("float32", "int8")]
    found = run_step("convert.runners.tflite:latency", {"files": files, "film": film}, threads=1)
    assert set(found) == set(files)
    assert all(0 < one["low_quartile"] <= one["median"] <= one["high_quartile"] for one in found.values())
    assert statistics.median(one["rounds"] for one in found.values()) == ROUNDS
