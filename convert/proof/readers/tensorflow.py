"""What TensorFlow's files of every format mean by a border and by a slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.proof.normal import NormalForm, NoRuleError, Pads, View
from convert.proof.readers import choices, compositions

FRAMEWORK = "litert"


def same(sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> Pads:
    """Return the borders of TensorFlow's "same": the odd one below and right."""
    walks = zip(sizes, strides, reach, strict=True)
    high, wide = (max((-(-size // step) - 1) * step + reached - size, 0) for size, step, reached in walks)
    return high // 2, wide // 2, high - high // 2, wide - wide // 2


def cut(begin: list[int], end: list[int], step: list[int], masks: tuple[int, int, int]) -> tuple[Any, ...]:
    """Return TensorFlow's strided slice as numpy's: masks of begin, end and the axes that are taken away."""
    made: list[Any] = []
    for axis in range(len(begin)):
        first, last, alone = (bool(mask >> axis & 1) for mask in masks)
        whole = slice(None if first else begin[axis], None if last else end[axis], step[axis])
        made.append(begin[axis] if alone else whole)
    return tuple(made)


def pad(form: NormalForm, view: View, around: View, value: View | None) -> View:
    """Add a border around rows and columns."""
    pads = np.reshape(around.array, (-1, 2))
    if len(pads) != 4 or pads[[0, 3]].any():
        raise NoRuleError("it pads other axes than rows and columns")
    (top, bottom), (left, right) = pads[1:3].tolist()
    number = 0.0 if value is None else float(value.stored.values.reshape(()))
    return form.pad(view, (top, left, bottom, right), number)


def bound(form: NormalForm, left: View, right: View, *, low: bool) -> View:
    """Add the larger or smaller of two, of which one may be stored: one number, however often it stands there."""
    if left.term is not None and right.term is not None:
        return form.binary("larger" if low else "smaller", left, right)
    view, end = (left, right) if right.term is None else (right, left)
    numbers = end.stored.values.reshape(-1)
    if (numbers != numbers[0]).any():
        raise NoRuleError("its bound is not one number")
    one = end.stored.map(lambda array: array.reshape(-1)[0])
    return form.clip(view, low=one) if low else form.clip(view, high=one)


def select(form: NormalForm, where: View, yes: View, no: View, *, stretches: bool = True) -> View:
    """Return a choice; where(x > 0, elu(x), alpha * elu(x)) is ELU of any alpha.

    Args:
        form: to which it is added.
        where: condition.
        yes: what is taken where it holds.
        no: what is taken elsewhere.
        stretches: whether sizes stretch as numpy's do. Where not, a row of conditions chooses whole rows, which is
            not read: NoRuleError of other sizes than equal ones, but for one condition of everything.
    """
    if not stretches and (yes.at.shape != no.at.shape or (where.at.size > 1 and where.at.shape != yes.at.shape)):
        raise NoRuleError(f"it chooses by {where.at.shape} between {yes.at.shape} and {no.at.shape}")
    if any(one.term is None for one in (where, yes, no)):
        return choices.choose(form, where, yes, no)
    term, chosen, scaled = (form.terms[one.source] for one in (where, yes, no))
    known = term.kind == "greater" and not term.stored["bound"].base.any() and chosen.kind == "elu"
    same = scaled.kind == "affine" and scaled.inputs == (yes.term,) and chosen.inputs == term.inputs
    views = all(np.array_equal(one.at, where.at) for one in (yes, no))
    if not (known and same and views and scaled.stored["scale"].base.size == 1) or scaled.stored["offset"].base.any():
        return choices.choose(form, where, yes, no)
    return compositions.elu(form, View(where.at, term.inputs[0]), float(scaled.stored["scale"].values.reshape(())))
