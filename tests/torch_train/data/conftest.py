import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def draw_film(seed, size=96):
    """Smooth noise: no two seeds look alike, and JPEG keeps it."""
    noise = np.random.default_rng(seed).uniform(0, 255, (24, 24)).astype(np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def film():
    return draw_film


@pytest.fixture
def write_film():
    def write(path: Path, seed: int, size: int = 96) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_film(seed, size).save(path)
        return path

    return write


@pytest.fixture
def write_table():
    def write(path: Path, *rows) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return path

    return write


@pytest.fixture
def class_folders(tmp_path, write_film):
    """Two folders of five films each."""
    for number in range(5):
        write_film(tmp_path / "set/Normal" / f"n{number}.png", number)
        write_film(tmp_path / "set/Tuberculosis" / f"t{number}.png", 100 + number)
    return tmp_path / "set"


@pytest.fixture
def users_set(tmp_path, write_film, write_table):
    """The users' layout: four films, of which 1002 and 1003 have tuberculosis."""
    root = tmp_path / "users"
    for number in range(1000, 1004):
        write_film(root / "image" / f"{number}.png", number)
        write_film(root / "mask" / f"{number}.png", number)
    write_table(
        root / "MetaData.csv",
        ("id", "gender", "age", "county", "ptb", "remarks"),
        ("1000", "male", "31", "Shenxhen", "0", "normal"),
        ("1001", "Female,", "1yr", "Shenxhen", "0", "normal"),
        ("1002", "O", "16month", "Montgomery", "1", "left PTB"),
        ("1003", "male35yrs", "male35", "Montgomery", "1", ""),
    )
    return root
