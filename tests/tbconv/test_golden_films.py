"""Golden films: any client's way from bytes to the square is judged, and the words say what went wrong."""

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.bundle import MANIFEST, read_bundle, seal
from tbconv.contract.errors import ArtefactError
from tbconv.contract.golden import (
    GOLDEN_FILMS,
    NOT_RECORDED,
    GoldenFilm,
    check_films,
    nearest_fault,
    opener,
    read_films_of_bundle,
    read_golden_films,
    records_films,
    write_golden_films,
)
from tbconv.contract.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=32)
TRUE_WAY = opener(SPEC)


@pytest.fixture
def films(pack):
    """Two small films: a PNG that may not differ, and a JPEG that may by two levels."""
    pixels = np.random.default_rng(3).integers(0, 256, (77, 51)).astype(np.uint8)
    files = {"png": (pack(Image.fromarray(pixels)), 0), "jpeg": (pack(Image.fromarray(pixels), "JPEG", quality=90), 2)}
    return tuple(GoldenFilm(name, data, TRUE_WAY(data), levels) for name, (data, levels) in files.items())


def moved(by, at=slice(0, 2)):
    """The true way, with a few pixels some levels off."""

    def open_film(data):
        model_input = TRUE_WAY(data).copy()
        model_input[0, at] = np.where(model_input[0, at] < 128, model_input[0, at] + by, model_input[0, at] - by)
        return model_input

    return open_film


def test_the_true_way_is_clean(films):
    assert check_films(films, TRUE_WAY) == []


def test_a_png_may_not_differ_by_a_single_level(films):
    [problem] = check_films(films, moved(1))
    assert problem.startswith("png: 2 of 1,024 pixels differ, by up to 1 grey levels (allowed 0)")


def test_a_jpeg_may_differ_by_two_levels_and_not_by_three(films):
    assert [problem.split(":")[0] for problem in check_films(films, moved(2))] == ["png"]
    _png, jpeg = check_films(films, moved(3))
    assert jpeg.startswith("jpeg: 2 of 1,024 pixels differ, by up to 3 grey levels (allowed 2)")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda data: TRUE_WAY(data).astype(np.float32), "becomes float32 [32, 32], not uint8 [32, 32]"),
        (lambda data: TRUE_WAY(data)[None, ..., None], "becomes uint8 [1, 32, 32, 1], not uint8 [32, 32]"),
        (lambda data: np.zeros((0, 0), np.uint8), "becomes uint8 [0, 0], not uint8 [32, 32]"),
    ],
)
def test_another_dtype_or_shape_is_a_problem(films, wrong, words):
    assert [problem.split(": ", 1)[1] for problem in check_films(films, wrong)] == [words, words]


def test_a_client_that_raises_is_a_problem_and_no_crash(films):
    def refuse(data):
        raise OSError("no such codec\nat line 3")

    assert check_films(films, refuse)[0] == "png: cannot be opened, OSError: no such codec"

    def fail(data):
        raise KeyError

    assert check_films(films, fail)[0] == "png: cannot be opened, KeyError"


def test_no_films_are_no_pass():
    assert check_films((), TRUE_WAY) == [NOT_RECORDED]


def test_what_looks_like_no_known_fault_gets_no_name(films):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    assert nearest_fault(films[0].data, noise, films[0].model_input) == ""
    assert nearest_fault(films[0].data, films[0].model_input[:, ::-1], films[0].model_input) == "mirrored"


def test_films_come_back_from_disk_byte_for_byte_and_the_file_repeats(films, tmp_path):
    write_golden_films(tmp_path / "one.npz", films)
    write_golden_films(tmp_path / "two.npz", films)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    back = read_golden_films(tmp_path / "one.npz")
    assert [(film.name, film.data, film.levels) for film in back] == [(f.name, f.data, f.levels) for f in films]
    assert all(np.array_equal(one.model_input, other.model_input) for one, other in zip(back, films, strict=True))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not whole", b"no zip at all"])
def test_a_damaged_file_of_films_is_an_artefact_error(tmp_path, data):
    (tmp_path / GOLDEN_FILMS).write_bytes(data)
    with pytest.raises(ArtefactError, match=r"golden_films\.npz holds no golden films"):
        read_golden_films(tmp_path / GOLDEN_FILMS)


def test_an_older_bundle_stays_readable_and_says_that_nothing_was_checked(bundle):
    opened = read_bundle(bundle)
    assert not records_films(opened)
    assert read_films_of_bundle(opened) == ()
    assert check_films(opened, TRUE_WAY) == [NOT_RECORDED]


def test_a_bundles_films_are_trusted_by_digest(bundle, films):
    manifest = read_bundle(bundle).manifest
    (bundle / MANIFEST).unlink()
    write_golden_films(bundle / GOLDEN_FILMS, films)
    seal(bundle, manifest)
    opened = read_bundle(bundle)
    assert check_films(opened, TRUE_WAY) == []
    assert len(check_films(opened, moved(9))) == 2
    with (bundle / GOLDEN_FILMS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtefactError, match=GOLDEN_FILMS):
        check_films(opened, TRUE_WAY)
