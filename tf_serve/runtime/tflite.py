"""The one place where a TFLite file is opened and run; `convert` measures through it too.

Tensors are found by the names in the file's signature, never by index: the order of outputs
differs between converters. What comes back are copies, since LiteRT reuses its memory.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType, SignatureRunner
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.errors import ArtefactError
from tbconv.contract.manifest import TensorSpec
from tbconv.contract.statistics import Prediction
from tf_serve.runtime.structure import check_tflite

SIGNATURE = "serving_default"
INPUT = "image"
OUTPUTS = ("logits", "probability", "evidence")


class TFLiteModel:
    """One interpreter behind a lock: any thread may call it, one film is answered at a time."""

    def __init__(
        self, path: Path, *, threads: int = 1, xnnpack: bool = True, name: str | None = None, checked: bool = False
    ) -> None:
        """Open a file.

        Args:
            path: a `.tflite` file with the signature of ../shared/layout.md.
            threads: of this interpreter; a pool of single-threaded ones serves better.
            xnnpack: False takes LiteRT's built-in kernels instead of XNNPACK's.
            name: how errors call the file; None takes that of the path.
            checked: whether its structure was checked already, and nobody can have changed it since.

        Raises:
            ArtefactError: the file is missing, damaged, no TFLite file or has other tensors.
        """
        self._name = name or path.name
        if not checked:
            check_tflite(path, name=self._name)
        self._runner = _open_runner(path, threads, xnnpack, self._name)
        self._lock = threading.Lock()
        self.inputs = _specs(self._runner.get_input_details())
        self.outputs = _specs(self._runner.get_output_details())
        self._check_tensors()

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films one by one, as they will be served.

        Args:
            images: float32 [N, 224, 224, 1], values 0..255; whole numbers where the file takes uint8.

        Returns:
            float32 logits [N, 2], probability [N, 1], evidence [N, 7, 7]; copies.

        Raises:
            ValueError: the films have another shape, or grey levels that uint8 cannot hold.
            ArtefactError: LiteRT fails on the file while it runs.
        """
        films = self._as_input(images)
        with self._lock:
            answers = [self._answer(film[None]) for film in films]
        rows = {name: np.concatenate([answer[name] for answer in answers]) for name in OUTPUTS}
        return Prediction(rows["logits"], rows["probability"], rows["evidence"])

    def _answer(self, film: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        try:
            answer = self._runner(**{INPUT: film})
        except (ValueError, RuntimeError, SystemError) as error:  # what LiteRT raises
            raise ArtefactError(f"LiteRT cannot run {self._name}", why=_one_line(error), fix=MAKE_AGAIN) from error
        return {name: np.array(answer[name], np.float32, copy=True) for name in OUTPUTS}

    def _as_input(self, images: NDArray[np.float32]) -> NDArray[Any]:
        [spec] = self.inputs
        if images.ndim != 4 or images.shape[1:] != spec.shape[1:] or len(images) == 0:
            raise ValueError(f"{self._name} takes films of {spec.shape}, got {images.shape}")
        if spec.dtype != "uint8":
            return np.ascontiguousarray(images, np.float32)
        if images.dtype == np.uint8:
            return np.ascontiguousarray(images)
        levels = np.rint(images)
        if not (np.array_equal(levels, images) and images.min() >= 0 and images.max() <= 255):
            raise ValueError(f"{self._name} takes whole grey levels 0..255, got {images.min()}..{images.max()}")
        return np.ascontiguousarray(levels, np.uint8)

    def _check_tensors(self) -> None:
        names = tuple(spec.name for spec in self.inputs), {spec.name for spec in self.outputs}
        if names != ((INPUT,), set(OUTPUTS)):
            why = f"it takes {', '.join(names[0])} and gives {', '.join(sorted(names[1]))}"
            raise ArtefactError(f"{self._name} is not a network of tbconv", why=why, fix=MAKE_AGAIN)
        given = {spec.name: spec.dtype for spec in self.outputs if spec.dtype != "float32"}
        if self.inputs[0].dtype not in ("float32", "uint8") or given:
            said = (
                ", ".join(f"{name} is {dtype}" for name, dtype in given.items()) or f"it takes {self.inputs[0].dtype}"
            )
            why = f"{said}: steps of 8 bits, in which no map adds up to its margin"
            raise ArtefactError(f"{self._name} is a file for microcontrollers", why=why, fix=MAKE_AGAIN)
        [details] = self._runner.get_input_details().values()
        if self.inputs[0].dtype == "uint8" and details["quantization"] != (1.0, 0):
            why = f"its scale and zero point are {details['quantization']}, grey levels need (1.0, 0)"
            raise ArtefactError(f"{self._name} would receive a different image", why=why, fix=MAKE_AGAIN)


GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."  # LiteRT's, once in each process
_greeting = threading.Lock()  # held while it may come, and for good once it was kept back


@contextlib.contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep LiteRT's greeting off stderr, and pass on whatever else is written there meanwhile.

    LiteRT has no option for it. What is written by others while the first file is opened comes a moment late.
    """
    if not hasattr(os, "memfd_create") or not _greeting.acquire(blocking=False):
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            kept, held = os.dup(2), os.memfd_create("litert")
            os.dup2(held, 2)
        except OSError:  # there is no stderr
            yield
            return
        stack.callback(_pass_on, kept, held)
        yield


def _pass_on(kept: int, held: int) -> None:
    os.dup2(kept, 2)
    with os.fdopen(held, "rb") as file:
        file.seek(0)
        rest = b"".join(line for line in file if line.rstrip() != GREETING)
    with contextlib.suppress(OSError):
        os.write(kept, rest)
    os.close(kept)


def _open_runner(path: Path, threads: int, xnnpack: bool, name: str) -> SignatureRunner:
    with _without_greeting():
        return _open(path, threads, xnnpack, name)


def _open(path: Path, threads: int, xnnpack: bool, name: str) -> SignatureRunner:
    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner(_signature(list(interpreter.get_signature_list())))
    except (
        ValueError,
        RuntimeError,
        SystemError,
        MemoryError,
    ) as error:  # what LiteRT raises on a file it cannot prepare
        raise ArtefactError(f"LiteRT cannot open {name}", why=_one_line(error), fix=MAKE_AGAIN) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _signature(names: list[str]) -> str:
    if SIGNATURE in names:
        return SIGNATURE
    if len(names) != 1:
        raise ValueError(f"its signatures are {names}, not {SIGNATURE}")
    return names[0]


def _specs(details: dict[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, np.dtype(detail["dtype"]).name, tuple(int(side) for side in detail["shape_signature"]))
        for name, detail in sorted(details.items())
    )
