"""The public sets in the layouts that they are downloaded in: real names, real side files, drawn films."""

import csv
import gzip
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.errors import ConfigError, DataError
from torch_train.data.index import read_index
from torch_train.data.public import LATERAL, LATERAL_NAME

CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
VINDR = ("Aortic enlargement", "Cardiomegaly", "Pneumonia", "Tuberculosis", "Other diseases", "No finding")


def draw(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8)
    Image.fromarray(pixels).save(path)


def table(path, header, *rows, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows((header, *rows))
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def told(index):
    return {film.path.stem: film.label for film in index.films}


def patients(index):
    return {film.path.stem: film.patient for film in index.films}


def parts(index):
    return {film.path.stem: film.part for film in index.films}


# --- NIH ChestX-ray14 ---


@pytest.fixture
def nih(tmp_path):
    header = (
        "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position",
        "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", "",
    )  # fmt: skip
    rows = [
        ("00000001_000.png", "Cardiomegaly", 0, 1, "058Y", "M", "PA", 2682, 2749, 0.143, 0.143, ""),
        ("00000001_001.png", "Cardiomegaly|Emphysema", 1, 1, "058Y", "M", "PA", 2894, 2729, 0.143, 0.143, ""),
        ("00000002_000.png", "No Finding", 0, 2, "081Y", "F", "PA", 2500, 2048, 0.171, 0.171, ""),
        ("00000003_000.png", "Hernia", 0, 3, "81", "F", "AP", 2582, 2991, 0.143, 0.143, ""),
        ("00000004_000.png", "No Finding", 0, 4, "012M", "M", "AP", 2582, 2991, 0.143, 0.143, ""),
        ("00009999_000.png", "Pneumonia", 0, 9999, "44", "M", "AP", 2582, 2991, 0.143, 0.143, ""),
    ]
    table(tmp_path / "Data_Entry_2017.csv", header, *rows)
    box = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", "")
    table(tmp_path / "BBox_List_2017.csv", box, ("00000001_000.png", "Cardiomegaly", 225, 547, 86, 79, "", "", ""))
    for number, row in enumerate(rows[:5]):
        draw(tmp_path / f"images_00{1 + number % 2}/images" / row[0], number)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n00000002_000.png\n")
    (tmp_path / "test_list.txt").write_text("00000003_000.png\n00000004_000.png\n")
    (tmp_path / "README_CHESTXRAY.pdf").write_bytes(b"%PDF-1.4")
    return tmp_path


def test_any_finding_is_a_positive_class_and_the_healthy_name_is_not_proposed(nih):
    plain = read_index(nih)
    assert plain.labels.positive == "any finding"
    for options in ({"positive": "any finding"}, {"label": "Any finding", "negative": "No Finding"}):
        index = read_index(nih, **options)
        assert (index.labels, told(index)) == (plain.labels, told(plain))
    with pytest.raises(ConfigError) as caught:
        read_index(nih, positive="Findings")
    assert "No Finding" not in caught.value.fix
    assert caught.value.fix.startswith('--positive "')


def test_nih_reads_findings_patients_ages_and_its_own_split(nih):
    index = read_index(nih)
    assert index.labels.names == ("No Finding", "any finding")
    assert told(index) == {
        "00000001_000": 1, "00000001_001": 1, "00000002_000": 0, "00000003_000": 1, "00000004_000": 0,
    }  # fmt: skip
    assert patients(index)["00000001_000"] == patients(index)["00000001_001"] == "1"
    assert index.patients_known
    assert {film.path.stem: film.age for film in index.films}["00000004_000"] == 1.0
    assert parts(index)["00000003_000"] == parts(index)["00000004_000"] == "test"
    assert parts(index)["00000001_000"] == "train"
    assert any(
        "1 films of Data_Entry_2017.csv are not in this folder: 00009999_000.png" in note for note in index.notes
    )


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".PNG", ""])
def test_the_test_part_of_nih_is_known_under_any_suffix(nih, suffix):
    for path in nih.rglob("0*.png"):
        Image.open(path).save(path, "JPEG" if suffix.lower().startswith(".j") else "PNG")
        path.rename(path.with_suffix(suffix))
    (nih / "README_CHESTXRAY.pdf").unlink()
    (nih / "BBox_List_2017.csv").unlink()
    found = parts(read_index(nih, strict=True))
    assert found == {
        "00000001_000": "train", "00000001_001": "train", "00000002_000": "train", "00000003_000": "test",
        "00000004_000": "test",
    }  # fmt: skip


def test_lists_are_read_as_people_write_them_and_the_test_part_wins(nih):
    (nih / "test_list.txt").write_text("\ufeffimages\\00000003_000.PNG 0 1\r\n00000004_000\r\n", encoding="utf-8")
    (nih / "train_val_list.txt").write_text("00000004_000.png\n00000001_000.png,1\n")
    found = parts(read_index(nih))
    assert (found["00000003_000"], found["00000004_000"], found["00000001_000"]) == ("test", "test", "train")


def test_a_list_of_films_that_are_not_here_is_said(nih):
    (nih / "test_list.txt").write_text("x1.png\nx2.png\n")
    notes = [note for note in read_index(nih).notes if "none of them is here" in note]
    assert notes == ["test_list.txt lists 2 films, and none of them is here: x1.png, x2.png"]


def test_nih_tells_one_finding_from_all_others_or_from_no_finding(nih):
    one = read_index(nih, label="Cardiomegaly")
    assert (one.labels.names, one.count(1), one.count(0)) == (("no Cardiomegaly", "Cardiomegaly"), 2, 3)
    two = read_index(nih, label="cardiomegaly", negative="no finding")
    assert (two.labels.names, two.count(1), two.count(0)) == (("No Finding", "Cardiomegaly"), 2, 2)
    assert any("1 films have neither 'Cardiomegaly' nor 'No Finding'" in note for note in two.notes)


def test_a_finding_that_is_none_proposes_the_nearest_and_never_a_folder(nih):
    with pytest.raises(ConfigError) as caught:
        read_index(nih, label="Cardiomegalie")
    assert caught.value.fix.startswith('--label "Cardiomegaly"')
    assert "images_00" not in str(caught.value.why) + str(caught.value.fix)


def test_nih_without_its_table_is_told_what_is_missing_and_never_to_train_on_an_archive_part(nih):
    (nih / "Data_Entry_2017.csv").unlink()
    (nih / "BBox_List_2017.csv").unlink()
    with pytest.raises(DataError, match="5 films and no labels") as caught:
        read_index(nih)
    assert "images_00" not in caught.value.fix + caught.value.why


# --- CheXpert, MIMIC-CXR-JPG, BRAX: one column a finding, 1, 0, -1 and blank ---


def findings(**states):
    return [states.get(name.replace(" ", "_"), "") for name in CHEXPERT]


@pytest.fixture
def chexpert(tmp_path):
    root = tmp_path / "CheXpert-v1.0-small"
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT)

    def row(part, patient, study, view, side, **states):
        place = f"CheXpert-v1.0-small/{part}/patient{patient}/study{study}/view{view}.jpg"
        draw(tmp_path / place, int(patient) + study)
        return (place, "Female", 68, side, "AP" if side == "Frontal" else "", *findings(**states))

    table(
        root / "train.csv",
        header,
        row("train", "00001", 1, "1_frontal", "Frontal", No_Finding="1.0", Support_Devices="1.0"),
        row("train", "00002", 1, "1_frontal", "Frontal", Pneumonia="1.0", Edema="-1.0"),
        row("train", "00002", 2, "1_frontal", "Frontal", Pneumonia="-1.0"),
        row("train", "00002", 2, "2_lateral", "Lateral", Pneumonia="-1.0"),
        row("train", "00003", 1, "1_frontal", "Frontal", Support_Devices="1.0"),
        row("train", "00004", 1, "1_frontal", "Frontal", Cardiomegaly="0.0", Pneumonia="0.0", Edema="1.0"),
    )
    table(root / "valid.csv", header, row("valid", "64541", 1, "1_frontal", "Frontal", Cardiomegaly="1.0"))
    return tmp_path


def by_place(index):
    return {"/".join(film.path.parts[-3:-1]): film.label for film in index.films}


def test_chexpert_reads_frontal_films_and_leaves_the_uncertain_out(chexpert):
    index = read_index(chexpert)
    assert by_place(index) == {
        "patient00001/study1": 0, "patient00002/study1": 1, "patient00004/study1": 1, "patient64541/study1": 1,
    }  # fmt: skip
    assert {film.patient for film in index.films} == {"patient00001", "patient00002", "patient00004", "patient64541"}
    assert {film.part for film in index.films} == {"train", "validation"}
    notes = " | ".join(index.notes)
    for part in ("1 films are not frontal", "1 films are uncertain", "1 films have neither"):
        assert part in notes


@pytest.mark.parametrize(("policy", "label"), [("leave-out", None), ("positive", 1), ("negative", 0)])
def test_uncertain_labels_follow_the_stated_policy(chexpert, policy, label):
    index = read_index(chexpert, label="Pneumonia", uncertain=policy)
    assert by_place(index).get("patient00002/study2") == label
    assert any(f"--uncertain {policy}" in note for note in index.notes)


@pytest.fixture
def mimic(tmp_path):
    films = {
        "02aa804e-bde0afdd": ("10000032", "50414267", "PA", "train"),
        "174413ec-4ec4c1f7": ("10000032", "50414267", "LATERAL", "train"),
        "2a2277a9-b0ded155": ("10000032", "53189527", "AP", "validate"),
        "68b5c4b1-227d0485": ("10000764", "57375967", "AP", "test"),
    }
    for number, (name, (subject, study, _, _)) in enumerate(films.items()):
        draw(tmp_path / f"files/p{subject[:2]}/p{subject}/s{study}/{name}.jpg", number)
    label_header = ("subject_id", "study_id", *sorted(CHEXPERT))
    states = {"50414267": {"No Finding": "1.0"}, "53189527": {"Pneumonia": "1.0"}, "57375967": {"Edema": "1.0"}}
    rows = [
        (subject, study, *(states[study].get(name, "") for name in sorted(CHEXPERT)))
        for subject, study in (("10000032", "50414267"), ("10000032", "53189527"), ("10000764", "57375967"))
    ]
    table(tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz", label_header, *rows)
    table(tmp_path / "mimic-cxr-2.0.0-negbio.csv.gz", label_header, *rows)
    split = [(name, study, subject, part) for name, (subject, study, _, part) in films.items()]
    table(tmp_path / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), *split)
    header = ("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows")
    meta = [(name, subject, study, "CHEST", view, 3056) for name, (subject, study, view, _) in films.items()]
    table(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", header, *meta)
    (tmp_path / "SHA256SUMS.txt").write_text("0" * 64 + "  LICENSE.txt\n")
    return tmp_path


def test_mimic_joins_its_packed_tables(mimic):
    index = read_index(mimic)
    assert told(index) == {"02aa804e-bde0afdd": 0, "2a2277a9-b0ded155": 1, "68b5c4b1-227d0485": 1}
    assert set(patients(index).values()) == {"10000032", "10000764"}
    assert parts(index) == {
        "02aa804e-bde0afdd": "train", "2a2277a9-b0ded155": "validation", "68b5c4b1-227d0485": "test",
    }  # fmt: skip
    assert any("1 films are not frontal" in note for note in index.notes)


def test_brax_reads_the_pictures_of_its_spreadsheet(tmp_path):
    header = (
        "DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "StudyDate", *CHEXPERT, "ViewPosition", "Rows",
        "Columns", "Manufacturer",
    )  # fmt: skip
    rows = []
    for number, (patient, view, states) in enumerate([
        ("id_0a01", "PA", {"No_Finding": "1"}), ("id_0a01", "L", {"No_Finding": "1"}),
        ("id_0b02", "AP", {"Edema": "1"}),
        ("id_0c03", "PA", {"Edema": "-1"}),
    ]):  # fmt: skip
        place = f"{patient}/Study_{number}/Series_{number}/image-{number}"
        draw(tmp_path / f"images/{place}.png", number)
        paths = (f"Anonymized_DICOMs/{place}.dcm", f"images/{place}.png")
        rows.append((*paths, patient, "F", "085 or more", "20080101", *findings(**states), view, 2000, 2000, "X"))
    table(tmp_path / "master_spreadsheet_update.csv", header, *rows)
    index = read_index(tmp_path)
    assert told(index) == {"image-0": 0, "image-2": 1}
    assert patients(index) == {"image-0": "id_0a01", "image-2": "id_0b02"}


# --- VinDr-CXR, RSNA: several rows a film ---


def test_vindr_takes_what_more_than_half_of_the_readers_saw(tmp_path):
    header, none = ("image_id", "rad_id", *VINDR), (0, 0, 0, 0, 0, 1)
    tb, heart = (0, 0, 0, 1, 0, 0), (0, 1, 0, 0, 0, 0)
    readings = {"a0": (none, none, tb), "b1": (tb, tb, heart), "c2": (heart, heart, heart)}
    rows = [(name, f"R{number}", *one) for name, three in readings.items() for number, one in enumerate(three)]
    table(tmp_path / "annotations/image_labels_train.csv", header, *rows)
    table(tmp_path / "annotations/image_labels_test.csv", ("image_id", *VINDR), ("d3", *none), ("e4", *tb))
    boxes = ("image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    table(tmp_path / "annotations/annotations_train.csv", boxes, ("b1", "R0", "Tuberculosis", 1, 1, 2, 2))
    for number, name in enumerate(("train/a0", "train/b1", "train/c2", "test/d3", "test/e4")):
        draw(tmp_path / f"{name}.png", number)
        (tmp_path / f"{name}.png").rename(tmp_path / f"{name}.dicom")
    assert told(read_index(tmp_path)) == {"a0": 0, "b1": 1, "c2": 1, "d3": 0, "e4": 1}
    index = read_index(tmp_path, label="Tuberculosis")
    assert told(index) == {"a0": 0, "b1": 1, "c2": 0, "d3": 0, "e4": 1}
    assert parts(index)["d3"] == parts(index)["e4"] == "test"


@pytest.mark.parametrize("with_classes", [True, False])
def test_rsna_reads_names_without_suffix_and_several_boxes_a_film(tmp_path, with_classes):
    names = ("0004cfab-14fd", "00436515-870c", "00313ee0-9eaa", "ffffffff-test")
    for number, name in enumerate(names):
        place = "stage_2_test_images" if "test" in name else "stage_2_train_images"
        draw(tmp_path / place / f"{name}.png", number)
        (tmp_path / place / f"{name}.png").rename(tmp_path / place / f"{name}.dcm")
    header = ("patientId", "x", "y", "width", "height", "Target")
    boxes = [
        (names[0], "", "", "", "", 0), (names[1], 264.0, 152.0, 213.0, 379.0, 1), (names[1], 562, 152, 256, 453, 1),
        (names[2], "", "", "", "", 0),
    ]  # fmt: skip
    table(tmp_path / "stage_2_train_labels.csv", header, *boxes)
    table(tmp_path / "stage_2_sample_submission.csv", ("patientId", "PredictionString"), (names[3], "0.5 0 0 100 100"))
    if with_classes:
        classes = ("No Lung Opacity / Not Normal", "Lung Opacity", "Lung Opacity", "Normal")
        rows = [(row[0], name) for row, name in zip(boxes, classes, strict=True)]
        table(tmp_path / "stage_2_detailed_class_info.csv", ("patientId", "class"), *rows)
    index = read_index(tmp_path)
    assert index.labels.names == ("no Lung Opacity", "Lung Opacity")
    assert told(index) == {names[0]: 0, names[1]: 1, names[2]: 0}
    assert patients(index)[names[1]] == names[1]
    assert any("1 films have no row" in note for note in index.notes)
    if with_classes:
        assert told(read_index(tmp_path, label="Lung Opacity", negative="Normal")) == {names[1]: 1, names[2]: 0}


# --- PadChest, TBX11K, COVID-19 Radiography ---


def test_padchest_reads_its_table_and_never_its_archive_parts(tmp_path):
    header = (
        "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM",
        "ViewPosition_DICOM", "Projection", "Pediatric", "Report", "Labels", "Localizations",
    )  # fmt: skip
    names = [f"2168401113669640122833938341520090331022588{number}_00-059-024.png" for number in range(10, 15)]
    labels = ("['normal']", "['pulmonary emphysema', 'kyphosis']", "['pneumonia']", "['exclude']", "['unchanged']")
    views = ("PA", "AP_horizontal", "L", "PA", "PA")
    rows = [
        (number, name, number % 2, 20140915, f"S{number}", f"P{number % 2}", 1934.0, "F", "POSTEROANTERIOR", view, "No",
         'dolor, "tos"', found, "[]")
        for number, (name, view, found) in enumerate(zip(names, views, labels, strict=True))
    ]  # fmt: skip
    for number, name in enumerate(names):
        draw(tmp_path / str(number % 2) / name, number)
    place = tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    table(place, header, *rows)
    index = read_index(tmp_path)
    assert index.labels.names == ("normal", "any finding")
    assert {film.path.name: film.label for film in index.films} == {names[0]: 0, names[1]: 1}
    assert [(film.patient, film.age, film.sex) for film in index.films] == [("P0", 80, "F"), ("P1", 80, "F")]
    place.unlink()
    with pytest.raises(DataError, match="5 films and no labels"):
        read_index(tmp_path)


def test_tbx11k_reads_its_folders_and_lists(tmp_path):
    root = tmp_path / "TBX11K"
    names = ("health/h0001", "health/h0002", "sick/s0001", "tb/tb0001", "tb/tb0002", "test/test_0001")
    for number, name in enumerate((*names, "extra/da+db/train/n1")):
        draw(root / f"imgs/{name}.png", number)
    (root / "lists").mkdir()
    (root / "lists/TBX11K_train.txt").write_text("health/h0001.png\nsick/s0001.png\ntb/tb0001.png\n")
    (root / "lists/TBX11K_val.txt").write_text("health/h0002.png\ntb/tb0002.png\n")
    (root / "lists/all_test.txt").write_text("test/test_0001.png\n")
    (root / "annotations/json").mkdir(parents=True)
    (root / "annotations/json/TBX11K_train.json").write_text(json.dumps({"images": []}))
    index = read_index(tmp_path)
    assert index.labels.names == ("no tb", "tb")
    assert told(index) == {"h0001": 0, "h0002": 0, "s0001": 0, "tb0001": 1, "tb0002": 1}
    assert parts(index)["tb0002"] == "validation"
    assert any("its test part has no published labels" in note for note in index.notes)
    assert set(told(read_index(tmp_path, label="tb", negative="health"))) == {"h0001", "h0002", "tb0001", "tb0002"}


def test_the_lists_of_tbx11k_are_known_under_any_suffix(tmp_path):
    for number, name in enumerate(("health/h1.jpg", "health/h2.jpg", "tb/tb1.JPG", "tb/tb2.png")):
        draw(tmp_path / f"imgs/{name}", number)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/TBX11K_train.txt").write_text("health/h1.png\ntb/tb2.png\n")
    (tmp_path / "lists/TBX11K_test.txt").write_text("health/h2.png\ntb/tb1.png\n")
    (tmp_path / "lists/TBX11K_val.txt").write_text("health/none.png\n")
    index = read_index(tmp_path, strict=True)
    assert parts(index) == {"h1": "train", "h2": "test", "tb1": "test", "tb2": "train"}
    assert "TBX11K_val.txt lists 1 films, and none of them is here: health/none.png" in index.notes


@pytest.mark.parametrize(("view", "is_lateral"), [
    ("Lateral", True), ("LAT", True), ("LLAT", True), ("AP_LAT", True), ("left lateral", True), ("L", True),
    ("LL", True), ("RL", True), ("side view", True), ("latero-lateral", True), ("laterolateral", True),
    ("laterale", True), ("decubitus", True), ("PA", False), ("AP bedside", False), ("AP_horizontal", False),
    ("Frontal", False), ("bilateral", False), ("plate", False), ("inside", False),
])  # fmt: skip
def test_words_of_a_view_that_is_not_frontal(view, is_lateral):
    assert bool(LATERAL.search(view)) == is_lateral


@pytest.mark.parametrize(("name", "is_lateral"), [
    ("view1_lateral", True), ("lateral2", True), ("LATERAL", True), ("chestLateral", True),
    ("bilateral_pneumonia_01", False), ("Bilateral", False), ("BILATERAL", False),
    ("bi-lateral", False), ("unilateral", False), ("frontal", False),
])  # fmt: skip
def test_a_bilateral_finding_in_a_name_is_no_lateral_view(name, is_lateral):
    assert bool(LATERAL_NAME.search(name)) == is_lateral


def test_covid_radiography_reads_its_folders_and_pairs_its_masks(tmp_path):
    root = tmp_path / "COVID-19_Radiography_Dataset"
    for number, name in enumerate(("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")):
        draw(root / name / f"images/{name}-1.png", number)
        draw(root / name / f"masks/{name}-1.png", number)
        with zipfile.ZipFile(root / f"{name}.metadata.xlsx", "w") as sheet:
            sheet.writestr("[Content_Types].xml", "<Types/>")
    (root / "README.md.txt").write_text("COVID-19 CHEST X-RAY DATABASE")
    index = read_index(tmp_path)
    assert index.labels.names == ("Normal", "any finding")
    assert told(index) == {"COVID-1": 1, "Lung_Opacity-1": 1, "Normal-1": 0, "Viral Pneumonia-1": 1}
    assert all(film.mask is not None and film.mask.stem == film.path.stem for film in index.films)
    assert told(read_index(tmp_path, label="covid", negative="normal")) == {"COVID-1": 1, "Normal-1": 0}


# --- sets in folders ---


def test_kermany_keeps_its_test_part_and_knows_its_patients(tmp_path):
    root = tmp_path / "chest_xray"
    for number, name in enumerate((
        "train/NORMAL/IM-0115-0001", "train/NORMAL/NORMAL2-IM-1427-0001", "train/PNEUMONIA/person17_bacteria_55",
        "train/PNEUMONIA/person17_bacteria_56", "test/NORMAL/IM-0001-0001", "test/PNEUMONIA/person17_virus_6",
        "val/NORMAL/NORMAL2-IM-1440-0001", "val/PNEUMONIA/person1946_bacteria_4874",
    )):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        draw(root / f"{name}.jpeg", number)
    (tmp_path / "__MACOSX/chest_xray").mkdir(parents=True)
    (tmp_path / "__MACOSX/chest_xray/._train").write_bytes(b"\0\5\x16\7")
    index = read_index(tmp_path)
    assert index.labels.names == ("NORMAL", "PNEUMONIA")
    assert (index.count(0), index.count(1), index.patients_known) == (4, 4, True)
    known = patients(index)
    assert known["person17_bacteria_55"] == known["person17_bacteria_56"] != known["person17_virus_6"]
    assert parts(index)["person17_virus_6"] == parts(index)["IM-0001-0001"] == "test"


def test_montgomery_and_shenzhen_read_their_readings_and_leave_lung_masks_alone(tmp_path):
    root = tmp_path / "MontgomerySet"
    for number, name in enumerate(("MCUCXR_0001_0", "MCUCXR_0104_1")):
        draw(root / f"CXR_png/{name}.png", number)
        for side in ("leftMask", "rightMask"):
            draw(root / f"ManualMask/{side}/{name}.png", number)
        (root / "ClinicalReadings").mkdir(exist_ok=True)
        (root / f"ClinicalReadings/{name}.txt").write_text("Patient's Sex: F\nPatient's Age: 027Y\nnormal")
    (root / "CXR_png/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    index = read_index(tmp_path)
    assert [(film.label, film.site, film.age, film.sex, film.mask) for film in index.films] == [
        (0, "Montgomery", 27, "F", None), (1, "Montgomery", 27, "F", None),
    ]  # fmt: skip
    assert any("Thumbs.db" in note for note in index.notes)


def test_three_classes_of_an_unknown_set_ask_for_a_label_by_name(class_folders, write_film):
    write_film(class_folders / "Measles/m.png", 1)
    with pytest.raises(DataError, match="3 classes") as caught:
        read_index(class_folders)
    assert caught.value.fix.startswith('--label "Tuberculosis" --negative "Normal"')
    index = read_index(class_folders, label="Measles", negative="Normal")
    assert (index.labels.names, len(index.films)) == (("Normal", "Measles"), 6)


@pytest.mark.parametrize(
    "names", [("images_001", "images_002"), ("part1", "part2"), ("0", "1", "2"), ("batch-a", "cd1")]
)
def test_archive_parts_are_never_proposed_as_classes(tmp_path, write_film, names):
    for number, name in enumerate(names):
        write_film(tmp_path / name / f"{number}.png", number)
    with pytest.raises(DataError) as caught:
        read_index(tmp_path)
    assert not any(f"'{name}'" in caught.value.fix or f"{name}/" in caught.value.fix for name in names)


def test_mimic_without_its_table_of_views_says_so_and_leaves_no_film_out(mimic):
    (mimic / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    index = read_index(mimic)
    assert len(index.films) == 4
    assert any("table of views" in note for note in index.notes)


def test_a_folder_of_films_below_its_table_is_told_where_the_table_is(nih):
    with pytest.raises(DataError, match="films and no labels") as caught:
        read_index(nih / "images_001")
    assert caught.value.fix == f"give that folder: {nih}"


def test_tbx11k_is_told_by_its_folder_of_pictures_too(tmp_path):
    for number, name in enumerate(("health/h1", "sick/s1", "tb/tb1", "test/t1")):
        draw(tmp_path / f"imgs/{name}.png", number)
    assert told(read_index(tmp_path / "imgs")) == {"h1": 0, "s1": 0, "tb1": 1}
