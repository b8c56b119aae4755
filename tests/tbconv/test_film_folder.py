"""One walk for every command: bytes say what is a film, and what is none is named."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tbconv.contract.errors import DataError, FilmError
from tbconv.contract.xray import read_bytes, read_xray
from tbconv.contract.xray.folder import kind_of, refuse_others, walk_films, words_of


def draw(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)).save(path, "PNG")
    return path


def write_dicom(path, *, uid="1.2.840.10008.5.1.4.1.1.1.1", pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID, found.Modality = uid, generate_uid(), "DX"
    if pixels is not None:
        found.Rows, found.Columns = pixels.shape
        found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
        found.BitsAllocated = found.BitsStored = 8
        found.HighBit, found.PixelData = 7, pixels.tobytes()
    found.file_meta = FileMetaDataset()
    found.file_meta.MediaStorageSOPClassUID, found.file_meta.MediaStorageSOPInstanceUID = uid, found.SOPInstanceUID
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def mixed(tmp_path):
    draw(tmp_path / "a.png", 1)
    draw(tmp_path / "no_suffix", 2)
    draw(tmp_path / "wrong.dcm", 3)
    write_dicom(tmp_path / "DICOM/PA000001/ST000001/SE000001/IM000001", pixels=np.zeros((64, 64), np.uint8))
    write_dicom(tmp_path / "DICOMDIR", uid="1.2.840.10008.1.3.10")
    write_dicom(tmp_path / "SR000001", uid="1.2.840.10008.5.1.4.1.1.88.11")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7" + bytes(80))
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(80))
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "notes.txt").write_text("left lung")
    (tmp_path / "scan.tif").write_bytes(b"II*\0" + bytes(80))
    (tmp_path / "page.png").write_text("<html>404</html>")
    draw(tmp_path / "mask/a.png", 4)
    return tmp_path


def test_bytes_say_what_is_a_film_and_everything_else_is_named(mixed):
    tree = walk_films(mixed)
    names = {path.relative_to(mixed).as_posix() for path in tree.films}
    film = "DICOM/PA000001/ST000001/SE000001/IM000001"
    assert names == {"a.png", "no_suffix", "wrong.dcm", film, "page.png"}  # the last is called so: the decoder says why
    kinds = {path.relative_to(mixed).as_posix(): kind for path, kind in tree.others.items()}
    assert kinds == {
        "DICOMDIR": "a DICOM folder index (DICOMDIR)", "SR000001": "a DICOM report", "report.pdf": "a PDF",
        "._a.png": "a hidden file of the operating system", "Thumbs.db": "a hidden file of the operating system",
        "notes.txt": "text", "scan.tif": "a TIFF", "mask/a.png": "a mask",
    }  # fmt: skip
    assert len(names) + len(kinds) == sum(path.is_file() for path in mixed.rglob("*"))


def test_words_count_and_name_and_strict_refuses(mixed):
    left_out = walk_films(mixed).left_out()
    words = words_of(left_out, mixed)
    assert words.startswith("7 files are no films and left out: ")
    assert "a PDF (report.pdf)" in words
    with pytest.raises(DataError, match="holds more than films"):
        refuse_others(left_out, mixed)
    refuse_others({}, mixed)


def test_films_inside_an_archive_have_a_path_and_are_read(mixed, tmp_path_factory):
    place = tmp_path_factory.mktemp("zips")
    with zipfile.ZipFile(place / "set.zip", "w") as archive:
        for path in sorted(mixed.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(mixed).as_posix())
        archive.writestr("../evil.png", (mixed / "a.png").read_bytes())
    for root in (place, place / "set.zip"):
        tree = walk_films(root)
        assert len(tree.films) == 5
        assert (place / "set.zip/a.png") in tree.films
        assert "leads out of its archive" in tree.others[place / "set.zip/evil.png"]
    assert np.array_equal(read_xray(place / "set.zip/no_suffix"), read_xray(mixed / "no_suffix"))
    with pytest.raises(FilmError, match="cannot be read"):
        read_bytes(place / "set.zip/gone.png")


def test_a_spreadsheet_is_no_archive_and_a_damaged_archive_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as sheet:
        sheet.writestr("[Content_Types].xml", "<Types/>")
    draw(tmp_path / "a.png")
    assert len(walk_films(tmp_path).films) == 1
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4" + bytes(50))
    with pytest.raises(DataError, match=r"cut\.zip is no whole zip archive"):
        walk_films(tmp_path / "cut.zip")
    tree = walk_films(tmp_path)  # beside films it is named, and ends nothing
    assert len(tree.films) == 1
    assert "cut.zip" in words_of(tree.left_out(), tmp_path)
    assert "a damaged archive" in tree.others[tmp_path / "cut.zip"]


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("offset", [4, 40, 3000])
def test_a_damaged_file_of_an_archive_is_said_or_raised_in_words(tmp_path, packing, offset):
    noise = np.random.default_rng(1).integers(0, 255, 20_000, np.uint8).tobytes()
    with zipfile.ZipFile(tmp_path / "set.zip", "w", packing) as archive:
        archive.writestr("bad.png", b"\x89PNG\r\n\x1a\n" + noise)
        archive.write(draw(tmp_path / "good.png"), "good.png")
    data = bytearray((tmp_path / "set.zip").read_bytes())
    start = 30 + len("bad.png") + offset
    data[start : start + 200] = b"\xff" * 200
    (tmp_path / "set.zip").write_bytes(data)
    tree = walk_films(tmp_path / "set.zip")
    assert tmp_path / "set.zip/good.png" in tree.films
    place = tmp_path / "set.zip/bad.png"
    assert place in tree.films or tree.others[place].startswith("unreadable inside its archive")
    with pytest.raises(FilmError, match="cannot be read"):
        read_bytes(place)


def test_a_link_to_itself_is_said(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    tree = walk_films(tmp_path)
    assert [path.name for path in tree.films] == ["a.png"]
    assert tree.others[tmp_path / "self"].startswith("a link that cannot be followed")


def test_links_are_followed_and_a_loop_ends(tmp_path):
    draw(tmp_path / "real/a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/linked").symlink_to(tmp_path / "real")
    (tmp_path / "set/loop").symlink_to(tmp_path / "set")
    (tmp_path / "set/dead.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "set/pipe.png")
    tree = walk_films(tmp_path / "set")
    assert [path.name for path in tree.films] == ["a.png"]
    assert {path.name: kind for path, kind in tree.others.items()} == {
        "dead.png": "a link that leads nowhere", "pipe.png": "a device or pipe",
    }  # fmt: skip


@pytest.mark.parametrize(("head", "name", "kind"), [
    (b"", "a.png", None), (b"", "a", "empty"), (b"\xff\xd8\xff\xe0", "x.doc", None),
    (b"RIFF\0\0\0\0WEBP", "a.webp", "a WebP or another RIFF file"),
    (b"\0\0\0\x18ftypheic", "a.heic", "a HEIC photograph"),
    (b"\7\1\2\3", "a.bin", "of an unknown kind"),
    (b"version https://git-lfs.github.com", "a", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"),
])  # fmt: skip
def test_kinds_by_first_bytes(head, name, kind):
    assert kind_of(head, name) == kind
