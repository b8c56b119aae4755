"""What a bundle ships: path, format, precision, tensors, who made it and who reads it."""

from __future__ import annotations

from convert.steps import Made
from tbconv.contract.manifest import Artefact
from tbconv.contract.tensor import image_spec, output_specs
from torch_train.run_folder import RunFacts

# path, format, precision, step that made it, reader
TRAINED = (
    ("model.onnx", "onnx", "float32", "onnx", "onnxruntime"),
    ("saved_model", "saved_model", "float32", "keras", "tensorflow (tf.saved_model.load)"),
    ("model.h5", "keras_h5", "float32", "keras", "keras 3 (keras.models.load_model); not tf_keras"),
    ("model.keras", "keras", "float32", "keras", "keras 3 (keras.models.load_model)"),
    ("model_float32.tflite", "tflite", "float32", "float32", "LiteRT"),
    ("model_float16.tflite", "tflite", "float16", "float16", "LiteRT"),
    ("model_dynamic.tflite", "tflite", "dynamic", "dynamic", "LiteRT"),
    ("model_int8.tflite", "tflite", "int8", "int8", "LiteRT"),
)
BASELINE_FILE = "baseline.tflite"


def list_artefacts(facts: RunFacts, made: Made, *, route: str) -> tuple[Artefact, ...]:
    """Return every artefact of the bundle, float32 first."""
    rows = TRAINED if facts.arch is not None else ()
    trained = [_artefact(row, made, route) for row in rows]
    baseline = Artefact(
        path=BASELINE_FILE,
        format="tflite",
        precision="float32",
        network="baseline",
        inputs=(image_spec(channels_first=False),),
        outputs=output_specs(),
        converter=made.converters["baseline"],
        reader="LiteRT",
    )
    return (*trained, baseline)


def _artefact(row: tuple[str, str, str, str, str], made: Made, route: str) -> Artefact:
    path, kind, precision, step, reader = row
    foreign = route == "onnx2tf" and path in ("saved_model", "model_float32.tflite")
    spec = image_spec(channels_first=kind == "onnx", dtype="uint8" if precision == "int8" else "float32")
    return Artefact(
        path=path,
        format=kind,
        precision=precision,
        network="trained",
        inputs=(spec,),
        outputs=output_specs(evidence=kind != "keras_h5"),
        converter=made.converters["onnx2tf" if foreign else step],
        reader=reader + (", one film a call" if foreign and kind == "saved_model" else ""),
    )
