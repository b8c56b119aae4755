import numpy as np
import pytest
from PIL import Image

from tbconv.contract.preprocess import PreprocessSpec, as_model_input, fit

SPEC = PreprocessSpec()


@pytest.mark.parametrize(("height", "width"), [(448, 224), (224, 448), (640, 480), (1, 224)])
def test_padding_keeps_the_aspect_and_centres(height, width):
    model_input = SPEC.model_input(np.full((height, width), 200, np.uint8))
    rows, columns = np.flatnonzero(model_input.max(1) >= 100), np.flatnonzero(model_input.max(0) >= 100)
    side = max(height, width)
    wanted = (height * 224 / side, width * 224 / side)
    assert abs(len(rows) - wanted[0]) <= 1.5
    assert abs(len(columns) - wanted[1]) <= 1.5
    for found in (rows, columns):
        assert abs((found[0] + found[-1]) / 2 - 111.5) <= 1


@pytest.mark.parametrize(("height", "width"), [(320, 200), (200, 320), (101, 101)])
def test_an_oblong_input_gets_a_film_with_its_aspect_kept_and_no_axis_swapped(height, width):
    pixels = np.zeros((300, 150), np.uint8)
    pixels[:, :75] = 200  # the left half is bright
    found = fit(pixels, height, width)
    assert found.shape == (height, width)
    rows, columns = np.flatnonzero(found.max(1) >= 100), np.flatnonzero(found.max(0) >= 100)
    scale = min(height / 300, width / 150)
    assert abs(len(rows) - 300 * scale) <= 1.5
    assert abs(len(columns) - 75 * scale) <= 1.5
    assert abs(columns[-1] + 1 - width / 2) <= 1.5
    assert abs((rows[0] + rows[-1]) / 2 - (height - 1) / 2) <= 1


def test_a_square_of_the_right_side_passes_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)
    assert np.array_equal(SPEC.model_input(pixels), pixels)


def test_shrinking_averages_instead_of_skipping():
    checkerboard = ((np.add.outer(np.arange(896), np.arange(896)) % 2) * 255).astype(np.uint8)
    inner = SPEC.model_input(checkerboard)[2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127.5).max() <= 2


def test_no_axis_is_swapped_or_mirrored():
    pixels = np.zeros((224, 224), np.uint8)
    pixels[10, 200] = 255
    assert np.argwhere(SPEC.apply(pixels)[0, :, :, 0] == 255).tolist() == [[10, 200]]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.float32),
        np.zeros((8, 8), np.uint16),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((0, 8), np.uint8),
    ],
)
def test_only_uint8_rows_and_columns_are_taken(pixels):
    with pytest.raises(ValueError, match="must be uint8") as caught:
        SPEC.model_input(pixels)
    assert str(pixels.shape) in str(caught.value)


def test_the_input_is_float32_of_whole_grey_levels():
    image = SPEC.apply(np.random.default_rng(3).integers(0, 256, (300, 211)).astype(np.uint8))
    assert (image.dtype, image.shape) == (np.float32, (1, 224, 224, 1))
    assert np.array_equal(image, np.rint(image))
    assert 0 <= image.min() < image.max() <= 255


def test_a_png_and_the_same_pixels_as_16_bit_png_give_the_same_input(pack):
    pixels = np.random.default_rng(5).integers(0, 256, (120, 90)).astype(np.uint8)
    pixels[0, 0] = 255
    shallow, deep = Image.fromarray(pixels), Image.fromarray(pixels.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert np.array_equal(SPEC.from_bytes(pack(shallow)), SPEC.from_bytes(pack(deep)))


def test_a_film_on_disk_and_its_bytes_give_the_same_input(pack, tmp_path):
    pixels = np.random.default_rng(6).integers(0, 256, (150, 100)).astype(np.uint8)
    data = pack(Image.fromarray(pixels), "JPEG", quality=90)
    (tmp_path / "film.jpg").write_bytes(data)
    assert np.array_equal(as_model_input(SPEC.from_file(tmp_path / "film.jpg")[None]), SPEC.from_bytes(data))


@pytest.mark.parametrize("change", [{"resample": "nearest"}, {"pad": "edge"}, {"size": 0}, {"values": "0..1"}])
def test_another_way_to_preprocess_is_refused_when_it_is_read(change):
    with pytest.raises(ValueError, match=str(next(iter(change.values())))):
        PreprocessSpec(**change)
