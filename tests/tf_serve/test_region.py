"""Hold the words for a place on the film, and that padding is never one."""

import numpy as np
import pytest

from tf_serve.predict import film_box, locate
from tf_serve.score.overlay import NEGATIVE, OPACITY, POSITIVE, blend, film_evidence


def spot(*cells):
    evidence = np.full((7, 7), -0.5)
    for row, column in cells:
        evidence[row, column] = 2.0
    return evidence


@pytest.mark.parametrize(
    ("cell", "side", "zone"),
    [
        ((1, 1), "right", "upper"),
        ((3, 1), "right", "middle"),
        ((5, 2), "right", "lower"),
        ((0, 5), "left", "upper"),
        ((6, 6), "left", "lower"),
        ((3, 3), "both", "middle"),
    ],
)
def test_the_images_left_is_the_patients_right(cell, side, zone):
    assert locate(spot(cell), film_box(100, 100)) == (side, zone)


def test_evidence_on_both_sides_is_called_both():
    assert locate(spot((2, 1), (2, 5)), film_box(100, 100))[0] == "both"


def test_weak_cells_do_not_move_the_place_of_a_strong_one():
    evidence = spot((1, 1))
    evidence[4:, 4:] = 0.9
    assert locate(evidence, film_box(100, 100)) == ("right", "upper")


def test_cells_on_the_padding_do_not_count():
    evidence = spot((3, 2))
    evidence[:, [0, 6]] = 9.0  # a film of 100 x 60 leaves a fifth of the square to the padding on each side
    assert locate(evidence, film_box(100, 60))[0] == "right"
    assert locate(np.where(evidence == 9.0, 9.0, -1.0), film_box(100, 60))[0] is None


def test_a_film_without_positive_evidence_has_no_place():
    assert locate(np.full((7, 7), -1.0), film_box(100, 100)) == (None, None)


def test_zones_are_thirds_of_the_film_and_not_of_the_square():
    wide = film_box(50, 100)  # the film is the middle half of the square
    assert [locate(spot((row, 1)), wide)[1] for row in (2, 3, 4)] == ["upper", "middle", "lower"]


def test_the_map_lies_on_the_film_alone():
    evidence = np.zeros((7, 7))
    evidence[0] = evidence[6] = 5.0  # rows that a film of 40 x 100 does not reach
    assert film_evidence(evidence, 40, 100).shape == (40, 100)
    np.testing.assert_allclose(film_evidence(evidence, 40, 100), 0.0, rtol=0, atol=1e-6)


def test_colours_say_the_sign_and_their_strength_the_size():
    mixed = blend(np.zeros((1, 3), np.uint8), np.float32([[2.0, 0.0, -1.0]]))
    expected = [np.multiply(POSITIVE, OPACITY), (0, 0, 0), np.multiply(NEGATIVE, OPACITY / 2)]
    np.testing.assert_allclose(mixed[0], np.rint(expected), rtol=0, atol=1)
