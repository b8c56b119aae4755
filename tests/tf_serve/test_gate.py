"""Hold the gate on drawn pictures, and measure it on the real films and photographs where they are."""

import io

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.xray import decode_xray
from tf_serve.gate import MAX_CHROMA, MIN_CONTRAST, Refusal, mean_chroma, refuse

FILMS = {"delhi": 104, "rahman": 230, "tbx11k": 600, "nih": 800, "kermany": 5216, "openist/image": 275}
EVERY = {"kermany": 20}  # of the large set every 20th film; all of them gave the figures in gate.py


def pictures(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))


def answer(data):
    return refuse(data, decode_xray(data))


def test_a_grey_film_passes_in_any_container(draw_film, as_png):
    grey = draw_film()
    jpeg = io.BytesIO()
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(jpeg, "JPEG")
    deep = as_png(grey.astype(np.uint16) * 257)
    assert [answer(data) for data in (as_png(grey), jpeg.getvalue(), deep)] == [None] * 3


def test_a_small_coloured_mark_does_not_make_a_film_a_photograph(draw_film, as_png):
    marked = np.stack([draw_film()] * 3, axis=2)
    marked[5:25, 5:40] = (230, 30, 30)
    assert answer(as_png(marked)) is None
    assert 0 < mean_chroma(as_png(marked)) < MAX_CHROMA


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_page_with_a_little_noise_is_refused(as_png, level):
    noise = np.random.default_rng(0).normal(level, 3, (400, 300)).clip(0, 255).astype(np.uint8)
    assert noise.std() < MIN_CONTRAST
    assert answer(as_png(noise)) is Refusal.BLANK


def test_every_refusal_has_a_sentence():
    assert all(refusal.explanation.endswith(".") for refusal in Refusal)


@pytest.mark.parametrize("name", FILMS)
def test_no_real_film_is_refused(shared, name):
    films = pictures(shared / name)[:: EVERY.get(name, 1)]
    assert len(films) == -(-FILMS[name] // EVERY.get(name, 1))
    assert [film.name for film in films if answer(film.read_bytes()) is not None] == []


def test_the_coloured_photographs_are_refused_and_the_grey_ones_are_not_yet(shared):
    found = [answer(path.read_bytes()) for path in pictures(shared / "not_xrays")]
    assert (found.count(Refusal.COLOUR_PHOTOGRAPH), found.count(None), len(found)) == (24, 3, 27)
