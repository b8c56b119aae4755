"""Measure the gate on the half of the real films and photographs that it was not fitted on, where they are."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tbconv.contract.xray import RejectionReason, open_film
from tf_serve.gate.rules import refuse

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.gate import opened  # noqa: E402
from benchmarks.gate_films import FILM_FOLDERS, MASKS, PHOTOGRAPHS, Part, list_pictures, part_of  # noqa: E402
from benchmarks.gate_pictures import FAMILIES  # noqa: E402
from benchmarks.gate_source import Source  # noqa: E402

EVERY = {"kermany": 5}  # of the large folder every fifth film; python -m benchmarks.gate takes all
REPORTED = {"delhi": 50, "kermany": 513, "nih": 397, "openist/image": 122, "rahman": 125, "tbx11k": 300}
MOST_FILMS, LEAST_OTHERS = 0.02, 0.95  # the bars
EACH = 40  # pictures a family; python -m benchmarks.gate draws 200


def kept(shared, folder, most=None):
    """The bytes of the files that neither the weights nor the threshold saw."""
    files = (path.read_bytes() for path in list_pictures(shared / folder))
    return [data for data in files if part_of(data) is Part.REPORT][:most]


@pytest.mark.parametrize("folder", FILM_FOLDERS)
def test_of_each_folders_unseen_films_at_most_two_in_a_hundred_are_refused(shared, folder):
    films = kept(shared, folder)[:: EVERY.get(folder, 1)]
    refused = sum(refuse(open_film(data)) is not None for data in films)
    assert len(films) == REPORTED[folder]
    assert refused <= MOST_FILMS * len(films)


def test_at_least_26_of_the_27_photographs_are_refused_and_those_kept_apart_are_counted(shared):
    found = {path.name: refuse(open_film(path.read_bytes())) for path in list_pictures(shared / PHOTOGRAPHS)}
    assert len(found) == 27
    assert sum(refusal is not None for refusal in found.values()) >= 26
    apart = [refuse(open_film(data)) for data in kept(shared, PHOTOGRAPHS)]
    assert (len(apart), apart.count(None)) == (19, 0)
    assert RejectionReason.NOT_A_CHEST_FILM in apart  # the grey ones: no rule about colour knows them


@pytest.fixture(scope="module")
def source():
    """Films, photographs and masks that the gate was not fitted on."""
    root = ROOT.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip("the real films of ../shared/data are not on this machine")
    pixels = {name: tuple(open_film(data).pixels for data in kept(root, name, 40)) for name in FILM_FOLDERS}
    photographs, masks = (tuple(open_film(data).pixels for data in kept(root, name)) for name in (PHOTOGRAPHS, MASKS))
    return Source(tuple(pixels.values()), photographs, masks)


@pytest.mark.parametrize("family", FAMILIES)
def test_at_least_95_in_a_hundred_of_each_family_are_refused(source, family):
    rng = np.random.default_rng(len(family))
    found = [refuse(opened(FAMILIES[family](rng, source))) for _ in range(EACH)]
    assert EACH - found.count(None) >= LEAST_OTHERS * EACH


def test_the_upside_down_film_and_the_ct_slice_that_the_data_hold_are_found(shared):
    wrong = ("nih/Normal/00003490_011.jpg", "rahman/Tuberculosis/Tuberculosis-355.jpg")
    found = [refuse(open_film((shared / name).read_bytes())) for name in wrong]
    assert found == [RejectionReason.TURNED, RejectionReason.NOT_A_CHEST_FILM]
