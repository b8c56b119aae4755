"""Operations that change the shape or nothing at all, and stored values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import BATCH, Node, batches_in
from convert.formats.ops.builder import Places
from convert.formats.ops.walk import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    IMAGE_RANK,
    MOST_COPIES,
    Value,
    Walk,
    as_onnx,
    here,
    layer_name,
    only,
    unknown,
)

# --- reshape ---
# Other views of the same numbers: the batch stays in front, and channels are last here whatever ONNX says.


def transpose(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Permute; no layer where channels are last already, or come back.

    TFLite: TRANSPOSE, or no operator.

    Behind one that moves the batch from the front may only follow what takes parts of other axes, or moves it back.
    """
    value = only(node, values, anywhere=True)
    rank, batch = len(value.tensor.shape) - (value.rows > 1), value.batch_at  # rows stay with the batch
    order = [int(axis) for axis in node.attributes.get("perm", range(rank)[::-1])]
    if sorted(order) != list(range(rank)) or value.rows_first:
        raise unknown(node, f"{order} is no order of {rank} axes, or rows stand before the batch")
    others = [axis for axis in range(rank) if axis != batch]
    stands = list(CHANNELS_LAST) if value.channels_first else [batch, *others]  # ONNX's axis of each of the tensor's
    kept, moved = tuple(order.index(axis) for axis in stands), order.index(batch)
    if value.rows == 1 and moved == 0 and kept in (tuple(range(rank)), CHANNELS_LAST):
        return Value(value.tensor, channels_first=kept == CHANNELS_LAST, nonnegative=value.nonnegative)
    wanted = [stands.index(axis) for axis in (batch, *(one for one in order if one != batch))]
    wanted = wanted if value.rows == 1 else [0, 1, *(axis + 1 for axis in wanted[1:])]
    still = wanted == list(range(len(wanted)))
    made = value.tensor if still else walk.make.permute(value.tensor, wanted, layer_name(node))
    return Value(made, rows=value.rows, batch_at=moved, nonnegative=value.nonnegative)


def reshape(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Reshape, with Permute before it where an image of several places is flattened in ONNX's order.

    TFLite: RESHAPE, with TRANSPOSE before it.

    Rows folded into the batch are kept as an axis. Where a Transpose moved the batch (torch's MultiheadAttention), what
    stands before it stays there, or is folded into it. The target is stored, or computed from the input's own shape.
    """
    value, target = only(node, values, anywhere=True), [int(size) for size in walk.constant(node, 1)]
    plain = not value.batch_at and not value.rows_first and not any(batches_in(size) for size in target[1:])
    return _to(walk, node, value, target) if plain else _around_batch(walk, node, value, target)


def _around_batch(walk: Walk, node: Node, value: Value, target: list[int]) -> Value:
    """Return other sizes where the batch is not in front before or behind, and rows may be folded into it, or come out.

    The batch of the target is one of its sizes, times rows of a film; the sizes before it are those before.
    """
    allowed = not node.attributes.get("allowzero", 0) and value.rows == 1
    given = [value.sizes[at] if size == 0 and allowed else size for at, size in enumerate(target)]
    counted = [at for at, size in enumerate(given) if batches_in(size)]
    whole, name = prod(value.tensor.shape[1:]), layer_name(node)
    if len(counted) != 1 or given.count(-1) > 1 or value.channels_first:
        raise unknown(node, f"the batch is not one size of {_shown(target)}")
    [place], rows = counted, batches_in(given[counted[0]])
    known = prod(size for at, size in enumerate(given) if at != place and size != -1) * rows
    sizes = [whole // known if size == -1 else size for size in given]
    before, after = sizes[:place], sizes[place + 1 :]
    ahead = value.rows if value.rows_first else prod(value.shape[: value.batch_at])  # of a film's rows before the batch
    if prod(before) * rows * prod(after) != whole or min(sizes) < 1 or (value.rows > 1 and not value.rows_first):
        raise unknown(node, f"{_shown(value.sizes)} does not fit into {_shown(target)}")
    if prod(before) == ahead:  # rows come from behind the batch
        tensor = walk.make.reshape(value.tensor, (*before, rows, *after) if rows > 1 else (*before, *after), name)
        if rows > 1 and place:
            order = (0, place + 1, *range(1, place + 1), *range(place + 2, len(sizes) + 1))
            tensor = walk.make.permute(tensor, order, f"{name}.rows")
        return Value(tensor, rows=rows, batch_at=place, nonnegative=value.nonnegative)
    if place or rows != ahead:
        raise unknown(node, f"it mixes the batch of {_shown(value.sizes)} with other axes than those before it")
    tensor = walk.make.reshape(value.tensor, (rows, *after), name)
    return Value(tensor, rows=rows, rows_first=True, nonnegative=value.nonnegative)


def flatten(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Reshape, with Permute before it where an image has several places.

    TFLite: RESHAPE, with TRANSPOSE before it.

    From axis 1, or from a later one: rows are folded into the batch then, as Reshape folds them.
    """
    value, axis = only(node, values), node.attributes.get("axis", 1)
    axis = axis + len(value.sizes) if axis < 0 else axis
    if axis < 1 or value.rows > 1:
        raise unknown(node, f"axis {axis} does not keep the batch")
    return _to(walk, node, value, [-1, prod(value.sizes[axis:])])


def cut(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Cropping2D, with MaxPooling2D of one place where places are left out, and Reshape around them.

    TFLite: STRIDED_SLICE, and CONCATENATION of places backwards.

    Starts, ends, axes and steps stored; not of the batch, at most 64 places backwards, and something is left.
    """
    value, (starts, ends) = (
        only(node, values, anywhere=True),
        (_numbers(walk, node, at, name) for at, name in ((1, "starts"), (2, "ends"))),
    )
    axes, steps = _numbers(walk, node, 3, "axes"), _numbers(walk, node, 4, "")
    sizes = value.sizes
    for start, end, axis, step in zip(
        starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True
    ):
        suffix, places = "" if len(starts) == 1 else f".axis{axis}", slice(start, end, step).indices(sizes[axis])
        if step < 0:
            value = _parts(walk, node, value, axis % len(sizes), range(*places), suffix)
        else:
            value = _part(walk, node, value, axis % len(sizes), places, suffix)
    return value


def gather(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Cropping2D, with Reshape around it, and Concatenate of places that don't grow evenly.

    TFLite: STRIDED_SLICE, RESHAPE behind it where the axis goes, and CONCATENATION of places that don't grow evenly.

    Indices stored: one, or several in rows, of which at most 64 don't grow evenly, nor rows; not of the batch.
    """
    value, indices = only(node, values, anywhere=True), walk.constant(node, 1)
    axis = node.attributes.get("axis", 0) % len(value.sizes)
    if axis == value.batch_at or not indices.size:
        raise unknown(node, "it takes films of the batch, or nothing")
    if indices.ndim < 2:
        made = _places(walk, node, value, axis, indices, "")
        return made if indices.ndim else _without(walk, node, made, [axis])
    value = as_onnx(walk, node, value)
    rows = indices.reshape(-1, indices.shape[-1])
    if len(rows) > MOST_COPIES or value.rows > 1 or value.batch_at or value.rows_first:
        raise unknown(node, f"it takes {len(rows)} rows of places, or the batch is not in front")
    parts = [_places(walk, node, value, axis, row, f".row{at}").tensor for at, row in enumerate(rows)]
    made = parts[0] if len(parts) == 1 else walk.make.join(parts, axis, f"{layer_name(node)}.rows")
    sizes = (*value.shape[: axis - 1], *indices.shape, *value.shape[axis:])
    return value.like(walk.make.reshape(made, sizes, layer_name(node)), nonnegative=value.nonnegative)


def gather_nd(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Cropping2D, with Reshape around it, and Concatenate of places that don't grow evenly.

    TFLite: STRIDED_SLICE, RESHAPE behind it where the axis goes, and CONCATENATION of places that don't grow evenly.

    Of the first axis alone, where the batch is another one: index_select, as the newer exporter writes it.
    """
    value, indices = only(node, values, anywhere=True), walk.constant(node, 1)
    if value.batch_at == 0 or node.attributes.get("batch_dims", 0) or indices.ndim != 2 or indices.shape[1] != 1:
        raise unknown(node, f"indices {list(indices.shape)} take films, or places of more than the first axis")
    return _places(walk, node, value, 0, indices.reshape(-1), "")


def _places(walk: Walk, node: Node, value: Value, axis: int, indices: NDArray[Any], suffix: str) -> Value:
    """Return places of an axis as ONNX counts it."""
    places = [int(place) % value.sizes[axis] for place in indices.reshape(-1)]
    steps = {after - before for before, after in pairwise(places)} or {1}
    if len(steps) > 1 or min(steps) < 1:
        return _parts(walk, node, value, axis, places, f"{suffix}.parts")
    return _part(walk, node, value, axis, (places[0], places[-1] + 1, min(steps)), f"{suffix}.part")


def split(walk: Walk, node: Node, values: list[Value | None]) -> list[Value]:
    """Cropping2D for each part, with Reshape around it.

    TFLite: STRIDED_SLICE for each part.

    Sizes stored, or equal ones; not of the batch.
    """
    value = only(node, values, anywhere=True)
    axis, count = node.attributes.get("axis", 0) % len(value.sizes), len(node.outputs)
    if axis == value.batch_at:
        raise unknown(node, "it splits the batch")
    size, given = value.sizes[axis], _numbers(walk, node, 1, "split")
    each = -(-size // count)
    sizes = given or [min(each, size - each * part) for part in range(count)]
    if sum(sizes) != size or len(sizes) != count:
        raise unknown(node, f"{sizes} are not {count} parts of {size}")
    ends = [sum(sizes[: part + 1]) for part in range(count)]
    return [
        _part(walk, node, value, axis, (end - size, end, 1), f".part{part}")
        for part, (end, size) in enumerate(zip(ends, sizes, strict=True))
    ]


def _parts(walk: Walk, node: Node, value: Value, axis: int, places: Sequence[int], suffix: str) -> Value:
    """Return single places of an axis, in any order and as often as they are asked for."""
    if axis == value.batch_at:
        raise unknown(node, "it takes films of the batch")
    if not 1 <= len(places) <= MOST_COPIES:
        raise unknown(node, f"it takes {len(places)} places that don't grow evenly, not 1 to {MOST_COPIES}")
    each = {one: _part(walk, node, value, axis, (one, one + 1, 1), f"{suffix}.place{one}") for one in places}
    if len(places) == 1:
        return each[places[0]]
    made = walk.make.join([each[one].tensor for one in places], here(value, axis), f"{layer_name(node)}{suffix}")
    return value.like(made, nonnegative=value.nonnegative)


def _part(walk: Walk, node: Node, value: Value, axis: int, places: Places, suffix: str) -> Value:
    """Return some places of an axis as ONNX counts it."""
    if places == (0, value.sizes[axis], 1):
        return value
    if axis == value.batch_at:
        raise unknown(node, "it takes some films of the batch")
    if not range(*places):
        raise unknown(node, f"places {list(places[:2])} of axis {axis} are none")
    made = walk.make.cut(value.tensor, here(value, axis), places, f"{layer_name(node)}{suffix}")
    return value.like(made, nonnegative=value.nonnegative)


def _numbers(walk: Walk, node: Node, index: int, attribute: str) -> list[int]:
    """Return whole numbers: an attribute of old opsets, then an input; none where they are left out."""
    stored = walk.given(node, index)
    found: Any = node.attributes.get(attribute, ()) if stored is None else stored
    return [int(one) for one in found]


def expand(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Concatenate of copies, along each axis that grows; Rescaling by ones to more than 64.

    TFLite: CONCATENATION of copies; MUL by ones to more than 64.

    From sizes of 1, of the same rank, to stored sizes; the batch stays as it is.
    """
    value, target = only(node, values), [int(size) for size in walk.constant(node, 1)]
    wanted = [1] * (len(value.sizes) - len(target)) + target
    first, rank = value.sizes[0], len(value.sizes)  # the batch, times the rows that are folded into it
    if len(wanted) != rank or wanted[0] not in (1, first, walk.batch * value.rows or first):
        raise unknown(node, f"it takes {_shown(value.sizes)} to {_shown(target)}: to another rank, or more films")
    sizes = list(zip(value.sizes[1:], wanted[1:], strict=True))
    if any(1 not in pair and pair[0] != pair[1] for pair in sizes):
        raise unknown(node, f"{_shown(value.sizes)} does not stretch to {_shown(target)}")
    copies = [size if now == 1 else 1 for now, size in sizes]
    if max(copies) <= MOST_COPIES:
        return _copies(walk, node, value, copies)
    ones = np.ones((1, *((1,) if value.rows > 1 else ()), *copies), np.float32)
    ones = ones.transpose(CHANNELS_LAST) if value.channels_first else ones
    return value.like(walk.make.times(value.tensor, ones, layer_name(node)), nonnegative=value.nonnegative)


def tile(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Concatenate of copies, along each axis that grows.

    TFLite: CONCATENATION of copies.

    Their number stored, at most 64 along an axis; the batch stays as it is.
    """
    value, counts = only(node, values), [int(count) for count in walk.constant(node, 1)]
    if value.rows > 1 or counts[0] != 1:
        raise unknown(node, f"it repeats the batch: {counts}")
    return _copies(walk, node, value, counts[1:])


def _copies(walk: Walk, node: Node, value: Value, counts: list[int]) -> Value:
    """Return copies of a tensor side by side, along axes behind the batch as ONNX counts them."""
    tensor, axes = value.tensor, [axis for axis, count in enumerate(counts, 1) if count != 1]
    if any(not 1 <= count <= MOST_COPIES for count in counts):
        raise unknown(node, f"it makes {counts} copies, not 1 to {MOST_COPIES} along each axis")
    for axis in axes:
        name = layer_name(node) if axis == axes[-1] else f"{layer_name(node)}.axis{axis}"
        tensor = walk.make.join([tensor] * counts[axis - 1], here(value, axis), name)
    return value.like(tensor, nonnegative=value.nonnegative)


def squeeze(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Reshape.

    TFLite: RESHAPE.

    Axes stored, not the batch's.
    """
    value = only(node, values, anywhere=True)
    sizes = value.sizes
    given = _numbers(walk, node, 1, "axes")
    axes = [axis % len(sizes) for axis in given] if given else [i for i, size in enumerate(sizes) if size == 1]
    if any(sizes[axis] != 1 for axis in axes):
        raise unknown(node, f"axes {axes} of {['N', *value.shape]} are not all of size 1")
    return _without(walk, node, value, axes)


def _without(walk: Walk, node: Node, value: Value, axes: list[int]) -> Value:
    """Return a tensor without axes of size 1, as ONNX counts them."""
    left = [size for axis, size in enumerate(value.sizes) if axis not in axes]
    if not value.batch_at and not value.rows_first:
        return _to(walk, node, value, left)
    front = next(at for at, size in enumerate(left) if batches_in(size))
    others = (*((value.rows,) if value.rows > 1 else ()), *left[:front], *left[front + 1 :])
    made = walk.make.reshape(value.tensor, others, layer_name(node))
    return replace(value, tensor=made, batch_at=front)


def unsqueeze(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Reshape; to [N, C, 1, 1] it is an image again.

    TFLite: RESHAPE.

    Axes stored, behind the batch.
    """
    value, given = only(node, values, anywhere=True), _numbers(walk, node, 1, "axes")
    sizes, rank = value.sizes, len(value.shape) + 1 + len(given)
    for axis in sorted(axis % rank for axis in given):
        sizes.insert(axis, 1)
    if value.rows > 1:
        raise unknown(node, f"axes {given} don't keep the batch in front")
    value = as_onnx(walk, node, value) if sizes[0] != BATCH else value
    return _to(walk, node, value, sizes) if sizes[0] == BATCH else _around_batch(walk, node, value, sizes)


def _to(walk: Walk, node: Node, value: Value, target: list[int]) -> Value:
    tensor, shape = value.tensor, tuple(value.tensor.shape[1:])
    sizes = _settle(walk, node, value, target)
    if value.channels_first and value.rows == 1 and tuple(sizes) == value.shape:  # an image stays one
        return value
    if value.channels_first and prod(shape[:2]) > 1:
        tensor = walk.make.permute(tensor, CHANNELS_FIRST, f"{layer_name(node)}.channels_first")
    rows, rest = divmod(prod(shape), prod(sizes))
    if rest or not rows:
        raise unknown(node, f"{value.shape} does not fit into {target}")
    back = rows == 1 and len(sizes) + 1 == IMAGE_RANK and sizes[1:] == [1, 1]
    wanted = (1, 1, sizes[0]) if back else tuple(sizes) if rows == 1 else (rows, *sizes)
    if wanted != tuple(tensor.shape[1:]):
        tensor = walk.make.reshape(tensor, wanted, layer_name(node))
    return Value(tensor, channels_first=back, rows=rows, nonnegative=value.nonnegative)


def _settle(walk: Walk, node: Node, value: Value, target: list[int]) -> list[int]:
    """Return the sizes behind the batch, all of them known."""
    copies = not node.attributes.get("allowzero", 0)
    given = [*target[:1], *(_copied(size, value, at) if copies else size for at, size in enumerate(target[1:]))]
    first, sizes = given[0], given[1:]
    rows = batches_in(first)
    if not rows and walk.batch and first > 0 and first % walk.batch == 0:
        rows = first // walk.batch  # of a file whose batch is fixed
    if rows > 1 and -1 in sizes:
        sizes[sizes.index(-1)] = prod(value.shape) // -(prod(sizes) * rows)
    if rows > 1 and -1 not in sizes and rows * prod(sizes) == prod(value.shape):
        first = -1  # the rows that are folded into it are those that are left
    kept = first == BATCH or (walk.batch > 0 and first == walk.batch) or (copies and first == 0 and value.rows == 1)
    if kept and sizes.count(-1) == 1:
        others = -prod(sizes)
        sizes = [prod(value.shape) // others if size == -1 else size for size in sizes] if others else sizes
    keeps_batch = first == -1 or (kept and prod(sizes) == prod(value.shape))
    if not keeps_batch or min(sizes, default=prod(value.shape) == 1) < 1 or BATCH in sizes:
        raise unknown(node, f"the batch must stay in front and alone be unknown, the target is {_shown(target)}")
    return sizes


def _copied(size: int, value: Value, at: int) -> int:
    return value.shape[at] if size == 0 and at < len(value.shape) else size


def _shown(target: list[int]) -> list[int | str]:
    names = {1: "N"}
    return [names.get(batches_in(size), f"{batches_in(size)} N") if batches_in(size) else size for size in target]


# --- store ---
# What changes how numbers are stored, or nothing at all.


CASTS = {1: "float32", 9: "bool"}  # onnx.TensorProto


def cast(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.cast`; nothing where the tensor is of that type already.

    TFLite: CAST; EQUAL and LOGICAL_NOT of a number to true or false.

    To float32 or bool.
    """
    value, to, name = only(node, values), node.attributes["to"], layer_name(node)
    if to not in CASTS:
        raise unknown(node, "only a cast to float32 or to bool is known")
    if value.tensor.dtype == CASTS[to]:
        return value
    if CASTS[to] == "float32":
        return value.like(walk.make.to_float(value.tensor, name), nonnegative=value.nonnegative)
    zero = np.zeros((1,) * len(value.tensor.shape), np.float32)
    made = walk.make.compare(value.tensor, zero, "equal", f"{name}.zero")
    return value.like(walk.make.activation(made, "logical_not", name), nonnegative=True)


def identity(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """No layer.

    TFLite: no operator.

    Dropout is one of training alone, so not in training mode.
    """
    training = walk.given(node, 2) if node.op == "Dropout" else None
    if training is not None and training.any():
        raise unknown(node, "it is in training mode, where it drops at random")
    return only(node, values)
