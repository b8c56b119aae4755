"""A TFLite file in the normal form: flatbuffers as data, nothing of it is run.

Integers stand for the real numbers that their scale and zero point say; that an activation is rounded and clipped to
256 steps is not in the normal form (it is measured, not proven). What the integer kernels assume of scales is checked:
the scale of a bias is that of input times weight, and what passes integers on does not change their scale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert.proof.explain import Declared
from convert.proof.normal import NONE, ZERO, NormalForm, NoRuleError, Pads, Stored, View, number
from convert.proof.readers import choices, compositions
from convert.proof.readers.tensorflow import bound, cut, pad, same, select
from tbconv.contract.files import sha256_bytes

FRAMEWORK = "litert"
DECLARED = b"tbconv.quantization"  # metadata: JSON with "rounding" (nearest, searched), "weights", "bias_steps"
TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 9: np.int8}
NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
MOST_BYTES, MOST_TABLES = 1 << 31, 1 << 15  # of a file, and rows of one of its tables
INT8 = 9
INTEGER = (3, INT8)  # uint8, int8
ACTIVATIONS = {0: (-math.inf, math.inf), 1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
CLIPS = {"RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0), "RELU_N1_TO_1": (-1.0, 1.0)}
PASSES_ON = {"MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "PAD", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE"}
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class TFLiteFormReader:
    """Reads operators one by one."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        packed = schema.Model.GetRootAsModel(data, 0)
        counts = [
            packed.BuffersLength(),
            packed.OperatorCodesLength(),
            packed.MetadataLength(),
            packed.SubgraphsLength(),
        ]
        counts += [packed.Subgraphs(0).TensorsLength(), packed.Subgraphs(0).OperatorsLength()]
        if len(data) > MOST_BYTES or max(counts) > MOST_TABLES:
            raise NoRuleError(f"it has {len(data):,} bytes and tables of up to {max(counts):,} rows")
        self._model = schema.ModelT.InitFromObj(packed)
        [self._graph] = self._model.subgraphs
        self.form = NormalForm()
        self.views: dict[int, View] = {}
        self.integer = False  # whether it takes whole grey levels
        self._told = Declared()

    def read(self) -> NormalForm:
        """Return the normal form; NoRuleError names the first operator that has no rule."""
        graph, form, self._told = self._graph, self.form, self.declared()
        [signature] = self._model.signatureDefs or [None]
        if signature is None or len(graph.inputs) != 1:
            raise NoRuleError("a signature and one input are expected")
        sizes = [int(one) for one in graph.tensors[graph.inputs[0]].shape]
        if sizes[0] != 1 or min(sizes) < 1:
            raise NoRuleError(f"its input is {sizes}")
        self.views[int(graph.inputs[0])] = form.input(sizes)
        self.integer = graph.tensors[graph.inputs[0]].type in INTEGER
        whole = -128 if graph.tensors[graph.inputs[0]].type == INT8 else 0
        if self.integer and self.scale(int(graph.inputs[0])) != ([1], [whole]):
            form.problems.append(("input", "its integers are scaled: whole grey levels are other numbers to it"))
        made = {int(one) for operator in graph.operators for one in operator.outputs}
        form.integers = any(graph.tensors[one].type in INTEGER for one in made)
        for index, operator in enumerate(graph.operators):
            code = self._model.operatorCodes[operator.opcodeIndex]
            kind = NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
            made = graph.tensors[operator.outputs[0]]
            form.node = f"{(made.name or b'').decode(errors='replace')[:80] or index} ({kind})"
            try:
                self._check(kind, operator)
                self.views[int(operator.outputs[0])] = self._read(kind, operator)
            except (NoRuleError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
                raise NoRuleError(f"{form.node}: {error}") from error
        form.outputs = {one.name.decode(): self.view(one.tensorIndex) for one in signature.outputs}
        return form

    def _read(self, kind: str, operator: Any) -> View:
        call = _Call(self, operator)
        if kind not in RULES or len(operator.outputs) != 1 or call.type is np.float16:
            raise NoRuleError("no rule for this operation")
        made = RULES[kind](self.form, call)
        low, high = ACTIVATIONS[getattr(operator.builtinOptions, "fusedActivationFunction", 0)]
        low, high = CLIPS.get(kind, (low, high))
        if (low, high) == (-math.inf, math.inf):
            return made
        return self.form.clip(made, low, high, self._top(int(operator.outputs[0])))

    def _top(self, index: int) -> Stored | None:
        """Return the largest number that the integers of a tensor stand for; None of floats."""
        kind, (scale, zero) = self._graph.tensors[index].type, self.scale(index)
        if kind not in INTEGER or scale is None:
            return None
        return Stored((np.iinfo(TYPES[kind]).max - zero[:1]) * scale[:1], coarse=scale[:1])

    def declared(self) -> Declared:
        """Return what the file says of its integers; nothing where it says nothing."""
        for one in self._model.metadata or []:
            if one.name == DECLARED:
                told = json.loads(bytes(self._model.buffers[one.buffer].data))
                stored = ((each.name, self._model.buffers[each.buffer].data) for each in self._graph.tensors)
                digests = {str(name, "utf-8"): sha256_bytes(bytes(data)) for name, data in stored if data is not None}
                return Declared.told(told, digests)
        return Declared()

    def view(self, index: int) -> View:
        """Return a tensor: computed before, or stored."""
        if index not in self.views:
            self.views[index] = self._stored(index)
        return self.views[index]

    def _stored(self, index: int) -> View:
        tensor = self._graph.tensors[index]
        data, name = self._model.buffers[tensor.buffer].data, tensor.name.decode(errors="replace")
        if data is None or tensor.type not in TYPES or tensor.sparsity is not None:
            raise NoRuleError(f"tensor {name[:80]} is neither computed before nor stored in a known way")
        shape = [] if tensor.shape is None else list(tensor.shape)
        numbers = self._told.undone(name, np.frombuffer(bytes(data), TYPES[tensor.type]).reshape(shape))
        scale, zero = self.scale(index)
        if scale is None:
            return View(numbers, None, Stored(numbers, name=name) if numbers.dtype.kind == "f" else None)
        if len(scale) > 1:
            around = [1] * numbers.ndim
            around[tensor.quantization.quantizedDimension] = len(scale)
            scale, zero = scale.reshape(around), zero.reshape(around)
        scale = scale if scale.size > 1 else scale.reshape(())
        if zero.any():
            real = (numbers.astype(np.float64) - zero) * scale
            return View(numbers, None, Stored(real, coarse=np.broadcast_to(scale, numbers.shape), name=name))
        return View(numbers, None, Stored(numbers, scale, name=name))

    def scale(self, index: int) -> tuple[Any, Any]:
        """Return scale and zero point of a tensor as float64, or None."""
        found = self._graph.tensors[index].quantization if index >= 0 else None
        if (
            found is None
            or found.scale is None
            or not len(found.scale)
            or self._graph.tensors[index].type not in (*INTEGER, 2)
        ):
            return None, None
        return np.asarray(found.scale, np.float64), np.asarray(found.zeroPoint, np.float64)

    def _check(self, kind: str, operator: Any) -> None:
        """Note where scales contradict what the integer kernels compute."""
        given, made = self.scale(int(operator.inputs[0])), self.scale(int(operator.outputs[0]))
        if kind in PASSES_ON and given[0] is not None and made[0] is not None:
            if not (np.array_equal(given[0], made[0]) and np.array_equal(given[1], made[1])):
                self._note(f"scale {made[0][0]:.9g} behind {given[0][0]:.9g}, which {kind} passes on as they are")
        elif kind in WEIGHTED and given[0] is not None and len(operator.inputs) > 2:
            weight, bias = self.scale(int(operator.inputs[1])), self.scale(int(operator.inputs[2]))
            if weight[0] is None or weight[1].any() or (operator.inputs[2] >= 0 and bias[0] is None):
                self._note("integers meet weights or a bias without scales, or with zero points")
            elif bias[0] is not None:
                wanted = (given[0] * weight[0]).astype(np.float32)
                far = np.abs(bias[0] - wanted) / np.spacing(wanted)
                at = int(far.argmax())
                if far[at] > 0:
                    what = f"scale {bias[0][at]:.9g} of bias {at}, that of input times weight is {wanted[at]:.9g}"
                    self._note(f"{what}: {far[at]:,.3g} float32 steps")

    def _note(self, what: str) -> None:
        self.form.problems.append((self.form.node, what))


class _Call:
    """One operator's inputs and options."""

    def __init__(self, reader: TFLiteFormReader, operator: Any) -> None:
        self._reader, self._operator = reader, operator
        self.options = operator.builtinOptions
        self.type = TYPES[reader._graph.tensors[operator.outputs[0]].type]

    def __getitem__(self, index: int) -> View:
        return self._reader.view(int(self._operator.inputs[index]))

    def __len__(self) -> int:
        return len(self._operator.inputs)

    def optional(self, index: int) -> Stored:
        """Return stored numbers, zero where they are left out."""
        return ZERO if index >= len(self) or self._operator.inputs[index] < 0 else self[index].stored

    def numbers(self, index: int) -> list[int]:
        """Return stored whole numbers."""
        return [int(one) for one in self[index].array.reshape(-1)]


Rule = Callable[[NormalForm, _Call], View]


def _around(call: _Call, sizes: tuple[int, ...], reach: tuple[int, int], strides: tuple[int, int]) -> Pads:
    if call.options.padding == schema.Padding.VALID:
        return NONE
    return same(sizes, reach, strides)


def _steps(options: Any) -> tuple[Any, Any]:
    return (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)


def _conv(form: NormalForm, call: _Call) -> View:
    kernel, (strides, dilations) = call[1].transpose(1, 2, 3, 0).stored, _steps(call.options)
    high, wide, each, _ = kernel.base.shape
    reach = ((high - 1) * dilations[0] + 1, (wide - 1) * dilations[1] + 1)
    pads = _around(call, call[0].at.shape[1:3], reach, strides)
    return compositions.conv(
        form, call[0], kernel, call.optional(2), strides, dilations, pads, call[0].at.shape[3] // each
    )


def _depthwise(form: NormalForm, call: _Call) -> View:
    channels, (strides, dilations) = call[0].at.shape[3], _steps(call.options)
    _, high, wide, out = call[1].at.shape
    kernel = call[1].reshape(high, wide, 1, out).stored
    reach = ((high - 1) * dilations[0] + 1, (wide - 1) * dilations[1] + 1)
    pads = _around(call, call[0].at.shape[1:3], reach, strides)
    return compositions.conv(form, call[0], kernel, call.optional(2), strides, dilations, pads, channels)


def _dense(form: NormalForm, call: _Call) -> View:
    view, matrix = call[0], call[1].transpose(1, 0).stored
    if call.options.weightsFormat:
        raise NoRuleError("its weights are shuffled")
    if not call.options.keepNumDims:
        view = view.reshape(-1, matrix.base.shape[0])
    return form.matmul(view, matrix, call.optional(2))


def _product(form: NormalForm, call: _Call) -> View:
    left, right = (
        call[index].map(lambda at: np.swapaxes(at, -1, -2)) if turned else call[index]
        for index, turned in enumerate((call.options.adjX, call.options.adjY))
    )
    return compositions.product(form, left, right)


def _pool(kind: str) -> Rule:
    def rule(form: NormalForm, call: _Call) -> View:
        kernel = (call.options.filterHeight, call.options.filterWidth)
        strides = (call.options.strideH, call.options.strideW)
        return compositions.pool(
            form, call[0], kind, kernel, strides, _around(call, call[0].at.shape[1:3], kernel, strides)
        )

    return rule


def _mean(form: NormalForm, call: _Call, kind: str = "mean") -> View:
    return form.mean(call[0], call.numbers(1), keep=bool(call.options.keepDims), kind=kind)


def _sum(form: NormalForm, call: _Call) -> View:
    count = math.prod(call[0].at.shape[axis] for axis in call.numbers(1))
    return form.affine(_mean(form, call), number(count))


def _strided(form: NormalForm, call: _Call) -> View:
    begin, end, step = (call.numbers(index) for index in (1, 2, 3))
    options = call.options
    if options.ellipsisMask or options.newAxisMask or getattr(options, "offset", False):
        raise NoRuleError("it slices in a way that no rule knows")
    part = cut(begin, end, step, (options.beginMask, options.endMask, options.shrinkAxisMask))
    return call[0].map(lambda at: at[part])


def _power(form: NormalForm, view: View, exponent: View) -> View:
    """Raise to one power, however often it is stored."""
    values = exponent.stored.values
    if (values != values.flat[0]).any() or np.broadcast_shapes(view.at.shape, values.shape) != view.at.shape:
        raise NoRuleError("it raises to several powers")
    return compositions.power(form, view, float(values.flat[0]))


def _gather(form: NormalForm, call: _Call) -> View:
    if call.options.batchDims:
        raise NoRuleError("it gathers a batch")
    return call[0].map(lambda at: np.take(at, call[1].array, call.options.axis))


def _prod(form: NormalForm, call: _Call) -> View:
    return View(np.prod(call[0].array, tuple(call.numbers(1)), keepdims=bool(call.options.keepDims)).astype(np.int32))


def _softmax(form: NormalForm, call: _Call) -> View:
    if call.options.beta != 1:
        raise NoRuleError(f"beta is {call.options.beta}")
    return compositions.softmax(form, call[0])


def _squeeze(form: NormalForm, call: _Call) -> View:
    axes = call.options.squeezeDims
    return call[0].map(
        lambda at: np.squeeze(at, None if axes is None or not len(axes) else tuple(int(one) for one in axes))
    )


def _reshape(form: NormalForm, call: _Call) -> View:
    sizes = call.numbers(1) if len(call) > 1 else [int(one) for one in call.options.newShape]
    return call[0].reshape(*sizes)


def _join(form: NormalForm, call: _Call) -> View:
    return compositions.join(form, [call[index] for index in range(len(call))], call.options.axis)


def _pack(form: NormalForm, call: _Call) -> View:
    axis = call.options.axis
    return form.concat([call[index].map(lambda at: np.expand_dims(at, axis)) for index in range(len(call))], axis)


def _binary(kind: str) -> Rule:
    return lambda form, call: form.binary(kind, call[0], call[1])


def _each(kind: str) -> Rule:
    return lambda form, call: form.each(call[0], kind)


def _same(form: NormalForm, call: _Call) -> View:
    return call[0]


def _cast(form: NormalForm, call: _Call) -> View:
    if call[0].term is None:
        return View(call[0].array.astype(call.type))
    if call.type is not np.float32:
        raise NoRuleError("it casts to another type than float32")
    return call[0]


FUNCTIONS = {"ELU": "elu", "EXP": "exp", "LOG": "log", "LOGISTIC": "sigmoid", "SQRT": "sqrt", "TANH": "tanh"}
RULES: dict[str, Rule] = {
    **{name: _each(kind) for name, kind in FUNCTIONS.items()},
    **choices.rules(str.upper),
    **dict.fromkeys((*CLIPS, "DEQUANTIZE", "QUANTIZE"), _same),
    "ABS": lambda form, call: compositions.absolute(form, call[0]),
    "ADD": _binary("add"),
    "AVERAGE_POOL_2D": _pool("average"),
    "BATCH_MATMUL": _product,
    "BROADCAST_TO": lambda form, call: call[0].map(lambda at: np.broadcast_to(at, call.numbers(1))),
    "CAST": _cast,
    "CONCATENATION": _join,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DIV": lambda form, call: compositions.quotient(form, call[0], call[1]),
    "EXPAND_DIMS": lambda form, call: call[0].map(lambda at: np.expand_dims(at, call.numbers(1)[0])),
    "FULLY_CONNECTED": _dense,
    "GATHER": _gather,
    "GELU": lambda form, call: compositions.gelu(form, call[0], tanh=bool(call.options.approximate)),
    "HARD_SWISH": lambda form, call: compositions.multiply(
        form, call[0], compositions.hard_sigmoid(form, call[0], 1 / 6, 0.5)
    ),
    "LEAKY_RELU": lambda form, call: form.each(call[0], "leaky", slope=number(call.options.alpha)),
    "LOG_SOFTMAX": lambda form, call: form.each(compositions.softmax(form, call[0]), "log"),
    "MAXIMUM": lambda form, call: bound(form, call[0], call[1], low=True),
    "MAX_POOL_2D": _pool("max"),
    "MEAN": _mean,
    "MINIMUM": lambda form, call: bound(form, call[0], call[1], low=False),
    "MUL": lambda form, call: compositions.multiply(form, call[0], call[1]),
    "NEG": lambda form, call: compositions.negative(form, call[0]),
    "PACK": _pack,
    "PAD": lambda form, call: pad(form, call[0], call[1], None),
    "PADV2": lambda form, call: pad(form, call[0], call[1], call[2]),
    "POW": lambda form, call: _power(form, call[0], call[1]),
    "PRELU": lambda form, call: compositions.prelu(form, call[0], call[1].stored),
    "REDUCE_MAX": lambda form, call: _mean(form, call, "largest"),
    "REDUCE_PROD": _prod,
    "RESHAPE": _reshape,
    "SELECT": lambda form, call: select(form, call[0], call[1], call[2], stretches=False),
    "SELECT_V2": lambda form, call: select(form, call[0], call[1], call[2]),
    "SHAPE": lambda form, call: View(np.array(call[0].at.shape, np.int32)),
    "SOFTMAX": _softmax,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided,
    "SUB": lambda form, call: form.binary("add", call[0], compositions.negative(form, call[1])),
    "SUM": _sum,
    "TRANSPOSE": lambda form, call: call[0].transpose(*call.numbers(1)),
}
