"""The normal form of a network for one film: few kinds of terms, numbers in float64, no layout, no order of axes.

A `View` is a term's numbers in some order: reshaping, transposing, slicing and joining only move positions, so that
every layout of the same numbers is the same term. Each rewrite is an identity of real numbers, and happens as a term
is made, whichever format asked for it: two files of one network arrive at equal terms.

Trusted: this module, `compare` and the readers (<= 600 lines of code); numpy; onnx, flatbuffers, h5py and TensorFlow
as parsers. Nothing of the converters (convert.formats, convert.quantization) is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, left, bottom, right
NONE: Pads = (0, 0, 0, 0)
PAIRS = ("add", "mul", "larger", "smaller")  # of two computed tensors, in either order
LARGEST = 1 << 28  # numbers of a tensor: what is larger is not proven
K = 8.0  # float32 steps that folding in float32 may cost: own files take 1, TensorFlow's 3.1 (docs/prove.md)
LOWEST = float(np.finfo(np.float32).min)  # some converters write it for minus infinity


class NoRuleError(Exception):
    """Something that no rule here knows: the verdict is CANNOT SAY."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Stored numbers: `base * gain`, as exact as float64 holds them.

    `base` keeps the file's own type, which says how it was rounded: float32, float16, int8 or int32, of which `gain`
    holds the step. `unit` is the magnitude of the terms that were summed to it: one float32 step of it is what
    rounding them may have cost. `coarse` is the step of what else went into it in fewer bits than float32 has.
    """

    base: Array
    gain: Array = field(default_factory=lambda: np.ones(()))
    unit: Array | None = None
    coarse: Array | None = None
    name: str = ""  # of the file's tensor

    @property
    def values(self) -> NDArray[np.float64]:
        """The numbers in float64."""
        return self.base.astype(np.float64) * self.gain

    @property
    def magnitude(self) -> NDArray[np.float64]:
        """`unit`, or the numbers' own magnitude."""
        return np.abs(self.values) if self.unit is None else self.unit

    @property
    def step(self) -> Array | None:
        """The step to which the numbers were rounded; None of float32."""
        own: Array | None = None
        if self.base.dtype.kind == "i":
            own = np.broadcast_to(np.abs(self.gain), self.base.shape)
        elif self.base.dtype == np.float16:
            own = np.spacing(np.abs(self.base)).astype(np.float64) * np.abs(self.gain)
        return own if self.coarse is None else self.coarse if own is None else own + self.coarse

    def times(self, factor: Stored) -> Stored:
        """Return the product with numbers that stretch to these."""
        by, step = factor.values, factor.step
        coarse = None if self.coarse is None else self.coarse * np.abs(by)
        if step is not None:
            coarse = (0 if coarse is None else coarse) + step * np.abs(self.values)
        unit = None if self.unit is None else self.unit * np.abs(by)
        shape = np.broadcast_shapes(self.base.shape, by.shape)
        return Stored(np.broadcast_to(self.base, shape), self.gain * by, unit, coarse, self.name)

    def plus(self, other: Stored) -> Stored:
        """Return the sum; a side of zeros changes nothing."""
        if not np.any(other.base):
            return self
        if not np.any(self.base):
            return other
        steps = [one for one in (self.step, other.step) if one is not None]
        coarse, unit = np.asarray(sum(steps)) if steps else None, self.magnitude + other.magnitude
        return Stored(self.values + other.values, np.ones(()), unit, coarse, self.name or other.name)

    def map(self, change: Callable[[Array], Array]) -> Stored:
        """Return the numbers in other places: `change` moves, repeats or leaves out numbers of an array."""

        def moved(array: Array | None) -> Array | None:
            return None if array is None else change(np.broadcast_to(array, self.base.shape))

        gain = self.gain.reshape(()) if self.gain.size == 1 else change(np.broadcast_to(self.gain, self.base.shape))
        return Stored(change(self.base), gain, moved(self.unit), moved(self.coarse), self.name)

    def digest(self) -> bytes:
        """Return what is equal for equal numbers."""
        made = blake2b(np.ascontiguousarray(self.base).tobytes(), digest_size=16)
        made.update(np.ascontiguousarray(self.gain).tobytes() + str((self.base.shape, self.base.dtype)).encode())
        return made.digest()


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """An operation on whole terms."""

    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]  # of what it gives, channels last
    facts: tuple[Any, ...]
    stored: Mapping[str, Stored]
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Positions in a term's numbers; without a term, stored numbers themselves."""

    at: Array
    term: int | None = None
    rounded: Stored | None = None  # stored numbers that are more than an array: integers with a scale

    def map(self, change: Callable[[Array], Array]) -> View:
        """Return the positions moved."""
        return View(change(self.at), self.term, None if self.rounded is None else self.rounded.map(change))

    def reshape(self, *sizes: int) -> View:
        """Return the same numbers in other sizes."""
        return self.map(lambda at: at.reshape(sizes))

    def transpose(self, *order: int) -> View:
        """Return the axes in another order."""
        return self.map(lambda at: at.transpose(order))

    @property
    def stored(self) -> Stored:
        """The stored numbers; NoRuleError where they are computed."""
        if self.term is not None:
            raise NoRuleError("numbers are computed where stored ones are expected")
        return self.rounded or Stored(self.at)

    @property
    def array(self) -> Array:
        """The stored numbers as a file holds them, float32 where they were summed or multiplied; or NoRuleError."""
        return self.stored.base if self.rounded is None else self.rounded.values.astype(np.float32)

    @property
    def source(self) -> int:
        """The term; NoRuleError where the numbers are stored."""
        if self.term is None:
            raise NoRuleError("it computes with stored numbers alone")
        return self.term


def number(value: Any) -> Stored:
    """Return a number or an array as stored numbers."""
    return Stored(np.asarray(value, np.float64))


ONE, ZERO = number(1), number(0)


class NormalForm:
    """The terms of one network, equal ones once, each after what it reads."""

    def __init__(self) -> None:
        self.terms: list[Term] = []
        self.outputs: dict[str, View] = {}
        self.problems: list[tuple[str, str]] = []  # node, and what contradicts the format's own arithmetic
        self.integers = False  # whether activations are integers
        self.node = ""  # that is being read: terms are named after it
        self._known: dict[object, int] = {}

    def input(self, shape: Sequence[int]) -> View:
        """Return the film: [1, H, W, C], or other sizes with the batch of one in front."""
        self.node = "input"
        return self._view("input", (), tuple(shape[1:]), tuple(shape[1:]))

    def add(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], facts: tuple[Any, ...] = (), **stored: Stored
    ) -> int:
        """Return the index of a term, made where no equal one is there."""
        if math.prod(shape) > LARGEST:
            raise NoRuleError(f"a tensor of {math.prod(shape):,} numbers")
        key = (kind, tuple(inputs), tuple(shape), facts, *((name, one.digest()) for name, one in stored.items()))
        if key not in self._known:
            self._known[key] = len(self.terms)
            self.terms.append(Term(kind, tuple(inputs), tuple(shape), facts, stored, self.node))
        return self._known[key]

    def _view(self, kind: str, inputs: Sequence[int], shape: Sequence[int], *facts: Any, **stored: Stored) -> View:
        made = self.add(kind, inputs, shape, facts, **stored)
        return View(np.arange(math.prod(shape), dtype=np.int32).reshape(1, *shape), made)

    # --- order ---

    def ordered(self, view: View, shape: Sequence[int]) -> int:
        """Return the term whose numbers are those of a view, in its order."""
        if view.at.size == math.prod(self.terms[view.source].shape) and _counts(view.at):
            return view.source
        return self.add("gather", (view.source,), shape, (), at=Stored(view.at.reshape(-1).astype(np.int32)))

    def whole(self, view: View, *, once: bool = False) -> View:
        """Return a view of each number of a term once: repeated and left out ones are a term of their own.

        Positions are sorted, repeated ones in their order, so that no layout matters.

        Args:
            view: any.
            once: for what treats each number alike: repeated ones are repeated by the view alone.
        """
        if view.term is None or self._each_once(view):
            return view
        flat, source = view.at.reshape(-1), self.terms[view.term]
        size = math.prod(source.shape)
        if once:
            kept, back = np.unique(flat, return_inverse=True)
            made = self.ordered(View(kept, view.term), kept.shape)
            return View(back.reshape(view.at.shape).astype(np.int32), made)
        order = np.argsort(flat, kind="stable")
        times = flat.size // size
        even = flat.size == times * size and np.array_equal(flat[order], np.repeat(np.arange(size), times))
        shape = (*source.shape[:-1], source.shape[-1] * times) if even else (flat.size,)
        made = self.add("gather", (view.term,), shape, (), at=Stored(flat[order].astype(np.int32)))
        return View(np.argsort(order).astype(np.int32).reshape(view.at.shape), made)

    def _each_once(self, view: View) -> bool:
        size = -1 if view.term is None else math.prod(self.terms[view.term].shape)
        return view.at.size == size and bool(np.bincount(view.at.reshape(-1), minlength=size).all())

    def _spread(self, view: View, numbers: Stored) -> Stored:
        """Return numbers that stretch to a view as numbers that stretch to its term, equal axes once."""
        shape = self.terms[view.source].shape
        if numbers.base.size == 1:
            return numbers.map(lambda array: array.reshape((1,) * len(shape)))

        def moved(array: Array) -> Array:
            full = np.empty(view.at.size, array.dtype)
            full[view.at.reshape(-1)] = np.broadcast_to(array, view.at.shape).reshape(-1)
            return full.reshape(shape)

        spread, cut = numbers.map(moved), [slice(None)] * len(shape)
        for axis in range(len(shape)):
            cut[axis] = slice(0, 1) if (spread.values == spread.values.take([0], axis)).all() else slice(None)
        return spread.map(lambda array: array[tuple(cut)])

    # --- products with stored weights ---

    def conv(
        self, view: View, kernel: Stored, bias: Stored, strides: Pair, dilations: Pair, pads: Pads, groups: int
    ) -> View:
        """Add a convolution of [1, H, W, C] with a kernel [kh, kw, C / groups, out].

        Zeros around its input are its own; one that is as large as its input, or of one place, is a matrix.
        """
        _, rows, columns, channels = view.at.shape
        high, wide, each, out = kernel.base.shape
        if each * groups != channels or out % groups:
            raise NoRuleError(f"{groups} groups of a kernel {kernel.base.shape} don't fit {channels} channels")
        reach = ((high - 1) * dilations[0] + 1, (wide - 1) * dilations[1] + 1)
        sizes = (rows + pads[0] + pads[2], columns + pads[1] + pads[3])
        shape = tuple((sizes[axis] - reach[axis]) // strides[axis] + 1 for axis in (0, 1))
        if min(shape) < 1:
            raise NoRuleError("its kernel is larger than its input")
        if (high, wide) == (1, 1) and any(pads):
            return self.conv(self.pad(view, pads), kernel, bias, strides, dilations, NONE, groups)
        if groups == 1 and pads == NONE:
            if (high, wide, *strides) == (1, 1, 1, 1):
                return self.matmul(view, kernel.map(lambda array: array.reshape(-1, out)), bias)
            if (high, wide) == (rows, columns) and dilations == (1, 1):
                return self.matmul(view.reshape(1, 1, 1, -1), kernel.map(lambda array: array.reshape(-1, out)), bias)
        if pads == NONE and (high, wide, each, *strides) == (1, 1, 1, 1, 1) and out == channels:
            return self.affine(view, _flat(kernel), _vector(bias, out))
        source = self.ordered(view, view.at.shape[1:])
        before = self.terms[source]
        if before.kind == "pad" and before.facts[1] == 0 and before.shape == view.at.shape[1:]:
            pads = _sum(pads, before.facts[0])
            (rows, columns), source = before.facts[2], before.inputs[0]
        if (high, wide) == (1, 1):
            dilations = (1, 1)
        facts = (strides, dilations, pads, groups, (rows, columns))
        return self._view("conv", (source,), (*shape, out), *facts, kernel=kernel, bias=_vector(bias, out))

    def matmul(self, view: View, matrix: Stored, bias: Stored) -> View:
        """Add a product of the last axis with a matrix [in, out]; what scales and shifts the input is in the matrix."""
        *front, inner = view.at.shape
        out = matrix.base.shape[1]
        if matrix.base.shape[0] != inner:
            raise NoRuleError(f"a matrix {matrix.base.shape} doesn't fit {inner} numbers")
        bias = _vector(bias, out)
        if (inner, out) == (1, 1):
            return self.affine(view, _flat(matrix), bias)
        if math.prod(front) == 1 and self._each_once(view):  # one row: its order is that of the matrix's rows
            order = np.argsort(view.at.reshape(-1))
            matrix = matrix.map(lambda array: array[order])
            view = View(np.arange(inner, dtype=np.int32).reshape(view.at.shape), view.term)
        source, stored = self.ordered(view, (math.prod(front), inner)), dict[str, Stored]()
        before = self.terms[source]
        scale, offset = (before.stored["scale"], before.stored["offset"]) if before.kind == "affine" else (ONE, ZERO)
        if before.kind == "affine" and all(_by_column(one, before.shape, inner) for one in (scale, offset)):
            shift, columns = _columns(offset, before.shape, inner), matrix.values
            if np.any(shift.base):
                coarse = None if shift.step is None else shift.step @ np.abs(columns)
                unit = shift.magnitude @ np.abs(columns)
                bias = bias.plus(Stored(shift.values @ columns, unit=unit, coarse=coarse))
                by = _columns(scale, before.shape, inner).values
                stored["shift"] = Stored(np.divide(shift.values, by, out=np.zeros(inner), where=by != 0))
            matrix = matrix.times(_columns(scale, before.shape, inner).map(lambda array: array[:, None]))
            source = before.inputs[0]
        made = self._view("matmul", (source,), (math.prod(front), out), kernel=matrix, bias=bias, **stored)
        return made.reshape(*front, out)

    # --- numbers by themselves ---

    def affine(self, view: View, scale: Stored, offset: Stored = ZERO) -> View:
        """Add scale * x + offset, both of sizes that stretch to the view, into what is there already where it fits."""
        stretched = np.broadcast_shapes(view.at.shape, scale.base.shape, offset.base.shape)
        if not np.any(scale.base):
            return View(np.broadcast_to(offset.values, stretched))
        view = view.map(lambda at: np.broadcast_to(at, stretched))
        if _is_rounded(scale, 1) and _is_rounded(offset, 0):
            return view
        view = self.whole(view)
        made = self._affine(view.source, self._spread(view, scale), self._spread(view, offset))
        return View(view.at, made)

    def _affine(self, index: int, scale: Stored, offset: Stored) -> int:
        term = self.terms[index]
        if _is_rounded(scale, 1) and _is_rounded(offset, 0):
            return index
        flat = all(math.prod(one.base.shape[:-1]) == 1 for one in (scale, offset))
        if term.kind in ("conv", "matmul") and flat:
            factor = _flat(scale)
            kernel, bias = term.stored["kernel"].times(factor), term.stored["bias"].times(factor)
            bias = _vector(bias.plus(_flat(offset)), term.shape[-1])
            stored = {**term.stored, "kernel": kernel, "bias": bias}
            return self.add(term.kind, term.inputs, term.shape, term.facts, **stored)
        if term.kind == "affine":
            more = term.stored["offset"].times(scale).plus(offset)
            return self._affine(term.inputs[0], term.stored["scale"].times(scale), more)
        one, other = scale.values.reshape(-1), offset.values.reshape(-1)
        if term.kind == "clip" and len(one) == len(other) == 1 and one[0] != 0:
            ends = term.stored["ends"].times(_flat(scale)).plus(_flat(offset))
            ends = ends if one[0] > 0 else _turned(ends)
            return self._clip(self._affine(term.inputs[0], scale, offset), ends)
        if term.kind == "mul" and len(one) == 1 and not np.any(other):
            gates = [each for each in term.inputs if self._is_gate(each)]
            if len(gates) == 1 and len(term.inputs) == 2:
                inner = [self._affine(each, scale, ZERO) if each in gates else each for each in term.inputs]
                return self.add("mul", sorted(inner), term.shape)
        return self.add("affine", (index,), term.shape, (), scale=scale, offset=offset)

    def _is_gate(self, index: int) -> bool:
        """Whether a term ends below and above."""
        term = self.terms[index]
        if term.kind in ("gather", "affine"):
            return self._is_gate(term.inputs[0])
        return term.kind == "erf" or (term.kind == "clip" and bool(np.isfinite(term.stored["ends"].values[:2]).all()))

    def clip(
        self, view: View, low: float | Stored = -math.inf, high: float | Stored = math.inf, top: Stored | None = None
    ) -> View:
        """Add min(max(x, low), high); `top` is where the integers end in which it is stored, which may be the bound."""
        view = self.whole(view, once=True)
        given = [one if isinstance(one, Stored) else number(one) for one in (low, high, top or math.inf)]
        values = np.array([one.values.reshape(()) for one in given])
        values = np.where(np.abs(values) >= -LOWEST, np.copysign(math.inf, values), values)
        coarse = np.array([0 if one.step is None else one.step.reshape(()) for one in given])
        return View(view.at, self._clip(view.source, Stored(values, coarse=coarse if coarse.any() else None)))

    def _clip(self, index: int, ends: Stored) -> int:
        term, (low, high, _) = self.terms[index], ends.values
        if not low < high:
            raise NoRuleError(f"from {low:g} to {high:g} is no range")
        if term.kind == "clip":
            inner = term.stored["ends"]
            first, last, _ = inner.values
            if low < last and high > first:
                tighter = np.array([low > first, high < last, ends.values[2] < inner.values[2]])
                steps = [np.zeros(3) if one.step is None else one.step for one in (ends, inner)]
                coarse = np.where(tighter, steps[0], steps[1])
                merged = Stored(np.where(tighter, ends.values, inner.values), coarse=coarse if coarse.any() else None)
                return self._clip(term.inputs[0], merged)
        if term.kind == "elu" and (low, high) == (0, math.inf):  # ELU is the identity above 0, and below 0 there
            return self._clip(term.inputs[0], ends)
        least = self.least(index)
        if least >= low and high == math.inf:
            return index
        if least >= 0 and low < 0 < high:  # a file may leave out what is implied: both are written alike
            ends = ends.map(lambda array: np.where([True, False, False], 0, array))
        return self.add("clip", (index,), term.shape, (), ends=ends)

    def least(self, index: int) -> float:
        """Return a bound below which a term can't be: 0 or minus infinity, or the lower end of a clip."""
        term = self.terms[index]
        if term.kind == "clip":
            return float(term.stored["ends"].values[0])
        if "bound" in term.stored or term.kind in ("sigmoid", "softmax", "exp", "sqrt"):
            return 0.0
        if term.kind in ("max", "largest", "gather", "concat"):
            return min(self.least(one) for one in term.inputs)
        framed = term.kind == "pad" and term.facts[1] >= 0
        keeps = framed or term.kind in ("average", "mean", "add", "mul", "reciprocal")
        return 0.0 if keeps and all(self.least(one) >= 0 for one in term.inputs) else -math.inf

    def each(self, view: View, kind: str, **stored: Stored) -> View:
        """Add a function of each number: sigmoid, tanh, elu, leaky (its slope), greater or less (than its bound)."""
        view = self.whole(view, once=True)
        numbers = {name: one.map(lambda array: array.reshape(())) for name, one in stored.items()}
        return View(view.at, self.add(kind, (view.source,), self.terms[view.source].shape, (), **numbers))

    def binary(self, kind: str, left: View, right: View) -> View:
        """Add a sum or a product; sizes of 1 stretch, and stored numbers are scale or offset."""
        if left.term is None:
            left, right = right, left
        if right.term is None:
            if left.term is None:
                return _computed(kind, left, right)
            return self.affine(left, right.stored) if kind == "mul" else self.affine(left, ONE, right.stored)
        shape = np.broadcast_shapes(left.at.shape, right.at.shape)
        left, right = (one.map(lambda at: np.broadcast_to(at, shape)) for one in (left, right))
        if not self._each_once(left):
            left, right = right, left
        left = self.whole(left)
        term = self.terms[left.source]
        moved = np.empty(left.at.size, np.int32)
        moved[left.at.reshape(-1)] = right.at.reshape(-1)
        other = self.ordered(View(moved, right.term), term.shape)
        return View(left.at, self.add(kind, sorted((left.source, other)), term.shape))

    # --- windows ---

    def pad(self, view: View, pads: Pads, value: float = 0.0) -> View:
        """Add a border around [1, H, W, C]."""
        if min(pads) < 0:
            raise NoRuleError(f"its pads {pads} cut off the border")
        if not any(pads):
            return view
        _, rows, columns, channels = view.at.shape
        shape = (rows + pads[0] + pads[2], columns + pads[1] + pads[3], channels)
        before = self.terms[source := self.ordered(view, view.at.shape[1:])]
        if before.kind == "pad" and before.facts[1] == value and before.shape == view.at.shape[1:]:
            pads, source = _sum(pads, before.facts[0]), before.inputs[0]
            rows, columns = before.facts[2]
        return self._view("pad", (source,), shape, pads, value, (rows, columns))

    def pool(self, view: View, kind: str, kernel: Pair, strides: Pair, pads: Pads = NONE) -> View:
        """Add a largest value or an average of windows over [1, H, W, C]; zeros around an average count.

        Around a largest value is what lies at the edge, which can't win. An average of everything is a mean.
        """
        _, rows, columns, channels = view.at.shape
        if not _within(pads, kernel):
            raise NoRuleError(f"a window {kernel} with pads {pads}")
        before = self.terms[view.term] if view.term is not None and _counts(view.at) else None
        if kind == "max" and before is not None and before.kind == "pad" and before.shape == view.at.shape[1:]:
            more, value, sizes = before.facts
            if _within(_sum(pads, more), kernel) and value <= max(self.least(before.inputs[0]), LOWEST):
                inner = np.arange(math.prod(sizes) * channels, dtype=np.int32).reshape(1, *sizes, channels)
                return self.pool(View(inner, before.inputs[0]), kind, kernel, strides, _sum(pads, more))
        if any(pads):
            around = ((0, 0), pads[::2], pads[1::2], (0, 0))
            edged = view.map(lambda at: np.pad(at, around, "edge")) if kind == "max" else self.pad(view, pads)
            return self.pool(edged, kind, kernel, strides)
        shape = ((rows - kernel[0]) // strides[0] + 1, (columns - kernel[1]) // strides[1] + 1, channels)
        if min(shape) < 1:
            raise NoRuleError(f"a window {kernel} over {(rows, columns)}")
        if kernel == (1, 1):
            return view.map(lambda at: at[:, :: strides[0], :: strides[1]])
        if all(kernel[axis] == (rows, columns)[axis] or kernel[axis] == strides[axis] == 1 for axis in (0, 1)):
            whole = [axis + 1 for axis in (0, 1) if kernel[axis] == (rows, columns)[axis]]
            return self.mean(view, whole, keep=True, kind="mean" if kind == "average" else "largest")
        return self._view(kind, (self.ordered(view, view.at.shape[1:]),), shape, kernel, strides, (rows, columns))

    def mean(self, view: View, axes: Sequence[int], *, keep: bool, kind: str = "mean") -> View:
        """Add the mean over some axes, or the largest."""
        rank, shape = view.at.ndim, view.at.shape
        gone = sorted(int(axis) % rank for axis in axes)
        kept = [axis for axis in range(rank) if axis not in gone]
        sizes = [1 if axis in gone else shape[axis] for axis in range(rank) if keep or axis in kept]
        rows = view.transpose(*gone, *kept).reshape(math.prod(shape[axis] for axis in gone), -1)
        rows = rows.map(lambda at: np.sort(at, 0))  # in any order it is one mean
        if rows.at.shape[0] == 1:
            return view.reshape(*sizes)
        order = np.argsort(rows.at[0], kind="stable")  # nor does it matter which of several means stands first
        rows = rows.map(lambda at: at[:, order])
        made = self._view(kind, (self.ordered(rows, rows.at.shape),), rows.at.shape[1:], rows.at.shape)
        return made.map(lambda at: at[:, np.argsort(order)].reshape(sizes))

    # --- joins ---

    def concat(self, views: Sequence[View], axis: int) -> View:
        """Join along an axis: a view of one term where all parts are views of it."""
        if all(one.term is None for one in views) or len({one.term for one in views}) == 1:
            if any(one.rounded is not None for one in views):
                raise NoRuleError("it joins stored integers with scales")
            return View(np.concatenate([one.at for one in views], axis), views[0].term)
        parts = [self.whole(one) for one in views]
        rank, indices = parts[0].at.ndim, [one.source for one in parts]
        orders = {tuple(range(rank)), (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))}  # of channels
        fits = [order for order in orders if all(_counts(one.at.transpose(order)) for one in parts)]
        if len(fits) == 1:  # else no layout is told apart from another
            order, turned = fits[0], [one.at.transpose(fits[0]) for one in parts]
            place, sizes = order.index(axis % rank), list(turned[0].shape)
            sizes[place] = sum(one.shape[place] for one in turned)
            joined = self._view("concat", indices, sizes[1:], place - len(sizes), tuple(sizes[1:]))
            return joined.transpose(*(order.index(one) for one in range(rank)))
        starts = np.cumsum([0, *(math.prod(self.terms[one].shape) for one in indices)])
        made = self.add("concat", indices, (int(starts[-1]),), (None, int(starts[-1])))
        moved = [one.at + start for one, start in zip(parts, starts[:-1], strict=True)]
        return View(np.concatenate(moved, axis).astype(np.int32), made)


def _counts(at: Array) -> bool:
    """Whether positions are 0, 1, 2 and so on."""
    return np.array_equal(at.reshape(-1), np.arange(at.size))


def _within(pads: Pads, kernel: Pair) -> bool:
    """Whether every window that reaches into a border holds a place of the image."""
    return min(pads) >= 0 and max(pads[::2]) < kernel[0] and max(pads[1::2]) < kernel[1]


def _turned(ends: Stored) -> Stored:
    """Return the ends of -clip(-x): each is the other, and where the integers end is no bound above."""
    made = ends.map(lambda array: array[[1, 0, 2]])
    values, steps = made.values, made.step
    values[2] = math.inf
    return Stored(values, coarse=steps)


def _computed(kind: str, left: View, right: View) -> View:
    """Return a sum or a product of stored numbers."""
    if all(one.at.dtype.kind in "iu" and one.rounded is None for one in (left, right)):
        return View(left.at * right.at if kind == "mul" else left.at + right.at)
    shape = np.broadcast_shapes(left.at.shape, right.at.shape)
    one, other = (each.map(lambda array: np.broadcast_to(array, shape)).stored for each in (left, right))
    made = one.times(other) if kind == "mul" else one.plus(other)
    return View(made.base, None, made)


def _sum(one: Pads, other: Pads) -> Pads:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])


def _is_rounded(stored: Stored, number: int) -> bool:
    """Whether all of some numbers are 0, or 1, as far as they are rounded."""
    far = np.abs(stored.values - number)
    fine = K * np.spacing(np.maximum(stored.magnitude, number).astype(np.float32))
    return bool((far <= fine + (0 if stored.step is None else stored.step / 2)).all())


def _flat(stored: Stored) -> Stored:
    return stored.map(lambda array: array.reshape(-1))


def _vector(stored: Stored, length: int) -> Stored:
    """Return a bias as one number a channel."""
    return stored.map(lambda array: np.broadcast_to(array, (length,)))


def _by_column(numbers: Stored, shape: tuple[int, ...], inner: int) -> bool:
    """Whether numbers that stretch to a term repeat from row to row of [rows, inner]."""
    alone = math.prod(shape) == inner or numbers.base.size == 1
    return alone or (shape[-1] == inner and math.prod(numbers.base.shape[:-1]) == 1)


def _columns(numbers: Stored, shape: tuple[int, ...], inner: int) -> Stored:
    return numbers.map(lambda array: np.broadcast_to(array, shape).reshape(-1, inner)[0])
