"""Two normal forms, term by term from the input: equal operations on equal terms with stored numbers within k steps.

Each term of a file finds its partner in the ONNX graph, or is the first that has none. A partner may differ by a
positive power of two a channel (cross-layer equalization): that passes through what is positively homogeneous, and has
to be gone at the outputs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.explain import Declared, Factor, Far, Found, TermMatch, look_alike, only_factors, words_of
from convert.proof.normal import PAIRS, K, NormalForm, Stored, Term, number

BLOCK = 1 << 18  # numbers that are compared at a time
HOMOGENEOUS = ("clip", "max", "average", "mean", "largest", "pad")  # f(x * s) = f(x) * s for s > 0
LEAST_FACTOR = 1e-2  # a layer that is off by less is wrong, not written in another way


def compare(onnx: NormalForm, file: NormalForm, declared: Declared) -> TermMatch:
    """Return the partners of a file's terms, up to the first that has none.

    Args:
        onnx: the ONNX graph.
        file: the same network from another file.
        declared: what the file says of its integers.
    """
    places, same = _places(onnx)
    match = TermMatch()
    for index in needed(file):
        term = file.terms[index]
        inputs = [match.partners[one][0] for one in term.inputs]
        factors = [match.partners[one][1] for one in term.inputs]
        tried = []
        near = places[_place(term, inputs)]  # those of its own sizes first
        for other in sorted(near, key=lambda one, shape=term.shape: onnx.terms[one].shape != shape):  # type: ignore[misc]
            found, factor = judge_terms(onnx.terms[other], term, factors, declared)
            if not found.where:
                match.take(index, other, factor, found)
                break
            tried.append((other, found))
        else:
            return match.end(index, look_alike(onnx, term, inputs), tried)
    _compare_outputs(match, onnx, file, same)
    return match


def _places(onnx: NormalForm) -> tuple[dict[Any, list[int]], dict[int, int]]:
    """Return the ONNX graph's terms by what they do to which terms, and the first of each that is there twice.

    A term is there twice where only its sizes differ, such as places of a join that one convolution reads as an image
    and another as rows: their numbers are the same.
    """
    places, same = defaultdict[Any, list[int]](list), dict[int, int]()
    for index in needed(onnx):
        term = onnx.terms[index]
        alike = places[_place(term, [same[one] for one in term.inputs])]
        same[index] = next((one for one in alike if _are_equal(onnx.terms[one], term)), index)
        if same[index] == index:
            alike.append(index)
    return places, same


def _are_equal(one: Term, other: Term) -> bool:
    """Whether two terms in one place hold the same numbers, to the bit."""
    pairs = [(_full(one, name), _full(other, name)) for name in one.stored if name in other.stored]
    return one.stored.keys() == other.stored.keys() and all(np.array_equal(*pair) for pair in pairs)


def _full(term: Term, name: str) -> NDArray[np.float64]:
    return (_spread(term.stored[name], term) if name in ("scale", "offset") else term.stored[name]).values


def _place(term: Term, inputs: Sequence[int]) -> tuple[Any, ...]:
    return term.kind, tuple(sorted(inputs) if term.kind in PAIRS else inputs), term.facts


def needed(form: NormalForm) -> list[int]:
    """Return the terms that an output depends on, in order."""
    waiting, seen = [one.term for one in form.outputs.values() if one.term is not None], set[int]()
    while waiting:
        index = waiting.pop()
        if index not in seen:
            seen.add(index)
            waiting += form.terms[index].inputs
    return sorted(seen)


def _compare_outputs(match: TermMatch, onnx: NormalForm, file: NormalForm, same: Mapping[int, int]) -> None:
    """Hold each output of the file to its namesake: the same term in the same order, or an image channels last.

    Rows of one film that ONNX has in the batch's place are an axis of their own in a file.
    """
    for name, view in file.outputs.items():
        if name not in onnx.outputs or view.term is None:
            return match.fail(view.term, None, f"the ONNX graph has no output {name}")
        at, wanted, (partner, factor) = onnx.outputs[name].at, onnx.outputs[name].term, match.partners[view.term]
        term = None if wanted is None else same[wanted]
        order = [at, at.transpose(0, 2, 3, 1) if at.ndim == 4 else at[None][: len(at) > 1]]  # none of a single row
        if partner != term or not any(np.array_equal(view.at, one) for one in order):
            other = None if partner == term or term is None else onnx.terms[term]
            return match.end_otherwise(view.term, term, name, file.terms[view.term], other)
        if factor is not None:
            return match.fail(view.term, None, f"output {name} is multiplied by {factor.max():g}")
    return None


# --- one term ---


def judge_terms(onnx: Term, file: Term, factors: list[Factor], declared: Declared) -> tuple[Found, Factor]:
    """Compare two terms in the same place, and infer the factors of what the file's gives."""
    given = next((one for one in factors if one is not None), None)
    pair = _as_weights(onnx, file, moved=given is not None)
    if pair is not None:
        return _judge_weights(*pair, given, declared)
    found, factor = Found(), _passed_on(onnx, file, factors)
    if given is not None and factor is None:
        return Found(math.inf, where=f"factors a channel of {given.min():g} to {given.max():g} meet {file.kind}"), None
    for name, wanted in onnx.stored.items():
        value = file.stored[name]
        if name in ("at", "bound"):  # what is near a bound is on either side of it
            same = np.array_equal(wanted.base, value.base)
            found = found if same else Found(math.inf, where="other positions" if name == "at" else "another bound")
        elif name == "ends":  # where the file says none above, its integers may end there
            ends = slice(0, 3, 2) if np.isinf(value.values[1]) and np.isfinite(wanted.values[1]) else slice(2)
            _distance(found, _block(wanted, slice(2)), _block(value, ends), name)
        else:
            if name in ("scale", "offset") and (onnx.shape != file.shape or wanted.base.shape != value.base.shape):
                wanted, value = _spread(wanted, onnx), _spread(value, file)  # noqa: PLW2901  (in other sizes)
            if 1 < wanted.base.size != value.base.size > 1:
                return Found(math.inf, where=f"{value.base.size} numbers of {name} for {wanted.base.size}"), None
            _distance(found, wanted, value, name)
    found.unruled = onnx.kind == "affine" and found.share > LEAST_FACTOR
    return found, factor


def _spread(stored: Stored, term: Term) -> Stored:
    return stored.map(lambda array: np.broadcast_to(array, term.shape).reshape(-1))


def _passed_on(onnx: Term, file: Term, factors: list[Factor]) -> Factor:
    """Return the factors of what a term gives, None for none (or where they can't be said)."""
    given, known = factors[0] if factors else None, [one for one in factors if one is not None]
    if given is None or len(known) < len(factors):
        return None
    if onnx.kind == "add":
        return given if all(np.array_equal(one, given) for one in known) else None
    if file.kind == "gather":
        rows = given[file.stored["at"].base % given.size].reshape(-1, file.shape[-1])
        return rows[0] if (rows == rows[0]).all() else None
    ends = onnx.stored["ends"].values[:2] if onnx.kind == "clip" else np.zeros(1)
    even = file.kind == "affine" and file.stored["scale"].base.shape[-1] == 1 and not file.stored["offset"].base.any()
    fits = (even or file.kind in HOMOGENEOUS) and given.size == file.shape[-1]
    passes = fits and np.isin(ends, (0, math.inf, -math.inf)).all()
    return given if passes and (onnx.kind != "pad" or onnx.facts[1] == 0) else None


def _as_weights(onnx: Term, file: Term, *, moved: bool) -> tuple[Term, Term] | None:
    """Return both terms where they have weights; a scale of integers, or of moved channels, is a weight a channel."""
    if onnx.kind in ("conv", "matmul"):
        return onnx, file
    if onnx.kind != "affine" or not (moved or file.stored["scale"].base.dtype == np.int8):
        return None
    one, other = _by_channel(onnx), _by_channel(file)
    return None if one is None or other is None else (one, other)


def _by_channel(term: Term) -> Term | None:
    """Return scale and offset as a kernel [1, C] and a bias [C]; None where they differ from place to place."""
    scale, offset, channels = term.stored["scale"], term.stored["offset"], term.shape[-1]
    if any(one.base.size not in (1, channels) or math.prod(one.base.shape[:-1]) > 1 for one in (scale, offset)):
        return None
    rows = scale.map(lambda array: np.broadcast_to(array.reshape(1, -1), (1, channels)))
    bias = offset.map(lambda array: np.broadcast_to(array.reshape(-1), (channels,)))
    return replace(term, facts=((), (), (), channels), stored={"kernel": rows, "bias": bias})


def _judge_weights(onnx: Term, file: Term, given: Factor, declared: Declared) -> tuple[Found, Factor]:
    wanted, value = onnx.stored["kernel"], file.stored["kernel"]
    (*_, each, out), groups = wanted.base.shape, 1 if onnx.kind == "matmul" else onnx.facts[3]
    if wanted.base.shape != value.base.shape or (given is not None and (each * groups) % given.size):
        return Found(math.inf, where=f"weights {list(value.base.shape)} for {list(wanted.base.shape)}"), None
    if given is not None:
        reads = np.arange(each)[:, None] + np.arange(out) // (out // groups) * each  # channel by [in, out]
        wanted = wanted.times(number(1 / given[reads % given.size]))
    factor = _factor(wanted, value) if value.base.dtype == np.int8 or declared.integers else None
    moved, found = number(1 if factor is None else factor), Found()
    _distance(found, wanted.times(moved), value, "weight", searched=declared.may_be_second(value))
    if found.where:
        found.unruled = only_factors(wanted.times(moved), value, LEAST_FACTOR)
        return found, factor
    biases = [onnx.stored["bias"].times(moved)]
    if "shift" in onnx.stored and value.step is not None:  # a shift before rounded weights, where it is no bias yet
        more = onnx.stored["shift"].values @ (value.values - wanted.values)
        biases.append(Stored(biases[0].values + more, unit=biases[0].magnitude))
    tried = [Found() for _ in biases]
    for one, bias in zip(tried, biases, strict=True):
        _distance(one, bias, file.stored["bias"], "bias")
    best = min(tried, key=lambda one: one.steps)
    best.merge(found)
    return best, factor


def _factor(wanted: Stored, value: Stored) -> Factor:
    """Infer the power of two of each channel from its largest weight, else from none: 1."""
    out = wanted.base.shape[-1]
    largest = [np.abs(one.values).reshape(-1, out).max(0) for one in (wanted, value)]
    known = (largest[0] > 0) & (largest[1] > 0)
    ratio = np.divide(largest[1], largest[0], out=np.ones(out), where=known)
    factor: NDArray[np.float64] = 2.0 ** np.rint(np.log2(ratio))
    return None if (factor == 1).all() else factor


# --- stored numbers ---


def _distance(found: Found, wanted: Stored, value: Stored, what: str, *, searched: bool = False) -> None:
    """Measure how far stored numbers are from what they should be, block by block of the last axis."""
    size, width = wanted.base.size, wanted.base.shape[-1] if wanted.base.ndim else 1
    step = max(1, BLOCK * width // max(1, size))
    for start in range(0, width, step):
        part = slice(start, start + step)
        one, other = (each if width == 1 else _block(each, part) for each in (wanted, value))
        far = _far(one, other)
        if searched and other.base.dtype == np.int8:
            second = (far.beyond > 1) & (far.distance < far.coarse + K * far.fine)
            found.second += int(second.sum())
            far.beyond[second] = 0
        worst = float(far.beyond.max(initial=0))
        if worst > max(found.steps, K):
            found.where, found.share = words_of(what, far, start)
        found.steps, found.halves = max(found.steps, worst), max(found.halves, far.halves)
    found.compared += size


def _block(stored: Stored, part: slice) -> Stored:
    return stored.map(lambda array: array[..., part])


def _far(wanted: Stored, value: Stored) -> Far:
    """Return the distance of each number, what one step of it is, and how many steps no rounding explains."""
    right, stored = wanted.values, value.values
    with np.errstate(invalid="ignore", over="ignore"):
        coarse = _coarse(right, value)
        distance = np.where(right == stored, 0.0, np.abs(stored - right))
        magnitude = np.maximum(wanted.magnitude, np.abs(right)).astype(np.float32)
        fine = np.spacing(magnitude).astype(np.float64)
        beyond = np.where(distance == 0, 0.0, np.maximum(distance - coarse / 2, 0) / fine)
    return Far(right, stored, distance, coarse, fine, np.where(np.isnan(beyond), math.inf, beyond))


def _coarse(right: NDArray[np.float64], value: Stored) -> NDArray[np.float64]:
    """Return the step of what was rounded to fewer bits than float32 has; 0 of float32."""
    if value.base.dtype == np.float16 and value.coarse is None:  # below a power of two the steps are half as wide
        half = np.abs(right / np.where(value.gain == 0, 1, value.gain)).astype(np.float16)
        return np.asarray(np.spacing(half).astype(np.float64) * np.abs(value.gain))
    step = value.step
    return np.zeros(right.shape) if step is None else np.broadcast_to(step, right.shape)
