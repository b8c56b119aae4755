"""Which channels may be rescaled, and that rescaling them changes what they reach and not what comes out."""

import json

import numpy as np
import pytest

from convert.worker import run_step
from tbconv.contract.errors import ConversionError
from torch_train.run_folder import Films, write_films

RELATIVE = 2e-5  # of the largest answer, as in test_onnx_walk.py: float32 sums of other numbers
STREAM = {"stem.bn", "basic.bn2", "neck.bn3"}
INNER = [({"basic.bn1"}, {"basic.conv2"}), ({"neck.bn1"}, {"neck.conv2"}), ({"neck.bn2"}, {"neck.conv3"})]
WITH_STREAM = ("residual_conv", "residual_pad_zeros", "residual_pools", "constants", "unnamed")
WITHOUT_STREAM = {
    "residual_output": "it reaches a graph output",
    "residual_depthwise": "a depthwise convolution reads it",
    "residual_grouped": "a convolution in groups reads it",
    "residual_transpose": "a Transpose reads it",
    "residual_reshape": "a Reshape reads it",
    "residual_mean": "a mean over places reads it",
    "residual_sigmoid": "a sigmoid of half the value is not half the sigmoid",
    "residual_shared_weight": "two of its readers share their weights",
    "residual_pad_ones": "ones are padded in",
    "residual_pad_channels": "a channel is padded in",
    "shared_norm": "two of its BatchNorms share their scale",
}


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """What equalization made of each drawn graph."""
    return child("draw_residual.py", tmp_path_factory.mktemp("residual"))


@pytest.fixture(scope="module")
def graphs(drawn):
    """The same by name of the graph."""
    return drawn["graphs"]


def sides(group):
    return set(group["writers"]), set(group["readers"])


def test_every_drawn_residual_graph_is_tested(graphs):
    assert graphs.keys() == {*WITH_STREAM, *WITHOUT_STREAM, "plain", "dead", "no_group"}


def test_a_residual_stream_is_one_group_and_inner_tensors_of_its_blocks_are_their_own(graphs):
    stream, *inner = graphs["residual_conv"]["groups"]
    assert sides(stream) == (STREAM, {"basic.conv1", "neck.conv1", "end"})
    assert (stream["tensors"], stream["measured"]) == (8, 5)  # three BatchNorms, three ReLUs, two sums
    assert [sides(group) for group in inner] == INNER


def test_zero_pads_and_pools_pass_a_stream_on(graphs):
    for name, more in (("residual_pad_zeros", 1), ("residual_pools", 2)):
        stream = graphs[name]["groups"][0]
        assert (sides(stream)[0], stream["tensors"]) == (STREAM, 8 + more)


@pytest.mark.parametrize("name", WITHOUT_STREAM, ids=WITHOUT_STREAM.get)
def test_a_stream_is_left_out_whole_where(name, graphs):
    assert not [group for group in graphs[name]["groups"] if sides(group)[0] & STREAM]
    assert {frozenset(sides(group)[0]) for group in graphs[name]["groups"]} == {frozenset(one) for one, _ in INNER}


def test_convolutions_without_batch_norm_write_themselves(graphs):
    first, second = graphs["plain"]["groups"]
    assert sides(first)[1] == {"first"}
    assert sides(second) == ({"first"}, {"second"})


def test_nodes_without_names_are_told_apart(graphs):
    assert [len(group["readers"]) for group in graphs["unnamed"]["groups"]] == [3, 1, 1, 1]


@pytest.mark.parametrize("name", [*WITH_STREAM, *WITHOUT_STREAM, "plain", "dead", "no_group"])
def test_the_equalized_graph_answers_as_before(name, graphs):
    found = graphs[name]
    assert found["difference"] <= RELATIVE * found["largest"]
    assert (found["moved"] > 0) == (name != "no_group")  # else nothing was tried


@pytest.mark.parametrize("name", [*WITH_STREAM, *WITHOUT_STREAM, "plain", "dead"])
def test_what_channels_reach_is_more_even_in_every_group(name, graphs):
    for before, after in zip(graphs[name]["reach"], graphs[name]["reach_after"], strict=True):
        assert spread_of(after) < spread_of(before)


def spread_of(reached):
    live = np.array([value for value in reached if value > 0])
    return np.log(live).std()


def test_a_channel_that_is_dead_on_the_calibration_films_is_left_as_it_is(graphs):
    inner = next(i for i, group in enumerate(graphs["dead"]["groups"]) if group["writers"] == ["bn2"])
    assert graphs["dead"]["reach"][inner].count(0.0) == graphs["dead"]["reach_after"][inner].count(0.0) == 1


def test_factors_are_positive_and_blow_no_channel_up_by_more_than_a_hundred(drawn):
    for factors in drawn["extremes"]:
        assert factors[0] == 1.0  # reached nothing
        assert all(0.0099 < factor <= 100 for factor in factors)
    weights, _, activations = drawn["extremes"]
    assert max(weights) < 10  # what the films reached is not looked at,
    assert len(set(weights)) == len(weights)  # and what the weights are is
    assert (activations[1], activations[3]) == (pytest.approx(0.01), 100.0)


def test_a_graph_without_a_group_is_only_folded(graphs):
    assert (graphs["no_group"]["said"]["groups"], graphs["no_group"]["difference"]) == (0, 0.0)


def test_without_calibration_films_there_is_nothing_to_measure_and_the_error_says_so(quantized, tmp_path):
    write_films(tmp_path / "none.npz", Films(np.zeros((0, 224, 224), np.uint8), np.int64([]), np.array([], str)))
    request = {"onnx": str(quantized / "model.onnx"), "films": str(tmp_path / "none.npz"), "out": str(tmp_path / "x")}
    with pytest.raises(ConversionError, match="no calibration films") as caught:
        run_step("convert.quantization.equalization:equalize", request)
    assert "tbconv train" in caught.value.fix


@pytest.fixture(scope="module")
def small(child, quantized, run):
    """The small network before and after, asked about the held-out phantoms."""
    return child("check_equalized.py", quantized / "model.onnx", quantized / "equalized.onnx", run)


def test_the_small_network_answers_as_before(small):
    assert small["difference"].keys() == {"logits", "probability", "evidence"}
    for name, difference in small["difference"].items():
        assert difference <= RELATIVE * max(1.0, small["largest"][name]), json.dumps(small)


def test_all_streams_of_the_small_network_and_all_inner_tensors_are_more_even_than_before(small):
    # layer1 adds to the stem's output, so they are one stream; each of the others has a downsampling of its own;
    # layer4's goes to the head and is left out
    assert sorted(small["writers"], reverse=True) == [2, 2, 2, 1, 1, 1, 1]
    before, after = small["unevenness"]
    assert all(now < then for then, now in zip(before, after, strict=True))


def test_the_batch_norms_of_the_small_head_are_folded_and_those_of_the_body_stay(small):
    assert small["operators"]["BatchNormalization"] == 12
    assert small["operators"]["Gemm"] > 0
