"""Every export format, a row each: what makes it, what runs it, and what a manifest says of it.

Making, listing, measuring, certifying and labelling read these rows and nothing else, so a new export format is one
module with its step and its runner, and its row here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tbconv.contract.errors import ConfigError, printable


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
    def name(self) -> str:
        """Return what `--formats` calls it: onnx, saved-model, h5, keras, tflite-int8."""
        if self.kind == "tflite":
            return f"tflite-{self.precision}"
        return {"keras_h5": "h5"}.get(self.kind, self.kind.replace("_", "-"))

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
# What an int8 file gives; the first takes grey levels as uint8, the others as what they give: less 128 in int8.
IO = ("float32", "uint8", "int8")
ONNX, SAVED_MODEL, TFLITE_FLOAT32 = FORMATS[0], FORMATS[1], FORMATS[4]
INT8_FILE = FORMATS[7]


def runner_of(kind: str) -> str:
    """Return the step that runs a bundle's file of this kind."""
    return next(one.runner for one in FORMATS if one.kind == kind)


# --- chosen ---
# What `--formats` asks for: by name, by the file's own name, or by a TFLite file's precision where only it has that.

ALL_TFLITE = "tflite"  # the four together


def choose_formats(names: Sequence[str]) -> list[Format]:
    """Return the formats of these names, in the order of the table; all of them where none is named.

    Upper and lower case, dashes and underscores make no difference.

    Raises:
        ConfigError: a name is of no format, with all that there are.
    """
    asked: list[Format] = []
    for name in names:
        found = [one for one in FORMATS if _plain(name) in _called(one)]
        if not found:
            known = ", ".join([*(one.name for one in FORMATS), f"{ALL_TFLITE} (all four)"])
            what, fix = f"--formats {printable(name)} is no format", "--formats tflite-float32,tflite-int8,onnx"
            raise ConfigError(what, why=f"there are {known}", fix=fix)
        asked += found
    return [one for one in FORMATS if one in asked or not names]


def _called(one: Format) -> set[str]:
    precision = {one.precision} if one.precision != "float32" else set()
    return {_plain(name) for name in (one.name, one.path, *precision, *([ALL_TFLITE] if one.kind == "tflite" else []))}


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "")


def describe_chosen(names: Sequence[str], not_made: Mapping[str, str]) -> dict[str, Any]:
    """Return for reports and certificates which formats were asked for, which were not, and which could not be made.

    Args:
        names: as `choose_formats` takes them.
        not_made: why, by path.

    Returns:
        `asked` and `not_asked` (paths), `not_made` (why, by path of what was asked for).
    """
    asked = [one.path for one in choose_formats(names)]
    return {
        "asked": asked,
        "not_asked": [one.path for one in FORMATS if one.path not in asked],
        "not_made": {path: why for path, why in not_made.items() if path in asked},
    }


def chosen_lines(formats: Mapping[str, Any]) -> list[str]:
    """Say in words what `describe_chosen` found; nothing where every format is there."""
    absent, failed = formats.get("not_asked") or [], formats.get("not_made") or {}
    said = [f"not asked for, so not written and not certified: {', '.join(absent)}"] if absent else []
    return said + [f"{path}: not made; {why}" for path, why in failed.items()]
