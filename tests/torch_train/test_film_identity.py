"""A run knows its films by their pixels: copies in DICOM train to the same weights; old runs go on by their files."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from safetensors.numpy import load_file

from tbconv.contract.errors import ConfigError, Silence
from torch_train.evaluation.folds import keep_terms
from torch_train.train import train


def copy_as_dicom(films, folder):
    """Write each film as DICOM, under numbers that sort the other way round."""
    paths = sorted(films.rglob("*.png"))
    for number, path in enumerate(paths):
        pixels = np.asarray(Image.open(path))
        found = Dataset()
        found.SOPClassUID, found.SOPInstanceUID, found.Modality = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid(), "DX"
        found.PatientID, found.StudyInstanceUID = path.name.partition("_")[0], generate_uid()
        found.Rows, found.Columns = pixels.shape
        found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
        found.BitsAllocated = found.BitsStored = 8
        found.HighBit, found.PixelData, found.WindowCenter, found.WindowWidth = 7, pixels.tobytes(), 128, 256
        found.file_meta = FileMetaDataset()
        found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        place = folder / path.parent.name / f"IM{len(paths) - number:06}"
        place.parent.mkdir(parents=True, exist_ok=True)
        found.save_as(place, enforce_file_format=True)
    return folder


def test_copies_in_dicom_train_to_the_same_split_and_the_same_weights_to_the_bit(recipe, films, tmp_path):
    pictures = train(recipe(), Silence())
    copies = copy_as_dicom(films, tmp_path / "dicom")
    dicoms = train(recipe(data=copies, out=tmp_path / "of-dicom", patient=None), Silence())
    splits = [json.loads((run / "split.json").read_text()) for run in (pictures, dicoms)]
    assert splits[0] == splits[1]
    assert splits[0]["film_identity"] == "pixels"
    ours, theirs = (load_file(run / "weights.safetensors") for run in (pictures, dicoms))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_a_run_that_began_by_files_is_resumed_by_them(recipe, tmp_path):
    old = recipe(film_identity="file", epochs=1, schedule="plateau", disturb=0.0)
    train(old, Silence())
    stored = json.loads((old.out / "train_config.json").read_text())
    assert "film_identity" not in stored  # as runs of before stored it
    del stored["disturb"]
    (old.out / "train_config.json").write_text(json.dumps(stored))
    checkpoint = torch.load(old.out / "checkpoint.pt", weights_only=True)
    del checkpoint["identity"]["config"]["disturb"]  # nor did they know of it
    torch.save(checkpoint, old.out / "checkpoint.pt")
    train(recipe(out=old.out, epochs=2, schedule="plateau"), Silence(), resume=True)
    assert len((old.out / "history.jsonl").read_text().splitlines()) == 2
    assert "film_identity" not in json.loads((old.out / "split.json").read_text())
    shutil.rmtree(old.out)
    new = recipe(epochs=1, schedule="plateau")
    train(new, Silence())
    (new.out / "train_config.json").write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match="data set"):  # films known by another rule are another data set
        train(recipe(out=new.out, epochs=2, schedule="plateau"), Silence(), resume=True)


def test_an_evaluation_that_began_before_an_option_came_goes_on_where_the_option_changes_nothing(tmp_path):
    keep_terms(tmp_path, {"epochs": 2}, resume=False)
    keep_terms(tmp_path, {"epochs": 2, "disturb": 0.0}, resume=True)
    with pytest.raises(ConfigError, match=r"disturb is 0\.3"):
        keep_terms(tmp_path, {"epochs": 2, "disturb": 0.3}, resume=True)
