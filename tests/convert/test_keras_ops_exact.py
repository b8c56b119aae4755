"""What torchvision's classifiers are made of, one small graph each: the layers answer as ONNX Runtime does."""

import numpy as np
import pytest

RIGHT = {
    "abs": {"ReLU", "Rescaling", "Add"},
    "exp": {"Activation"},
    "local_response": {"Multiply", "Dense"},
    "log": {"ReLU", "Rescaling", "Add"},
    "sqrt": {"ReLU", "Rescaling", "Add"},
    "reciprocal": {"Activation"},
    "softplus": {"Rescaling", "Activation"},
    "mish": {"Activation", "Multiply"},
    "selu": {"ELU", "Rescaling"},
    "gelu": {"Activation"},
    "gelu_by_tanh": {"Multiply", "Rescaling", "Add", "Activation"},
    "gelu_by_erf": {"Activation"},
    "gelu_by_erf_of_half": {"Activation"},
    "prelu": {"PReLU"},
    "prelu_of_one": {"PReLU"},
    "square": {"Multiply"},
    "cube": {"Multiply"},
    "reciprocal_root": {"Activation"},
    "quotient": {"ReLU", "Activation"},
    "maximum": {"Activation", "Maximum"},
    "minimum": {"Activation", "Minimum"},
    "minimum_of_one": {"Rescaling", "Minimum"},
    "sum_of_three": {"ReLU", "Add"},
    "log_softmax": {"GlobalAveragePooling2D", "Reshape", "Dense", "Activation"},
    "attention": {
        *("Conv2D", "Permute", "Reshape", "LayerNormalization", "Dense", "Rescaling", "Cropping2D", "Softmax", "Add"),
    },
    "attention_of_torch": {"Conv2D", "Permute", "Reshape", "Dense", "Rescaling", "Cropping2D", "Softmax"},
    "average_pool_that_counts_its_pads": {"ZeroPadding2D", "AveragePooling2D"},
    "average_pool_that_does_not": {"AveragePooling2D"},
    "average_pool_ceil": {"ZeroPadding2D", "AveragePooling2D", "Rescaling"},
    "average_pool_uncounted": {"ZeroPadding2D", "AveragePooling2D", "Rescaling"},
    "bias_written_out": {"Conv2D"},
    "channels_last_and_back": {"ReLU"},
    "channels_minus": {"Rescaling"},
    "channel_shuffle": {"Permute", "Reshape", "Cropping2D", "Conv2D", "Concatenate"},
    "transpose_and_convolve": {"Permute", "Conv2D"},
    "class_token": {"Conv2D", "Permute", "Reshape", "Cropping2D", "Rescaling", "Concatenate"},
    "clip": {"Rescaling", "Maximum", "Minimum"},
    "clip_above_zero_behind_a_convolution": {"ZeroPadding2D", "Conv2D", "Rescaling", "Maximum"}
    | {"GlobalAveragePooling2D", "Reshape", "Dense"},
    "clip_of_one_number": {"GlobalAveragePooling2D", "Reshape", "Dense", "Rescaling", "Maximum"},
    "clip_above": {"Rescaling", "Minimum"},
    "clip_below": {"Rescaling", "Maximum"},
    "clip_to_half": {"Rescaling", "Maximum", "Minimum"},
    "concat_channels": {"ReLU", "Activation", "Concatenate"},
    "concat_height": {"ReLU", "Activation", "Concatenate"},
    "conv_dilated_with_stride": {"ZeroPadding2D", "Conv2D", "MaxPooling2D"},
    "conv_same_lower": {"ZeroPadding2D", "Conv2D"},
    "conv_valid": {"Conv2D"},
    "conv_transpose": {"Reshape", "ZeroPadding2D", "Conv2D"},
    "conv_transpose_with_pads": {"Reshape", "ZeroPadding2D", "Conv2D"},
    "depth_to_space": {"Reshape", "Permute"},
    "difference": {"ReLU", "Activation", "Subtract"},
    "gate": {"Multiply"},
    "between": set(),
    "cube_root": {"ReLU"},
    "equal": {"ReLU"},
    "error_function": set(),
    "shrink": set(),
    "sign": {"Subtract"},
    "sine": set(),
    "global_max": {"GlobalMaxPooling2D", "Reshape"},
    "largest_of_rows": {"Permute", "Reshape", "GlobalMaxPooling1D"},
    "total": {"GlobalAveragePooling2D", "Rescaling"},
    "one_axis": {"GlobalAveragePooling2D", "Reshape", "Dense"},
    "one_a_place": {"Rescaling"},
    "sum": {"ReLU", "Activation", "Add"},
    "depthwise": {"ZeroPadding2D", "DepthwiseConv2D"},
    "depthwise_times_two": {"ZeroPadding2D", "DepthwiseConv2D"},
    "depthwise_uneven": {"Conv2D"},
    "divide_channels": {"Rescaling"},
    "dropout": {"GlobalAveragePooling2D", "Reshape", "Dense"},
    "elu": {"ELU"},
    "first_row": {"Conv2D", "Permute", "Reshape", "Cropping2D", "Dense"},
    "flatten": {"Permute", "Reshape", "Dense"},
    "flatten_of_the_old_exporter": {"Permute", "Reshape", "Dense"},
    "foreign_front": {"Concatenate", "Rescaling"},
    "grey_as_three": {"Cropping2D", "Concatenate", "Conv2D"},
    "grey_expanded": {"Cropping2D", "Concatenate", "Conv2D"},
    "group_norm": {"Reshape", "LayerNormalization", "Rescaling"},
    "group_norm_of_each_channel": {"Reshape", "LayerNormalization", "Rescaling"},
    "group_norm_of_torch": {"Permute", "Reshape", "LayerNormalization", "Rescaling", "Conv2D"},
    "hard_sigmoid": {"Rescaling", "ReLU"},
    "hard_sigmoid_of_torch": {"Rescaling", "Activation"},
    "hard_swish": {"Activation"},
    "instance_norm": {"LayerNormalization", "Rescaling"},
    "layer_norm": {"LayerNormalization", "Reshape"},
    "layer_norm_of_channels": {"LayerNormalization", "Rescaling"},
    "layer_norm_of_rows": {"Conv2D", "Permute", "Reshape", "LayerNormalization"},
    "layer_norm_over_rows_and_columns": {"LayerNormalization", "Rescaling"},
    "layer_norm_of_images": {"LayerNormalization", "Rescaling"},
    "layer_norm_written_out": {"Conv2D", "Permute", "Reshape", "LayerNormalization", "Rescaling"},
    "leaky_relu": {"LeakyReLU"},
    "map_minus": {"Rescaling"},
    "matmul_and_add": {"GlobalAveragePooling2D", "Reshape", "Dense", "Rescaling"},
    "max_pool_behind_pool": {"ReLU", "AveragePooling2D", "ZeroPadding2D", "MaxPooling2D"},
    "max_pool_behind_relu": {"ReLU", "ZeroPadding2D", "MaxPooling2D"},
    "max_pool_ceil_without_effect": {"MaxPooling2D"},
    "max_pool_ceil": {"ReLU", "ZeroPadding2D", "MaxPooling2D"},
    "max_pool_ceil_of_signed": {"Rescaling", "Cropping2D", "Concatenate", "MaxPooling2D"},
    "max_pool_of_signed": {"Rescaling", "Cropping2D", "Concatenate", "MaxPooling2D"},
    "max_pool_same": {"MaxPooling2D"},
    "max_pool_behind_infinity": {"Rescaling", "Cropping2D", "Concatenate", "MaxPooling2D"},
    "product_from_the_left": {"Permute", "Dense", "Reshape"},
    "positions_of_each_film": {"Conv2D", "Permute", "Reshape", "Rescaling"},
    "resized_twice_by_the_same": {"Permute", "Dense"},
    "split_of_stored_numbers": {"Rescaling"},
    "sum_before_the_batch": {"Reshape", "GlobalAveragePooling1D", "Permute", "Rescaling"},
    "multiply_channels": {"Rescaling"},
    "pixel_shuffle": {"Reshape", "Permute"},
    "relu6": {"ReLU"},
    "reshape_that_changes_nothing": {"Conv2D"},
    "silu": {"Activation", "Multiply"},
    "space_to_depth": {"Reshape", "Permute"},
    "expanded_in_rows": {"Permute", "Reshape", "GlobalMaxPooling1D", "Concatenate"},
    "resized_by_cubes": {"Permute", "Dense"},
    "upsample_bilinear": {"Permute", "Dense"},
    "upsample_nearest": {"Reshape", "Concatenate"},
    "upsample_to_corners": {"Permute", "Dense"},
    "upsample_to_one_row": {"Permute", "Dense"},
    "slice_channels": {"Cropping2D"},
    "slice_backwards": {"Cropping2D", "Concatenate"},
    "gather_unevenly": {"Cropping2D", "Concatenate"},
    "one_over_image": {"Activation", "Rescaling"},
    "slice_classes": {"GlobalAveragePooling2D", "Reshape", "Dense", "Cropping2D"},
    "slice_places": {"Reshape", "Cropping2D", "MaxPooling2D"},
    "softmax_of_channels": {"Softmax"},
    "softmax_of_classes": {"GlobalAveragePooling2D", "Reshape", "Dense", "Softmax"},
    "softmax_of_rows": {"Permute", "Softmax"},
    "split_channels": {"Cropping2D", "ReLU", "Concatenate"},
    "split_rows": {"Cropping2D", "ReLU", "Concatenate"},
    "squeeze": {"GlobalAveragePooling2D", "Reshape"},
    "squeeze_excite": {"GlobalAveragePooling2D", "Conv2D", "ReLU", "Activation", "Multiply"},
    "subtract_channels": {"Rescaling"},
    "tanh": {"Activation"},
    "unsqueeze": {"GlobalAveragePooling2D", "Reshape", "Dense", "Conv2D"},
    "vector_over_columns": {"Rescaling"},
    "without_names": {"ReLU", "Activation"},
}
WRONG = {
    "average_pool_ceil_beyond_counted_pads": "runtimes divide by different numbers",
    "batch_as_a_float": "calculates with the batch",
    "batch_left_elsewhere": "does not keep the batch in front",
    "batch_that_is_calculated_with": "calculates with the batch",
    "clip_of_nothing": "from 1 to -1 is no range",
    "concat_of_the_batch": "it joins the batch",
    "concat_with_a_constant": "its input 1 is a constant that is not repeated",
    "conv_transpose_to_a_shape": "auto_pad or output_shape",
    "drawn_at_random": "it reads no film",
    "dropout_in_training": "drops at random",
    "expand_to_more_axes": "to another rank",
    "flatten_whole": "axis 0 does not keep the batch",
    "gather_of_the_batch": "films of the batch",
    "gather_far_and_wide": "not 1 to 64",
    "gemm_of_an_image": "flatten the image before",
    "gemm_trans_a": "transA",
    "group_norm_of_unequal_groups": "3 groups of 4 channels",
    "infinity_around_an_image": "it pads with -inf",
    "layer_norm_over_films": "are not the last one",
    "local_response_to_the_third": "its beta 0.333333",
    "max_pool_dilated": "dilations [2, 2]",
    "max_pool_pads_as_large_as_the_kernel": "less than its kernel",
    "product_of_other_sizes": "whose other axes are equal",
    "relu_with_the_batch_elsewhere": "the batch is axis 1 of what it reads",
    "resize_by_cubes_within": "leaves out what lies outside",
    "resize_by_half_of_the_nearest": "one whole factor",
    "resize_to_the_same_size": "runtimes interpolate, or leave them alone",
    "resize_of_channels": "changes the batch or channels",
    "second_output": "its second output is used",
    "slice_of_films_backwards": "takes films",
    "slice_of_nothing": "are none",
    "slice_of_the_batch": "some films",
    "softmax_of_an_old_image": "one softmax over channels and places",
    "softmax_of_films": "is the batch",
    "split_into_other_sizes": "are not 2 parts of 4",
    "stored_sizes_that_are_larger": "does not stretch",
    "sum_of_other_sizes": "laid out differently",
    "tile_of_the_batch": "repeats the batch",
}
FUNCTIONS = {
    "Cast",
    "Divide",
    "Greater",
    "Log",
    "LogicalNot",
    "Matmul",
    "Reciprocal",
    "Sin",
    "Sqrt",
    "Where",
}  # that no layer of Keras stands for
RELATIVE = 2e-6  # of the largest answer: two float32 programs sum up to 576 products in different orders


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs, and the nodes that are to blame."""
    folder = tmp_path_factory.mktemp("ops")
    return folder, child("draw_ops.py", folder)


@pytest.fixture(scope="module")
def walks(keras_child, drawn):
    """What walking each graph gave."""
    return keras_child("walk_graphs.py", drawn[0])


@pytest.fixture(scope="module")
def answers(drawn, walks):
    """The answers of ONNX Runtime and of Keras by graph."""
    return [dict(np.load(drawn[0] / f"{name}.npz")) for name in ("onnxruntime", "keras")]


def test_every_drawn_operation_is_tested(drawn):
    assert (drawn[1]["right"], set(drawn[1]["wrong"])) == (sorted(RIGHT), set(WRONG))


@pytest.mark.parametrize("name", RIGHT)
def test_the_layers_of_an_operation_answer_as_onnx_runtime_does(name, walks, answers):
    assert "layers" in walks[name], walks[name]
    expected, answer = answers[0][name], answers[1][name]
    answer = answer.transpose(0, 3, 1, 2) if answer.ndim == 4 else answer
    assert answer.shape == expected.shape
    assert np.ptp(expected) > 0
    assert np.abs(answer - expected).max() <= RELATIVE * np.abs(expected).max()
    assert set(walks[name]["layers"]) == {"InputLayer"} | RIGHT[name]


def test_an_h5_with_functions_of_keras_loads_by_itself_and_answers_to_the_bit(walks):
    found = {name: walk for name, walk in walks.items() if "functions" in walk}
    assert {one for walk in found.values() for one in walk["functions"]} >= FUNCTIONS
    assert [name for name, walk in found.items() if not walk["h5_is_equal"]] == []


@pytest.mark.parametrize("name", WRONG)
def test_an_operation_that_has_no_exact_layer_is_refused_and_named(name, drawn, walks):
    assert "why" in walks[name], f"{name} became {walks[name]}"
    assert f"node {drawn[1]['wrong'][name]} " in walks[name]["what"]
    assert WRONG[name] in walks[name]["why"]


def test_all_nodes_without_a_layer_are_named_at_once_with_the_shapes_that_they_read(walks):
    found = walks["many_wrong"]
    assert found["what"].startswith("4 nodes cannot be converted exactly: drawn/Tan.0 (Tan), drawn/MaxPool.1 (MaxPool)")
    assert "drawn/Softmax.3 (Softmax)" in found["what"]
    assert "drawn/Tan.0 (it reads ['N', 4, 12, 12])" in found["why"]
    assert "Relu" not in found["what"]


def test_an_input_without_a_fixed_size_is_refused(walks):
    assert "the input image is [0, 4, 0, 12]" in walks["any_size"]["what"]


def test_an_output_that_no_film_reaches_is_refused(walks):
    assert walks["fixed_answer"]["what"] == "the output value0 does not depend on the film"
