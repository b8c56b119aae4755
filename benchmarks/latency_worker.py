"""One runtime in a process of its own that answers one film again and again: what `benchmarks.latency` asks in turn.

Request lines on stdin are numbers of films, answer lines on stdout are JSON lists of
[milliseconds, CPU milliseconds of all threads]. The first line
on stdout is {"version": ..., "margin": ...}. It loads numpy and its own runtime only, so that a peer's
environment can run it. Timed is the call alone: a prepared film in, all outputs as arrays.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[], Any]  # answers the film; what comes back holds `logits` by name
OUTPUTS = ("logits", "probability", "evidence")
WARM_UP = 5  # films: the first ones plan memory, pack weights and fill caches


def main() -> None:
    """Load the runtime that the request names, warm it up, then answer until stdin ends."""
    request = json.loads(sys.argv[1])
    model_input: NDArray[np.uint8] = np.load(request["film"], allow_pickle=False)  # uint8 [224, 224]
    ask, version = LOADERS[request["runtime"]](request, model_input)
    for _ in range(WARM_UP):
        logits = np.asarray(ask()["logits"], np.float64).reshape(-1)
    answer({"version": version, "margin": float(logits[1] - logits[0])})
    for line in sys.stdin:
        answer([milliseconds(ask) for _ in range(int(line))])


def milliseconds(ask: Ask) -> tuple[float, float]:
    """Return how long one film took, and how long the process's threads computed or spun meanwhile."""
    start, start_cpu = time.perf_counter_ns(), time.process_time_ns()
    ask()
    return (time.perf_counter_ns() - start) / 1e6, (time.process_time_ns() - start_cpu) / 1e6


def answer(value: Any) -> None:
    """Write one line."""
    print(json.dumps(value), flush=True)


def load_tflite(request: dict[str, Any], model_input: NDArray[np.uint8]) -> tuple[Ask, str]:
    """Open a `.tflite` file with LiteRT, whose default kernels are XNNPACK's."""
    from importlib import metadata

    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(request["model"], num_threads=request["threads"]).get_signature_runner()
    dtype = runner.get_input_details()["image"]["dtype"]
    image = np.ascontiguousarray(model_input[None, :, :, None].astype(dtype))
    return lambda: runner(image=image), f"LiteRT {metadata.version('ai-edge-litert')} XNNPACK"


def load_onnxruntime(request: dict[str, Any], model_input: NDArray[np.uint8]) -> tuple[Ask, str]:
    """Open the ONNX with ONNX Runtime, all its optimisations on."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = request["threads"], 1
    session = onnxruntime.InferenceSession(request["model"], options, providers=["CPUExecutionProvider"])
    image = channels_first(model_input)

    def ask() -> dict[str, Any]:
        return dict(zip(OUTPUTS, session.run(OUTPUTS, {"image": image}), strict=True))

    return ask, f"ONNX Runtime {onnxruntime.__version__}"


def load_openvino(request: dict[str, Any], model_input: NDArray[np.uint8]) -> tuple[Ask, str]:
    """Open the ONNX with OpenVINO, batch 1, in float32: left alone it takes bfloat16 where the processor has it."""
    import openvino  # type: ignore[import-not-found,unused-ignore]  # of a peer environment

    core = openvino.Core()
    model = core.read_model(request["model"])
    model.reshape([1, 1, 224, 224])
    config = {
        "INFERENCE_NUM_THREADS": request["threads"],
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    inference, image = core.compile_model(model, "CPU", config).create_infer_request(), channels_first(model_input)

    def ask() -> dict[str, Any]:
        inference.infer({"image": image})
        return {name: inference.get_tensor(name).data for name in OUTPUTS}

    return ask, f"OpenVINO {openvino.__version__.split('-')[0]}"


def load_torch(request: dict[str, Any], model_input: NDArray[np.uint8]) -> tuple[Ask, str]:
    """Load the weights into PyTorch, eager; request: folder, arch, calibration."""
    from pathlib import Path

    import torch

    from tbconv.contract.manifest import Calibration
    from torch_train.model.deployed import load_deployed

    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["model"]), "trained", arch=request["arch"], calibration=calibration)
    image = torch.from_numpy(channels_first(model_input))

    def ask() -> dict[str, Any]:
        with torch.inference_mode():
            logits, probability, evidence = network(image)
        return {"logits": logits.numpy(), "probability": probability.numpy(), "evidence": evidence.numpy()}

    return ask, f"PyTorch {torch.__version__} eager"


def load_tensorflow(request: dict[str, Any], model_input: NDArray[np.uint8]) -> tuple[Ask, str]:
    """Open the SavedModel."""
    import tensorflow as tf  # type: ignore[import-untyped,unused-ignore]

    tf.config.threading.set_intra_op_parallelism_threads(request["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(request["model"])  # kept: a signature alone does not keep its variables
    image = tf.constant(model_input[None, :, :, None].astype(np.float32))

    def ask() -> dict[str, Any]:
        return {name: tensor.numpy() for name, tensor in loaded.signatures["serving_default"](image=image).items()}

    return ask, f"TensorFlow {tf.__version__} SavedModel"


def channels_first(model_input: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the film as PyTorch and ONNX take it: float32 [1, 1, 224, 224]."""
    return np.ascontiguousarray(model_input[None, None].astype(np.float32))


LOADERS = {
    "tflite": load_tflite,
    "onnxruntime": load_onnxruntime,
    "openvino": load_openvino,
    "torch": load_torch,
    "tensorflow": load_tensorflow,
}

if __name__ == "__main__":
    main()
