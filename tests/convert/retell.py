"""Retell a finished bundle: give it a real run's files, change one of them, and seal it as if nothing had happened."""

import io
import json
import os
import shutil
import zipfile
from dataclasses import asdict, replace

from convert.formats.metadata import label_files
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, Bundle, file_records, read_bundle, read_json, seal
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.manifest import Manifest
from torch_train.data.split import PARTS, digest_of
from torch_train.run_folder import CONFIG, METRICS, SPLIT

DRAWN_SPLIT = "5" * 64  # what a drawn run says of its split
FRACTIONS = [0.7, 0.2, 0.1]


def write(path, data):
    """Write anew: the copies of a bundle share their files' bytes."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def seal_again(root, manifest=None):
    manifest = manifest or read_bundle(root).manifest
    (root / MANIFEST).unlink()
    return Bundle(root, seal(root, replace(manifest, files={})))


def edit(root, name, change):
    """Change the JSON of a file and seal the bundle as if nothing had happened."""
    value = read_json(root / name)
    change(value)
    write(root / name, json.dumps(value).encode())
    return seal_again(root)


def certify_again(root, name):
    def take(certificate):
        certificate["artefacts"][name]["sha256"] = sha256_file(root / name)

    return edit(root, CERTIFICATE, take)


def write_whole(bundle, root):
    """Copy a bundle of a drawn run, with split.json, metrics.json and train_config.json beside it that agree."""
    shutil.copytree(bundle, root, copy_function=os.link)
    films = [f"{number:064x}" for number in range(20)]
    rows = (range(14), range(14, 18), range(18, 20))
    split, parts = digest_of(rows, films), dict(zip(PARTS, (films[:14], films[14:18], films[18:]), strict=True))
    write_json(root / SPLIT, {"digest": split, "seed": 3, "fractions": FRACTIONS, **parts})
    write_json(root / CONFIG, {"arch": "resnet10", "seed": 3, "fractions": FRACTIONS, "epochs": 1})
    told = json.dumps(read_bundle(root).manifest.to_json()).replace(DRAWN_SPLIT, split)
    manifest = Manifest.from_json(json.loads(told))
    figures = {"accuracy": {"value": 0.5, "n": 2}}
    networks = {name: {**asdict(one), "test": {"figures": figures}} for name, one in manifest.decision_rules.items()}
    counts = {name: {"n": len(part)} for name, part in parts.items()}
    write_json(root / METRICS, {"labels": asdict(manifest.labels), "films": counts, "networks": networks})
    certificate = read_json(root / CERTIFICATE)
    certificate["scope"]["metrics"] = dict.fromkeys(networks, figures)
    write_json(root / CERTIFICATE, certificate)
    label_again(root, manifest)
    return root


def label_again(root, manifest):
    """Let every file state what a manifest says, and seal the bundle as if nothing had happened."""
    label_files(root, manifest)
    found = Bundle(root, replace(manifest, files=file_records(root, but=MANIFEST)))
    certificate = read_json(root / CERTIFICATE)
    for one in manifest.artefacts:
        certificate["artefacts"][one.path]["sha256"] = found.digest(one.path)
    write(root / CERTIFICATE, json.dumps(certificate).encode())
    return seal_again(root, manifest)


def mend_zip(path, change):
    """Write the zip behind a `.tflite` file again, with what `change` does to its files; without any there is none."""
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = min(row.header_offset for row in archive.infolist())
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    out = io.BytesIO(data[:start])
    if files:
        with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    write(path, out.getvalue())
