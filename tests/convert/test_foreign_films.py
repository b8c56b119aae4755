from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from convert.onnx_import.films import choose_for_sides, read_folder, read_more, split
from convert.onnx_import.reference import OnnxConfig, OnnxReference
from convert.parity.decisions import Decisions
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
    found = read_folder(write(tmp_path, 40), size=(32, 32), films=10, reporter=Silence())
    assert found.disjoint
    assert (len(found.calibration), len(found.parity)) == (20, 10)
    assert found.parity.shape[1:] == (32, 32)
    assert "10 films of a folder of 40, none of them seen" in found.description


def test_few_films_serve_twice_and_that_is_said(tmp_path):
    said = Said()
    found = read_folder(write(tmp_path, 5), size=(32, 32), films=64, reporter=said)
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
    assert len(read_folder(write(tmp_path, 6, alike=True), size=(32, 32), films=6, reporter=Silence()).parity) == 1


def test_a_film_in_two_containers_counts_once_so_that_none_is_calibrated_on_and_compared(tmp_path):
    write(tmp_path, 40)
    for path in list(tmp_path.glob("*.png")):
        Image.open(path).save(tmp_path / f"{path.stem}-again.png", compress_level=1)
    found = read_folder(tmp_path, size=(32, 32), films=40, reporter=Silence())
    assert found.disjoint
    assert len(found.calibration) + len(found.parity) == 40


def test_a_damaged_film_is_left_out_and_named(tmp_path):
    said = Said()
    write(tmp_path, 3)
    (tmp_path / "zzz.png").write_bytes(b"no film")
    assert len(read_folder(tmp_path, size=(32, 32), films=9, reporter=said).parity) == 3
    assert any("zzz.png" in line for line in said.lines)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_films_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match="--calibration"):
        read_folder(tmp_path / name, size=(32, 32), films=9, reporter=Silence())


def test_more_films_come_spread_over_the_folder_and_none_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("convert.onnx_import.films.MOST", 40)
    monkeypatch.setattr("convert.onnx_import.films.AT_ONCE", 8)
    write(tmp_path, 100)
    (tmp_path / "copy.png").write_bytes((tmp_path / "000.png").read_bytes())
    found = read_folder(tmp_path, size=(32, 32), films=10, reporter=Silence())
    pools = list(read_more(tmp_path, found, size=(32, 32), reporter=Silence()))
    last = pools[-1]
    assert len(last.parity) == len(last.parity_names) == len(set(last.parity_sha256)) == 40
    assert last.disjoint
    assert all(
        after.parity_names[: len(before.parity_names)] == before.parity_names for before, after in pairwise(pools)
    )
    assert (last.parity[:10] == found.parity).all()
    eighth = sorted(int(name[:3]) for name in pools[0].parity_names[10:] if name != "copy.png")
    assert eighth[0] < 30
    assert eighth[-1] > 70


def test_films_are_taken_for_the_sides_that_lack_some_and_no_others():
    positive = np.array([1, 0, 0, 0, 0, 1, 0, 1, 1, 1], np.bool_)
    rows, lacking = choose_for_sides({"positive": positive, "negative": ~positive}, 3, 3)
    assert rows.tolist() == [3, 5, 7]  # one negative, two positives
    assert lacking == {}
    rows, lacking = choose_for_sides({"positive": positive[:6], "negative": ~positive[:6]}, 3, 3)
    assert (rows.tolist(), lacking) == ([3, 5], {"positive": 2})
    assert choose_for_sides({"films": np.ones(9, np.bool_)}, 4, 3)[0].tolist() == []


@pytest.fixture
def find_sides(tmp_path, monkeypatch):
    """Return a function that looks for films on both sides of a brightness, of a folder with so many bright ones."""
    monkeypatch.setattr("convert.onnx_import.films.AT_ONCE", 8)
    monkeypatch.setattr("convert.onnx_import.reference.SIDE_FILMS", 6)

    def run(model_inputs, ways=("reference", "optimised", "rounded")):
        return {way: {"y": model_inputs.mean(axis=(1, 2))[:, None] - 128} for way in ways}

    def call(count, bright):
        for index in range(count):
            level = 200 if index % (count // bright) == 1 else 50
            pixels = np.full((32, 32), level, np.uint8)
            pixels[0, :2] = divmod(index, 256)
            Image.fromarray(pixels).save(tmp_path / f"{index:03d}.png")
        films = read_folder(tmp_path, size=(32, 32), films=10, reporter=Silence())
        config = OnnxConfig(onnx=tmp_path / "m.onnx", out=tmp_path / "out", calibration=tmp_path / ".")
        said, given = Said(), {"y": Decisions("binary", (0.0,))}
        found = OnnxReference(config)._find_sides(films, run(films.parity), given, run, size=(32, 32), reporter=said)
        return films, *found, said.lines

    return call


def test_films_are_looked_for_until_enough_lie_on_each_side(find_sides):
    before, films, answers, [line] = find_sides(240, 24)
    bright = films.parity.mean(axis=(1, 2)) > 128
    assert (bright.sum(), (~bright).sum()) == (6, (before.parity.mean(axis=(1, 2)) < 128).sum())
    assert films.parity_names[:10] == before.parity_names
    assert films.chosen == len(films.parity) - 10
    assert f"{films.chosen} of them chosen for the side" in films.description
    assert f"{films.chosen} films are compared besides the first 10: 6 are then on each side" in line
    for way in ("reference", "optimised", "rounded"):
        assert (answers[way]["y"][:, 0] == films.parity.mean(axis=(1, 2)) - 128).all()


def test_a_folder_without_enough_of_them_is_said_and_nothing_is_added(find_sides):
    before, films, answers, [line] = find_sides(90, 3)
    assert (films, len(answers["reference"]["y"])) == (before, 10)
    assert "films on the positive side among " in line
    assert "6 needed" in line
    assert "no verdict on files in float16" in line
