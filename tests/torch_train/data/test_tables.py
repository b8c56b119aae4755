import csv
import gzip
import io
import zipfile

import pytest

from tbconv.contract.errors import DataError, SetupError
from torch_train.data.index import read_index
from torch_train.data.tables import find_separator, key_of, stem_of_name

ROWS = (("file", "label", "patient_id"), ("Jürgen.png", "Tuberculosis", "1"), ("b.png", "Normal", "2"))


def text_of(rows, separator):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue()


@pytest.fixture
def films(tmp_path, write_film):
    write_film(tmp_path / "films/Jürgen.png", 1)
    write_film(tmp_path / "films/b.png", 2)
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_usual_separator_and_encoding_is_read(films, separator, encoding):
    (films / "table.csv").write_bytes(text_of(ROWS, separator).encode(encoding))
    index = read_index(films)
    assert [(film.path.name, film.label, film.patient) for film in index.films] == [
        ("Jürgen.png", 1, "1"), ("b.png", 0, "2"),
    ]  # fmt: skip


def test_the_separator_that_excel_writes_first_is_obeyed(films):
    (films / "table.csv").write_text("sep=;\n" + text_of(ROWS, ";"), encoding="utf-8")
    assert len(read_index(films).films) == 2


@pytest.mark.parametrize(
    "column", ["filename", "File Name", "image", "path", "Image Index", "ImageID", "img_path", "fname"]
)
@pytest.mark.parametrize("label", ["label", "Class", "target", "diagnosis", "TB"])
def test_columns_go_by_any_usual_name(films, column, label):
    (films / "t.csv").write_text(text_of(((column, label), ("b.png", 0), ("Jürgen.png", 1)), ","), encoding="utf-8")
    index = read_index(films)
    assert [(film.path.name, film.label) for film in index.films] == [("Jürgen.png", 1), ("b.png", 0)]


@pytest.mark.parametrize("cell", [
    "b.png", "b", "films/b.png", "films\\b.png", "C:\\exports\\b.png", "/data/x/films/b.png", "./films/b", "B.PNG",
    "b.dcm",
])  # fmt: skip
def test_a_cell_names_a_film_with_or_without_folder_and_suffix(films, cell):
    (films / "t.csv").write_text(
        text_of((("file", "label"), (cell, "Normal"), ("Jürgen.png", "TB")), ","), encoding="utf-8"
    )
    assert {film.path.name: film.label for film in read_index(films).films} == {"b.png": 0, "Jürgen.png": 1}


def test_a_path_never_means_the_film_of_another_folder(tmp_path, write_film, write_table):
    for patient in (1, 2):
        write_film(tmp_path / f"p{patient}/study/view.png", patient)
    rows = [(f"p{patient}/study/view.png", label) for patient, label in ((1, "TB"), (2, "Normal"), (3, "TB"))]
    write_table(tmp_path / "t.csv", ("path", "label"), *rows)
    with pytest.raises(DataError, match=r"1 files that are not there: p3/study/view\.png"):
        read_index(tmp_path)


def test_a_name_that_two_films_have_is_refused(tmp_path, write_film, write_table):
    for folder in ("a", "b"):
        write_film(tmp_path / folder / "1.png", 1)
    write_film(tmp_path / "a/2.png", 2)
    write_table(tmp_path / "t.csv", ("file", "label"), ("1.png", "TB"), ("2.png", "Normal"))
    with pytest.raises(DataError, match=r"there more than once: 1\.png \(a/1\.png and b/1\.png\)"):
        read_index(tmp_path)


def test_a_table_that_names_films_without_a_known_label_is_said_and_not_passed_over(tmp_path, write_film, write_table):
    for number in range(4):
        write_film(tmp_path / f"images_00{number % 2}/{number}.png", number)
    write_table(tmp_path / "t.csv", ("file", "verdict of the board"), *((f"{number}.png", "?") for number in range(4)))
    with pytest.raises(DataError, match="4 films and no labels") as caught:
        read_index(tmp_path)
    assert "verdict of the board" in caught.value.why
    assert "images_00" not in caught.value.fix


def test_a_column_of_zeros_and_ones_is_a_finding_that_label_names(films):
    rows = (("image", "Effusion", "Nodule"), ("b.png", 0, 1), ("Jürgen.png", 1, 0))
    (films / "t.csv").write_text(text_of(rows, ","), encoding="utf-8")
    index = read_index(films, label="nodule")
    assert {film.path.name: film.label for film in index.films} == {"b.png": 1, "Jürgen.png": 0}


def test_a_split_column_marks_the_test_part(films):
    rows = (("image", "label", "split"), ("b.png", 0, "Test"), ("Jürgen.png", 1, "training"))
    (films / "t.csv").write_text(text_of(rows, ","), encoding="utf-8")
    assert {film.path.name: film.part for film in read_index(films).films} == {"b.png": "test", "Jürgen.png": "train"}


def test_a_spreadsheet_is_read(films):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in ROWS:
        book.active.append(row)
    book.save(films / "table.xlsx")
    assert [film.label for film in read_index(films).films] == [1, 0]


def test_a_spreadsheet_that_cannot_be_read_says_what_to_do(films, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with zipfile.ZipFile(films / "table.xlsx", "w") as sheet:
        sheet.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(SetupError, match=r"table\.xlsx is a spreadsheet") as caught:
        read_index(films)
    assert "CSV" in caught.value.fix


def test_small_rules_of_names():
    assert (key_of("Image Index"), key_of("patient_ID"), key_of("Père")) == ("imageindex", "patientid", "père")
    assert [stem_of_name(name) for name in ("a.png", "1.2.840.113", "1000.0", "x.dicom")] == [
        "a",
        "1.2.840.113",
        "1000",
        "x",
    ]
    assert find_separator('a;b\n"x,y";2\n') == ";"


def test_a_line_of_any_length_is_read(films):
    rows = (*((*row, "remarks") for row in ROWS[:1]), *((*row, "x" * 200_000) for row in ROWS[1:]))
    (films / "t.csv").write_text(text_of(rows, ";"), encoding="utf-8")
    assert [film.label for film in read_index(films).films] == [1, 0]


@pytest.mark.parametrize(("name", "data"), [
    ("long.csv", b'a,"' + b"x" * (1 << 24) + b'x"\n'),
    ("packed.csv.gz", gzip.compress(bytes(1000), mtime=0)[:10] + b"\xff" * 40),
], ids=["long", "packed"])  # fmt: skip
def test_a_table_that_cannot_be_read_is_no_traceback(class_folders, name, data):
    (class_folders / name).write_bytes(data)
    assert any(f"{name} " in note and "not looked at for labels" in note for note in read_index(class_folders).notes)


def test_a_table_without_a_header_is_read(films):
    (films / "t.csv").write_text("b.png;0\nJürgen.png;1\n", encoding="latin-1")
    assert {film.path.name: film.label for film in read_index(films).films} == {"b.png": 0, "Jürgen.png": 1}


def test_tables_of_the_parts_of_a_split_are_one_set(tmp_path, write_film, write_table):
    for number in range(6):
        write_film(tmp_path / f"films/{number}.png", number)
    write_table(tmp_path / "train.csv", ("image", "label"), *((f"{number}.png", number % 2) for number in range(4)))
    write_table(tmp_path / "test.csv", ("filename", "class"), ("4.png", 0), ("5.png", 1))
    index = read_index(tmp_path)
    assert [(film.label, film.part) for film in index.films] == [
        (0, "train"), (1, "train"), (0, "train"), (1, "train"), (0, "test"), (1, "test"),
    ]  # fmt: skip


@pytest.mark.parametrize(("negative", "positive"), [("0.0", "1.0"), ("no", "yes"), ("NORMAL", "Tb"), ("non-TB", "TB")])
def test_labels_go_by_any_usual_value_in_any_case(films, negative, positive):
    rows = (("file", "label"), ("b.png", negative), ("Jürgen.png", positive))
    (films / "t.csv").write_text(text_of(rows, ","), encoding="utf-8")
    assert {film.path.name: film.label for film in read_index(films).films} == {"b.png": 0, "Jürgen.png": 1}


def test_one_class_in_two_spellings_is_one_class(tmp_path, write_film, write_table):
    rows = (("a", "normal"), ("b", "Normal"), ("c", "TB"), ("d", "tb"), ("e", "Normal"))
    for number, (name, _) in enumerate(rows):
        write_film(tmp_path / f"{name}.png", number)
    write_table(tmp_path / "t.csv", ("file", "label"), *rows)
    index = read_index(tmp_path)
    assert (index.labels.negative, index.count(0), index.count(1)) == ("Normal", 3, 2)


def test_classes_inside_the_folders_of_patients_are_found(tmp_path, write_film):
    for number in range(6):
        write_film(tmp_path / f"doe{number}/{('Normal', 'Tuberculosis')[number % 2]}/a.png", number)
    assert [film.label for film in read_index(tmp_path).films] == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("positive", ["Patients", "patient", "Subjects", "Study"])
@pytest.mark.parametrize("around", ["", "data/", "Cases/"])
def test_a_folder_of_patients_beside_one_of_controls_is_a_class(tmp_path, write_film, positive, around):
    for number in range(4):
        write_film(tmp_path / f"{around}{('Control', positive)[number % 2]}/{number}.png", number)
    index = read_index(tmp_path)
    assert (index.labels.names, [film.label for film in index.films]) == (("Control", positive), [0, 0, 1, 1])


@pytest.mark.parametrize("folder", ["Patients", "patient1", "subject_b", "study 3"])
def test_a_folder_of_patients_around_everything_is_no_class(tmp_path, write_film, folder):
    for number in range(4):
        write_film(tmp_path / f"{folder}/{('Normal', 'TB')[number % 2]}/{number}.png", number)
    assert [film.label for film in read_index(tmp_path).films] == [0, 0, 1, 1]
    write_film(tmp_path / f"bare/{folder}/1.png", 1)
    with pytest.raises(DataError, match="no labels"):
        read_index(tmp_path / "bare")


def test_a_table_of_no_labels_whose_numbers_mean_two_films_is_passed_over_and_said(tmp_path, write_film, write_table):
    for number in range(6):
        write_film(tmp_path / ("Normal", "TB")[number % 2] / f"{number // 2}.png", number)
    write_table(tmp_path / "log.csv", ("id", "loss", "note"), *((number, 0.5, "x") for number in range(3)))
    index = read_index(tmp_path)
    assert [film.label for film in index.films] == [0, 0, 0, 1, 1, 1]
    assert any(note.startswith("log.csv names 3 films that are there more than once") for note in index.notes)


def test_a_column_of_paths_is_taken_where_one_of_numbers_means_two_films(tmp_path, write_film, write_table):
    rows = [(number // 2, f"{'ab'[number % 2]}/{number // 2}.png", ("Normal", "TB")[number % 2]) for number in range(4)]
    for number, (_, name, _) in enumerate(rows):
        write_film(tmp_path / name, number)
    write_table(tmp_path / "t.csv", ("id", "file", "label"), *rows)
    assert [film.label for film in read_index(tmp_path).films] == [0, 0, 1, 1]
