"""int8 where a tensor is 0 on all films: a step that the kernels take, and biases that are not rounded away."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.plain import Tensor, simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.quantization.int8 import Quantizer, Recipe

KERNELS = (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def answers_of(data, films, kernels=OpResolverType.AUTO):
    runner = Interpreter(
        model_content=data, num_threads=1, experimental_op_resolver_type=kernels
    ).get_signature_runner()
    [detail] = runner.get_input_details().values()
    return np.concatenate([runner(image=one[None].astype(detail["dtype"]))["logits"] for one in films])


SILENT = {  # what reads a tensor that is 0 on all films; the file has to be right where it adds little, too
    "a layer": lambda graph: graph("Conv", "silent", "next", "next_bias", pads=[1] * 4),
    "a layer behind a pool": lambda graph: graph(
        "Conv", graph("MaxPool", "silent", kernel_shape=[2, 2], strides=[2, 2]), "next", "next_bias", pads=[1] * 4
    ),
    "a sum": lambda graph: graph("Add", "first", "silent"),
    "a product": lambda graph: graph("Mul", "first", "silent"),
    "a layer in a sum": lambda graph: graph("Add", "first", graph("Conv", "silent", "next", "next_bias", pads=[1] * 4)),
    "squeeze and excitation": lambda graph: graph(
        "Mul",
        "first",
        graph("Sigmoid", graph("Conv", graph("GlobalAveragePool", "silent"), "excite", "next_bias")),
    ),
    "an activation": lambda graph: graph("HardSwish", "silent"),
}


def silent_network(folder, reader, biases):
    """Return a network one of whose tensors is 0 on every film, as a ReLU behind a large negative bias gives it.

    Args:
        folder: gets the ONNX file.
        reader: of SILENT.
        biases: how large those are that the next layer adds to nothing.
    """
    draw = np.random.default_rng(0)
    arrays = {
        "w": draw.normal(size=(4, 1, 3, 3)) / 400,
        "b": draw.normal(size=4) / 10,
        "dead": draw.normal(size=(4, 4, 3, 3)) / 10,
        "dead_bias": np.full(4, -1e3),
        "next": draw.normal(size=(4, 4, 3, 3)),
        "excite": draw.normal(size=(4, 4, 1, 1)),
        "next_bias": draw.normal(size=4) * biases,
        "last": draw.normal(size=(2, 4)),
        "last_bias": draw.normal(size=2) / 10,
    }
    nodes = []

    def graph(op, *inputs, name=None, **attributes):
        name = name or f"{op.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    graph("Conv", "image", "w", "b", name="first", pads=[1] * 4)
    graph("Relu", graph("Conv", "first", "dead", "dead_bias", pads=[1] * 4), name="silent")
    graph("Gemm", graph("Flatten", graph("GlobalAveragePool", SILENT[reader](graph))), "last", "last_bias", transB=1)
    nodes[-1].output[0] = "logits"
    made = helper.make_graph(
        nodes,
        "silent",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(one.astype(np.float32), name) for name, one in arrays.items()],
    )
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(folder / "silent.onnx")
    )
    return simplify(to_plain(read_graph(folder / "silent.onnx")))


@pytest.mark.parametrize("keep", ["head", "none"])
@pytest.mark.parametrize("biases", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("reader", SILENT)
def test_a_tensor_that_is_0_on_all_films_has_a_step_that_kernels_take_and_biases_survive(
    reader, biases, keep, tmp_path
):
    films = np.random.default_rng(1).integers(0, 256, (16, 16, 16, 1)).astype(np.uint8)
    plain = silent_network(tmp_path, reader, biases)
    data = Quantizer(plain, films).make(Recipe(keep_float=(keep,))).data
    right = answers_of(write_tflite(plain, "float32"), films)
    for kernels in KERNELS:
        answer = answers_of(data, films, kernels)
        assert np.abs(answer - right).max() <= 0.02 * np.abs(right).max()


def test_what_no_output_is_made_of_is_left_out(tmp_path):
    plain = silent_network(tmp_path, "a sum", 1.0)
    unread = replace(plain.operations[0], output=Tensor("unread", plain.operations[0].output.sizes), names=("unread",))
    longer = replace(plain, operations=(*plain.operations, unread))
    assert [one.output.name for one in simplify(longer).operations] == [one.output.name for one in plain.operations]
