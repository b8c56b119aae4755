import hashlib
import pickle

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import DataError, Silence
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.data.index import read_index
from torch_train.data.loading import load_films
from torch_train.data.records import naming


def test_films_come_as_serving_will_see_them_with_the_digests_of_their_pixels_and_bytes(class_folders):
    loaded = load_films(read_index(class_folders), Silence())
    first = class_folders / "Normal/n0.png"
    assert (loaded.model_inputs.shape, loaded.model_inputs.dtype) == ((10, 224, 224), np.uint8)
    assert np.array_equal(loaded.model_inputs[0], PreprocessSpec().from_file(first))
    assert loaded.file_digests[0] == hashlib.sha256(first.read_bytes()).hexdigest()
    pixels = np.asarray(Image.open(first))
    assert loaded.digests[0] == hashlib.sha256(b"96 x 96\n" + pixels.tobytes()).hexdigest()


def test_damaged_films_are_listed_and_left_out(class_folders):
    whole = (class_folders / "Normal/n0.png").read_bytes()
    (class_folders / "Normal/n1.png").write_bytes(whole[: len(whole) // 2])
    (class_folders / "Normal/n2.png").write_bytes(b"")
    (class_folders / "Normal/n3.png").write_text("not a film")
    loaded = load_films(read_index(class_folders), Silence())
    assert [path.name for path, _ in loaded.unreadable] == ["n1.png", "n2.png", "n3.png"]
    assert [film.path.name for film in loaded.index.films][:2] == ["n0.png", "n4.png"]
    assert len(loaded.model_inputs) == len(loaded.digests) == len(loaded.facts) == len(loaded.index.films) == 7


def test_a_class_without_a_readable_film_is_refused_by_name(class_folders):
    for path in (class_folders / "Tuberculosis").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no film of the class Tuberculosis can be read: t0\.png"):
        load_films(read_index(class_folders), Silence())


def test_deep_and_coloured_films_are_read(class_folders):
    deep = np.linspace(0, 4095, 96 * 96).reshape(96, 96).astype(np.uint16)
    Image.fromarray(deep).save(class_folders / "Normal/deep.png")
    Image.new("RGB", (50, 40), (9, 9, 9)).save(class_folders / "Normal/colour.png")
    loaded = load_films(read_index(class_folders), Silence())
    facts = {film.path.name: fact for film, fact in zip(loaded.index.films, loaded.facts, strict=True)}
    assert (facts["deep.png"].bit_depth, facts["colour.png"].mode) == (16, "RGB")


def test_a_note_that_names_files_keeps_both_wordings_on_its_way_to_another_process():
    note = naming("2 files are no film", ["a.txt", "b.txt"])
    there = pickle.loads(pickle.dumps(note))
    assert (there, there.unnamed) == ("2 files are no film: a.txt, b.txt", "2 files are no film")
