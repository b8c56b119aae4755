"""What a `.tflite` file says of itself, in words and numbers: the one place where they are written down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from convert import metadata_schema as known
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.labels import Labels
from tbconv.contract.manifest import Kind, Readout
from tbconv.contract.preprocess import PreprocessSpec
from tf_serve.model import INPUT
from tf_serve.predict import BASELINE_LIMIT, SYNTHETIC_LIMIT
from torch_train.run_folder import RunFacts

LABELS, PREPROCESSING, OPERATING_POINT = "labels.txt", "preprocessing.json", "operating_point.json"
RULE = "refer where logits[1] - logits[0] >= operating_point.margin"
CALIBRATION = "probability = 1 / (1 + exp(-(slope * margin + offset)))"
AXES = {
    "image": ["batch", "y", "x", "grey"],
    "logits": ["batch", "class"],
    "probability": ["batch", "positive"],
    "evidence": ["batch", "y", "x"],
}
MEANING = {
    "image": "One grey film, padded with black to a square, resized with Pillow's BILINEAR; 0 black to 255 white.",
    "logits": f"(negative, positive); {RULE}.",
    "probability": "Calibrated probability of the positive class. For people; decisions compare the margin.",
    "evidence": "What each place adds to the margin: margin = mean(evidence). Not where disease is.",
}


@dataclass(frozen=True, slots=True)
class TFLiteFacts:
    """What a file carries along, so that it can be used without its bundle."""

    name: str  # of the run
    network: Kind
    labels: Labels
    preprocessing: PreprocessSpec
    readout: Readout
    weights_sha256: str  # of the weights that were converted
    synthetic: bool
    author: str = "tbconv"
    license: str = "tbconv's code: MIT. Weights: as the films they were trained on."

    @property
    def description(self) -> str:
        """What the file is, with the sentences that stand wherever a result is shown."""
        said = f"Looks for signs of {self.labels.positive} on one frontal chest X-ray. {DISCLAIMER}"
        synthetic = f" {SYNTHETIC_LIMIT}" if self.synthetic else ""
        return said + synthetic + (f" {BASELINE_LIMIT}" if self.network == "baseline" else "")

    def files(self) -> dict[str, bytes]:
        """Return the files that are appended, by name."""
        decision = {
            **asdict(self.readout),
            "rule": RULE,
            "calibrated": CALIBRATION,
            "network": self.network,
            "limits": self.description,
        }
        return {
            LABELS: "".join(f"{name}\n" for name in self.labels.names).encode(),
            PREPROCESSING: _json(asdict(self.preprocessing)),
            OPERATING_POINT: _json(decision),
        }


def facts_of_run(run: RunFacts, network: Kind, weights_sha256: str) -> TFLiteFacts:
    """Return what the files of one network of a run say of themselves.

    Args:
        run: run.json.
        network: whose files these are.
        weights_sha256: of weights.safetensors or baseline.safetensors.
    """
    return TFLiteFacts(
        name=run.name,
        network=network,
        labels=run.labels,
        preprocessing=PreprocessSpec(),
        readout=run.readouts[network],
        weights_sha256=weights_sha256,
        synthetic=run.synthetic,
    )


def describe(facts: TFLiteFacts, outputs: list[str]) -> dict[str, Any]:
    """Return the metadata of a file, as `metadata_schema.encode` takes it.

    Args:
        facts: what to say.
        outputs: their names in the order of the subgraph's tensors.
    """
    point = {"name": OPERATING_POINT, "description": RULE, "type": known.DESCRIPTIONS}
    return {
        "name": f"{facts.name} ({facts.network})",
        "description": facts.description,
        "version": facts.weights_sha256,
        "subgraph_metadata": [
            {"input_tensor_metadata": [_image(facts)], "output_tensor_metadata": [_output(name) for name in outputs]}
        ],
        "author": facts.author,
        "license": facts.license,
        "associated_files": [point],
        "min_parser_version": known.PARSER_VERSION,
    }


def _image(facts: TFLiteFacts) -> dict[str, Any]:
    size = {"width": facts.preprocessing.size, "height": facts.preprocessing.size}
    properties = {"color_space": known.GRAYSCALE, "default_size": size}
    file = {"name": PREPROCESSING, "description": "how a film becomes this tensor", "type": known.DESCRIPTIONS}
    return {
        **_tensor(INPUT),
        "content": {"content_properties": {"ImageProperties": properties}},
        # the graph scales and normalises by itself: whoever normalises as told here changes nothing
        "process_units": [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}],
        "stats": {"max": [255.0], "min": [0.0]},
        "associated_files": [file],
    }


def _output(name: str) -> dict[str, Any]:
    told = {**_tensor(name), "content": {"content_properties": {"FeatureProperties": {}}}}
    if name == "probability":
        told["stats"] = {"max": [1.0], "min": [0.0]}
    if name == "logits":
        axis = "the classes, in the order of the logits"
        told["associated_files"] = [{"name": LABELS, "description": axis, "type": known.TENSOR_AXIS_LABELS}]
    return told


def _tensor(name: str) -> dict[str, Any]:
    return {"name": name, "description": MEANING[name], "dimension_names": AXES[name]}


def _json(value: dict[str, Any]) -> bytes:
    return f"{json.dumps(value, indent=2, sort_keys=True, allow_nan=False)}\n".encode()
