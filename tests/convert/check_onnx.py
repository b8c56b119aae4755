"""Child of test_chain.py: say what an ONNX file holds.

usage: check_onnx.py FILE
"""

import json
import sys
from collections import Counter

import onnx
from onnx import numpy_helper


def main(path):
    model = onnx.load(path)
    graph = model.graph
    owners = [model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info]
    arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    arrays += [
        numpy_helper.to_array(attribute.t)
        for node in graph.node
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.TENSOR
    ]
    floats = [float(array.min()) for array in arrays if array.dtype.kind == "f" and array.size]
    value = {
        "operators": Counter(node.op_type for node in graph.node),
        "names": [node.name for node in graph.node],
        "tensors": [*(name for node in graph.node for name in node.output), *(one.name for one in graph.initializer)],
        "metadata": [entry.key for owner in owners for entry in owner.metadata_props],
        "docs": [owner.doc_string for owner in owners if owner.doc_string],
        "lowest": min(floats),
        "opsets": {entry.domain: entry.version for entry in model.opset_import},
        "inputs": {tensor.name: _shape(tensor) for tensor in graph.input},
        "outputs": {tensor.name: _shape(tensor) for tensor in graph.output},
    }
    sys.stdout.write(json.dumps(value) + "\n")


def _shape(tensor):
    return [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim]


if __name__ == "__main__":
    main(sys.argv[1])
