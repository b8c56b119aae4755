import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import Silence
from tbconv.contract.files import sha256_bytes
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.config import UNKNOWN
from torch_train.data.index import read_index
from torch_train.data.loading import load_films
from torch_train.data.phantom import draw_phantom
from torch_train.data.records import Film, contradict
from torch_train.data.split import find_duplicates

SHARED = Path(__file__).resolve().parents[4] / "shared/data"
needs_real_films = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real films at {SHARED}")


def saved(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return np.asarray(Image.open(stream))


def recompressed(pixels):
    return saved(Image.fromarray(pixels), format="JPEG", quality=30)


def resized(pixels):
    return np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.LANCZOS))


def brightened(pixels):
    return np.clip(1.05 * pixels.astype(float) + 10, 0, 255).astype(np.uint8)


def find(films):
    model_inputs = np.stack([PreprocessSpec().model_input(film) for film in films])
    return find_duplicates(model_inputs, [sha256_bytes(film.tobytes()) for film in films])


def test_the_same_bytes_are_exact_copies():
    first, second = (draw_phantom(seed, positive=True).pixels for seed in (1, 2))
    found = find([first, second, first])
    assert (found.exact, found.near, found.groups) == (((0, 2),), (), ((0, 2),))


@pytest.mark.parametrize("copy", [recompressed, resized, brightened])
def test_a_film_saved_again_is_a_near_copy(copy):
    first, second = (draw_phantom(seed, positive=False).pixels for seed in (1, 2))
    found = find([first, second, copy(second)])
    assert (found.exact, found.near, found.groups) == ((), ((1, 2),), ((1, 2),))


def test_exact_and_near_copies_of_one_film_are_one_group():
    first = draw_phantom(1, positive=False).pixels
    found = find([first, first, recompressed(first), draw_phantom(2, positive=False).pixels])
    assert found.groups == ((0, 1, 2),)


def test_different_phantoms_are_no_copies_though_they_are_drawn_alike():
    assert find([draw_phantom(seed, positive=False).pixels for seed in range(60)]).groups == ()


def test_flat_films_are_no_copies_of_each_other():
    assert find([np.full((64, 64), level, np.uint8) for level in (0, 100, 255)]).groups == ()


@needs_real_films
@pytest.mark.parametrize(("name", "exact"), [("delhi", 0), ("rahman", 0), ("nih", 1)])
def test_real_sets_hold_exact_copies_only(name, exact):
    loaded = load_films(read_index(SHARED / name), Silence())
    found = find_duplicates(loaded.model_inputs, loaded.digests)
    assert (len(found.exact), len(found.near)) == (exact, 0)


@pytest.mark.parametrize(
    ("targets", "wrong"),
    [
        ([(1, 0), (1, 0)], False),
        ([(1, 0), (1, 1)], True),
        ([(1, UNKNOWN), (1, 0)], False),  # what is not known contradicts nothing
        ([(UNKNOWN, 1), (0, UNKNOWN), (0, 0)], True),
    ],
)
def test_copies_contradict_each_other_by_any_of_their_labels(targets, wrong):
    films = [Film(Path(f"{at}.png"), 0, str(at), targets=one) for at, one in enumerate(targets)]
    assert contradict(films) == wrong


def test_copies_of_two_classes_contradict_each_other_by_their_class():
    films = [Film(Path(f"{label}.png"), label, str(label)) for label in (0, 1)]
    assert contradict(films)
    assert not contradict(films[:1] * 2)
