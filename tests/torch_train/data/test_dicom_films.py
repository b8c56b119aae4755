"""DICOM films train as pictures do: one decoder, patients from tags, one identity of a film."""

import csv
import hashlib

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tbconv.contract.errors import ConfigError, DataError, Silence
from tbconv.contract.xray.dicom.person import read_person
from torch_train.config import TrainConfig
from torch_train.data.dataset import prepare_films
from torch_train.data.export import LISTING, export_films
from torch_train.data.index import read_index
from torch_train.data.loading import digest_of_pixels, load_films


def write_dicom(path, pixels, *, patient="", study=None, view="PA", age="045Y", sex="F"):
    """An 8-bit film as DICOM of the same grey levels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID, found.Modality = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid(), "DX"
    found.PatientID, found.StudyInstanceUID = patient, study or generate_uid()
    found.PatientAge, found.PatientSex, found.ViewPosition = age, sex, view
    found.Rows, found.Columns = pixels.shape
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit, found.PixelData = 7, pixels.tobytes() + b"\0" * (pixels.size % 2)
    found.WindowCenter, found.WindowWidth = 128, 256
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.save_as(path, enforce_file_format=True)


@pytest.fixture
def copies(class_folders, tmp_path, write_film):
    """The class folders, and DICOM copies of their films under names that sort the other way round."""
    for number in range(5, 12):
        write_film(class_folders / f"Normal/n{number}.png", number)
        write_film(class_folders / f"Tuberculosis/t{number}.png", 100 + number)
    for number, path in enumerate(sorted(class_folders.rglob("*.png"))):
        write_dicom(tmp_path / "dicom" / path.parent.name / f"IM{9000 - number}", np.asarray(Image.open(path)))
    return class_folders, tmp_path / "dicom"


def films_of(folder, tmp_path, **options):
    return prepare_films(TrainConfig(data=folder, out=tmp_path / "out", film_cache=False, **options), Silence())


def test_copies_in_dicom_have_the_same_split_and_the_same_pixels_in_the_same_order(copies, tmp_path):
    pictures, dicoms = (films_of(folder, tmp_path) for folder in copies)
    assert pictures.split_digest == dicoms.split_digest
    assert pictures.data_digest == dicoms.data_digest
    assert np.array_equal(pictures.model_inputs, dicoms.model_inputs)
    assert np.array_equal(pictures.labels, dicoms.labels)
    assert all(np.array_equal(pictures.parts[part], dicoms.parts[part]) for part in pictures.parts)


def test_a_film_is_known_by_its_pixels_or_by_its_file_in_runs_that_began_so(copies, tmp_path):
    films = films_of(copies[0], tmp_path)
    old = films_of(copies[0], tmp_path, film_identity="file")
    path = sorted(copies[0].rglob("*.png"))[0]
    assert digest_of_pixels(np.asarray(Image.open(path))) in films.digests
    assert old.digests[0] == hashlib.sha256(path.read_bytes()).hexdigest() in films.file_digests
    assert films.split_digest != old.split_digest
    stored = TrainConfig(data=copies[0], out=tmp_path, film_identity="file").stored()
    assert not {"film_identity", "label", "negative", "uncertain", "strict"} & stored.keys()
    assert TrainConfig(data=copies[0], out=tmp_path).as_begun(stored).film_identity == "file"


def loaded_of(tmp_path, patients, **options):
    for number, patient in enumerate(patients):
        name = ("Normal", "Tuberculosis")[number % 2]
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
        write_dicom(tmp_path / f"set/{name}/{number:03}", pixels, patient=patient, **options)
    return load_films(read_index(tmp_path / "set"), Silence())


def test_patients_ages_and_sexes_come_from_tags_as_digests(tmp_path):
    loaded = loaded_of(tmp_path, ["Doe^7", "Doe^8", "Doe^7", "Doe^9"])
    keys = {film.path.name: film.patient for film in loaded.index.films}
    assert keys["000"] == keys["002"] != keys["001"]
    assert loaded.index.patients_known
    assert {(film.age, film.sex) for film in loaded.index.films} == {(45.0, "F")}
    assert "Doe" not in str(loaded.index)


@pytest.mark.parametrize("patients", [["ANONYMOUS"] * 12, [""] * 12, ["one number"] * 12])
def test_one_number_for_everybody_joins_nobody(tmp_path, patients):
    loaded = loaded_of(tmp_path, patients)
    assert len({film.patient for film in loaded.index.films}) == 12
    assert not loaded.index.patients_known


@pytest.mark.parametrize("pseudonym", ["ANON000{}", "Anonymized1{}", "anonymous_4{}", "anon-{}", "ANONYM{}x"])
def test_a_numbered_pseudonym_is_one_persons_own(tmp_path, pseudonym):
    loaded = loaded_of(tmp_path, [pseudonym.format(number // 2) for number in range(12)])
    assert len({film.patient for film in loaded.index.films}) == 6
    assert loaded.index.patients_known


@pytest.mark.parametrize("word", ["ANON", "Anonymous", "anonymised", "ANONYMIZED_PATIENT", "anonymisé", "DeIdentified"])
def test_a_word_for_everybody_names_nobody(tmp_path, word):
    write_dicom(tmp_path / "a", np.zeros((8, 8), np.uint8), patient=word)
    assert read_person((tmp_path / "a").read_bytes()).patient is None


def test_films_of_one_study_stay_together_where_no_patient_is_known(tmp_path):
    study = generate_uid()
    for number in range(8):
        name = ("Normal", "Tuberculosis")[number % 2]
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
        write_dicom(tmp_path / f"set/{name}/{number}", pixels, study=study if number < 2 else None)
    films = load_films(read_index(tmp_path / "set"), Silence()).index.films
    assert len({film.patient for film in films}) == 7


def test_the_lateral_film_of_a_study_is_left_out_and_said(tmp_path):
    loaded_of(tmp_path, ["1", "2", "3", "4"])
    write_dicom(tmp_path / "set/Normal/lateral", np.zeros((64, 64), np.uint8), patient="1", view="LL")
    loaded = load_films(read_index(tmp_path / "set"), Silence())
    [(path, reason)] = loaded.unreadable
    assert path.name == "lateral"
    assert "lateral" in reason


def test_export_writes_the_pixels_that_training_sees_and_a_split_that_is_the_same(tmp_path, copies):
    exported = export_films(copies[1], tmp_path / "png", Silence())
    assert len(exported.films) == 24
    before, after = films_of(copies[1], tmp_path), films_of(tmp_path / "png", tmp_path)
    assert before.split_digest == after.split_digest
    assert "patient_id" in (tmp_path / "png" / LISTING).read_text()
    with pytest.raises(ConfigError, match="is not empty"):
        export_films(copies[1], tmp_path / "png", Silence())


def test_each_export_has_digests_of_its_own_that_join_the_same_films(tmp_path):
    for number, patient in enumerate(("Doe^7", "Doe^7", "Doe^8")):
        write_dicom(tmp_path / f"films/{number}.dcm", np.full((8, 8), number, np.uint8), patient=patient)
    write_dicom(tmp_path / "films/0.dicom", np.zeros((8, 8), np.uint8), patient="Doe^9")
    exports = []
    for out in (tmp_path / "a", tmp_path / "b"):
        names = [path.name for path in export_films(tmp_path / "films", out, Silence()).films]
        assert names == ["0.png", "0-2.png", "1.png", "2.png"]
        with (out / LISTING).open(newline="") as file:
            exports.append({row["file"]: row["patient_id"] for row in csv.DictReader(file)})
    for keys in exports:
        assert keys["0-2.png"] != keys["1.png"] or keys["0.png"] != keys["1.png"]
        assert len(set(keys.values())) == 3
    assert not set(exports[0].values()) & set(exports[1].values())


@pytest.mark.parametrize("patient", ["", "Doe^7"])
def test_films_of_one_study_stay_together_after_an_export(tmp_path, patient):
    study = generate_uid()
    for number in range(6):
        name = ("Normal", "Tuberculosis")[number % 2]
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
        own = {"study": study} if number < 2 else {"patient": patient if number == 5 else ""}
        write_dicom(tmp_path / f"set/{name}/{number}.dcm", pixels, **own)
    export_films(tmp_path / "set", tmp_path / "png", Silence())
    index = read_index(tmp_path / "png")
    keys = {film.path.stem: film.patient for film in index.films}
    assert (keys["0"] == keys["1"], len(set(keys.values()))) == (True, 5)
    assert index.patients_known == bool(patient)
    assert not any("each film counts as a patient" in note for note in index.notes)


@pytest.mark.parametrize(("number", "together"), [("X1", False), ("X{}", True)])
def test_a_table_with_one_number_for_everybody_joins_nobody(tmp_path, number, together):
    lines = ["file,patient_id"]
    for film in range(12):
        name = f"{('Normal', 'Tuberculosis')[film % 2]}/{film}.png"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(film).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / name)
        lines.append(f"{name},{number.format(film // 2)}")
    (tmp_path / "films.csv").write_text("\n".join(lines))
    index = read_index(tmp_path)
    assert index.patients_known == together
    assert len({film.patient for film in index.films}) == (6 if together else 12)


def test_strict_refuses_what_would_be_left_out(class_folders):
    (class_folders / "Normal/report.pdf").write_bytes(b"%PDF")
    index = read_index(class_folders)
    assert any("a PDF (Normal/report.pdf)" in note for note in index.notes)
    with pytest.raises(DataError, match="more than films"):
        read_index(class_folders, strict=True)
