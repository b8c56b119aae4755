"""What a film is held against: which films are said to be unlike, and that films as they come are not."""

import numpy as np
import pytest

from tbconv.contract.errors import ArtefactError
from tbconv.contract.xray.reference import (
    BORDERS,
    COUNT,
    EDGES,
    GREYS,
    MIRRORED_LIMIT,
    GreyReference,
    describe,
    fit_reference,
    near_margins,
)

SIDE = 112


def films(count, seed):
    """Draw films with two dark lungs, a heart on the right of the picture, and noise of a detector."""
    source, (rows, columns) = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE] / SIDE
    drawn = []
    for _ in range(count):
        lift, gain = source.normal(150, 8), source.normal(1, 0.06)
        film = np.full((SIDE, SIDE), lift)
        for x in (0.3, 0.7):
            away = ((columns - x - source.normal(0, 0.01)) / 0.14) ** 2 + ((rows - 0.5) / 0.3) ** 2
            film -= 90 * gain * np.exp(-(away**2))
        film += 60 * gain * np.exp(-((((columns - 0.6) / 0.1) ** 2 + ((rows - 0.65) / 0.12) ** 2) ** 2))
        drawn.append(film + source.normal(0, 3, film.shape))
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reference():
    return fit_reference(films(200, 1), films(60, 2), near=(0.5, 0.0))


def _curve(film, gain, step):
    return np.clip(np.rint((film.astype(float) - 128) * gain + 128 + step), 0, 255).astype(np.uint8)


def test_at_most_two_percent_of_films_as_they_come_get_a_limit(reference):
    assert sum(bool(reference.limits(film)) for film in films(200, 3)) <= 4


@pytest.mark.parametrize(("gain", "step"), [(0.4, 0), (1.9, 0), (1.0, 60), (1.0, -60)])
def test_paler_harder_brighter_and_darker_films_are_unlike_by_their_greys(reference, gain, step):
    for film in films(10, 4):
        assert GREYS in reference.unlike(_curve(film, gain, step))


def test_a_frame_is_unlike_by_its_borders_and_noise_by_sharpness(reference):
    for film in films(10, 5):
        framed, noisy = film.copy(), film + np.random.default_rng(0).normal(0, 15, film.shape)
        framed[:8] = framed[-8:] = 255
        framed[:, :8] = framed[:, -8:] = 255
        assert BORDERS in reference.unlike(framed)
        assert EDGES in reference.unlike(np.clip(noisy, 0, 255).astype(np.uint8))


def test_a_mirrored_film_may_be_mirrored_and_one_as_it_comes_is_not(reference):
    assert all(MIRRORED_LIMIT in reference.limits(film[:, ::-1].copy()) for film in films(20, 6))
    assert not any(MIRRORED_LIMIT in reference.limits(film) for film in films(20, 6))


def test_a_margin_at_the_threshold_gets_a_limit_and_no_other_does(reference):
    [said] = reference.near_limit("trained", 1.4, 1.0)
    assert "within 0.5 of the threshold" in said
    assert reference.near_limit("trained", 1.6, 1.0) == ()
    assert reference.near_limit("baseline", 1.0, 1.0) == ()  # no width was measured for it


def test_a_margin_is_near_within_five_in_a_thousand_of_films():
    margins = np.linspace(-10, 10, 2001)
    assert near_margins(margins, 0.0) == pytest.approx(0.05)
    assert near_margins(margins[:100], 0.0) == 0.0  # too few films to say


def test_the_file_says_the_same_and_damage_is_refused(reference):
    data = reference.to_bytes()
    again = GreyReference.from_bytes(data)
    for film in films(5, 7):
        assert again.unlike(film) == reference.unlike(film)
        assert again.side_scores(film[None]) == reference.side_scores(film[None])
    assert (again.films, again.least_side) == (200, reference.least_side)
    for broken in (b"", data[:200], data.replace(b"middle", b"muddle")):
        with pytest.raises(ArtefactError):
            GreyReference.from_bytes(broken)


def test_a_film_of_one_grey_and_one_of_noise_have_finite_numbers_and_are_unlike(reference):
    odd = np.zeros((2, SIDE, SIDE), np.uint8)
    odd[1] = np.random.default_rng(0).integers(0, 256, odd[1].shape)
    numbers = describe(odd)
    assert numbers.shape == (2, COUNT)
    assert np.isfinite(numbers).all()
    assert all(reference.unlike(film) for film in odd)


def test_of_fewer_films_than_twenty_no_reference_is_made():
    assert fit_reference(films(19, 1), films(5, 2)) is None
