"""Tables and vectors of a `.tflite` file, none of which may leave it (as `flatbuffers::Verifier` does in C++).

Fields are named by position as schema.fbs version 3 has them; a field that is not in these lists is refused. What the
tables say of a graph is judged elsewhere (tf_serve.runtime.structure).
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Fault = Literal["kind", "offset", "count", "index", "shape", "dtype", "operation", "order", "quantization", "size"]
MOST_OF_A_VECTOR = 4096  # inputs of an operation, sides of a shape
MOST_TABLES = 16_384  # of one kind; a network of cross-covariance and windows has 5,328 tensors


class Unsound(Exception):  # noqa: N818  (it is a finding; callers of check_tflite see an ArtefactError)
    """What is wrong with a file, and of which kind it is."""

    def __init__(self, fault: Fault, why: str) -> None:
        super().__init__(why)
        self.fault = fault
        self.why = why


NUMBERS = {
    name: struct.Struct(f"<{code}")
    for name, code in {"i8": "b", "u8": "B", "i32": "i", "u32": "I", "f32": "f", "bool": "?"}.items()
}
_ITEMS = {"u8s": 1, "i32s": 4, "f32s": 4, "i64s": 8, "string": 1, "tables": 4}
REFUSED = "refused"  # a field that no file of tbconv has, such as weights outside of the file

_SCHEMA = {
    "Model": (
        "version:u32 operator_codes:tables subgraphs:tables description:string buffers:tables "
        "metadata_buffer:refused metadata:tables signature_defs:tables"
    ),
    "OperatorCode": "deprecated_builtin_code:i8 custom_code:refused version:i32 builtin_code:i32",
    "SubGraph": "tensors:tables inputs:i32s outputs:i32s operators:tables name:string",
    "Tensor": (
        "shape:i32s type:i8 buffer:u32 name:string quantization:table is_variable:refused sparsity:refused "
        "shape_signature:i32s has_rank:bool"
    ),
    "QuantizationParameters": (
        "min:f32s max:f32s scale:f32s zero_point:i64s details_type:refused details:refused quantized_dimension:i32"
    ),
    "Operator": "opcode_index:u32 inputs:i32s outputs:i32s builtin_options_type:u8 builtin_options:table",
    "Buffer": "data:u8s",
    "Metadata": "name:string buffer:u32",
    "SignatureDef": "inputs:tables outputs:tables signature_key:string deprecated_tag:refused subgraph_index:u32",
    "TensorMap": "name:string tensor_index:u32",
    "Conv2DOptions": (
        "padding:i8 stride_w:i32 stride_h:i32 fused_activation_function:i8 dilation_w_factor:i32 "
        "dilation_h_factor:i32 quantized_bias_type:i8"
    ),
    "DepthwiseConv2DOptions": (
        "padding:i8 stride_w:i32 stride_h:i32 depth_multiplier:i32 fused_activation_function:i8 "
        "dilation_w_factor:i32 dilation_h_factor:i32"
    ),
    "Pool2DOptions": (
        "padding:i8 stride_w:i32 stride_h:i32 filter_width:i32 filter_height:i32 fused_activation_function:i8"
    ),
    "FullyConnectedOptions": (
        "fused_activation_function:i8 weights_format:refused keep_num_dims:bool asymmetric_quantize_inputs:bool "
        "quantized_bias_type:i8"
    ),
    "BatchMatMulOptions": "adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool",
    "GeluOptions": "approximate:bool",
    "LeakyReluOptions": "alpha:f32",
    "SoftmaxOptions": "beta:f32",
    "ResizeBilinearOptions": "new_height:refused new_width:refused align_corners:bool half_pixel_centers:bool",
    "ResizeNearestNeighborOptions": "align_corners:bool half_pixel_centers:bool",
    "DepthToSpaceOptions": "block_size:i32",
    "SpaceToDepthOptions": "block_size:i32",
    "TransposeConvOptions": (
        "padding:i8 stride_w:i32 stride_h:i32 fused_activation_function:i8 quantized_bias_type:i8"
    ),
    "LocalResponseNormalizationOptions": "radius:i32 bias:f32 alpha:f32 beta:f32",
    "ConcatenationOptions": "axis:i32 fused_activation_function:i8",
    "AddOptions": "fused_activation_function:i8 pot_scale_int16:bool",
    "SubOptions": "fused_activation_function:i8 pot_scale_int16:bool",
    "MulOptions": "fused_activation_function:i8",
    "DivOptions": "fused_activation_function:i8",
    "ReshapeOptions": "new_shape:i32s",
    "ReducerOptions": "keep_dims:bool",
    "CastOptions": "in_data_type:i8 out_data_type:i8",
    "GatherOptions": "axis:i32 batch_dims:refused",
    "PackOptions": "values_count:i32 axis:i32",
    "StridedSliceOptions": (
        "begin_mask:i32 end_mask:i32 ellipsis_mask:refused new_axis_mask:refused shrink_axis_mask:i32 offset:refused"
    ),
    "ShapeOptions": "out_type:i8",
}
FIELDS = {table: dict(row.split(":") for row in text.split()) for table, text in _SCHEMA.items()}
DEFAULTS = {
    ("OperatorCode", "version"): 1,
    ("Conv2DOptions", "dilation_w_factor"): 1,
    ("Conv2DOptions", "dilation_h_factor"): 1,
    ("DepthwiseConv2DOptions", "dilation_w_factor"): 1,
    ("DepthwiseConv2DOptions", "dilation_h_factor"): 1,
}


class Reader:
    """Reads tables and vectors by offset, never beyond the file."""

    def __init__(self, data: mmap.mmap | bytes | bytearray | memoryview) -> None:
        self.data = data
        self.size = len(data)
        self._vtables: dict[int, tuple[int, tuple[int, ...]]] = {}

    def root(self) -> int:
        """Return where the root table is."""
        return int(self._number(0, "u32"))

    def table(self, place: int, name: str) -> dict[str, Any]:
        """Return the fields of a table: numbers as they are, vectors and strings as (place, count), tables as place.

        A field that is absent has its default, which is 0 for most numbers and None for the rest.
        """
        self._check_inside(place, 4, 4)
        length, offsets = self._vtable(place - self._number(place, "i32"))
        self._check_inside(place, length, 4)
        fields = FIELDS.get(name, {})
        if any(offsets[len(fields) :]):
            raise Unsound("operation", f"{name} has a field that files of tbconv do not have")
        found: dict[str, Any] = {}
        for number, (key, kind) in enumerate(fields.items()):
            offset = offsets[number] if number < len(offsets) else 0
            found[key] = self._field(place, length, offset, kind, name, key)
        return found

    def tables(self, vector: tuple[int, int] | None, what: str) -> list[int]:
        """Return where the tables of a vector are."""
        offsets = self._unpack(vector, "I", what, MOST_TABLES) if vector else ()
        return [vector[0] + 4 * number + offset for number, offset in enumerate(offsets)] if vector else []

    def integers(self, vector: tuple[int, int] | None, what: str) -> tuple[int, ...]:
        """Return an int32 vector."""
        return self._unpack(vector, "i", what, MOST_OF_A_VECTOR) if vector else ()

    def array(self, vector: tuple[int, int] | None, dtype: str) -> NDArray[Any]:
        """Return a vector of numbers without copying it."""
        place, count = vector or (0, 0)
        return np.frombuffer(self.data, dtype, count, place)

    def text(self, vector: tuple[int, int] | None, what: str) -> str:
        """Return a short printable string."""
        place, count = vector or (0, 0)
        raw = bytes(self.data[place : place + min(count, 200)])
        if not 0 < count <= 100 or not raw.isascii() or not raw.decode("ascii").isprintable():
            raise Unsound("kind", f"{what} is called {raw[:40]!r}")
        return raw.decode("ascii")

    def _unpack(self, vector: tuple[int, int], code: str, what: str, most: int) -> tuple[int, ...]:
        place, count = vector
        if count > most:
            raise Unsound("count", f"{count:,} {what}, {most:,} are the most")
        return struct.unpack_from(f"<{count}{code}", self.data, place)

    def _field(self, place: int, length: int, offset: int, kind: str, name: str, key: str) -> Any:
        if offset == 0:
            return DEFAULTS.get((name, key), 0) if kind in NUMBERS else None
        if kind == REFUSED:
            raise Unsound("operation", f"{name} has {key}, which no file of tbconv has")
        size = NUMBERS[kind].size if kind in NUMBERS else 4
        if offset < 4 or offset + size > length or (place + offset) % size:
            raise Unsound("offset", f"{key} lies outside of its {name}")
        if kind in NUMBERS:
            return self._number(place + offset, kind)
        target = place + offset + self._number(place + offset, "u32")
        if kind == "table":
            return target
        self._check_inside(target, 4, 4)
        item, count = _ITEMS[kind], self._number(target, "u32")
        self._check_inside(target + 4, item * count + (kind == "string"), min(item, 4))
        if kind == "string" and self.data[target + 4 + count] != 0:
            raise Unsound("offset", f"{key} of {name} does not end with a zero")
        return target + 4, count

    def _vtable(self, place: int) -> tuple[int, tuple[int, ...]]:
        """Return how long a table is and where its fields are, from its start."""
        known = self._vtables.get(place)
        if known is None:
            self._check_inside(place, 4, 2)
            own, length = struct.unpack_from("<2H", self.data, place)
            if own < 4 or own % 2 or length < 4:
                raise Unsound("offset", f"a vtable of {own} bytes says that its table has {length}")
            self._check_inside(place, own, 2)
            known = length, struct.unpack_from(f"<{(own - 4) // 2}H", self.data, place + 4)
            self._vtables[place] = known
        return known

    def _number(self, place: int, kind: str) -> Any:
        return NUMBERS[kind].unpack_from(self.data, place)[0]

    def _check_inside(self, place: int, length: int, alignment: int) -> None:
        if place < 0 or place + length > self.size:
            why = f"an offset leaves its {self.size:,} bytes: it was cut off or overwritten"
            raise Unsound("offset", why)
        if place % alignment:
            raise Unsound("offset", f"an offset is no multiple of {alignment}")
