"""What an operation becomes, said to whoever makes it: Keras layers, or plain operations for TFLite.

Operations are described here once. Tensors are whatever the builder hands out: they have `shape`, the batch in front
and channels last, and `dtype`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

Border = tuple[int, int, int, int]  # rows and columns: top, left, bottom, right
Pair = tuple[int, int]  # rows and columns
Places = tuple[int, int, int]  # of an axis: the first, the one behind the last, and by how many they are apart, from 1
Combination = Literal["add", "multiply", "subtract", "divide", "maximum", "minimum", "logical_and", "logical_or"]
Comparison = Literal["greater", "greater_equal", "less", "less_equal", "equal"]
Activation = Literal[
    "relu",
    "sigmoid",
    "tanh",
    "hard_silu",
    "hard_sigmoid",
    "leaky_relu",
    "elu",
    "softmax",
    "log_softmax",
    "gelu",
    "abs",
    "exponential",
    "log",
    "sqrt",
    "reciprocal",
    "softplus",
    "sin",
    "cos",
    "power",
    "erf",
    "logical_not",
]


class Builder(Protocol):
    """Makes operations. `name` is the node's; `key` is equal for nodes that share their stored weights."""

    def image(self, sizes: tuple[int, ...], name: str | None) -> Any:
        """Return an input of these sizes; one without a name stands for what could not be made."""
        ...

    def activation(self, tensor: Any, kind: Activation, name: str, **options: float | None) -> Any:
        """Apply a function: relu takes `most`, leaky_relu `slope`, elu `alpha`, power `exponent`.

        Softmaxes are over the last axis.
        """
        ...

    def prelu(self, tensor: Any, slope: NDArray[Any], name: str, key: object) -> Any:
        """Multiply what is below zero by a slope a channel, [C]."""
        ...

    def clip(self, tensor: Any, low: float, high: float, name: str) -> Any:
        """Return min(max(x, low), high); either may be infinite."""
        ...

    def scale(self, tensor: Any, scale: Any, offset: Any, name: str) -> Any:
        """Return scale * tensor + offset; each a number or a list, one a channel."""
        ...

    def times(self, tensor: Any, factor: NDArray[Any], name: str) -> Any:
        """Multiply by stored numbers, one film's: [1, ...] of any sizes that stretch to the tensor's."""
        ...

    def plus(self, tensor: Any, addend: NDArray[Any], name: str) -> Any:
        """Add stored numbers, one film's: [1, ...] of any sizes that stretch to the tensor's."""
        ...

    def stored(self, like: Any, numbers: NDArray[Any], axis: int, name: str) -> Any:
        """Return one film's stored numbers, [1, ...], of the sizes of `like` but along an axis, for `join` alone."""
        ...

    def cut(self, tensor: Any, axis: int, places: Places, name: str) -> Any:
        """Keep some places of an axis, in their order."""
        ...

    def combine(self, tensors: Sequence[Any], kind: Combination, name: str) -> Any:
        """Combine two tensors number by number; sizes of 1 stretch. The logical ones take bool and give bool."""
        ...

    def join(self, tensors: Sequence[Any], axis: int, name: str) -> Any:
        """Concatenate tensors."""
        ...

    def dense(self, tensor: Any, kernel: NDArray[Any], bias: NDArray[Any] | None, name: str, key: object) -> Any:
        """Multiply the last axis by a kernel [I, O] and add a bias [O]."""
        ...

    def product(self, left: Any, right: Any, name: str) -> Any:
        """Multiply matrices, the last two axes of each: [..., M, K] and [..., K, N]."""
        ...

    def conv(
        self,
        tensor: Any,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,
        *,
        strides: Pair,
        dilations: Pair,
        groups: int,
    ) -> Any:
        """Convolve without a border by a kernel [H, W, I / groups, O]."""
        ...

    def depthwise(
        self,
        tensor: Any,
        kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        name: str,
        key: object,
        *,
        strides: Pair,
        dilations: Pair,
    ) -> Any:
        """Convolve each channel by itself by a kernel [H, W, C, outputs of each]."""
        ...

    def normalise(
        self,
        tensor: Any,
        statistics: Sequence[NDArray[Any]],
        name: str,
        key: object,
        *,
        epsilon: float,
        momentum: float,
    ) -> Any:
        """Apply gamma, beta, mean and variance, [C] each: gamma * (x - mean) / sqrt(variance + epsilon) + beta."""
        ...

    def standardise(
        self,
        tensor: Any,
        weights: tuple[NDArray[Any] | None, NDArray[Any] | None],
        name: str,
        key: object,
        *,
        axes: tuple[int, ...],
        epsilon: float,
    ) -> Any:
        """Return (x - mean) / sqrt(variance + epsilon) over some axes of each film, the batch not among them.

        Of the last axis alone times gamma and plus beta, [C] each, where they are given.
        """
        ...

    def border(self, tensor: Any, around: Border, name: str) -> Any:
        """Put zeros around an image."""
        ...

    def pool(
        self, tensor: Any, kind: Literal["max", "average"], kernel: Pair, strides: Pair, name: str, *, same: bool
    ) -> Any:
        """Pool without a border, or with TensorFlow's "same", which neither wins nor counts."""
        ...

    def reduce(self, tensor: Any, kind: Literal["max", "mean"], name: str, *, keep: bool) -> Any:
        """Return the mean or the largest over places of [N, H, W, C] or [N, places, C]."""
        ...

    def reshape(self, tensor: Any, sizes: tuple[int, ...], name: str) -> Any:
        """View the numbers of each film in other sizes."""
        ...

    def permute(self, tensor: Any, order: Sequence[int], name: str) -> Any:
        """Put axes in another order, the batch in front."""
        ...

    def compare(self, left: Any, right: Any, kind: Comparison, name: str) -> Any:
        """Compare a tensor with another, or with stored numbers [1, ...]; sizes of 1 stretch. bool."""
        ...

    def choose(self, where: Any, yes: Any, no: Any, name: str) -> Any:
        """Return `yes` where a bool holds, else `no`: tensors, or stored numbers [1, ...]; sizes of 1 stretch."""
        ...

    def to_float(self, tensor: Any, name: str) -> Any:
        """Return bool as float32 0 and 1."""
        ...
