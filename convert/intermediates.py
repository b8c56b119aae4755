"""What every operator of a TFLite file computes on a film: LiteRT with all tensors kept, for the quantiser.

With all tensors kept XNNPACK takes each operator by itself (ai-edge-litert 2.1.2), so these are
the kernels that serve, at their speed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

THREADS = 2


class Intermediates:
    """One file; `ask` a film, then read tensors by index."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._interpreter = Interpreter(
            model_content=bytes(data), num_threads=THREADS, experimental_preserve_all_tensors=True
        )
        self._interpreter.allocate_tensors()
        [self._input] = self._interpreter.get_input_details()
        self._details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}

    def ask(self, square: NDArray[np.uint8]) -> None:
        """Answer one film, uint8 [224, 224]."""
        film = square[None, :, :, None].astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], film)
        self._interpreter.invoke()

    def value(self, tensor: int) -> NDArray[np.float32]:
        """Return a tensor of the last film, int8 ones in real numbers."""
        stored = self._interpreter.get_tensor(tensor)
        scale, zero = self._details[tensor]["quantization"]
        return np.asarray(stored, np.float32) if not scale else np.float32(scale) * (stored.astype(np.float32) - zero)


def mean_by_channel(
    data: bytes | bytearray, tensors: list[int], squares: NDArray[np.uint8]
) -> dict[int, NDArray[np.float64]]:
    """Return by tensor [N, H, W, C] the mean of each channel over films and places, float64 [C]."""

    def mean(value: NDArray[np.float32]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = value.mean((0, 1, 2), dtype=np.float64)
        return found

    rows = over_films(data, tensors, squares, mean)
    return {tensor: np.mean(found, axis=0) for tensor, found in rows.items()}


def over_films[Found](
    data: bytes | bytearray,
    tensors: list[int],
    squares: NDArray[np.uint8],
    read: Callable[[NDArray[np.float32]], Found],
) -> dict[int, list[Found]]:
    """Return by tensor what `read` makes of it, film by film."""
    asked = Intermediates(data)
    found: dict[int, list[Found]] = {tensor: [] for tensor in tensors}
    for square in squares:
        asked.ask(square)
        for tensor in tensors:
            found[tensor].append(read(asked.value(tensor)))
    return found
