"""Where a window may leave the image: ONNX's pads, auto_pad and ceil_mode as numbers of rows and columns.

TensorFlow's own "same" puts the odd row below and right, PyTorch pads evenly: with stride 2 these
differ, so borders are always numbers here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import layers

from convert.keras_walk import Value, layer_name, unknown
from convert.onnx_graph import Node

Border = tuple[int, int, int, int]  # rows and columns: top, left, bottom, right
NOTHING: Border = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel walks over an image."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    size: tuple[int, int]  # of the image: rows, columns

    @property
    def same(self) -> Border:
        """What TensorFlow's "same" and ONNX's SAME_UPPER add: the odd one below and right."""
        top, bottom = self._same(0)
        left, right = self._same(1)
        return top, left, bottom, right

    def _same(self, axis: int) -> tuple[int, int]:
        stride, reach = self.strides[axis], (self.kernel[axis] - 1) * self.dilations[axis] + 1
        total = max((-(-self.size[axis] // stride) - 1) * stride + reach - self.size[axis], 0)
        return total // 2, total - total // 2

    def left_over(self, border: Border) -> bool:
        """Whether rows or columns are left behind the last whole step: ceil_mode would add a window."""
        sums = border[0] + border[2], border[1] + border[3]
        reach = [(kernel - 1) * step + 1 for kernel, step in zip(self.kernel, self.dilations, strict=True)]
        steps = zip(self.size, sums, reach, self.strides, strict=True)
        return any((size + added - wide) % stride for size, added, wide, stride in steps)


def window(node: Node, value: Value, kernel: tuple[int, ...]) -> Window:
    """Return the window of a convolution or a pool over an image; ConversionError if it is not 2-D."""
    if len(kernel) != 2:
        raise unknown(node, f"its kernel {list(kernel)} is not one of rows and columns")
    strides, dilations = (tuple(node.attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    rows, columns = value.shape[1:]
    return Window((kernel[0], kernel[1]), (strides[0], strides[1]), (dilations[0], dilations[1]), (rows, columns))


def border(node: Node, over: Window) -> Border:
    """Return the rows and columns that a node adds around its image, auto_pad written out."""
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "NOTSET":
        top, left, bottom, right = node.attributes.get("pads", NOTHING)
        return top, left, bottom, right
    top, left, bottom, right = over.same
    found = {"VALID": NOTHING, "SAME_UPPER": over.same, "SAME_LOWER": (bottom, right, top, left)}
    if auto not in found:
        raise unknown(node, f"auto_pad {auto} is unknown")
    return found[auto]


def with_zeros(node: Node, value: Value, around: Border) -> Any:
    """Return the image with zeros around it, as a layer of its own where there are any."""
    top, left, bottom, right = around
    if not any(around):
        return value.tensor
    if min(around) < 0:
        raise unknown(node, f"its pads {list(around)} cut off the border")
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=f"{layer_name(node)}.pad")(value.tensor)
