"""A thousand damaged films, and the damage that once found something: an opened film, a stated error, or a reason."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import draw_chest, draw_dicom
from benchmarks.fuzz_films import draw_input, judge, run
from benchmarks.mutate_films import draw_apart_seeds, draw_seeds, mend_checksums
from tbconv.contract.environment import SEEN_BY_CHILDREN
from tbconv.contract.xray.dicom import decoders
from tbconv.family import VARIABLE

VERDICTS = {"opened", "refused", "unfit"}


@pytest.fixture(scope="module")
def seeds():
    return draw_seeds()


def test_every_seed_is_a_film(seeds):
    assert {judge(film) for film in (*seeds.values(), *draw_apart_seeds().values())} == {"opened"}


def test_800_damaged_films_are_opened_refused_or_unfit_and_end_no_process():
    rows, ends, (slowest, _) = run(0, 800, packed=False)
    assert {verdict for _, verdict in rows} == VERDICTS
    assert sum(rows.values()) == 800
    assert not ends  # no foreign decoder was started
    assert slowest < 10


def test_damaged_films_of_foreign_decoders_end_their_own_process_at_most():
    rows, ends, _ = run(0, 24, packed=True)
    assert {verdict for _, verdict in rows} <= VERDICTS
    assert ends["decoded"] + ends["refused"] + ends["crashed"] >= 5


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=600), start=st.sampled_from(["", "PNG grey", "JPEG grey", "DICOM bare", "DICOM table"]))
def test_any_bytes_behind_the_first_of_a_film_are_judged(seeds, data, start):
    assert judge(seeds[start][:200] + data if start else data) in VERDICTS


@pytest.mark.parametrize("name", ["Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel", "HighBit"])
@settings(max_examples=30, deadline=None)
@given(value=st.integers(0, 65535))
def test_any_number_in_the_header_of_a_picture_is_judged(name, value):
    assert judge(draw_dicom(draw_chest(24, 20), bits=12, **{name: value})) in VERDICTS


@pytest.mark.parametrize("kind", [b"NW", b"O\0", b"SQ", b"PN", b"US"])
def test_a_picture_that_says_it_is_another_kind_of_value_is_refused(kind):
    """Kinds that pydicom does not know once came through as its own error (input 130,037 of the long run)."""
    film = draw_dicom(draw_chest(48, 40), bits=12)
    assert judge(film.replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0" + kind)) == "refused"


def test_damaged_films_are_opened_in_silence(seeds, recwarn, caplog, capfd):
    for number in range(300):
        judge(draw_input(number, seeds)[1])
    assert (recwarn.list, caplog.text, *capfd.readouterr()) == ([], "", "", "")


def test_a_foreign_decoder_is_told_nothing_of_the_servers_environment(monkeypatch):
    monkeypatch.setenv("TBCONV_ADMIN_TOKEN", "secret")
    given = {}
    run_it = decoders.subprocess.run
    monkeypatch.setattr(
        decoders.subprocess, "run", lambda words, **how: given.update(how["env"]) or run_it(words, **how)
    )
    assert judge(draw_apart_seeds()["lossless JPEG"]) == "opened"
    assert set(given) <= {*SEEN_BY_CHILDREN, "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", VARIABLE}
    assert not any("TOKEN" in name for name in SEEN_BY_CHILDREN)


def test_an_input_is_found_again_by_its_number(seeds):
    assert draw_input(7, seeds) == draw_input(7, seeds)
    assert draw_input(7, seeds) != draw_input(8, seeds)


def test_mended_checksums_let_damage_through_to_the_decoder(seeds):
    png = bytearray(seeds["PNG grey"])
    png[20] ^= 1  # the width
    assert mend_checksums(bytes(png)) != bytes(png)
    assert mend_checksums(seeds["PNG grey"]) == seeds["PNG grey"]
