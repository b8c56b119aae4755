"""Comparisons, what is made of true and false, and choices: true is 1, false is 0, and a choice is a term of three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.proof.normal import ONE, ZERO, NormalForm, NoRuleError, Stored, View, number
from convert.proof.readers import compositions

FRAMEWORK = "litert"
MIRRORED = {
    "equal": "equal",
    "greater": "less",
    "greater_equal": "less_equal",
    "less": "greater",
    "less_equal": "greater_equal",
}


def compare(form: NormalForm, left: View, right: View, kind: str) -> View:
    """Add whether one is larger than, as large as, or smaller than the other: their difference, where both may be."""
    if left.term is None:
        left, right, kind = right, left, MIRRORED[kind]
    if right.term is None and right.at.size == 1:
        shape = np.broadcast_shapes(left.at.shape, right.at.shape)
        left = left.map(lambda at: np.broadcast_to(at, shape))
        return form.each(left, kind, bound=Stored(right.stored.values.astype(np.float32)))
    return form.each(form.binary("add", left, compositions.negative(form, right)), kind, bound=ZERO)


def logic(form: NormalForm, left: View, right: View, kind: str) -> View:
    """Add whether both hold, or either: the product, or the larger."""
    if left.term is None or right.term is None:
        raise NoRuleError("it combines stored truths")
    return form.binary("mul" if kind == "and" else "larger", left, right)


def contrary(form: NormalForm, view: View) -> View:
    """Add 1 - x."""
    return form.affine(view, number(-1), ONE)


def sign(form: NormalForm, view: View) -> View:
    """Add x > 0 less x < 0."""
    above, below = (form.each(view, kind, bound=ZERO) for kind in ("greater", "less"))
    return form.binary("add", above, compositions.negative(form, below))


def to_bool(form: NormalForm, view: View) -> View:
    """Add whether a number is not zero; what is true or false stays as it is."""
    return view if is_truth(form, view) else contrary(form, form.each(view, "equal", bound=ZERO))


def is_truth(form: NormalForm, view: View) -> bool:
    """Whether a view is of what is 0 or 1 by its making."""
    if view.term is None:
        return view.at.dtype == np.bool_
    waiting = [view.term]
    while waiting:
        term = form.terms[waiting.pop()]
        turned = term.kind == "affine" and (term.stored["scale"].values == -1).all()
        if term.kind in ("mul", "larger", "gather") or (turned and (term.stored["offset"].values == 1).all()):
            waiting += term.inputs
        elif term.kind not in MIRRORED:
            return False
    return True


def choose(form: NormalForm, where: View, yes: View, no: View) -> View:
    """Add where(condition, yes, no), all in the order of one that holds each number of a term once."""
    shape = np.broadcast_shapes(where.at.shape, yes.at.shape, no.at.shape)
    views = [one.map(lambda at: np.broadcast_to(at, shape)) for one in (where, yes, no)]
    computed = [one for one in views if one.term is not None]
    if not computed or not is_truth(form, where):
        raise NoRuleError("it chooses between stored numbers, or by what may be neither true nor false")
    first = next((one for one in computed if form.whole(one) is one), None) or form.whole(computed[0])
    order, sizes = np.argsort(first.at.reshape(-1)), form.terms[first.source].shape

    def laid(view: View) -> int:
        if view.term is not None:
            return form.ordered(View(view.at.reshape(-1)[order], view.term), sizes)
        numbers = view.stored.map(lambda array: array.reshape(-1)[order].reshape(sizes))
        return form.add("stored", (), sizes, sizes, values=numbers)

    return View(first.at, form.add("choose", [laid(one) for one in views], sizes))


def rules(convert: Callable[[str], str]) -> dict[str, Callable[[NormalForm, Any], View]]:
    """Return the rules of a format by its names of operations, each of what `given[0]` and on hold.

    Args:
        convert: returns the format's name of `less_equal`, `logical_and` and the others.
    """
    found: dict[str, Callable[[NormalForm, Any], View]] = {
        convert(kind): lambda form, given, kind=kind: compare(form, given[0], given[1], kind)  # type: ignore[misc]
        for kind in MIRRORED
    }
    for kind in ("and", "or"):
        found[convert(f"logical_{kind}")] = lambda form, given, kind=kind: logic(form, given[0], given[1], kind)  # type: ignore[misc]
    return found | {
        convert("logical_not"): lambda form, given: contrary(form, given[0]),
        convert("sign"): lambda form, given: sign(form, given[0]),
        convert("sin"): lambda form, given: form.each(given[0], "sin"),
        convert("cos"): lambda form, given: form.each(given[0], "cos"),
    }


def camel(name: str) -> str:
    """Return a name as TensorFlow and Keras write it: LessEqual."""
    return "".join(part.title() for part in name.split("_"))
