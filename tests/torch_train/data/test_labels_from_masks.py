from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import DataError
from torch_train.data.index import read_index
from torch_train.data.layouts import measure_mask
from torch_train.data.phantom import draw_phantom

SHARED = Path(__file__).resolve().parents[4] / "shared/data"


def lesion_mask(*spots):
    mask = np.zeros((96, 96), np.uint8)
    for y, x in spots:
        mask[y : y + 9, x : x + 9] = 255
    return mask


@pytest.fixture
def with_masks(tmp_path, write_film):
    def write(*masks):
        for number, mask in enumerate(masks):
            write_film(tmp_path / "image" / f"{number}.png", number)
            (tmp_path / "mask").mkdir(exist_ok=True)
            if mask is not None:
                Image.fromarray(mask).save(tmp_path / "mask" / f"{number}.png")
        return tmp_path

    return write


def test_a_film_is_positive_where_its_lesion_mask_marks_anything(with_masks):
    root = with_masks(lesion_mask(), lesion_mask((20, 30)), lesion_mask(), lesion_mask((20, 30), (60, 60)))
    index = read_index(root, labels_from_masks=True)
    assert [film.label for film in index.films] == [0, 1, 0, 1]
    assert index.labels.names == ("no lesion", "lesion")
    assert index.label_source == "the lesion masks"


def test_lung_fields_are_refused_and_the_folders_are_named(with_masks):
    root = with_masks(*(draw_phantom(seed, positive=seed > 1).mask for seed in range(4)))
    with pytest.raises(DataError, match="4 of 4 masks are lung fields") as caught:
        read_index(root, labels_from_masks=True)
    assert "one folder a class" in caught.value.fix


def test_lung_fields_beside_a_table_are_refused_and_its_column_is_named(users_set):
    for path in (users_set / "mask").iterdir():
        Image.fromarray(draw_phantom(1, positive=False).mask).save(path)
    with pytest.raises(DataError) as caught:
        read_index(users_set, labels_from_masks=True)
    assert "column ptb of MetaData.csv" in caught.value.fix


def test_a_film_without_a_mask_is_not_taken_for_healthy(with_masks):
    with pytest.raises(DataError, match=r"1 films have no mask: 1\.png"):
        read_index(with_masks(lesion_mask((3, 3)), None), labels_from_masks=True)


def test_a_set_without_masks_is_refused(class_folders):
    with pytest.raises(DataError, match="no image/ and mask/"):
        read_index(class_folders, labels_from_masks=True)


def test_films_and_masks_without_labels_are_pointed_to_a_table(with_masks):
    with pytest.raises(DataError) as caught:
        read_index(with_masks(lesion_mask((3, 3)), lesion_mask()))
    assert "--labels-from-masks" in caught.value.fix


def test_a_mask_is_measured_by_its_share_and_its_large_regions():
    shape = measure_mask(lesion_mask((0, 0), (50, 50), (80, 0)))
    assert (shape.large_regions, round(shape.share, 4)) == (3, round(3 * 81 / 96**2, 4))
    assert not shape.is_lung_like


@pytest.mark.skipif(not (SHARED / "openist").is_dir(), reason=f"no real masks at {SHARED / 'openist'}")
def test_real_lung_masks_are_refused():
    with pytest.raises(DataError, match="275 of 275 masks are lung fields"):
        read_index(SHARED / "openist", labels_from_masks=True)
