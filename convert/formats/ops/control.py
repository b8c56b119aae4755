"""Loops, branches, sequences and masks over sizes, which exporters write: resolved before any operation is read.

torch's newer exporter writes `as_strided`, which it makes of a pool whose axes were moved, as a Loop that computes the
places of every number; its older one writes a squeeze whose axis may not be of size 1 as an If. What they compute
follows from sizes alone, so it is asked for with one film, two and three: places that are those of one film, film after
film, are a Gather of each film; numbers that do not change with the number of films are stored; a branch that is always
taken is taken. What reads the film itself is left as it is, and refused by whoever knows no such operation.

A mask of attention is the same for every film, and mostly masks nothing: transformers' networks get one when they are
exported, and only then. It is stored once, and what it leaves as it was is left out, as is PyTorch's guard behind the
softmax, which is for rows of which everything is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Answer = Callable[[onnx.ModelProto, int], list[NDArray[Any]]]  # a graph's outputs for so many films
OF_SIZES = ("Shape", "Size")  # what they give does not depend on what stands in a film
FILMS = (1, 2, 3)  # tried; where the batch is fixed the first alone
WEIGHTS = "BatchNormalization"  # by which PyTorch's older exporter writes standardised weights, of themselves
STRETCH = ("Add", "Sub", "Mul", "Div", "Where")  # what takes one film's numbers for those of each


def resolve_control(model: onnx.ModelProto, answer: Answer, batch: int | None) -> None:
    """Write loops and branches over sizes out, in place.

    Args:
        model: of one input.
        answer: computes a graph's outputs, as of ONNX Runtime.
        batch: of the file, None where it is open; of more than one film nothing is written out.
    """
    if batch is not None and batch != 1:
        return
    films, left = FILMS if batch is None else (1,), set[str]()
    while (branch := _next_branch(model, left)) is not None:
        taken = {bool(one.reshape(())) for [one] in _asked(model, [branch.input[0]], answer, films)}
        left.add(branch.output[0])
        if len(taken) == 1:
            _take(model, branch, taken.pop())
    for name in _places(model):
        arrays = [one for [one] in _asked(model, [name], answer, films)]
        if not _gather_each(model, name, arrays, answer) and all(np.array_equal(arrays[0], one) for one in arrays):
            maker = next(node for node in model.graph.node if name in node.output)
            maker.output[list(maker.output).index(name)] = f"{name}/computed"
            model.graph.initializer.append(numpy_helper.from_array(arrays[0], name))
    _drop_unread(model)


def store_masks(model: onnx.ModelProto, answer: Answer, batch: int | None) -> bool:
    """Store what is the same for every film where it meets the film, and leave out what then changes nothing, in place.

    Args:
        model: as of `resolve_control`, as are answer and batch.
        answer: computes a graph's outputs.
        batch: of the file.

    Returns:
        Whether anything was changed.
    """
    if batch is not None and batch != 1:
        return False
    films = FILMS if batch is None else FILMS[:1]
    known, makers = of_sizes(model), {one: node for node in model.graph.node for one in node.output}
    meets = [node for node in model.graph.node if node.op_type in STRETCH and not known.issuperset(node.output)]
    wanted = {name for node in meets for name in node.input if name in known and name in makers}
    wanted |= {node.output[0] for node in model.graph.node if node.op_type == WEIGHTS and node.output[0] in known}
    names = sorted(name for name in wanted if makers[name].op_type != "Constant")
    changed = False
    for name, arrays in zip(
        names, zip(*_asked(model, names, answer, films), strict=True) if names else (), strict=True
    ):
        one = arrays[0]
        if not _is_one(arrays):
            continue
        maker = makers[name]
        maker.output[list(maker.output).index(name)] = f"{name}/computed"
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(one), name))
        changed = True
    if changed:
        _drop_unread(model)
    while kept := _needless(model, answer, films[-1]):
        changed = True
        for node in model.graph.node:
            given = [_followed(name, kept) for name in node.input]
            del node.input[:]
            node.input.extend(given)
        _drop_unread(model)
    return changed


def _followed(name: str, kept: dict[str, str]) -> str:
    while name in kept:
        name = kept[name]
    return name


def _is_one(arrays: Sequence[NDArray[Any]]) -> bool:
    """Whether the answer for one film is that for several, or stands there once a film."""
    one = arrays[0]
    by_film = one.ndim > 0 and all(other.shape == (at + 1, *one.shape[1:]) for at, other in enumerate(arrays))
    alike = all(other.shape == one.shape for other in arrays)
    return (by_film or alike) and all(np.array_equal(np.broadcast_to(one, each.shape), each) for each in arrays)


def _needless(model: onnx.ModelProto, answer: Answer, films: int) -> dict[str, str]:
    """Return tensors that are another as it is, each with that other: of sums, choices and guards of a softmax."""
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    makers = {one: node for node in model.graph.node for one in node.output}
    finite = all(np.isfinite(one).all() for one in stored.values() if one.dtype.kind == "f")
    found, outputs = dict[str, str](), {one.name for one in model.graph.output}
    for node in model.graph.node:
        kept = ""
        if node.op_type == "Add":
            zeros = [name for name in node.input if name in stored and not stored[name].any()]
            kept = next((name for name in node.input if name not in stored), "") if zeros else ""
        elif node.op_type == "Where" and node.input[0] in stored:
            chosen = stored[node.input[0]]
            kept = node.input[1] if chosen.all() else "" if chosen.any() else node.input[2]
        elif node.op_type == "Where" and finite and _is_guard(node, makers):
            kept = node.input[2]
        if kept and kept not in stored and node.output[0] not in outputs:
            found[node.output[0]] = kept
    shapes = _asked(model, [*found, *found.values()], answer, (films,))[0] if found else []
    before, after = shapes[len(found) :], shapes[: len(found)]
    fits = zip(found.items(), before, after, strict=True)
    return dict(pair for pair, one, other in fits if one.shape == other.shape)


def _is_guard(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> bool:
    """Whether a node replaces what a softmax gives where that is no number.

    Of finite numbers a softmax gives none such: `_needless` looks for stored ones that are not.
    """
    test, softmax = makers.get(node.input[0]), makers.get(node.input[2])
    return (
        test is not None
        and softmax is not None
        and test.op_type == "IsNaN"
        and softmax.op_type == "Softmax"
        and test.input[0] == softmax.output[0]
    )


def _asked(
    model: onnx.ModelProto, names: Sequence[str], answer: Answer, films: Sequence[int]
) -> list[list[NDArray[Any]]]:
    """Return tensors of a graph for each number of films."""
    asked = onnx.ModelProto.FromString(model.SerializeToString())
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    _drop_unread(asked)
    return [answer(asked, count) for count in films]


def of_sizes(model: onnx.ModelProto) -> set[str]:
    """Return the tensors that follow from sizes and stored numbers alone."""
    known = {one.name for one in model.graph.initializer} | {""}
    for node in model.graph.node:
        if node.op_type in OF_SIZES or known.issuperset(_reads(node)):
            known |= set(node.output)
    return known


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, its bodies' outer tensors included."""
    yield from node.input
    for graph in (one.g for one in node.attribute if one.HasField("g")):
        own = {one.name for one in (*graph.input, *graph.initializer)}
        for inner in graph.node:
            yield from (name for name in _reads(inner) if name not in own)
            own |= set(inner.output)
        yield from (one.name for one in graph.output if one.name not in own)


def _next_branch(model: onnx.ModelProto, left: set[str]) -> onnx.NodeProto | None:
    """Return the first If whose condition follows from sizes, but for those that are left."""
    known = of_sizes(model)
    branches = (node for node in model.graph.node if node.op_type == "If" and node.input[0] in known)
    return next((node for node in branches if node.output[0] not in left), None)


def _take(model: onnx.ModelProto, branch: onnx.NodeProto, taken: bool) -> None:
    """Put the nodes of the branch that is taken in place of an If."""
    chosen = {one.name: one.g for one in branch.attribute}["then_branch" if taken else "else_branch"]
    at = list(model.graph.node).index(branch)
    names = {one.name: f"{branch.output[0]}/{one.name}" for one in chosen.initializer}
    names |= {name: f"{branch.output[0]}/{name}" for node in chosen.node for name in node.output if name}
    ends = dict(zip((one.name for one in chosen.output), branch.output, strict=True))
    for one in chosen.initializer:
        stored = model.graph.initializer.add()
        stored.CopyFrom(one)
        stored.name = names[one.name]
    inner = [_renamed(node, names) for node in chosen.node]
    inner += [helper.make_node("Identity", [names.get(old, old)], [new]) for old, new in ends.items()]
    nodes = [*list(model.graph.node)[:at], *inner, *list(model.graph.node)[at + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    for names_of in (made.input, made.output):
        given = [names.get(name, name) for name in names_of]
        del names_of[:]
        names_of.extend(given)
    for graph in (one.g for one in made.attribute if one.HasField("g")):
        inner = [_renamed(one, names) for one in graph.node]
        del graph.node[:]
        graph.node.extend(inner)
        for one in graph.output:
            one.name = names.get(one.name, one.name)
    return made


def _places(model: onnx.ModelProto) -> list[str]:
    """Return what plain operations read of loops and sequences over sizes: where the last of these end."""
    known, looped = of_sizes(model), set[str]()
    for node in model.graph.node:
        if node.op_type in ("Loop", "Scan") or node.op_type.startswith("Sequence") or looped.intersection(node.input):
            looped |= set(node.output) & known
    read = {name for node in model.graph.node if not known.issuperset(node.output) for name in _reads(node)}
    return sorted((looped & read) - {""})


def _gather_each(model: onnx.ModelProto, name: str, arrays: Sequence[NDArray[Any]], answer: Answer) -> bool:
    """Let a Gather of all films' numbers in a row, at places of one film after another, take those of each film.

    Returns:
        Whether everything that reads the places is one.
    """
    makers = {one: node for node in model.graph.node for one in node.output}
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    readers, first = [node for node in model.graph.node if name in node.input], arrays[0]
    flats = [makers.get(node.input[0]) for node in readers if node.op_type == "Gather" and _axis(node) == 0]
    rows = [one for one in flats if one is not None and one.op_type == "Reshape"]
    if not first.ndim or first.dtype.kind != "i" or not len(rows) == len(flats) == len(readers):
        return False
    if any(stored.get(one.input[1], np.zeros(2)).reshape(-1).tolist() != [-1] for one in rows):
        return False
    [sizes] = _asked(model, [one.output[0] for one in rows], answer, FILMS[:1])
    [size, *others] = {one.size for one in sizes}
    films = [np.concatenate([first + size * film for film in range(count)]) for count in FILMS[: len(arrays)]]
    if others or not all(np.array_equal(one, other) for one, other in zip(films, arrays, strict=True)):
        return False
    for reader, flat in zip(readers, rows, strict=True):
        made, nodes = reader.output[0], list(model.graph.node)
        targets = {"rows": np.array([-1, size], np.int64), "at": first.reshape(-1)}
        targets["sizes"] = np.array([-1, *first.shape[1:]], np.int64)
        model.graph.initializer.extend(numpy_helper.from_array(one, f"{made}/{key}") for key, one in targets.items())
        chain = [helper.make_node("Reshape", [flat.input[0], f"{made}/rows"], [f"{made}/flat"])]
        if not np.array_equal(first.reshape(-1), np.arange(size)):
            chain.append(helper.make_node("Gather", [f"{made}/flat", f"{made}/at"], [f"{made}/taken"], axis=1))
        chain.append(helper.make_node("Reshape", [chain[-1].output[0], f"{made}/sizes"], [made]))
        place = nodes.index(reader)
        nodes[place : place + 1] = chain
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return True


def _axis(node: onnx.NodeProto) -> int:
    return next((int(one.i) for one in node.attribute if one.name == "axis"), 0)


def _drop_unread(model: onnx.ModelProto) -> None:
    """Take away the nodes and the stored numbers that no output needs."""
    needed, kept = {one.name for one in model.graph.output}, list[onnx.NodeProto]()
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.insert(0, node)
            needed |= set(_reads(node))
    stored = [one for one in model.graph.initializer if one.name in needed]
    for owner, left in ((model.graph.node, kept), (model.graph.initializer, stored)):
        copies = [type(one).FromString(one.SerializeToString()) for one in left]
        del owner[:]
        owner.extend(copies)
