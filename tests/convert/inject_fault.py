"""Put one fault into one file of a bundle, and seal the bundle again: inject_fault.py BUNDLE FAULT."""

import json
import sys
from pathlib import Path

import numpy as np

from tbconv.contract.bundle import read_bundle, seal

WEIGHT, ADD, EPSILON, STRIDE = "body.layer2.0.conv1", "body.layer3.0.Add", "body.layer1.0.bn2", "body.layer4.0.conv1"
KERNEL, FILTER = "body.layer2.0.conv2", "body.layer3.0.relu.Relu"


def change_onnx(path, change):
    import onnx

    model = onnx.load(str(path))
    change(model.graph, {node.name: node for node in model.graph.node}, onnx)
    onnx.save(model, str(path))


def one_weight(graph, nodes, onnx):
    """Change one weight of one filter by as much as that filter's largest."""
    [tensor] = [one for one in graph.initializer if one.name == nodes[WEIGHT].input[1]]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[3, 5, 1, 1] += np.abs(values[3]).max()
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def dropped_add(graph, nodes, onnx):
    """Let the reader of a residual's Add read the branch alone."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == nodes[ADD].output[0]:
                node.input[index] = nodes[ADD].input[0]
    graph.node.remove(nodes[ADD])


def keras_epsilon(graph, nodes, onnx):
    """Give one BatchNorm the epsilon that is Keras's default."""
    [attribute] = [one for one in nodes[EPSILON].attribute if one.name == "epsilon"]
    attribute.f = 1e-3


def moved_padding(graph, nodes, onnx):
    """Pad a convolution of stride 2 as TensorFlow's SAME does."""
    [attribute] = [one for one in nodes[STRIDE].attribute if one.name == "pads"]
    attribute.ints[:] = [0, 0, 1, 1]


def transposed_kernel(path):
    """Swap height and width of one kernel of the .keras file."""
    import keras

    model = keras.models.load_model(path, compile=False)
    layer = model.get_layer(KERNEL)
    layer.set_weights([values.transpose(1, 0, 2, 3) for values in layer.get_weights()])
    model.save(path)


def tflite_filter(path):
    """Halve one filter of the convolution that ends in a ReLU."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    weighted = [one for one in graph.operators if len(one.inputs) == 3]
    [found] = [one for one in weighted if FILTER in names[one.outputs[0]].split(";")]
    tensor = graph.tensors[found.inputs[1]]
    while model.buffers[tensor.buffer].data is None:  # kept in float by the int8 search, and dequantized first
        index = graph.tensors.index(tensor)
        [made] = [one for one in graph.operators if index in one.outputs]
        tensor = graph.tensors[made.inputs[0]]
    types = schema.TensorType
    kind = {types.FLOAT32: np.float32, types.FLOAT16: np.float16, types.INT8: np.int8}[tensor.type]
    values = np.array(model.buffers[tensor.buffer].data, np.uint8).view(kind).reshape(tensor.shape).copy()
    values[7] = -values[7] if kind == np.int8 else values[7] / 2
    model.buffers[tensor.buffer].data = values.reshape(-1).view(np.uint8)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


ONNX_FAULTS = {one.__name__: one for one in (one_weight, dropped_add, keras_epsilon, moved_padding)}


def main(bundle, fault, name="model.onnx"):
    """Inject and seal."""
    path = bundle / name
    if fault in ONNX_FAULTS:
        change_onnx(path, ONNX_FAULTS[fault])
    else:
        {"transposed_kernel": transposed_kernel, "tflite_filter": tflite_filter}[fault](path)
    seal(bundle, read_bundle(bundle).manifest)
    sys.stdout.write(json.dumps({"faulty": name}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
