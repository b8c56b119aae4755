"""Open drawn DICOM files of every kind, and pydicom's own: what pixels, what reasons, and that no name comes out."""

import io
import json
import logging
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import LOSSLESS, NATIVE, as_file, draw_chest, draw_dicom
from tbconv.contract.errors import FilmError
from tbconv.contract.xray import Rejected, RejectionReason, open_film
from tbconv.contract.xray.dicom import decoders
from tbconv.contract.xray.film import BURNED_IN_LIMIT, CHILD_LIMIT, NO_WINDOW_LIMIT, TURNED_LIMIT, WINDOW_LIMIT
from tf_serve.fallback import choose_model
from tf_serve.predict import find, screen

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
# JPEG-LS of a width of 0: pylibjpeg's libjpeg goes through it for ever (found by mutation)
HANGS_LIBJPEG = bytes.fromhex(
    "ffd8fff7000b080000000a01011100ffda000801010002000057fdff7f00000071ff7fe0b7eff7ff7c1c7f7f052ffbe096ff7fc117fdff40ffd9"
)
NAMES = ("Quux", "Zebulon", "Q4711", "19700501")


@pytest.fixture
def chest():
    return draw_chest()


@pytest.fixture
def shipped():
    """Return a function that reads one of pydicom's own files, its modality replaced by DX."""

    def read(name, **elements):
        film = pydicom.dcmread(get_testdata_file(name))
        film.Modality = "DX"
        for keyword, value in elements.items():
            setattr(film, keyword, value)
        out = io.BytesIO()
        film.save_as(out)
        return out.getvalue()

    return read


def pixels_of(data):
    return open_film(data).pixels


def stored_values(film):
    """The values of one of pydicom's own files; pydicom reads JPEG and JPEG-LS with the GPL decoder alone, or gdcm."""
    syntax = film.file_meta.TransferSyntaxUID
    if syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless):
        return imagecodecs.jpegls_decode(get_frame(film.PixelData, 0, number_of_frames=1))
    if syntax in (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1):
        return imagecodecs.jpeg8_decode(get_frame(film.PixelData, 0, number_of_frames=1))
    return film.pixel_array


def as_png(values):
    return as_file(Image.fromarray(values), "PNG")


def table(values, first=0, bits=16):
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = [int(value) for value in values]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Sequence([item])


# Containers and syntaxes


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS], ids=lambda syntax: syntax.name)
def test_every_lossless_syntax_gives_the_pixels_of_the_16_bit_png(syntax, chest):
    assert np.array_equal(pixels_of(draw_dicom(chest, syntax=syntax, bits=12)), pixels_of(as_png(chest)))


@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_jpeg_of_8_and_16_bits_is_exact(bits):
    film = draw_chest(bits=bits).astype(np.uint8 if bits == 8 else np.uint16)
    assert np.array_equal(pixels_of(draw_dicom(film, syntax=uid.JPEGLosslessSV1)), pixels_of(as_png(film)))


def test_baseline_jpeg_gives_the_pixels_of_the_jpeg_file(chest):
    film = (chest >> 4).astype(np.uint8)
    jpeg = as_file(Image.fromarray(film), "JPEG")
    assert np.array_equal(pixels_of(draw_dicom(film, syntax=uid.JPEGBaseline8Bit)), pixels_of(jpeg))


@pytest.mark.parametrize(
    "name",
    [
        *("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm"),
        *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"),
    ],
)
def test_the_same_signed_film_of_other_writers_gives_the_same_pixels(name, shipped):
    assert np.array_equal(pixels_of(shipped(name)), pixels_of(shipped("MR_small.dcm")))


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEGLSNearLossless_16.dcm", "693_J2KI.dcm", "JPEG2000.dcm"])
def test_lossy_syntaxes_of_more_than_8_bits_have_the_greys_of_their_stored_values(name, shipped):
    data = shipped(name, WindowCenter=None, WindowWidth=None)
    stored = stored_values(pydicom.dcmread(io.BytesIO(data))).astype(int)
    assert np.corrcoef(stored.ravel(), pixels_of(data).ravel())[0, 1] > 0.99  # 1 % lies beyond black and white


@pytest.mark.parametrize(
    "name",
    [
        *("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_gdcm_KY.dcm"),
        *("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_ybr_full_422_uncompressed.dcm"),
    ],
)
def test_a_coloured_capture_has_the_grey_of_its_rgb_picture_and_its_colours(name, shipped):
    opened = open_film(shipped(name))
    rgb = stored_values(pydicom.dcmread(get_testdata_file(name)))
    grey = np.asarray(Image.fromarray(rgb).convert("L"), int)
    assert np.abs(opened.pixels - grey).max() <= 2  # YBR to RGB and back rounds twice
    assert opened.chroma > 100


def test_rle_keeps_each_colour_in_a_plane_of_its_own():
    colours = np.stack([draw_chest(bits=8, seed=seed).astype(np.uint8) for seed in range(3)], axis=2)
    colours[..., 1] = colours[::-1, :, 1] // 2  # another picture: one of one hue would be turned grey
    plain, packed = (
        open_film(draw_dicom(colours, syntax=how)) for how in (uid.ExplicitVRLittleEndian, uid.RLELossless)
    )
    assert np.array_equal(plain.pixels, packed.pixels)
    assert plain.chroma == packed.chroma > 20


def test_planes_one_after_another_are_the_same_picture():
    colours = np.stack([draw_chest(bits=8, seed=seed).astype(np.uint8) for seed in range(3)], axis=2)
    film = pydicom.dcmread(io.BytesIO(draw_dicom(colours)))
    film.PlanarConfiguration, film.PixelData = 1, np.moveaxis(colours, 2, 0).tobytes()
    out = io.BytesIO()
    film.save_as(out)
    assert np.array_equal(pixels_of(out.getvalue()), pixels_of(draw_dicom(colours)))


def test_a_palette_is_painted(shipped):
    opened = open_film(shipped("examples_palette.dcm"))
    assert (opened.photometric, opened.pixels.shape, opened.chroma > 5) == (
        "PALETTE COLOR",
        (350, 800),
        True,
    )


def test_rgb_of_equal_channels_is_the_grey_film(chest):
    grey = (chest >> 4).astype(np.uint8)
    opened = open_film(draw_dicom(np.stack([grey] * 3, axis=2)))
    assert np.array_equal(opened.pixels, grey)
    assert opened.chroma == 0


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_a_file_without_preamble_and_header_is_known_by_its_first_element(syntax, chest):
    data = draw_dicom(chest, syntax=syntax, bits=12)
    bare = data[data.index(b"\x08\0\x16\0") :]  # SOP Class UID, the first element of the film itself
    assert np.array_equal(pixels_of(bare), pixels_of(data))


def test_a_deflated_file_of_another_writer_is_read():
    assert pixels_of(Path(get_testdata_file("image_dfl.dcm")).read_bytes()).shape == (512, 512)


def test_jp2_boxes_around_the_stream_are_taken_off(chest):
    data = draw_dicom(chest, syntax=uid.JPEG2000Lossless, bits=12)
    film = pydicom.dcmread(io.BytesIO(data))
    stream = film.PixelData[film.PixelData.index(b"\xff\x4f\xff\x51") :]
    # a box of length 0 would hold pydicom's own search for the stream for ever
    film.PixelData = encapsulate([b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2h" + stream])
    out = io.BytesIO()
    film.save_as(out)
    assert np.array_equal(pixels_of(out.getvalue()), pixels_of(data))


# Grey levels


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 3000}])
def test_monochrome1_is_monochrome2_inverted(window, chest):
    inverted = {key: 4095 - value + 1 if key == "WindowCenter" else value for key, value in window.items()}
    first = pixels_of(draw_dicom(4095 - chest, bits=12, PhotometricInterpretation="MONOCHROME1", **inverted))
    assert np.array_equal(first, pixels_of(draw_dicom(chest, bits=12, **window)))


def test_monochrome1_and_2_get_the_same_margin(bundle, chest):
    active = choose_model(bundle)
    films = (draw_dicom(4095 - chest, bits=12, PhotometricInterpretation="MONOCHROME1"), draw_dicom(chest, bits=12))
    one, two = (find(pixels_of(film), active, bundle.manifest) for film in films)
    assert one.margin == pytest.approx(two.margin, rel=0, abs=1e-6)


def test_a_stream_that_claims_more_bits_than_the_film_stores_is_inverted_by_those_of_the_film(chest):
    how = {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"}
    film = draw_dicom(4095 - chest, syntax=uid.JPEGLosslessSV1, **how)  # lossless JPEG of 16 bits
    assert np.array_equal(pixels_of(film), pixels_of(draw_dicom(chest, bits=12)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_header_that_claims_more_bits_than_the_stream_has_changes_nothing(photometric, chest):
    film = draw_dicom(chest, syntax=uid.JPEGLosslessSV1, bits=12, PhotometricInterpretation=photometric)
    claimed = pydicom.dcmread(io.BytesIO(film))
    claimed.BitsStored, claimed.HighBit = 16, 15
    out = io.BytesIO()
    claimed.save_as(out)
    assert np.array_equal(pixels_of(out.getvalue()), pixels_of(film))


def test_a_window_spreads_its_range_over_black_to_white():
    ramp = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    shown = pixels_of(draw_dicom(ramp, bits=12, WindowCenter=2048, WindowWidth=1025)).astype(int)
    expected = np.clip((ramp - 2047.5) / 1024 + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert np.abs(shown - expected).max() <= 0.5


def test_the_first_of_several_windows_is_used(chest):
    several = draw_dicom(chest, bits=12, WindowCenter=[2000, 100], WindowWidth=[3000, 50])
    assert np.array_equal(
        pixels_of(several), pixels_of(draw_dicom(chest, bits=12, WindowCenter=2000, WindowWidth=3000))
    )


def test_the_window_applies_after_the_rescale(chest):
    moved = draw_dicom(chest, bits=12, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000, WindowWidth=6001)
    plain = draw_dicom(chest, bits=12, WindowCenter=2000, WindowWidth=3001)
    assert np.abs(pixels_of(moved).astype(int) - pixels_of(plain)).max() <= 1


@pytest.mark.parametrize("width", [b"0 ", b"-5", b".5"])
def test_an_unusable_window_is_left_out_and_said_so(width, chest):
    film = draw_dicom(chest, bits=12, WindowCenter=2000, WindowWidth="77")
    element = b"\x28\0\x51\x10DS\x02\0"
    assert element + b"77" in film
    opened = open_film(film.replace(element + b"77", element + width))
    assert np.array_equal(opened.pixels, pixels_of(draw_dicom(chest, bits=12)))
    assert WINDOW_LIMIT in opened.limits


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT"])
def test_other_window_functions_keep_the_order_of_grey_levels(function):
    ramp = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    shown = pixels_of(draw_dicom(ramp, bits=12, WindowCenter=2048, WindowWidth=2000, VOILUTFunction=function))
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()
    assert (shown[0, 0], shown[-1, -1]) == (0, 255) if function == "LINEAR_EXACT" else shown[0, 0] < 10


def test_a_voi_table_is_preferred_to_a_window(chest):
    table_of_squares = np.rint((np.arange(4096) / 4095) ** 2 * 4095)
    film = draw_dicom(chest, bits=12, VOILUTSequence=table(table_of_squares, bits=12), WindowCenter=1, WindowWidth=2)
    expected = np.rint(table_of_squares[chest] * 255 / 4095)
    assert np.array_equal(pixels_of(film), expected)


def test_a_modality_table_comes_first(chest):
    film = draw_dicom(chest, bits=12, ModalityLUTSequence=table(np.arange(4096)[::-1]))
    assert np.array_equal(pixels_of(film), np.rint((4095 - chest.astype(int)) * 255 / 4095))


def test_a_negative_slope_turns_the_polarity(chest):
    film = draw_dicom(4095 - chest, bits=12, RescaleSlope=-1, RescaleIntercept=4095)
    assert np.array_equal(pixels_of(film), pixels_of(draw_dicom(chest, bits=12)))


def test_signed_pixels_without_a_window_use_their_robust_range():
    film = np.linspace(-500, 1500, 4096).astype(np.int16).reshape(64, 64)
    opened = open_film(draw_dicom(film, bits=12))
    shown = opened.pixels.astype(int)
    assert (shown.min(), shown[0, 0], (np.diff(shown.ravel()) >= 0).all()) == (0, 0, True)
    assert 215 < shown.max() < 230  # where the bright end of films usually lies
    assert opened.limits == (NO_WINDOW_LIMIT,)


def test_bits_above_those_stored_are_no_part_of_a_pixel(chest):
    marked = chest | np.uint16(0xF000)  # old files keep overlays there
    assert np.array_equal(pixels_of(draw_dicom(marked, bits=12)), pixels_of(draw_dicom(chest, bits=12)))


def test_pixels_that_do_not_lie_in_the_lowest_bits_are_refused(chest):
    with pytest.raises(FilmError, match="cannot be read") as caught:
        open_film(draw_dicom(chest << 4, bits=12, HighBit=15))
    assert "High Bit" in caught.value.why


def test_a_film_that_does_not_say_its_polarity_is_refused(chest):
    with pytest.raises(FilmError) as caught:
        open_film(draw_dicom(chest, bits=12, PhotometricInterpretation=None))
    assert "Photometric Interpretation" in caught.value.why


# Fitness


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "other_modality"),
        ({"Modality": "MR"}, "other_modality"),
        ({"Modality": "US"}, "other_modality"),
        ({"Modality": "MG"}, "other_modality"),
        ({"ViewPosition": "LL"}, "lateral_view"),
        ({"ViewPosition": "RL"}, "lateral_view"),
        ({"ViewPosition": "LAT"}, "lateral_view"),
        ({"ViewPosition": "Lateral erect"}, "lateral_view"),
        ({"ViewPosition": "LLD"}, "other_view"),
        ({"ViewPosition": "RAO"}, "other_view"),
        ({"BodyPartExamined": "HAND"}, "other_body_part"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "not_for_viewing"),
    ],
)
def test_a_file_that_says_it_is_something_else_is_unfit(elements, reason, chest):
    with pytest.raises(Rejected) as caught:
        open_film(draw_dicom(chest, bits=12, **elements))
    assert (caught.value.reason, caught.value.reason.explanation[-1]) == (reason, ".")


def test_a_lateral_view_is_known_by_its_code_where_the_view_is_missing(chest):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399198007", "SCT", "left lateral"
    with pytest.raises(Rejected, match="not one that") as caught:
        open_film(draw_dicom(chest, bits=12, ViewPosition=None, ViewCodeSequence=Sequence([code])))
    assert caught.value.reason is RejectionReason.LATERAL_VIEW


def test_several_frames_are_unfit(chest):
    with pytest.raises(Rejected) as caught:
        open_film(draw_dicom(np.stack([chest, chest]), bits=12))
    assert caught.value.reason == "multi_frame"


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "dicomdirtests/DICOMDIR"])
def test_dicom_without_a_picture_is_unfit_or_of_another_modality(name):
    with pytest.raises(Rejected) as caught:
        open_film((SHIPPED / name).read_bytes())
    assert caught.value.reason in {"no_picture", "other_modality"}


@pytest.mark.parametrize("modality", ["DX", "CR", "RG", "OT", "", "cr "])
@pytest.mark.parametrize("view", ["PA", "AP", "", "AP ERECT", "CHEST"])
def test_plain_radiographs_of_frontal_or_unknown_views_are_read(modality, view, chest):
    facts = open_film(draw_dicom(chest, bits=12, Modality=modality, ViewPosition=view))
    assert (facts.container, facts.view, facts.limits) == ("DICOM", view if view in {"PA", "AP"} else None, ())


def test_missing_tags_are_no_error(chest):
    nothing = dict.fromkeys(("Modality", "ViewPosition", "BodyPartExamined", "SOPInstanceUID", "PatientName"))
    film = pydicom.dcmread(io.BytesIO(draw_dicom(chest, bits=12)))
    for keyword in nothing:
        delattr(film, keyword)
    out = io.BytesIO()
    film.save_as(out)
    assert open_film(out.getvalue()).modality is None


# Limits of an answer


@pytest.mark.parametrize(
    ("age", "child"), [("014Y", True), ("015Y", False), ("018M", True), ("045Y", False), ("", False)]
)
def test_the_film_of_a_child_carries_a_limit_and_is_not_turned_away(age, child, chest):
    assert (CHILD_LIMIT in open_film(draw_dicom(chest, bits=12, PatientAge=age)).limits) is child


def test_burned_in_writing_and_turned_pictures_carry_a_limit(chest):
    film = draw_dicom(chest, bits=12, BurnedInAnnotation="YES", PatientOrientation=["R", "F"])
    assert open_film(film).limits == (BURNED_IN_LIMIT, TURNED_LIMIT)
    assert open_film(draw_dicom(chest, bits=12, PatientOrientation=["L", "F"])).limits == ()


def test_an_unfit_film_is_a_rejected_answer_with_its_code(bundle, chest):
    answer = screen(draw_dicom(chest, bits=12, ViewPosition="LL"), choose_model(bundle), bundle.manifest).to_json()
    assert (answer["status"], answer["reason"], answer["probability"]) == ("rejected", "lateral_view", None)
    assert answer["explanation"].endswith("(PA or AP).")


def test_a_childs_film_is_answered_with_the_limit(bundle, draw_film):
    film = draw_dicom(draw_film(), PatientAge="003Y")
    answer = screen(film, choose_model(bundle), bundle.manifest).to_json()
    assert CHILD_LIMIT in answer["limits"]


def test_a_server_answers_dicom_and_rejects_a_lateral_with_its_code(client, ask, draw_film):
    frontal, lateral = (draw_dicom(draw_film(), ViewPosition=view) for view in ("PA", "LL"))
    answered, rejected = (ask(client, film, kind="application/dicom") for film in (frontal, lateral))
    assert (answered.status_code, answered.json()["status"]) == (200, "ok")
    assert (rejected.status_code, rejected.json()["reason"]) == (200, "lateral_view")
    broken = ask(client, frontal[:900], kind="application/dicom")
    assert broken.status_code == 400
    assert "cannot be read as DICOM" in broken.json()["error"]


# Identity


@pytest.mark.parametrize(
    "spoiled",
    [
        {},
        {"Modality": "CT"},
        {"ViewPosition": "Quux Zebulon"},
        {"BodyPartExamined": "Quux Zebulon"},
        {"Modality": "QUUX"},
        {"PatientAge": "Quux"},
        {"PhotometricInterpretation": "QUUX"},
    ],
)
def test_no_name_number_or_date_leaves_with_an_answer_an_error_or_the_log(spoiled, bundle, draw_film, caplog):
    caplog.set_level(logging.DEBUG)
    film = draw_dicom(draw_film(), **spoiled)
    said = []
    try:
        said.append(json.dumps(screen(film, choose_model(bundle), bundle.manifest).to_json()))
        said.append(repr(open_film(film)))
    except (FilmError, Rejected) as error:
        said += [str(error), error.one_line, repr(error.__cause__)]
    text = " ".join((*said, caplog.text)).lower()
    assert said
    assert not [word for word in NAMES if word.lower() in text]


@pytest.mark.parametrize("cut", [200, 400, 700])
def test_a_truncated_file_is_an_error_without_a_name(cut, chest, caplog):
    with pytest.raises(FilmError) as caught:
        open_film(draw_dicom(chest, bits=12)[:cut])
    assert not [word for word in NAMES if word in str(caught.value) + caplog.text]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Streams that lie


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGLosslessSV1, uid.JPEG2000Lossless])
def test_a_stream_of_another_size_than_the_header_says_is_refused_before_it_is_decoded(syntax, monkeypatch):
    monkeypatch.setattr(decoders.subprocess, "run", None)
    film = pydicom.dcmread(io.BytesIO(draw_dicom(draw_chest(bits=8).astype(np.uint8), syntax=syntax)))
    film.Rows = film.Rows - 8
    out = io.BytesIO()
    film.save_as(out)
    with pytest.raises(FilmError) as caught:
        open_film(out.getvalue())
    assert caught.value.why == "its compressed picture has another size than its header says"


def test_a_decoder_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(decoders, "PROCESSOR_SECONDS", 1)
    with pytest.raises(FilmError) as caught:
        apart(progressive_jpeg(2000, 2000, scans=20_000), rows=2000, columns=2000)
    assert "compressed picture" in caught.value.why


def apart(packed, *, rows, columns, decoder="imagecodecs", jpeg_ls=False):
    frame = {"rows": rows, "columns": columns, "bits_allocated": 16, "samples": 1, "jpeg_ls": jpeg_ls}
    return decoders.decode_apart(decoder, packed, frame=frame, most=2 * rows * columns, name="the film")


def progressive_jpeg(height, width, *, scans):
    """A JPEG of 12 bits that goes through its whole picture once a scan, and costs 44 bytes a scan."""
    table = bytes([2]) + bytes(15)  # two codes of one bit
    first = b"\xff\xda\0\x08\1\1\0\0\0\0" + b"\x55" * 34
    return b"".join(
        (
            b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64),
            b"\xff\xc2\0\x0b\x0c" + height.to_bytes(2) + width.to_bytes(2) + b"\1\1\x11\0",
            b"\xff\xc4\0\x15\0" + table + b"\0\1" + b"\xff\xc4\0\x15\x10" + table + b"\0\x11",
            first + first.replace(b"\0\0\0\x55", b"\1\1\0\x55") * (scans - 1) + b"\xff\xd9",
        )
    )


def test_the_bytes_that_hold_the_gpl_decoder_for_ever_are_refused():
    with pytest.raises(FilmError, match="cannot be read as DICOM"):
        apart(HANGS_LIBJPEG, rows=10, columns=1, jpeg_ls=True)


@pytest.mark.parametrize("at", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("ends", [b"", b"\xff\xd9"], ids=["cut", "cut and closed"])
@pytest.mark.parametrize("kind", ["lossless", "12 bits", "JPEG-LS"])
def test_a_compressed_picture_that_ends_too_early_is_refused_and_not_filled_up(kind, ends, at, chest):
    """libjpeg-turbo reports success and fills the rest with grey; pylibjpeg's libjpeg does the same."""
    if kind == "lossless":
        film = pydicom.dcmread(io.BytesIO(draw_dicom(chest, syntax=uid.JPEGLosslessSV1, bits=12)))
    else:
        film = pydicom.dcmread(
            get_testdata_file({"12 bits": "JPGExtended.dcm", "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm"}[kind])
        )
        film.Modality = "DX"
    packed = get_frame(film.PixelData, 0, number_of_frames=1)
    shorter = packed[: int(len(packed) * at)] + ends
    for picture, is_read in ((packed, True), (shorter, False)):
        film.PixelData = encapsulate([picture])
        out = io.BytesIO()
        film.save_as(out)
        if is_read:
            assert open_film(out.getvalue()).pixels.any()
        else:
            with pytest.raises(FilmError, match="cannot be read as DICOM"):
                open_film(out.getvalue())


def test_a_whole_stream_without_its_end_marker_is_read(chest):
    film = pydicom.dcmread(io.BytesIO(draw_dicom(chest, syntax=uid.JPEGLosslessSV1, bits=12)))
    packed = get_frame(film.PixelData, 0, number_of_frames=1).rstrip(b"\0").removesuffix(b"\xff\xd9")
    film.PixelData = encapsulate([packed])
    out = io.BytesIO()
    film.save_as(out)
    assert np.array_equal(pixels_of(out.getvalue()), pixels_of(draw_dicom(chest, bits=12)))


def test_the_coding_of_the_stream_decides_and_not_the_syntax_that_the_file_states(chest, shipped):
    film = pydicom.dcmread(io.BytesIO(shipped("MR_small_jpeg_ls_lossless.dcm")))
    film.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    out = io.BytesIO()
    film.save_as(out)
    assert np.array_equal(pixels_of(out.getvalue()), pixels_of(shipped("MR_small.dcm")))


def test_a_decoder_that_is_not_installed_is_named(chest, monkeypatch):
    monkeypatch.setattr(decoders.importlib.util, "find_spec", lambda name: None)
    for syntax, distribution in (
        (uid.JPEGLosslessSV1, "imagecodecs"),
        (uid.JPEG2000Lossless, "pylibjpeg-openjpeg"),
        (uid.RLELossless, "pylibjpeg-rle"),
    ):
        with pytest.raises(FilmError) as caught:
            open_film(draw_dicom(chest, bits=12, syntax=syntax))
        assert caught.value.why == f"{distribution} is not installed here"


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        ({"imagecodecs", "libjpeg"}, "imagecodecs"),
        ({"imagecodecs"}, "imagecodecs"),
        ({"libjpeg"}, "libjpeg"),
        (set(), "imagecodecs"),  # which the error then names
    ],
)
def test_the_gpl_decoder_is_chosen_only_where_there_is_no_other(installed, chosen, chest, monkeypatch):
    asked = []
    monkeypatch.setattr(decoders, "_installed", lambda package: package in installed)
    monkeypatch.setattr(decoders, "decode_apart", lambda decoder, *_, **__: asked.append(decoder) or chest.tobytes())
    open_film(draw_dicom(chest, bits=12, syntax=uid.JPEGLosslessSV1))
    assert asked == [chosen]


def test_a_syntax_that_no_decoder_has_is_named_without_its_number(chest):
    data = draw_dicom(chest, bits=12).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.4711.42.1.1\0")
    with pytest.raises(FilmError, match="compressed in a way that is not read") as caught:
        open_film(data)
    assert "4711" not in str(caught.value)
