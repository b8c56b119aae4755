import shutil
from pathlib import Path

import pytest

from tbconv.contract.errors import ConfigError, DataError
from torch_train.data.index import read_index

SHARED = Path(__file__).resolve().parents[4] / "shared/data"
needs_real_films = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real films at {SHARED}")


def test_users_layout_takes_the_label_from_ptb_and_the_site_from_county(users_set):
    index = read_index(users_set)
    assert index.labels.names == ("normal", "tuberculosis")
    assert [(film.path.name, film.label) for film in index.films] == [
        ("1000.png", 0), ("1001.png", 0), ("1002.png", 1), ("1003.png", 1)
    ]  # fmt: skip
    assert [film.site for film in index.films] == ["Shenxhen", "Shenxhen", "Montgomery", "Montgomery"]
    assert [(film.age, film.sex) for film in index.films] == [(31, "M"), (1, "F"), (1.333, "O"), (35, "M")]
    assert index.films[0].mask == users_set / "mask/1000.png"
    assert not index.synthetic


def test_users_layout_is_found_inside_nested_folders(users_set, tmp_path):
    nested = tmp_path / "download/Chest-X-Ray/Chest-X-Ray"
    shutil.copytree(users_set, nested)
    index = read_index(tmp_path / "download")
    assert (index.root, len(index.films)) == (nested, 4)


@pytest.mark.parametrize("label", ["", "NaN", "2", "yes"])
def test_users_layout_names_the_rows_whose_label_is_none(users_set, label):
    table = users_set / "MetaData.csv"
    table.write_text(table.read_text().replace("Montgomery,1,left PTB", f"Montgomery,{label},left PTB"))
    with pytest.raises(DataError, match="1002") as caught:
        read_index(users_set)
    assert "ptb" in caught.value.what


def test_users_layout_names_the_films_that_the_table_has_and_the_folder_lacks(users_set):
    (users_set / "image/1001.png").unlink()
    with pytest.raises(DataError, match=r"names 1 films that are not in image/: 1001"):
        read_index(users_set)


def test_users_layout_refuses_an_id_that_occurs_twice(users_set):
    with (users_set / "MetaData.csv").open("a") as file:
        file.write("1003,male,35,Montgomery,0,\n")
    with pytest.raises(DataError, match="more than once: 1003"):
        read_index(users_set)


def test_users_layout_counts_films_without_a_row(users_set, write_film):
    write_film(users_set / "image/2000.png", 2000)
    assert "1 films have no row" in read_index(users_set).notes[0]


def test_class_folders_guess_the_positive_class_and_say_so(class_folders):
    index = read_index(class_folders)
    assert (index.labels.names, index.count(0), index.count(1)) == (("Normal", "Tuberculosis"), 5, 5)
    assert any("guessed" in note for note in index.notes)


def test_class_folders_obey_positive_in_any_case(class_folders):
    index = read_index(class_folders, positive="normal")
    assert index.labels.names == ("Tuberculosis", "Normal")
    assert not any("guessed" in note for note in index.notes)


@pytest.mark.parametrize(("first", "second", "positive"), [
    ("NORMAL", "PNEUMONIA", "PNEUMONIA"), ("healthy", "class_b", "class_b"), ("abnormal", "normal", "abnormal"),
    ("No Tuberculosis", "Tuberculosis", "Tuberculosis"), ("0", "1", "1"), ("TB", "other", "TB"),
])  # fmt: skip
def test_well_known_names_tell_which_class_is_positive(tmp_path, write_film, first, second, positive):
    write_film(tmp_path / first / "a.png", 1)
    write_film(tmp_path / second / "b.png", 2)
    assert read_index(tmp_path).labels.positive == positive


def test_class_folders_ask_for_positive_where_names_say_nothing(tmp_path, write_film):
    write_film(tmp_path / "ward_a/a.png", 1)
    write_film(tmp_path / "ward_b/b.png", 2)
    with pytest.raises(DataError) as caught:
        read_index(tmp_path)
    assert "--positive 'ward_b'" in caught.value.fix
    assert read_index(tmp_path, positive="ward_b").labels.names == ("ward_a", "ward_b")


def test_positive_that_is_no_class_is_a_wrong_option(class_folders, users_set):
    with pytest.raises(ConfigError, match="Measles"):
        read_index(class_folders, positive="Measles")
    with pytest.raises(ConfigError, match="normal"):
        read_index(users_set, positive="normal")


def test_class_folders_refuse_one_class_and_three(class_folders, write_film, tmp_path):
    write_film(class_folders / "Measles/m.png", 1)
    with pytest.raises(DataError, match="3 classes"):
        read_index(class_folders)
    write_film(tmp_path / "one/Normal/a.png", 1)
    with pytest.raises(DataError, match="only one class: 'Normal'"):
        read_index(tmp_path / "one")


def test_parts_of_a_split_are_kept_and_not_taken_for_classes(tmp_path, write_film):
    for part in ("train", "test"):
        write_film(tmp_path / part / "NORMAL/a.png", 1)
        write_film(tmp_path / part / "PNEUMONIA/b.png", 2)
    index = read_index(tmp_path)
    assert index.labels.names == ("NORMAL", "PNEUMONIA")
    assert [(film.part, film.label) for film in index.films] == [("test", 0), ("test", 1), ("train", 0), ("train", 1)]


def test_nlm_names_give_label_site_age_and_sex(tmp_path, write_film):
    write_film(tmp_path / "CXR_png/CHNCXR_0001_0.png", 1)
    write_film(tmp_path / "CXR_png/MCUCXR_0002_1.png", 2)
    readings = tmp_path / "ClinicalReadings"
    readings.mkdir()
    (readings / "CHNCXR_0001_0.txt").write_text("male 45yrs\nnormal")
    (readings / "MCUCXR_0002_1.txt").write_text("Patient's Sex: F\nPatient's Age: 027Y\ncavity")
    films = read_index(tmp_path).films
    found = [(film.label, film.site, film.age, film.sex) for film in films]
    assert found == [(0, "Shenzhen", 45, "M"), (1, "Montgomery", 27, "F")]


def test_a_table_wins_over_the_folders_it_names(class_folders, write_table):
    write_table(
        class_folders / "index.csv",
        ("File", "Label", "patient_id", "site", "age", "sex"),
        ("Normal/n0.png", "Tuberculosis", "p1", "A", "40", "F"),
        ("Tuberculosis/t0.png", "Normal", "p1", "", "nan", ""),
    )
    index = read_index(class_folders)
    assert [(film.label, film.patient) for film in index.films] == [(1, "p1"), (0, "p1")]
    assert (index.films[0].site, index.films[1].site, index.films[1].age) == ("A", None, None)
    assert index.patients_known


def test_a_table_counts_films_without_a_row(class_folders, write_table):
    rows = [("Normal/n0.png", "Normal"), ("Tuberculosis/t0.png", "TB")]
    write_table(class_folders / "index.csv", ("file", "label"), *rows)
    [note] = [note for note in read_index(class_folders).notes if "no row" in note]
    assert note.startswith("8 films have no row in index.csv and are left out: Normal/n1.png")


def test_a_table_names_the_files_that_are_not_there(class_folders, write_table):
    write_table(class_folders / "index.csv", ("file", "label"), ("Normal/n0.png", "Normal"), ("gone.png", "TB"))
    with pytest.raises(DataError, match=r"1 files that are not there: gone\.png"):
        read_index(class_folders)


def test_a_table_names_the_rows_without_a_label(class_folders, write_table):
    write_table(class_folders / "index.csv", ("file", "label"), ("Normal/n0.png", "Normal"), ("Normal/n1.png", "NaN"))
    with pytest.raises(DataError, match=r"1 rows without a file or label: Normal/n1\.png"):
        read_index(class_folders)


def test_missing_and_empty_folders_and_films_without_labels_are_stated(tmp_path, write_film):
    with pytest.raises(DataError, match="is not a folder"):
        read_index(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no PNG, JPEG or DICOM film"):
        read_index(tmp_path)
    write_film(tmp_path / "a.png", 1)
    with pytest.raises(DataError, match="films and no labels"):
        read_index(tmp_path)


@needs_real_films
@pytest.mark.parametrize(
    ("name", "negatives", "positives"), [("delhi", 52, 52), ("rahman", 200, 30), ("nih", 400, 400)]
)
def test_real_sets_are_read_as_published(name, negatives, positives):
    index = read_index(SHARED / name)
    assert (index.count(0), index.count(1)) == (negatives, positives)


@needs_real_films
def test_the_real_label_file_of_the_users_is_read_whole(tmp_path):
    (tmp_path / "image").mkdir()
    for number in range(1000, 1704):
        (tmp_path / "image" / f"{number}.png").touch()
    shutil.copy(SHARED / "kaggle704_MetaData.csv", tmp_path / "MetaData.csv")
    index = read_index(tmp_path)
    assert (index.count(0), index.count(1)) == (359, 345)
    assert all(film.age is not None and film.sex for film in index.films)
    assert sum(film.age < 15 for film in index.films) == 31
