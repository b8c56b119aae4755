"""The same pixels in any container: the same film to the network, so the same answer."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import as_file, draw_chest, draw_dicom
from tbconv.contract.errors import FilmError, Silence
from tbconv.contract.xray import FILM_SUFFIXES, FILM_TYPES, open_film
from tf_serve.batch import PredictConfig, predict
from tf_serve.fallback import choose_model
from tf_serve.predict import find

ORIENTATION = 0x0112  # EXIF
GREY = draw_chest(320, 280, bits=8).astype(np.uint8)
PICTURE = Image.fromarray(GREY)


def deep(bits):
    """The film with more bits, so that scaled by its depth it is the film again."""
    return np.rint(GREY.astype(np.float64) * ((2**bits - 1) / 255)).astype(np.uint16)


def turned():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return as_file(PICTURE.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


EXACT = {
    "PNG": lambda: as_file(PICTURE, "PNG"),
    "PNG RGB": lambda: as_file(PICTURE.convert("RGB"), "PNG"),
    "PNG palette": lambda: as_file(PICTURE.convert("P"), "PNG"),
    "PNG grey and alpha": lambda: as_file(PICTURE.convert("LA"), "PNG"),
    "PNG RGB and alpha": lambda: as_file(PICTURE.convert("RGBA"), "PNG"),
    "PNG 10 bits": lambda: as_file(Image.fromarray(deep(10)), "PNG"),
    "PNG 12 bits": lambda: as_file(Image.fromarray(deep(12)), "PNG"),
    "PNG 16 bits": lambda: as_file(Image.fromarray(deep(16)), "PNG"),
    "PNG turned by EXIF": turned,
    "DICOM 8 bits": lambda: draw_dicom(GREY),
    "DICOM 12 of 16 bits": lambda: draw_dicom(deep(12), bits=12),
    "DICOM 16 bits": lambda: draw_dicom(deep(16)),
    "DICOM RGB": lambda: draw_dicom(np.stack([GREY] * 3, axis=2)),
    "DICOM MONOCHROME1": lambda: draw_dicom(255 - GREY, PhotometricInterpretation="MONOCHROME1"),
    "DICOM deflated": lambda: draw_dicom(GREY, syntax=uid.DeflatedExplicitVRLittleEndian),
    "DICOM lossless JPEG": lambda: draw_dicom(deep(12), bits=12, syntax=uid.JPEGLosslessSV1),
    "DICOM JPEG 2000": lambda: draw_dicom(deep(12), bits=12, syntax=uid.JPEG2000Lossless),
    "DICOM RLE": lambda: draw_dicom(deep(16), syntax=uid.RLELossless),
}
LOSSY = {
    "JPEG": lambda: as_file(PICTURE, "JPEG", quality=95),
    "JPEG RGB": lambda: as_file(PICTURE.convert("RGB"), "JPEG", quality=95),
    "JPEG CMYK": lambda: as_file(PICTURE.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "JPEG progressive": lambda: as_file(PICTURE, "JPEG", quality=95, progressive=True),
}


@pytest.fixture
def margin(bundle):
    """Return a function that answers a film with the bundle's network."""
    active = choose_model(bundle)
    return lambda data: find(open_film(data).pixels, active, bundle.manifest).margin


@pytest.mark.parametrize("name", EXACT)
def test_the_same_pixels_in_any_container_give_the_same_pixels(name):
    assert np.array_equal(open_film(EXACT[name]()).pixels, GREY)


@pytest.mark.parametrize("name", LOSSY)
def test_a_jpeg_differs_by_its_own_loss_alone(name):
    difference = open_film(LOSSY[name]()).pixels.astype(int) - GREY
    assert np.abs(difference).mean() < 2


def test_every_container_gets_the_same_answer(margin):
    expected = margin(as_file(PICTURE, "PNG"))
    for name, make in EXACT.items():
        assert margin(make()) == pytest.approx(expected, rel=0, abs=1e-6), name


def test_16_bits_against_the_8_bits_that_they_round_to_move_the_margin_by_less_than_a_hundredth(margin):
    film = draw_chest(320, 280, bits=16)
    rounded = np.rint(film / 257).astype(np.uint8)
    assert margin(draw_dicom(film)) == pytest.approx(margin(as_file(Image.fromarray(rounded), "PNG")), rel=0, abs=1e-2)


@pytest.mark.parametrize(
    ("name", "container", "bits"),
    [("PNG", "PNG", 8), ("PNG 16 bits", "PNG", 16), ("DICOM 12 of 16 bits", "DICOM", 12), ("DICOM RGB", "DICOM", 8)],
)
def test_the_facts_are_those_of_the_file(name, container, bits):
    facts = open_film(EXACT[name]())
    assert (facts.container, facts.width, facts.height, facts.bits) == (container, 280, 320, bits)
    assert (facts.chroma, facts.limits) == (0, ())


def test_colours_are_measured_in_every_coloured_container():
    bright = np.stack([GREY, GREY[::-1], GREY // 4], axis=2)
    picture = Image.fromarray(bright)
    films = (as_file(picture, "PNG"), as_file(picture.convert("RGBA"), "PNG"), draw_dicom(bright))
    measured = [open_film(film).chroma for film in films]
    assert measured == pytest.approx([measured[0]] * 3, rel=0.02)
    assert measured[0] > 20


@pytest.mark.parametrize("called", [None, "image/png", "image/jpeg", "application/dicom", "text/html; charset=utf-8"])
def test_the_bytes_say_what_a_film_is_whatever_it_is_called(called):
    films = (EXACT["PNG"](), LOSSY["JPEG"](), EXACT["DICOM 8 bits"]())
    assert [open_film(film, content_type=called).container for film in films] == ["PNG", "JPEG", "DICOM"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7 Quux", "its first bytes are those of a PDF"),
        (b"GIF89a", "its first bytes are those of a GIF"),
        (b"PK\3\4", "its first bytes are those of a ZIP archive"),
        (b"\x80\x04\x95.", "its first bytes are those of none of them"),  # a pickle
        (b"Quux, Zebulon: chest PA", "its first bytes are those of text"),
    ],
)
def test_what_is_no_film_is_named_by_its_kind_and_not_quoted(data, said):
    with pytest.raises(FilmError, match="the film is not a PNG, JPEG or DICOM file") as caught:
        open_film(data)
    assert caught.value.why == said


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "WEBP", "GIF"])
def test_other_pictures_are_refused(kind):
    with pytest.raises(FilmError, match="not a PNG, JPEG or DICOM"):
        open_film(as_file(PICTURE, kind))


def test_text_that_is_called_dicom_is_an_error():
    with pytest.raises(FilmError, match="cannot be read as DICOM"):
        open_film(b"Quux, Zebulon: chest PA " * 20, content_type="application/dicom")


def test_the_types_and_suffixes_name_all_three_containers():
    assert FILM_TYPES == ("image/png", "image/jpeg", "application/dicom")
    assert {".png", ".jpeg", ".dcm"} <= set(FILM_SUFFIXES)


def test_pydicom_and_the_decoders_are_not_loaded_before_a_dicom_film_comes():
    """They take 0.3 s and 20 MB; a server that gets PNG and JPEG alone never pays them."""
    slow = "{'pydicom', 'pylibjpeg', 'libjpeg', 'openjpeg', 'rle'}"
    code = f"import sys, tf_serve.predict; print(*{slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_predict_answers_the_dicom_films_of_a_folder_and_draws_them(make_bundle, tmp_path, draw_film, as_png):
    films = tmp_path / "films"
    films.mkdir()
    (films / "a.dcm").write_bytes(draw_dicom(draw_film()))
    (films / "b.png").write_bytes(as_png(draw_film()))
    config = PredictConfig(bundle=make_bundle(), films=(films,), overlay=tmp_path / "pictures")
    one, two = (row.result for row in predict(config, reporter=Silence()).rows)
    assert one.finding is not None, one.refusal
    assert one.finding == two.finding
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["a.overlay.png", "b.overlay.png"]
