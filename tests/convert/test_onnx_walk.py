"""Small drawn ONNX graphs: what ONNX Runtime answers is what the Keras layers must answer."""

import numpy as np
import pytest

from convert.formats.onnx_graph import Graph, Node
from convert.formats.ops.shape import cut
from convert.formats.ops.walk import UnknownError, Value, Walk, all_of, unknown

RIGHT = (
    "conv_stride_2_asymmetric_pads",
    "conv_stride_2_symmetric_pads",
    "conv_dilated",
    "conv_groups",
    "conv_zero_bias",
    "batch_norm_epsilon",
    "batch_norm_default_epsilon",
    "batch_norm_on_rows",
    "batch_norm_on_vectors",
    "gemm",
    "gemm_trans_b",
    "rows_folded_and_unfolded",
    "rows_folded",
    "flatten_channels_first",
    "channels_folded_into_the_batch",
    "add_sub_mul_div_scalars",
    "image_times_constant",
    "add_two",
    "sub_two",
    "mul_two",
    "average_pool",
    "average_pool_that_overlaps",
    "average_pool_stride_1",
    "pad_and_max_pool",
    "max_pool",
    "max_pool_pads",
    "pool_after_transpose",
    "batch_norm_after_transpose",
    "transpose_otherwise",
    "max_pool_ceil",
    "reduce_mean_of_an_image",
    "reduce_mean_negative_axes",
    "global_average_pool_of_rows",
    "rows_folded_by_flatten",
    "greater_and_cast",
    "conv_auto_pad",
    "average_pool_auto_pad",
    "reshape_with_a_copied_batch",
    "add_map",
    "add_vector",
    "constant_minus_image",
    "gemm_without_bias",
    "identity",
    "constant_on_the_left",
    "factor_on_the_left",
    "shared_dense",
)
WRONG = {
    "unknown_operation": "Tan has no rule here",
    "sums_of_roots": "it sums what may be infinite",  # a root of what is below zero is no number
    "sums_of_logarithms": "it sums what may be infinite",  # infinity times the zeros of a triangle is no number
    "gemm_alpha": "alpha, beta or transA is set",
    "gemm_beta": "alpha, beta or transA is set",
    "gemm_computed_weight": "its input 1 is computed, not stored",
    "max_pool_dilated": "dilations [2, 2]",
    "pad_of_the_batch": "change the batch",
    "pad_that_cuts": "cut off",
    "transpose_of_the_batch": "does not keep the batch in front",
    "reshape_that_loses_the_batch": "the batch must stay in front",
    "reshape_with_two_unknowns": "the batch must stay in front",
    "mean_over_the_batch": "hold the batch",
    "cast_to_int": "only a cast to float32",
}
RELATIVE = 2e-5  # of the largest answer: two float32 programs sum up to 1,024 products in different orders


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs, and the nodes that are to blame."""
    folder = tmp_path_factory.mktemp("graphs")
    return folder, child("draw_graphs.py", folder)


@pytest.fixture(scope="module")
def walks(keras_child, drawn):
    """What walking each graph gave."""
    return keras_child("walk_graphs.py", drawn[0])


@pytest.fixture(scope="module")
def answers(drawn, walks):
    """The answers of ONNX Runtime and of Keras by graph."""
    files = (np.load(drawn[0] / f"{name}.npz") for name in ("onnxruntime", "keras"))
    return [dict(file) for file in files]


def as_onnx(answer, expected):
    """Lay a Keras answer out as ONNX does: channels first, rows folded into the batch."""
    if answer.ndim == 4 and answer.shape != expected.shape:
        return answer.transpose(0, 3, 1, 2)
    return answer.reshape(expected.shape) if answer.ndim == 3 and expected.ndim == 2 else answer


def test_every_drawn_graph_is_tested(drawn):
    assert (drawn[1]["right"], set(drawn[1]["wrong"])) == (sorted(RIGHT), set(WRONG))


@pytest.mark.parametrize("name", RIGHT)
def test_the_layers_answer_as_onnx_runtime_does(name, walks, answers):
    assert "layers" in walks[name], walks[name]
    expected = answers[0][name]
    answer = as_onnx(answers[1][name], expected)
    assert answer.shape == expected.shape
    assert np.ptp(expected) > 0
    assert np.abs(answer - expected).max() <= RELATIVE * np.abs(expected).max()


@pytest.mark.parametrize("name", WRONG)
def test_what_no_layer_stands_for_is_refused_and_the_node_named(name, drawn, walks):
    assert "why" in walks[name], f"{name} became {walks[name]}"
    assert f"node {drawn[1]['wrong'][name]} " in walks[name]["what"]
    assert WRONG[name] in f"{walks[name]['what']} {walks[name]['why']}"
    assert "docs/ops.md" in walks[name]["fix"]


def test_nodes_that_share_weights_share_a_layer(walks):
    assert walks["shared_dense"]["layers"].count("Dense") == 1


def test_a_zero_bias_is_no_bias_and_layers_are_real_ones(walks):
    assert "Conv2D" in walks["conv_zero_bias"]["layers"]
    assert "BatchNormalization" in walks["batch_norm_epsilon"]["layers"]
    assert "Dense" in walks["gemm"]["layers"]


def refuse(*nodes):
    """Return the error of nodes, each an operation, its name and the reason."""
    found = [unknown(Node(name, op, ("x",), (f"{name}.out",), {}), why) for op, name, why in nodes]
    return all_of(found, Graph("image", ("out",), (), {}, shapes={"x": (0, 4, 8, 8)}))


def test_a_refusal_of_many_nodes_counts_operations_and_names_all_of_them_on_one_screen():
    many = [("Erf", f"/blocks.{block}/mlp/Erf", "no rule") for block in range(24)]
    other = [("Where", f"/w{number}/Where", f"reason {number}") for number in range(30)]
    said = refuse(*many, *other)
    assert said.what == "54 nodes cannot be converted exactly: 30 Where, 24 Erf"
    assert len(str(said).splitlines()) <= 20
    numbers = ",".join(str(block) for block in range(24))
    assert f"/blocks.{{{numbers}}}/mlp/Erf" in said.why
    assert "24 nodes (the first reads ['N', 4, 8, 8])" in said.why
    for number in range(10):
        assert f"reason {number}: /w{number}/Where (it reads ['N', 4, 8, 8])" in said.why
    assert f"/w{{{','.join(str(number) for number in range(10, 30))}}}/Where" in said.why


def test_films_backwards_are_refused_without_counting_them():
    stored = {name: np.array([value]) for name, value in {"from": -1, "to": -(2**63) + 1, "axis": 0, "by": -1}.items()}
    node = Node("flip", "Slice", ("image", *stored), ("out",), {})
    walk = Walk(None, stored)
    with pytest.raises(UnknownError, match="flip") as error:
        cut(walk, node, [Value(np.empty((1, 3, 4, 4))), *[None] * len(stored)])
    assert error.value.why == "it takes films of the batch"


def test_names_that_differ_in_two_numbers_are_written_out():
    pairs = [("Erf", f"/layer.{a}/block.{b}/Erf", "no rule") for a in (0, 1) for b in (0, 1, 2)]
    said = refuse(*pairs, ("Erf", "/layer.2/block.0/Erf", "no rule"))
    assert all(name in said.why for _, name, _ in pairs)
