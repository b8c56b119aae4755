import stat

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import DataError, Silence
from torch_train.data import loading
from torch_train.data.index import read_index
from torch_train.data.loading import cache_folder, load_cached, load_films


class Listener(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def no_decoder(monkeypatch):
    """Makes decoding fail, so that a film can only come from the cache."""

    def switch():
        def decode(*_, **__):
            raise AssertionError("decoded")

        monkeypatch.setattr(loading, "decode_xray", decode)

    return switch


def _same(one, other):
    return (
        np.array_equal(one.model_inputs, other.model_inputs)
        and (one.index, one.digests, one.facts) == (other.index, other.digests, other.facts)
        and one.unreadable == other.unreadable
    )


def test_films_are_the_same_decoded_kept_and_found_again_without_decoding(films, tmp_path, no_decoder):
    index, listener = read_index(films), Listener()
    plain = load_films(index, Silence())
    assert _same(load_cached(index, tmp_path / "kept", listener), plain)
    no_decoder()
    assert _same(load_cached(index, tmp_path / "kept", listener), plain)
    assert [line.split(" films")[0] for line in listener.lines] == ["  decoded", "  28 of 28"]


def test_a_renamed_film_is_found_and_a_changed_one_is_decoded(films, tmp_path):
    index = read_index(films)
    load_cached(index, tmp_path / "kept", Silence())
    for film in index.films:
        place = tmp_path / "films" / film.path.parent.name / f"x{film.path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film.path.read_bytes())
    Image.fromarray(np.full((64, 64), 200, np.uint8)).save(place)
    moved, listener = read_index(tmp_path / "films"), Listener()
    loaded = load_cached(moved, tmp_path / "kept", listener)
    assert listener.lines[0].startswith("  27 of 28 films")
    assert (loaded.model_inputs[-1] == 200).all()


@pytest.mark.parametrize("spoil", [lambda data: data[:100], lambda data: b"\xff" + data[1:], lambda _: b""])
def test_a_kept_film_that_was_cut_off_or_altered_is_decoded_anew(films, tmp_path, spoil):
    index = read_index(films)
    plain = load_cached(index, tmp_path / "kept", Silence())
    for path in (tmp_path / "kept").glob("*/*/*"):
        path.write_bytes(spoil(path.read_bytes()))
    listener = Listener()
    assert _same(load_cached(index, tmp_path / "kept", listener), plain)
    assert listener.lines[0].startswith("  decoded films are kept")


def test_another_way_to_read_films_finds_none_of_them(films, tmp_path, monkeypatch):
    index, listener = read_index(films), Listener()
    load_cached(index, tmp_path / "kept", Silence())
    monkeypatch.setattr(loading.PIL, "__version__", "0.0")
    load_cached(index, tmp_path / "kept", listener)
    assert listener.lines[0].startswith("  decoded films are kept")


def test_unreadable_films_are_told_and_a_class_of_them_is_refused(films, tmp_path):
    index, broken = read_index(films), tmp_path / "films"
    for film in index.films:
        place = broken / film.path.parent.name / film.path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film.path.read_bytes())
    place.write_bytes(b"no film")
    listener = Listener()
    loaded = load_cached(read_index(broken), tmp_path / "kept", listener)
    assert (len(loaded.model_inputs), [path for path, _ in loaded.unreadable]) == (27, [place])
    assert listener.lines[0].startswith(f"left out: {place}")
    for path in place.parent.iterdir():
        path.write_bytes(b"no film")
    with pytest.raises(DataError, match="no film of the class"):
        load_cached(read_index(broken), tmp_path / "kept", Silence())


def test_a_folder_that_cannot_be_written_is_said_and_trains_all_the_same(films, tmp_path):
    (tmp_path / "kept").write_text("a file")
    listener = Listener()
    loaded = load_cached(read_index(films), tmp_path / "kept", listener)
    assert (len(loaded.model_inputs), "not kept" in listener.lines[0]) == (28, True)


def test_films_are_kept_where_only_their_owner_looks_and_where_the_environment_says(films, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("TBCONV_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "tbconv"
    monkeypatch.setenv("TBCONV_CACHE", str(tmp_path / "kept"))
    load_cached(read_index(films), cache_folder(), Silence())
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
