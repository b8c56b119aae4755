import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import Silence
from torch_train.data.report import check_data, draw_report


@pytest.fixture
def report_of():
    def report(root, patient=None):
        return check_data(root, patient=patient, positive=None, labels_from_masks=False, reporter=Silence())

    return report


@pytest.fixture
def odd_set(class_folders):
    """A set with one of each: damage, 16 bits, colour, an exact copy of another class, a near copy."""
    normal, sick = class_folders / "Normal", class_folders / "Tuberculosis"
    (normal / "empty.png").touch()
    whole = (normal / "n0.png").read_bytes()
    (normal / "cut.png").write_bytes(whole[: len(whole) // 2])
    grey = np.asarray(Image.open(normal / "n1.png")).astype(np.uint16)
    Image.fromarray(grey[::-1] * 257).save(normal / "deep.png")
    Image.open(normal / "n2.png").transpose(Image.Transpose.ROTATE_90).convert("RGB").save(normal / "colour.jpg")
    shutil.copy(normal / "n3.png", sick / "copy.png")
    Image.open(sick / "t0.png").save(sick / "again.jpg", quality=60)
    return class_folders


def test_the_report_names_damage_with_its_reason(odd_set, report_of):
    unreadable = dict(report_of(odd_set).unreadable)
    assert set(unreadable) == {"Normal/cut.png", "Normal/empty.png"}
    assert "empty" in unreadable["Normal/empty.png"]


def test_the_report_counts_depths_modes_and_formats(odd_set, report_of):
    report = report_of(odd_set)
    assert report.bit_depths == {"8": 13, "16": 1}
    assert report.formats == {"PNG": 12, "JPEG": 2}
    assert report.modes == {"L": 12, "RGB": 1, "I;16": 1}


def test_the_report_names_copies_and_those_with_both_labels(odd_set, report_of):
    duplicates = report_of(odd_set).duplicates
    assert duplicates.exact == (("Normal/n3.png", "Tuberculosis/copy.png"),)
    assert duplicates.near == (("Tuberculosis/again.jpg", "Tuberculosis/t0.png"),)
    assert duplicates.conflicting == duplicates.exact


def test_the_report_warns_of_what_would_spoil_a_result(odd_set, report_of):
    warnings = " | ".join(report_of(odd_set).warnings)
    for part in ("2 films cannot be read", "occur with both labels", "smaller than 224", "one film is"):
        assert part in warnings


def test_the_report_warns_where_brightness_tells_the_class(class_folders, report_of, film):
    for number in range(5):
        pixels = np.asarray(film(number)) // 4
        Image.fromarray(pixels).save(class_folders / f"Normal/n{number}.png")
    report = report_of(class_folders)
    assert report.alone["brightness"] == 1.0
    assert any("brightness alone" in warning for warning in report.warnings)


def test_the_report_counts_sites_ages_sexes_and_masks(users_set, report_of):
    report = report_of(users_set)
    assert report.sites["Montgomery"] == {"normal": 0, "tuberculosis": 2}
    assert report.ages["normal"] == {"known": 2, "minimum": 1.0, "median": 16.0, "maximum": 31.0}
    assert report.sexes["tuberculosis"] == {"O": 1, "M": 1}
    assert (report.masks.films_with, report.masks.films_without) == (4, 0)


def test_the_report_counts_patients_with_several_films(class_folders, report_of):
    patients = report_of(class_folders, patient=r"(\d)").patients
    assert (patients.patients, patients.with_several_films, patients.of_both_classes) == (5, 5, 5)


def test_the_report_is_json_without_pixels(odd_set, report_of):
    value = json.loads(json.dumps(report_of(odd_set).to_json(), allow_nan=False))
    assert value["classes"] == {"Normal": 7, "Tuberculosis": 7}
    assert value["labels"] == {"negative": "Normal", "positive": "Tuberculosis"}
    assert value["duplicates"]["exact"] == [["Normal/n3.png", "Tuberculosis/copy.png"]]
    assert "loaded" not in value


@pytest.mark.parametrize("kind", ["odd_set", "users_set"])
def test_the_figure_is_one_png(kind, request, report_of, tmp_path):
    draw_report(report_of(request.getfixturevalue(kind)), tmp_path / "out/figure.png")
    with Image.open(tmp_path / "out/figure.png") as figure:
        assert (figure.format, figure.size) == ("PNG", (1800, 1000))
