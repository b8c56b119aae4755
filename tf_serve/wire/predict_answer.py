"""Answers of TensorFlow Serving's REST API: predictions, status and metadata."""

from __future__ import annotations

from typing import Any

from tbconv.contract.tensor import TensorSpec
from tf_serve.registry import Loaded
from tf_serve.wire.infer_answer import Arrays
from tf_serve.wire.json_body import write_json
from tf_serve.wire.predict_request import SIGNATURE

_DTYPES = {"float32": "DT_FLOAT", "uint8": "DT_UINT8"}


def write_predict(arrays: Arrays, *, columns: bool) -> bytes:
    """Write the outputs as columns, or as one object a row since there are several of them."""
    lists = {name: array.tolist() for name, array in arrays.items()}
    if columns:
        return write_json({"outputs": lists})
    rows = zip(*lists.values(), strict=True)
    return write_json({"predictions": [dict(zip(lists, row, strict=True)) for row in rows]})


def describe_status(versions: tuple[Loaded, ...]) -> dict[str, Any]:
    """Return the state of versions; whatever the registry holds is available."""
    status = {"error_code": "OK", "error_message": ""}
    rows = [{"version": one.version, "state": "AVAILABLE", "status": status} for one in versions]
    return {"model_version_status": rows}


def describe_signature(
    loaded: Loaded, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> dict[str, Any]:
    """Return the model's metadata, as TensorFlow Serving prints a SavedModel's signature."""
    signature = {
        "inputs": {spec.name: _tensor_info(spec) for spec in inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": loaded.name, "signature_name": "", "version": loaded.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in spec.shape]  # 64-bit numbers are strings in proto3's JSON
    return {
        "dtype": _DTYPES[spec.dtype],
        "tensor_shape": {"dim": sides, "unknown_rank": False},
        "name": f"{SIGNATURE}_{spec.name}:0",
    }
