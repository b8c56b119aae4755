"""The drawn films: this machine opens them as drawn, and every known fault of a client is seen and named."""

import io

import numpy as np
import pytest
from PIL import Image

from convert.parity import inputs
from convert.parity.inputs import draw_golden_films, plain_square
from tbconv.contract.errors import SetupError
from tbconv.contract.golden import FAULTS, check_films, opener, write_golden_films
from tbconv.contract.preprocess import PreprocessSpec

SPEC = PreprocessSpec()
DEEP, EXIF = {"12_of_16_bits", "16_bits"}, {"jpeg_with_exif_orientation"}
# Faults that only some files can show; every other one has to be seen on more than half of the films.
SHOWN_BY = {
    "resized in two steps (reducing_gap)": {"fine_lines"},
    "scaled from 16 bits, not from those in use": {"12_of_16_bits"},
    "cut to the high byte of 16 bits": DEEP,
    "clipped at 255": DEEP,
    "scaled by its own maximum": DEEP,
    "stretched from its darkest to its brightest pixel": DEEP,
    "opened without its EXIF orientation": EXIF,
    "opened with palette numbers as grey levels": {"palette"},
    "opened without its alpha": {"alpha"},
    "opened on white instead of black": {"alpha"},
    "grey by the mean of the colours": {"colour_marks"},
    "grey by red alone": {"colour_marks"},
    "grey by Rec. 709 luma": {"colour_marks"},
}


@pytest.fixture(scope="module")
def films():
    return draw_golden_films(SPEC)


def client_with(fault):
    """A client that makes one mistake wherever a file lets it."""
    way, right = FAULTS[fault], opener(SPEC)

    def open_film(data):
        try:
            return way(data, SPEC.size)
        except ValueError:
            return right(data)

    return open_film


def test_pillow_opens_every_film_as_it_was_drawn(films):
    assert check_films(films, opener(SPEC)) == []
    assert {(film.model_input.shape, film.model_input.dtype) for film in films} == {((224, 224), np.dtype(np.uint8))}


def test_the_films_are_of_every_kind_that_clients_open_differently(films):
    kinds = {film.name: Image.open(io.BytesIO(film.data)) for film in films}
    modes = {name: image.mode for name, image in kinds.items()}
    assert set(modes.values()) == {"L", "I;16", "P", "RGBA", "RGB"}
    assert {kinds[name].format for name in ("jpeg", *EXIF)} == {"JPEG"}
    depths = {name: int(np.asarray(kinds[name]).max()).bit_length() for name in DEEP}
    assert depths == {"12_of_16_bits": 12, "16_bits": 16}
    wide = {name: image.width > image.height for name, image in kinds.items()}
    assert (wide["landscape"], wide["portrait"]) == (True, False)
    assert max(kinds["tiny"].size) == 50
    assert kinds["size_of_the_input"].size == (224, 224)
    assert min(kinds["fine_lines"].size) > 3 * 224
    assert len({film.name for film in films}) == len(films)


def test_the_films_repeat_byte_for_byte(films, tmp_path):
    for name, drawn in {"one.npz": films, "two.npz": draw_golden_films(SPEC)}.items():
        write_golden_films(tmp_path / name, drawn)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_known_fault_is_seen_and_named(films, fault):
    problems = check_films(films, client_with(fault))
    seen = {problem.split(":")[0] for problem in problems}
    assert seen == SHOWN_BY[fault] if fault in SHOWN_BY else len(seen) > len(films) / 2
    named = sum(problem.endswith(f"it looks {fault}") for problem in problems)
    assert named >= len(problems) / 2


def test_jpegs_may_differ_by_what_libjpegs_two_transforms_differ_by(films, keras_child, tmp_path):
    write_golden_films(tmp_path / "films.npz", films)
    found = keras_child("check_jpeg.py", tmp_path / "films.npz")
    allowed = {film.name: film.levels for film in films}
    assert len(found) == 4
    for name, levels in found.items():
        film, method = name.split(" ")
        assert levels <= (0 if method == "INTEGER_ACCURATE" else allowed[film])


@pytest.mark.parametrize(("height", "width"), [(448, 224), (301, 401), (1, 300), (50, 38), (224, 224), (1023, 777)])
def test_the_resize_written_out_in_numpy_is_pillows_bit_for_bit(height, width):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width)).astype(np.uint8)
    assert np.array_equal(plain_square(pixels, 224), SPEC.model_input(pixels))


def test_a_pillow_that_resizes_otherwise_is_refused_with_what_it_looks_like(monkeypatch):
    true = Image.Image.resize

    def otherwise(self, size, resample=None, *args, **options):
        filter_ = Image.Resampling.BICUBIC if resample == Image.Resampling.BILINEAR else resample
        return true(self, size, filter_, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", otherwise)
    with pytest.raises(SetupError, match="decodes images differently from training") as caught:
        draw_golden_films(SPEC)
    assert "landscape: " in caught.value.why


def test_a_decoder_that_loses_the_palette_is_refused(monkeypatch):
    monkeypatch.setattr(inputs, "opener", lambda spec: client_with("opened with palette numbers as grey levels"))
    with pytest.raises(SetupError) as caught:
        draw_golden_films(SPEC)
    assert caught.value.why.startswith("palette: ")
