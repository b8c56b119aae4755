"""Faults of a finished bundle on its way to the server: files and numbers of different versions side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.fault_injection.faults.fault import Fault
from benchmarks.fault_injection.setting import record
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_json
from tbconv.contract.files import write_json

FLOAT, INT8, DYNAMIC = "model_float32.tflite", "model_int8.tflite", "model_dynamic.tflite"


def _manifest(folder: Path, change: Any) -> None:
    value = read_json(folder / MANIFEST)
    change(value)
    write_json(folder / MANIFEST, value)


def _certificate(folder: Path, change: Any) -> None:
    value = read_json(folder / CERTIFICATE)
    change(value)
    write_json(folder / CERTIFICATE, value)
    record(folder, CERTIFICATE)


def _point(folder: Path, key: str, move: Any) -> None:
    part = "operating_point" if key == "margin" else "calibration"

    def change(value: Any) -> None:
        decision_rule = value["decision_rules"]["trained"][part]
        decision_rule[key] = move(decision_rule[key])

    _manifest(folder, change)


def _threshold(folder: Path, severity: float) -> None:
    _point(folder, "margin", lambda margin: margin + severity)


def _threshold_as_probability(folder: Path, _: float) -> None:
    _point(folder, "margin", lambda margin: 1 / (1 + math.exp(-margin)))


def _threshold_turned(folder: Path, _: float) -> None:
    """That of the logits' other order."""
    _point(folder, "margin", lambda margin: -margin)


def _slope(folder: Path, severity: float) -> None:
    _point(folder, "slope", lambda slope: slope * (1 + severity))


def _offset(folder: Path, severity: float) -> None:
    _point(folder, "offset", lambda offset: offset + severity)


def _labels(folder: Path, _: float) -> None:
    def change(value: Any) -> None:
        labels = value["labels"]
        labels["negative"], labels["positive"] = labels["positive"], labels["negative"]

    _manifest(folder, change)


def _other_decision_rule(folder: Path, _: float) -> None:
    """The baseline's threshold and calibration for the trained network."""

    def change(value: Any) -> None:
        value["decision_rules"]["trained"] = value["decision_rules"]["baseline"]

    _manifest(folder, change)


def _preprocessing(folder: Path, _: float) -> None:
    def change(value: Any) -> None:
        value["preprocessing"]["size"] = 256

    _manifest(folder, change)


def _one_byte(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _stale(folder: Path, _: float) -> None:
    """A file of another version is copied over, and no more is done: one bit stands for it."""
    _replace(folder, FLOAT, _one_byte((folder / FLOAT).read_bytes()))


def _truncated(folder: Path, severity: float) -> None:
    data = (folder / FLOAT).read_bytes()
    _replace(folder, FLOAT, data[: int(len(data) * (1 - severity))])


def _other_version(folder: Path, severity: float) -> None:
    """A file of other weights, with its digest in manifest and certificate: only its outputs differ."""
    from benchmarks.fault_injection.faults.tflite_faults import FAULTS

    fault = next(one for one in FAULTS if one.name == "float32: constants")
    _replace(folder, FLOAT, fault.inject((folder / FLOAT).read_bytes(), severity))
    record(folder, FLOAT)


def _uncertified(folder: Path, severity: float) -> None:
    """As above, but its digest is in the manifest alone."""
    before = read_json(folder / CERTIFICATE)
    _other_version(folder, severity)
    _certificate(folder, lambda value: value["artefacts"].update(before["artefacts"]))


def _files_exchanged(folder: Path, _: float) -> None:
    """int8 under the name of float32, digests and all."""
    _replace(folder, FLOAT, (folder / INT8).read_bytes())
    record(folder, FLOAT)


def _band(folder: Path, severity: float) -> None:
    def change(value: Any) -> None:
        band = value["artefacts"][INT8]["figures"].get("abstention_band")
        if band is not None:
            band["half_width"] *= 1 - severity

    _certificate(folder, change)


def _band_lost(folder: Path, _: float) -> None:
    def change(value: Any) -> None:
        value["artefacts"][INT8]["figures"]["abstention_band"] = None
        value["artefacts"][INT8]["figures"]["max_abs_margin"] = 0.0

    _certificate(folder, change)


def _failed_serves(folder: Path, _: float) -> None:
    """The file that is proposed has FAILED, and the proposal was not withdrawn."""

    def change(value: Any) -> None:
        value["artefacts"][FLOAT]["verdict"] = "FAILED"

    _certificate(folder, change)


def _file_missing(folder: Path, _: float) -> None:
    (folder / FLOAT).unlink()


def _replace(folder: Path, path: str, data: bytes) -> None:
    (folder / path).unlink()  # a hard link: the clean bundle keeps its own
    (folder / path).write_bytes(data)


def _fault(name: str, what: str, inject: Any, severities: tuple[float, ...] = (1.0,), path: str = FLOAT) -> Fault:
    return Fault(name, "serving", what, inject, path, severities=severities)


FAULTS = (
    _fault("threshold of another version", "s logits off", _threshold, (0.2, 1e-2, 1e-4)),
    _fault("threshold as a probability", "sigmoid(margin) where a margin belongs", _threshold_as_probability),
    _fault("threshold's sign", "of negative minus positive", _threshold_turned),
    _fault("slope of another version", "times 1 + s", _slope, (0.2, 1e-2, 1e-4)),
    _fault("offset of another version", "s off", _offset, (0.2, 1e-2, 1e-4)),
    _fault("decision_rule exchanged", "the baseline's for the trained network", _other_decision_rule),
    _fault("labels swapped", "in the manifest", _labels),
    _fault("other size", "the manifest says 256 pixels", _preprocessing),
    _fault("stale file", "one bit of the served file differs", _stale),
    _fault("served file truncated", "its last share s is missing", _truncated, (0.5, 1e-6)),
    _fault("served file missing", "the manifest lists it", _file_missing),
    _fault("other version, resealed", "one layer times 1 + s, digests rewritten", _other_version, (1e-1, 1e-3, 1e-5)),
    _fault("other version, uncertified", "as above, but for the certificate", _uncertified, (1e-1,)),
    _fault("files exchanged", "int8 under the name of float32, digests rewritten", _files_exchanged),
    _fault("band narrowed", "of int8, by a share s", _band, (1.0, 0.5), INT8),
    _fault("band lost", "of int8", _band_lost, path=INT8),
    _fault("failed file proposed", "the certificate says FAILED, and to deploy it", _failed_serves),
)
