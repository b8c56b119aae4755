"""What kind of error a node's output shows, and what to check: the one place that guesses at causes; numpy only.

Each test tries whether one simple change of the reference explains the file's output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import agreement

EXPLAINED = 0.1  # of the error's power may be left by a change that explains it
WHOLLY = 1e-3
FEW = 0.125  # share of the channels: an error in no more of them is one of single filters
LOUD = 30.0  # times the median channel's noise power: more than reduced precision causes by itself
NAMED_CHANNELS = 4
LIKE = 0.99  # correlation of a permuted channel with its reference
SHIFTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # pixels; half of one is what SAME for explicit padding does at stride 2
CHECK = {
    "Conv": "its weights (layout, input channels), bias, padding, stride and groups",
    "BatchNormalization": "its gamma, beta, mean, variance and epsilon",
    "Gemm": "its weights (transposed?) and bias",
    "MatMul": "its weights (transposed?)",
    "Add": "its inputs: a residual dropped or taken from elsewhere, or a constant",
    "Sub": "the constant that it subtracts: the mean of the normalisation",
    "Div": "the constant that it divides by: the deviation of the normalisation",
    "Mul": "the constant or the second tensor that it multiplies by",
    "Relu": "the kind of activation, and whether it is present",
    "MaxPool": "the kind of pooling, its window, stride and padding",
    "AveragePool": "the kind of pooling, its window, stride and padding",
    "ReduceMean": "the axes of the mean",
    "Sigmoid": "the kind of activation, and whether it is applied exactly once",
    "Pad": "the padding's width, side and value",
    "Transpose": "the order of its axes",
    "Reshape": "the order of its values",
}

Tensor = NDArray[np.float64]  # [films, positions, channels]


def what_to_check(ops: Sequence[str]) -> str:
    """Return what can be wrong with nodes of some ops: with one alone, or with those that were fused."""
    known = [op for op in dict.fromkeys(ops) if op in CHECK] or list(ops[:1])
    hints = [CHECK.get(op, "its attributes and constants") for op in known]
    if len(known) < 2:
        return f"check {hints[0]}"
    return "check " + ", or ".join(f"{op}: {hint}" for op, hint in zip(known, hints, strict=True))


def explain(
    reference: NDArray[np.floating], given: NDArray[np.floating], sources: Mapping[str, NDArray[np.floating]]
) -> str:
    """Return a phrase that names the kind of error.

    Args:
        reference: the node's output, [films, positions, channels].
        given: the file's output, of the same shape.
        sources: the node's inputs by name, of any shape.
    """
    wanted, got = reference.astype(np.float64), given.astype(np.float64)
    if phrase := _not_finite(got) or _constant(wanted, got) or _passed_on(wanted, got, sources):
        return phrase
    tests = (_transposed, _few_channels, _affine, _clipped, _shifted, _permuted, _at_the_border)
    found = (phrase for test in tests if (phrase := test(wanted, got)))
    return next(found, f"it differs everywhere (correlation {agreement(wanted, got):.3f})")


def _not_finite(got: Tensor) -> str:
    bad = ~np.isfinite(got)
    if not bad.any():
        return ""
    channels = int(bad.any(axis=(0, 1)).sum())
    return f"NaN or Inf in {bad.sum()} of {bad.size} values, {channels} of {bad.shape[2]} channels: a weight or a scale"


def _constant(wanted: Tensor, got: Tensor) -> str:
    constant = got.size > 1 and np.ptp(got) == 0 and np.ptp(wanted) > 0
    return (
        f"every value is {got.flat[0]:.3g}: a range or a scale that clips everything, or zeroed weights"
        if constant
        else ""
    )


def _passed_on(wanted: Tensor, got: Tensor, sources: Mapping[str, NDArray[np.floating]]) -> str:
    power = _power(got - wanted)
    for name, values in sources.items():
        if values.shape != got.shape or not got.any():
            continue
        source = values.astype(np.float64)
        for tensor, relation in ((source, "it equals"), (np.maximum(source, 0), "it equals the ReLU of")):
            if _power(got - tensor) < EXPLAINED**2 * power:
                return f"{relation} the output of {name}: an operation between was omitted, or its other input dropped"
    return ""


def _transposed(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 2:
        return ""
    transposed = _image(wanted, side).transpose(0, 2, 1, 3).reshape(wanted.shape)
    if _explains(transposed, wanted, got):
        return "it equals the reference with height and width swapped: a transpose, or a kernel in the layout [W, H]"
    return ""


def _few_channels(wanted: Tensor, got: Tensor) -> str:
    noise = ((got - wanted) ** 2).sum(axis=(0, 1))
    loud = np.flatnonzero(noise > LOUD * np.median(noise))
    order = loud[np.argsort(noise[loud])[::-1]]
    if not 0 < len(loud) <= max(1, FEW * len(noise)) or len(noise) < 8 or noise[loud].sum() < noise.sum() / 2:
        return ""
    named = ", ".join(str(one) for one in order[:NAMED_CHANNELS])
    one = _affine(wanted[..., order], got[..., order])
    also = f"; there, {one}" if one else ""
    return f"{len(loud)} of {len(noise)} channels hold the error (channel {named}): single weights, or one scale{also}"


def _affine(wanted: Tensor, got: Tensor) -> str:
    """Try, from the simplest on: one offset, one factor, an offset or a factor a channel, both."""
    if wanted.shape[0] * wanted.shape[1] < 4:
        return ""
    flat, other = wanted.reshape(-1, wanted.shape[2]), got.reshape(-1, wanted.shape[2])
    power, away = _power(other - flat), other - flat
    scale = (flat * other).sum(axis=0) / np.maximum((flat**2).sum(axis=0), 1e-300)
    centred = flat - flat.mean(axis=0)
    slope = (centred * other).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-300)
    one_scale = float((flat * other).sum() / max((flat**2).sum(), 1e-300))
    tries = (
        (away - away.mean(), f"a constant offset of {away.mean():.3g}: a bias, or an omitted mean"),
        (other - one_scale * flat, f"one factor of {one_scale:.3g}: a scale or a deviation"),
        (away - away.mean(axis=0), "a constant offset for each channel: a bias, or BatchNorm's mean or beta"),
        (
            other - scale * flat,
            f"a factor for each channel ({_span(scale)}): a scale, or BatchNorm's variance, epsilon",
        ),
        (
            other - other.mean(axis=0) - slope * centred,
            f"a factor ({_span(slope)}) and an offset for each channel: BatchNorm's epsilon, variance or mean",
        ),
    )
    shares = (WHOLLY, EXPLAINED)  # first what explains all of it, then what explains most
    return next((phrase for share in shares for left, phrase in tries if _power(left) < share * power), "")


def _clipped(wanted: Tensor, got: Tensor) -> str:
    if wanted.min() >= 0 > got.min():
        return f"values down to {got.min():.3g} where the reference has none below 0: a ReLU is missing or a leaky one"
    if got.min() >= 0 > wanted.min() and _explains(np.maximum(wanted, 0), wanted, got):
        return "it equals the reference's ReLU: one activation too many"
    if got.max() < wanted.max() and _explains(np.minimum(wanted, got.max()), wanted, got):
        return f"it is cut off at {got.max():.3g}: ReLU6 for ReLU, or too small a range"
    return ""


def _shifted(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 5:
        return ""
    image, inner = _image(wanted, side), _image(got, side)[:, 1:-1, 1:-1]
    found = {(dy, dx): agreement(_moved(image, dy, dx), inner) for dy, dx in product(SHIFTS, SHIFTS)}
    best = max(found, key=found.__getitem__)
    if best == (0.0, 0.0) or 1 - found[best] > (1 - found[0.0, 0.0]) / 2:
        return ""
    return (
        f"it matches the reference shifted by {best[0]:g}, {best[1]:g} pixels (correlation {found[best]:.3f}, "
        f"unshifted {found[0.0, 0.0]:.3f}): padding on the wrong sides (SAME for explicit zeros), or another stride"
    )


def _moved(image: Tensor, dy: float, dx: float) -> Tensor:
    """Return the inside of images [films, side, side, C] moved by (dy, dx) places, half ones interpolated."""
    for axis, step in ((1, dy), (2, dx)):
        low, high = math.floor(step), math.ceil(step)
        image = (np.roll(image, low, axis) + np.roll(image, high, axis)) / 2
    return image[:, 1:-1, 1:-1]


def _permuted(wanted: Tensor, got: Tensor) -> str:
    samples, channels = wanted.shape[0] * wanted.shape[1], wanted.shape[2]
    if samples < 16 or channels < 2:
        return ""
    one, other = (_standard(values.reshape(samples, channels)) for values in (wanted, got))
    likeness = other.T @ one
    best, own = likeness.argmax(axis=1), np.diagonal(likeness)
    moved = (best != np.arange(channels)) & (likeness.max(axis=1) > LIKE) & (own < LIKE)
    if moved.sum() < 2:
        return ""
    first = int(np.flatnonzero(moved)[0])
    swapped = f"channel {first} is the reference's {best[first]}"
    return f"{moved.sum()} of {channels} channels are permuted ({swapped}): their order"


def _at_the_border(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 5:
        return ""
    noise = (_image(got - wanted, side) ** 2).sum(axis=(0, 3))
    if noise[1:-1, 1:-1].sum() > EXPLAINED * noise.sum():
        return ""
    return "it differs only at the border: the padding's value or width, or whether it is counted"


def _explains(change: Tensor, wanted: Tensor, got: Tensor) -> bool:
    return _power(got - change) < EXPLAINED * _power(got - wanted)


def _power(values: NDArray[np.floating]) -> float:
    return float(np.square(values).sum())


def _span(scale: NDArray[np.floating]) -> str:
    low, high = np.quantile(scale, (0.1, 0.9))
    return f"{low:.3g} to {high:.3g}"


def _standard(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = rows - rows.mean(axis=0)
    standard: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    return standard


def _side(tensor: Tensor) -> int:
    """Return the side of the square of positions; 0 where they are none."""
    side = math.isqrt(tensor.shape[1])
    return side if side * side == tensor.shape[1] else 0


def _image(tensor: Tensor, side: int) -> Tensor:
    return tensor.reshape(len(tensor), side, side, -1)
