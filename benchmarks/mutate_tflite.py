"""Does any `.tflite` file end the server? `python -m benchmarks.mutate_tflite BUNDLE/baseline.tflite --n 10000`.

Each mutation is one number: what is changed and how comes from it, so that a finding is found again with
`--first NUMBER --n 1`. Most are aimed at the structure (offsets, vtables, lengths, indices, shapes, types, operations,
options, scales), the others at weights, at the file's ends, or are written anew from the tables. Each goes through the
server's own check, structure and then child, in a process that stands for the server: it opens what was let through
and runs it. Its death is a finding, and so is every error that is no ArtefactError.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import statistics
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.contract.errors import ArtefactError
from tbconv.contract.files import sha256_file
from tf_serve.runtime.flatbuffer import FIELDS, Unsound
from tf_serve.runtime.pool import judge
from tf_serve.runtime.structure import IDENTIFIER, OPERATIONS, Cost, check_tflite, inspect
from tf_serve.runtime.tflite import TFLiteModel
from tf_serve.runtime.trial import try_file

BLOCK = 500  # mutations of one process
HANG_S = 180  # the alarm ends a process that is longer about one mutation
FILMS = 2
ROUNDS = 9
BROKEN = 70  # exit code of a process that this script broke

# --- mutations ---

_SIZES = {"i8": 1, "u8": 1, "bool": 1, "i32": 4, "u32": 4, "f32": 4}
_ITEMS = {"i32s": 4, "f32s": 4, "i64s": 8}
_TABLES = {
    ("Model", "operator_codes"): "OperatorCode",
    ("Model", "subgraphs"): "SubGraph",
    ("Model", "buffers"): "Buffer",
    ("Model", "metadata"): "Metadata",
    ("Model", "signature_defs"): "SignatureDef",
    ("SubGraph", "tensors"): "Tensor",
    ("SubGraph", "operators"): "Operator",
    ("Tensor", "quantization"): "QuantizationParameters",
    ("SignatureDef", "inputs"): "TensorMap",
    ("SignatureDef", "outputs"): "TensorMap",
}
_OPTIONS = {one.options[0]: one.options[1] for one in OPERATIONS.values() if one.options}
_KINDS = {
    "index": "buffer opcode_index tensor_index subgraph_index inputs outputs",
    "shape": "shape shape_signature new_shape has_rank",
    "operation": "deprecated_builtin_code builtin_code version builtin_options_type",
    "type": "type in_data_type out_data_type out_type",
    "scale": "scale zero_point min max quantized_dimension",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class Site:
    """A number of the file's structure."""

    place: int
    size: int  # bytes
    kind: str


@dataclass(slots=True)
class Anatomy:
    """Where a sound file has what."""

    data: bytes
    sites: dict[str, list[Site]] = field(default_factory=dict)
    weights: list[tuple[int, int]] = field(default_factory=list)  # place and bytes of each buffer

    @classmethod
    def of(cls, data: bytes) -> Anatomy:
        """Walk through a file that is sound."""
        inspect(data)
        found = cls(data)
        found._add("offset", 0, 4)
        found._table(found._number(0, "<I"), "Model")
        return found

    def _number(self, place: int, code: str) -> int:
        return int(struct.unpack_from(code, self.data, place)[0])

    def _add(self, kind: str, place: int, size: int) -> None:
        self.sites.setdefault(kind, []).append(Site(place, size, kind))

    def _table(self, place: int, name: str) -> None:
        self._add("offset", place, 4)
        vtable = place - self._number(place, "<i")
        slots = self._number(vtable, "<H") // 2
        for slot in range(slots):
            self._add("vtable", vtable + 2 * slot, 2)
        for slot, (key, kind) in enumerate(FIELDS.get(name, {}).items()):
            offset = self._number(vtable + 4 + 2 * slot, "<H") if slot < slots - 2 else 0
            if offset:
                self._field(place, place + offset, name, key, kind)

    def _field(self, table: int, at: int, name: str, key: str, kind: str) -> None:
        meaning = "option" if name.endswith("Options") else _KIND_OF.get(key, "other")
        if kind in _SIZES:
            self._add(meaning, at, _SIZES[kind])
            return
        self._add("offset", at, 4)
        target = at + self._number(at, "<I")
        if kind == "table":
            options = _OPTIONS.get(self._options_type(table), "") if key == "builtin_options" else ""
            self._table(target, _TABLES.get((name, key), options))
            return
        count = self._number(target, "<I")
        self._add("length", target, 4)
        if kind == "u8s" and count:
            self.weights.append((target + 4, count))
        for number in range(count if kind in (*_ITEMS, "tables") else 0):
            if kind == "tables":
                entry = target + 4 + 4 * number
                self._add("offset", entry, 4)
                self._table(entry + self._number(entry, "<I"), _TABLES[name, key])
            else:
                self._add(meaning, target + 4 + _ITEMS[kind] * number, _ITEMS[kind])

    def _options_type(self, table: int) -> int:
        vtable = table - self._number(table, "<i")
        offset = self._number(vtable + 4 + 2 * list(FIELDS["Operator"]).index("builtin_options_type"), "<H")
        return self._number(table + offset, "<B") if offset else 0


@dataclass(slots=True)
class Mutation:
    """What differs from the sound file: bytes at places, another end, or another file."""

    kind: str
    patches: list[tuple[int, bytes]] = field(default_factory=list)
    length: int | None = None  # cut off there
    tail: bytes = b""  # appended
    whole: bytes | None = None  # instead of the file


def mutate(anatomy: Anatomy, number: int) -> Mutation:
    """Return one mutation."""
    chance = random.Random(number)
    kind = chance.choices(list(_WAYS), [weight for weight, _ in _WAYS.values()])[0]
    found = Mutation(kind)
    for _ in range(1 if chance.random() < 0.8 else 2):
        _WAYS[kind][1](anatomy, chance, found)
    return found


def _site(kind: str) -> Callable[[Anatomy, random.Random, Mutation], None]:
    def change(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:
        sites = anatomy.sites.get(kind) or anatomy.sites["offset"]
        site = chance.choice(sites)
        before = anatomy.data[site.place : site.place + site.size]
        found.patches.append((site.place, _other(before, site, chance, anatomy)))

    return change


def _other(before: bytes, site: Site, chance: random.Random, anatomy: Anatomy) -> bytes:
    """Return other bytes for a number: near it, at an end of its range, another one of the file, or any."""
    size = site.size
    value, top = int.from_bytes(before, "little"), 1 << 8 * size
    if site.kind == "scale" and chance.random() < 0.7:
        floats = (0.0, -1.0, math.nan, math.inf, -math.inf, 1e-38, 1e-45, 3e38, 1e-9, 1e9, 0.1)
        return struct.pack("<f", chance.choice(floats)) + before[4:]
    same = chance.choice([one for one in anatomy.sites[site.kind] if one.size == size])
    ways = [
        value + chance.choice((-4, -2, -1, 1, 2, 4, 16)),
        chance.choice((0, 1, 2, 3, top // 2 - 1, top // 2, top - 1, top - 2, len(anatomy.data), len(anatomy.data) - 4)),
        int.from_bytes(anatomy.data[same.place : same.place + size], "little"),
        chance.randrange(min(top, 256)),
        chance.randrange(top),
        value ^ (1 << chance.randrange(8 * size)),
        value * 2,
    ]
    if site.kind in ("offset",):  # to another table of the file
        ways.append(same.place - site.place)
    return (chance.choice(ways) % top).to_bytes(size, "little")


def _bytes(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:
    """Change bytes near the structure, wherever they belong to."""
    site = chance.choice(anatomy.sites[chance.choice(list(anatomy.sites))])
    place = min(max(0, site.place + chance.randrange(-16, 16)), len(anatomy.data) - 9)
    found.patches.append((place, chance.randbytes(chance.randrange(1, 9))))


def _constants(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:
    """Change a shape, an axis, a padding, a bias: what is short and read as a whole."""
    short = [one for one in anatomy.weights if 4 <= one[1] <= 64] or anatomy.weights
    place, count = chance.choice(short)
    values = (0, 1, -1, 2, 3, 7, -2, 224, 65536, (1 << 31) - 1, -(1 << 31), chance.randrange(1 << 31))
    found.patches.append((place + 4 * chance.randrange(max(1, count // 4)), struct.pack("<i", chance.choice(values))))


def _weights(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:
    place, count = chance.choice(anatomy.weights)
    at = place + chance.randrange(max(1, count - 4)) // 4 * 4
    floats = (math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45)
    ways = [
        struct.pack("<f", chance.choice(floats)),
        chance.randbytes(4),
        chance.randbytes(min(64, count)),
        b"\x80" * 4,
    ]
    found.patches.append((at, chance.choice(ways)[: place + count - at]))


def _cut(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:
    length = len(anatomy.data)
    found.length = chance.choice(
        [chance.randrange(length), length - chance.randrange(1, min(4096, length)), length // 2]
    )


def _append(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:  # noqa: ARG001
    found.tail += chance.randbytes(chance.choice([1, 3, 100, 65536]))


def _written_anew(anatomy: Anatomy, chance: random.Random, found: Mutation) -> None:
    """Unpack the tables, change the graph, and pack them: offsets are right, what they say is not."""
    if found.whole is not None:  # once is enough: a second change may not find what it changes
        return
    model = schema.ModelT.InitFromPackedBuf(anatomy.data)
    with_changes = chance.choice(_CHANGES)
    with_changes(model, model.subgraphs[0], chance)
    builder = flatbuffers.Builder(len(anatomy.data) + (1 << 16))
    try:
        builder.Finish(model.Pack(builder), IDENTIFIER)
    except (TypeError, OverflowError, struct.error, ValueError):  # a number that its field cannot hold
        return
    found.whole = bytes(builder.Output())


def _swap_operations(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    first, second = chance.randrange(len(graph.operators)), chance.randrange(len(graph.operators))
    graph.operators[first], graph.operators[second] = graph.operators[second], graph.operators[first]


def _repeat_operation(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    graph.operators.insert(chance.randrange(len(graph.operators) + 1), chance.choice(graph.operators))


def _drop_operation(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    graph.operators.pop(chance.randrange(len(graph.operators)))


def _drop_tensor(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    graph.tensors.pop(chance.randrange(len(graph.tensors)))


def _rewire(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice(graph.operators)
    side = chance.choice(["inputs", "outputs"])
    numbers = list(getattr(one, side))
    numbers[chance.randrange(len(numbers))] = chance.randrange(-2, len(graph.tensors) + 2)
    setattr(one, side, numbers)


def _more_ends(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice([*graph.operators, graph])
    side = chance.choice(["inputs", "outputs"])
    numbers = list(getattr(one, side))
    more = [chance.randrange(len(graph.tensors)) for _ in range(chance.choice([1, 2, 300]))]
    setattr(one, side, chance.choice([numbers[:-1], numbers + more, [], numbers[::-1]]))


def _reshape(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice(graph.tensors)
    sides = [chance.choice([0, 1, 2, 3, 7, 49, 224, 2048, 1 << 16, 1 << 20, (1 << 31) - 1, -1]) for _ in range(8)]
    one.shape = sides[: chance.randrange(9)]
    one.shapeSignature = chance.choice([None, one.shape, one.shapeSignature])


def _retype(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    chance.choice(graph.tensors).type = chance.randrange(21)


def _as_other_operation(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice(model.operatorCodes)
    code = chance.choice([chance.randrange(210), *OPERATIONS])
    one.builtinCode, one.deprecatedBuiltinCode = code, min(code, 127)
    one.version = chance.choice([one.version, 1, 2, 5, 0, -1])
    if chance.random() < 0.2:
        one.customCode = chance.choice([b"FlexAdd", b"", b"A" * 1000])


def _without_options(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one, other = chance.choice(graph.operators), chance.choice(graph.operators)
    one.builtinOptionsType, one.builtinOptions = chance.choice(
        [(0, None), (other.builtinOptionsType, other.builtinOptions)]
    )


def _options(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    with_options = [one.builtinOptions for one in graph.operators if one.builtinOptions and vars(one.builtinOptions)]
    if with_options:
        options = chance.choice(with_options)
        setattr(options, chance.choice(list(vars(options))), chance.choice([0, 1, 2, -1, 3, 1 << 20, (1 << 31) - 1]))


def _sparse(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice(graph.tensors)
    one.sparsity = schema.SparsityParametersT()
    one.sparsity.traversalOrder = [chance.randrange(4) for _ in range(chance.randrange(5))]


def _variable(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    chance.choice(graph.tensors).isVariable = True


def _quantize(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice(graph.tensors)
    one.quantization = schema.QuantizationParametersT()
    count = chance.choice([0, 1, 2, 64, 1000])
    one.quantization.scale = [chance.choice([1.0, 0.5, 0.0, 1e-30, 1e30]) for _ in range(count)]
    one.quantization.zeroPoint = [chance.choice([0, 0, 1, -128, 1 << 40]) for _ in range(chance.choice([count, 1]))]
    one.quantization.quantizedDimension = chance.choice([0, 1, 3, 9, -1])


def _outside(model: Any, graph: Any, chance: random.Random) -> None:  # noqa: ARG001
    one = chance.choice(model.buffers)
    one.offset, one.size = chance.choice([2, 100, 1 << 20, 1 << 40]), chance.choice([1, 4, 1 << 20, 1 << 40])
    if chance.random() < 0.5:
        one.data = None


def _other_buffer(model: Any, graph: Any, chance: random.Random) -> None:
    chance.choice(graph.tensors).buffer = chance.randrange(len(model.buffers) + 1)


def _more_graphs(model: Any, graph: Any, chance: random.Random) -> None:
    model.subgraphs = chance.choice([[graph, graph], []])


def _signature(model: Any, graph: Any, chance: random.Random) -> None:
    one = model.signatureDefs[0]
    entry = chance.choice([*one.inputs, *one.outputs])
    entry.tensorIndex = chance.randrange(len(graph.tensors) + 2)
    entry.name = chance.choice([entry.name, b"\xff\xfe", b"", b"A" * 5000])


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _swap_operations,
    _repeat_operation,
    _drop_operation,
    _drop_tensor,
    _rewire,
    _more_ends,
    _reshape,
    _retype,
    _as_other_operation,
    _without_options,
    _options,
    _sparse,
    _variable,
    _quantize,
    _outside,
    _other_buffer,
    _more_graphs,
    _signature,
)
_WAYS: dict[str, tuple[int, Callable[[Anatomy, random.Random, Mutation], None]]] = {
    **{
        name: (8, _site(name))
        for name in ("offset", "vtable", "length", "index", "shape", "operation", "type", "scale")
    },
    "option": (10, _site("option")),
    "bytes": (6, _bytes),
    "constant": (10, _constants),
    "weights": (8, _weights),
    "cut": (3, _cut),
    "appended": (2, _append),
    "written anew": (12, _written_anew),
}


class Patched:
    """One file in memory that becomes one mutation after the other."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.descriptor = os.memfd_create("mutated.tflite")
        self._write(0, anatomy.data)

    def become(self, mutation: Mutation) -> Iterator[int]:
        """Yield the descriptor of the mutated file; it is the sound one again afterwards."""
        data = self.anatomy.data
        if mutation.whole is not None:
            os.ftruncate(self.descriptor, 0)
            self._write(0, mutation.whole)
        for place, patch in mutation.patches:
            self._write(place, patch)
        if mutation.length is not None:
            os.ftruncate(self.descriptor, mutation.length)
        if mutation.tail:
            self._write(os.fstat(self.descriptor).st_size, mutation.tail)
        yield self.descriptor
        for place, patch in mutation.patches:
            self._write(place, data[place : place + len(patch)])
        if mutation.whole is not None:
            self._write(0, data)
        if mutation.length is not None:
            self._write(mutation.length, data[mutation.length :])
        os.ftruncate(self.descriptor, len(data))

    def _write(self, place: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, place)
            view, place = view[written:], place + written


# --- verdicts ---


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutation."""

    number: int
    kind: str
    outcome: str  # refused, died, failed, accepted: see OUTCOMES
    detail: str = ""


OUTCOMES = {
    "structure": "refused by its structure",
    "litert": "refused by LiteRT, in the child",
    "child died": "the child died or took too much",
    "accepted": "accepted, opened and run",
    "guarded": "accepted, its first answer is refused",
    "OTHER ERROR": "an error of another kind",
    "SERVER DIED": "the process that stands for the server died",
}
Check = Literal["all", "child", "none"]
FINDINGS = ("OTHER ERROR", "SERVER DIED")


def examine(patched: Patched, number: int, check: Check = "all") -> Verdict:
    """Let one mutation through the server's check, then open and run what passed as the server would.

    Args:
        patched: the file.
        number: of the mutation.
        check: "child" leaves out the structure, so that LiteRT meets every file in the child; "none" lets every file
            into this process, to find those that end it.
    """
    mutation = mutate(patched.anatomy, number)
    [verdict] = [_examined(fd, number, mutation.kind, check) for fd in patched.become(mutation)]
    return verdict


def _examined(descriptor: int, number: int, kind: str, check: Check) -> Verdict:
    try:
        if check == "all":
            judge(descriptor, name="mutated.tflite")
        elif check == "child":
            cost = Cost(os.fstat(descriptor).st_size, 0)
            try_file(descriptor, cost, name="mutated.tflite")
    except ArtefactError as error:
        died = "died with signal" in error.why or "of a processor" in error.why or "did not answer" in error.why
        by_litert = error.what.startswith("LiteRT")
        outcome = "child died" if died else "litert" if by_litert else "structure"
        return Verdict(number, kind, outcome, error.why if by_litert else _fault(descriptor))
    except Exception as error:  # noqa: BLE001  (that is what is looked for)
        return Verdict(number, kind, "OTHER ERROR", f"{type(error).__name__}: {error}")
    try:
        model = TFLiteModel(Path(f"/dev/fd/{descriptor}"), name="mutated.tflite", checked=True)
        sides = model.inputs[0].shape[1:]
        films = np.random.default_rng(number).integers(0, 256, (FILMS, *sides)).astype(np.float32)
        finite = np.isfinite(model.predict(films).logits).all()
        return Verdict(number, kind, "accepted", "" if finite else "its logits are not finite")
    except ArtefactError as error:
        return Verdict(number, kind, "guarded", error.one_line)
    except Exception as error:  # noqa: BLE001  (that is what is looked for)
        return Verdict(number, kind, "OTHER ERROR", f"{type(error).__name__}: {error}")


def _fault(descriptor: int) -> str:
    try:
        inspect(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    except Unsound as found:
        return found.fault
    return "unreadable"


def examine_all(path: Path, numbers: Sequence[int], *, check: Check = "all", block: int = BLOCK) -> list[Verdict]:
    """Examine mutations in processes that stand for the server; one that dies is replaced."""
    anatomy, left, found = Anatomy.of(path.read_bytes()), list(numbers), list[Verdict]()
    while left:
        done = _examine_block(anatomy, left[:block], check)
        found += done
        left = left[len(done) :]
    return found


def _examine_block(anatomy: Anatomy, numbers: list[int], check: Check) -> list[Verdict]:
    """Examine until the process dies; the last verdict is its death then."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _stand_for_the_server(anatomy, numbers, writing, check)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as lines:
        rows = [Verdict(**json.loads(line)) for line in lines]
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == BROKEN:
        raise RuntimeError(f"mutation {numbers[len(rows)]} cannot be made; see above")
    if len(rows) < len(numbers):
        number = numbers[len(rows)]
        ended = (
            f"signal {os.WTERMSIG(status)}"
            if os.WIFSIGNALED(status)
            else f"exit code {os.waitstatus_to_exitcode(status)}"
        )
        rows.append(Verdict(number, mutate(anatomy, number).kind, "SERVER DIED", ended))
    return rows


def _stand_for_the_server(anatomy: Anatomy, numbers: list[int], answers: int, check: Check) -> None:
    try:
        said = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LiteRT prints what it thinks of each file
        patched = Patched(anatomy)
        for number in numbers:
            signal.alarm(HANG_S)
            verdict = examine(patched, number, check)
            row = {name: getattr(verdict, name) for name in Verdict.__slots__}
            os.write(answers, (json.dumps(row) + "\n").encode())
    except BaseException:  # noqa: BLE001  (a mistake of this script is no finding about a file)
        os.write(said, traceback.format_exc().encode())
        os._exit(BROKEN)
    os._exit(0)


# --- command ---


def time_the_check(path: Path) -> tuple[float, float]:
    """Return what the structure and the child take of the sound file, in ms."""
    taken: list[tuple[float, float]] = []
    with path.open("rb") as file:
        for _ in range(ROUNDS + 1):  # the first starts the process that forks
            start = time.perf_counter()
            cost = check_tflite(path)
            checked = time.perf_counter()
            try_file(file.fileno(), cost, name=path.name)
            taken.append((checked - start, time.perf_counter() - checked))
    structure, child = (1e3 * statistics.median(side) for side in zip(*taken[1:], strict=True))
    return structure, child


def print_table(rows: Sequence[Verdict]) -> None:
    kinds = sorted({row.kind for row in rows})
    outcomes = [name for name in OUTCOMES if any(row.outcome == name for row in rows)]
    counts = Counter((row.kind, row.outcome) for row in rows)
    print(f"{'aimed at':14}" + "".join(f"{name:>13}" for name in outcomes))
    for kind in kinds:
        print(f"{kind:14}" + "".join(f"{counts[kind, name]:>13,}" for name in outcomes))
    print(f"{'all':14}" + "".join(f"{sum(row.outcome == name for row in rows):>13,}" for name in outcomes))
    for outcome in outcomes:
        details = Counter(row.detail[:90] for row in rows if row.outcome == outcome and row.detail)
        for detail, count in details.most_common(8):
            print(f"  {outcome}: {count:,} {detail}")
    for row in rows:
        if row.outcome in FINDINGS:
            print(f"FINDING --first {row.number} --n 1: {row.kind}: {row.outcome}: {row.detail}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    checks = "child: without the structure, so that the child meets every file; none: which files end a process?"
    parser.add_argument("--check", choices=["all", "child", "none"], default="all", help=checks)
    arguments = parser.parse_args()
    start = time.monotonic()
    numbers = range(arguments.first, arguments.first + arguments.n)
    rows = examine_all(arguments.file, numbers, check=arguments.check)
    seconds = time.monotonic() - start
    print_table(rows)
    print(f"{len(rows):,} mutations of {arguments.file}, {seconds:.0f} s")
    structure, child = time_the_check(arguments.file)
    print(f"the sound file: structure {structure:.1f} ms, child {child:.0f} ms (medians of {ROUNDS})")
    if arguments.check == "all" and arguments.n >= 1000:
        counts = {name: sum(row.outcome == name for row in rows) for name in OUTCOMES}
        row = {"file": arguments.file.name, "sha256": sha256_file(arguments.file)[:12], "first": arguments.first}
        row |= {"n": len(rows), **counts, "seconds": round(seconds)}
        append_rows(RESULTS / "mutate_tflite.csv", [{**circumstances(), **row}])
    return int(any(row.outcome in FINDINGS for row in rows))


if __name__ == "__main__":
    sys.exit(main())
