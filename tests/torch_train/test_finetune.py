import pytest
import torch

from tbconv.contract.errors import ConfigError
from torch_train.engine.state import choose_layers
from torch_train.model.network import XrayNetwork


@pytest.fixture(scope="module")
def resnet50():
    return XrayNetwork("resnet50")


def test_the_last_20_layers_of_a_resnet50_end_in_the_third_stage(resnet50):
    tuning = choose_layers(resnet50, "20")
    assert (len(tuning.layers), tuning.of) == (20, 56)
    assert tuning.layers[:4] == ("head.dense3", "head.dense2", "head.dense1", "body.layer4.2.conv3")
    assert tuning.layers[-1] == "body.layer3.3.conv3"


def test_a_layer_that_learns_takes_its_batchnorm_along_and_no_other(resnet50):
    choose_layers(resnet50, "20")
    learning = {name for name, parameter in resnet50.named_parameters() if parameter.requires_grad}
    assert {"body.layer3.3.bn3.weight", "body.layer4.0.downsample.1.bias", "head.bn1.weight"} <= learning
    assert not {"body.layer3.3.bn2.weight", "body.layer3.3.conv2.weight", "body.bn1.weight"} & learning


def test_all_means_every_parameter(resnet50):
    tuning = choose_layers(resnet50, "all")
    assert len(tuning.parameters()) == len(list(resnet50.parameters()))
    assert tuning.frozen_norms == ()
    assert "56 of 56 layers" in tuning.describe()


def test_more_layers_than_there_are_is_refused_with_their_number(resnet50):
    with pytest.raises(ConfigError, match="57") as caught:
        choose_layers(resnet50, "57")
    assert "56" in caught.value.why


def test_what_is_frozen_does_not_move_in_a_step_batchnorm_statistics_included():
    torch.manual_seed(0)
    network = XrayNetwork("resnet10")
    tuning = choose_layers(network, "5")
    tuning.train_mode()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(tuning.parameter_groups(0.1), lr=0.1)
    network(torch.rand(4, 1, 64, 64) * 255).square().sum().backward()
    optimiser.step()
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    roots = {key.rsplit(".", 1)[0] for key in moved}
    assert tuning.layers[-1] in roots
    assert not [
        key for key in roots if key.startswith(("body.layer1", "body.layer2", "body.layer3", "body.bn1", "body.conv1"))
    ]
    assert {"head.bn1", "head.bn2"} <= roots


def test_weights_decay_and_biases_and_batchnorms_do_not():
    network = XrayNetwork("resnet10")
    decayed, spared = choose_layers(network, "all").parameter_groups(0.05)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert {parameter.ndim for parameter in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))
