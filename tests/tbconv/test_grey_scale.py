"""One grey scale, robust and known: what moves a film's values a little moves its greys a little."""

import io
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import as_file, draw_chest, draw_dicom, lossless_jpeg
from tbconv.contract.errors import FilmError
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import describe_xray, open_film
from tbconv.contract.xray.film import (
    DECODING,
    DEPTH_LIMIT,
    HIDDEN_LIMIT,
    NO_WINDOW_LIMIT,
    TINT_LIMIT,
    WINDOW_OFF_LIMIT,
    MemoryBudget,
    decoding_memory,
)
from tbconv.contract.xray.grey import depth_filled

HEIGHT, WIDTH = 240, 200
NEAR = 3.0  # grey levels of 255 that one pixel of the network's input may move


def chest():
    """A chest between black air and bright bone, uint8."""
    film = draw_chest(HEIGHT, WIDTH, bits=8).astype(int)
    film = np.clip((film - 60) * 1.25, 0, 235)
    film[:, :12] = film[:, -12:] = 0
    return film.astype(np.uint8)


FILM = chest()


def deep(top, bottom=0):
    return np.rint(bottom + FILM.astype(float) * ((top - bottom) / 255)).astype(np.uint16)


def png(values):
    return as_file(Image.fromarray(values), "PNG")


def distance(data, film=FILM):
    """Largest distance of the network's input from that of an 8-bit film."""
    spec = PreprocessSpec()
    return int(np.abs(spec.model_input(open_film(data).pixels).astype(int) - spec.model_input(film)).max())


def bordered(film, level, width=20):
    covered = film.copy()
    covered[:width] = covered[-width:] = level
    covered[:, :width] = covered[:, -width:] = level
    return covered


BLACK_BORDER = bordered(FILM, 0)


# The cliff


@pytest.mark.parametrize("bits", range(9, 17))
def test_every_depth_odd_and_even_is_the_8_bit_film(bits):
    top = 2**bits - 1
    for data in (
        png(deep(top)),
        draw_dicom(deep(top), bits=bits),
        draw_dicom(deep(top)),  # the file says 16 bits
        draw_dicom((top - deep(top)).astype(np.uint16), bits=bits, PhotometricInterpretation="MONOCHROME1"),
    ):
        assert np.array_equal(open_film(data).pixels, FILM)


@pytest.mark.parametrize("top", [255, 1023, 2047, 4095, 16383, 32767])
def test_one_level_more_is_no_cliff(top):
    whole = np.where(FILM > 230, top, deep(top)).astype(np.uint16)
    for values in (whole + np.uint16(1), whole + np.uint16(whole == top)):
        assert distance(png(values)) <= NEAR + distance(png(whole))


def test_no_step_from_black_to_65535_moves_the_scale_far():
    highs = np.geomspace(100, 65_535, 20_000)
    scales = np.array([depth_filled(high, 65_535.0) for high in highs])
    assert (np.diff(scales) >= 0).all()
    assert (np.diff(np.log(scales)) / np.diff(np.log(highs))).max() < 2.5  # 1 % of brightness is 2.5 % at the most


@pytest.mark.parametrize(("top", "level"), [(4095, 65_535), (1023, 16_383), (4095, 5000), (16_383, 65_535)])
def test_a_marker_brighter_than_the_film_leaves_the_film_as_it_is(top, level):
    marked, reference = deep(top), FILM.copy()
    marked[10:50, 20:60], reference[10:50, 20:60] = level, 255
    assert np.array_equal(open_film(png(marked)).pixels, reference)
    assert np.array_equal(open_film(draw_dicom(marked)).pixels, reference)


def test_a_depth_that_is_not_stated_is_a_limit_and_one_that_is_filled_is_none():
    assert open_film(png(deep(4095))).limits == (DEPTH_LIMIT,)
    assert open_film(png(deep(65_535))).limits == ()
    assert open_film(draw_dicom(deep(4095), bits=12)).limits == ()
    assert open_film(draw_dicom(deep(4095))).limits == (NO_WINDOW_LIMIT,)


@pytest.mark.parametrize(("bottom", "top", "bits"), [(1000, 3040, 15), (8000, 30_000, 15), (500, 3000, 12)])
def test_without_a_window_the_films_own_range_is_shown_and_said(bottom, top, bits):
    opened = open_film(draw_dicom(deep(top, bottom), bits=bits))
    assert np.corrcoef(opened.pixels.ravel(), FILM.ravel())[0, 1] > 0.98
    assert float(np.quantile(opened.pixels, 0.98)) > 150
    assert opened.limits == (NO_WINDOW_LIMIT,)


@pytest.mark.parametrize("center", [30_000, -5000])
def test_a_window_off_the_values_is_named_and_the_film_shown(center):
    opened = open_film(draw_dicom(deep(4095), bits=12, WindowCenter=center, WindowWidth=100))
    assert np.array_equal(opened.pixels, FILM)
    assert opened.limits == (WINDOW_OFF_LIMIT,)


# Padding and shutters


@pytest.mark.parametrize(
    ("padding", "elements"),
    [
        (-2000, {"PixelPaddingValue": -2000}),
        (-32_768, {"PixelPaddingValue": -32_768}),
        (-1900, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1800}),
        (-2000, {"PixelPaddingValue": -2000, "WindowCenter": 2048, "WindowWidth": 4096}),
        (-4000, {}),  # the file does not name it
    ],
)
def test_signed_padding_is_black_and_counts_for_nothing(padding, elements):
    film = draw_dicom(bordered(deep(4095).astype(np.int16), padding), **elements)
    assert np.abs(open_film(film).pixels.astype(int) - BLACK_BORDER).max() <= 1
    assert (HIDDEN_LIMIT in open_film(film).limits) is bool(elements)


@pytest.mark.parametrize(("value", "photometric"), [(65_535, "MONOCHROME2"), (0, "MONOCHROME1"), (4095, "MONOCHROME2")])
def test_padding_that_would_be_white_is_black(value, photometric):
    inner = np.clip(deep(4095), 1, 4094)
    stored = (4095 - inner).astype(np.uint16) if photometric == "MONOCHROME1" else inner
    film = draw_dicom(bordered(stored, value), bits=12, PixelPaddingValue=value, PhotometricInterpretation=photometric)
    assert np.abs(open_film(film).pixels.astype(int) - BLACK_BORDER).max() <= 1


RECTANGLE = {
    "ShutterLeftVerticalEdge": 21,
    "ShutterRightVerticalEdge": WIDTH - 20,
    "ShutterUpperHorizontalEdge": 21,
    "ShutterLowerHorizontalEdge": HEIGHT - 20,
}
CORNERS = [21, 21, 21, WIDTH - 20, HEIGHT - 20, WIDTH - 20, HEIGHT - 20, 21]


def overlay():
    """An overlay of group 6002 that covers the border."""
    bits = bordered(np.zeros((HEIGHT, WIDTH), np.uint8), 1)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    return [(0x0010, "US", HEIGHT), (0x0011, "US", WIDTH), (0x0050, "SS", [1, 1]), (0x3000, "OW", packed)]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
@pytest.mark.parametrize("shape", ["RECTANGULAR", "POLYGONAL", "BITMAP", "several"])
def test_what_a_shutter_covers_is_black_and_counts_for_nothing(shape, window, photometric):
    shown = bordered(deep(4095), 4095)  # white below the shutter
    stored = (4095 - shown).astype(np.uint16) if photometric == "MONOCHROME1" else shown
    film = pydicom.dcmread(
        io.BytesIO(draw_dicom(stored, bits=12, PhotometricInterpretation=photometric, **window)),
    )
    film.ShutterShape = ["RECTANGULAR", "POLYGONAL"] if shape == "several" else shape
    for keyword, value in RECTANGLE.items():
        setattr(film, keyword, value)
    film.VerticesOfThePolygonalShutter, film.ShutterOverlayGroup = CORNERS, 0x6002
    for element, kind, value in overlay():
        film.add_new((0x6002, element), kind, value)
    out = io.BytesIO()
    film.save_as(out)
    opened = open_film(out.getvalue())
    assert np.abs(opened.pixels.astype(int) - BLACK_BORDER).max() <= 1
    assert HIDDEN_LIMIT in opened.limits


def test_a_circular_shutter_leaves_a_disc():
    shutter = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [120, 100], "RadiusOfCircularShutter": 90}
    opened = open_film(draw_dicom(np.full((HEIGHT, WIDTH), 200, np.uint8), **shutter))
    y, x = np.mgrid[1 : HEIGHT + 1, 1 : WIDTH + 1]
    assert np.array_equal(opened.pixels > 0, (y - 120) ** 2 + (x - 100) ** 2 <= 90**2)


def test_a_shutter_that_covers_nothing_says_nothing():
    edges = dict(zip(RECTANGLE, (1, WIDTH, 1, HEIGHT), strict=True))
    assert open_film(draw_dicom(deep(4095), bits=12, ShutterShape="RECTANGULAR", **edges)).limits == ()


# Writers that differ


@pytest.mark.parametrize("kind", ["OB", "OW"])
def test_8_bits_in_big_endian_are_not_swapped_where_they_are_bytes(kind):
    film = pydicom.dcmread(io.BytesIO(draw_dicom(FILM, syntax=uid.ExplicitVRBigEndian)))
    film.PixelData = FILM.tobytes() if kind == "OB" else FILM.reshape(-1, 2)[:, ::-1].tobytes()
    film["PixelData"].VR = kind
    out = io.BytesIO()
    film.save_as(out)
    assert np.array_equal(open_film(out.getvalue()).pixels, FILM)


@pytest.mark.parametrize("behind", [bytes(2), bytes(512), bytes(4096), b"\xff" * 64])
def test_what_follows_the_pixels_does_not_matter(behind):
    assert np.array_equal(open_film(draw_dicom(FILM) + behind).pixels, FILM)


def test_lossless_jpeg_and_jpeg_of_12_bits_are_read_as_files():
    assert np.array_equal(open_film(lossless_jpeg(deep(4095), 12)).pixels, FILM)
    assert np.array_equal(open_film(lossless_jpeg(FILM, 8)).pixels, FILM)
    facts = describe_xray(lossless_jpeg(deep(4095), 12))
    assert (facts.height, facts.width, facts.format, facts.bit_depth) == (*FILM.shape, "JPEG", 12)


def test_a_film_on_disk_and_its_header_are_read_without_a_server(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(draw_dicom(FILM))
    facts = describe_xray(path)
    assert np.array_equal(open_film(path).pixels, FILM)
    assert (facts.width, facts.height, facts.format, facts.bit_depth) == (WIDTH, HEIGHT, "DICOM", 8)


def test_a_png_of_16_bits_in_several_channels_is_read_where_it_fills_them_and_refused_where_it_does_not():
    def written(top):
        rows = np.repeat(deep(top)[..., None], 3, axis=2).astype(">u2")
        body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
        parts = ((b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)), (b"IDAT", body), (b"IEND", b""))
        made = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
        return b"\x89PNG\r\n\x1a\n" + made

    assert np.abs(open_film(written(65_535)).pixels.astype(int) - FILM).max() <= 1
    with pytest.raises(FilmError, match="16 bits in colour"):
        open_film(written(4095))


# Colours


@pytest.mark.parametrize("gains", [(0.6, 0.8, 1.0), (0.75, 0.85, 1.0), (1.0, 0.9, 0.7)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "DICOM"])
def test_a_film_of_one_hue_becomes_the_grey_film(kind, gains):
    colours = np.rint(FILM[..., None] * np.array(gains)).astype(np.uint8)
    picture = Image.fromarray(colours)
    data = draw_dicom(colours) if kind == "DICOM" else as_file(picture, kind, quality=95)
    opened = open_film(data)
    assert np.abs(opened.pixels.astype(int) - FILM).mean() < 2
    assert (opened.chroma, opened.limits) == (0, (TINT_LIMIT,))


def test_a_picture_of_several_hues_keeps_its_colours():
    several = np.stack([FILM, FILM[::-1], FILM[:, ::-1]], axis=2)
    opened = open_film(png(several))
    assert opened.chroma > 8
    assert TINT_LIMIT not in opened.limits


# What is no film


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4711\n", "Git LFS pointer"),
        (b"<!doctype html><html>", "a web page"),
        (b"\n  <HTML><body>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photograph"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "macOS"),
        (bytes(4096), "zeros alone"),
    ],
)
def test_what_is_no_film_is_named(data, why):
    with pytest.raises(FilmError) as caught:
        open_film(data)
    assert why in caught.value.why


# Memory


def test_threads_that_decode_wait_for_one_another_instead_of_adding_up():
    budget, held, most = MemoryBudget(100), [], []

    def decode(size):
        with budget.reserve(size):
            held.append(min(size, 100))
            most.append(sum(held))
            held.remove(min(size, 100))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [30, 60, 100, 500, 1, 99] * 20))
    assert len(most) == 120
    assert max(most) <= 100
    with budget.reserve(100):
        pass  # all of it came back


def test_a_film_that_cannot_be_decoded_gives_its_memory_back():
    for _ in range(50):
        with pytest.raises(FilmError):
            open_film(draw_dicom(deep(4095), bits=12)[:-1000])
    with decoding_memory.reserve(DECODING):
        pass
