"""What stays in float is named as in the ONNX, and a name that fits nothing is not passed over."""

import pytest

from convert.quantization.float_ops import select_float_ops
from convert.quantization.tflite_graph import Operator, TFLiteGraph
from tbconv.contract.errors import ConfigError


@pytest.fixture(scope="module")
def calibrated(recipes):
    """The small network in float with ranges."""
    return bytearray((recipes / "calibrated.tflite").read_bytes())


@pytest.fixture(scope="module")
def operators(calibrated):
    """By output, its operators."""
    return {one.output: one for one in TFLiteGraph(calibrated).operators}


def test_head_is_everything_behind_the_last_feature_map(calibrated, operators):
    kept = select_float_ops(calibrated, ("head",))
    order = list(operators)
    assert sorted(order[-len(kept) :]) == kept
    assert operators[order[-len(kept) - 1]].names[0].startswith("body.layer4.")
    assert "FULLY_CONNECTED" in {operators[name].kind for name in kept}
    assert not {"CONV_2D", "MAX_POOL_2D"} & {operators[name].kind for name in kept}


def test_none_keeps_nothing(calibrated):
    assert select_float_ops(calibrated, ("none",)) == []


def test_a_prefix_keeps_its_block_and_nothing_else(calibrated, operators):
    kept = [operators[name] for name in select_float_ops(calibrated, ("body.layer4",))]
    assert all(layer.startswith("body.layer4.") for one in kept for layer in one.names)
    assert sorted(one.kind for one in kept) == ["ADD", "CONV_2D", "CONV_2D", "CONV_2D", "PAD"]


def test_a_node_keeps_the_operator_that_it_is_fused_in(calibrated, operators):
    [kept] = select_float_ops(calibrated, ("body.layer2.0.downsample.0",))
    assert operators[kept].kind == "CONV_2D"
    assert select_float_ops(calibrated, ("body.layer2.0.downsample.1",)) == [kept]  # its BatchNorm


def test_a_name_may_be_written_with_slashes_as_other_exporters_do(calibrated):
    assert select_float_ops(calibrated, ("body/layer3",)) == select_float_ops(calibrated, ("body.layer3",)) != []


def test_several_names_keep_all_that_each_keeps(calibrated):
    head, block = (set(select_float_ops(calibrated, (name,))) for name in ("head", "body.layer4"))
    assert set(select_float_ops(calibrated, ("head", "body.layer4"))) == head | block
    assert set(select_float_ops(calibrated, ("none", "head"))) == head


def test_numbers_that_keras_adds_to_names_do_not_mix_nodes_up(monkeypatch):
    """Keras's `Relu_1` is the node Relu, its `Relu_1_2` the node Relu_1, and layer10 is no part of layer1."""
    names = ("body.layer1.Relu_1", "body.layer1.Relu_1_2", "body.layer10.Relu_1", "body.layer1.Add_1")
    drawn = tuple(Operator("RELU", (name,), name, (), index, 4) for index, name in enumerate(names))
    monkeypatch.setattr(
        "convert.quantization.tflite_graph.TFLiteGraph", lambda data: type("Drawn", (), {"operators": drawn})
    )
    assert select_float_ops(bytearray(), ("body.layer1.Relu",)) == [names[0]]
    assert select_float_ops(bytearray(), ("body.layer1.Relu_1",)) == [names[1]]
    assert select_float_ops(bytearray(), ("body.layer1",)) == sorted((names[0], names[1], names[3]))


@pytest.mark.parametrize("name", ["body.layer9", "encoder", "body.lay", ""])
def test_a_name_that_fits_no_node_is_an_error_that_names_the_nearest(calibrated, name):
    with pytest.raises(ConfigError) as caught:
        select_float_ops(calibrated, ("head", name))
    assert caught.value.what == f"--keep-float {name} fits no node"
    assert caught.value.why.startswith("the nearest are ")
    assert caught.value.why.count(", ") == 5
    assert "StatefulPartitionedCall" not in caught.value.why
    assert "'head' or 'none'" in caught.value.fix


def test_a_slip_of_one_letter_is_answered_with_what_was_meant(calibrated):
    with pytest.raises(ConfigError) as caught:
        select_float_ops(calibrated, ("body.layer3.O",))
    assert "body.layer3.0" in caught.value.why
