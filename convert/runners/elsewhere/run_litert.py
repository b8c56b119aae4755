"""Run a TFLite file in whatever Python and processor this is: numpy and LiteRT alone, nothing of this project.

It is run as a file, by Pythons of other systems and versions, so it imports nothing of ours and keeps to Python 3.11.

    python run_litert.py REQUEST.json

The request names the file (`artefact`), the films (`images`, .npy uint8 [N, S, S]), the API (`interpreter` or
`compiled`), where the outputs go (`out`, .npz: [n, ...] by name) and how many seconds of this process's time may pass
(`seconds`, null for any). The file is opened once; a film is begun while time is left, and at least one is run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = "serving_default"
Run = Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]


def main(place: str) -> None:
    """Run the films and print what ran them, as a line of JSON."""
    with open(place, encoding="utf-8") as file:  # noqa: PTH123  (as plain as it can be)
        request = json.load(file)
    films = np.load(request["images"], allow_pickle=False)
    run = {"interpreter": open_interpreter, "compiled": open_compiled}[request["api"]](request["artefact"])
    rows = run_films(run, films, request["seconds"])
    np.savez(request["out"], allow_pickle=False, **rows)
    print(json.dumps({"films": len(next(iter(rows.values()))), "runtime": runtime_name(request["api"])}))  # noqa: T201


def run_films(run: Run, films: NDArray[np.uint8], seconds: float | None) -> dict[str, NDArray[Any]]:
    """Run film by film, in one opened file; copies of the outputs by name, [n, ...]."""
    answers: list[dict[str, NDArray[Any]]] = []
    for film in films:
        answers.append(run(film[None, :, :, None]))
        if seconds is not None and time.process_time() >= seconds:
            break
    return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}


def open_interpreter(path: str) -> Run:
    """Open a file as the server does: LiteRT's Interpreter, XNNPACK, one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(SIGNATURE)
    [(name, detail)] = runner.get_input_details().items()

    def run(film: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        found = runner(**{name: film.astype(detail["dtype"])})
        return {key: np.array(value, copy=True) for key, value in found.items()}

    return run


def open_compiled(path: str) -> Run:
    """Open a file by CompiledModel, on the processor, one thread; every buffer is made once and used for all films."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    model = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.CPU)
    [(name, detail)] = model.get_input_tensor_details(SIGNATURE).items()
    outputs = model.get_output_tensor_details(SIGNATURE)
    given = {name: model.create_input_buffer_by_name(SIGNATURE, name)}
    made = {key: model.create_output_buffer_by_name(SIGNATURE, key) for key in outputs}

    def run(film: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        given[name].write(np.ascontiguousarray(film.astype(np.dtype(detail["dtype"]))))
        model.run_by_name(SIGNATURE, given, made)
        return {key: _read(made[key], one) for key, one in outputs.items()}

    return run


def _read(buffer: Any, detail: dict[str, Any]) -> NDArray[Any]:
    shape = [int(side) for side in detail["shape"]]
    values = buffer.read(int(np.prod(shape)), np.dtype(detail["dtype"]).type)
    return np.array(values, copy=True).reshape(shape)


def runtime_name(api: str) -> str:
    """Return what ran the films, with its version."""
    return f"LiteRT {metadata.version('ai-edge-litert')} {'CompiledModel' if api == 'compiled' else 'Interpreter'}"


if __name__ == "__main__":
    main(sys.argv[1])
