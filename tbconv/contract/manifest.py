"""manifest.json: what a bundle is, in types; it names every other file and its digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tbconv.contract.calibration import Calibration
from tbconv.contract.errors import BundleError
from tbconv.contract.labels import Labels
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.tensor import TensorSpec
from tbconv.contract.threshold import OperatingPoint

SCHEMA_VERSION = 1
Kind = Literal["trained", "baseline"]


@dataclass(frozen=True, slots=True)
class Readout:
    """How the margin of one network becomes a probability and a decision."""

    calibration: Calibration
    operating_point: OperatingPoint


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Digest and size of one file."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Artefact:
    """One converted file (or SavedModel folder), what it takes, what it gives, who made it, who reads it."""

    path: str
    format: str  # onnx | keras_h5 | keras | saved_model | tflite
    precision: str  # float32 | float16 | dynamic | int8
    network: Kind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    converter: str
    reader: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of manifest.json."""

    name: str
    kind: Kind
    labels: Labels
    preprocessing: PreprocessSpec
    readouts: dict[str, Readout]  # by network: trained, baseline
    artefacts: tuple[Artefact, ...]
    provenance: dict[str, Any]
    synthetic: bool  # trained on drawn phantoms, not on films
    files: dict[str, FileRecord] = field(default_factory=dict)  # by path, '/' between folders
    schema_version: int = SCHEMA_VERSION

    def artefact(self, path: str) -> Artefact:
        """Return the artefact at a path.

        Raises:
            BundleError: the bundle has none there.
        """
        for artefact in self.artefacts:
            if artefact.path == path:
                return artefact
        known = ", ".join(artefact.path for artefact in self.artefacts)
        raise BundleError(f"the bundle has no {path}", why=f"it has {known}", fix="name one of these")

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            BundleError: a field is missing, of the wrong kind, or of another schema version.
        """
        try:
            return _read(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                "manifest.json cannot be understood",
                why=f"{type(error).__name__}: {error}",
                fix="make the bundle again: tbconv convert RUN --out BUNDLE",
            ) from error


def _read(value: dict[str, Any]) -> Manifest:
    if value["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema version {value['schema_version']!r}, this tbconv reads {SCHEMA_VERSION}")
    if value["kind"] not in ("trained", "baseline"):
        raise ValueError(f"kind {value['kind']!r}")
    readouts = {
        network: Readout(Calibration(**row["calibration"]), OperatingPoint(**row["operating_point"]))
        for network, row in value["readouts"].items()
    }
    return Manifest(
        name=value["name"],
        kind=value["kind"],
        labels=Labels(**value["labels"]),
        preprocessing=PreprocessSpec(**value["preprocessing"]),
        readouts=readouts,
        artefacts=tuple(_artefact(row) for row in value["artefacts"]),
        provenance=dict(value["provenance"]),
        synthetic=bool(value["synthetic"]),
        files={path: FileRecord(**row) for path, row in value["files"].items()},
    )


def _artefact(row: dict[str, Any]) -> Artefact:
    tensors = {side: tuple(_tensor(spec) for spec in row[side]) for side in ("inputs", "outputs")}
    return Artefact(**{**row, **tensors})


def _tensor(row: dict[str, Any]) -> TensorSpec:
    return TensorSpec(**{**row, "shape": tuple(row["shape"])})
