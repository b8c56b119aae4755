"""Every export format, a row each: what makes it, what runs it, and what a manifest says of it.

Making, listing, measuring, certifying and labelling read these rows and nothing else, so a new export format is one
module with its step and its runner, and its row here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the chain: what it reads, and which function of which framework's process makes what follows."""

    name: str  # in the lines of a conversion, and by which a manifest's converter is found
    function: str  # `module:function`
    source: str  # path of the format that it reads
    reads: str  # under which name its request wants that path


EXPORT = Step("onnx", "", "", "")  # the reference itself writes model.onnx
KERAS = Step("keras", "convert.formats.onnx_to_keras:onnx_to_keras", "model.onnx", "onnx")
TFLITE = Step("tflite", "convert.formats.tflite.write:onnx_to_tflite", "model.onnx", "onnx")
TENSORFLOW = Step("tensorflow tflite", "convert.formats.saved_model_to_tflite:quantize", "saved_model", "saved_model")
INT8 = Step("int8", "convert.quantization.search:search", "model.onnx", "onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One exported file, or folder."""

    path: str  # in a bundle
    kind: str  # the manifest's `format`: what its runtime is called by
    reader: str  # which program opens it, as the manifest says
    step: Step
    argument: str = "out"  # under which name the step's request wants the place of this file
    runner: str  # `module:function` that runs a bundle's file on films
    third_party_runner: str | None = None  # of files with outputs of other names; None for the same
    precision: str = "float32"  # float32 is held to the reference's own rounding, every other to its decisions
    dtype: str = "float32"  # of the input
    channels_first: bool = False
    evidence: bool = True  # carries the evidence map
    second_source: bool = False  # the reference converter makes this one, too

    @property
    def any_runner(self) -> str:
        """Return the step that runs a file whatever its outputs are called."""
        return self.third_party_runner or self.runner


def _tflite(precision: str, *, step: Step = TFLITE, argument: str | None = None, dtype: str = "float32") -> Format:
    return Format(
        path=f"model_{precision}.tflite",
        kind="tflite",
        reader="LiteRT",
        step=step,
        argument=argument or precision,
        runner="convert.runners.tflite:run",
        third_party_runner="convert.runners.tflite:run_any",
        precision=precision,
        dtype=dtype,
        second_source=precision == "float32",
    )


FORMATS = [
    Format(
        path="model.onnx",
        kind="onnx",
        reader="onnxruntime",
        step=EXPORT,
        runner="convert.runners.onnxruntime:run",
        channels_first=True,
    ),
    Format(
        path="saved_model",
        kind="saved_model",
        reader="tensorflow (tf.saved_model.load)",
        step=KERAS,
        argument="saved_model",
        runner="convert.runners.tensorflow:run_saved_model",
        second_source=True,
    ),
    Format(
        path="model.h5",
        kind="keras_h5",
        reader="keras 3 (keras.models.load_model); not tf_keras",
        step=KERAS,
        argument="h5",
        runner="convert.runners.tensorflow:run_keras",
        evidence=False,
    ),
    Format(
        path="model.keras",
        kind="keras",
        reader="keras 3 (keras.models.load_model)",
        step=KERAS,
        argument="keras",
        runner="convert.runners.tensorflow:run_keras",
    ),
    _tflite("float32"),
    _tflite("float16"),
    _tflite("dynamic"),
    _tflite("int8", step=INT8, argument="out", dtype="uint8"),
]
ONNX, SAVED_MODEL, TFLITE_FLOAT32 = FORMATS[0], FORMATS[1], FORMATS[4]
INT8_FILE = FORMATS[7]


def runner_of(kind: str) -> str:
    """Return the step that runs a bundle's file of this kind."""
    return next(one.runner for one in FORMATS if one.kind == kind)
