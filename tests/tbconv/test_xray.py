import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import FilmError
from tbconv.contract.xray import MAX_PIXELS, decode_xray, describe_xray, open_xray, read_xray

TRANSPOSE = 0x0112  # EXIF's orientation tag


def _png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header_only_png(width, height):
    """Return a PNG that claims a size and holds one compressed row: decoding it would fail."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    row = zlib.compress(b"\x00" * 10)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", row) + _png_chunk(b"IEND", b"")


def test_an_8_bit_png_keeps_its_grey_levels(grey, pack):
    assert np.array_equal(decode_xray(pack(Image.fromarray(grey))), grey)


def test_a_one_bit_png_becomes_black_and_white(grey, pack):
    bits = grey > 127
    assert np.array_equal(decode_xray(pack(Image.fromarray(bits))), bits * np.uint8(255))


def test_an_rgb_film_of_equal_channels_equals_the_grey_one(grey, pack):
    data = pack(Image.fromarray(np.stack([grey] * 3, axis=2)))
    assert np.array_equal(decode_xray(data), grey)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_16_bit_png_is_scaled_by_the_depth_in_use(bits, grey, pack):
    top = 2**bits - 1
    deep = np.rint(grey.astype(np.float64) * top / 255).astype(np.uint16)
    assert deep.max() == top
    assert np.array_equal(decode_xray(pack(Image.fromarray(deep))), grey)


def test_a_12_bit_film_that_never_reaches_white_stays_dimmer_than_white(pack):
    deep = np.array([[0, 2100], [1200, 3000]], np.uint16)  # of 4095
    assert decode_xray(pack(Image.fromarray(deep))).tolist() == [[0, 131], [75, 187]]


def test_a_palette_is_looked_up(grey, pack):
    picture = Image.fromarray(grey)
    indexed = Image.fromarray(255 - grey).convert("P")
    indexed.putpalette([255 - level for level in range(256) for _ in range(3)])
    assert indexed.mode == "P"
    assert np.array_equal(decode_xray(pack(indexed)), np.asarray(picture))


def test_a_picture_of_palette_numbers_without_a_palette_is_damaged():
    header = struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)
    row = zlib.compress(b"\x00\x01\x02")
    chunks = _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", row) + _png_chunk(b"IEND", b"")
    with pytest.raises(FilmError, match="damaged") as caught:
        decode_xray(b"\x89PNG\r\n\x1a\n" + chunks)
    assert "palette" in caught.value.why


@pytest.mark.parametrize("most", [100, 768])
def test_a_picture_of_more_bytes_than_allowed_is_refused_before_it_is_decoded(most, grey, pack):
    data = io.BytesIO(pack(Image.fromarray(grey.astype(np.uint16) * 257)))
    if most == 768:
        assert open_xray(data, max_decoded=most).size == (16, 24)
        return
    with pytest.raises(FilmError, match="768 bytes"):
        open_xray(data, max_decoded=most)


def test_a_transparent_palette_entry_is_black(pack):
    indexed = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")
    indexed.putpalette([200, 200, 200, 90, 90, 90])
    assert decode_xray(pack(indexed, transparency=0)).tolist() == [[0, 90], [90, 0]]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_lies_over_black(mode, grey, pack):
    picture = Image.fromarray(grey).convert(mode)
    picture.putalpha(Image.fromarray(np.where(np.arange(16) < 8, 255, 0).astype(np.uint8)[None].repeat(24, 0)))
    decoded = decode_xray(pack(picture))
    assert np.array_equal(decoded[:, :8], grey[:, :8])
    assert not decoded[:, 8:].any()


def test_a_cmyk_jpeg_is_as_bright_as_its_grey_twin(pack):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(64, 0)
    black = np.zeros((64, 64, 3), np.uint8)
    picture = Image.fromarray(np.concatenate([black, 255 - ramp[..., None]], axis=2), "CMYK")
    decoded = decode_xray(pack(picture, "JPEG", quality=95)).astype(int)
    assert np.abs(decoded - ramp).max() <= 6  # JPEG's own loss


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
def test_the_exif_orientation_is_applied(orientation, stored, grey, pack):
    exif = Image.Exif()
    exif[TRANSPOSE] = orientation
    data = pack(Image.fromarray(grey).transpose(stored), exif=exif)
    assert np.array_equal(decode_xray(data), grey)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_film_is_damaged_and_named(kind, share):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind)
    data = out.getvalue()
    with pytest.raises(FilmError, match=r"drawn\.film is (damaged|not a PNG, JPEG or DICOM)"):
        decode_xray(data[: int(len(data) * share)], name="drawn.film")


def test_an_empty_file_says_that_it_is_empty():
    with pytest.raises(FilmError, match="not a PNG, JPEG or DICOM") as caught:
        decode_xray(b"", name="empty.png")
    assert caught.value.why == "the file is empty"


@pytest.mark.parametrize("data", [b"%PDF-1.7 not a film", b"\x00" * 200, b"<svg/>"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(FilmError, match="not a PNG, JPEG or DICOM"):
        decode_xray(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_picture_formats_are_refused(kind, grey, pack):
    with pytest.raises(FilmError, match="not a PNG, JPEG or DICOM"):
        decode_xray(pack(Image.fromarray(grey), kind))


@pytest.mark.parametrize(("width", "height"), [(7072, 7072), (60_000, 1000), (10_000, 10_000), (100_000, 100_000)])
def test_a_film_over_the_pixel_limit_is_refused_by_its_header(width, height, monkeypatch):
    decoded = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: decoded.append(self.size))
    assert width * height > MAX_PIXELS
    with pytest.raises(FilmError) as caught:
        decode_xray(_header_only_png(width, height), name="bomb.png")
    assert caught.value.what in {f"bomb.png has {width} x {height} pixels", "bomb.png has too many pixels"}
    assert f"{MAX_PIXELS:,}" in caught.value.why
    assert decoded == []


def test_a_missing_film_is_named(tmp_path):
    with pytest.raises(FilmError, match=r"nowhere\.png cannot be read"):
        read_xray(tmp_path / "nowhere.png")


def test_facts_are_read_from_the_header_alone(grey, pack):
    deep = grey.astype(np.uint16) * 257
    whole = pack(Image.fromarray(deep))
    facts = describe_xray(whole[: len(whole) // 2])
    assert (facts.width, facts.height, facts.format, facts.bit_depth) == (16, 24, "PNG", 16)
