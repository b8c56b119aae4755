"""Films as PNG and the same films as DICOM: whether `tbconv train` makes the same split and the same weights of both.

    python -m benchmarks.same_weights FOLDER [--films N] [--arch resnet50] [--epochs 2]

FOLDER has one folder a class. Copies of N films, half of each class, are written as PNG and, under other names, as
DICOM, with the patient in the tag where names told it; both are trained on this machine's CPU from random weights.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from safetensors.numpy import load_file

from tbconv.contract.bundle import read_json
from tbconv.contract.errors import Silence
from tbconv.contract.xray import read_xray
from torch_train.config import TrainConfig
from torch_train.data.index import read_index
from torch_train.run_folder import SPLIT, WEIGHTS
from torch_train.train import train

DIGITAL_FILM = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage, For Presentation


def write_dicom(path: Path, pixels: NDArray[np.uint8], *, patient: str = "") -> None:
    """Write grey pixels, uint8 [H, W], as one DICOM film of 8 bits whose window changes nothing."""
    film = Dataset()
    film.SOPClassUID, film.SOPInstanceUID, film.Modality = DIGITAL_FILM, generate_uid(), "DX"
    film.PatientID, film.StudyInstanceUID, film.ViewPosition = patient, generate_uid(), "PA"
    film.Rows, film.Columns = pixels.shape
    film.SamplesPerPixel, film.PhotometricInterpretation, film.PixelRepresentation = 1, "MONOCHROME2", 0
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit, film.WindowCenter, film.WindowWidth = 7, 128, 256
    film.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    film.save_as(path, enforce_file_format=True)


def copy_films(folder: Path, most: int | None, place: Path) -> int:
    """Write PNG and DICOM copies; return how many films there are."""
    index = read_index(folder)
    count = 0
    for label, name in enumerate(index.labels.names):
        films = [film for film in index.films if film.label == label]
        for film in films[: None if most is None else most // 2]:
            pixels = read_xray(film.path)
            count += 1
            picture = place / "png" / name / f"{film.path.stem}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(picture)
            patient = film.patient if index.patients_known else ""
            write_dicom(place / "dicom" / name / f"IM{100_000 - count}", pixels, patient=patient)
    return count


def main() -> int:
    """Print whether splits and weights are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        count = copy_films(given.folder, given.films, place)
        for kind in ("png", "dicom"):
            config = TrainConfig(
                data=place / kind, out=place / f"run-{kind}", arch=given.arch, weights="none", epochs=given.epochs,
                batch=16, device="cpu", film_cache=False,
            )  # fmt: skip
            train(config, Silence())
        splits, weights = [], []
        for kind in ("png", "dicom"):
            splits.append(read_json(place / f"run-{kind}" / SPLIT)["digest"])
            weights.append(load_file(place / f"run-{kind}" / WEIGHTS))
        tensors = sum(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
        same = splits[0] == splits[1] and tensors == len(weights[0]) == len(weights[1])
        sys.stdout.write(
            f"{count} films of {given.folder.name}, {given.arch}, {given.epochs} epochs: split {splits[0][:12]} and "
            f"{splits[1][:12]}, {tensors} of {len(weights[0])} tensors equal to the bit\n"
        )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
