"""A copy of a TFLite file that also gives what each operation computes, so that any runtime shows where it differs.

Intermediate tensors can be read in one runtime and not in another; outputs can be read in all of them. Integers that
stand for real numbers are given as these, by a DEQUANTIZE behind the operation, which is exact: it hides no difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # it ships no types
from ai_edge_litert import schema_py_generated as schema

from convert.formats.tflite.write import IDENTIFIER
from tf_serve.runtime.structure import check_tflite

FRAMEWORK = "litert"
DEQUANTIZE, SINCE_INT8 = schema.BuiltinOperator.DEQUANTIZE, 2  # version of the operator that takes int8
INTEGERS = (schema.TensorType.INT8, schema.TensorType.UINT8)
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def expose(request: dict[str, Any]) -> dict[str, Any]:
    """Write the copy.

    Args:
        request: artefact (a `.tflite` of this project), out (where the copy goes).

    Returns:
        operations: [output, tensor, operator] of each operation on the film whose output is given, in order.

    Raises:
        ArtefactError: the file is refused as the server refuses it.
    """
    path = Path(request["artefact"])
    check_tflite(path)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    [graph], [signature] = model.subgraphs, model.signatureDefs
    known, found = {one.tensorIndex for one in signature.outputs}, []
    computed = {int(index) for index in graph.inputs}
    for number, operator in enumerate(list(graph.operators)):
        if not computed & {int(one) for one in operator.inputs}:
            continue  # of stored numbers alone: runtimes do these when they open a file, and need not keep the result
        computed |= {int(one) for one in operator.outputs}
        index = int(operator.outputs[0])
        tensor, code = graph.tensors[index], model.operatorCodes[operator.opcodeIndex]
        given = index if tensor.type == schema.TensorType.FLOAT32 else _as_real(model, graph, index)
        if given is None:
            continue
        if given in known:  # an output already, by its own name
            name = next(one.name.decode() for one in signature.outputs if one.tensorIndex == given)
        else:
            name = f"operation_{number:03}"
            signature.outputs.append(_named(name, given))
            graph.outputs = [*graph.outputs, given]
        found.append([name, tensor.name.decode(), OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]])
    builder = flatbuffers.Builder(path.stat().st_size + 65536)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    Path(request["out"]).write_bytes(builder.Output())
    return {"operations": found}


def _named(name: str, index: int) -> Any:
    output = schema.TensorMapT()
    output.name, output.tensorIndex = name, index
    return output


def _as_real(model: Any, graph: Any, index: int) -> int | None:
    """Return a tensor of the real numbers that integers stand for; None where these stand for none."""
    tensor = graph.tensors[index]
    scales = getattr(tensor.quantization, "scale", None)
    if tensor.type not in INTEGERS or scales is None or len(scales) != 1:
        return None
    codes = [one.builtinCode for one in model.operatorCodes]
    if DEQUANTIZE not in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = DEQUANTIZE
        code.version = SINCE_INT8
        model.operatorCodes.append(code)
        codes.append(DEQUANTIZE)
    real = schema.TensorT()
    real.shape, real.shapeSignature, real.type = tensor.shape, tensor.shapeSignature, schema.TensorType.FLOAT32
    real.name, real.buffer = tensor.name + b"/real", 0
    graph.tensors.append(real)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs = codes.index(DEQUANTIZE), [index]
    operator.outputs = [len(graph.tensors) - 1]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    graph.operators.append(operator)
    return len(graph.tensors) - 1
