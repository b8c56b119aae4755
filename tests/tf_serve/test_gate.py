"""Hold the gate's rules on drawn pictures, and its answer through a running server."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.xray import Film, RejectionReason, open_film
from tf_serve.gate.rules import (
    _SAMPLED,
    MAX_ASPECT,
    MAX_CHROMA,
    MIN_CONTRAST,
    MIN_SIDE,
    GateLevel,
    refuse,
    score_likeness,
    thumbnail,
)


def opened(pixels, chroma=0.0):
    height, width = pixels.shape
    return Film(np.ascontiguousarray(pixels), "PNG", width, height, 8, chroma)


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_a_grey_film_passes_in_any_container(draw_film, as_png):
    grey = draw_film()
    jpeg = io.BytesIO()
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(jpeg, "JPEG")
    deep = as_png(grey.astype(np.uint16) * 257)
    assert [refuse(open_film(data)) for data in (as_png(grey), jpeg.getvalue(), deep)] == [None] * 3


def test_a_small_coloured_mark_does_not_make_a_film_a_photograph(draw_film, as_png):
    marked = np.stack([draw_film()] * 3, axis=2)
    marked[5:25, 5:40] = (230, 30, 30)
    film = open_film(as_png(marked))
    assert 0 < film.chroma < MAX_CHROMA
    assert refuse(film) is None


@pytest.mark.parametrize(
    ("quarters", "negative"), [(1, False), (2, False), (3, False), (0, True), (1, True), (2, True)]
)
def test_a_film_the_wrong_way_up_or_round_is_refused_with_that_reason(draw_film, quarters, negative):
    found = []
    for seed in range(10):
        pixels = np.rot90(draw_film(seed), quarters)
        found.append(refuse(opened(255 - pixels if negative else pixels)))
    assert None not in found
    # a hesitant picture is called no chest film: still refused, with less help
    assert found.count(RejectionReason.INVERTED if negative else RejectionReason.TURNED) >= 8


def test_two_films_in_one_picture_or_a_quarter_of_one_are_not_a_chest_film(draw_film):
    whole = draw_film(height=300, width=300)
    pictures = [np.hstack([whole, whole]), np.vstack([whole, whole]), whole[:150, :130], noise((300, 300))]
    assert [refuse(opened(picture)) for picture in pictures] == [RejectionReason.NOT_A_CHEST_FILM] * 4


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_page_with_a_little_noise_is_refused(as_png, level):
    pixels = np.random.default_rng(0).normal(level, 3, (400, 300)).clip(0, 255).astype(np.uint8)
    assert pixels.std() < MIN_CONTRAST
    assert refuse(opened(pixels)) is RejectionReason.BLANK


def test_size_and_shape_are_refused_just_beyond_their_limits_and_not_at_them(draw_film):
    small, strip = (
        draw_film(height=MIN_SIDE - 1, width=MIN_SIDE + 20),
        draw_film(height=int(200 * MAX_ASPECT) + 2, width=200),
    )
    assert (refuse(opened(small)), refuse(opened(strip))) == (RejectionReason.TOO_SMALL, RejectionReason.WRONG_SHAPE)
    assert refuse(opened(strip.T), GateLevel.BASIC) is RejectionReason.WRONG_SHAPE
    assert refuse(opened(draw_film(height=int(200 * MAX_ASPECT), width=200)), GateLevel.BASIC) is None
    assert refuse(opened(draw_film(height=MIN_SIDE, width=MIN_SIDE))) is None


def test_the_basic_gate_does_not_look_and_no_gate_refuses_nothing(draw_film):
    turned, coloured = opened(np.rot90(draw_film())), opened(draw_film(), chroma=MAX_CHROMA + 1)
    assert [refuse(turned, level) for level in GateLevel] == [RejectionReason.TURNED, None, None]
    assert [refuse(coloured, level) for level in GateLevel] == [RejectionReason.COLOUR_PHOTOGRAPH] * 2 + [None]


def test_every_refusal_says_what_it_saw_and_what_to_do():
    for refusal in (reason for reason in RejectionReason if not reason.explanation.startswith("The file ")):
        assert refusal.explanation.endswith(".")
        assert re.search(r"\b(send|export) ", refusal.explanation, re.IGNORECASE), refusal


def test_a_film_passes_at_any_size_and_with_a_detectors_grain(draw_film):
    for height in (128, 320, 1280, 3000):
        grain = np.random.default_rng(height).normal(0, 10, (height, height))
        film = (draw_film(height=height, width=height) + grain).clip(0, 255).astype(np.uint8)
        assert refuse(opened(film)) is None, (height, score_likeness(film))


def test_the_gate_looks_at_as_many_pixels_whatever_the_films_size(draw_film):
    large = draw_film(height=4000, width=3600)
    seen = np.zeros_like(large)
    seen[:: 4000 // _SAMPLED, :: 3600 // _SAMPLED] = 1
    assert seen.sum() < (2 * _SAMPLED) ** 2
    unseen = np.where(seen, large, noise(large.shape))
    np.testing.assert_array_equal(thumbnail(unseen), thumbnail(large))


def test_the_server_answers_a_turned_film_with_200_a_reason_and_no_number(client, ask, draw_film, as_png):
    answer = ask(client, as_png(np.rot90(draw_film(), 2)))
    body = answer.json()
    assert (answer.status_code, body["status"], body["reason"]) == (200, "rejected", "turned")
    assert body["explanation"] == RejectionReason.TURNED.explanation
    assert (body["probability"], body["margin"], body["decision"]) == (None, None, None)
