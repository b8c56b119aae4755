"""Loops, branches and sequences over sizes, which exporters write around plain operations: resolved before any is read.

torch's newer exporter writes `as_strided`, which it makes of a pool whose axes were moved, as a Loop that computes the
places of every number; its older one writes a squeeze whose axis may not be of size 1 as an If. What they compute
follows from sizes alone, so it is asked for with one film, two and three: places that are those of one film, film after
film, are a Gather of each film; numbers that do not change with the number of films are stored; a branch that is always
taken is taken. What reads the film itself is left as it is, and refused by whoever knows no such operation.
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


def _asked(
    model: onnx.ModelProto, names: Sequence[str], answer: Answer, films: Sequence[int]
) -> list[list[NDArray[Any]]]:
    """Return tensors of a graph for each number of films."""
    asked = onnx.ModelProto.FromString(model.SerializeToString())
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    _drop_unread(asked)
    return [answer(asked, count) for count in films]


def _of_sizes(model: onnx.ModelProto) -> set[str]:
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
    known = _of_sizes(model)
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
    known, looped = _of_sizes(model), set[str]()
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
