import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from torch_train.engine import augment as augment_module
from torch_train.engine.augment import DRAWS, PLAIN, Augmentation, augment_films, draw_table

NOTHING = Augmentation(0, 0, 0, 0, 0, flip=False)
ALL = Augmentation(10, 0.05, 0.1, 0.1, 0.1, flip=True)


@pytest.fixture
def films():
    return torch.randint(0, 256, (6, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def augment(films, numbers, generator):
    return augment_films(films, torch.rand(len(films), DRAWS, generator=generator) * 2 - 1, numbers)


def _seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_zero_everywhere_returns_the_films_as_they_are(films):
    assert torch.equal(augment(films, NOTHING, _seeded()), films.float())


def test_the_resampling_itself_is_the_identity_where_nothing_moves(films):
    barely = dataclasses.replace(NOTHING, rotation=1e-9)
    assert (augment(films, barely, _seeded()) - films).abs().max() < 0.01


def test_a_seed_repeats_its_changes_and_another_seed_makes_others(films):
    first, again, other = (augment(films, ALL, _seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_film_draws_its_own_change(films):
    same = films[:1].expand(6, -1, -1, -1)
    assert len({float(image.sum()) for image in augment(same, ALL, _seeded())}) == 6


def test_values_stay_grey_levels(films):
    wild = Augmentation(180, 0.5, 0.9, 1.0, 1.0, flip=True)
    images = augment(films, wild, _seeded())
    assert (images.min() >= 0, images.max() <= 255, images.dtype) == (True, True, torch.float32)


def test_black_comes_in_from_outside():
    white = torch.full((8, 1, 32, 32), 255, dtype=torch.uint8)
    shifted = augment(white, dataclasses.replace(NOTHING, shift=0.4), _seeded())
    assert (shifted == 0).any()
    assert (shifted[:, :, 16, 16] > 254).all()


def test_no_film_is_mirrored_unless_asked_for():
    film = torch.zeros(64, 1, 32, 32, dtype=torch.uint8)
    film[..., :8] = 255  # all light on the left
    left = augment(film, dataclasses.replace(ALL, flip=False), _seeded())[..., :16].sum((1, 2, 3))
    flipped = augment(film, dataclasses.replace(NOTHING, flip=True), _seeded())
    assert (left > 1000).all()
    assert 0 < (flipped[:, 0, 0, 0] < 1).sum() < 64


DISTURBED = dataclasses.replace(NOTHING, disturb=0.5)


def _draws(films, **columns):
    """Return draws of which no disturbance comes but those that are named, each with certainty."""
    draws = torch.ones(films, DRAWS)
    for name, value in columns.items():
        draws[:, getattr(augment_module, name)] = value
    return draws


def test_a_share_of_zero_leaves_every_film_as_the_plain_recipe_has_it(films):
    draws = torch.rand(len(films), DRAWS, generator=_seeded()) * 2 - 1
    other = draws.clone()
    other[:, PLAIN:] = -1  # would be all disturbances at once
    assert torch.equal(augment_films(films, draws, ALL), augment_films(films, other, ALL))


def test_the_plain_draws_are_those_of_earlier_versions():
    drawn = draw_table(5, 2, 7)
    assert torch.equal(drawn[..., :PLAIN], torch.rand(2, 5, 7, generator=_seeded(7)) * 2 - 1)


def test_films_that_no_disturbance_hits_stay_as_they_are(films):
    assert (augment_films(films, _draws(6), DISTURBED) - films).abs().max() < 0.01


def test_each_disturbance_changes_films_and_keeps_grey_levels(films):
    for name in ("TILT", "GAMMA", "GAIN", "BLUR", "NOISE", "JPEG", "FRAME", "TEXT"):
        disturbed = augment_films(films, _draws(6, **{name: -0.8}), DISTURBED)
        assert (disturbed - films).abs().mean() > 0.5, name
        assert (disturbed.min() >= 0, disturbed.max() <= 255) == (True, True), name


def test_gamma_one_and_gain_one_lie_in_the_middle_of_their_ranges():
    film = torch.full((1, 1, 32, 32), 128, dtype=torch.uint8)
    darkest, brightest = (augment_films(film, _draws(1, GAMMA=draw), DISTURBED).mean() for draw in (-1e-6, -1.0))
    assert darkest.item() == pytest.approx(255 * (128 / 255) ** 2, abs=0.5)
    assert brightest.item() == pytest.approx(255 * (128 / 255) ** 0.5, abs=0.5)


def test_a_frame_stands_around_or_over_the_film_and_is_black_grey_or_white():
    film = torch.full((1, 1, 64, 64), 100, dtype=torch.uint8)
    film[..., 32] = 200
    for level, grey in ((-1.0, 0), (0.0, 127.5), (1.0, 255)):
        for kind in (-1.0, 1.0):
            framed = augment_films(film, _draws(1, FRAME=-1.0, FRAME_LEVEL=level, FRAME_KIND=kind), DISTURBED)
            assert framed[0, 0, 0].unique().item() == grey
            assert framed[0, 0, 20, 20].item() == pytest.approx(100, abs=0.1)


def test_jpeg_is_what_pillow_packs_and_unpacks():
    ramp = np.add.outer(np.arange(64) * 2, np.arange(64)).astype(np.uint8)
    packed = io.BytesIO()
    Image.fromarray(ramp).save(packed, "JPEG", quality=12)
    seen = augment_films(torch.from_numpy(ramp)[None, None], _draws(1, JPEG=-1.0), DISTURBED)[0, 0].numpy()
    assert np.abs(seen - np.asarray(Image.open(packed), np.float32)).max() <= 1
    assert np.abs(seen - ramp).max() > 2
