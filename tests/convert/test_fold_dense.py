"""BatchNorms go into the dense layer behind them where that changes nothing, and stay where it would."""

import pytest

RELATIVE = 2e-6  # of the largest answer: sums of four or five products in another order
FOLDED = {"lone": 1, "lone_across": 1, "lone_epsilon": 1, "shared": 2, "shared_not_across": 2}
LEFT = {
    "mate_without_norm": "a mate reads the weights without a BatchNorm",
    "mate_with_other_norm": "a mate reads them behind another BatchNorm",
    "mate_with_other_epsilon": "the mates' BatchNorms differ in epsilon",
    "mate_scaled": "a mate scales what it gives",
    "mate_read_twice": "a mate's BatchNorm is read by somebody else, too",
    "mate_asked_for": "a mate's BatchNorm is an output of the graph",
    "other_bias": "a mate adds another bias",
    "behind_a_relu": "a ReLU stands between",
    "computed_weight": "the weights are computed",
}


@pytest.fixture(scope="module")
def heads(child, tmp_path_factory):
    """What folding made of each drawn head."""
    return child("draw_dense.py", tmp_path_factory.mktemp("heads"))


def test_every_drawn_head_is_tested(heads):
    assert heads.keys() == {*FOLDED, *LEFT}


@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_head_answers_as_before_and_has_no_batch_norm_left(name, heads):
    found = heads[name]
    assert found["difference"] <= RELATIVE * found["largest"]
    assert (found["folded"], "BatchNormalization" in found["operators"]) == (FOLDED[name], False)


def test_dense_layers_that_share_weights_behind_equal_batch_norms_are_folded_once(heads):
    """Folded twice, the weights would hold the square of the factor, and the answer would move."""
    for name in ("shared", "shared_not_across"):
        assert heads[name]["operators"]["Gemm"] == 2
        assert heads[name]["difference"] <= RELATIVE * heads[name]["largest"]


@pytest.mark.parametrize("name", LEFT, ids=LEFT.get)
def test_both_are_left_alone_where(name, heads):
    assert (heads[name]["folded"], heads[name]["difference"]) == (0, 0.0)
