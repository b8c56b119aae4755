import numpy as np
import pytest
from PIL import Image

from convert.onnx_import.films import read_folder, split
from tbconv.contract.errors import DataError, Silence


class Said(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def write(folder, count, *, alike=False):
    for index in range(count):
        pixels = np.random.default_rng(0 if alike else index).integers(0, 256, (40, 30)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return folder


def test_films_that_calibrate_and_films_that_are_compared_are_apart(tmp_path):
    found = read_folder(write(tmp_path, 40), size=32, films=10, reporter=Silence())
    assert found.disjoint
    assert (len(found.calibration), len(found.parity)) == (20, 10)
    assert found.parity.shape[1:] == (32, 32)
    assert "10 films of a folder of 40, none of them seen" in found.description


def test_few_films_serve_twice_and_that_is_said(tmp_path):
    said = Said()
    found = read_folder(write(tmp_path, 5), size=32, films=64, reporter=said)
    assert not found.disjoint
    assert len(found.calibration) == len(found.parity) == 5
    assert "the same that int8 was calibrated on" in found.description
    assert any("too few" in line for line in said.lines)


def test_at_most_64_films_calibrate_evenly_spread():
    calibrating, compared = split(200, 64)
    assert (len(calibrating), len(compared)) == (64, 64)
    assert not set(calibrating) & set(compared)
    assert max(np.diff(calibrating)) <= 4
    assert calibrating[-1] > 190


def test_a_film_that_is_there_twice_counts_once(tmp_path):
    assert len(read_folder(write(tmp_path, 6, alike=True), size=32, films=6, reporter=Silence()).parity) == 1


def test_a_damaged_film_is_left_out_and_named(tmp_path):
    said = Said()
    write(tmp_path, 3)
    (tmp_path / "zzz.png").write_bytes(b"no film")
    assert len(read_folder(tmp_path, size=32, films=9, reporter=said).parity) == 3
    assert any("zzz.png" in line for line in said.lines)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_films_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match="--calibration"):
        read_folder(tmp_path / name, size=32, films=9, reporter=Silence())
