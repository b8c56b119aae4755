"""Weights rounded up or down by what that does to a layer's answers, instead of each to the nearest step.

`balance_steps` keeps the mean of each answer: the inputs of a layer are far from zero on average, so errors of weights
that do not cancel shift every film the same way, and so does the rounding of the inputs themselves.

`search_steps` keeps the answers. What one weight's rounding adds, the weights after it can take back, as far as the
inputs go together: column by column, with the inverse of the inputs' second moments (Frantar 2022, arXiv 2210.17323;
Hassibi 1993). The inputs are those that the layer has in the int8 file on calibration films.

Both leave every weight on one of the two steps beside it: floor(w / s) or ceil(w / s).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from convert.formats.tflite.int8 import MOST, Scheme, Steps, on_outputs, outputs_last
from convert.formats.tflite.plain import Operation, Plain
from convert.quantization.statistics import Films, run_kept

ROWS = 2048  # inputs of a layer that its moments rest on, over all films
DAMPING = 0.01  # of the mean square of the inputs, added to each: that of the paper
BLOCK = 128  # columns whose corrections are applied together
MOST_INPUTS = 8192  # products of an output: a larger layer's moments would take more than 0.3 GB
SEARCHED = ("conv", "dense")


# --- balance ---


def balance_steps(
    operation: Operation, nearest: Steps, means: NDArray[np.float64], stored: NDArray[np.float64]
) -> Steps:
    """Return weights of which as few as possible leave the nearest step, so that each output keeps its mean.

    Args:
        operation: a layer.
        nearest: its weights on the nearest steps.
        means: of its inputs, [C].
        stored: the same once they are on their grid, [C].
    """
    kernel, kind = operation.arrays["kernel"], operation.kind
    scales = on_outputs(nearest.scale.astype(np.float64), kind, kernel.shape)
    exact = np.ascontiguousarray(outputs_last(kernel / scales, kind).T, np.float32)  # [outputs, products]
    steps = np.ascontiguousarray(outputs_last(nearest.values, kind).T, np.float32)
    before, after = (np.ascontiguousarray(_of_products(one, operation).T, np.float32) for one in (means, stored))
    surplus = (steps * after - exact * before).sum(axis=1, keepdims=True)  # of each mean, in steps of its weights
    beyond = steps - exact
    other = steps - np.where(beyond > 0, np.float32(1), np.float32(-1))
    gain = (steps - other) * after  # what the surplus loses if a weight goes to its other step
    helps = (gain * surplus > 0) & (beyond != 0) & (np.abs(other) <= MOST)
    # the least that the error of weights grows by, for what the surplus loses
    price = np.where(helps, (1 - 2 * np.abs(beyond)) / np.maximum(np.abs(after), np.float32(1e-30)), np.float32(np.inf))
    order = np.argsort(price, axis=1)
    lost = np.cumsum(np.take_along_axis(np.where(helps, gain, np.float32(0)), order, axis=1), axis=1)
    left = np.abs(np.concatenate([surplus, surplus - lost], axis=1))
    moved = np.zeros_like(helps)
    np.put_along_axis(moved, order, np.arange(order.shape[1]) < left.argmin(axis=1)[:, None], axis=1)
    found = np.where(moved & helps, other, steps).astype(np.int8)
    return Steps(found.T.reshape(kernel.shape), nearest.scale)


def _of_products(channels: NDArray[np.float64], operation: Operation) -> NDArray[np.float64]:
    """Return what stands at each product of an output, [products, outputs or 1], given it by input channel."""
    kernel = operation.arrays["kernel"].shape
    if operation.kind == "dense":
        return channels[:, None]
    places = kernel[0] * kernel[1]
    if operation.kind == "depthwise":
        return np.tile(np.repeat(channels, kernel[3]), (places, 1))
    return np.tile(channels, places)[:, None]


# --- search ---


def search_steps(plain: Plain, scheme: Scheme, data: bytes, films: Films) -> dict[str, Steps]:
    """Return the weights of every layer in int8, rounded by search where that is possible.

    Args:
        plain: the network.
        scheme: with the nearest steps.
        data: its file.
        films: uint8 or float32 [N, H, W, C].
    """
    layers = [one for one in plain.operations if one.output.name in scheme.steps and _can(one)]
    inputs = _collect(plain, scheme, layers, data, films)
    found = dict(scheme.steps)
    for one in layers:
        name = one.output.name
        kernel = one.arrays["kernel"].reshape(-1, one.arrays["kernel"].shape[-1])
        rows = inputs.pop(name).astype(np.float32) - scheme.grids[one.inputs[0].name].zero
        values = round_by(kernel / found[name].scale.astype(np.float64), rows)
        found[name] = Steps(values.reshape(one.arrays["kernel"].shape), found[name].scale)
    return found


def _can(operation: Operation) -> bool:
    kernel = operation.arrays["kernel"]
    whole = operation.kind == "dense" or (operation.kind == "conv" and operation.options["groups"] == 1)
    return whole and kernel[..., 0].size <= MOST_INPUTS


def _collect(
    plain: Plain,
    scheme: Scheme,
    layers: Collection[Operation],
    data: bytes,
    films: Films,
) -> dict[str, NDArray[np.int8]]:
    """Return by layer what it is multiplied with at places drawn over all films, int8 [rows, inputs]."""
    draw = np.random.default_rng(0)
    rows: dict[str, list[NDArray[np.int8]]] = {one.output.name: [] for one in layers}
    names = {one.inputs[0].name for one in layers}
    each = -(-ROWS // max(1, len(films)))
    for tensors in run_kept(data, plain, names, films, integer=True):
        for one in layers:
            rows[one.output.name].append(windows(one, tensors[one.inputs[0].name][0], scheme, each, draw))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def windows(
    layer: Operation, values: NDArray[np.int8], scheme: Scheme, most: int, draw: np.random.Generator
) -> NDArray[np.int8]:
    """Return what a layer is multiplied with at some of its places, int8 [at most `most`, inputs]."""
    if layer.kind == "dense":
        rows = values.reshape(-1, values.shape[-1])
        return rows if len(rows) <= most else rows[np.sort(draw.choice(len(rows), most, replace=False))]
    kernel, given = layer.arrays["kernel"].shape, layer.options
    result, places = layer.output.sizes, layer.output.sizes[0] * layer.output.sizes[1]
    chosen = np.arange(places) if places <= most else np.sort(draw.choice(places, most, replace=False))
    before = [0, 0]
    if given.get("same"):
        behind = [0, 0]
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * given["dilations"][axis] + 1
            total = max((result[axis] - 1) * given["strides"][axis] + reach - values.shape[axis], 0)
            before[axis], behind[axis] = total // 2, total - total // 2
        around = ((before[0], behind[0]), (before[1], behind[1]), (0, 0))
        values = np.pad(values, around, constant_values=scheme.grids[layer.inputs[0].name].zero)
    rows_of = (chosen // result[1] * given["strides"][0])[:, None] + np.arange(kernel[0]) * given["dilations"][0]
    columns_of = (chosen % result[1] * given["strides"][1])[:, None] + np.arange(kernel[1]) * given["dilations"][1]
    found: NDArray[np.int8] = values[rows_of[:, :, None], columns_of[:, None, :]].reshape(len(chosen), -1)
    return found


def round_by(exact: NDArray[np.float64], rows: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return weights as whole steps, int8 [inputs, outputs], each the floor or the ceiling of the exact one.

    Args:
        exact: weights in steps, [inputs, outputs].
        rows: inputs, float32 [rows, inputs].
    """
    moments = rows.T @ rows / np.float32(max(1, len(rows)))
    diagonal = np.diagonal(moments).copy()
    damping = DAMPING * float(diagonal.mean()) or 1.0
    order = np.argsort(-diagonal, kind="stable")  # what is read most is rounded first
    inverse = _upper(moments[np.ix_(order, order)], damping)
    work, low = exact[order].astype(np.float32), np.floor(exact[order]).astype(np.float32)
    high = np.ceil(exact[order]).astype(np.float32)
    steps = np.zeros_like(work)
    for start in range(0, len(work), BLOCK):
        end = min(start + BLOCK, len(work))
        errors = np.zeros((end - start, work.shape[1]), np.float32)
        for row in range(start, end):
            steps[row] = np.clip(np.rint(work[row]), low[row], high[row])
            errors[row - start] = (work[row] - steps[row]) / inverse[row, row]
            work[row:end] -= inverse[row, row:end, None] * errors[row - start]
        work[end:] -= inverse[start:end, end:].T @ errors
    found: NDArray[np.int8] = np.zeros(exact.shape, np.int8)
    found[order] = np.clip(steps, -MOST, MOST).astype(np.int8)
    return found


def _upper(moments: NDArray[np.float32], damping: float) -> NDArray[np.float32]:
    """Return the upper triangle U with U^T U the inverse of the damped moments."""
    flipped = moments[::-1, ::-1] + np.float32(damping) * np.eye(len(moments), dtype=np.float32)
    lower = np.linalg.cholesky(flipped)
    return np.asarray(np.triu(np.linalg.inv(lower[::-1, ::-1])))
