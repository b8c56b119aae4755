"""TensorFlow's files: Keras (.h5: logits and probability; .keras) and the SavedModel, through its signature."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it ships no types
import keras
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

from convert.runners.admission import admit
from convert.runners.base import Takes, run_films, run_given
from tbconv.contract.errors import ConversionError, TbconvError

FRAMEWORK = "tensorflow"


def run_keras(request: dict[str, Any]) -> dict[str, Any]:
    """Run one file; request: artefact, and what `run_films` reads."""
    model = keras.models.load_model(admit(Path(request["artefact"])), compile=False, safe_mode=True)
    return run_films(
        lambda films: {name: np.asarray(value) for name, value in model.predict_on_batch(films).items()}, request
    )


def run_saved_model(request: dict[str, Any]) -> dict[str, Any]:
    """Run one folder; request: artefact, and what `run_films` reads."""
    loaded = tf.saved_model.load(
        str(admit(Path(request["artefact"])))
    )  # kept: the signature holds its variables weakly
    signature = loaded.signatures["serving_default"]
    return run_films(
        lambda films: {name: tensor.numpy() for name, tensor in signature(image=tf.constant(films)).items()}, request
    )


def describe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what files state of themselves, and open none: a graph is read as plain data.

    Args:
        request: files (paths of SavedModel folders, `.keras` and `.h5` files).

    Returns:
        by path `inputs`, and of a SavedModel `outputs`, each by name: [dtype, sides], 0 for a side that is not fixed;
        `problem` instead where it cannot be read.
    """
    found: dict[str, Any] = {}
    for path in map(Path, request["files"]):
        try:
            admit(path)
            found[str(path)] = _signature(path) if path.is_dir() else {"inputs": _inputs(path)}
        except TbconvError as error:  # which its run says
            found[str(path)] = {"problem": error.one_line}
        except (OSError, KeyError, TypeError, ValueError, DecodeError, zipfile.BadZipFile) as error:
            found[str(path)] = {"problem": f"{type(error).__name__}: {error}"}
    return found


def _signature(folder: Path) -> dict[str, Any]:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    return {
        side: {
            name: [tf.as_dtype(one.dtype).name, [max(0, size.size) for size in one.tensor_shape.dim]]
            for name, one in getattr(signature, side).items()
        }
        for side in ("inputs", "outputs")
    }


def _inputs(path: Path) -> dict[str, list[Any]]:
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            config = json.loads(file.attrs["model_config"])
    else:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    layers = [one["config"] for one in config["config"]["layers"] if one["class_name"] == "InputLayer"]
    return {one["name"]: [str(one["dtype"]), [side or 0 for side in one["batch_shape"]]] for one in layers}


# --- as given ---
# Files of others, whom the caller trusts as its own code: not admitted, but opened without running code in them.


def run_keras_given(request: dict[str, Any]) -> dict[str, Any]:
    """Run any Keras file of one input on images as they are; request: artefact, and what `run_given` reads.

    Raises:
        ConversionError: it cannot be opened, or takes more than one input.
    """
    path = Path(request["artefact"])
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError) as error:  # what Keras raises on what it does not know
        why = " ".join(str(error).split())[:600]
        fix = "load it in the test, with its own layers, and give the model itself"
        raise ConversionError(f"Keras cannot open {path.name}", why=why, fix=fix) from error
    one = _only(path.name, list(model.inputs), [tensor.name for tensor in model.inputs])
    shape = tuple(side or 0 for side in one.shape)

    def run(images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        found = model.predict_on_batch(images)
        if isinstance(found, dict):
            return {name: np.asarray(value) for name, value in found.items()}
        values = found if isinstance(found, list | tuple) else [found]
        return {name: np.asarray(value) for name, value in zip(model.output_names, values, strict=True)}

    return run_given(run, request, Takes(str(one.dtype), shape))


def run_saved_model_given(request: dict[str, Any]) -> dict[str, Any]:
    """Run any SavedModel's signature on images as they are; request: artefact, and what `run_given` reads.

    Raises:
        ConversionError: it has no signature `serving_default`, or it takes more than one input.
    """
    path = Path(request["artefact"])
    loaded = tf.saved_model.load(str(path))
    if "serving_default" not in loaded.signatures:
        why = f"it has {', '.join(loaded.signatures) or 'none'}"
        raise ConversionError(f"{path.name} has no signature serving_default", why=why, fix="export it with one")
    signature = loaded.signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    [name] = _only(path.name, [list(specs)], list(specs))
    shape = () if specs[name].shape.rank is None else tuple(side or 0 for side in specs[name].shape)

    def run(images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {key: value.numpy() for key, value in signature(**{name: tf.constant(images)}).items()}

    return run_given(run, request, Takes(specs[name].dtype.name, shape))


def _only(name: str, one: list[Any], names: list[str]) -> Any:
    if len(names) != 1:
        why = f"it takes {', '.join(names)}"
        raise ConversionError(f"{name} is no model of one input", why=why, fix="give a function that feeds it")
    return one[0]
