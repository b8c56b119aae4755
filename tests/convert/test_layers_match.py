"""Which node an operation ends in, on drawn graphs."""

from dataclasses import replace

import numpy as np
import pytest

from convert.layerwise.graph import (
    BEFORE_BIAS,
    INPUT,
    FileOperation,
    LayerGraph,
    agreement,
    as_rows,
    covered_nodes,
    match_graphs,
    match_like,
    why_skipped,
)

RANDOM = np.random.default_rng(11)
PLACES, UNITS = (12, 8), (1, 8)


def node(key, op, *sources, shape=PLACES, **more):
    return FileOperation(key, op, sources, shape, skipped=why_skipped(op, np.dtype(np.float32)), **more)


def operation(key, op, *sources, names=(), shape=PLACES, **more):
    return node(str(key), op, *sources, shape=shape, names=tuple(names), **more)


NODES = LayerGraph(
    (
        node("body.conv1", "Conv", INPUT),
        node("body.bn1", "BatchNormalization", "body.conv1"),
        node("body.relu.Relu", "Relu", "body.bn1"),
        node("body.conv2", "Conv", "body.relu.Relu"),
        node("body.relu.Relu_1", "Relu", "body.conv2"),
        node("graph.ReduceMean", "ReduceMean", "body.relu.Relu_1", shape=UNITS),
        node("head.dense", "Gemm", "graph.ReduceMean", shape=UNITS),
        node("graph.Greater", "Greater", "head.dense", shape=UNITS),
        node("graph.Reshape", "Reshape", "body.relu.Relu_1"),
        node("head.dense_1", "Gemm", "graph.Reshape"),
        node("graph.Mul", "Mul", "head.dense_1", "graph.Greater", outputs=("evidence",)),
    )
)
FILE = LayerGraph(
    (
        operation(0, "PAD", INPUT, names=["m_1/body.conv1.pad_1/Pad"]),
        operation(
            1, "CONV_2D", "0", names=["m_1/body.relu.Relu_1/Relu", "m_1/body.bn1_1/add", "m_1/body.conv1_1/conv"]
        ),
        operation(2, "CONV_2D", "1", names=["m_1/body.relu.Relu_1_2/Relu", "m_1/body.conv2_1/convolution"]),
        operation(3, "MEAN", "2", names=["m_1/graph.ReduceMean_1/Mean"], shape=UNITS),
        operation(4, "FULLY_CONNECTED", "3", names=["m_1/head.dense_1/MatMul"], shape=UNITS),
        operation(5, "GREATER", "4", names=["m_1/Greater"], shape=UNITS),
        operation(6, "FULLY_CONNECTED", "2", names=["m_1/head.dense_3/Tensordot/MatMul"]),
        operation(7, "ADD", "6", names=["m_1/head.dense_3/BiasAdd"]),
        operation(8, "MUL", "7", "5", names=["StatefulPartitionedCall:0"], outputs=("evidence",)),
    )
)
REFERENCE = {one.key: RANDOM.normal(size=one.shape).astype(np.float32) for one in NODES.operations}
REFERENCE[f"head.dense_1{BEFORE_BIAS}"] = REFERENCE["head.dense_1"] - np.arange(8, dtype=np.float32)
ENDS = {
    "1": "body.relu.Relu",
    "2": "body.relu.Relu_1",
    "3": "graph.ReduceMean",
    "4": "head.dense",
    "5": "graph.Greater",
    "6": f"head.dense_1{BEFORE_BIAS}",
    "7": "head.dense_1",
    "8": "graph.Mul",
}
TENSORS = {key: REFERENCE[name] * np.float32(1 + 1e-6) for key, name in ENDS.items()}


def ends(matches):
    return {one.operation: one.reference for one in matches}


@pytest.fixture
def matches():
    return match_graphs(NODES, FILE, REFERENCE, TENSORS)


def test_every_operation_is_matched_with_the_node_that_it_ends_in(matches):
    assert ends(matches) == ENDS
    how = {one.operation: one.how for one in matches}
    assert (how.pop("5"), how.pop("8"), set(how.values())) == ("place", "output", {"name"})
    assert min(one.agreement for one in matches) > 0.999999


def test_a_layer_called_twice_is_told_apart_by_its_shape(matches):
    assert (ends(matches)["4"], ends(matches)["7"]) == ("head.dense", "head.dense_1")


def test_an_activation_that_an_earlier_export_named_otherwise_is_known_by_its_value():
    names = ("m_1/body.Relu_1/Relu", *FILE.by_key["1"].names[1:])
    older = LayerGraph(tuple(replace(one, names=names) if one.key == "1" else one for one in FILE.operations))
    assert ends(match_graphs(NODES, older, REFERENCE, TENSORS)) == ENDS
    broken = TENSORS | {"1": RANDOM.normal(size=PLACES).astype(np.float32)}
    assert ends(match_graphs(NODES, older, REFERENCE, broken))["1"] == "body.bn1"


def test_what_was_fused_into_a_matched_operation_is_covered(matches):
    assert covered_nodes(matches, NODES, FILE) == {one.key for one in NODES.compute}


def test_what_lies_behind_an_operation_without_a_match_is_not_covered(matches):
    rest = [one for one in matches if one.operation != "1"]
    missing = {one.key for one in NODES.compute} - covered_nodes(rest, NODES, FILE)
    assert missing == {"body.conv1", "body.bn1", "body.relu.Relu", "body.conv2"}


def test_lost_names_are_found_by_place_and_value():
    moved = {one.key: tuple("2" if key == "6" else key for key in one.sources) for one in FILE.operations}
    kept = (replace(one, sources=moved[one.key], names=()) for one in FILE.operations if one.key != "6")
    nameless = LayerGraph(tuple(kept))
    found = match_graphs(NODES, nameless, REFERENCE, TENSORS)
    assert ends(found) == {key: name for key, name in ENDS.items() if key != "6"}
    assert {one.how for one in found} == {"place", "output"}


def test_an_operation_without_a_name_is_known_by_what_it_reads_and_does_though_it_is_broken():
    wrong = TENSORS | {"5": RANDOM.normal(size=UNITS).astype(np.float32)}
    assert ends(match_graphs(NODES, FILE, REFERENCE, wrong)) == ENDS


def test_a_place_that_the_film_does_not_confirm_is_no_match():
    other = [
        operation(5, "LESS", "4", names=["m_1/Less"], shape=UNITS) if one.key == "5" else one for one in FILE.operations
    ]
    wrong = TENSORS | {"5": RANDOM.normal(size=UNITS).astype(np.float32)}
    assert "5" in ends(match_graphs(NODES, LayerGraph(tuple(other)), REFERENCE, TENSORS))
    assert "5" not in ends(match_graphs(NODES, LayerGraph(tuple(other)), REFERENCE, wrong))


def test_a_broken_layer_keeps_its_name():
    broken = TENSORS | {"2": RANDOM.normal(size=PLACES).astype(np.float32)}
    assert ends(match_graphs(NODES, FILE, REFERENCE, broken)) == ENDS


def test_a_reduced_file_of_the_same_operations_takes_the_matches_over(matches):
    moved = [operation(40, "QUANTIZE", INPUT)]
    for one in FILE.operations:
        sources = tuple("40" if key == INPUT else str(int(key) + 50) for key in one.sources)
        moved.append(FileOperation(str(int(one.key) + 50), one.op, sources, one.shape, (), one.outputs, one.skipped))
    found = match_like(matches, FILE, LayerGraph(tuple(moved)))
    assert ends(found) == {str(int(key) + 50): name for key, name in ENDS.items()}
    assert {one.how for one in found} == {"order"}


def test_another_order_of_operations_takes_nothing_over(matches):
    assert match_like(matches, FILE, LayerGraph(FILE.operations[:-1])) is None
    assert match_like(matches, FILE, LayerGraph((*FILE.operations[:-1], operation(8, "ADD", "7", "5")))) is None


def test_agreement_of_tensors_that_say_nothing_is_zero():
    assert agreement(np.ones((3, 2)), np.zeros((3, 2))) == 0
    assert agreement(np.ones((3, 2)), np.full((3, 2), np.nan)) == 0
    assert agreement(np.ones((3, 2)), np.ones((2, 3))) == 0
    assert agreement(np.ones((3, 2)), np.ones((3, 2))) == 1
    assert agreement(np.float32([[2.0]]), np.float32([[1.5]])) == 0.75


def test_an_image_of_onnx_and_one_of_tflite_are_the_same_rows():
    image = RANDOM.normal(size=(1, 3, 4, 5)).astype(np.float32)
    rows = as_rows(image, channels_first=True)
    assert rows.shape == (20, 3)
    np.testing.assert_array_equal(rows, as_rows(image.transpose(0, 2, 3, 1)))


def test_integers_that_stand_for_no_real_number_are_shapes():
    assert why_skipped("GATHER", np.dtype(np.int32)) is not None
    assert why_skipped("CONV_2D", np.dtype(np.int32), quantized=True) is None
    assert why_skipped("CONV_2D", np.dtype(np.float32)) is None
    assert why_skipped("RESHAPE", np.dtype(np.float32)) is not None


def test_a_layer_that_only_moves_values_is_not_taken_for_the_batchnorm_behind_it():
    """After few steps a BatchNorm is its input but for scale: no correlation tells the two apart."""
    nodes = LayerGraph(
        (
            node("body.relu", "Relu", INPUT),
            node("graph.Reshape", "Reshape", "body.relu"),
            node("head.bn1_1", "BatchNormalization", "graph.Reshape"),
        )
    )
    names = ("body.relu", "graph.Reshape", "head.bn1_1")
    keras = LayerGraph(tuple(FileOperation(name, "layer", (), PLACES, names=(f"{name}_1",)) for name in names))
    features = np.abs(RANDOM.normal(size=PLACES)).astype(np.float32)
    reference = {"body.relu": features, "graph.Reshape": features, "head.bn1_1": features * np.float32(30) - 1}
    tensors = {name: reference[name] for name in names}
    assert ends(match_graphs(nodes, keras, reference, tensors)) == {
        "body.relu": "body.relu",
        "head.bn1_1": "head.bn1_1",
    }
