"""Small files that would cost memory or time without end: each refused, and what the refusal costs measured."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import as_file, draw_chest, draw_dicom
from tbconv.contract.errors import FilmError
from tbconv.contract.xray import open_film
from tbconv.contract.xray.film import MAX_DECODED, read_jpeg_header

GROWTH_MB = 20  # the bar of docs/films.md for the PNG of 196 megapixels, held for every bomb
SECONDS = 3  # of processor time; each took less than 0.5 when it was written


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks, colour=0, depth=8, rows=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def deflated(size):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()


def blank_rows(width, height):
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    return b"".join(packer.compress(row) for _ in range(height)) + packer.flush()


def text_chunk(number):
    packed = zlib.compress(bytes(1_000_000), 9)
    return chunk(b"zTXt", f"note{number}".encode() + b"\0\0" + packed)


def grey_jpeg(size=64, **options):
    noise = np.random.default_rng(0).integers(0, 256, (size, size)).astype(np.uint8)
    return as_file(Image.fromarray(noise), "JPEG", **options)


def with_size(jpeg, width, height):
    place = jpeg.index(b"\xff\xc0") if b"\xff\xc0" in jpeg else jpeg.index(b"\xff\xc2")
    return jpeg[: place + 5] + struct.pack(">HH", height, width) + jpeg[place + 9 :]


def many_scans(count):
    jpeg = grey_jpeg(progressive=True)
    place = jpeg.rindex(b"\xff\xda")
    return with_size(jpeg[:place] + jpeg[place:-2] * count + b"\xff\xd9", 7000, 7000)


def dicom(**elements):
    return draw_dicom(draw_chest(), bits=12, **elements)


def before_pixels(inserted, **elements):
    film = dicom(**elements)
    place = film.index(b"\xe0\x7f\x10\0OW")
    return film[:place] + inserted + film[place:]


def nested(depth):
    loader = b"\x09\0\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    return loader * depth


def long_table():
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [30_000, 0, 16], [0] * 30_000
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return [item] * 130


def rle_bomb():
    frame = struct.pack("<16I", 15, *([64] * 15)) + b"\x81\0" * 2_000_000  # each pair is 128 bytes, fifteen times over
    film = draw_dicom(draw_chest(), bits=12, syntax=uid.RLELossless)
    place = film.index(b"\xe0\x7f\x10\0")
    element = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\0\0\0\0"
    return (
        film[:place] + element + b"\xfe\xff\0\xe0" + struct.pack("<I", len(frame)) + frame + b"\xfe\xff\xdd\xe0\0\0\0\0"
    )


def deflated_dicom(packed):
    film = draw_dicom(draw_chest(), bits=12, syntax=uid.DeflatedExplicitVRLittleEndian)
    length = struct.unpack_from("<I", film, 140)[0]
    return film[: 144 + length] + packed


BOMBS = {
    "a PNG of 196 megapixels": lambda: png(14000, 14000, rows=blank_rows(14000, 14000)),
    "a PNG of 100 megapixels": lambda: png(10000, 10000),
    "a PNG of 49 megapixels in four colours": lambda: png(7000, 7000, colour=6),
    "a PNG of 48 megapixels of 16 bits": lambda: png(6928, 6928, depth=16),
    "a PNG with 64 MB of packed notes": lambda: png(64, 64, *(text_chunk(number) for number in range(64))),
    "a PNG of a million empty chunks": lambda: png(64, 64, chunk(b"tEXt", b"") * 1_000_000),
    "a JPEG of 65,000 x 65,000": lambda: with_size(grey_jpeg(), 65000, 65000),
    "a JPEG of a million segments": lambda: b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000 + grey_jpeg()[2:],
    "a JPEG after 8 MB of rubbish": lambda: b"\xff\xd8\xff" + b"\xff\0" * 4_000_000 + grey_jpeg()[2:],
    "a JPEG of 10,000 scans": lambda: many_scans(10_000),
    "a DICOM of 65,535 x 65,535": lambda: dicom(Rows=65535, Columns=65535),
    "a JPEG DICOM of 65,535 x 65,535": lambda: draw_dicom(
        draw_chest(bits=8).astype(np.uint8), syntax=uid.JPEGBaseline8Bit, Rows=65535, Columns=65535
    ),
    "a deflated DICOM of 256 MB": lambda: deflated_dicom(deflated(2**28)),
    "a DICOM of a million empty elements": lambda: before_pixels(b"\x09\0\x10\x10LO\0\0" * 1_000_000),
    "a DICOM nested 100,000 deep": lambda: before_pixels(nested(100_000)),
    "a DICOM of a million empty items": lambda: before_pixels(
        b"\x09\0\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_000
    ),
    "a DICOM with eight megabytes of tables": lambda: dicom(VOILUTSequence=long_table()),
    "a DICOM whose RLE unpacks to gigabytes": rle_bomb,
}


@pytest.fixture(scope="module")
def weighed(tmp_path_factory):
    """What each bomb cost, by its name."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    script = Path(__file__).with_name("weigh_bombs.py")
    done = subprocess.run([sys.executable, script, folder], check=True, capture_output=True, text=True, timeout=120)
    assert not done.stderr
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_for_little(name, weighed):
    row = weighed[name]
    assert row["verdict"].startswith("the film "), row
    assert row["growth_mb"] < GROWTH_MB, row
    assert row["seconds"] < SECONDS, row


def test_the_png_of_196_megapixels_is_a_small_file_that_is_whole(weighed):
    row = weighed["a PNG of 196 megapixels"]
    assert 100_000 < row["bytes"] < 602_000
    assert row["verdict"].startswith("the film has too many pixels")


def test_the_largest_films_of_the_published_sets_stay_within_the_limits():
    side = 4892  # Montgomery and Shenzhen
    assert side * side * 3 <= MAX_DECODED


def test_a_film_with_a_few_notes_a_profile_and_twelve_scans_is_read():
    notes = png(1, 1, *(text_chunk(number) for number in range(3)), rows=zlib.compress(b"\0\x55"))
    assert open_film(notes).pixels.tolist() == [[0x55]]
    assert open_film(grey_jpeg(progressive=True, icc_profile=bytes(3000))).pixels.shape == (64, 64)


@pytest.mark.parametrize(("kind", "options"), [("SOF0", {}), ("SOF2", {"progressive": True})])
def test_the_outline_of_a_jpeg_tells_its_size_and_scans(kind, options):
    found = read_jpeg_header(grey_jpeg(48, **options))
    assert (found.width, found.height, found.precision, found.samples, found.frames) == (48, 48, 8, 1, 1)
    assert found.orderly
    assert found.scans == (1 if kind == "SOF0" else 6)


def test_two_headers_in_one_jpeg_of_a_dicom_file_are_refused():
    film = draw_chest(bits=8).astype(np.uint8)
    jpeg = as_file(Image.fromarray(film), "JPEG")
    place = jpeg.index(b"\xff\xc0")
    second = jpeg[:place] + with_size(jpeg[place : place + 13], 60000, 60000) + jpeg[place:]
    assert read_jpeg_header(second).frames == 2
    data = draw_dicom(film, syntax=uid.JPEGBaseline8Bit)
    padded = jpeg + b"\0" * (len(jpeg) % 2)
    assert padded in data
    length = struct.pack("<I", len(padded))
    other = second + b"\0" * (len(second) % 2)
    spoiled = data.replace(length + padded, struct.pack("<I", len(other)) + other)
    with pytest.raises(FilmError) as caught:
        open_film(spoiled)
    assert caught.value.why == "the header of its compressed picture cannot be followed"


def test_a_bomb_answers_with_a_sentence_and_no_bytes_of_itself():
    with pytest.raises(FilmError) as caught:
        open_film(io.BytesIO(BOMBS["a DICOM of 65,535 x 65,535"]()).getvalue())
    assert caught.value.what == "the film has 65535 x 65535 pixels of 1 x 16 bits"
