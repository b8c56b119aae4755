"""A normal form computed in float64 with numpy: whether two graphs that no rule makes equal do answer differently.

Nothing rests on it that is called EQUIVALENT.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from convert.proof.compare import judge_terms, needed
from convert.proof.explain import Declared, TermMatch
from convert.proof.normal import NONE, NormalForm, Stored, Term

Array = NDArray[np.float64]


def draw_films(shape: Sequence[int], films: int = 4) -> NDArray[np.float32]:
    """Draw films [N, H, W, C] of whole grey levels: noise on a slope, the same each time."""
    draw = np.random.default_rng(0)
    rows = np.linspace(0, 1, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    lights = draw.uniform((0.2, -0.5), (1, 0.5), (films, 2))
    made = [255 * (draw.uniform(0, 1, shape) * noise + rows * slope) for noise, slope in lights]
    return np.clip(np.rint(made), 0, 255).astype(np.float32)


def draw_any(shape: Sequence[int]) -> NDArray[np.float32]:
    """Draw films [4, H, W, C]: grey levels, and values on both sides of zero, for a statement is about every input."""
    draw = np.random.default_rng(1)
    signed = [draw.normal(0, deviation, shape).astype(np.float32) for deviation in (0.3, 3, 100)]
    return np.stack([*draw_films(shape, 1), *signed])


def with_numbers_of(onnx: NormalForm, form: NormalForm, match: TermMatch) -> tuple[dict[int, Term], bool]:
    """Return by index terms of a file with the ONNX graph's own numbers where they are those, rounded.

    Returns:
        And whether no rounding to fewer bits than float32 has is left.
    """
    found = {index: onnx.terms[other] for index, (other, factor) in match.partners.items() if factor is None}
    for index in needed(form):
        alike = (
            None if index in found else next((one for one in onnx.terms if same_numbers(one, form.terms[index])), None)
        )
        if alike is not None:
            found[index] = alike
    left = [form.terms[index] for index in needed(form) if index not in found]
    stored = [one for term in left for name, one in term.stored.items() if name not in ("at", "ends")]
    exact = all(one.step is None for one in stored)
    return found, exact


def same_numbers(onnx: Term, file: Term) -> bool:
    """Whether two terms, wherever they are, are of one kind and have the same numbers, rounded."""
    shapes = [[(name, one.base.shape) for name, one in each.stored.items()] for each in (onnx, file)]
    if onnx.kind != file.kind or shapes[0] != shapes[1]:
        return False
    found, factor = judge_terms(onnx, file, [], Declared())
    return not found.where and factor is None


def evaluate(form: NormalForm, film: NDArray[Any], numbers: Mapping[int, Term] | None = None) -> dict[str, Array]:
    """Return the outputs by name for one film [H, W, C].

    Args:
        form: the network.
        film: its input.
        numbers: by index of a term another of the same kind, whose stored numbers are taken.
    """
    values: dict[int, Array] = {}
    waiting = [one.term for one in form.outputs.values() if one.term is not None]
    left, needed = list(waiting), set[int]()
    while left:
        index = left.pop()
        if index not in needed:
            needed.add(index)
            left += form.terms[index].inputs
    last = {one: index for index in sorted(needed) for one in form.terms[index].inputs}
    for index in sorted(needed):
        term = form.terms[index]
        given = [values[one].reshape(_shape(form, term, one)) for one in term.inputs]
        stored = (numbers or {}).get(index, term).stored
        made = film.astype(np.float64) if term.kind == "input" else _compute(term, stored, given)
        values[index] = made.reshape(-1)
        for one in term.inputs:
            if last[one] == index and one not in waiting:
                values.pop(one, None)
    return {name: values[view.term][view.at] for name, view in form.outputs.items() if view.term is not None}


def _shape(form: NormalForm, term: Term, index: int) -> tuple[int, ...]:
    """Return the sizes in which a term reads another."""
    if term.kind in ("conv", "pad", "max", "average"):
        return (*term.facts[-1], -1)
    if term.kind == "matmul":
        return (-1, term.stored["kernel"].base.shape[0])
    if term.kind in ("mean", "largest", "softmax"):
        return tuple(term.facts[0])
    return form.terms[index].shape if term.kind in ("gather", "concat", "product") else term.shape


def _compute(term: Term, numbers: Mapping[str, Stored], given: list[Array]) -> Array:
    x = given[0] if given else numbers["values"].values
    stored = {name: one.values for name, one in numbers.items() if name != "at"}
    kinds: dict[str, Callable[[], Any]] = {
        "conv": lambda: _conv(x, stored["kernel"], stored["bias"], *term.facts[:4]),
        "matmul": lambda: x @ stored["kernel"] + stored["bias"],
        "max": lambda: _pool(term, x),
        "average": lambda: _pool(term, x),
        "pad": lambda: _padded(x, term.facts[0], term.facts[1]),
        "stored": lambda: x,
        "product": lambda: given[0].reshape(term.facts[:3]) @ given[1].reshape(term.facts[0], *term.facts[2:]),
        "gather": lambda: x.reshape(-1)[term.stored["at"].base],
        "concat": lambda: _joined(term, given),
        "add": lambda: x.reshape(-1) + given[1].reshape(-1),
        "mul": lambda: x.reshape(-1) * given[1].reshape(-1),
        "larger": lambda: np.maximum(x.reshape(-1), given[1].reshape(-1)),
        "choose": lambda: np.where(*(one.reshape(-1) for one in given)),
        "smaller": lambda: np.minimum(x.reshape(-1), given[1].reshape(-1)),
    }
    return np.asarray(kinds[term.kind]() if term.kind in kinds else _each(term.kind, x, stored))


def _padded(x: Array, pads: Any, value: float) -> Array:
    top, left, bottom, right = pads
    return np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=value)


def _each(kind: str, x: Array, stored: dict[str, Any]) -> Array:
    if kind == "affine":
        return np.asarray(x * stored["scale"] + stored["offset"])
    if kind == "clip":
        return np.clip(x, *stored["ends"][:2])
    if kind == "softmax":
        powers = np.exp(x - x.max(-1, keepdims=True))
        return np.asarray(powers / powers.sum(-1, keepdims=True))
    if kind in ("mean", "largest"):
        return np.asarray(x.mean(0) if kind == "mean" else x.max(0))
    functions: dict[str, Callable[[], Any]] = {
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
        "erf": lambda: np.vectorize(math.erf)(x),
        "exp": lambda: np.exp(x),
        "log": lambda: np.log(x),
        "sqrt": lambda: np.sqrt(x),
        "reciprocal": lambda: 1 / x,
        "elu": lambda: np.where(x > 0, x, np.expm1(x)),
        "leaky": lambda: np.where(x > 0, x, x * stored["slope"]),
        "sin": lambda: np.sin(x),
        "cos": lambda: np.cos(x),
        "power": lambda: np.power(x, stored["exponent"]),
    }
    if "bound" in stored:
        return np.asarray(getattr(np, kind)(x, stored["bound"]), np.float64)  # greater, less_equal and the others
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.asarray(functions[kind]())


def _joined(term: Term, given: list[Array]) -> Array:
    """Join along an axis from the end, each part in the sizes that the whole has but for that one."""
    axis = term.facts[0]
    if axis is None:
        return np.concatenate([one.reshape(-1) for one in given])
    others = int(np.prod(term.shape)) // term.shape[axis]
    parts = []
    for one in given:
        sizes = list(term.shape)
        sizes[axis] = one.size // others
        parts.append(one.reshape(sizes))
    return np.concatenate(parts, axis)


def _windows(x: Array, kernel: tuple[int, int], strides: Any, dilations: Any, pads: Any, fill: float) -> Array:
    """Return [rows, columns, channels, kh, kw]."""
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    found: Array = sliding_window_view(_padded(x, pads, fill), (reach[0], reach[1]), (0, 1))  # type: ignore[call-overload]
    return found[:: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]


def _conv(x: Array, kernel: Array, bias: Array, strides: Any, dilations: Any, pads: Any, groups: int) -> Array:
    high, wide, each, out = kernel.shape
    windows = _windows(x, (high, wide), strides, dilations, pads, 0.0)
    if each == 1 and groups > 1:
        spread = np.repeat(windows, out // groups, axis=2)
        return np.asarray(np.einsum("rcoij,ijo->rco", spread, kernel[:, :, 0]) + bias)
    parts = []
    for group in range(groups):
        part = kernel[..., group * (out // groups) : (group + 1) * (out // groups)]
        seen = windows[:, :, group * each : (group + 1) * each]
        rows = seen.transpose(0, 1, 3, 4, 2).reshape(-1, high * wide * each)
        parts.append((rows @ part.reshape(-1, part.shape[-1])).reshape(*windows.shape[:2], -1))
    return np.asarray(np.concatenate(parts, -1) + bias)


def _pool(term: Term, x: Array) -> Array:
    kernel, strides = term.facts[:2]
    windows = _windows(x, kernel, strides, (1, 1), NONE, 0.0)
    return np.asarray(windows.max((-1, -2)) if term.kind == "max" else windows.mean((-1, -2)))
