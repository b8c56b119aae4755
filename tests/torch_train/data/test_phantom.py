import csv
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import ConfigError, Silence
from torch_train.data.index import read_index
from torch_train.data.phantom import draw_phantom, write_phantoms


def read_table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_phantom_is_its_seed_and_class():
    first, again, other = (draw_phantom(seed, positive=True, size=128) for seed in (3, 3, 4))
    assert np.array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("size", [64, 224, 300])
def test_pixels_and_mask_have_the_size_asked_for(size):
    phantom = draw_phantom(0, positive=True, size=size)
    assert phantom.pixels.shape == phantom.mask.shape == (size, size)
    assert (phantom.pixels.dtype, set(np.unique(phantom.mask))) == (np.uint8, {0, 255})


def test_lungs_are_darker_than_what_is_around_them():
    phantom = draw_phantom(5, positive=False)
    body = phantom.pixels[:, 200:312]  # the spine and what lies beside it
    assert phantom.pixels[phantom.mask > 0].mean() < body.mean() - 50


def test_opacities_are_where_the_boxes_say():
    for seed in range(10):
        phantom = draw_phantom(seed, positive=True)
        assert 1 <= len(phantom.opacities) <= 4
        for box in phantom.opacities:
            middle = round(256 * (box.y_min + box.y_max)), round(256 * (box.x_min + box.x_max))
            assert phantom.mask[middle] == 255
            assert 0 <= box.x_min < box.x_max <= 1


def test_negatives_have_no_opacity():
    assert draw_phantom(5, positive=False).opacities == ()


def test_brightness_alone_does_not_tell_the_class():
    means = [[draw_phantom(2 * n + c, positive=bool(c), size=64).pixels.mean() for n in range(60)] for c in (0, 1)]
    wins = np.mean(np.array(means[1])[:, None] > np.array(means[0])[None])  # the AUROC
    assert 0.35 < wins < 0.65


def test_a_set_has_the_users_layout_and_calls_itself_synthetic(tmp_path):
    root = tmp_path / "set"
    write_phantoms(root, n=20, seed=1, reporter=Silence())
    index = read_index(root)
    assert index.synthetic
    assert (index.count(0), index.count(1)) == (10, 10)
    assert all("synthetic" in name for name in index.labels.names)
    assert "SYNTHETIC" in (root / "SYNTHETIC.txt").read_text()
    with Image.open(root / "image/synthetic-1000.png") as image:
        assert "synthetic" in image.info["Description"]
    assert all(row["remarks"].startswith("synthetic phantom") for row in read_table(root / "MetaData.csv"))


def test_boxes_are_listed_for_every_positive_and_no_other(tmp_path):
    write_phantoms(tmp_path / "set", n=20, seed=1, reporter=Silence())
    positives = {f"image/{film.path.name}" for film in read_index(tmp_path / "set").films if film.label}
    assert {row["file"] for row in read_table(tmp_path / "set/opacities.csv")} == positives


def test_a_set_is_its_seed(tmp_path):
    for name in ("a", "b"):
        write_phantoms(tmp_path / name, n=20, seed=1, reporter=Silence())
    for name in ("MetaData.csv", "image/synthetic-1007.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_phantoms_are_not_written_among_other_files(tmp_path):
    (tmp_path / "patient.png").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        write_phantoms(tmp_path, n=20, seed=0, reporter=Silence())
    assert [path.name for path in tmp_path.iterdir()] == ["patient.png"]


def test_too_few_phantoms_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--n 6"):
        write_phantoms(tmp_path / "set", n=6, seed=0, reporter=Silence())


def test_the_data_package_loads_no_framework():
    code = (
        "import sys, torch_train.data.phantom, torch_train.data.report, torch_train.data.split;"
        "print({'torch', 'tensorflow', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
