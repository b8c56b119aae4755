"""Drawn films: grey noise, and a bright disc where a film is positive."""

import numpy as np
import pytest
from PIL import Image

from torch_train.config import TrainConfig


def _draw(folder, *, positive, n, seed):
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(n):
        pixels = generator.integers(40, 120, (64, 64)).astype(np.uint8)
        if positive:
            y, x = generator.integers(8, 40, 2)
            pixels[y : y + 16, x : x + 16] += 110
        Image.fromarray(pixels).save(folder / f"patient{seed}{number // 2:02d}_{number}.png")


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """A folder of 28 films of 14 patients, one folder a class."""
    root = tmp_path_factory.mktemp("films")
    _draw(root / "Normal", positive=False, n=14, seed=1)
    _draw(root / "Tuberculosis", positive=True, n=14, seed=2)
    return root


@pytest.fixture
def recipe(films, tmp_path):
    """A recipe of seconds: the small network from random weights, two epochs."""

    def make(**changes):
        base = {
            "data": films,
            "out": tmp_path / "run",
            "arch": "resnet10",
            "weights": "none",
            "fine_tune": "all",
            "patient": r"patient(\d+)_",
            "epochs": 2,
            "batch": 8,
            "device": "cpu",
        }
        return TrainConfig(**(base | changes))

    return make
