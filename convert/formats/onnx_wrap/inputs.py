"""What a file takes: the one image among its inputs, its layout, kind and size, and numbers that stand for the others.

Nothing of it is guessed: what the file leaves open comes from the command line or is refused with the option to add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import infer_shapes
from convert.formats.onnx_wrap.admit import output_sides, refused, shape_of
from convert.formats.onnx_wrap.names import fresh, names_in, rename_tensors
from tbconv.contract.errors import ConfigError

CHANNELS = (1, 3)
KINDS = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
}
# What an integer image may go through before it is cast to a float: operations that compute nothing.
MOVING = ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split", "Concat")
TO_FIRST = [0, 3, 1, 2]  # of axes: [N, H, W, C] to [N, C, H, W]


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The input that takes films, as the file states it; sides that it leaves open are those of `--size`."""

    name: str
    dtype: str  # of KINDS
    shape: tuple[int | str | None, ...]  # as stated
    channels_last: bool  # [N, H, W, C]
    channels: int
    height: int
    width: int
    without_channels: bool = False  # [N, H, W]

    @property
    def batch(self) -> int | str | None:
        """The batch as stated: a number, a name, or nothing."""
        return self.shape[0]

    def sides(self, batch: int | str | None) -> list[int | str | None]:
        """Return the sides of a batch, in the file's own layout."""
        places = [self.height, self.width]
        if self.without_channels:
            return [batch, *places]
        return [batch, *places, self.channels] if self.channels_last else [batch, self.channels, *places]


@dataclass(frozen=True, slots=True)
class FixedInput:
    """Another input, at the numbers that were given for it."""

    name: str
    values: NDArray[Any]  # [1, ...] where it has a batch, else as the file states it
    by_film: bool  # whether its first axis is the batch

    def to_json(self) -> dict[str, Any]:
        """Return what a runner feeds."""
        return {"values": self.values.tolist(), "dtype": self.values.dtype.name, "by_film": self.by_film}


def read_inputs(
    model: onnx.ModelProto, *, size: Sequence[int] | None, given: Mapping[str, Sequence[float]]
) -> tuple[ImageInput, tuple[FixedInput, ...]]:
    """Return the image and the other inputs.

    Args:
        model: with its stored inputs, as files of IR version 3 have them.
        size: height and width where the file leaves them open; None: it must not.
        given: numbers by the name of an input, one or as many as it has for one film.

    Raises:
        ConversionError: no input, or several, can be the image; it has another layout, kind or size than films can be
            brought to; or an input has no numbers.
        ConfigError: numbers for an input that the file has not, or that do not fit it; a size that it contradicts.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in stored}
    if unknown := sorted(set(given) - set(inputs)):
        why = f"the file has {', '.join(inputs) or 'none'}"
        raise ConfigError(f"--input {unknown[0]} is no input of the file", why=why, fix=f"omit --input {unknown[0]}")
    left = {name: value for name, value in inputs.items() if name not in given}
    by_axes = [[value for value in left.values() if len(shape_of(value)) == axes] for axes in (4, 3)]
    images = next(filter(None, by_axes), list(left.values()))
    if len(images) != 1:
        raise _ambiguous(inputs, images)
    if len(left) > 1:
        others = [name for name in left if name != images[0].name]
        what = f"it has {len(inputs)} inputs: {', '.join(inputs)}"
        options = " ".join(f"--input {name}=NUMBER" for name in others)
        why = f"a film is {images[0].name}; nothing is known of {', '.join(others)}"
        raise refused(what, why, f"add {options}, which all files then hold for every film; or export without")
    image = _image(images[0], size)
    if image.without_channels:
        _require_batch(model, image)
    return image, tuple(_fixed(inputs[name], image, given[name]) for name in inputs if name in given)


def _ambiguous(inputs: Mapping[str, onnx.ValueInfoProto], images: Sequence[onnx.ValueInfoProto]) -> Exception:
    names = ", ".join(f"{name} {_said(shape_of(value))}" for name, value in inputs.items()) or "none"
    what = f"it has {len(inputs)} inputs: {names}"
    if not images:
        return refused(what, "a film must go into one of them", "leave one of them without --input")
    several = ", ".join(one.name for one in images)
    return refused(what, f"a film is one image, and {several} could each be it", "export a network of one image")


def _image(value: onnx.ValueInfoProto, size: Sequence[int] | None) -> ImageInput:
    name, shape, kind = value.name, shape_of(value), value.type.tensor_type.elem_type
    said = f"its input {name} is {_said(shape)}"
    if kind not in KINDS:
        found = TensorProto.DataType.Name(kind)
        why = "it is not known which of its numbers is black and which is white"
        raise refused(f"its input {name} is {found}", why, f"export it with an input of {', '.join(KINDS.values())}")
    dims = value.type.tensor_type.shape.dim
    if any(one.HasField("dim_value") and not one.dim_value for one in dims):
        shown = [one.dim_value if one.HasField("dim_value") else one.dim_param or None for one in dims]
        why = "a side of 0 holds no number, and ONNX Runtime takes none there"
        raise refused(f"its input {name} is {_said(shown)}", why, "export it with sizes above 0, or dynamic ones")
    if len(shape) == 3:
        height, width = _sides(said, shape[1:], size)
        return ImageInput(name, KINDS[kind], tuple(shape), False, 1, height, width, without_channels=True)
    if len(shape) != 4:
        why = "an image is [N, C, H, W], [N, H, W, C] or, of one channel, [N, H, W], with N films"
        raise refused(said, why, "export a network that takes images, with a batch")
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if not first and not last and not (isinstance(shape[1], int) and isinstance(shape[3], int)):
        why = "its channels are open: whether it takes one or three is not stated"
        raise refused(said, why, "export it with 1 or 3 channels fixed")
    if not first and not last:
        why = "a grey film gives one channel, or the same in three"
        raise refused(said, why, "export it as [N, 1 or 3, H, W] or [N, H, W, 1 or 3]")
    channels, sides = (shape[1], shape[2:]) if first else (shape[3], shape[1:3])
    if first and last and shape[1] != shape[3]:
        raise refused(said, "either axis could be that of channels", "export it with a size above 3")
    height, width = _sides(said, sides, size)
    return ImageInput(name, KINDS[kind], tuple(shape), not first, int(channels or 0), height, width)


def _require_batch(model: onnx.ModelProto, image: ImageInput) -> None:
    """Refuse an image without channels whose first axis is fixed and none of films: [C, H, W], as its outputs tell."""
    first = [(value.name, (output_sides(model, value) or [None])) for value in model.graph.output]
    if other := next((one for one in first if isinstance(image.batch, int) and one[1][0] != image.batch), None):
        what = f"its input {image.name} is {_said(image.shape)} and its output {other[0]} {_said(other[1])}"
        why = "films come in batches, and it has no axis of them"
        raise refused(what, why, "export it with an input [N, 1, H, W], or [N, 3, H, W]")


def _sides(said: str, sides: Sequence[int | str | None], size: Sequence[int] | None) -> tuple[int, int]:
    if size is None:
        if not all(isinstance(side, int) for side in sides):
            why = "a converted file has one size, and the file does not state which one this network was trained at"
            raise refused(f"{said}, height or width dynamic", why, "add --size H or --size H,W, such as --size 224")
        height, width = (int(side or 0) for side in sides)
        return height, width
    if any(isinstance(side, int) and side != wanted for side, wanted in zip(sides, size, strict=True)):
        shown = ",".join(str(one) for one in size)
        raise ConfigError(f"--size {shown} does not fit: {said}", why="the file fixes it", fix="omit --size")
    height, width = size
    return height, width


def _fixed(value: onnx.ValueInfoProto, image: ImageInput, numbers: Sequence[float]) -> FixedInput:
    """Return an input at its numbers; one number fills it."""
    shape, kind, option = shape_of(value), value.type.tensor_type.elem_type, f"--input {value.name}"
    by_film = bool(shape) and (not isinstance(shape[0], int) or shape[0] == image.batch)
    sides = shape[1:] if by_film else shape
    if not all(isinstance(side, int) for side in sides):
        why = "only its first side may be open"
        raise refused(f"its input {value.name} is {_said(shape)}", why, "export it with fixed sizes")
    try:
        dtype = helper.tensor_dtype_to_np_dtype(kind)
    except KeyError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":
        found = TensorProto.DataType.Name(kind)
        raise refused(f"its input {value.name} is {found}", "numbers are needed", "export without it")
    wanted = (1, *(int(side or 0) for side in sides)) if by_film else tuple(int(side or 0) for side in sides)
    count = int(np.prod(wanted, dtype=np.int64))
    if len(numbers) not in (1, count):
        what = f"{option} has {len(numbers)} numbers, the input {_said(shape)} takes {count}"
        raise ConfigError(what, why="each place of it needs one", fix="give one for all, or as many as it takes")
    array = np.array(numbers, np.float64)
    stored = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(stored.astype(np.float64), array):
        what = f"{option}={','.join(f'{one:g}' for one in numbers)} for an input of {dtype.name}"
        raise ConfigError(what, why="it cannot be stored as that", fix="give whole numbers in its range")
    filled = stored.reshape(wanted) if stored.size == count else np.broadcast_to(stored, wanted)
    return FixedInput(value.name, filled, by_film)


def take_image_alone(model: onnx.ModelProto, image: ImageInput, fixed: Sequence[FixedInput]) -> onnx.ValueInfoProto:
    """Leave the image as the only input, at a fixed size and in float32, in place; return it.

    The other inputs become constants of one film. Where one meets films in a Concat, which does not stretch, it is
    repeated by their number.

    Raises:
        ConversionError: the file computes with the integers of its image.
    """
    value = onnx.ValueInfoProto()
    value.CopyFrom(next(one for one in model.graph.input if one.name == image.name))
    if image.dtype == "uint8":
        _require_cast(model, image.name)
    value.CopyFrom(helper.make_tensor_value_info(image.name, TensorProto.FLOAT, image.sides(image.batch)))
    del model.graph.input[:]
    model.graph.input.append(value)
    model.graph.initializer.extend(numpy_helper.from_array(np.array(one.values), one.name) for one in fixed)
    if repeated := [one.name for one in fixed if one.by_film]:
        _repeat_by_film(model, image.name, repeated)
    return model.graph.input[0]


def _require_cast(model: onnx.ModelProto, name: str) -> None:
    """Refuse an integer image that is computed with: as float32 its sums don't wrap, and its quotients don't round."""
    integers = {name}
    for node in model.graph.node:
        if integers.isdisjoint(node.input):
            continue
        if node.op_type in MOVING:
            integers |= set(node.output)
        elif node.op_type not in ("Cast", "Shape"):
            what = f"it computes with its uint8 input {name} in {node.name or 'a node'} ({node.op_type})"
            raise refused(
                what, "integers wrap and round otherwise than float32", "cast it to float first, or export so"
            )


def _repeat_by_film(model: onnx.ModelProto, image: str, names: Sequence[str]) -> None:
    """Expand what depends on fixed inputs alone, [1, ...], to the batch wherever a Concat joins it with films."""
    still, ranks = {*names}, {name: len(sides) for name, sides in infer_shapes(model).items()}
    ranks |= {one.name: len(one.dims) for one in model.graph.initializer}
    constants = {one.name for one in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        read = {one for one in node.input if one}
        if node.op_type == "Constant":
            constants |= set(node.output)
        elif not read.isdisjoint(still) and read <= still | constants:
            still |= set(node.output)
        elif node.op_type == "Concat":
            for at, one in enumerate(node.input):
                if one in still and ranks.get(one):
                    nodes += _expand(model, image, node, at, ranks[one])
        nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _expand(model: onnx.ModelProto, image: str, node: onnx.NodeProto, at: int, rank: int) -> list[onnx.NodeProto]:
    taken, source = names_in(model), node.input[at]
    parts = (f"{source}_{part}_{node.output[0]}" for part in ("shape", "n", "to", "all"))
    batch, first, target, made = (fresh(one, taken) for one in parts)
    zero, ones = fresh(f"{batch}_at", taken), fresh(f"{target}_ones", taken)
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), zero))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(rank - 1, np.int64), ones))
    node.input[at] = made
    return [
        helper.make_node("Shape", [image], [batch]),
        helper.make_node("Gather", [batch, zero], [first], axis=0),
        helper.make_node("Concat", [first, ones], [target], axis=0),
        helper.make_node("Expand", [source, target], [made]),
    ]


def meets_channels_first(model: onnx.ModelProto, image: ImageInput, name: str) -> bool:
    """Let the nodes that bring [N, H, W, C] or [N, H, W] to [N, C, H, W] go, in place, where nothing else reads it.

    Returns:
        Whether they went: `name` is then read as [N, C, H, W].
    """
    readers = [node for node in model.graph.node if name in node.input]
    if not readers or not all(_moves_first(model, node, image) for node in readers):
        return False
    gone = {node.output[0]: name for node in readers}
    if gone.keys() & {value.name for value in model.graph.output}:
        return False
    kept = [node for node in model.graph.node if not (name in node.input and node.output[0] in gone)]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    rename_tensors(model, gone)
    return True


def _moves_first(model: onnx.ModelProto, node: onnx.NodeProto, image: ImageInput) -> bool:
    if node.op_type == "Transpose":
        return [list(one.ints) for one in node.attribute if one.name == "perm"] == [TO_FIRST]
    if node.op_type not in ("Reshape", "Unsqueeze") or image.channels != 1:  # of one channel no number moves
        return False
    sizes = _stored_input(model, node, 1)
    if node.op_type == "Unsqueeze":  # before opset 13 an attribute
        axes = sizes or [int(number) for one in node.attribute if one.name == "axes" for number in one.ints]
        return image.without_channels and axes in ([1], [-3])
    return len(sizes) == 4 and sizes[0] in (-1, 0, image.batch) and sizes[1:] == [1, image.height, image.width]


def _stored_input(model: onnx.ModelProto, node: onnx.NodeProto, index: int) -> list[int]:
    """Return a stored input of a node as whole numbers; nothing where it is left out, or computed."""
    name = node.input[index] if index < len(node.input) else ""
    constants = [
        (one.output[0], given.t)
        for one in model.graph.node
        if one.op_type == "Constant"
        for given in one.attribute
        if given.name == "value"
    ]
    stored = dict([*((one.name, one) for one in model.graph.initializer), *constants]).get(name)
    return [] if stored is None else [int(one) for one in numpy_helper.to_array(stored).reshape(-1)]


def _said(shape: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
