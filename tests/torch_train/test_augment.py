import dataclasses

import pytest
import torch

from torch_train.engine.augment import DRAWS, Augmentation, augment_films

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
