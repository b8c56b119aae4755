"""Two normal forms, term by term from the input: equal operations on equal terms with stored numbers within k steps.

Each term of a file finds its partner in the ONNX graph, or is the first that has none. A partner may differ by a
positive power of two a channel (cross-layer equalization): that passes through what is positively homogeneous, and has
to be gone at the outputs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import K, NormalForm, Stored, Term, number

BLOCK = 1 << 18  # numbers that are compared at a time
LEAST_FACTOR = 1e-2  # a layer that is scaled by less is wrong, not written in another way
HOMOGENEOUS = ("clip", "max", "average", "mean", "largest", "pad", "gather", "concat")  # f(x * s) = f(x) * s for s > 0
Factor = NDArray[np.float64] | None  # one a channel


@dataclass(slots=True)
class Found:
    """What comparing stored numbers found."""

    steps: float = 0.0  # the largest distance, in float32 steps, less what rounding to fewer bits explains
    halves: float = 0.0  # the largest distance in steps of a reduced type: 0.5 is one exact rounding
    second: int = 0  # integers that are the second nearest: a rounding search
    shifted: int = 0  # biases that are shifted by whole steps, as declared
    compared: int = 0
    where: str = ""  # of what is beyond, in numbers
    share: float = 0.0  # of the number itself, that it is off by
    unruled: bool = False  # what comes before or after may make up for it


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file says that was done to its integers beyond rounding to the nearest."""

    searched: bool = False  # weights are rounded up or down, by a search
    biases: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # by tensor: steps by channel


@dataclass(slots=True)
class Match:
    """How a file's terms stand to those of the ONNX graph."""

    partners: dict[int, tuple[int, Factor]] = field(default_factory=dict)
    found: Found = field(default_factory=Found)
    first: int | None = None  # the first term without a partner
    nearest: int | None = None  # the term of the ONNX graph that it resembles most
    why: str = ""
    equalized: int = 0  # terms with factors
    unruled: bool = False  # what comes before or after may make up for it


def compare(onnx: NormalForm, file: NormalForm, declared: Declared) -> Match:
    """Return the partners of a file's terms, up to the first that has none.

    Args:
        onnx: the ONNX graph.
        file: the same network from another file.
        declared: what the file says of its integers.
    """
    places: dict[Any, list[int]] = defaultdict(list)
    for index, term in enumerate(onnx.terms):
        places[_place(term, term.inputs)].append(index)
    match = Match()
    for index in needed(file):
        term = file.terms[index]
        factors = [match.partners[one][1] for one in term.inputs]
        inputs = [match.partners[one][0] for one in term.inputs]
        if term.kind in ("add", "mul"):
            inputs.sort()
        tried: list[tuple[int, Found, str]] = []
        for other in places[_place(term, inputs)]:
            found, factor, why = _judge(onnx.terms[other], term, factors, declared)
            if not why:
                match.partners[index] = (other, factor)
                match.equalized += factor is not None
                _merge(match.found, found)
                break
            tried.append((other, found, why))
        else:
            match.first = index
            if tried:
                match.nearest, found, match.why = min(tried, key=lambda one: one[1].steps)
                match.unruled = found.unruled
            else:
                _explain(match, onnx, term, inputs)
            return match
    _compare_outputs(match, onnx, file)
    return match


def _place(term: Term, inputs: Any) -> tuple[Any, ...]:
    return (term.kind, tuple(inputs), term.facts, term.size if term.kind == "input" else None)


def needed(form: NormalForm) -> list[int]:
    """Return the terms that an output depends on, in order."""
    waiting, seen = [one.term for one in form.outputs.values() if one.term is not None], set[int]()
    while waiting:
        index = waiting.pop()
        if index not in seen:
            seen.add(index)
            waiting += form.terms[index].inputs
    return sorted(seen)


def _explain(match: Match, onnx: NormalForm, term: Term, inputs: list[int]) -> None:
    """Say what the ONNX graph does with the same terms instead."""
    there = [(at, one) for at, one in enumerate(onnx.terms) if one.inputs and set(inputs) & set(one.inputs)]
    same = [(at, one) for at, one in there if one.kind == term.kind]
    if same:
        match.nearest, match.unruled = same[0][0], True
        match.why = f"{term.kind} {_facts(term)} of {list(term.shape)}, in the ONNX graph {_facts(same[0][1])}"
        match.why += f" of {list(same[0][1].shape)}"
    else:
        match.unruled = True
        kinds = sorted({f"{one.kind} ({one.name})" for _, one in there}) or ["nothing"]
        match.why = f"{term.kind} reads what in the ONNX graph {', '.join(kinds[:3])} reads"


def _facts(term: Term) -> str:
    stored = [f"{name} {list(one.base.shape)}" for name, one in term.stored.items()]
    return " ".join(map(str, (*term.facts, *stored))) or "as it is"


def _compare_outputs(match: Match, onnx: NormalForm, file: NormalForm) -> None:
    """Hold each output of the file to its namesake: the same term in the same order, or an image channels last."""
    for name, view in file.outputs.items():
        if name not in onnx.outputs or view.term is None:
            match.why, match.first = f"the ONNX graph has no output {name}", view.term
            return
        wanted = onnx.outputs[name]
        partner, factor = match.partners[view.term]
        order = [wanted.at, wanted.at.transpose(0, 2, 3, 1) if wanted.at.ndim == 4 else wanted.at]
        if partner != wanted.term or not any(np.array_equal(view.at, one) for one in order):
            match.first, match.nearest = view.term, wanted.term
            match.why = f"output {name} is {file.terms[view.term].name} in another order or place"
            if partner != wanted.term and wanted.term is not None:
                match.why = f"output {name} ends with {file.terms[view.term].kind}"
                match.why += f", in the ONNX graph {onnx.terms[wanted.term].kind} ({onnx.terms[wanted.term].name})"
            return
        if factor is not None:
            match.first = view.term
            match.why = f"output {name} is multiplied by {factor.max():g}"
            return


# --- one term ---


def _judge(onnx: Term, file: Term, factors: list[Factor], declared: Declared) -> tuple[Found, Factor, str]:
    """Compare two terms in the same place; the last of what is returned says what is wrong."""
    found, given = Found(), next((one for one in factors if one is not None), None)
    if onnx.stored.keys() != file.stored.keys():
        return Found(math.inf), None, "other stored numbers"
    if onnx.kind in ("conv", "matmul"):
        return _judge_weighted(onnx, file, given, declared)
    factor = _passed_on(onnx, file, factors)
    if given is not None and factor is None:
        return Found(math.inf), None, f"a factor a channel of {given.min():g} to {given.max():g} meets {file.kind}"
    for name in onnx.stored:
        wanted, value = onnx.stored[name], file.stored[name]
        if name == "at":
            if not np.array_equal(wanted.base, value.base):
                return Found(math.inf), None, "other positions"
            continue
        if name == "ends":
            wanted, value = _ends(wanted, value)
        rows = name in ("scale", "offset") and (onnx.shape != file.shape or wanted.base.shape != value.base.shape)
        if rows:  # the same numbers of terms in other sizes
            wanted, value = _flat(wanted, onnx), _flat(value, file)
        _distance(found, wanted, value, np.ones(()), value.base.dtype == np.int8, declared, name)
    found.unruled = onnx.kind == "affine" and bool(found.where) and found.share > LEAST_FACTOR
    return found, factor, found.where


def _ends(wanted: Stored, value: Stored) -> tuple[Stored, Stored]:
    """Return both ends of a clip; where the file says none above, its integers may end there."""
    at = [0, 2] if np.isinf(value.values[1]) and np.isfinite(wanted.values[1]) else [0, 1]
    return wanted.map(lambda array: array[:2]), value.map(lambda array: array[at])


def _flat(stored: Stored, term: Term) -> Stored:
    return stored.map(lambda array: np.broadcast_to(array, term.shape).reshape(-1))


def same_numbers(onnx: Term, file: Term) -> bool:
    """Whether two terms, wherever they are, are of one kind and have the same numbers, rounded."""
    shapes = [[(name, one.base.shape) for name, one in each.stored.items()] for each in (onnx, file)]
    if onnx.kind != file.kind or shapes[0] != shapes[1]:
        return False
    return not _judge(onnx, file, [], Declared())[2]


def _passed_on(onnx: Term, file: Term, factors: list[Factor]) -> Factor:
    """Return the factor of what a term gives, None for none (or where it can't be said)."""
    if all(one is None for one in factors):
        return None
    if onnx.kind == "add":
        same = all(one is not None and factors[0] is not None and np.array_equal(one, factors[0]) for one in factors)
        return factors[0] if same else None
    [given] = factors if len(factors) == 1 else [None]
    if given is None or file.kind not in HOMOGENEOUS or given.size != file.shape[-1]:
        return None
    ends = onnx.stored["ends"].values[:2] if onnx.kind == "clip" else np.zeros(1)
    zero = onnx.kind != "pad" or onnx.facts[1] == 0
    return given if zero and onnx.kind != "gather" and np.isin(ends, (0, math.inf, -math.inf)).all() else None


def _judge_weighted(onnx: Term, file: Term, given: Factor, declared: Declared) -> tuple[Found, Factor, str]:
    wanted, value = onnx.stored["kernel"], file.stored["kernel"]
    if wanted.base.shape != value.base.shape:
        return Found(math.inf), None, f"weights {list(value.base.shape)}, in the ONNX graph {list(wanted.base.shape)}"
    if given is not None:
        *_, each, out = wanted.base.shape
        groups = onnx.facts[3] if onnx.kind == "conv" else 1
        if (each * groups) % given.size:
            return Found(math.inf), None, f"a factor for each of {given.size} channels meets {each * groups}"
        reads = np.arange(each)[:, None] + np.arange(out) // (out // groups) * each  # channel by [in, out]
        wanted = wanted.times(number(1 / given[reads % given.size]))
    factor = _factor(wanted, value) if value.base.dtype == np.int8 else None
    scale = np.ones(()) if factor is None else factor
    found = Found()
    _distance(found, wanted, value, scale, value.base.dtype == np.int8, declared, "weight")
    if found.where:
        found.unruled = only_factors(wanted, value)
        found.where += ", as others with factors a channel" * found.unruled
        return found, None, found.where
    _distance(found, onnx.stored["bias"], file.stored["bias"], scale, False, declared, "bias")
    return found, factor, found.where


def _factor(wanted: Stored, value: Stored) -> Factor:
    """Infer the power of two of each channel from its largest weight, else from none: 1."""
    out = wanted.base.shape[-1]
    largest = [np.abs(one.values).reshape(-1, out).max(0) for one in (wanted, value)]
    known = (largest[0] > 0) & (largest[1] > 0)
    ratio = np.divide(largest[1], largest[0], out=np.ones(out), where=known)
    factor: NDArray[np.float64] = 2.0 ** np.rint(np.log2(ratio))
    return None if (factor == 1).all() else factor


def only_factors(wanted: Stored, value: Stored) -> bool:
    """Whether weights are the ONNX graph's times other factors a channel, of what they give or of what they read.

    Then what follows or comes before may make up for them, and the file may be written in another way.
    """
    one, other = wanted.values, value.values
    step = 0.6 * (np.zeros(()) if value.step is None else value.step) + 1e-5 * np.abs(other)
    for axis in range(one.ndim - 2, one.ndim):
        others = tuple(at for at in range(one.ndim) if at != axis)
        factor = (one * other).sum(others, keepdims=True) / np.maximum(np.square(one).sum(others, keepdims=True), 1e-30)
        if np.abs(factor - 1).max() > LEAST_FACTOR and (np.abs(other - one * factor) <= step).all():
            return True
    return False


def _distance(
    found: Found, wanted: Stored, value: Stored, factor: NDArray[Any], searchable: bool, declared: Declared, what: str
) -> None:
    """Measure how far stored numbers are from what they should be, block by block of the last axis."""
    size = wanted.base.size
    width = wanted.base.shape[-1] if wanted.base.ndim else 1
    step = max(1, BLOCK // max(1, size // max(1, width)))
    for start in range(0, width, step):
        part = slice(start, start + step)
        one, other = _part(wanted, part), _part(value, part)
        scale = factor if factor.size == 1 else factor[part]
        _distance_of(found, one, other, scale, searchable, declared, what, start)
    found.compared += size


def _part(stored: Stored, part: slice) -> Stored:
    if stored.base.ndim == 0 or stored.base.shape[-1] == 1:
        return stored
    return stored.map(lambda array: array[..., part])


def _distance_of(
    found: Found,
    wanted: Stored,
    value: Stored,
    factor: NDArray[Any],
    searchable: bool,
    declared: Declared,
    what: str,
    start: int,
) -> None:
    right, stored = wanted.values * factor, value.values
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.where(right == stored, 0.0, np.abs(stored - right))
        magnitude = np.maximum(np.abs(wanted.magnitude * factor), np.abs(right))
        fine = np.spacing(magnitude.astype(np.float32)).astype(np.float64)
        coarse = _coarse(right, value)
    if value.name in declared.biases and what == "bias":
        shifts = _shifts(value, far.shape, declared, start) * coarse
        found.shifted += int(np.count_nonzero(shifts))
        far = np.abs(stored - right - shifts)
    if coarse.any():
        halves = np.divide(far, coarse, out=np.zeros_like(far), where=(coarse > 0) & (far > 0))
        found.halves = max(found.halves, float(halves.max()))
    beyond = np.divide(np.maximum(far - coarse / 2, 0), fine, out=np.zeros_like(far), where=right != stored)
    if searchable and declared.searched:
        second = (beyond > K) & (far < coarse - K * fine)
        found.second += int(second.sum())
        beyond = np.where(second, 0.0, beyond)
    beyond = np.where(np.isnan(beyond), math.inf, beyond)
    worst = float(beyond.max(initial=0))
    if worst > max(found.steps, K):
        finite = np.isfinite(far) & np.isfinite(right) & (right != 0)
        found.share = float(np.divide(far, np.abs(right), out=np.zeros_like(far), where=finite).max())
        found.where = _numbers(what, beyond, right, stored, coarse, fine, start)
    found.steps = max(found.steps, worst)


def _coarse(right: NDArray[np.float64], value: Stored) -> NDArray[np.float64]:
    """Return the step of what was rounded to fewer bits than float32 has; 0 of float32."""
    if value.base.dtype == np.float16 and value.coarse is None:  # below a power of two the steps are half as wide
        half = np.abs(right / np.where(value.gain == 0, 1, value.gain)).astype(np.float16)
        return np.asarray(np.spacing(half).astype(np.float64) * np.abs(value.gain))
    step = value.step
    return np.zeros(right.shape) if step is None else np.broadcast_to(step, right.shape)


def _shifts(value: Stored, shape: tuple[int, ...], declared: Declared, start: int) -> NDArray[np.float64]:
    """Return the declared steps of each channel of a bias."""
    made, given = np.zeros(shape), declared.biases.get(value.name, {})
    for channel, steps in given.items():
        if len(shape) == 1 and value.base.dtype == np.int32 and 0 <= channel - start < shape[0]:
            made[channel - start] = steps
    return made


def _numbers(
    what: str,
    beyond: NDArray[Any],
    right: NDArray[Any],
    stored: NDArray[Any],
    coarse: NDArray[Any],
    fine: NDArray[Any],
    start: int,
) -> str:
    at = np.unravel_index(int(beyond.argmax()), beyond.shape)
    place = [int(one) for one in at]
    if place and beyond.shape[-1] > 1:
        place[-1] += start
    unit, name = (coarse, "its own") if coarse[at] > 0 else (fine, "float32")
    steps = abs(stored[at] - right[at]) / unit[at]
    far = f"{steps:,.4g} {name} steps" if math.isfinite(steps) else "not finite"
    return f"{what}{place} is {stored[at]:.9g}, the ONNX graph's is {right[at]:.9g}: {far}"


def _merge(found: Found, more: Found) -> None:
    found.steps, found.halves = max(found.steps, more.steps), max(found.halves, more.halves)
    found.second, found.shifted = found.second + more.second, found.shifted + more.shifted
    found.compared += more.compared
