"""Which films a run lists: folders, tables, archives and addresses, each once, in the order of their ids."""

import io
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest

from tbconv.contract.errors import ConfigError, DataError, FilmError
from tf_serve.score import films as listing
from tf_serve.score.films import Film, Pseudonyms, is_called_film, list_films, read

KEY = Pseudonyms(b"0123456789abcdef")


def listed(source, pseudonyms=None):
    with list_films(str(source), pseudonyms=pseudonyms) as found:
        return list(found)


def names(source):
    return [film.id for film in listed(source)]


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"bytes of " + name.encode())
    return root


def test_a_folder_is_listed_by_names_and_what_is_no_film_by_its_place_is_counted(tmp_path):
    write(
        tmp_path,
        "b/2.png",
        "a.dcm",
        "no-suffix",
        "b/1.jpg",
        ".hidden.png",
        "masks/1.png",
        "__MACOSX/1.png",
        "Thumbs.db",
    )
    (tmp_path / "dead.png").symlink_to(tmp_path / "gone")
    with list_films(str(tmp_path)) as found:
        assert [film.id for film in found] == ["a.dcm", "b/1.jpg", "b/2.png", "no-suffix"]
        assert len(found) == 4
        assert found.left_out == {
            "a hidden file of the operating system": 3,
            "a link that leads nowhere": 1,
            "a mask": 1,
        }
        assert [read(film.place) for film in found] == [b"bytes of " + film.id.encode() for film in found]
        place = found.path
    assert not place.exists()


@pytest.mark.parametrize(
    "name", ["two\nlines.png", "back\\slash.png", "\\n.png", "tab\t.png", "höhe.png", "a\\\\nb\n\\.png", "\udcff.png"]
)
def test_any_name_that_a_disk_can_hold_comes_back_as_it_was(tmp_path, name):
    try:
        write(tmp_path, "other.png")
        (tmp_path / name).write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this file system cannot hold the name")
    [film] = [film for film in listed(tmp_path) if film.id != "other.png"]
    assert film.id == name.replace("\udcff", "\\xff")  # a table holds no bytes that are no text
    assert read(film.place) == b"x"


def test_films_are_in_the_same_order_however_many_are_sorted_at_once(tmp_path, monkeypatch):
    write(tmp_path, *(f"{(number * 7919) % 500:03d}.png" for number in range(500)))
    whole = listed(tmp_path)
    assert [film.id for film in whole] == sorted(film.id for film in whole)
    monkeypatch.setattr(listing, "SORTED_AT_ONCE", 1000)
    monkeypatch.setattr(listing, "AT_ONCE", 7)
    assert listed(tmp_path) == whole


def test_shards_are_the_list_in_parts_without_those_that_are_done(tmp_path):
    write(tmp_path, *(f"{number:02d}.png" for number in range(25)))
    with list_films(str(tmp_path)) as found:
        parts = list(found.shards(10, but={1}))
        assert [(number, len(films)) for number, films in parts] == [(0, 10), (2, 5)]
        assert [film.id for film in parts[1][1]] == ["20.png", "21.png", "22.png", "23.png", "24.png"]


def test_the_digest_of_a_list_is_of_its_ids(tmp_path):
    one, other = write(tmp_path / "one", "a.png", "b.png"), write(tmp_path / "other", "b.png", "a.png")
    more = write(tmp_path / "more", "a.png", "b.png", "c.png")
    digests = []
    for source in (one, other, more):
        with list_films(str(source)) as found:
            digests.append(found.sha256)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t")])
def test_a_table_names_films_from_where_it_lies_or_whole_with_ids_of_its_own(tmp_path, name, delimiter):
    write(tmp_path, "in/a.png", "b.png")
    rows = [("ID", "Film", "label"), ("7", "in/a.png", "1"), ("3", str(tmp_path / "b.png"), "0")]
    (tmp_path / name).write_text("\ufeff" + "".join(delimiter.join(row) + "\n" for row in rows) + "\n")
    assert listed(tmp_path / name) == [
        Film("3", str(tmp_path / "b.png")),
        Film("7", str(tmp_path / "in/a.png")),
    ]


def test_without_a_column_of_ids_paths_as_they_are_written_are_ids(tmp_path):
    (tmp_path / "t.csv").write_text('film\n"a, b.png"\nc/d.png\n')
    assert names(tmp_path / "t.csv") == ["a, b.png", "c/d.png"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("label,id\n1,2\n", "names no films"),
        ("film,id\na.png,\n", "row 2 of t.csv names no film"),
        ("film\na.png\n\nb.png\na.png\n", "names one film twice"),
        ("film,id\na.png,1\nb.png,1\n", "names one film twice"),
        ("film\n", "holds no film"),
        ("", "names no films"),
        ("film\n\0a.png\n", "holds a NUL character"),
    ],
)
def test_a_table_that_is_wrong_is_an_error_that_names_no_film(tmp_path, text, what):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        listed(tmp_path / "t.csv")
    assert what in caught.value.what
    assert "a.png" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("inside_a_folder", [False, True])
def test_an_archive_is_listed_and_read_without_being_unpacked(tmp_path, kind, inside_a_folder):
    write(tmp_path / "set", "x/a.png", "b.dcm", ".hidden")
    place = tmp_path / "packed" / f"set.{kind}"
    place.parent.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (tmp_path / "set").rglob("*"):
                archive.write(path, path.relative_to(tmp_path / "set"))
            archive.writestr("../evil.png", "x")
    else:
        with tarfile.open(place, "w") as archive:
            archive.add(tmp_path / "set", ".")
            for name in ("../evil.png", "/evil.png"):
                archive.addfile(tarfile.TarInfo(name))
    found = listed(place.parent if inside_a_folder else place)
    above = f"set.{kind}/" if inside_a_folder else ""
    assert [film.id for film in found] == [f"{above}b.dcm", f"{above}x/a.png"]
    assert [read(film.place) for film in found] == [b"bytes of b.dcm", b"bytes of x/a.png"]
    assert [is_called_film(film.place) for film in found] == [True, True]


def test_long_names_and_links_in_a_tar_archive(tmp_path):
    long = f"{'d' * 90}/{'f' * 150}.png"
    write(tmp_path / "set", long)
    (tmp_path / "set/link.png").symlink_to(long)
    with tarfile.open(tmp_path / "set.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tmp_path / "set", "set")
    [film] = listed(tmp_path / "set.tar")
    assert film.id == f"set/{long}"
    assert read(film.place) == b"bytes of " + long.encode()


@pytest.mark.parametrize("cut", [1, 1000, 10_240 - 512 * 3])
def test_a_tar_archive_without_its_end_is_an_error_and_not_fewer_films(tmp_path, cut):
    write(tmp_path / "set", "a.png", "b.png")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", ".")
    data = (tmp_path / "set.tar").read_bytes()
    end = data.rstrip(b"\0")
    (tmp_path / "set.tar").write_bytes(end[:-cut] if cut < len(end) else end[:512])
    with pytest.raises(DataError, match="is no whole tar archive"):
        listed(tmp_path / "set.tar")


def test_an_archive_that_changes_meanwhile_is_not_read_from_the_wrong_places(tmp_path):
    write(tmp_path / "set", "a.png", "b.png")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", ".")
    films = listed(tmp_path / "set.tar")
    with tarfile.open(tmp_path / "set.tar", "a") as archive:
        archive.add(tmp_path / "set/a.png", "c.png")
    with pytest.raises(DataError, match="was changed while it was scored"):
        read(films[0].place)


def test_a_packed_tar_archive_is_refused_with_the_command_that_unpacks_it(tmp_path):
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(write(tmp_path / "set", "a.png"), ".")
    with pytest.raises(DataError) as caught:
        listed(tmp_path / "set.tar.gz")
    assert caught.value.fix.startswith(f"gunzip -k {tmp_path / 'set.tar.gz'}")


def test_one_film_is_a_source_and_what_is_none_is_an_error(tmp_path, bundle):
    write(tmp_path, "a.png")
    assert names(tmp_path / "a.png") == ["a.png"]
    with pytest.raises(DataError, match="cannot be opened"):
        listed(tmp_path / "gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no film"):
        listed(tmp_path / "empty")
    with pytest.raises(DataError, match="is given as films"):
        listed(bundle.root)


def test_films_are_listed_and_read_wherever_fsspec_reaches():
    memory = fsspec.filesystem("memory")
    for name in ("x/a.png", "b.png", ".hidden"):
        memory.pipe(f"/bucket/set/{name}", b"bytes of " + name.encode())
    memory.pipe("/bucket/t.csv", b"id,film\n1,set/b.png\n2,memory://bucket/set/x/a.png\n")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("in/c.png")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"tar"))
    memory.pipe("/bucket/set.tar", out.getvalue())
    assert names("memory://bucket/set") == ["b.png", "x/a.png"]
    assert [read(film.place) for film in listed("memory://bucket/set")] == [b"bytes of b.png", b"bytes of x/a.png"]
    table = listed("memory://bucket/t.csv")
    assert [(film.id, read(film.place)) for film in table] == [("1", b"bytes of b.png"), ("2", b"bytes of x/a.png")]
    assert [(film.id, read(film.place)) for film in listed("memory://bucket/set.tar")] == [("in/c.png", b"tar")]
    memory.rm("/bucket/set/b.png")
    with pytest.raises(FilmError, match="cannot be read"):
        read("memory://bucket/set/b.png")


def test_pseudonyms_need_the_key_and_order_films_by_themselves(tmp_path):
    write(tmp_path, *(f"patient-{number:03d}.png" for number in range(50)))
    found, other = listed(tmp_path, KEY), listed(tmp_path, Pseudonyms(b"another key of 16"))
    assert [film.id for film in found] == sorted(KEY.of(Path(film.place).name) for film in found)
    assert not {film.id for film in found} & {film.id for film in other}
    assert [film.place for film in found] != sorted(film.place for film in found)
    assert all(len(film.id) == 32 and "patient" not in film.id for film in found)
    with list_films(str(tmp_path), pseudonyms=KEY) as keyed, list_films(str(tmp_path)) as plain:
        assert keyed.sha256 != plain.sha256


def test_a_key_is_read_from_a_file_or_a_variable_and_never_shown(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("a secret of more than 16 bytes\n")
    monkeypatch.setenv("SCREENING_KEY", "a secret of more than 16 bytes")
    from_file, from_variable = Pseudonyms.read(str(tmp_path / "key")), Pseudonyms.read("env:SCREENING_KEY")
    assert from_file == from_variable
    assert "secret" not in repr(from_file)
    for source in ("env:NOT_THERE", str(tmp_path / "gone"), "the-secret-itself-given-by-mistake"):
        with pytest.raises(ConfigError) as caught:
            Pseudonyms.read(source)
        assert "the-secret-itself" not in str(caught.value)
    (tmp_path / "short").write_text("short")
    with pytest.raises(ConfigError, match="too short"):
        Pseudonyms.read(str(tmp_path / "short"))


@pytest.mark.slow
def test_a_million_names_are_listed_in_memory_that_does_not_grow_with_them(tmp_path, monkeypatch):
    """Peak memory of Python's own objects, of 50,000 and of a million names that a folder reports."""
    import tracemalloc

    def walk(root, *, ordered):
        assert not ordered
        for number in range(count):
            yield f"{root}/film-{(number * 7919) % count:07d}.png", ""

    monkeypatch.setattr(listing, "walk_names", walk)
    monkeypatch.setattr(listing, "SORTED_AT_ONCE", 2 << 20)
    peaks = []
    for count in (50_000, 1_000_000):
        tracemalloc.start()
        with list_films(str(tmp_path)) as found:
            assert sum(len(films) for _, films in found.shards(1000)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
